"""Scores equal scikit-learn's."""

import pytest
import torch

from ml.metrics.scores import binary_scores, class_scores


def test_binary_scores_equal_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    rng = torch.Generator().manual_seed(0)
    said, truth = torch.rand(2, 200, generator=rng) > 0.4
    expected = [
        score(truth.numpy(), said.numpy())
        for score in (accuracy_score, precision_score, recall_score, f1_score)
    ]

    assert binary_scores(said, truth) == pytest.approx(expected)


def test_class_scores_equal_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = torch.Generator().manual_seed(0)
    said, truth = torch.randint(0, 5, (2, 300), generator=rng)
    said[:150] = truth[:150]

    found = class_scores(said, truth, 5)

    assert found.accuracy == pytest.approx(accuracy_score(truth, said))
    assert found.macro_f1 == pytest.approx(f1_score(truth, said, average="macro"))


def test_classes_that_nobody_names_do_not_count() -> None:
    truth = torch.tensor([0, 0, 1, 1])

    assert class_scores(truth, truth, 10) == (1.0, 1.0)


def test_never_saying_yes_scores_zero_and_not_nan() -> None:
    assert binary_scores(torch.zeros(4).bool(), torch.ones(4).bool()) == (0, 0, 0, 0)
