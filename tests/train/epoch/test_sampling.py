from __future__ import annotations

import numpy as np
import pytest

from fieldlens.train.config import TrainConfig
from fieldlens.train.epoch.sampling import epoch_size, order_of, steps_in


def labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def shown(epoch: int, given: np.ndarray, config: TrainConfig) -> np.ndarray:
    return np.concatenate(list(order_of(epoch, given, config)))


@pytest.mark.parametrize(
    ("count", "processes", "sizes"),
    [
        (20, 1, [8, 8, 4]), (17, 1, [8, 9]), (8, 1, [8]), (16, 1, [8, 8]), (3, 1, [3]),
        (18, 2, [8, 10]), (19, 2, [8, 11]), (20, 2, [8, 8, 4]),
    ],
)  # fmt: skip
def test_every_image_once_and_no_batch_too_small_to_share(count: int, processes: int, sizes: list[int]) -> None:
    config = TrainConfig(batch_size=8)
    batches = list(order_of(0, labels(count), config, processes))
    assert [len(batch) for batch in batches] == sizes
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert steps_in(labels(count), config, processes) == len(sizes)


@pytest.mark.parametrize("sampling", ["none", "balanced", "undersample"])
def test_the_order_depends_on_seed_and_epoch_alone(sampling: str) -> None:
    def order(epoch: int, seed: int) -> list[int]:
        return list(shown(epoch, labels(30, 20), TrainConfig(seed=seed, sampling=sampling)))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0) != order(1, 1)


def test_balanced_shows_all_of_a_rare_class_equally_often() -> None:
    config, given = TrainConfig(sampling="balanced", batch_size=8), labels(70, 20, 11)
    chosen = shown(3, given, config)
    assert len(chosen) == epoch_size(given, config) == 101
    assert sorted(np.bincount(given[chosen])) == [33, 34, 34]
    times = np.bincount(chosen, minlength=101)
    assert set(times[:70]) == {0, 1}
    assert set(times[70:90]) == {1, 2}
    assert set(times[90:]) == {3, 4} or set(times[90:]) == {3}


def test_undersampling_is_one_to_one_and_draws_anew_each_epoch() -> None:
    config, given = TrainConfig(sampling="undersample", batch_size=8), labels(90, 10)
    epochs = [shown(number, given, config) for number in range(40)]
    assert all(len(np.unique(chosen)) == len(chosen) == epoch_size(given, config) == 20 for chosen in epochs)
    assert all(set(np.flatnonzero(given == 1)) <= set(chosen) for chosen in epochs)
    assert steps_in(given, config) == 3
    assert len(set(np.concatenate(epochs))) > 95
