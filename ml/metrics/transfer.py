"""Train on synthetic, test on real: are the fakes good enough to teach a classifier?

Esteban et al. 2017, Real-valued (Medical) Time Series Generation with Recurrent Conditional GANs, section 4.2
(TSTR); Ravuri and Vinyals 2019, Classification Accuracy Score for Conditional Generative Models. The classifier
is a fresh one on pixels: features of a network that knows the real labels would give the answer away.
"""

from typing import NamedTuple

from torch import Tensor

from ml.features.classifier import ClassifierSpec, SmallClassifier, fit_classifier, network_px, predict
from ml.metrics.scores import ClassScores, class_scores

WIDTH = 16
IMAGES_SHOWN = 20_000
"""Budget of each training: fixed, so that figures of unlike n differ by the data alone."""


class LabelledImages(NamedTuple):
    """Images uint8 [N, C, H, W] and their classes, int64 [N]."""

    images: Tensor
    labels: Tensor


def fit_transfer_classifier(train: LabelledImages, *, class_count: int, seed: int) -> SmallClassifier:
    """Train the classifier of this figure, by the recipe of `ml.features.classifier` at half the width."""
    channels, height, width = train.images.shape[1:]
    spec = ClassifierSpec(network_px(max(height, width)), channels, class_count, WIDTH)
    return fit_classifier(train.images, train.labels, spec, images_shown=IMAGES_SHOWN, seed=seed)


def transfer_scores(classifier: SmallClassifier, test: LabelledImages) -> ClassScores:
    """Score a classifier on labelled images."""
    return class_scores(predict(classifier, test.images), test.labels, classifier.spec.classes)
