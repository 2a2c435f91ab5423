"""What supervisor and runner say to each other: one JSON object a line, over the runner's stdin and stdout.

The runner has no database, broker or store credentials. It reads files from its workspace, writes files into
it and says so; the supervisor hashes and uploads them. Nothing the runner says can choose a key, a host or a
path outside the workspace. End of file on stdin means the supervisor is gone: the runner ends at once.

Both sides import this module, so it loads neither Django nor torch.
"""

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 1 << 20
"""A longer line is a protocol error: the supervisor kills the runner instead of buffering without end."""


class ExitStatus(IntEnum):
    """How a runner ends by itself. Where it named its jobs' ends before, those messages say more."""

    DONE = 0
    """Finished, aborted as asked, or told to exit."""
    USER_ERROR = 64
    """The job cannot be done as it is specified: trying again would fail again."""
    INFRASTRUCTURE_ERROR = 69
    """The machine, the supervisor or the runner's own code failed: trying again may help."""
    YIELDED = 75
    """Checkpointed as asked, so that the job can go on elsewhere."""


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobItem(Message):
    """One job to run. Sampling starts several at once (they share forward passes); other kinds one.

    Attributes:
        job_id: names the job in every message about it.
        attempt: number of this run of the job, from 1; for logs and provenance.
        workspace: absolute folder for this job's files; artifact and checkpoint paths are relative to it.
        spec: the job's immutable spec, as the job kind defines it.
        inputs: name of an input → absolute path of a read-only file or folder.
        resume: absolute folder of the checkpoint to go on from, if any.
        provenance: what to write into provenance metadata (platform, model version, …).
    """

    job_id: str
    attempt: int
    workspace: str
    spec: dict[str, JsonValue]
    inputs: dict[str, str] = Field(default_factory=dict)
    resume: str | None = None
    provenance: dict[str, str] = Field(default_factory=dict)


# Supervisor → runner


class Start(Message):
    """Run these jobs.

    Attributes:
        processes: the runner and its peers; kinds that can share their work out do so to as many at most.
        tracking_uri: of the MLflow server that follows them, for kinds that know how; may hold a password.
    """

    type: Literal["start"] = "start"
    protocol: int = PROTOCOL_VERSION
    items: list[JobItem]
    checkpoint_seconds: float = 120.0
    processes: int = Field(default=1, ge=1)
    tracking_uri: str | None = Field(default=None, repr=False)


class Stop(Message):
    """Stop one job (or all, if `job_id` is None): `checkpoint` keeps the work so far, `abort` does not."""

    type: Literal["stop"] = "stop"
    mode: Literal["checkpoint", "abort"]
    job_id: str | None = None


class CheckpointDone(Message):
    """The checkpoint at `step` was committed, or given up; its folder is gone and the next may be written."""

    type: Literal["checkpoint_done"] = "checkpoint_done"
    job_id: str
    step: int
    committed: bool


class Exit(Message):
    """No more work: end with exit status 0."""

    type: Literal["exit"] = "exit"


# Runner → supervisor


class Ready(Message):
    """The runner has loaded its libraries and waits for `start`."""

    type: Literal["ready"] = "ready"
    protocol: int = PROTOCOL_VERSION
    pid: int
    device: str
    threads: int
    versions: dict[str, str] = Field(default_factory=dict)


class Progress(Message):
    """Sent at most about once a second per job; also the sign that work is alive."""

    type: Literal["progress"] = "progress"
    job_id: str
    current: float
    total: float | None
    unit: str
    rate: float | None = None
    eta_seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class Event(Message):
    """Something a person should find in the job's event log (`training.collapse_warning`, …)."""

    type: Literal["event"] = "event"
    job_id: str
    event: str = Field(max_length=100)
    data: dict[str, JsonValue] = Field(default_factory=dict)


class CheckpointReady(Message):
    """A whole training state lies in `folder`; no further one is written before `checkpoint_done`.

    Attributes:
        folder: path relative to the workspace.
        step: images seen; rises within an attempt.
        is_best: whether it is the best so far by the recipe's own figure.
        stall_ms: how long training stood still to write it.
    """

    type: Literal["checkpoint"] = "checkpoint"
    job_id: str
    folder: str
    step: int
    is_best: bool = False
    stall_ms: float = 0.0


class ArtifactReady(Message):
    """A whole output file lies at `path` (relative to the workspace) and will not change.

    Attributes:
        role: image, archive, grid, preview, snapshot, metrics, card, log, data, manifest.
        index: distinguishes files of one role, from 0; (role, index) is unique within a job.
        preview: visible at once, while the job runs; all others become visible when the job succeeds.
    """

    type: Literal["artifact"] = "artifact"
    job_id: str
    role: str = Field(pattern=r"^[a-z_]{1,30}$")
    index: int = Field(ge=0)
    path: str
    media_type: str
    filename: str = Field(max_length=200)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    preview: bool = False


class Finished(Message):
    """The job is done and all its artifacts have been named. `result` goes to the job kind's completion."""

    type: Literal["finished"] = "finished"
    job_id: str
    result: dict[str, JsonValue] = Field(default_factory=dict)


class Stopped(Message):
    """The job ended because of `stop`. `checkpointed`: its last state was sent as a checkpoint before."""

    type: Literal["stopped"] = "stopped"
    job_id: str
    checkpointed: bool


class Problem(Message):
    """One thing wrong: `pointer` is a JSON pointer into the spec or a file name in the archive."""

    pointer: str
    code: str
    message: str


class Failed(Message):
    """The job cannot be done. `reason` is the status reason and decides whether it is tried again."""

    type: Literal["failed"] = "failed"
    job_id: str
    reason: Literal[
        "invalid_input", "non_finite_loss", "out_of_memory", "storage_error", "worker_lost", "code_error"
    ]
    code: str
    message: str
    errors: list[Problem] = Field(default_factory=list, max_length=100)


ToRunner = Annotated[Start | Stop | CheckpointDone | Exit, Field(discriminator="type")]
FromRunner = Annotated[
    Ready | Progress | Event | CheckpointReady | ArtifactReady | Finished | Stopped | Failed,
    Field(discriminator="type"),
]

to_runner: TypeAdapter[Start | Stop | CheckpointDone | Exit] = TypeAdapter(ToRunner)
from_runner: TypeAdapter[
    Ready | Progress | Event | CheckpointReady | ArtifactReady | Finished | Stopped | Failed
] = TypeAdapter(FromRunner)


def encode(message: Message) -> bytes:
    """Return the message as one line of JSON, newline included."""
    return message.model_dump_json().encode() + b"\n"
