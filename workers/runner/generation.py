"""Job kind `generation`: many jobs share forward passes, and none can tell that it was not alone."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ml.sample import FORWARD_BATCH, SampleItem, Sampler
from workers.runner.channel import Channel
from workers.runner.generation_task import GenerationTask
from workers.runner.job import Job
from workers.runner.protocol import Start
from workers.runner.samplers import SamplerCache

_ROUND_IMAGES = 4 * FORWARD_BATCH
"""Images between two looks at the stop flags, and between two hand-overs to the encoder."""
_ROUNDS_AHEAD = 2
"""Rounds the forward passes may be ahead of the encoder: enough never to wait, little memory."""
_LEAN_ROUND_IMAGES = FORWARD_BATCH
"""One pass at a time is the least: a smaller pass could round differently, and a seed would mean other images."""

Share = tuple[GenerationTask, list[SampleItem]]
Images = list[NDArray[np.uint8]]
Made = tuple[GenerationTask, Images | Exception]


class GenerationHandler:
    """Warm: stays after its jobs, with the generators it has loaded."""

    def __init__(self, samplers: SamplerCache | None = None) -> None:
        self._samplers = SamplerCache() if samplers is None else samplers

    def run(self, start: Start, channel: Channel) -> None:
        """Bring all jobs to their ends; a job that cannot be done fails alone."""
        if any(item.spec.get("lean") for item in start.items):
            # Memory ran out before, perhaps because of what other jobs have left here.
            self._samplers.clear()
        tasks = []
        for job in [Job(item, channel) for item in start.items]:
            try:
                tasks.append(GenerationTask(job, self._samplers))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others go on
                job.fail(error)
        for sampler, group in _by_sampler(tasks):
            _run_group(sampler, group)


def create_handler() -> GenerationHandler:
    return GenerationHandler()


def _by_sampler(tasks: Iterable[GenerationTask]) -> list[tuple[Sampler, list[GenerationTask]]]:
    groups: dict[int, tuple[Sampler, list[GenerationTask]]] = {}
    for task in tasks:
        groups.setdefault(id(task.sampler), (task.sampler, []))[1].append(task)
    return list(groups.values())


def _run_group(sampler: Sampler, tasks: Sequence[GenerationTask]) -> None:
    """Make the images of all tasks, the smallest task first, encoding beside the forward passes."""
    waiting = sorted(tasks, key=lambda task: task.spec.count)
    is_lean = any(task.spec.lean for task in tasks)
    room, most_ahead = (_LEAN_ROUND_IMAGES, 0) if is_lean else (_ROUND_IMAGES, _ROUNDS_AHEAD)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder") as encoder:
        ahead: deque[Future[None]] = deque()
        while shares := _next_round(waiting, room):
            ahead.append(encoder.submit(_deliver, _make(sampler, shares), waiting))
            while len(ahead) > most_ahead:
                ahead.popleft().result()
        encoder.submit(_deliver, [], waiting).result()


def _next_round(tasks: Sequence[GenerationTask], room: int) -> list[Share]:
    """What to make next, `room` images at most: full passes as long as there is work, whoever it belongs to."""
    shares: list[Share] = []
    for task in tasks:
        if room > 0 and task.remaining > 0:
            items = task.plan(room)
            room -= len(items)
            shares.append((task, items))
    return shares


def _make(sampler: Sampler, shares: Sequence[Share]) -> list[Made]:
    """Make the images of a round. If the shared passes fail, each job tries alone, so only the guilty fail."""
    try:
        images = [image for _, image in sampler.sample([item for _, items in shares for item in items])]
    except Exception as error:  # noqa: BLE001 - told to the job it belongs to
        if len(shares) == 1:
            return [(shares[0][0], error)]
        return [made for share in shares for made in _make(sampler, [share])]
    made: list[Made] = []
    first = 0
    for task, items in shares:
        made.append((task, images[first : first + len(items)]))
        first += len(items)
    return made


def _deliver(made: Sequence[Made], tasks: Sequence[GenerationTask]) -> None:
    """Hand a round's images to their tasks; end those that are asked to stop or that fail."""
    for task in tasks:
        task.stop_if_asked()
    for task, images in made:
        if isinstance(images, Exception):
            task.fail(images)
        elif not task.has_ended:
            try:
                task.deliver(images)
            except Exception as error:  # noqa: BLE001 - a full disk or the like ends this job, not the others
                task.fail(error)
