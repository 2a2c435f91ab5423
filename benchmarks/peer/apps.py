"""The benchmark's own app: one table, made by the benchmark without a migration."""

from django.apps import AppConfig


class PeerConfig(AppConfig):
    name = "benchmarks.peer"
    label = "peer"
