"""The one way from a bundle to answers: the command line, the benchmarks and your own Python all come through here.

from fieldlens import load

with load("NAME.bundle") as model:
    print(model("image.jpg"))
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.backends import golden_check
from fieldlens.runtime.backends.base import BackendInfo, LoadOptions
from fieldlens.runtime.backends.names import BACKENDS, PRECISIONS
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import ConfigError, ImageError
from fieldlens.runtime.fields import nearest
from fieldlens.runtime.files.private_names import PrivateNames, kept_in
from fieldlens.runtime.machine.host import own_state_folder
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.drawing import small
from fieldlens.runtime.prediction import Failure, Notice, Prediction
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.quality.camera_limits import device_limits
from fieldlens.runtime.running.ready import Plan, Ready, answer_ready, lanes_for, ready_items
from fieldlens.runtime.site.record import localised
from fieldlens.runtime.sources.dicom import DicomSource
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, Encoded, File, Frame, Item, News, loaded

PathLike = str | os.PathLike[str]
"""A path, as a string or an object."""
_COLOURS = ("rgb", "bgr")


class Model:
    """A bundle on a backend that has proved itself on this machine. Made by :func:`load`.

    One thread at a time: calls from several wait for each other (a GPU's model belongs to the thread that loaded it).
    Closes at the end of a ``with``, by :meth:`close`, or when it is no longer used.
    """

    def __init__(
        self,
        classifier: Classifier,
        reasons: tuple[str, ...],
        private: PrivateNames | None = None,
        site: tuple[str, ...] = (),
    ) -> None:
        """``classifier`` is the model's own from now on; ``reasons``: why its backend and precision were chosen;
        ``private``: how names of DICOM files are written that carry a patient; ``site``: what must be said of this
        clinic's own threshold."""
        self.site = site
        self.classifier = classifier
        self.private = private or PrivateNames()
        self.reasons = reasons
        self._lock = threading.RLock()
        self._open = True

    @property
    def bundle(self) -> Bundle:
        """What was loaded: name, version, classes, decision (``bundle.manifest``)."""
        return self.classifier.bundle

    @property
    def info(self) -> BackendInfo:
        """Backend, version, device, and the precision that really runs."""
        return self.classifier.backend.info

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything worth knowing about how it runs: the reasons of the choice, then the backend's own notes."""
        return (*self.site, *self.reasons, *self.info.notes)

    def __call__(
        self, image: PathLike | bytes | npt.NDArray[np.uint8], *, colour: str = "rgb", keep_image: bool = True
    ) -> Prediction:
        """Answer one image.

        ``image``: the path of a file, an encoded file's bytes, or pixels uint8 ``[H,W,3]`` (``colour``: their order,
        ``"rgb"`` or ``"bgr"`` as OpenCV has it) or ``[H,W]`` grey. ``keep_image`` keeps what the network saw (0.7 MB)
        for :meth:`Prediction.overlay`. Raises KitError: ImageError (not a whole image), SourceError (no such file),
        AnswerError (no finite answer), GoldenCheckFailed (the backend is at fault).
        """
        with self._lock:
            self._check_open()
            prepared = self.classifier.own(_image(image, colour, self.private))
            return self._kept(self.classifier.answer(prepared), prepared, keep_image)

    def many(
        self, paths: Iterable[PathLike], *, workers: int = 0, keep_image: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Answer files one after the other, in order: one result for each path, a Failure where it gave no answer.

        ``paths`` is walked as results are taken, so memory stays bounded. ``workers`` threads work ahead.
        """
        for result in self._results(_Files(paths, self.private), workers, keep_image):
            if not isinstance(result, Notice):
                yield result

    def stream(
        self, source: PathLike, *, workers: int = 0, keep_image: bool = False
    ) -> Iterator[Prediction | Failure | Notice]:
        """Answer a camera (``v4l2://0``, ``csi://0``, ``rtsp://…``, ``http://…``), video, folder, glob or file.

        In order. A camera never ends, gives its newest frame each time, and a Notice when it is lost or has recovered.
        Leaving the loop closes it. Raises SourceError.
        """
        yield from self._results(Sources([os.fspath(source)], private=self.private), workers, keep_image)

    def _results(self, sources: Sources, workers: int, keep_image: bool) -> Iterator[Prediction | Failure | Notice]:
        self._check_open()
        with self._lock:
            plan = Plan(workers)  # lanes are opened here, where nobody else runs the network
            plan = Plan(workers, lanes=lanes_for(self.classifier, plan) is not None)
        with contextlib.closing(ready_items(self.classifier, sources, plan, lambda items: items)) as images:
            for ready in images:
                with self._lock:
                    self._check_open()
                    if ready is None:
                        self.classifier.check_if_due()
                        continue
                    result = self._result(ready, keep_image)
                yield result

    def _result(self, ready: Ready, keep_image: bool) -> Prediction | Failure | Notice:
        if isinstance(ready, News):
            return ready.notice
        if isinstance(ready, Broken):
            return ready.failure
        result = answer_ready(self.classifier, ready)
        return result if isinstance(result, Failure) else self._kept(result, ready, keep_image)

    def _kept(self, prediction: Prediction, prepared: Prepared, keep_image: bool) -> Prediction:
        if not keep_image:
            return prediction
        view = self.classifier.preprocess.view(prepared.pixels_rgb)
        return dataclasses.replace(prediction, image_rgb=small(view))

    def _check_open(self) -> None:
        if not self._open:
            raise ConfigError("the model is closed", "load it again")

    def close(self) -> None:
        """Give the backend's memory back. A second call does nothing."""
        with self._lock:
            if self._open:
                self._open = False
                self.classifier.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()

    def __repr__(self) -> str:
        info = self.info
        return f"<Model {self.bundle.title}: {info.name} {info.version} on {info.device}, {info.precision}>"


class _Files(Sources):
    """Files by their paths, taken from any iterable as they are needed; never folders, globs or cameras."""

    def __init__(self, paths: Iterable[PathLike], private: PrivateNames) -> None:
        super().__init__([], private=private)
        self._paths = paths

    def stored(self, ring: int = 1) -> Generator[Item | None, None, None]:
        return (_file(path, self.private) for path in self._paths)


def load(
    bundle: PathLike,
    *,
    backend: str = "auto",
    precision: str = "auto",
    state: PathLike | None = None,
    threads: int = 0,
    golden_every_s: float = golden_check.INTERVAL_S,
    decode_limits: DecodeLimits | None = None,
) -> Model:
    """Open a bundle and load it on the best backend that passes its tests here.

    ``backend`` and ``precision``: ``"auto"``, or a name; a named one is never replaced. ``state``: this device's state
    folder (compiled models, self-tests, engines, camera limits); default: the service's, else the user's. ``threads``
    0: one per core. The golden images are answered again every ``golden_every_s`` seconds of use. ``decode_limits``:
    what decoding one image may cost (default: 2 s and 600 MB).

    Raises KitError with a hint: BundleError, SignatureRefused, BackendError, GoldenCheckFailed, ConfigError.
    """
    _known("backend", backend, BACKENDS)
    _known("precision", precision, PRECISIONS)
    return load_opened(
        open_bundle(Path(bundle)), backend=backend, precision=precision, state=state, threads=threads,
        golden_every_s=golden_every_s, decode_limits=decode_limits,
    )  # fmt: skip


def load_opened(
    bundle: Bundle,
    *,
    backend: str,
    precision: str,
    state: PathLike | None,
    threads: int,
    golden_every_s: float,
    decode_limits: DecodeLimits | None = None,
    site: bool = True,
) -> Model:
    """:func:`load`, for a bundle that is open already. ``site`` False: at the bundle's own threshold, whatever this
    clinic has approved."""
    folder = own_state_folder(None if state is None else Path(state))
    local, site_notes = localised(folder, bundle) if site else (bundle, ())
    options = LoadOptions(threads=threads, cache=folder / "compiled")
    choice = choose_backend(bundle, backend, precision, options, folder)
    try:
        limits = device_limits(folder, bundle)
        classifier = Classifier(
            local, choice.backend, limits, choice.golden, golden_every_s=golden_every_s, decode_limits=decode_limits
        )
    except BaseException:
        choice.backend.close()
        raise
    if classifier.golden is not None and classifier.golden.last is not None:
        golden_check.remember(folder, bundle, choice.backend, classifier.golden.last)
    return Model(classifier, (*bundle.manifest.notes, *choice.reasons), kept_in(folder), site_notes)


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ConfigError(f"{what} {name!r} is unknown", nearest(name, names))


def _file(path: PathLike, private: PrivateNames) -> File | Encoded | Broken:
    """A file to be read later; a DICOM file, which gives one answer only, at once."""
    name, dicom = os.fspath(path), DicomSource(private)
    return dicom.single(Path(name)) if dicom.takes(Path(name)) or dicom.addressed(name) else File(name, Path(name))


def _image(image: PathLike | bytes | npt.NDArray[np.uint8], colour: str, private: PrivateNames) -> Encoded | Frame:
    """As a source would give it. Raises SourceError, ImageError."""
    if isinstance(image, np.ndarray):
        return Frame("array", _bgr(image, colour))
    if isinstance(image, bytes | bytearray | memoryview):
        return Encoded("bytes", bytes(image))
    item = loaded(_file(image, private))
    if isinstance(item, Broken):
        raise item.error
    assert isinstance(item, Encoded)
    return item


def _bgr(pixels: npt.NDArray[Any], colour: str) -> npt.NDArray[np.uint8]:
    """An array as OpenCV has it, uint8 BGR ``[H,W,3]``. Raises ImageError for another dtype or shape."""
    _known("colour", colour, _COLOURS)
    sound = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not sound or 0 in pixels.shape:
        raise ImageError(
            f"an array of {pixels.dtype} {pixels.shape}", "give uint8 [H,W,3] (RGB, or colour='bgr') or [H,W] grey"
        )
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1] if colour == "rgb" else pixels)
