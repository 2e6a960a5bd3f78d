from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fieldlens.train.epoch.ema import Ema


def test_the_average_follows_and_its_decay_warms_up() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average, expected = Ema(model, 0.5), 0.0
    nn.init.ones_(model.weight)
    for step in range(20):
        average.update(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + 1 - decay
    assert float(average.model.get_parameter("weight")) == pytest.approx(expected, rel=1e-6)
    assert not average.model.get_parameter("weight").requires_grad


def test_buffers_are_averaged_and_counters_copied_and_all_of_it_can_be_stored() -> None:
    norm = nn.BatchNorm1d(2)
    average = Ema(norm, 0.9)
    for seed in range(3):
        norm(torch.randn(8, 2, generator=torch.Generator().manual_seed(seed)) + 3)
        average.update(norm)
    assert int(average.model.get_buffer("num_batches_tracked")) == 3
    again = Ema(copy.deepcopy(norm), 0.9)
    again.load(average.state())
    assert again.updates == 3
    assert torch.equal(again.model.get_buffer("running_mean"), average.model.get_buffer("running_mean"))
    assert not torch.equal(average.model.get_buffer("running_mean"), norm.get_buffer("running_mean"))
    assert norm.training
    assert not average.model.training
