"""What a bundle's files hold, beside the networks: checked when the bundle is opened, and read by whoever needs it.

Shape, type, size and finiteness are known before anything is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.manifest import RENEW
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import limits_from_json
from fieldlens.runtime.errors import BundleError, ImageError
from fieldlens.runtime.fields import Between, Count
from fieldlens.runtime.files import bounds, records, strictjson
from fieldlens.runtime.files.arrays import ArraysError, Shape, read_npz
from fieldlens.runtime.pixels.imageheader import read_header

LIST = "golden/golden.json"
REFERENCE = "golden/golden.npz"
OOD = "ood.npz"


@dataclass(frozen=True)
class GoldenImage:
    """A listed file, and the SHA-256 (hex) of the tensor that the maker's preprocess gave for it."""

    file: str
    sha256: str


@dataclass(frozen=True)
class _GoldenList:
    images: Annotated[tuple[GoldenImage, ...], Count(1, bounds.GOLDEN_IMAGES)]
    format: Annotated[int, Between(1, 1)] = 1


@dataclass(frozen=True)
class _Ood:
    """The manifest's ``ood``: the distance that is too far, and for people how it was found."""

    threshold: Annotated[float, Between(0, bounds.NUMBER)]
    method: str = ""
    quantile: float = 0.0
    shrinkage: float = 0.0
    fitted_on: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Distribution:
    """``means`` ``[n,F]`` of the classes, the shared ``precision`` ``[F,F]``, and the distance that is too far."""

    means: npt.NDArray[np.floating[Any]]
    precision: npt.NDArray[np.floating[Any]]
    threshold: float


def check_contents(bundle: Bundle) -> None:
    """Everything that can be checked without running the network. Raises BundleError."""
    if not bundle.manifest.precisions:
        raise BundleError(f"{bundle.path.name} lists no model", RENEW)
    limits_from_json(bundle.manifest.quality)
    if bundle.manifest.ood is not None:
        bundle.kept[OOD] = _distribution(bundle)
    if LIST in bundle.manifest.files or REFERENCE in bundle.manifest.files:
        images = golden_images(bundle)
        golden_logits(bundle, len(images))
        for image in images:
            golden_file(bundle, image)


def golden_images(bundle: Bundle) -> tuple[GoldenImage, ...]:
    """The golden images' list, in order: at least one, each a file of the bundle. Raises BundleError."""
    try:
        value = strictjson.loads(bundle.read(LIST), bounds.RECORD_BYTES)
    except strictjson.JsonError as error:
        raise BundleError(f"{bundle.path.name}: {LIST}: {error}", RENEW) from error
    images = records.read(_GoldenList, value, f"{bundle.path.name}: {LIST}", BundleError, renew=RENEW).images
    for image in images:
        if image.file not in bundle.manifest.files:
            raise BundleError(f"{bundle.path.name}: the golden image {image.file[:80]!r} is not listed", RENEW)
    return images


def golden_logits(bundle: Bundle, count: int) -> npt.NDArray[np.float32]:
    """The reference's answers, float32 ``[count,C]``. Raises BundleError."""
    (logits,) = _arrays(bundle, REFERENCE, {"logits": (count, len(bundle.manifest.classes))})
    return np.asarray(logits, np.float32)


def golden_file(bundle: Bundle, image: GoldenImage) -> bytes:
    """The bytes of one golden image, whose header says that it is one, of a sane size. Raises BundleError."""
    data = bundle.read(image.file)
    try:
        header = read_header(data, image.file)
    except ImageError as error:
        raise BundleError(f"{bundle.path.name}: golden image {error.message}", RENEW) from error
    if max(header.width, header.height) > bounds.GOLDEN_SIDE:
        raise BundleError(
            f"{bundle.path.name}: golden image {image.file} is {header.width}×{header.height} pixels; "
            f"{bounds.GOLDEN_SIDE} a side are allowed",
            RENEW,
        )
    return data


def distribution(bundle: Bundle) -> Distribution:
    """What the out-of-distribution score is computed from; the manifest must have ``ood``. Raises BundleError."""
    kept = bundle.kept.pop(OOD, None)
    return kept if isinstance(kept, Distribution) else _distribution(bundle)


def _distribution(bundle: Bundle) -> Distribution:
    ood = records.read(_Ood, bundle.manifest.ood, "manifest.json.ood", BundleError, renew=RENEW)
    width = bundle.manifest.features
    means, precision = _arrays(bundle, OOD, {"means": (None, width), "precision": (width, width)})
    if len(means) > bounds.CLASSES:
        raise BundleError(f"{bundle.path.name}: {OOD} has {len(means)} means", RENEW)
    return Distribution(means, precision, ood.threshold)


def _arrays(bundle: Bundle, name: str, wanted: dict[str, Shape]) -> list[npt.NDArray[np.floating[Any]]]:
    data = bundle.read(name)
    try:
        found = read_npz(data, wanted, bounds.file_bytes(name))
    except ArraysError as error:
        raise BundleError(f"{bundle.path.name}: {name}: {error}", RENEW) from error
    for what, array in found.items():
        if (largest := float(np.abs(array).max())) > bounds.NUMBER:
            raise BundleError(
                f"{bundle.path.name}: {name}: {what} holds {largest:.3g}; {bounds.NUMBER:g} is allowed", RENEW
            )
    return list(found.values())
