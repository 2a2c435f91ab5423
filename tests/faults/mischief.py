"""Everything that a soak does to a running stack, one act each. An act returns how to undo it, if it has to be."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil
from django.db import InterfaceError, OperationalError, connection

from aigc_platform.jobs.exceptions import InvalidTransitionError, NotResumableError
from aigc_platform.jobs.models import Job
from aigc_platform.jobs.services import request_cancel, request_pause, resume_job
from aigc_platform.jobs.states import TERMINAL, JobStatus
from tests.faults.broker import Broker
from tests.faults.outages import STORE_OUTAGES
from tests.faults.proxy import PASS, Fault, Proxy
from tests.faults.stack import LEASE_SECONDS, FaultStack
from tests.processes import runner_of

DATABASE_ERRORS = (OperationalError, InterfaceError)

Undo = Callable[[], None]


class NothingToBreakError(Exception):
    """What the act is aimed at does not exist at the moment, or is broken already."""


@dataclass
class Mischief:
    """Breaks one stack. `dice` decides what and whom.

    Attributes:
        database, store: proxies that all engines and workers go through.
    """

    stack: FaultStack
    broker: Broker
    database: Proxy
    store: Proxy
    dice: random.Random

    def act(self) -> tuple[str, Undo | None]:
        """Do one thing at random that can be done now; return its name and how to end it."""
        acts = self._acts()
        while True:
            name = self.dice.choice(list(acts))
            with suppress(
                NothingToBreakError, psutil.NoSuchProcess, InvalidTransitionError, NotResumableError
            ):
                return name, acts[name]()

    def longest_seconds(self) -> float:
        """For how long a thing that ends may last: sometimes beyond a lease."""
        return LEASE_SECONDS * 1.6

    def _acts(self) -> dict[str, Callable[[], Undo | None]]:
        return {
            "kill runner": lambda: self._kill(self._runner()),
            "kill child": lambda: self._kill(self._child()),
            "kill parent": lambda: self._kill(self._parent()),
            "kill engine": lambda: self._kill(psutil.Process(self.dice.choice(self.stack.engines).pid)),
            "freeze runner": lambda: self._freeze(self._runner()),
            "freeze child": lambda: self._freeze(self._child()),
            "freeze parent": lambda: self._freeze(self._parent()),
            "restart worker": self._restart_worker,
            "flush broker": self._flush_broker,
            "kill broker": self._kill_broker,
            "freeze broker": self._freeze_broker,
            "end database sessions": self._end_sessions,
            "crash database": self._crash_database,
            "drop database traffic": lambda: self._break(self.database, Fault("drop")),
            "reset database connections": lambda: self._break(self.database, Fault("reset")),
            "lose commits' answers": lambda: self._break(self.database, Fault("cut", pattern=b"COMMIT")),
            "break store": lambda: self._break(self.store, self.dice.choice(list(STORE_OUTAGES.values()))),
            "lose writes' answers": lambda: self._break(self.store, Fault("cut", pattern=b"PUT /")),
            "cancel": lambda: self._wish(request_cancel, set(JobStatus) - TERMINAL),
            "pause": lambda: self._wish(request_pause, {JobStatus.QUEUED, JobStatus.RUNNING}),
            "resume": lambda: self._wish(resume_job, {JobStatus.PAUSED}),
        }

    def _parent(self) -> psutil.Process:
        if not self.stack.workers:
            raise NothingToBreakError
        return psutil.Process(self.dice.choice(self.stack.workers).pid)

    def _child(self) -> psutil.Process:
        children = self._parent().children()
        if not children:
            raise NothingToBreakError
        return children[0]

    def _runner(self) -> psutil.Process:
        parent = self._parent()
        worker = next(worker for worker in self.stack.workers if worker.pid == parent.pid)
        try:
            return runner_of(worker)
        except LookupError:
            raise NothingToBreakError from None

    @staticmethod
    def _kill(process: psutil.Process) -> None:
        process.kill()

    @staticmethod
    def _freeze(process: psutil.Process) -> Undo:
        process.suspend()

        def wake() -> None:
            with suppress(psutil.NoSuchProcess):
                process.resume()

        return wake

    def _restart_worker(self) -> None:
        """Drain one; whoever tends the stack starts another."""
        self._parent().terminate()

    def _flush_broker(self) -> None:
        if self.broker.is_broken:
            raise NothingToBreakError
        self.broker.client().flushall()

    def _kill_broker(self) -> Undo:
        if self.broker.is_broken:
            raise NothingToBreakError
        self.broker.kill()
        return self.broker.start_again_empty

    def _freeze_broker(self) -> Undo:
        if self.broker.is_broken:
            raise NothingToBreakError
        self.broker.freeze()
        return self.broker.thaw

    @staticmethod
    def _end_sessions() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )

    @staticmethod
    def _crash_database() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [[pid]] = cursor.fetchall()
        # The death of one session by a signal makes PostgreSQL end all others and recover from its log.
        os.kill(pid, signal.SIGKILL)
        connection.close()

    @staticmethod
    def _break(proxy: Proxy, fault: Fault) -> Undo:
        if proxy.is_broken:
            raise NothingToBreakError
        proxy.set(fault)

        def heal() -> None:
            # What was dropped will never be answered: whoever waits for it should know.
            proxy.set(Fault("reset"))
            proxy.set(PASS)

        return heal

    def _wish(self, wish: Callable[..., Job], statuses: set[JobStatus]) -> None:
        jobs = list(Job.objects.filter(status__in=statuses).order_by("pk"))
        if not jobs:
            raise NothingToBreakError
        wish(self.dice.choice(jobs).pk, actor="soak")
