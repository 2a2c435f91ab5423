"""Which step a recipe takes."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ml.catalog import GanConfig, RecipeConfig, VaeConfig, VaeGanConfig
from ml.metrics.running import Statistics
from ml.objectives.choose import choose_objective
from ml.training.state import TrainingState
from ml.training.steps.gan import adversarial_step
from ml.training.steps.vae import vae_step
from ml.training.steps.vae_gan import vae_gan_step

Step = Callable[[TrainingState, Tensor, Tensor | None], Statistics]
"""(state, real images in [-1, 1], labels or None): changes the state and says how it went."""


def choose_step(config: RecipeConfig) -> Step:
    """The step of this config's kind of recipe, with its settings filled in."""
    if isinstance(config, VaeGanConfig):
        return partial(vae_gan_step, objective=choose_objective(config), config=config)
    if isinstance(config, GanConfig):
        return partial(adversarial_step, objective=choose_objective(config), config=config)
    if isinstance(config, VaeConfig):
        return partial(vae_step, config=config)
    raise TypeError(f"no step is known for {type(config).__name__}")
