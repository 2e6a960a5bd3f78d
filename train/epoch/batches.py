"""An epoch's batches on the device. The next ones are read while the network learns from this one.

That matters where a batch takes time to come: from a file that did not fit into memory, or over the bus to a GPU, which
copies from pinned memory while it computes. Elsewhere a batch is a copy within memory, and is made when it is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fieldlens.train.data.cache import Tensors
from fieldlens.train.epoch.sampling import Indices

AHEAD = 2
"""Batches that wait, beside the one in use: the first of them can be late once without anybody waiting."""


@dataclass(frozen=True)
class Batch:
    """``whole``: indices of the step's images, over all processes; ``chosen``: this process's. ``images``: these, uint8
    ``[n,S,S,3]``, and ``targets``: int64 ``[n]`` or ``[n,L]``; both on the device."""

    whole: Indices
    chosen: Indices
    images: Tensor
    targets: Tensor


def batches(
    data: Tensors, order: Iterable[Indices], share: Callable[[Indices], Indices], device: torch.device
) -> Iterator[Batch]:
    """The epoch's batches in ``order``, the same ones whether they are read ahead or not."""
    pinned = device.type == "cuda"

    def read(whole: Indices) -> Batch:
        chosen = share(whole)
        images, targets = torch.from_numpy(data.images[chosen]), torch.from_numpy(data.labels[chosen])
        if pinned:
            images, targets = images.pin_memory(), targets.pin_memory()
        return Batch(whole, chosen, images.to(device, non_blocking=True), targets.to(device, non_blocking=True))

    if pinned or isinstance(data.images, np.memmap):
        return _read_ahead(read, order)
    return map(read, order)


def _read_ahead(read: Callable[[Indices], Batch], order: Iterable[Indices]) -> Iterator[Batch]:
    """By one thread: reading and copying release the GIL. What it raises is raised here, in its turn."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, "batches") as reader:
        try:
            for whole in order:
                waiting.append(reader.submit(read, whole))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
