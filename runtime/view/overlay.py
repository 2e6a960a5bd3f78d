"""The picture with its heat map: where the model looked, not where the disease is."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.classifier import Answered, Classifier
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.prediction import Prediction, Result

SIDE = 480
_BAR = 78
_COLOURS = {  # RGB; dark enough for white letters (contrast at least 4.5:1)
    Outcome.REFER: (176, 0, 32),
    Outcome.UNCERTAIN: (140, 80, 0),
    Outcome.NO_SIGN_FOUND: (0, 98, 60),
    Outcome.RETAKE: (70, 70, 78),
    Outcome.CLASSIFIED: (20, 70, 140),
}
NOTE = "where the model looked, not where the disease is"


def heat(prediction: Prediction, class_id: str, side: int) -> npt.NDArray[np.float32]:
    """The class's activation map as :func:`heat_of` draws it: float32 ``[side,side]``."""
    return heat_of(prediction.cam[list(prediction.probabilities).index(class_id)], side)


def heat_of(cam: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """One class's map ``[h,w]``, negative parts cut (as Grad-CAM's ReLU), its maximum 1: float32 ``[side,side]``."""
    grid = np.maximum(cam, 0.0)
    top = float(grid.max())
    scaled = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(scaled / top, 0.0, 1.0) if top > 0 else np.zeros_like(scaled), np.float32)


def blend(view_rgb: Pixels, heat_map: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour laid over the picture, the stronger the hotter; cold parts stay as they were."""
    colours = cv2.cvtColor(
        cv2.applyColorMap((heat_map * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
    weight = (0.65 * heat_map)[..., None]
    return np.asarray(np.rint(view_rgb * (1 - weight) + colours * weight), np.uint8)


def draw(prediction: Prediction, view_rgb: Pixels, explained: str, status: str = "") -> npt.NDArray[np.uint8]:
    """Picture, heat map of the class ``explained``, and a bar with the outcome and ``status``: uint8 RGB.

    On ``retake`` there is no heat map and no class, only what to do.
    """
    picture = cv2.resize(np.ascontiguousarray(view_rgb), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    panels, words = [picture], [finding.advice for finding in prediction.findings]
    if prediction.outcome is not Outcome.RETAKE:
        panels.append(blend(picture, heat(prediction, explained, SIDE)))
        words = [
            ", ".join(f"{name} {p:.1%}" for name, p in prediction.top(3)),
            f"heat map of {explained}: {NOTE}",
        ]
    body = np.hstack(panels)
    bar = np.full((_BAR, body.shape[1], 3), _COLOURS[prediction.outcome], np.uint8)
    _write(bar, str(prediction.outcome), 24, 0.7)
    for row, line in enumerate(words[:2]):
        _write(bar, line, 47 + 20 * row, 0.45)
    if status:
        _write(bar, status, 22, 0.42, left=150)
    return np.vstack([body, bar])


def card(words: str) -> npt.NDArray[np.uint8]:
    """A grey panel with a sentence, where there is no picture to show: uint8 RGB."""
    panel = np.full((SIDE + _BAR, SIDE, 3), _COLOURS[Outcome.RETAKE], np.uint8)
    for row, line in enumerate(textwrap.wrap(words, 52)[:12]):
        _write(panel, line, 200 + 24 * row, 0.5)
    return panel


def explained_class(manifest: Manifest, prediction: Prediction) -> str:
    """The class whose map is shown: the likeliest finding where there is a decision, else the likeliest class."""
    candidates = manifest.decision.positive if manifest.decision else tuple(prediction.probabilities)
    return max(candidates, key=lambda name: prediction.probabilities[name])


def _write(bar: npt.NDArray[np.uint8], text: str, baseline: int, scale: float, left: int = 10) -> None:
    """White letters. OpenCV's own font has ASCII only: other signs become a question mark."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(bar, plain, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


class OverlaySink(Sink):
    """A JPEG per picture in a folder, named after its source."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        self._folder = folder
        self._classifier = classifier
        self._names: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, result: Result) -> None:
        """Results without a picture have no overlay."""

    def picture(self, answered: Answered) -> Path:
        """Draw and store one picture; its path."""
        prediction = answered.prediction
        view = self._classifier.preprocess.view(answered.pixels_rgb)
        image = draw(prediction, view, explained_class(self._classifier.bundle.manifest, prediction))
        path = self._folder / f"{self._name(prediction.source)}.jpg"
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90, colorsubsampling="444")
        try:
            atomic.write_bytes(path, data)
        except OSError as error:
            raise OutputError(
                f"{path}: {error.strerror}", f"make room, or choose another place: df -h '{self._folder}'"
            ) from error
        return path

    def _name(self, source: str) -> str:
        """A file name that is safe and not taken yet. A camera's frames are numbered: nothing to remember."""
        path = Path(source)
        stem = re.sub(r"[^\w.-]+", "_", path.stem if "#" not in path.name else path.name.replace("#", "_")) or "picture"
        name, number = stem, 2
        while name in self._names:
            name, number = f"{stem}-{number}", number + 1
        if "#" not in source:
            self._names.add(name)
        return name

    def close(self) -> None:
        """Every picture is stored already."""
