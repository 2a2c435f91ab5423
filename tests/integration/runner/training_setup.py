"""Settings small enough that a run takes as long as its test wants it to."""

from typing import Any

TINY_CONFIG: dict[str, Any] = {
    "kimg": 0.064,
    "batch_size": 16,
    "latent_size": 8,
    "generator_widths": [16],
    "discriminator_widths": [16],
    "deterministic": True,
    "seed": 5,
}
"""Four steps."""

ENDLESS_CONFIG = TINY_CONFIG | {"kimg": 1_000_000.0, "grid_seconds": 0.0}
"""Trains until it is stopped."""


def training_spec(config: dict[str, Any], recipe: str = "mlp-gan") -> dict[str, Any]:
    return {"dataset": "0192", "recipe": recipe, "config": config, "model": "tiny"}
