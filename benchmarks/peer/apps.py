"""The benchmark's own app: one table, without a migration: Django makes it with the database."""

from django.apps import AppConfig


class PeerConfig(AppConfig):
    name = "benchmarks.peer"
    label = "peer"
