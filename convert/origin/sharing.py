"""Which images go into a bundle for everybody to see, and who said so.

By default none of the data's own. A person shares them with ``--share-images HASH`` for one data set and one
conversion; neither a recipe nor a run can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fieldlens.convert import golden
from fieldlens.convert.measure.answer import Tensor
from fieldlens.convert.origin.origin import BundleOptions
from fieldlens.convert.quantization.calibrate import MIN_IMAGES
from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.data.duplicates import near_copies
from fieldlens.train.data.samples import DataSet, FileDataSet, Sample

SHOWN_DIGITS = 12
"""Of the hash, in messages; as many as `train fit` prints."""
LEAST_DIGITS = 8

STATISTICS = "synthetic, noise with the mean look of the training images, none of which it shows"
NOISE = "synthetic, noise that owes nothing to the data, which has too few people for a mean that shows none of them"
FOLDER = "from a folder that was given with --images"


def check_consent(data: DataSet, validation: Sequence[Sample], options: BundleOptions, reporter: Reporter) -> None:
    """Say which images will be inside, before any work. Raises KitError: no consent to this very data."""
    if options.images is not None:
        check_folder(data, options.images, reporter)
    elif options.share_images is None:
        reporter.say(f"share       no image of {data.name} goes into the bundle; its golden images are synthetic")
    else:
        _check_hash(data, validation, options.share_images)
        reporter.say(f"share       {_inside(data, validation)}")


def _check_hash(data: DataSet, validation: Sequence[Sample], given: str) -> None:
    word = given.strip().rstrip("…").lower()
    if re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},64}}", word) and data.hash.startswith(word):
        return
    why = "needs the hash of the data" if not word else f"{given}: that is not the hash of the data"
    raise ConfigError(
        f"--share-images {why}. It would share {_inside(data, validation)}",
        f"if whoever gets the bundle may see these images, give --share-images {data.hash[:SHOWN_DIGITS]}; "
        "without the option the golden images are synthetic",
    )


def _inside(data: DataSet, validation: Sequence[Sample]) -> str:
    most = min(golden.COUNT, len(validation))
    return (
        f"up to {most} of the {len(validation)} validation images of {data.name} (SHA-256 "
        f"{data.hash[:SHOWN_DIGITS]}…), recognisable, at up to {golden.LONGEST_SIDE} pixels a side, without file "
        "names, dates or places"
    )


def check_folder(data: DataSet | None, folder: Path, reporter: Reporter) -> None:
    """A folder of images that may be seen. Raises KitError: too few, or they are the data's own images."""
    found = golden.files_for_golden(folder)
    most = min(golden.COUNT, len(found))
    if data is not None:
        given = FileDataSet(folder, ("any",), tuple(Sample(path.relative_to(folder).as_posix(), 0) for path in found))
        pairs = near_copies(given, data)
        if pairs:
            raise KitError(
                f"--images {folder}: {len({pair.first for pair in pairs})} of its {len(found)} images are images of "
                f"{data.name}, or nearly so (for example {pairs[0].first})",
                f"to share images of the data, give --share-images {data.hash[:SHOWN_DIGITS]} instead",
            )
    reporter.say(f"share       up to {most} of the {len(found)} images in {folder}, recognisable")


def golden_candidates(
    data: DataSet,
    validation: Sequence[Sample],
    typical: Sequence[Tensor],
    options: BundleOptions,
    reporter: Reporter = SILENT,
) -> tuple[list[golden.GoldenCandidate], str]:
    """Candidates, and in words what they are. ``typical``: a training image uint8 ``[S,S,3]`` of each person."""
    if options.images is not None:
        return golden.from_folder(options.images), FOLDER
    if options.share_images is not None:
        words = f"from {data.name} itself (validation), shared by --share-images {data.hash[:SHOWN_DIGITS]}"
        return golden.from_data(data, validation), words
    if len(typical) >= MIN_IMAGES:
        return golden.from_statistics(typical, reporter), STATISTICS
    return golden.from_nothing(typical[0].shape[0], reporter), NOISE
