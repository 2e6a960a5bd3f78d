"""One network on several cores as several requests of one core each: every answer takes longer, and more are given.

A network that is spread over all cores waits for the slowest of them at every layer, and leaves all of them idle while
an image is decoded. Where many images are at hand, each core is better given an image of its own.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from fieldlens.runtime.backends.base import Backend, Image, Outputs
from fieldlens.runtime.backends.golden_check import GoldenImages
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError

_END_S = 1.0


class Inferred(NamedTuple):
    """What the network gave (memory of its own), when it ran (``time.perf_counter``, s), and what the backend measured
    of its own stages, in ms."""

    outputs: Outputs
    start: float
    end: float
    measured_ms: Mapping[str, float] = {}


class Lanes:
    """Requests of one network, each for one thread at a time. Any thread may ask; it waits for a free one."""

    def __init__(self, backends: tuple[Backend, ...]) -> None:
        self._all = backends
        self._free: queue.SimpleQueue[Backend] = queue.SimpleQueue()
        for backend in backends:
            self._free.put(backend)

    def __len__(self) -> int:
        return len(self._all)

    def infer(self, image: Image) -> Inferred:
        """Run the network on the next free core. Raises BackendError."""
        lane = self._free.get()
        try:
            start = time.perf_counter()
            outputs = lane.infer(image)
            end = time.perf_counter()
            return Inferred(Outputs(*(np.array(each) for each in outputs)), start, end, lane.measured_ms)
        finally:
            self._free.put(lane)

    def check(self, golden: GoldenImages) -> None:
        """Let each answer the golden images, once nobody uses any. Raises GoldenCheckFailed."""
        with self._idle() as lanes:
            for lane in lanes:
                golden.check(lane)

    def check_alike(self, golden: GoldenImages, backend: Backend) -> None:
        """Raises BackendError where one does not give what ``backend`` gives for the golden images, bit for bit."""
        with self._idle() as lanes:
            if not all(golden.alike(backend, lane) for lane in lanes):
                raise BackendError(
                    f"{backend.info.name} gives other bits on one core than on {backend.info.threads}",
                    "images are answered one after the other",
                )

    @contextlib.contextmanager
    def _idle(self) -> Iterator[list[Backend]]:
        """All of them, taken as they become free."""
        taken = [self._free.get() for _ in self._all]
        try:
            yield taken
        finally:
            for lane in taken:
                self._free.put(lane)

    def close(self) -> None:
        """Give everything back, but for a lane that hangs in its library. A second call does nothing."""
        end = time.monotonic() + _END_S
        taken: list[Backend] = []
        with contextlib.suppress(queue.Empty):
            while len(taken) < len(self._all):
                taken.append(self._free.get(timeout=max(end - time.monotonic(), 0.0)))
        for lane in taken:
            lane.close()
            self._free.put(lane)  # closed, so whoever still asks gets an error and does not wait for ever


def open_lanes(bundle: Bundle, backend: Backend, golden: GoldenImages | None) -> Lanes | None:
    """One lane for each of ``backend``'s threads, which have answered golden images as ``backend`` does, bit for bit.

    None where there is nothing to gain: one core, or a backend that has no lanes. Raises KitError.
    """
    if backend.info.threads < 2:
        return None
    lanes = Lanes(backend.lanes(bundle.model, backend.info.threads))
    if not len(lanes):
        return None
    try:
        if golden is not None:
            lanes.check_alike(golden, backend)
    except BaseException:
        lanes.close()
        raise
    return lanes
