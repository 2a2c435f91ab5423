"""Which number format the network passes use: measured once at the start of a run."""

import copy
import time

import torch
from torch import Tensor, nn

from ml.catalog import RecipeConfig
from ml.training.state import Precision, TrainingState

WARM_UP_PASSES = 1
TIMED_PASSES = 4
WORTHWHILE_SPEEDUP = 1.1
"""bf16 must be this much faster to be worth its shorter mantissa."""


def choose_precision(state: TrainingState, config: RecipeConfig, *, classes: int) -> Precision:
    """Return the config's precision, or for `auto` the faster one; the state is not changed.

    Processors without bf16 instructions emulate them at a fraction of fp32's speed, hence the measurement.
    Deterministic runs take fp32: what is faster may differ from one start to the next.
    """
    if config.precision != "auto":
        return config.precision
    if config.deterministic:
        return "fp32"
    if state.device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    reader = state.discriminator if state.discriminator is not None else state.encoder
    players = copy.deepcopy(state.generator), copy.deepcopy(reader)
    z = torch.zeros(config.batch_size, config.latent_size)
    labels = torch.zeros(config.batch_size, dtype=torch.int64) if classes else None
    seconds: dict[Precision, list[float]] = {"fp32": [], "bf16": []}
    # In turns, so that a disturbance from outside meets both.
    for _ in range(WARM_UP_PASSES + TIMED_PASSES):
        for precision, taken in seconds.items():
            taken.append(_cpu_seconds(*players, z, labels, precision))
    fp32, bf16 = (min(taken[WARM_UP_PASSES:]) for taken in seconds.values())
    return "bf16" if fp32 > WORTHWHILE_SPEEDUP * bf16 else "fp32"


def _cpu_seconds(
    generator: nn.Module, reader: nn.Module | None, z: Tensor, labels: Tensor | None, precision: Precision
) -> float:
    """Processor time of one forward and backward pass through both networks.

    Processor time rather than the wall's: on a shared machine the wall clock times the neighbours.
    """
    started = time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        images = generator(z, labels)
        read = images if reader is None else reader(images, labels)
    torch.autograd.backward(read.float().mean())
    return time.process_time() - started
