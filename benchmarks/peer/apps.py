"""The benchmark's own app: one table, without a migration: Django makes it with the database."""

from django.apps import AppConfig


class PeerConfig(AppConfig):
    name = "benchmarks.peer"
    label = "peer"

    def ready(self) -> None:
        """Register the kind of job that does nothing."""
        import benchmarks.peer.kinds  # noqa: F401 - registers it; models are loaded now
