"""The model and its thread: images are prepared by whoever brings them, and answered one after the other by one thread.

A GPU's context belongs to the thread that made it, so this thread loads the model, too. In front of it is a queue with
an end: whoever finds it full hears when to come back. On a CPU with several cores, images that come together are given
a core each (backends/lanes.py), and this thread only says what the network's numbers mean; an image that comes alone
is given all cores, and has the shortest wait.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.model import Model
from fieldlens.runtime.pixels.drawing import small
from fieldlens.runtime.pixels.formats.dicom.address import is_dicom
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import Pixels, upright
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.sources.item import Encoded, Frame

_IDLE_S = 1.0
_FIRST_GUESS_S = 0.05
_LONGEST_SIDE = 4096


class BusyError(KitError):
    """The queue is full; ``retry_after_s`` says when it should have room."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("busy", f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class SeenImage:
    """An answer, what the network saw (uint8 RGB 480×480), and the whole upright image (JPEG) where it was asked for.

    Both are made from pixels: nothing of the file's metadata is in them.
    """

    prediction: Prediction
    view_rgb: Pixels
    image_jpeg: bytes | None


@dataclass(frozen=True)
class _Asked:
    prepared: Prepared
    future: Future[Prediction]


class ModelThread:
    """``load`` is called by the model's thread. ``waiting``: how many images may be under way; ``preparers``: how many
    of them may be decoded at the same time. Raises what ``load`` raises."""

    def __init__(self, load: Callable[[], Model], *, waiting: int = 16, preparers: int = 3) -> None:
        self._capacity = waiting
        self._lock = threading.Lock()
        self._under_way = 0
        self._mean_s = _FIRST_GUESS_S
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._preparers: queue.SimpleQueue[Preparer] = queue.SimpleQueue()
        self.fault: KitError | None = None
        """Why nothing can be answered any more, for one a golden image that is no longer answered as accepted."""
        loaded: Future[Model] = Future()
        self._thread = threading.Thread(target=self._own, args=(load, loaded), name="model", daemon=True)
        self._thread.start()
        self.model = loaded.result()
        for _ in range(preparers):
            self._preparers.put(self.model.classifier.preparer())

    @property
    def capacity(self) -> int:
        """Images that may be under way."""
        return self._capacity

    @property
    def under_way(self) -> int:
        """Images that are being decoded, answered, or wait for it."""
        return self._under_way

    def answer(self, image: Encoded | Frame, *, whole: bool = False) -> SeenImage:
        """Answer one image. ``whole``: also make a JPEG of it, at full size: the network may have been given a reduced
        decoding. Any thread; it waits.

        Raises BusyError, ImageError, AnswerError, GoldenCheckFailed, BackendError.
        """
        self._enter()
        began = time.monotonic()
        preparer = self._preparers.get()
        try:
            prepared = preparer(image)
            prediction = self._ask(self._beside_others(prepared))
            view = preparer.preprocess.view(prepared.pixels_rgb)
            in_colour = prepared.pixels.dtype == np.uint8 and prepared.pixels.shape[2:] == (3,)
            seen_rgb = prepared.pixels_rgb if in_colour else view  # grey levels are shown through their window
            image_jpeg = jpeg_of(_whole(seen_rgb, image), 92) if whole else None
            return SeenImage(prediction, small(view), image_jpeg)
        finally:
            self._preparers.put(preparer)
            self._leave(time.monotonic() - began)

    def check_open(self) -> None:
        """Raises BusyError where :meth:`answer` would."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        if self._under_way >= self._capacity:
            raise BusyError(max(1, math.ceil(self._under_way * self._mean_s)))

    def _enter(self) -> None:
        with self._lock:
            self._check()
            self._under_way += 1

    def _leave(self, seconds: float) -> None:
        with self._lock:
            self._under_way -= 1
            self._mean_s += 0.1 * (seconds - self._mean_s)

    def _ask(self, prepared: Prepared) -> Prediction:
        if self.fault is not None:
            raise self.fault
        future: Future[Prediction] = Future()
        self._asked.put(_Asked(prepared, future))
        return future.result()

    def _beside_others(self, prepared: Prepared) -> Prepared:
        """The image with what the network gave, where others are under way; else as it is, for the model's thread."""
        lanes = self.model.classifier.lanes
        if lanes is None or self._under_way < 2 or self.fault is not None:
            return prepared
        try:
            return replace(prepared, inferred=lanes.infer(prepared.image))
        except BackendError:  # the model's thread runs it: if that fails as well, nothing is answered any more
            return prepared

    # ---------------------------------------------------------------- the model's thread

    def _own(self, load: Callable[[], Model], loaded: Future[Model]) -> None:
        try:
            model = load()
        except BaseException as error:  # noqa: BLE001  (raised again where the engine is made)
            loaded.set_exception(error)
            return
        with model:
            with contextlib.suppress(KitError):  # without lanes one image comes after the other
                model.classifier.open_lanes()
            loaded.set_result(model)
            while (asked := self._next(model)) is not None:
                self._settle(model, asked)

    def _next(self, model: Model) -> _Asked | None:
        """The next image; golden images are answered again in quiet hours, too."""
        while True:
            try:
                return self._asked.get(timeout=_IDLE_S)
            except queue.Empty:
                try:
                    if self.fault is None:
                        model.classifier.check_if_due()
                except KitError as error:
                    self.fault = error

    def _settle(self, model: Model, asked: _Asked) -> None:
        try:
            if self.fault is not None:
                raise self.fault
            answered = model.classifier.answer(asked.prepared)
        except BackendError as error:  # GoldenCheckFailed is one
            self.fault = error
            asked.future.set_exception(error)
        except Exception as error:  # noqa: BLE001  (raised again by whoever waits; the thread must live on)
            asked.future.set_exception(error)
        else:
            asked.future.set_result(answered)

    def close(self) -> None:
        """End the thread once it has answered what it has."""
        self._asked.put(None)
        self._thread.join(2.0)


def _whole(pixels_rgb: Pixels, image: Encoded | Frame) -> Pixels:
    """The upright image, no side longer than LONGEST_SIDE; what the network was given where a JPEG has no other."""
    if isinstance(image, Encoded) and image.data[:2] == b"\xff\xd8" and not is_dicom(image.data):
        least = _LONGEST_SIDE // 2
        with contextlib.suppress(ValueError):
            decoded = simplejpeg.decode_jpeg(image.data, min_height=least, min_width=least)
            pixels_rgb = upright(decoded, read_header(image.data, image.source).orientation)
    while max(pixels_rgb.shape[:2]) > _LONGEST_SIDE:
        pixels_rgb = pixels_rgb[::2, ::2]
    return pixels_rgb


def jpeg_of(pixels_rgb: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Pixels, uint8 RGB ``[H,W,3]``, as JPEG."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels_rgb), quality, colorsubsampling="420"))
