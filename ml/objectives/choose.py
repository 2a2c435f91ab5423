"""Objectives by the name a config gives them."""

from ml.catalog import RecipeConfig
from ml.objectives.non_saturating import NonSaturating
from ml.objectives.objective import Objective
from ml.objectives.saturating import Saturating


def choose_objective(config: RecipeConfig) -> Objective:
    """The objective that the config names."""
    return NonSaturating() if config.objective == "non-saturating" else Saturating()
