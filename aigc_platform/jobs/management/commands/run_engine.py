"""`manage.py run_engine`: relay and reaper. Start as many as you like; there is no leader."""

import signal
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand

from aigc_platform.celery import app
from aigc_platform.common.postgresql import expect_answers_within
from aigc_platform.jobs.engine import Engine

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Run the engine: send rings to the broker, take jobs from lost workers, mind deadlines."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 — Django's signature
        expect_answers_within(settings.DATABASE_ANSWER_SECONDS)
        engine = Engine(app)

        def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 — the handler's signature
            engine.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        log.info("engine_started")
        engine.run()
        log.info("engine_stopped")
