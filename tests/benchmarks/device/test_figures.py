"""The device's figures are the trainer's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fieldlens.benchmarks.device import figures
from fieldlens.train import metrics


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_accuracy_and_auc_are_the_trainers(classes: int) -> None:
    random = np.random.default_rng(classes)
    for _ in range(20):
        scores = random.integers(1, 6, (40, classes)).astype(np.float64)  # with ties
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        labels = random.integers(0, classes, 40)
        assert figures.accuracy(probabilities, labels) == metrics.accuracy(probabilities, labels)
        assert figures.auc(probabilities, labels) == pytest.approx(metrics.auc(probabilities, labels), abs=1e-12)


def test_one_side_alone_has_no_area() -> None:
    assert math.isnan(figures.auc(np.full((4, 2), 0.5), np.zeros(4, np.int64)))


def test_wilsons_interval_is_the_trainers() -> None:
    for n in (0, 1, 7, 300):
        for successes in {0, n // 2, n}:
            assert figures.wilson(successes, n) == pytest.approx(metrics.wilson(successes, n), abs=1e-12)
