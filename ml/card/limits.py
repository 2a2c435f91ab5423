"""What a person must not expect of a generator, in sentences that follow from what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml.card.neighbours import COPY_RATIO
from ml.card.quick_look import QuickLook
from ml.metrics.report import EvaluationReport

FAR_FROM_FLOOR = 5
SHORT_OF_CLASS = 0.4
TOLD_APART = 0.8
SEEN_FEW_TIMES = 3


def limits(
    *,
    image: Mapping[str, int],
    learned_from: int,
    warnings: list[str],
    training: Mapping[str, Any],
    seen: QuickLook,
) -> list[str]:
    """Say what the generator cannot do and what nobody knows about it.

    Args:
        image: width, height and channels.
        learned_from: training images.
        warnings: of the data profile.
        training: how the run went, as the card has it.
        seen: figures and neighbours.
    """
    kind = "grey" if image["channels"] <= 2 else "colour"
    size = f"{image['width']}x{image['height']}"
    return [
        f"It makes {kind} images of {size} px like the {learned_from:,} it learned from, and no others.",
        *warnings,
        "Gaps and biases of those images are its own too.",
        *_of_the_run(learned_from, training),
        *_of_figures(seen),
        *_of_neighbours(seen),
        "Everything it makes is AI-made and labelled so in the file; keep the label when passing files on.",
    ]


def _of_the_run(learned_from: int, training: Mapping[str, Any]) -> Iterator[str]:
    passes = training["snapshot_images_seen"] / max(learned_from, 1)
    if passes < SEEN_FEW_TIMES:
        yield f"It saw each image {passes:.1f} times on average: a longer run is likely to be better."
    rollbacks = sum(found["action"] == "rollback" for found in training["interventions"])
    if rollbacks:
        times = "once" if rollbacks == 1 else f"{rollbacks} times"
        yield f"Training broke down and went back to its last good state {times}."
    if training["choices"].get("snapshot_chosen", {}).get("measured_on") == "held-out images":
        yield (
            "It was chosen among the run's snapshots by its kernel distance to held-out images, so that figure "
            "flatters it a little."
        )


def _of_figures(seen: QuickLook) -> Iterator[str]:
    report = seen.report
    if report is None:
        why = seen.skipped["message"] if seen.skipped else "nothing was measured."
        yield f"Its quality was not measured. {why}"
        return
    yield (
        f"Its figures come from {report.n:,} samples and as many held-out images; they tell versions apart that "
        "differ much, and not ones that differ little. Run an evaluation before deciding by them."
    )
    if report.split.seen_in_training:
        yield "It was trained on the held-out images too, so its figures may flatter it."
    yield from _of_values(report)


def _of_values(report: EvaluationReport) -> Iterator[str]:
    values = {figure.name: figure for figure in report.figures}
    distance = values["frechet_distance"]
    if distance.floor and distance.value > FAR_FROM_FLOOR * distance.floor:
        times = distance.value / distance.floor
        yield (
            f"Its samples are {times:.0f} times as far from real images as real images are from each other "
            "(Fréchet distance over its floor): expect to tell them apart by eye."
        )
    recall = values["recall"]
    if recall.floor and recall.value < recall.floor / 2:
        yield (
            f"It makes less than half of the variety: {recall.value:.0%} of real images have a like among its "
            f"samples, and {recall.floor:.0%} have one among as many real images."
        )
    short = [row.name for row in report.classes if row.count < SHORT_OF_CLASS * row.expected]
    if short:
        names = ", ".join(short[:5]) + (" and others" if len(short) > 5 else "")
        yield f"It makes too few of these classes: {names}."
    right = values.get("label_accuracy")
    if right is not None and right.value < TOLD_APART:
        yield f"Only {right.value:.0%} of its samples are taken for the class that was asked for."


def _of_neighbours(seen: QuickLook) -> Iterator[str]:
    found = seen.neighbours
    if found is None:
        yield "It was not checked whether samples repeat training images; do not treat them as anonymous data."
        return
    nearest = found.pairs[0].ratio
    among = "all" if found.searched == found.training_images else f"{found.searched:,} of the"
    looked = (
        f"{found.looked_at:,} samples were compared with {among} {found.training_images:,} training images"
    )
    if nearest is None:
        yield (
            f"{looked}; too few images are held out to say how near is too near. See the nearest pairs, and do not "
            "treat samples as anonymous data."
        )
    elif nearest < COPY_RATIO:
        yield (
            f"{looked}, and the nearest is a near copy ({nearest:.2f} of the distance at which fresh real images "
            "lie). It repeats training images: do not use it where they are private."
        )
    else:
        yield (
            f"{looked}; the nearest lies at {nearest:.2f} of the distance at which fresh real images lie. That is "
            "no proof that none is repeated: do not treat samples as anonymous data."
        )
