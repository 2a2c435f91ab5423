"""Registers every admin class of the platform; Django looks for a module of this name."""

from aigc_platform.console import datasets, jobs, people, registry, tokens, webhooks, workers

__all__ = ["datasets", "jobs", "people", "registry", "tokens", "webhooks", "workers"]
