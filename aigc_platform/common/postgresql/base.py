"""Django's PostgreSQL backend on `PatientConnection`."""

from types import ModuleType
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from aigc_platform.common.postgresql.patience import PatientConnection


class _PatientPsycopg(ModuleType):
    """The psycopg module as Django uses it, but for the class of its connections."""

    connect = PatientConnection.connect

    def __getattr__(self, name: str) -> Any:
        return getattr(psycopg, name)


class DatabaseWrapper(base.DatabaseWrapper):
    Database = _PatientPsycopg("psycopg")
