import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.runner.conftest import Line, job_item
from workers.runner.failures import JobError
from workers.runner.job import Job, json_object, only_job
from workers.runner.protocol import ArtifactReady, Event, ExitStatus, Failed, Finished, Progress, Start


def test_progress_keeps_finite_figures_only(job: Job, line: Line) -> None:
    """JSON has no NaN, and the supervisor refuses a message with a null among its figures."""
    metrics = {"loss": math.nan, "norm": math.inf, "rate": 2.0}
    job.progress(3, 9, "images", rate=math.inf, eta_seconds=math.nan, metrics=metrics)
    heard = line.heard()
    assert isinstance(heard, Progress)
    assert (heard.current, heard.total, heard.rate, heard.eta_seconds) == (3, 9, None, None)
    assert heard.metrics == {"rate": 2.0}


def test_progress_in_quick_succession_is_held_back_and_the_last_is_sent_at_the_end(
    job: Job, line: Line
) -> None:
    for current in range(100):
        job.progress(current, 100, "images")
    job.progress(50, 100, "images", at_once=True)
    job.progress(100, 100, "images")
    job.stay_visible()
    job.finish({})
    heard = [line.heard() for _ in range(4)]
    assert [message.current for message in heard if isinstance(message, Progress)] == [0, 50, 100]
    assert isinstance(heard[-1], Finished)


def test_a_job_has_one_end(job: Job, line: Line) -> None:
    assert job.fail(MemoryError()) == ExitStatus.INFRASTRUCTURE_ERROR
    job.stop(checkpointed=True)
    job.finish({})
    job.event("after", {})
    assert isinstance(line.heard(), Failed)
    assert isinstance(line.heard(), Event)


@pytest.mark.parametrize(("checkpointed", "status"), [(True, ExitStatus.YIELDED), (False, ExitStatus.DONE)])
def test_how_a_stop_ends_the_runner(checkpointed: bool, status: ExitStatus, job: Job) -> None:
    assert job.stop(checkpointed=checkpointed) == status


def test_artifacts_are_named_relative_to_the_workspace(job: Job, line: Line) -> None:
    job.artifact("snapshot", job.folder("run") / "weights.safetensors", index=2, preview=True)
    heard = line.heard()
    assert isinstance(heard, ArtifactReady)
    assert heard.path == "run/weights.safetensors"
    assert (heard.media_type, heard.filename) == ("application/vnd.safetensors", "weights.safetensors")
    assert (heard.index, heard.preview) == (2, True)


def test_an_artifact_outside_the_workspace_is_a_bug(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="subpath"):
        job.artifact("grid", tmp_path.parent / "grid.png")


def test_a_missing_input_is_named(job: Job) -> None:
    with pytest.raises(JobError, match="'dataset'"):
        job.input_path("dataset")


def test_jobs_of_a_kind_that_runs_alone_do_not_come_in_groups(line: Line) -> None:
    start = Start(items=[job_item("a", "/a"), job_item("b", "/b")])
    assert only_job(start, line.channel).id == "a"
    heard = line.heard()
    assert isinstance(heard, Failed)
    assert (heard.job_id, heard.code) == ("b", "runner.not_a_group")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": {"b": math.nan, 3: [math.inf, 1.5]}}, {"a": {"b": None, "3": [None, 1.5]}}),
        ({"path": Path("/x"), "none": None, "yes": True}, {"path": "/x", "none": None, "yes": True}),
    ],
)
def test_json_object_is_plain_json(given: dict[str, Any], plain: dict[str, Any]) -> None:
    assert json_object(given) == plain
