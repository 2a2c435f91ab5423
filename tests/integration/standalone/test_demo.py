"""`make demo`, with a training too short to be any good, and what it says when something fails."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from aigc_platform.settings.env import REPOSITORY_DIR, variable_names
from aigc_platform.standalone.demo_client import DemoClient, DemoError
from ml.codecs.png import read_provenance


def run_demo(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in variable_names()}
    return subprocess.run(
        [sys.executable, "-m", "aigc_platform.standalone.demo", *arguments],
        env={**inherited, **variables, "DATA_DIR": str(data_dir), "COLUMNS": "200"},
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes that still know the folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or ())
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_leaves_labelled_pictures_and_nothing_running(tmp_path: Path) -> None:
    shown = run_demo(tmp_path / "var", "--kimg", "0.2")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    folder = tmp_path / "var" / "demo"
    pictures = sorted((folder / "images").iterdir())
    assert [path.name for path in pictures] == [f"{index:03d}.png" for index in range(64)]
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in pictures}) == 64
    for path in (*pictures, folder / "grid.png"):
        assert read_provenance(path.read_bytes()) is not None, path
    assert json.loads((folder / "model-card.json").read_text())["dataset"]["name"] == "digits"
    for words in ("import the data set", "1,797 images", "digits-demo:1", "65 files, every SHA-256 right"):
        assert words in shown.stdout
    assert left_over(folder) == []


def test_a_stack_that_does_not_start_is_one_sentence_and_a_bad_exit_code(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "demo"
    folder.mkdir(parents=True)
    (folder / "stack").write_text("a file in the folder's place")
    shown = run_demo(tmp_path / "var")
    assert shown.returncode == 1
    [sentence] = [line for line in shown.stdout.splitlines() if "failed" in line]
    assert sentence.startswith("The demo failed: ")
    assert "Traceback" not in shown.stdout + shown.stderr
    assert left_over(tmp_path / "var") == []


class _Answers(BaseHTTPRequestHandler):
    """A server that answers what a test laid down for a path."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:
        status, body = self.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_address[1]}"
        http_server.shutdown()
        thread.join()
    _Answers.answers.clear()


@pytest.fixture
def client(server: str) -> Iterator[DemoClient]:
    demo_client = DemoClient(server, "token")
    yield demo_client
    demo_client.close()


def artifact(server: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"url": f"{server}/file", "filename": "000.png", "sha256": sha256, "size": len(content)}


def test_a_damaged_download_is_refused_and_not_kept(client: DemoClient, server: str, tmp_path: Path) -> None:
    _Answers.answers["/file"] = (200, b"damagee")
    with pytest.raises(DemoError, match=r"000\.png arrived damaged"):
        client.download(artifact(server, b"damaged"), tmp_path / "000.png")
    assert not (tmp_path / "000.png").exists()


def test_a_refused_download_is_told(client: DemoClient, server: str, tmp_path: Path) -> None:
    _Answers.answers["/file"] = (403, b"")
    with pytest.raises(DemoError, match=r"answered 403 for 000\.png"):
        client.download(artifact(server, b""), tmp_path / "000.png")


def test_a_failed_job_tells_why(client: DemoClient) -> None:
    job = {"id": "1", "status": "failed", "error": {"message": "the loss is not finite"}}
    _Answers.answers["/trainings/1"] = (200, json.dumps(job).encode())
    with pytest.raises(DemoError, match="The job 1 is failed: the loss is not finite"):
        client.finished("trainings", job, stall_seconds=1, watch=lambda _job: None)


def test_a_job_that_does_not_move_is_given_up(client: DemoClient) -> None:
    job = {"id": "1", "status": "running", "progress": {"current": 3}}
    _Answers.answers["/trainings/1"] = (200, json.dumps(job).encode())
    with pytest.raises(DemoError, match=r"did not move for 0\.6 s"):
        client.finished("trainings", job, stall_seconds=0.6, watch=lambda _job: None)


def test_a_problem_document_becomes_a_sentence(client: DemoClient) -> None:
    problem = {
        "detail": "Some fields are wrong.",
        "errors": [{"pointer": "/config/kimg", "message": "too small"}],
    }
    _Answers.answers["/datasets"] = (422, json.dumps(problem).encode())
    with pytest.raises(DemoError, match=r"answered 422: Some fields are wrong\. /config/kimg: too small"):
        client.ready_dataset("digits", seconds=1)


def test_no_answer_at_all_becomes_a_sentence() -> None:
    client = DemoClient("http://127.0.0.1:1/api/v1", "token")
    try:
        with pytest.raises(DemoError, match="got no answer"):
            client.cancel_unfinished()
    finally:
        client.close()
