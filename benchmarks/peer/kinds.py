"""A job that does nothing, in the form of a generation: warm, and as many of one model in a group."""

from aigc_platform.jobs.kinds import register
from aigc_platform.studio.kinds import GenerationKind
from tests.probe.kinds import GroupedProbeKind


class NoopKind(GroupedProbeKind):
    name = "probe.noop"
    max_group = GenerationKind.max_group


register(NoopKind())
