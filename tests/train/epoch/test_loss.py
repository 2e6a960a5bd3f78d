from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from fieldlens.train.config import TrainConfig
from fieldlens.train.epoch.loss import Loss, make_loss

CPU = torch.device("cpu")
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.3, 0.1], [-1.0, 1.0, 4.0]])
TARGETS = torch.tensor([0, 1, 2])
FINDINGS = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]])


def test_balanced_weights_are_inverse_frequencies_with_mean_one() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    loss = make_loss(TrainConfig(class_weights="balanced"), labels, 2, CPU)
    plain = make_loss(TrainConfig(class_weights="none"), labels, 2, CPU)
    logits, targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    each = [float(plain(logits[i : i + 1], targets[i : i + 1])) for i in range(2)]
    weights = [40 / (2 * 30), 40 / (2 * 10)]
    expected = sum(w * e for w, e in zip(weights, each, strict=True)) / sum(weights)
    assert float(loss(logits, targets)) == pytest.approx(expected, rel=1e-6)


def test_sampling_that_balances_leaves_nothing_to_weigh() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    assert make_loss(TrainConfig(sampling="undersample"), labels, 2, CPU).weights is None
    assert make_loss(TrainConfig(), labels, 2, CPU).weights is not None


def test_focal_is_cross_entropy_at_gamma_zero_and_by_hand_above() -> None:
    weights = torch.tensor([1.0, 2.0, 0.5])
    flat = Loss("focal", weights, smoothing=0.1, gamma=0.0)
    expected = functional.cross_entropy(LOGITS, TARGETS, weights, label_smoothing=0.1)
    assert float(flat(LOGITS, TARGETS)) == pytest.approx(float(expected), rel=1e-6)
    one = Loss("focal", gamma=2.0)(torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([1]))
    assert float(one) == pytest.approx((1 - 0.75) ** 2 * -math.log(0.75), rel=1e-5)


def test_several_findings_are_torchs_and_torchvisions_own() -> None:
    labels = np.array([[1, 0, 0]] * 2 + [[0, 1, 0]] * 6 + [[0, 0, 0]] * 2)
    loss = make_loss(TrainConfig(label_smoothing=0.2), labels, 3, CPU)
    assert loss.kind == "bce"
    assert loss.weights is not None
    assert loss.weights.tolist() == pytest.approx([8 / 2, 4 / 6, 10])  # absent / present; never seen counts as once
    expected = functional.binary_cross_entropy_with_logits(LOGITS, FINDINGS * 0.8 + 0.1, pos_weight=loss.weights)
    assert float(loss(LOGITS, FINDINGS)) == pytest.approx(float(expected), rel=1e-6)
    theirs = sigmoid_focal_loss(LOGITS, FINDINGS.float(), alpha=-1, gamma=1.5, reduction="mean")
    assert float(Loss("focal", gamma=1.5)(LOGITS, FINDINGS)) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross-entropy", "focal", "bce"])
def test_shares_of_a_batch_weighed_by_their_mass_are_the_whole(kind: str) -> None:
    weights = torch.tensor([1.0, 2.0, 0.5])
    loss, targets = Loss(kind, weights, 0.1, 2.0), FINDINGS if kind == "bce" else TARGETS
    shares = [slice(0, 1), slice(1, 3)]
    parts = [loss(LOGITS[s], targets[s]) * loss.mass(targets[s]) / loss.mass(targets) for s in shares]
    assert float(parts[0] + parts[1]) == pytest.approx(float(loss(LOGITS, targets)), rel=1e-6)
