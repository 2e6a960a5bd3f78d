"""What a device of the tests suffers from: a clock in 1970, a disk that fills up, a TensorRT that builds nothing.

Each start of Python on the device reads this first (by a ``sitecustomize`` beside the device's Python), and does what
the files in the folder of faults say. The kit's own code there is the one that was sent, unchanged.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

FIRST_LINES = """import sys
sys.path.append({repository!r})
from tests.convert.delivery.shims import apply
apply({faults!r})
"""
_STUB = '__version__ = "10.3.0"\n'


def install(folder: Path) -> None:
    """Into the folder beside the device's Python."""
    (folder / "faults").mkdir()
    (folder / "tensorrt-here").mkdir()
    (folder / "tensorrt-here/tensorrt.py").write_text(_STUB)
    repository = str(Path(__file__).resolve().parents[3])
    (folder / "sitecustomize.py").write_text(FIRST_LINES.format(repository=repository, faults=str(folder / "faults")))


@contextmanager
def fault(python: str, name: str, value: str = "") -> Iterator[None]:
    """The device suffers from it while the block runs: whatever starts then."""
    place = Path(python).parent / "faults" / name
    place.write_text(value)
    try:
        yield
    finally:
        place.unlink()


def apply(folder: str) -> None:
    """On the device."""
    for place in Path(folder).iterdir():
        _FAULTS[place.name](place.read_text())


def _clock(_: str) -> None:
    """Twelve seconds after the beginning of 1970, and it runs."""
    began = time.monotonic() - 12.0
    time.time = lambda: time.monotonic() - began
    time.time_ns = lambda: int(1e9 * time.time())


def _little_room(free_mb: str) -> None:
    """The disk has so much left."""
    usage = shutil.disk_usage

    def told(path: Any) -> Any:
        return usage(path)._replace(free=int(free_mb) * 1_000_000)

    shutil.disk_usage = told


def _full(place: str) -> None:
    """Nothing more can be written below a folder whose path holds ``place``."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and place in arguments[0]:
            flags = arguments[2]
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    sys.addaudithook(watch)


def _impatient(seconds: str) -> None:
    """It waits so long for a camera, not half a minute."""
    if "receive" in sys.orig_argv:
        from fieldlens.runtime.updating import service

        service.CAMERA_S = float(seconds)


def _tensorrt(build_fault: str) -> None:
    """A GPU and a TensorRT that says ``build_fault`` and gives up (the fakes, as everywhere in the tests)."""
    if "engine" not in sys.orig_argv:
        sys.path.append(os.environ["PYTHONPATH"].partition(":")[0] + "/tensorrt-here")
        return
    import fieldlens.runtime.backends.tensorrt.cuda as cuda
    from tests.fakes.gpu import World
    from tests.fakes.libcuda import FakeLibcuda
    from tests.fakes.pycuda import make_driver
    from tests.fakes.tensorrt import make_tensorrt

    world = World(build_fault=build_fault)
    package, driver = ModuleType("pycuda"), make_driver(world)
    package.driver = driver  # type: ignore[attr-defined]
    trt = make_tensorrt(world, "10.3.0")
    sys.modules.update({"pycuda": package, "pycuda.driver": driver, "tensorrt": trt})
    cuda.load_libcuda = lambda: FakeLibcuda(world)
    cuda._DRIVER_FILE = Path("/nonexistent")


_FAULTS = {
    "clock": _clock, "little-room": _little_room, "full": _full, "impatient": _impatient, "tensorrt": _tensorrt,
}  # fmt: skip
