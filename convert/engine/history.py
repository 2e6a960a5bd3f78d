"""What earlier builds on this device left: how long one took, and whether the last one was killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from fieldlens.runtime.backends.tensorrt.engine_record import Device, short_hash
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import kept

_BYTES = 4096


class BuildHistory:
    """Lies in ``root``, the folder of the engine store. To be used under the store's lock. Never fails a build: where
    the disk is full or a file is damaged, nothing is known."""

    def __init__(self, root: Path, device: Device) -> None:
        self._device = device.to_json()
        self._timing = root / "timing"
        self._mark = root / "building"

    def killed(self) -> str:
        """What was being built, and since when, if the last build ended without a word; empty if not. Says it once."""
        text = _text(self._mark, {"kind": "a build that has begun"})
        with contextlib.suppress(OSError):
            self._mark.unlink(missing_ok=True)
        return text

    @contextlib.contextmanager
    def building(self, what: str) -> Iterator[None]:
        """Mark that ``what`` is being built; only a kill or a power cut leaves the mark."""
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        with contextlib.suppress(OSError, KitError):
            kept.save(self._mark, {"kind": "a build that has begun"}, f"{what}, begun {since}".encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._mark.unlink(missing_ok=True)

    def seconds(self, what: str) -> float | None:
        """How long the last build of ``what`` took on this device, in s; None where none is known."""
        try:
            value = float(_text(self._path(what), self._identity(what)))
        except ValueError:
            return None
        return value if 0 <= value < 1e6 else None

    def took(self, what: str, seconds: float) -> None:
        """Remember it."""
        with contextlib.suppress(OSError, KitError):
            kept.save(self._path(what), self._identity(what), f"{seconds:.1f}".encode())

    def _path(self, what: str) -> Path:
        return self._timing / f"{short_hash(self._identity(what))}.seconds"

    def _identity(self, what: str) -> kept.Identity:
        return {"kind": "how long a build took", "device": self._device, "what": what}


def _text(path: Path, identity: kept.Identity) -> str:
    try:
        return (kept.load(path, identity, _BYTES) or b"").decode(errors="replace")
    except (KitError, OSError):
        return ""
