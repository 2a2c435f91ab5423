"""Logging: structlog and the standard library through one chain that cuts secrets out."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

REDACTED = "[redacted]"

_SECRET_KEY_NAMES = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api_?key|access_key", re.IGNORECASE
)
_SECRETS_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    # A presigned link is a credential: everything after the question mark goes.
    (re.compile(r"\?[^\s\"'<>]*X-Amz-(?:Signature|Credential)=[^\s\"'<>]*", re.IGNORECASE), f"?{REDACTED}"),
    (re.compile(r"\b(Token|Bearer|Basic)\s+[A-Za-z0-9_.+/=-]{8,}"), rf"\1 {REDACTED}"),
    (re.compile(r"\b(aigc_[A-Za-z0-9]+)_[A-Za-z0-9_-]{16,}"), rf"\1_{REDACTED}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), f"whsec_{REDACTED}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@"), rf"\1:{REDACTED}@"),
)


def redact_text(text: str) -> str:
    """Return the text with tokens, passwords in addresses and presigned query strings cut out."""
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut secrets out of a log event, by a key's name and by a value's look (structlog processor)."""
    for key, value in event.items():
        event[key] = _redact_value(key, value)
    return event


def _redact_value(key: str, value: object) -> object:
    # `token_id` or `password_changed` of a plain type other than text say nothing secret.
    if isinstance(value, str):
        return REDACTED if _SECRET_KEY_NAMES.search(key) else redact_text(value)
    if isinstance(value, bytes):
        return REDACTED if _SECRET_KEY_NAMES.search(key) else redact_text(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {name: _redact_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(key, item) for item in value]
    return value


_SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
]


def configure_structlog() -> None:
    """Send structlog's events into the standard library's handlers, so that one chain formats everything."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logging_config(*, level: str, log_format: Literal["json", "console"]) -> dict[str, Any]:
    """Return Django's LOGGING: everything to standard error in one format, redacted."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED_PROCESSORS,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact,
                    renderer,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django attaches handlers of its own; ours is the only one.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            # Library chatter below a warning says nothing about this platform.
            "amqp": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "boto3": {"level": "WARNING"},
            "celery": {"level": "INFO" if level == "DEBUG" else level},
            # Two lines for each doorbell, whether it led to a job or not.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
        },
    }
