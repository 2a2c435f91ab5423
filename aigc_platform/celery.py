"""The Celery application: it carries doorbells from the engine to the workers, and nothing else.

A message names a queue, never a job; PostgreSQL knows the jobs. So every setting below prefers losing a message,
which costs a few seconds, to delivering one twice or to holding a worker up.
"""

from typing import Any

from celery import Celery, signals
from django.conf import settings
from django.db import close_old_connections
from kombu import Queue

from aigc_platform.settings.env import use_settings

QUEUE_NAMES = ("gpu.train", "gpu.sample", "cpu.io")

# The Django fixup that Celery installs below looks for the settings module in the environment.
use_settings("aigc_platform.settings.production")

app = Celery("aigc_platform")

app.conf.update(
    broker_url=settings.BROKER_URL,
    # A broker that was down at start, or for a night, is waited for.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        # A frozen broker must raise, or the relay would hang in it for ever.
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 3600,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
    },
    task_publish_retry_policy={
        "max_retries": 2,
        "interval_start": 0.1,
        "interval_step": 0.4,
        "interval_max": 0.5,
    },
    task_queues=[Queue(name, routing_key=name) for name in QUEUE_NAMES],
    task_default_queue="cpu.io",
    # The nameless exchange needs no bindings, so a broker that lost everything still finds the queues.
    task_default_exchange="",
    task_create_missing_queues=False,
    # Acknowledged before it runs: a job's recovery comes from its lease, and a redelivered message would run a
    # second task beside a living one.
    task_acks_late=False,
    task_reject_on_worker_lost=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # The next message goes to a free device, never to one that is busy for hours.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_concurrency=1,
    # A child asks for its device and looks for leftovers before it says that it is up.
    worker_proc_alive_timeout=60,
    task_ignore_result=True,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    # Nothing uses remote control, so nobody can reach a worker by it.
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    # Django's LOGGING stays in charge.
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    timezone="UTC",
    enable_utc=True,
)
# Celery closes the database connection around every task unless told how many tasks may share one;
# `_drop_dead_connections` below asks the better question.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000


@signals.setup_logging.connect
def _keep_logging(**_arguments: Any) -> None:
    """Having a receiver here is what tells Celery to leave logging alone."""


@signals.task_prerun.connect
def _drop_dead_connections(**_arguments: Any) -> None:
    """Check the kept connection before the next task uses it."""
    close_old_connections()
