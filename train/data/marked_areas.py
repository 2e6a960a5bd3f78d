"""Where the finding is in an image, as masks or boxes say that lie beside the data: read to judge heat maps, and for
nothing else. Training, the split, the data's hash and the threshold never see them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.opencv_decoder import decode_bgr
from fieldlens.runtime.pixels.preprocess import Decoded, Preprocess
from fieldlens.runtime.pixels.steps import Step
from fieldlens.runtime.sources.walk import walk
from fieldlens.runtime.tables.cells import is_missing, said
from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import DataConfig
from fieldlens.train.data.samples import DataSet, FileDataSet, Sample
from fieldlens.train.errors import DataError, listing

Area = npt.NDArray[np.bool_]
_PROPORTIONS = 0.02
"""How much the sides of a mask may differ from the image's, in relation: rounding, not another crop."""
_HINT = "a mask shows the whole image upright, at any resolution; see docs/heatmaps.md"


@dataclass(frozen=True)
class Box:
    """In pixels of the upright image, from its upper left corner. ``label``: of which class, empty: of any."""

    left: float
    top: float
    width: float
    height: float
    label: str = ""


@dataclass(frozen=True)
class MarkedAreas:
    """What ``data.mask_folder`` and ``data.box_table`` hold, by sample id."""

    masks: dict[str, list[Path]] = field(default_factory=dict)
    boxes: dict[str, list[Box]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len({*self.masks, *self.boxes})

    def of(self, data: DataSet, sample: Sample, class_id: str, preprocess: Preprocess, side: int) -> Area | None:
        """The area of ``class_id`` in what the network sees of the image, bool ``[side,side]``; None where nothing is
        marked there. Raises ImageError: an image or mask that cannot be read, a mask of other proportions."""
        boxes = [box for box in self.boxes.get(sample.id, ()) if box.label in ("", class_id)]
        masks = self.masks.get(sample.id, [])
        content = data.read(sample) if boxes or masks else b""
        if not content or not isinstance(content, bytes):
            return None
        decoded = preprocess.decode(content, sample.id)
        whole = np.zeros(decoded.pixels.shape[:2], np.uint8)
        for path in masks:
            _add_mask(whole, path, sample.id)
        for box in boxes:
            _add_box(whole, box, decoded)
        seen = cv2.resize(
            np.ascontiguousarray(preprocess.region(whole)), (side, side), interpolation=cv2.INTER_AREA
        )  # fmt: skip
        area = np.asarray(seen > 127, np.bool_)
        return area if area.any() else None


def marked_areas(data: DataSet, config: DataConfig, reporter: Reporter = SILENT) -> MarkedAreas | None:
    """What the recipe names; None where it names nothing, where the data set has no files of its own, and, with a word,
    where it lacks what is named: another set than the training's may have no masks.

    Raises DataError: a table without the columns, and, all at once, rows that are no boxes.
    """
    if not isinstance(data, FileDataSet):
        return None
    masks, boxes = dict[str, list[Path]](), dict[str, list[Box]]()
    if config.mask_folder and _there(data, config.mask_folder, "data.mask_folder", reporter):
        masks = _masks(data, data.root / config.mask_folder)
    if config.box_table and _there(data, config.box_table, "data.box_table", reporter):
        boxes = _boxes(data, data.root / config.box_table, config)
    found = MarkedAreas(masks, boxes)
    return found if len(found) else None


def _there(data: FileDataSet, name: str, key: str, reporter: Reporter) -> bool:
    if (data.root / name).exists():
        return True
    reporter.say(f"note: {data.name} has no {name} ({key}): its heat maps are not judged")
    return False


def areas_of(
    found: MarkedAreas, data: DataSet, samples: Sequence[Sample], class_ids: Sequence[str], steps: tuple[Step, ...],
    side: int,
) -> list[Area | None]:  # fmt: skip
    """The area of each sample's class in ``class_ids``. Raises DataError that lists every mask that does not fit."""
    preprocess, areas, problems = Preprocess(steps), list[Area | None](), list[str]()
    for sample, class_id in zip(samples, class_ids, strict=True):
        try:
            areas.append(found.of(data, sample, class_id, preprocess, side))
        except ImageError as error:
            problems.append(error.message)
    if problems:
        raise DataError(listing(f"{data.name}: masks that cannot be used", problems), _HINT)
    return areas


def _masks(data: FileDataSet, folder: Path) -> dict[str, list[Path]]:
    """Masks of each image: of its path or name, or, where there is none, its name with ``_`` and more behind it."""
    exact, longer = defaultdict[str, list[Path]](list), defaultdict[str, list[Path]](list)
    for name in walk(folder).relative():
        path = folder / name
        inside = Path(name).with_suffix("").as_posix()
        for key in {inside, path.stem}:
            exact[key].append(path)
        for key in _beginnings(path.stem):
            longer[key].append(path)
    found = {}
    for sample in data.samples:
        stem = Path(sample.id).with_suffix("").as_posix()
        name = Path(sample.id).stem
        if paths := exact.get(stem) or exact.get(name) or longer.get(name):
            found[sample.id] = paths
    return found


def _beginnings(stem: str) -> Iterable[str]:
    """``ISIC_7_segmentation`` → ``ISIC_7``, ``ISIC``."""
    while "_" in stem:
        stem = stem.rpartition("_")[0]
        yield stem


def _boxes(data: FileDataSet, path: Path, config: DataConfig) -> dict[str, list[Box]]:
    """One box a row; an image may have several rows, and none at all."""
    table = read_csv(path, (config.image_column, *config.box_columns))
    if lacking := [name for name in (config.image_column, *config.box_columns) if name not in table.columns]:
        have = ", ".join(table.columns)
        raise DataError(f"{path.name} has no column {', '.join(map(repr, lacking))} (it has: {have})",
                        "set data.box_columns to the names of left, top, width and height")  # fmt: skip
    by_name = {Path(sample.id).name: sample.id for sample in data.samples}
    by_name |= {Path(sample.id).stem: sample.id for sample in data.samples} | {s.id: s.id for s in data.samples}
    found, problems = defaultdict[str, list[Box]](list), [problem.text for problem in table.problems]
    for number, row in table.rows:
        cells = [said(row.get(column, "")) for column in config.box_columns]
        try:
            left, top, width, height = map(float, cells)
        except ValueError:
            problems.append(f"{path.name} line {number}: {', '.join(cells)} is no box")
            continue
        if not np.isfinite([left, top, width, height]).all() or min(width, height) <= 0:
            problems.append(f"{path.name} line {number}: a box of {width:g} by {height:g}")
            continue
        label = said(row.get(config.box_label_column, ""))
        label = "" if is_missing(label) else config.labels.get(label, label)
        if sample_id := by_name.get(said(row.get(config.image_column, ""))):
            found[sample_id].append(Box(left, top, width, height, label))
    if problems:
        raise DataError(listing(f"{path.name}: rows that cannot be used", problems), "one box a row: left, top, "
                        "width and height in pixels of the upright image")  # fmt: skip
    return dict(found)


def _add_mask(whole: npt.NDArray[np.uint8], path: Path, name: str) -> None:
    """Above half of its own maximum is inside, so that 0 and 1, 0 and 255, and a JPEG's noise are read alike."""
    try:
        grey = cv2.cvtColor(decode_bgr(path.read_bytes(), path.name, unchanged=False), cv2.COLOR_BGR2GRAY)
    except OSError as error:
        raise ImageError(f"{path.name}: {error.strerror or error}", "check the disk and the permissions") from error
    (height, width), (own_height, own_width) = whole.shape, grey.shape
    if abs(own_width * height / (own_height * width) - 1) > _PROPORTIONS:
        raise ImageError(
            f"{path.name} has {own_width}×{own_height} pixels, and {name} {width}×{height}: other proportions", _HINT
        )
    inside = (grey > int(grey.max()) / 2).astype(np.uint8) * 255
    np.maximum(whole, cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA), out=whole)


def _add_box(whole: npt.NDArray[np.uint8], box: Box, decoded: Decoded) -> None:
    """Scaled from the file's pixels to the decoded ones, which may be fewer."""
    header, (height, width) = decoded.header, whole.shape
    turned = (header.width < header.height) != (width < height)
    across, down = (header.height, header.width) if turned else (header.width, header.height)
    left, right = (round(x * width / across) for x in (box.left, box.left + box.width))
    top, bottom = (round(y * height / down) for y in (box.top, box.top + box.height))
    whole[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 255
