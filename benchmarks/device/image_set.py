"""The images of a comparison: a folder's files with or without labels, or made ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.fields import nearest
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES
from fieldlens.runtime.sources.dicom_peek import holds_dicom
from fieldlens.runtime.sources.walk import IMAGE_SUFFIXES, image_files
from fieldlens.runtime.tables.cells import said
from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.runtime.tables.image_index import ImageIndex
from fieldlens.runtime.tables.private_texts import PrivateTexts
from fieldlens.runtime.tables.problems import Problem, all_at_once

MADE = 16
WIDTH, HEIGHT = 640, 480
_QUALITY = 90
_COLUMNS = "a CSV with the columns image and label"


@dataclass(frozen=True)
class Images:
    """Files in a fixed order, and their class indices where they are known. ``what`` says it in words."""

    paths: tuple[Path, ...]
    labels: npt.NDArray[np.int64] | None
    what: str

    def to_json(self) -> dict[str, Any]:
        """Count and sizes, without names: they may be a clinic's."""
        sizes = [path.stat().st_size for path in self.paths]
        kinds = sorted({path.suffix.lower().lstrip(".") for path in self.paths})
        return {
            "what": self.what,
            "count": len(self.paths),
            "kinds": kinds,
            "median_bytes": int(np.median(sizes)),
            "labelled": self.labels is not None,
        }


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A smooth coloured field with a camera's noise, uint8 RGB ``[height,width,3]``: of nobody, and of the size in
    bytes that a photograph has. It means nothing; a decoder has as much to do as with a real one."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(30, 225, (12, 16, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(np.rint(smooth + draw.normal(0, 5, smooth.shape)), 0, 255), np.uint8)


def jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """RGB pixels as cameras encode them."""
    return bytes(simplejpeg.encode_jpeg(pixels, quality=_QUALITY, colorsubsampling="420"))


def make(folder: Path, count: int = MADE) -> Images:
    """Made JPEG files, the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"made-{seed:03d}.jpg" for seed in range(count))
    for seed, path in enumerate(paths):
        path.write_bytes(jpeg(scene(seed)))
    return Images(paths, None, f"{count} made images, JPEG {WIDTH}×{HEIGHT}, quality {_QUALITY}, 4:2:0")


def read(folder: Path, labels: Path | None, manifest: Manifest) -> Images:
    """All image files below ``folder``; with ``labels``, exactly those that the CSV (``image``, ``label``) names.

    A label is a class id, or what the bundle's training data called it. Raises KitError.
    """
    if not folder.is_dir():
        raise KitError(f"--images {folder} is not a folder", "give a folder of image files")
    if labels is None:
        paths = sorted(image_files(folder))
        if not paths:
            raise KitError(
                f"--images {folder}: no image files in it", "they end in " + ", ".join(sorted(IMAGE_SUFFIXES))
            )
        _refuse_dicom(paths)
        return Images(tuple(paths), None, f"{len(paths)} files")
    named, words = _rows(labels, folder)
    _refuse_dicom(named)
    truth = np.array([_index(word, manifest, labels) for word in words], np.int64)
    return Images(named, truth, f"{len(named)} labelled files")


def _refuse_dicom(paths: Sequence[Path]) -> None:
    """Raises KitError, without a name: it may be a patient's. The peers' decoders read no DICOM."""
    count = sum(path.suffix.lower() in SUFFIXES or holds_dicom(str(path)) for path in paths)
    if count:
        text = f"--images: {count} of {len(paths)} files are DICOM, which is not measured here"
        raise KitError(text, "give JPEG or PNG: classify --report shows what DICOM files cost")


def _rows(table: Path, folder: Path) -> tuple[tuple[Path, ...], list[str]]:
    """Files and labels of all rows, read as training reads a table. Raises KitError for all that is wrong at once."""
    rows = read_csv(table, ("image", "label"))
    missing = [name for name in ("image", "label") if name not in rows.columns]
    if missing and not rows.problems:
        raise KitError(f"--labels {table}: no column {', '.join(missing)}", _COLUMNS)
    problems, index = list(rows.problems), ImageIndex(folder)
    found: dict[str, str] = {}
    for line, row in rows.rows if not missing else ():
        image, word = row["image"], said(row["label"])
        sample = index.find(image)
        odd = rows.swallowed(line, "image", lambda cell: isinstance(index.find(cell), str))
        if isinstance(sample, Problem):
            problems.append(Problem(f"line {line}: {sample.text}", sample.hint))
        elif odd or sample in found or not word or "\n" in word:
            why = odd.text if odd else f"{image!r} is named twice" if sample in found else f"{image!r} has no label"
            problems.append(Problem(f"line {line}: {why}"))
        else:
            found[sample] = word
    if problems:
        raise all_at_once(f"--labels {table}", PrivateTexts(folder).problems(problems))
    if not found:
        raise KitError(f"--labels {table}: no rows", _COLUMNS)
    return tuple(folder / sample for sample in found), list(found.values())


def _index(label: str, manifest: Manifest, path: Path) -> int:
    data = manifest.provenance.get("data")
    config = data.get("config", {}) if isinstance(data, dict) else {}
    name = config.get("labels", {}).get(label, label)
    if name not in manifest.class_ids:
        raise KitError(
            f"--labels {path}: {label!r} is not a class of the bundle", nearest(str(name), manifest.class_ids)
        )
    return manifest.class_ids.index(name)
