"""Two kinds of job that count instead of training: `probe` keeps checkpoints, `probe.group` shares a runner."""

from collections.abc import Sequence

from aigc_platform.jobs.kinds import JobKind, JsonObject, RunnerJob, register
from aigc_platform.jobs.models import Artifact, Job
from tests.probe.spec import ProbeSpec

_RUNNER = "tests.probe.runner"


class ProbeKind(JobKind):
    name = "probe"
    queue = "cpu.io"
    spec_type = ProbeSpec
    resumable = True
    runner = _RUNNER

    def prepare(self, job: Job) -> RunnerJob:
        return RunnerJob(spec=job.spec)

    def complete(self, job: Job, artifacts: Sequence[Artifact], result: JsonObject) -> JsonObject:
        if len(artifacts) != job.spec["artifacts"]:
            raise ValueError(f"asked for {job.spec['artifacts']} files, got {len(artifacts)}")
        return {"state": result["state"], "files": len(artifacts)}


class GroupedProbeKind(ProbeKind):
    name = "probe.group"
    queue = "gpu.sample"
    resumable = False
    warm = True
    max_group = 4


class ConfinedProbeKind(ProbeKind):
    """May use little memory beyond what its libraries take."""

    name = "probe.confined"
    resumable = False
    memory_limit_bytes = 64 * 1024**2


register(ProbeKind())
register(GroupedProbeKind())
register(ConfinedProbeKind())
