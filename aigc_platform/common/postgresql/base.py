"""Django's PostgreSQL backend on `PatientConnection`."""

from types import ModuleType
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from aigc_platform.common.postgresql.patience import PatientConnection, patience_seconds


class _PatientPsycopg(ModuleType):
    """The psycopg module as Django uses it, but for the class of its connections."""

    connect = PatientConnection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class DatabaseWrapper(base.DatabaseWrapper):
    Database = _PatientPsycopg("psycopg")

    def init_connection_state(self) -> None:
        """Ask the server for the same patience with us as we have with it.

        A process that is stopped, or whose machine is gone, in the middle of a transaction holds its locks for as long
        as the server believes in it: for ever, or for the two hours of a TCP keep-alive. Nobody could take its job.
        """
        super().init_connection_state()
        seconds = patience_seconds()
        if seconds is not None and self.connection is not None:
            limit = f"{int(seconds * 1000)}ms"
            self.connection.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [limit]
            )
