"""What the log may say of a tracking server's address."""

import pytest

from workers.runner.protocol import Start
from workers.runner.tracking import without_credentials


@pytest.mark.parametrize(
    ("address", "text", "left"),
    [
        ("http://host:5000", "http://host:5000 does not answer", "http://host:5000 does not answer"),
        (
            "https://me:key@host",
            "MLflow at https://me:key@host failed",
            "MLflow at https://[redacted]@host failed",
        ),
        ("https://me:key@host", "401 for me with key", "401 for me with [redacted]"),
        ("https://token@host/path", "token refused", "[redacted] refused"),
        ("file:///tmp/runs", "no space", "no space"),
    ],
)
def test_credentials_are_taken_out_of_what_mlflow_says(address: str, text: str, left: str) -> None:
    assert without_credentials(text, address) == left


def test_a_start_that_is_printed_shows_no_address() -> None:
    assert "key" not in repr(Start(items=[], tracking_uri="https://me:key@host"))
