"""The receiver of docs/howto/receive-webhooks.md works as it stands there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.conf import LazySettings

from aigc_platform.accounts.models import User
from aigc_platform.jobs.services import request_cancel
from aigc_platform.settings.env import REPOSITORY_DIR
from aigc_platform.standalone.ports import free_ports
from aigc_platform.webhooks.event_types import EventType
from aigc_platform.webhooks.models import FailureReason, WebhookDelivery
from aigc_platform.webhooks.schedule import DELAYS_SECONDS
from aigc_platform.webhooks.sending import Outcome
from aigc_platform.webhooks.services import redeliver, rotate_secret
from tests.factories.jobs import submit
from tests.factories.webhooks import make_endpoint, send_due
from tests.processes import wait_for

pytestmark = pytest.mark.django_db

PAGE = (REPOSITORY_DIR / "docs" / "howto" / "receive-webhooks.md").read_text("utf-8")
[PROGRAM] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SECONDS = {"s": 1, "min": 60, "h": 3600}


@contextmanager
def running(folder: Path, port: int, secret: str) -> Iterator[Path]:
    """Run the page's receiver; its output goes to the returned file."""
    program, output = folder / "receiver.py", folder / "output"
    program.write_text(PROGRAM)
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, program, str(port)],
            env=os.environ | {"WEBHOOK_SECRET": secret},
            stdout=log,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_for(lambda: _answers(port), seconds=60, what="the receiver")
        yield output
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.post(f"http://127.0.0.1:{port}/", content=b"{}").status_code == 400
    except httpx.TransportError:
        return False


def test_the_documented_receiver_takes_each_event_once_and_refuses_forgeries(
    user: User, settings: LazySettings, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    settings.WEBHOOK_ALLOWED_HOSTS = frozenset({f"127.0.0.1:{port}"})
    endpoint = make_endpoint(user, f"http://127.0.0.1:{port}/aigc")
    job = request_cancel(submit(user).pk, actor="test")
    with running(tmp_path, port, endpoint.secret) as output:
        assert send_due() == [Outcome(status_code=204)]
        delivery = WebhookDelivery.objects.get()
        redeliver(delivery_id=delivery.pk)
        assert send_due() == [Outcome(status_code=204)]

        rotate_secret(endpoint_id=endpoint.pk)
        redeliver(delivery_id=delivery.pk)
        assert send_due() == [Outcome(status_code=204)], "the old secret still verifies"
        rotate_secret(endpoint_id=endpoint.pk)
        redeliver(delivery_id=delivery.pk)
        assert send_due() == [Outcome(FailureReason.BAD_STATUS, 400)], "two rotations later it does not"

        lines = output.read_text().splitlines()
    assert lines.count(f"job.canceled {job.pk}") == 1
    assert lines[-1] == "refused: No matching signature found"
    assert [line for line in lines if not line.startswith("refused: ")] == [f"job.canceled {job.pk}"]


def test_the_documented_schedule_is_the_codes() -> None:
    [row] = re.findall(r"^\| pause before it \| none \|(.*)\|$", PAGE, re.MULTILINE)
    told = [cell.split() for cell in row.split("|")]
    assert [int(number) * SECONDS[unit] for number, unit in told] == list(DELAYS_SECONDS)


def test_every_event_type_is_documented() -> None:
    assert set(re.findall(r"`((?:job|webhook|webhook_endpoint)\.\w+)`", PAGE)) | {"webhook.test"} >= set(
        EventType.values
    )
