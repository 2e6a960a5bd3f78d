from __future__ import annotations

import pytest
import torch

from train.config import TrainConfig
from train.schedule import learning_rate, make_optimizer, set_learning_rate


def rates(config: TrainConfig, steps: int = 10) -> list[float]:
    return [learning_rate(config, step, steps) for step in range(config.epochs * steps)]


def test_one_cycle_is_torchs() -> None:
    config = TrainConfig(epochs=5, lr=0.01, warmup=0.3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=50, pct_start=0.3)
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(config) == pytest.approx(expected, rel=1e-6)


def test_step_drops_every_so_many_epochs() -> None:
    config = TrainConfig(epochs=15, lr=1.0, schedule="step", step_epochs=7, step_factor=0.1)
    per_epoch = rates(config)[::10]
    assert per_epoch == pytest.approx([1.0] * 7 + [0.1] * 7 + [0.01])


def test_cosine_falls_to_nothing_and_constant_stays() -> None:
    falling = rates(TrainConfig(epochs=4, lr=1.0, schedule="cosine"))
    assert falling[0] == 1.0
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.01
    assert set(rates(TrainConfig(epochs=4, lr=0.5, schedule="constant"))) == {0.5}


@pytest.mark.parametrize("epochs", [1, 2])
def test_short_runs_have_rates_too(epochs: int) -> None:
    assert all(0 <= rate <= 0.001 for rate in rates(TrainConfig(epochs=epochs), steps=1))


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_biases_and_norms_are_not_decayed(name: str, kind: type) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = make_optimizer(model, TrainConfig(optimizer=name, weight_decay=0.1))
    assert type(optimizer) is kind
    decayed, plain = optimizer.param_groups
    assert (len(decayed["params"]), decayed["weight_decay"]) == (1, 0.1)
    assert (len(plain["params"]), plain["weight_decay"]) == (3, 0.0)
    set_learning_rate(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}
