"""Objectives by the name a config gives them."""

from ml.catalog import GanConfig
from ml.objectives.hinge import Hinge
from ml.objectives.least_squares import LeastSquares
from ml.objectives.non_saturating import NonSaturating
from ml.objectives.objective import Objective
from ml.objectives.relativistic import RelativisticPairing
from ml.objectives.saturating import Saturating
from ml.objectives.wasserstein import Wasserstein


def choose_objective(config: GanConfig) -> Objective:
    """The objective that the config names."""
    objectives: dict[str, type[Objective]] = {
        "non-saturating": NonSaturating,
        "saturating": Saturating,
        "least-squares": LeastSquares,
        "wasserstein": Wasserstein,
        "hinge": Hinge,
        "relativistic": RelativisticPairing,
    }
    return objectives[config.objective]()
