"""Does the gate see an image that cannot be answered, and does it let a good one through?

Good images are spoilt at full size, encoded as JPEG and given to the runtime's own classifier; so are images of
other subjects. A fault counts for the verdict of its kind where it costs the model one right answer in five or more:
a retake of an image that would have been answered well helps nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.benchmarks.device.detection.faults import catalogue, inverted, static
from fieldlens.benchmarks.device.detection.subjects import names, subject
from fieldlens.benchmarks.device.figures import binary_auc, wilson
from fieldlens.benchmarks.device.image_set import Images, read
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import limits_from_json
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import upright
from fieldlens.runtime.quality import measures as quality
from fieldlens.runtime.quality.optics import Pixels, Random, lit

COSTLY = 0.2
"""A fault counts from this loss of accuracy on."""
GOOD, WRONG = "good", "wrong subject"
_QUALITY = 85
_SPOILERS = 2
_CLOSER = 0.55
_TUNGSTEN = (1.5, 1.0, 0.5)
"""Linear gains of a 2,700 K lamp under a camera that is set to daylight, about."""

Answer = tuple[int, ...]


@dataclass
class DetectionRow:
    """What happened to one kind of image at one strength. ``right`` and ``missed`` (wrong, and not taken again) are
    None where no answer would be right. ``features`` and ``appearance``: the scores of every image."""

    kind: str
    fault: str
    strength: str
    n: int = 0
    retakes: int = 0
    right: int | None = None
    missed: int | None = None
    findings: Counter[str] = field(default_factory=Counter)
    features: list[float] = field(default_factory=list)
    appearance: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> float | None:
        """Of the network, whatever the gate says."""
        return None if self.right is None else self.right / self.n

    def to_json(self) -> dict[str, Any]:
        """Counts, without the scores of single images."""
        counts = {
            name: getattr(self, name) for name in ("kind", "fault", "strength", "n", "retakes", "right", "missed")
        }
        return {**counts, "interval": list(wilson(self.retakes, self.n)), "findings": dict(self.findings)}

    def add(self, seen: Seen, truth: Answer | None) -> None:
        """Count one image."""
        self.n += 1
        self.retakes += bool(seen.findings)
        self.findings.update(seen.findings)
        self.features += [] if seen.features is None else [seen.features]
        self.appearance += [] if seen.appearance is None else [seen.appearance]
        if truth is not None:
            correct = seen.answer == truth
            self.right = (self.right or 0) + correct
            self.missed = (self.missed or 0) + (not correct and not seen.findings)


@dataclass(frozen=True)
class Seen:
    """The runtime's word on one image."""

    answer: Answer
    findings: tuple[str, ...]
    features: float | None
    appearance: float | None


@dataclass(frozen=True)
class Detection:
    """All rows, and the conditions."""

    rows: list[DetectionRow]
    bundle: str
    backend: str
    what: str
    truth: str
    seed: int

    def counted(self, kind: str) -> list[DetectionRow]:
        """The rows of a kind that cost the model too much to be let through."""
        good = self.rows[0].accuracy or 0.0
        own = [row for row in self.rows if row.kind == kind]
        return [row for row in own if row.accuracy is None or row.accuracy <= good - COSTLY]

    def kinds(self) -> dict[str, dict[str, Any]]:
        """Retakes of each kind over the rows that count, and the worst of them; of good images over all."""
        found = {}
        for kind in dict.fromkeys(row.kind for row in self.rows if not row.kind.startswith("near")):
            rows = self.rows[:1] if kind == GOOD else self.counted(kind)
            n, retakes = sum(row.n for row in rows), sum(row.retakes for row in rows)
            least = min((row.retakes / row.n for row in rows), default=None)
            share = {"retake": retakes / n, "interval": list(wilson(retakes, n)), "least": least} if n else {}
            found[kind] = {"rows": len(rows), "n": n, **share}
        return found

    def separation(self) -> list[dict[str, Any]]:
        """AUROC of each score between good images and a set of others, and how many of these pass at the threshold
        that 95% of the good ones pass (FPR at 95% TPR, Hendrycks & Gimpel 2017; a good image is a positive)."""
        far = [row for row in self.rows if row.kind == WRONG]
        sets = {"far: all wrong subjects": far, **{row.fault: [row] for row in self.rows if row.kind == "near"}}
        found = []
        for name, rows in sets.items():
            for score in ("features", "appearance"):
                known = np.array(getattr(self.rows[0], score))
                strange = np.array([value for row in rows for value in getattr(row, score)])
                if len(known) and len(strange):
                    found.append({"set": name, "score": score, "n": len(strange), **separation(known, strange)})
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [row.to_json() for row in self.rows]
        facts = {name: getattr(self, name) for name in ("bundle", "backend", "what", "truth", "seed")}
        return {
            "format": 1, **facts, "costly": COSTLY, "rows": rows, "kinds": self.kinds(),
            "separation": self.separation(),
        }  # fmt: skip


def separation(known: npt.NDArray[np.float64], strange: npt.NDArray[np.float64]) -> dict[str, float]:
    """Scores, higher for stranger images → AUROC, and the share of strange ones below 95% of the known."""
    truth = np.repeat([False, True], [len(known), len(strange)])
    threshold = np.quantile(known, 0.95)
    return {
        "auroc": binary_auc(np.concatenate((known, strange)), truth),
        "fpr_at_95_tpr": float((strange <= threshold).mean()),
    }


class Examiner:
    """Spoils images in threads, and has the runtime judge them in this one."""

    def __init__(self, classifier: Classifier, seed: int) -> None:
        self._classifier = classifier
        self._limits = limits_from_json(classifier.bundle.manifest.quality)
        self._multilabel = classifier.bundle.manifest.task == "multilabel"
        self._seed = seed
        self._count = 0

    def see(self, data: bytes) -> Seen:
        """Classify the file, as the device does."""
        prediction = self._classifier.classify_bytes(data, "image")
        side = min(read_header(data, "image").width, read_header(data, "image").height)
        appearance = None
        if self._limits is not None:
            image = self._classifier.own.image[0]
            appearance = quality.measure(image, side).checks(self._limits).get("appearance")
        values = list(prediction.probabilities.values())
        answer = tuple(v >= 0.5 for v in values) if self._multilabel else (int(np.argmax(values)),)
        return Seen(answer, tuple(f.check for f in prediction.findings), prediction.ood_score, appearance)

    def fill(
        self, row: DetectionRow, make: Callable[[int, Random], Pixels], truths: Sequence[Answer | None]
    ) -> DetectionRow:
        """Make image 0, 1, … for every truth, and count them into ``row``."""
        self._count += 1
        keys = [(index, np.random.default_rng([self._seed, self._count, index])) for index in range(len(truths))]
        with ThreadPoolExecutor(_SPOILERS) as pool:
            made = pool.map(lambda key: encoded(make(*key)), keys)
            for data, truth in zip(made, truths, strict=True):
                row.add(self.see(data), truth)
        return row


def examine(classifier: Classifier, chosen: Images, near: Path | None, limit: int, seed: int) -> Detection:
    """All rows: every good image as it is, ``limit`` of them spoilt. ``near``: a folder of images of the same
    subject from elsewhere. Raises KitError."""
    examiner, bundle = Examiner(classifier, seed), classifier.bundle
    good, answers = DetectionRow(GOOD, "as they are", ""), []
    for index, path in enumerate(chosen.paths):
        seen = examiner.see(path.read_bytes())
        answers.append(seen.answer if chosen.labels is None else (int(chosen.labels[index]),))
        good.add(seen, answers[-1])
    every = sorted(np.random.default_rng(seed).permutation(len(answers))[:limit].tolist())
    pictures = [full_size(chosen.paths[index].read_bytes(), chosen.paths[index].name) for index in every]
    truths = [answers[index] for index in every]
    side, size = int(np.median([min(p.shape[:2]) for p in pictures])), bundle.manifest.size
    rows = [good, *_spoilt(examiner, pictures, truths, side, size), *_strange(examiner, pictures)]
    rows += _near(examiner, pictures, truths)
    if near is not None:
        rows.append(_elsewhere(examiner, near, bundle))
    info = classifier.backend.info
    right = "the label" if chosen.labels is not None else "the answer to the good image"
    what = f"{chosen.what}, {len(every)} of them spoilt, shorter side {side} px (median), network {size} px"
    return Detection(rows, bundle.title, f"{info.name} {info.precision}", what, right, seed)


def _spoilt(
    examiner: Examiner, pictures: list[Pixels], truths: list[Answer], side: int, size: int
) -> Iterator[DetectionRow]:
    for fault in catalogue():
        row = DetectionRow(fault.kind, fault.name, fault.stated(side, size))
        yield examiner.fill(row, lambda index, random, f=fault: f.spoil(pictures[index], random), truths)  # type: ignore[misc]


def _strange(examiner: Examiner, pictures: list[Pixels]) -> Iterator[DetectionRow]:
    """Images to which no answer would be right."""
    nothing: list[None] = [None] * len(pictures)
    for grain_px in (1, 8):
        row = DetectionRow("noise", "no image, only noise", f"{grain_px} px")
        yield examiner.fill(row, lambda _, random, px=grain_px: static(random, px), nothing)  # type: ignore[misc]
    yield examiner.fill(
        DetectionRow(WRONG, "the good images' negative", ""), lambda i, _: inverted(pictures[i]), nothing
    )
    for name in names():
        row = DetectionRow(WRONG, name, "")
        yield examiner.fill(row, lambda _, random, what=name: subject(what, random), nothing)  # type: ignore[misc]


def _near(examiner: Examiner, pictures: list[Pixels], truths: list[Answer]) -> Iterator[DetectionRow]:
    """The same subject, as another site might take it."""
    row = DetectionRow("near", "near: a tungsten lamp, camera set to daylight", "")
    yield examiner.fill(row, lambda index, random: lit(pictures[index], _TUNGSTEN, random), truths)
    row = DetectionRow("near", "near: from about half the distance", "")
    yield examiner.fill(row, lambda index, _: _middle(pictures[index]), truths)


def _elsewhere(examiner: Examiner, folder: Path, bundle: Bundle) -> DetectionRow:
    row = DetectionRow("near", f"near: {folder.name}", "")
    for path in read(folder, None, bundle.manifest).paths:
        row.add(examiner.see(path.read_bytes()), None)
    return row


def _middle(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = round(height * (1 - _CLOSER) / 2), round(width * (1 - _CLOSER) / 2)
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def full_size(data: bytes, name: str) -> Pixels:
    """Upright RGB ``[H,W,3]`` at the file's own size. Raises ImageError, KitError."""
    header = read_header(data, name)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise KitError(f"{name}: cannot be decoded", "give images that `fieldlens classify` reads")
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(upright(rgb, header.orientation))


def encoded(pixels: Pixels) -> bytes:
    """As a camera writes it."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=_QUALITY, colorsubsampling="420"))
