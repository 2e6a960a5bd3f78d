"""The live view: the annotated image in a window, in a browser, or both, drawn by a thread of its own.

Drawing costs more than answering, so it happens only while somebody watches, at most 15 times a second, and never in
the way of the next answer: an image that cannot be drawn in time is not drawn at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.machine.opencv_build import WINDOW_HINT, has_window
from fieldlens.runtime.pixels.drawing import card, small
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.view.server import LiveServer

_INTERVAL_S = 1 / 15
_END_S = 0.5
_TITLE = "Fieldlens"
_ESCAPE = 27
_Drawing = Callable[[], npt.NDArray[np.uint8]]


class LiveView:
    """A window (``window``), a stream (``port``, not None), or both. Raises KitError where there can be no window."""

    def __init__(self, classifier: Classifier, *, window: bool, port: int | None) -> None:
        if window and not has_window():
            raise KitError("--show: this OpenCV has no window, or there is no display", WINDOW_HINT)
        self.closed = False
        self._classifier = classifier
        self._window = window
        self._server = None if port is None else LiveServer(port)
        self._next_at = 0.0
        self._wake = threading.Condition()
        self._drawing: _Drawing | None = None
        self._drawn: npt.NDArray[np.uint8] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._draw_on, name="live view", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the stream is; empty without one."""
        return self._server.url if self._server else ""

    def picture(self, prediction: Prediction, prepared: Prepared, status: str) -> None:
        """Show an answer, if somebody watches and the one before is drawn."""
        now = time.monotonic()
        if self._watched() and now >= self._next_at and self._drawing is None:
            self._next_at = now + _INTERVAL_S
            view = self._small_view(prepared)
            self._hand_over(lambda: prediction.overlay(view, status))
        self._refresh()

    def notice(self, notice: Notice) -> None:
        """Show that there is no image. It takes the place of one that waits to be drawn."""
        self._hand_over(lambda: card(f"{notice.source}: {notice.message}"))
        self._refresh()

    def idle(self) -> None:
        """Keep the window alive."""
        self._refresh()

    def _watched(self) -> bool:
        return self._window or (self._server is not None and self._server.watched)

    def _small_view(self, prepared: Prepared) -> Pixels:
        """What the network saw, scaled down: a copy, because the frame's memory is about to be used again."""
        return small(self._classifier.preprocess.view(prepared.pixels_rgb))

    def _hand_over(self, drawing: _Drawing) -> None:
        with self._wake:
            self._drawing = drawing
            self._wake.notify()

    def _draw_on(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._drawing is not None)
                drawing = self._drawing
                if self._ended or drawing is None:
                    return
            image_rgb = drawing()
            if self._server is not None:
                jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(image_rgb), quality=80, colorsubsampling="420")
                self._server.publish(jpeg)
            with self._wake:
                self._drawn = image_rgb
                if self._drawing is drawing:
                    self._drawing = None

    def _refresh(self) -> None:
        """Windows belong to the main thread. ``q``, Escape or the window's own button end the run."""
        if not self._window:
            return
        with self._wake:
            image_rgb, self._drawn = self._drawn, None
        if image_rgb is not None:
            cv2.imshow(_TITLE, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
            key = cv2.waitKey(1) & 0xFF
            gone = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
            self.closed = self.closed or gone or key in (ord("q"), _ESCAPE)

    def close(self) -> None:
        """End the drawing, the stream and the window."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        self._thread.join(_END_S)
        if self._server is not None:
            self._server.close()
        if self._window:
            cv2.destroyAllWindows()

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
