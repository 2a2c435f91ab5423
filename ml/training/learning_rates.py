"""The optimisers' step sizes at a point of the run."""

from ml.catalog import GanConfig, RecipeConfig
from ml.training.schedule import cosine_factor
from ml.training.state import TrainingState

ROLLBACK_FACTOR = 0.5
"""Every rollback halves the learning rates."""


def apply_learning_rates(state: TrainingState, config: RecipeConfig) -> None:
    """Set all learning rates by images seen and rollbacks so far."""
    factor = ROLLBACK_FACTOR**state.health.rollbacks
    if config.learning_rate_final < 1:
        factor *= cosine_factor(
            config.learning_rate_final, images_seen=state.images_seen, total_images=config.total_images
        )
    for player, (_, optimizer) in state.players().items():
        rate = config.learning_rate_generator
        if player == "discriminator" and isinstance(config, GanConfig):
            rate = config.learning_rate_discriminator
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
