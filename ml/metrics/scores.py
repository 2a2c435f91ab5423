"""Accuracy, precision, recall and F1 of a classifier's answers (van Rijsbergen 1979)."""

from typing import NamedTuple

import torch
from torch import Tensor


class BinaryScores(NamedTuple):
    """Each in 0..1; 0 where nothing was, or was called, positive."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def binary_scores(said: Tensor, truth: Tensor) -> BinaryScores:
    """Score yes-or-no answers, bool [N], N at least 1, against the truth."""
    hits = int((said & truth).sum())
    precision, recall = _ratio(hits, int(said.sum())), _ratio(hits, int(truth.sum()))
    accuracy = _ratio(int((said == truth).sum()), len(truth))
    return BinaryScores(accuracy, precision, recall, _ratio(2 * precision * recall, precision + recall))


class ClassScores(NamedTuple):
    """Share of right answers, and F1 averaged over classes without weights; both in 0..1."""

    accuracy: float
    macro_f1: float


def class_scores(said: Tensor, truth: Tensor, class_count: int) -> ClassScores:
    """Score answers int64 [N] against the truth; classes that neither side names do not count."""
    present = [c for c in range(class_count) if bool(((said == c) | (truth == c)).any())]
    f1 = [binary_scores(said == c, truth == c).f1 for c in present]
    return ClassScores(float((said == truth).double().mean()), float(torch.tensor(f1).mean()))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
