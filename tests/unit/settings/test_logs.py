"""What is written to the log, and what never is."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog

from aigc_platform.settings.logs import logging_config, redact_text

PRESIGNED = (
    "https://s3.example/bucket/key.png?X-Amz-Algorithm=AWS4&X-Amz-Credential=AK%2F1&X-Amz-Signature=5eC7e7"
)
TOKEN = "aigc_10f9a55d_unGtmXoOA5d9215D8Ud2fl0YgcW4DW1e"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """A JSON log into memory, with nothing left behind in the process's logging."""
    stream = io.StringIO()
    formatter = logging_config(level="INFO", log_format="json")["formatters"]["structured"]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=formatter["foreign_pre_chain"], processors=formatter["processors"]
        )
    )
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"GET {PRESIGNED} failed", "GET https://s3.example/bucket/key.png?[redacted] failed"),
        (f"Authorization: Token {TOKEN}", "Authorization: Token [redacted]"),
        (f"used {TOKEN}.", "used aigc_10f9a55d_[redacted]."),
        ("redis://:hunter2@cache:6379/0", "redis://:[redacted]@cache:6379/0"),
        ("postgresql://aigc:hunter2@db/aigc", "postgresql://aigc:[redacted]@db/aigc"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_[redacted]"),
        ("http://127.0.0.1:8000/api/v1/jobs?after=3", "http://127.0.0.1:8000/api/v1/jobs?after=3"),
        ("Token missing", "Token missing"),
    ],
)
def test_secrets_are_cut_out_of_text(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_structlog_events_are_redacted_by_key_and_by_value(log: io.StringIO) -> None:
    structlog.stdlib.get_logger("tests.logs").info(
        "downloaded", url=PRESIGNED, password="hunter2", headers={"Authorization": TOKEN}, count=3
    )
    [line] = log.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "downloaded"
    assert event["count"] == 3
    assert event["url"].endswith("?[redacted]")
    assert event["password"] == event["headers"]["Authorization"] == "[redacted]"
    assert "hunter2" not in line
    assert "5eC7e7" not in line


def test_messages_and_tracebacks_of_libraries_are_redacted(log: io.StringIO) -> None:
    failure = RuntimeError(f"could not fetch {PRESIGNED}")
    logging.getLogger("tests.logs").error("giving up on %s", PRESIGNED, exc_info=failure)
    event = json.loads(log.getvalue())
    assert "RuntimeError: could not fetch" in event["exception"]
    assert "5eC7e7" not in log.getvalue()
    assert event["level"] == "error"


def test_every_format_is_a_valid_configuration() -> None:
    for log_format in ("json", "console"):
        config = logging_config(level="WARNING", log_format=log_format)
        logging.config.DictConfigurator(config)
        assert config["root"]["level"] == "WARNING"
