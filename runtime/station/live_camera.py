"""The camera beside the page: its newest frame for whoever asks, never an old one, and nobody can hold it up.

A page asks for frames one by one, so a slow browser only gets fewer of them. A frame that is older than FRESH_S is not
shown any more: what is on the screen is of the patient who is there now, the rule of the live view.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from fieldlens.runtime.bundle.quality_limits import Limits
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.prediction import Finding
from fieldlens.runtime.prepare import Preparer
from fieldlens.runtime.quality.measures import judge
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.camera import Camera
from fieldlens.runtime.sources.cameras.link import Link
from fieldlens.runtime.sources.cameras.open_link import open_link
from fieldlens.runtime.sources.item import Encoded, Frame, News

FRESH_S = 1.0
_LEAST_S = 1 / 30
_HINT_S = 0.4
_TICK_S = 0.25
_RATE_OVER = 30
_AGAIN_S = 5.0
_PREVIEW_SIDE = 960
_SOURCE = "camera"


@dataclass(frozen=True)
class LiveFrame:
    """One frame, its memory its own. ``captured_at`` is monotonic, in s. ``hints``: what the quality gate would say of
    it; judged a few times a second, so they may be of the frame just before."""

    number: int
    captured_at: float
    image: Encoded | Frame
    hints: tuple[Finding, ...] = ()

    @property
    def age_s(self) -> float:
        """Since it was captured."""
        return time.monotonic() - self.captured_at

    def jpeg(self) -> bytes:
        """For the preview; a camera's own JPEG goes on as it came."""
        if isinstance(self.image, Encoded):
            return self.image.data
        frame_bgr = self.image.frame_bgr
        scale = min(1.0, _PREVIEW_SIDE / max(frame_bgr.shape[:2]))
        scaled = cv2.resize(frame_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(scaled), 80, "BGR", "420"))


@dataclass(frozen=True)
class CameraState:
    """``state``: ``opening``, ``live``, ``stalled`` (no fresh frame) or ``lost`` (the message says why)."""

    name: str
    state: str
    message: str
    age_s: float | None
    frames_per_s: float
    dropped: int


class LiveCamera:
    """Opens the camera at once and for ever again, by a thread of its own. ``preparer`` and ``limits``: for hints."""

    def __init__(
        self, address: Address, preparer: Preparer, limits: Limits | None,
        opener: Callable[[Address], Link] = open_link,
    ) -> None:  # fmt: skip
        self._address, self._preparer, self._limits, self._opener = address, preparer, limits, opener
        self._changed = threading.Condition()
        self._frame: LiveFrame | None = None
        self._message, self._lost = "opening the camera", False
        self._times: deque[float] = deque(maxlen=_RATE_OVER)
        self._hints: tuple[Finding, ...] = ()
        self._hinted_at = 0.0
        self._number = 0
        self._dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="live camera", daemon=True)
        self._thread.start()

    def newest(self, after: int = 0, timeout_s: float = 0.0, since: float = 0.0) -> LiveFrame | None:
        """The newest fresh frame with a number above ``after``, captured at ``since`` (monotonic, s) or later; waits
        for one ``timeout_s``. None: there is none."""

        def there() -> bool:
            return self._fresh(after, since) is not None

        with self._changed:
            self._changed.wait_for(there, timeout_s)
            return self._fresh(after, since)

    def _fresh(self, after: int, since: float) -> LiveFrame | None:
        frame = self._frame
        if frame is None or frame.number <= after or frame.captured_at < since or frame.age_s > FRESH_S:
            return None
        return frame

    @property
    def state(self) -> CameraState:
        """How it is now."""
        with self._changed:
            frame, times, message = self._frame, list(self._times), self._message
        age_s = None if frame is None else frame.age_s
        if self._lost:
            state = "lost"
        elif frame is None:
            state = "opening"
        else:
            state = "live" if frame.age_s <= FRESH_S else "stalled"
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
        rate = rate if state == "live" else 0.0
        return CameraState(self._address.name, state, message, age_s, rate, self._dropped)

    def close(self) -> None:
        """End the thread and the camera."""
        self._ended.set()
        self._thread.join(2.0)

    # ---------------------------------------------------------------- the camera's thread

    def _live(self) -> None:
        while not self._ended.is_set():
            try:
                with Camera(self._address, self._opener) as camera:
                    self._say("", lost=False)
                    self._take_from(camera)
            except KitError as error:
                self._say(error.message, lost=True)
                self._ended.wait(_AGAIN_S)

    def _take_from(self, camera: Camera) -> None:
        next_at = 0.0
        while not self._ended.is_set():
            got = camera.take(_TICK_S)
            self._dropped = camera.log.dropped
            if isinstance(got, News):
                self._say(got.notice.message, lost=got.notice.event == "lost")
            elif got is not None and time.monotonic() >= next_at:
                next_at = time.monotonic() + _LEAST_S
                self._publish(got)

    def _say(self, message: str, *, lost: bool) -> None:
        with self._changed:
            self._message, self._lost = message, lost
            if lost:
                self._frame = None
            self._changed.notify_all()

    def _publish(self, taken: Encoded | Frame) -> None:
        timing = taken.timing
        captured_at = time.monotonic() if timing.captured_at is None else timing.captured_at
        if time.monotonic() - self._hinted_at >= _HINT_S:
            self._hinted_at = time.monotonic()
            try:
                self._hints = self._judged(taken)
            except KitError:
                taken.refuse()
                return
        if isinstance(taken, Encoded):
            image: Encoded | Frame = Encoded(_SOURCE, taken.data, timing)
        else:
            image = Frame(_SOURCE, taken.frame_bgr.copy(), timing)
        with self._changed:
            self._number += 1
            self._frame = LiveFrame(self._number, captured_at, image, self._hints)
            self._lost, self._message = False, ""
            self._times.append(captured_at)
            self._changed.notify_all()

    def _judged(self, image: Encoded | Frame) -> tuple[Finding, ...]:
        measures = self._preparer(image).measures
        return () if measures is None or self._limits is None else judge(measures, self._limits)
