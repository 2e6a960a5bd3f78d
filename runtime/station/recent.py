"""What the network saw of the last results, in memory only: the heat map of a result just given needs no kept image."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from fieldlens.runtime.pixels.preprocess import Pixels

MOST = 32
"""Of 0.7 MB each; a JPEG of each would cost every answer 2 ms, and few of them are looked at."""
FORGET_S = 900.0


class RecentViews:
    """Pixels (uint8 RGB) by result id: the newest MOST, each for FORGET_S. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: OrderedDict[str, tuple[float, Pixels]] = OrderedDict()

    def put(self, result_id: str, view_rgb: Pixels) -> None:
        """Keep one for a while."""
        with self._lock:
            self._views[result_id] = (time.monotonic(), view_rgb)
            self._tidy()

    def get(self, result_id: str) -> Pixels | None:
        """One that is still there."""
        with self._lock:
            self._tidy()
            found = self._views.get(result_id)
            return found[1] if found else None

    def _tidy(self) -> None:
        while self._views:
            at, _ = next(iter(self._views.values()))
            if len(self._views) <= MOST and time.monotonic() - at < FORGET_S:
                return
            self._views.popitem(last=False)
