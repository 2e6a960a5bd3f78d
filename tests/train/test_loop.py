from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.steps import Resize
from train.augment import Augment
from train.config import AugmentConfig, DataConfig, TrainConfig
from train.data import load_data
from train.dataset import Tensors, load_tensors
from train.errors import FitError
from train.loop import Loss, Trainer, make_loss, order_of, pick_device, predict, steps_in
from train.model import build_model
from train.schedule import make_optimizer

CPU = torch.device("cpu")


@pytest.fixture
def tensors(table_data: Path) -> Tensors:
    data = load_data(table_data, DataConfig())
    return load_tensors(data, data.samples, (Resize(32),), "test")


def trainer(config: TrainConfig, loss: Loss, augment: AugmentConfig | None = None) -> Trainer:
    torch.manual_seed(0)
    model = build_model("resnet18", 2)
    return Trainer(model, make_optimizer(model, config), loss, Augment(augment or AugmentConfig()), config)


@pytest.mark.parametrize(("count", "sizes"), [(20, [8, 8, 4]), (17, [8, 9]), (8, [8]), (16, [8, 8]), (3, [3])])
def test_every_picture_once_and_never_a_batch_of_one(count: int, sizes: list[int]) -> None:
    config = TrainConfig(batch_size=8)
    batches = list(order_of(0, count, config))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert steps_in(count, config) == len(sizes)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(epoch: int, seed: int) -> list[int]:
        return [int(i) for batch in order_of(epoch, 50, TrainConfig(seed=seed)) for i in batch]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0) != order(1, 1)


def test_an_epoch_learns_and_repeats_itself(tensors: Tensors) -> None:
    config = TrainConfig(batch_size=8, schedule="constant")
    loss = make_loss(config, tensors.labels, 2, CPU)
    results = []
    for _ in range(2):
        subject = trainer(config, loss, AugmentConfig(rotate_degrees=5))
        calls: list[float] = []
        results.append([subject.epoch(number, tensors, calls.append) for number in range(2)])
        assert len(calls) == 2 * steps_in(60, config)
    assert results[0] == results[1]
    assert results[0][1].loss < results[0][0].loss


def test_a_loss_that_is_not_finite_names_its_pictures(tensors: Tensors) -> None:
    config = TrainConfig(batch_size=8)
    subject = trainer(config, lambda logits, _: logits.sum() * math.nan)
    with pytest.raises(FitError, match=r"the loss became nan in epoch 1, step 1, on images/"):
        subject.epoch(0, tensors, lambda _: None)


def test_balanced_weights_are_inverse_frequencies_with_mean_one() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    loss = make_loss(TrainConfig(class_weights="balanced"), labels, 2, CPU)
    plain = make_loss(TrainConfig(class_weights="none"), labels, 2, CPU)
    logits, targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    each = [float(plain(logits[i : i + 1], targets[i : i + 1])) for i in range(2)]
    weights = [40 / (2 * 30), 40 / (2 * 10)]
    expected = sum(w * e for w, e in zip(weights, each, strict=True)) / sum(weights)
    assert float(loss(logits, targets)) == pytest.approx(expected, rel=1e-6)


def test_predict_is_in_evaluation_mode_and_leaves_the_mode_alone(tensors: Tensors) -> None:
    model = build_model("resnet18", 2, dropout=0.5).train()
    whole, parts = predict(model, tensors.images, 60), predict(model, tensors.images, 7)
    assert model.training
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, parts, atol=1e-4)


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    with pytest.raises(FitError, match="no CUDA GPU"):
        pick_device("cuda")
