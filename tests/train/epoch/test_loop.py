from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldlens.runtime.pixels.steps import Resize
from fieldlens.train.config import AugmentConfig, DataConfig, TrainConfig
from fieldlens.train.data.cache import Tensors, load_tensors
from fieldlens.train.data.load import load_data
from fieldlens.train.epoch.augment import Augment
from fieldlens.train.epoch.ema import Ema
from fieldlens.train.epoch.loop import Trainer, pick_device, predict, prepared
from fieldlens.train.epoch.loss import Loss, make_loss
from fieldlens.train.epoch.sampling import steps_in
from fieldlens.train.errors import FitError
from fieldlens.train.model import build_model

CPU = torch.device("cpu")


@pytest.fixture
def tensors(table_data: Path) -> Tensors:
    data = load_data(table_data, DataConfig())
    return load_tensors(data, data.samples, (Resize(32),), "test")


def trainer(config: TrainConfig, loss: Loss, augment: AugmentConfig | None = None) -> Trainer:
    torch.manual_seed(0)
    return Trainer(build_model("resnet18", 2), loss, Augment(augment or AugmentConfig()), config)


def test_an_epoch_learns_and_repeats_itself(tensors: Tensors) -> None:
    config = TrainConfig(batch_size=8, schedule="constant")
    loss = make_loss(config, tensors.labels, 2, CPU)
    results = []
    for _ in range(2):
        subject = trainer(config, loss, AugmentConfig(rotate_degrees=5))
        calls: list[float] = []
        results.append([subject.epoch(number, tensors, calls.append) for number in range(2)])
        assert len(calls) == 2 * steps_in(tensors.labels, config)
    assert results[0] == results[1]
    assert results[0][1].loss < results[0][0].loss


class Broken(Loss):
    """As of a network that has diverged."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return logits.sum() * math.nan


def test_a_loss_that_is_not_finite_names_its_images_and_leaves_the_weights_alone(tensors: Tensors) -> None:
    subject = trainer(TrainConfig(batch_size=8), Broken("cross-entropy"))
    before = subject.model.get_parameter("fc.weight").clone()
    with pytest.raises(FitError, match=r"the loss became nan in epoch 1, step 1, on images/"):
        subject.epoch(0, tensors, lambda _: None)
    assert torch.equal(subject.model.get_parameter("fc.weight"), before)


def test_an_epoch_in_bf16_with_clipping_and_averaged_weights_learns(tensors: Tensors) -> None:
    config = TrainConfig(batch_size=8, schedule="constant", precision="bf16", clip_norm=1.0, ema=0.9)
    torch.manual_seed(0)
    model = build_model("resnet18", 2)
    average = Ema(model, config.ema)
    loss = make_loss(config, tensors.labels, 2, CPU)
    subject = Trainer(model, loss, Augment(AugmentConfig()), config, ema=average)
    first, second = (subject.epoch(number, tensors, lambda _: None) for number in range(2))
    assert second.loss < first.loss
    assert average.updates == 2 * steps_in(tensors.labels, config)
    assert model.get_parameter("conv1.weight").dtype == torch.float32


def test_clipping_bounds_the_step(tensors: Tensors) -> None:
    """Plain SGD moves by rate x gradient, so one step of a clipped gradient is no longer than rate x bound."""
    config = TrainConfig(
        batch_size=60, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=1.0, schedule="constant", clip_norm=1e-3
    )
    subject = trainer(config, make_loss(config, tensors.labels, 2, CPU))
    before = [parameter.detach().clone() for parameter in subject.model.parameters()]
    subject.epoch(0, tensors, lambda _: None)
    moved = [now.detach() - old for now, old in zip(subject.model.parameters(), before, strict=True)]
    assert float(torch.cat([step.ravel() for step in moved]).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_several_findings_an_image(tensors: Tensors) -> None:
    findings = replace(tensors, labels=np.stack([tensors.labels, 1 - tensors.labels], axis=1))
    config = TrainConfig(batch_size=8, schedule="constant")
    subject = trainer(config, make_loss(config, findings.labels, 2, CPU))
    first, second = (subject.epoch(number, findings, lambda _: None) for number in range(2))
    assert second.loss < first.loss
    assert 0.5 < second.accuracy <= 1


def test_a_frozen_network_keeps_its_weights_and_statistics(tensors: Tensors) -> None:
    config = TrainConfig(batch_size=8, freeze="head")
    subject = trainer(config, make_loss(config, tensors.labels, 2, CPU))
    before = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    subject.epoch(0, tensors, lambda _: None)
    changed = {name for name, tensor in subject.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


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


def test_a_shrunk_image_is_the_mean_of_blocks() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    whole, half = prepared(images), prepared(images, 2)
    assert half.shape == (2, 3, 4, 4)
    assert half.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(half[0, :, 0, 0], whole[0, :, :2, :2].mean((1, 2)), atol=1e-6)
