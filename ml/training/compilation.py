"""Compiling the networks of a run with torch.compile, where that pays.

On a GPU small networks wait for kernels to be launched, and a compiled network launches a few fused ones. On
processors it does not pay: plain convolutions are as fast, and compiling takes tens of seconds. torch.compile
cannot differentiate twice (a gradient penalty does), so a penalised discriminator is left as it is.
"""

from ml.catalog import GanConfig, RecipeConfig
from ml.regularizers.lazy import penalties_of
from ml.training.state import TrainingState


def compile_networks(state: TrainingState, config: RecipeConfig, *, wanted: bool | None = None) -> list[str]:
    """Compile what can be compiled, in place: names of parameters, and so checkpoints, stay as they are.

    Args:
        state: after its number format was chosen, before the first step.
        config: settings of the run; deterministic runs are never compiled, because a compiler may
            choose other kernels on another day.
        wanted: None compiles on GPUs only.

    Returns:
        Names of the players that were compiled.
    """
    if wanted is None:
        wanted = state.device.type == "cuda"
    if not wanted or config.deterministic:
        return []
    state.generator.compile()
    compiled = ["generator"]
    if state.encoder is not None:
        state.encoder.compile()
        compiled.append("encoder")
    is_penalised = isinstance(config, GanConfig) and bool(penalties_of(config))
    if state.discriminator is not None and not is_penalised:
        # The steps call `score`, which is not what `compile` replaces; its work is in the features.
        state.discriminator.features.compile()
        compiled.append("discriminator")
    return compiled
