"""What a probe job is asked to do. Imported by the platform's side and by the runner: no Django, no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

WRITING_FAILPOINT = "checkpoint.writing"
"""Inside the runner of a real training, while it writes a training state."""

Misbehaviour = Literal[
    "",
    "segfault",
    "die",
    "exit silently",
    "raise",
    "out of memory",
    "eat memory",
    "fill the disk",
    "hang",
    "freeze",
    "be deaf",
    "close the pipe",
    "print garbage",
    "print an endless line",
    "say something unknown",
    "speak of another job",
    "name a file outside",
    "name a link",
    "name a missing file",
    "name a file twice",
    "stop unasked",
    "name a missing checkpoint",
]


class ProbeSpec(BaseModel):
    """Count to `steps`, `step_seconds` apart, hashing a chain; leave its end in `artifacts` files.

    Attributes:
        checkpoint_steps: steps between checkpoints; 0 writes none but the one a stop asks for.
        padding_bytes: size of each checkpoint's second file, so that uploads take a while.
        ledger: absolute path of a file to which every executed step appends a line.
        misbehaviour: what to do wrong at step `at_step`, in the first `bad_attempts` attempts.
    """

    model_config = ConfigDict(extra="forbid")

    steps: int = 20
    step_seconds: float = 0.05
    checkpoint_steps: int = 5
    padding_bytes: int = 10_000
    artifacts: int = 2
    seed: int = 0
    ledger: str = ""
    misbehaviour: Misbehaviour = ""
    at_step: int = 3
    bad_attempts: int = 1_000
