"""What an evaluation says: every figure with all that is needed to know what it means.

A figure without its number of samples, split, feature network and floor compares with nothing, so each carries
them itself, also when it is cut out of the report.
"""

from typing import Literal

from pydantic import BaseModel, Field

FORMAT_VERSION = 1

Better = Literal["lower", "higher", "half", "one"]
"""Where the good end is: small, large, at 0.5, or at 1."""


class Record(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A part of a report: strict, and never NaN or infinite."""


class ExtractorRecord(Record):
    """The feature space. Figures of two extractors do not compare."""

    name: str
    sha256: str
    size: int
    resize: str
    reason: str


class SplitRecord(Record):
    """Which images were held out.

    Attributes:
        method: the rule.
        train: images on the training side; test: on the other.
        seen_in_training: whether the generator was trained on the test images too.
    """

    method: str
    holdout: float
    seed: int
    train: int
    test: int
    seen_in_training: bool | None


class Figure(Record):
    """One measured number.

    Attributes:
        name: stable.
        value: of the samples.
        floor: the same computed with real training images in the samples' place: what a perfect generator
            would get here. None where no real counterpart exists.
        better: where the good end is.
        uncertainty: one standard deviation by chance, where it is known.
        n: samples on each side.
        reference: what the samples were compared with.
        space: `<extractor> <first 12 of its SHA-256>`, or `pixels` for a classifier trained for this figure.
        resize: what was done to images before.
        seed: of every random choice.
    """

    name: str
    value: float
    floor: float | None
    better: Better
    uncertainty: float | None = None
    n: int = Field(ge=1)
    reference: str
    space: str
    resize: str
    quantisation: Literal["uint8"] = "uint8"
    split: str
    seed: int


class ClassRow(Record):
    """One class, by the classifier's word.

    Attributes:
        count: samples taken for it.
        expected: how many there would be if samples had the real images' classes.
        accuracy: share of samples asked for as this class that were taken for it.
        floor_accuracy: the classifier's share of right answers on real test images of this class.
    """

    name: str
    count: int
    expected: float
    accuracy: float | None
    floor_accuracy: float | None


class Skipped(Record):
    """Figures that could not be measured, and why."""

    figures: tuple[str, ...]
    reason: str


class EvaluationReport(Record):
    """All figures of one generator against one data set."""

    format: int = FORMAT_VERSION
    subject: dict[str, str | int | float | None]
    dataset: dict[str, str | int]
    n: int
    seed: int
    split: SplitRecord
    extractor: ExtractorRecord
    classifier: str | None
    figures: tuple[Figure, ...]
    classes: tuple[ClassRow, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]
    versions: dict[str, str]
    seconds: float

    def figure(self, name: str) -> Figure:
        """The figure of this name.

        Raises:
            KeyError: it was not measured.
        """
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)
