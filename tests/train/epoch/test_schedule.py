from __future__ import annotations

import pytest
import torch

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.config import Config, StageConfig, TrainConfig
from fieldlens.train.epoch.schedule import (
    first_whole_stage,
    learning_rate,
    make_optimizer,
    plateau_drops,
    set_learning_rate,
    stages_of,
)


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


@pytest.mark.parametrize("schedule", ["cosine", "step", "plateau", "constant"])
def test_any_schedule_can_warm_up_first(schedule: str) -> None:
    found = rates(TrainConfig(epochs=6, lr=1.0, schedule=schedule, warmup_epochs=1.5, step_epochs=2))
    assert found[:15] == pytest.approx([(step + 1) / 15 for step in range(15)])
    plain = rates(TrainConfig(epochs=6, lr=1.0, schedule=schedule, step_epochs=2))
    assert found[15] == plain[0] == 1.0
    if schedule == "cosine":
        assert found[-1] < 0.01
    if schedule == "step":
        assert found[15 + 20] == pytest.approx(0.1)


def test_warm_up_longer_than_the_run_is_all_there_is() -> None:
    found = rates(TrainConfig(epochs=2, lr=1.0, schedule="cosine", warmup_epochs=4))
    assert found == pytest.approx([(step + 1) / 40 for step in range(20)])


def test_plateau_drops_are_those_of_torch() -> None:
    merits = [0.5, 0.6, 0.6, 0.59, 0.61, 0.61, 0.6, 0.58, 0.5, 0.4, 0.3, 0.7, 0.2]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.1, patience=2, threshold=0)
    ours, expected = [], []
    for epoch, merit in enumerate(merits, 1):
        theirs.step(merit)
        expected.append(optimizer.param_groups[0]["lr"])
        drops = plateau_drops([(merit, 0.0) for merit in merits[:epoch]], 3)  # torch's patience is how many it forgives
        ours.append(learning_rate(TrainConfig(lr=1.0, schedule="plateau"), 10 * epoch, 10, drops))
    assert ours == pytest.approx(expected)
    assert min(ours) < 0.05


def test_stages_are_configurations_of_their_own() -> None:
    stages = (StageConfig(2, 0.001, "head"), StageConfig(3, 0.0001, schedule="cosine"))
    config = TrainConfig(schedule="constant", stages=stages, seed=5)
    first, second = stages_of(config)
    assert config.epochs == 5
    assert (first.epochs, first.lr, first.freeze, first.schedule, first.seed) == (2, 0.001, "head", "constant", 5)
    assert (second.epochs, second.lr, second.freeze, second.schedule) == (3, 0.0001, "none", "cosine")
    assert stages_of(TrainConfig()) == (TrainConfig(),)


def test_shrunk_images_come_first_and_the_devices_size_last() -> None:
    rising = (StageConfig(2, shrink=4), StageConfig(2, shrink=2), StageConfig(1))
    config = TrainConfig(stages=rising)
    assert [stage.shrink for stage in stages_of(config)] == [4, 2, 1]
    assert first_whole_stage(config) == 3
    assert first_whole_stage(TrainConfig()) == 1
    for wrong in ((StageConfig(2, shrink=2),), (StageConfig(2), StageConfig(2, shrink=2))):
        with pytest.raises(ConfigError, match="shrink"):
            TrainConfig(stages=wrong)
    with pytest.raises(ConfigError, match="shrink"):
        Config(train=TrainConfig(shrink=2))
