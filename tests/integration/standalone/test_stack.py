"""The standalone stack from outside: what a person who types `make up` relies on."""

import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from aigc_platform.standalone.demo_client import DemoClient, DemoError
from tests.stack_process import StackProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    folder = tmp_path_factory.mktemp("stack")
    running = StackProcess(folder / "var", environment={"FASHION_MNIST_DIR": str(folder / "missing")})
    try:
        running.start()
        yield running
        # The last thing that can be tested of a stack: killed without a word, it leaves no process behind.
        running.signal(signal.SIGKILL)
        running.wait_until_gone(seconds=10)
    finally:
        running.stop()


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def tokens(credentials: dict[str, str]) -> httpx.Response:
    authorization = {"Authorization": f"Token {credentials['api_token']}"}
    return httpx.get(f"{credentials['api_url']}/tokens", headers=authorization)


def is_ready(running: StackProcess) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{running.port}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and set(answer.json()["checks"].values()) == {"ok"}


def test_secrets_are_readable_by_their_owner_alone(stack: StackProcess) -> None:
    for name in ("secrets.json", "credentials.json", "stack.env", "seaweedfs/s3.json", "valkey/valkey.conf"):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o600, name
    for name in ("run", "postgres"):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o700, name


def test_no_secret_stands_in_a_command_line_or_in_the_output(stack: StackProcess) -> None:
    secrets = {**stack.credentials()}
    hidden = [secrets["api_token"], secrets["admin_password"]]
    hidden += [
        line.partition("=")[2]
        for line in (stack.folder / "stack.env").read_text().splitlines()
        if line.startswith(("SECRET_KEY", "S3_SECRET", "BROKER_URL"))
    ]
    shown = stack.log() + "".join(" ".join(process.cmdline()) for process in stack.processes())
    assert [text for text in hidden if text in shown] == []
    assert len(hidden) == 5


def test_everything_listens_on_loopback_only(stack: StackProcess) -> None:
    addresses = {
        connection.laddr.ip
        for process in stack.processes()
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }
    assert addresses == {"127.0.0.1"}


def test_the_credentials_open_api_and_admin(stack: StackProcess) -> None:
    credentials = stack.credentials()
    assert tokens(credentials).status_code == 200
    assert tokens({**credentials, "api_token": "aigc_wrong_wrong"}).status_code == 401
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(credentials["admin_url"])
        assert "Log in" in page.text
        answer = browser.post(
            str(page.url),
            data={
                "username": credentials["admin_username"],
                "password": credentials["admin_password"],
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            },
            headers={"Referer": str(page.url)},
        )
        assert "Log out" in answer.text
        style = browser.get(f"http://127.0.0.1:{stack.port}/static/unfold/css/styles.css")
        assert style.headers["content-type"].startswith("text/css")


def test_the_worker_hears_a_ring(stack: StackProcess) -> None:
    """The whole way of a doorbell: broker, worker, database."""
    wait_for(lambda: "ready" in stack.log() and "worker" in stack.log(), seconds=30)
    variables = dict(line.split("=", 1) for line in (stack.folder / "stack.env").read_text().splitlines())
    with psycopg.connect(variables["DATABASE_URL"]) as connection:
        wait_for(
            lambda: bool(connection.execute("SELECT count(*) FROM jobs_worker").fetchone() != (0,)),
            seconds=30,
        )


def test_a_data_set_that_is_not_there_is_one_sentence(stack: StackProcess) -> None:
    """What `make demo` says of it."""
    wait_for(lambda: is_ready(stack), seconds=60)
    credentials = stack.credentials()
    client = DemoClient(credentials["api_url"], credentials["api_token"])
    try:
        with pytest.raises(DemoError, match=r"^The data set fashion-mnist was rejected: ") as caught:
            client.ready_dataset("fashion-mnist", seconds=150)
    finally:
        client.close()
    # The import job's own sentence, which names the folder.
    assert str(stack.folder.parent / "missing") in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_second_start_on_the_same_folder_is_refused_in_one_sentence(stack: StackProcess) -> None:
    second = StackProcess(stack.folder)
    second.log_path = stack.folder.parent / "second.log"
    second.launch()
    try:
        wait_for(lambda: not second.processes(), seconds=30)
        [line] = second.log().splitlines()
        assert f"A stack already runs in {stack.folder} (process {stack.pid})" in line
        assert second.exit_code() == 1
    finally:
        second.stop()
    assert is_ready(stack)


def test_a_taken_port_that_was_asked_for_is_refused_in_one_sentence(
    stack: StackProcess, tmp_path: Path
) -> None:
    other = StackProcess(tmp_path / "var")
    other.port = stack.port
    other.launch()
    try:
        wait_for(lambda: not other.processes(), seconds=30)
        [line] = other.log().splitlines()
        assert f"Port {stack.port} is taken by another program" in line
        assert other.exit_code() == 1
    finally:
        other.stop()


@pytest.mark.parametrize("part", ["run_engine", "granian", "celery", "bin/postgres", "valkey-server", "weed"])
def test_a_killed_program_is_started_again(stack: StackProcess, part: str) -> None:
    wait_for(lambda: is_ready(stack), seconds=60)
    victim = stack.child(part)
    stack.processes()
    victim.kill()
    wait_for(lambda: not victim.is_running(), seconds=10)
    wait_for(lambda: _child_runs(stack, part), seconds=60)
    assert stack.child(part).pid != victim.pid
    wait_for(lambda: is_ready(stack), seconds=60)
    assert "was ended by SIGKILL; starting it again in" in stack.log()


def _child_runs(stack: StackProcess, part: str) -> bool:
    try:
        return stack.child(part).is_running()
    except StopIteration:
        return False


def test_sigterm_stops_everything_and_the_next_start_finds_the_data(stack: StackProcess) -> None:
    wait_for(lambda: is_ready(stack), seconds=60)
    first = stack.credentials()
    created = httpx.post(
        f"{first['api_url']}/tokens",
        headers={"Authorization": f"Token {first['api_token']}"},
        json={"name": "kept"},
    )
    assert created.status_code == 201, created.text
    stack.signal(signal.SIGTERM)
    stack.wait_until_gone(seconds=15)
    assert stack.exit_code() == 0
    assert not (stack.folder / "stack.env").exists()

    stack.start()
    assert stack.credentials() == first
    assert "kept" in tokens(first).text


def test_a_malformed_variable_is_one_sentence_not_a_traceback(tmp_path: Path) -> None:
    stack = StackProcess(tmp_path / "var", environment={"LEASE_SECONDS": "soon"})
    stack.launch()
    try:
        wait_for(lambda: not stack.processes(), seconds=30)
        [line] = stack.log().splitlines()
        assert "LEASE_SECONDS: Input should be a valid integer" in line
        assert stack.exit_code() == 1
    finally:
        stack.stop()
