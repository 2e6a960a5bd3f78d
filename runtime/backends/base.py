"""The seam between the classifier and an inference library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""The graph's input: uint8 ``[N,H,W,3]``, RGB."""


class Outputs(NamedTuple):
    """The graph's outputs. Backends may reuse the memory: valid until the next ``infer``."""

    logits: npt.NDArray[np.float32]
    """float32 ``[N,C]``"""
    cam: npt.NDArray[np.float32]
    """float32 ``[N,C,h,w]``"""
    features: npt.NDArray[np.float32]
    """float32 ``[N,F]``"""


@dataclass(frozen=True)
class BackendInfo:
    """What the loaded model says of itself. ``precision`` is what runs, not what was asked for."""

    name: str
    version: str
    device: str
    precision: str
    threads: int
    notes: tuple[str, ...] = ()
    file: str = ""
    """The model file whose tolerance binds what runs; empty: the precision's own."""


@dataclass(frozen=True)
class LoadOptions:
    """``threads`` 0: one per physical core this process may use. ``cache``: folder for compiled models, or None.
    ``state``: this device's state folder, where TensorRT's engines lie, or None.

    TensorRT's: ``cuda_graph``, and ``memory``: ``copies`` or ``zero-copy``; ``auto`` measures where there is a choice.
    The fake backend's: ``delay_ms``, slept for every image.
    """

    threads: int = 0
    cache: Path | None = None
    state: Path | None = None
    cuda_graph: bool = True
    memory: Literal["auto", "copies", "zero-copy"] = "auto"
    delay_ms: float = 0.0


class Backend(ABC):
    """A loaded model. Made by a ``load`` function; used by one thread at a time; closed at the end of a ``with``."""

    info: BackendInfo
    measured_ms: Mapping[str, float] = {}
    """What the last ``infer`` measured inside itself, in ms: any of ``host_to_device``, ``device_to_host`` and
    ``enqueue`` (the CPU's time to hand the work to the device). Empty where there is nothing to copy, or to tell."""

    @abstractmethod
    def infer(self, image: Image) -> Outputs:
        """Run the network. Passing the same array again lets a backend keep it bound. Raises BackendError."""

    def lanes(self, read: Callable[[str], bytes], count: int) -> tuple[Backend, ...]:
        """``count`` requests of the same network, each for a thread of its own on one core, so that more images are
        answered together than by this one; empty where the library has no such thing. ``read``: a model file's bytes
        by the name of its precision (``int8-cpu``). Raises KitError."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Give everything back. A second call does nothing."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
