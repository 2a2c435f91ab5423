"""What a kind of job must provide. The kernel runs kinds; it knows no data set and no GAN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from aigc_platform.jobs.models import Artifact, Job

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class InputFile:
    """One stored object a runner reads.

    Attributes:
        name: file name inside the input folder.
        key: object key.
        sha256: hex digest it must have, or None if nobody has read the bytes yet (a fresh upload).
        size: in bytes, for the limit on the local cache.
    """

    name: str
    key: str
    sha256: str | None
    size: int


@dataclass(frozen=True)
class RunnerInput:
    """A named input: a folder of files, or with `single` the path of its one file."""

    name: str
    files: tuple[InputFile, ...]
    single: bool = False


@dataclass(frozen=True)
class RunnerJob:
    """Everything a runner needs beside the spec itself.

    Attributes:
        spec: what the runner gets; the job's spec, or that plus facts looked up now.
        inputs: files to fetch before the start.
        provenance: strings written into each output's metadata.
    """

    spec: JsonObject
    inputs: tuple[RunnerInput, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


class JobKind:
    """One kind of job. Subclass it in the app that owns the kind and `register` an instance in `ready()`."""

    name: ClassVar[str]
    queue: ClassVar[str]
    spec_type: ClassVar[type[BaseModel]]
    resource: ClassVar[str] = "jobs"
    """Collection of the API that shows this kind: `/api/v1/<resource>/<id>`."""
    resumable: ClassVar[bool] = False
    """Whether checkpoints make sense: pause, drain and recovery then go on from the last one."""
    max_group: ClassVar[int] = 1
    """How many queued jobs with one `group_key` may share a runner's work."""
    warm: ClassVar[bool] = False
    """Whether the runner waits for the next job of this kind with its libraries and inputs loaded."""
    uses_all_devices: ClassVar[bool] = False
    """Whether a job computes on all devices of its worker; others use the first."""
    is_tracked: ClassVar[bool] = False
    """Whether the operator's MLflow follows these jobs, if there is one."""
    memory_limit_bytes: ClassVar[int | None] = None
    """Address space for the jobs beyond the loaded libraries; None sets no limit."""
    runner: ClassVar[str | None] = None
    """Module with the runner's `create_handler`, for kinds that `workers.runner.kinds` does not name."""

    def prepare(self, job: "Job") -> RunnerJob:
        """Return what the runner needs. Called by the worker after the claim; read-only."""
        raise NotImplementedError

    def complete(self, job: "Job", artifacts: Sequence["Artifact"], result: JsonObject) -> JsonObject:
        """Make the success real in other tables and return the job's output.

        Runs inside the finishing transaction, after the artifact rows exist: it may write rows, not files.
        """
        raise NotImplementedError

    def less_memory(self, spec: JsonObject) -> JsonObject | None:  # noqa: ARG002 — for kinds that can
        """Return what a runner gets in place of `spec` after it ran out of memory, or None if nothing helps.

        The job then starts anew: checkpoints of the larger run do not fit.
        """
        return None

    def in_use(self, job: "Job") -> str | None:  # noqa: ARG002 — for kinds whose outputs others refer to
        """Say in a sentence what still needs the job's files, or None if they may be deleted."""
        return None

    def ended(self, job: "Job") -> None:
        """React to an end without success (failed, canceled, expired), in that transition's transaction."""


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    """Make a kind known to API, claim and finish. Registering a name twice is a programming error."""
    if kind.name in _kinds:
        raise ValueError(f"job kind {kind.name!r} is registered twice")
    _kinds[kind.name] = kind


def get_kind(name: str) -> JobKind:
    """Return the registered kind.

    Raises:
        KeyError: no app registered it.
    """
    return _kinds[name]


def kind_names() -> list[str]:
    return sorted(_kinds)


def queue_names() -> list[str]:
    """Return every queue that some registered kind waits in."""
    return sorted({kind.queue for kind in _kinds.values()})
