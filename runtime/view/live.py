"""The live view: the annotated image in a window, in a browser, or both, drawn by a thread of its own.

Drawing costs more than answering, so it happens only while somebody watches, at most 15 times a second, and never in
the way of the next answer. The newest answer is never left out: one that cannot be drawn at once is kept until it can,
or until a newer one comes. What is shown when nothing comes: ``scene``.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.machine.opencv_build import WINDOW_HINT, has_window
from fieldlens.runtime.pixels.drawing import small
from fieldlens.runtime.prediction import Failure, Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.stopping import Stop, Stopper
from fieldlens.runtime.view.scene import NO_IMAGE, STALE_AFTER_S, Interruption, Scene, ShownAnswer, Situation, scene_at
from fieldlens.runtime.view.server import LiveServer

_INTERVAL_S = 1 / 15
_LOOK_S = 0.25
"""How long the drawing thread waits at most before it looks whether somebody still watches."""
_NEXT_S = 0.5
"""Who opens the page while a camera is running gets its next image, and no card before it, if it comes this soon."""
_END_S = 0.5
_KEYS_S = 0.05
"""How often the window's keys are asked for while there is nothing new: each question takes a millisecond."""
_CLOSED_S = 0.2
"""How often a view without news looks whether its window was closed."""
_TITLE = "Fieldlens"
_ESCAPE = 27


class LiveView:
    """A window (``window``), a stream (``port``, not None), or both. Raises KitError where there can be no window.

    ``stale_after_s``: how old a camera's image may be for its answer to be shown.
    """

    def __init__(
        self, classifier: Classifier, *, window: bool, port: int | None, stale_after_s: float = STALE_AFTER_S
    ) -> None:
        if window and not has_window():
            raise KitError("--show: this OpenCV has no window, or there is no display", WINDOW_HINT)
        self.closed = False
        self._classifier = classifier
        self._window = window
        self._stale_after_s = stale_after_s
        self._wake = threading.Condition()
        self._situation = Situation()
        self._drawn: npt.NDArray[np.uint8] | None = None
        self._ended = False
        self._bug: Exception | None = None
        self._opened = False
        self._keys_at = 0.0
        self._server = None if port is None else LiveServer(port, self._somebody_came)
        self._thread = threading.Thread(target=self._draw_on, name="live view", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the stream is; empty without one."""
        return self._server.url if self._server else ""

    def picture(self, prediction: Prediction, prepared: Prepared, status: str) -> None:
        """Show an answer. Without watchers a camera's is left out: it will be old when somebody comes."""
        captured_at = prepared.timing.captured_at
        at, live = (time.monotonic(), False) if captured_at is None else (captured_at, True)
        if self._watched() or not live:
            # A small copy, because the frame's memory is about to be used again.
            view = small(self._classifier.preprocess.view(prepared.pixels_rgb))
            self._change(Situation(ShownAnswer(prediction, view, status, at, live)))
        else:
            self._situation = Situation(skipped_at=at)
        self._refresh()

    def failure(self, failure: Failure) -> None:
        """Show that an input gave no answer, in place of the answer to the one before.

        A single bad frame between a camera's good ones is left out: its answer gives way by its age.
        """
        if not self._situation.live or self._situation.news is not None:
            self._report("Not classified", f"{failure.source}: {failure.reason}")
        self._refresh()

    def notice(self, notice: Notice) -> None:
        """Show news of the camera, in place of its last answer."""
        self._report(NO_IMAGE, f"{notice.source}: {notice.message}")
        self._refresh()

    def idle(self) -> None:
        """Keep the window alive."""
        self._refresh()

    def end(self) -> None:
        """Say from now on that the run has ended."""
        with self._wake:
            self._situation = replace(self._situation, ended=True)
            self._wake.notify_all()
        self._refresh()

    def _report(self, title: str, words: str) -> None:
        self._change(replace(self._situation, news=Interruption(title, words, time.monotonic())))

    def _change(self, situation: Situation) -> None:
        with self._wake:
            self._situation = situation
            self._wake.notify_all()

    def _somebody_came(self) -> None:
        with self._wake:
            self._wake.notify_all()

    def _watched(self) -> bool:
        return self._window or (self._server is not None and self._server.watched)

    # ---------------------------------------------------------------- the drawing thread

    def _draw_on(self) -> None:
        try:
            key: tuple[object, ...] | None = None
            while (scene := self._next_scene(key)) is not None:
                key = scene.key
                self._show(scene)
                time.sleep(0 if self._ended else _INTERVAL_S)
        except Exception as error:  # noqa: BLE001  (a bug of ours: the run's own thread raises it)
            self._bug = error

    def _next_scene(self, key: tuple[object, ...] | None) -> Scene | None:
        """Wait until there is something else to see, and somebody who looks; None at the end."""
        with self._wake:
            while True:
                now = time.monotonic()
                watched = self._watched()
                if not watched and self._server is not None:
                    key = None
                    self._server.forget()  # whoever comes next must not see what this one left behind
                scene = scene_at(now, self._situation, self._stale_after_s)
                if self._ended and (not watched or scene.key == key):
                    return None
                skipped_at = self._situation.skipped_at
                coming = skipped_at is not None and now - skipped_at < _NEXT_S and not self._ended
                if watched and scene.key != key and not coming:
                    return scene
                self._wake.wait(min(_LOOK_S, max(scene.changes_at - now, 0.001)) if watched else None)

    def _show(self, scene: Scene) -> None:
        image_rgb = scene.draw()
        marked_rgb = scene.marked(image_rgb)
        if self._server is not None:
            jpeg = _jpeg(image_rgb)
            self._server.publish(scene, jpeg, _jpeg(marked_rgb) if scene.mark else jpeg)
        with self._wake:
            self._drawn = marked_rgb

    # ---------------------------------------------------------------- the run's thread

    def _refresh(self) -> None:
        """Windows belong to the main thread. ``q``, Escape or the window's own button end the run."""
        if self._bug is not None:
            raise self._bug
        if not self._window:
            return
        with self._wake:
            image_rgb, self._drawn = self._drawn, None
        if image_rgb is not None:
            cv2.imshow(_TITLE, cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR))
            self._opened = True
        now = time.monotonic()
        if not self._opened or (image_rgb is None and now - self._keys_at < _KEYS_S):
            return
        self._keys_at = now
        key = cv2.waitKey(1) & 0xFF
        gone = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
        self.closed = self.closed or gone or key in (ord("q"), _ESCAPE)

    def close(self) -> None:
        """Show that the run has ended, and end the drawing, the stream and the window."""
        with self._wake:
            self._ended = True
            self._situation = replace(self._situation, ended=True)
            self._wake.notify_all()
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


def _jpeg(image_rgb: npt.NDArray[np.uint8]) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image_rgb), quality=80, colorsubsampling="420"))


def keep_showing(
    view: LiveView, seconds: float, stopper: Stopper, say: Callable[[str], None], beat: Callable[[], None]
) -> None:
    """Files are answered before anybody has opened the page: the last answer stays until somebody ends it."""
    view.end()
    until = "" if seconds < math.inf else "; Ctrl-C ends it"
    say(f"the live view keeps the last answer{f' at {view.url}' if view.url else ''}{until}")
    end = time.monotonic() + seconds
    with contextlib.suppress(Stop), stopper.waiting():
        while not view.closed and time.monotonic() < end:
            view.idle()
            beat()
            time.sleep(_CLOSED_S)
