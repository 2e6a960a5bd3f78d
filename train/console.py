"""The reporter of the host's command lines: lines on standard output, progress bars where a person looks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, TypeVar

from tqdm import tqdm

from fieldlens.runtime.terminal.beginning import loading
from fieldlens.runtime.terminal.reporter import Lines, Progress

T = TypeVar("T")


_COMPILER = "torch._dynamo.utils"


def load_torch() -> None:
    """Import torch and torchvision, and say so: under load, or from a cold disk, that takes a minute.

    torchvision's ``ops.roi_align`` imports torch's compiler for one function that only detectors call. The compiler
    takes longer to import than all of torch, so something stands in for it until somebody asks.
    """
    with loading("torch"):
        importlib.import_module("torch")
    if "torchvision" in sys.modules:
        return
    with loading("torchvision"):
        if _COMPILER in sys.modules:
            importlib.import_module("torchvision")
            return
        sys.modules[_COMPILER] = stand_in = _CompilerLater(_COMPILER)
        try:
            importlib.import_module("torchvision")
        finally:
            if sys.modules.get(_COMPILER) is stand_in:
                del sys.modules[_COMPILER]


class _CompilerLater(ModuleType):
    """Stands in for ``torch._dynamo.utils``; whatever is wanted beyond the one function loads the real module."""

    @staticmethod
    def is_compile_supported(device_type: str) -> Any:
        """As the real one, which is imported for it."""
        return importlib.import_module(_COMPILER).is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(importlib.import_module(_COMPILER), name)


class Console(Lines):
    """Bars go to standard error, and only where that is a terminal; lines are printed above them."""

    def say(self, text: str) -> None:
        """Print at once, above a bar."""
        with tqdm.external_write_mode():
            super().say(text)

    def each(self, items: Iterable[T], title: str, total: int, unit: str = "it") -> Iterable[T]:
        """The items, with a bar that is gone afterwards."""
        bar: Iterable[T] = tqdm(items, title, total, leave=False, disable=None, unit=unit)
        return bar

    def progress(self, title: str, total: int, done: int = 0, unit: str = "it") -> AbstractContextManager[Progress]:
        """A bar that stays."""
        bar: AbstractContextManager[Progress] = tqdm(
            total=total, initial=done, desc=title, unit=unit, disable=None, dynamic_ncols=True
        )
        return bar
