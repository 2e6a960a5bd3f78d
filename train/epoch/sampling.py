"""Which images an epoch shows, in which order and batches: a function of labels, seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fieldlens.train.config import TrainConfig

Indices = npt.NDArray[np.int64]

LEAST = 2
"""Images in a process's share of a batch: batch norm cannot train on a single one."""


def order_of(epoch: int, labels: Indices, config: TrainConfig, processes: int = 1) -> Iterator[Indices]:
    """Index batches of one epoch. A last batch that is too small for every process joins the batch before it."""
    generator = np.random.default_rng([config.seed, epoch])
    if config.sampling == "none":
        order = generator.permutation(len(labels))
    else:
        order = generator.permutation(_evened(labels, config.sampling, generator))
    yield from np.split(order, _cuts(len(order), config.batch_size, processes))


def epoch_size(labels: Indices, config: TrainConfig) -> int:
    """Images shown in an epoch."""
    if config.sampling == "undersample":
        counts = _counts(labels)
        return int(counts.min() * len(counts))
    return len(labels)


def steps_in(labels: Indices, config: TrainConfig, processes: int = 1) -> int:
    """Batches in an epoch."""
    return len(_cuts(epoch_size(labels, config), config.batch_size, processes)) + 1


def _counts(labels: Indices) -> Indices:
    """Of the classes that are there."""
    counts = np.bincount(labels)
    return counts[counts > 0]


def _evened(labels: Indices, sampling: str, generator: np.random.Generator) -> Indices:
    """As many of each class: ``undersample`` draws again what it leaves out, ``balanced`` keeps the epoch's length.

    Within a class every image is shown equally often, give or take one: less noise than drawing with replacement.
    """
    present = np.unique(labels)
    total = epoch_size(labels, TrainConfig(sampling=sampling))
    wanted = np.full(len(present), total // len(present))
    wanted[generator.permutation(len(present))[: total % len(present)]] += 1
    chosen = []
    for label, count in zip(present, wanted, strict=True):
        members = np.flatnonzero(labels == label)
        rounds = [generator.permutation(members) for _ in range(-(-int(count) // len(members)))]
        chosen.append(np.concatenate(rounds)[:count])
    return np.concatenate(chosen)


def _cuts(count: int, batch: int, processes: int) -> list[int]:
    cuts = list(range(batch, count, batch))
    if cuts and count - cuts[-1] < LEAST * processes:
        cuts.pop()
    return cuts
