"""How a worker starts: `celery -A workers.app worker --pool prefork --concurrency 1 -Q <queues>`.

Celery's parent process receives messages and signals; its one prefork child is the supervisor. The parent refuses
to start a worker whose configuration would break a promise.
"""

import sys
from typing import Any

import django
import structlog
from celery import signals
from django.conf import settings

from aigc_platform.celery import app

django.setup()

import workers.tasks  # noqa: E402, F401 — registers the tasks; models need Django to be set up
from workers import station  # noqa: E402
from workers.devices import NoDeviceError, check_devices  # noqa: E402

log = structlog.get_logger(__name__)

__all__ = ["app"]


class MisconfiguredWorkerError(Exception):
    """The worker would break a promise if it started like this."""


@signals.celeryd_after_setup.connect
def _check_and_prepare(instance: Any, conf: Any, **_arguments: Any) -> None:
    try:
        check_configuration(instance, conf)
        check_devices(station.lock_folder(), settings.WORKER_DEVICE, settings.WORKER_DEVICE_COUNT)
    except (MisconfiguredWorkerError, NoDeviceError) as error:
        sys.exit(f"This worker does not start: {error}")
    station.prepare(queues=sorted(instance.app.amqp.queues.consume_from))


def check_configuration(instance: Any, conf: Any) -> None:
    """Refuse settings under which jobs could run twice, block each other or be forged.

    Raises:
        MisconfiguredWorkerError: one sentence says what to change.
    """
    if instance.pool_cls.__module__ != "celery.concurrency.prefork":
        raise MisconfiguredWorkerError("use --pool prefork; other pools cannot be stopped safely.")
    if instance.concurrency != 1:
        raise MisconfiguredWorkerError(
            "use --concurrency 1; two jobs must not share the devices of a worker."
        )
    if conf.result_backend:
        raise MisconfiguredWorkerError("unset the result backend; PostgreSQL holds the results.")
    if set(conf.accept_content) != {"json"}:
        raise MisconfiguredWorkerError(
            "accept JSON messages only; pickle in a broker runs its sender's code."
        )
    if conf.task_acks_late:
        raise MisconfiguredWorkerError(
            "switch late acknowledgement off; leases recover jobs, not the broker."
        )


@signals.worker_shutting_down.connect
def _drain(**_arguments: Any) -> None:
    station.ask_to_drain()


@signals.worker_ready.connect
def _mind_the_child(sender: Any, **_arguments: Any) -> None:
    # Celery notices a dead child by an event that sometimes is late, else every 5 s.
    sender.hub.call_repeatedly(1.0, sender.pool.maintain_pool)


@signals.worker_process_init.connect
def _open(**_arguments: Any) -> None:
    station.open_in_child()


@signals.worker_process_shutdown.connect
def _close(**_arguments: Any) -> None:
    station.close_in_child()
