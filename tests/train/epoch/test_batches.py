from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldlens.train.config import TrainConfig
from fieldlens.train.data.cache import Tensors
from fieldlens.train.epoch.batches import AHEAD, Batch, batches
from fieldlens.train.epoch.sampling import order_of

CPU = torch.device("cpu")
CONFIG = TrainConfig(batch_size=4)


def one_process(whole: np.ndarray) -> np.ndarray:
    return whole


def of(data: Tensors, share: Callable[[np.ndarray], np.ndarray] = one_process) -> Iterator[Batch]:
    return batches(data, order_of(0, data.labels, CONFIG), share, CPU)


@pytest.fixture
def in_memory() -> Tensors:
    images = np.random.default_rng(0).integers(0, 256, (22, 8, 8, 3)).astype(np.uint8)
    return Tensors((), images, np.arange(22, dtype=np.int64) % 3)


@pytest.fixture
def in_a_file(in_memory: Tensors, tmp_path: Path) -> Tensors:
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, in_memory.images.shape)
    images[:] = in_memory.images
    return replace(in_memory, images=images)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_batches_are_the_same_from_memory_and_from_a_file(in_memory: Tensors, in_a_file: Tensors) -> None:
    pairs = list(zip(of(in_memory), of(in_a_file), strict=True))
    assert [len(one.whole) for one, _ in pairs] == [4, 4, 4, 4, 4, 2]
    for one, other in pairs:
        assert np.array_equal(one.whole, other.whole)
        assert torch.equal(one.images, torch.from_numpy(in_memory.images[one.chosen]))
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
    assert not readers()


def test_a_process_reads_its_share_only(in_a_file: Tensors) -> None:
    for batch in of(in_a_file, lambda whole: whole[1::2]):
        assert np.array_equal(batch.chosen, batch.whole[1::2])
        assert torch.equal(batch.images, torch.from_numpy(in_a_file.images[batch.chosen]))


def test_from_a_file_the_next_batches_are_read_meanwhile_and_no_more(in_a_file: Tensors) -> None:
    asked: list[np.ndarray] = []
    here, reader = threading.current_thread(), set()

    def share(whole: np.ndarray) -> np.ndarray:
        asked.append(whole)
        reader.add(threading.current_thread())
        return whole

    coming = of(in_a_file, share)
    for taken in range(1, 4):
        next(coming)
        assert taken <= len(asked) <= taken + AHEAD
    assert here not in reader
    coming.close()  # type: ignore[attr-defined]
    assert len(asked) <= 3 + AHEAD
    assert not readers()


def test_a_file_that_cannot_be_read_is_said_in_its_turn(in_a_file: Tensors) -> None:
    broken = OSError("disk")

    def share(whole: np.ndarray) -> np.ndarray:
        if len(whole) < 4:
            raise broken
        return whole

    coming = of(in_a_file, share)
    for _ in range(5):
        next(coming)
    with pytest.raises(OSError, match="disk"):
        next(coming)
    assert not readers()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_on_a_gpu_the_batches_are_the_same(in_memory: Tensors) -> None:
    cuda = torch.device("cuda")
    there = batches(in_memory, order_of(0, in_memory.labels, CONFIG), one_process, cuda)
    for one, other in zip(of(in_memory), there, strict=True):
        assert other.images.device.type == "cuda"
        assert torch.equal(one.images, other.images.cpu())
        assert torch.equal(one.targets, other.targets.cpu())
