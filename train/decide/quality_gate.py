"""The statistics behind the quality gate: quality limits and the out-of-distribution model, fitted with the run.

Quality: `quality_limits`. Out of distribution: Mahalanobis distance of the
features to the class means (Lee et al., NeurIPS 2018) with Ledoit–Wolf shrinkage (J. Multivariate Analysis 2004), since
a few hundred images cannot give a 512×512 covariance; the threshold is a quantile of the validation images.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fieldlens.runtime.bundle.quality_limits import Limits, limits_from_json
from fieldlens.runtime.files import records
from fieldlens.runtime.files.atomic import write_bytes, write_json
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.train.data.cache import Tensors
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.quality_limits import fit_quality
from fieldlens.train.epoch.loop import EVALUATION_BATCH
from fieldlens.train.errors import RunError
from fieldlens.train.model import normalise

KNOWN_QUANTILE = 0.995
"""Of the validation images lie below the threshold: one good image in two hundred is taken again for this."""

_FIT_AGAIN = "run `fieldlens train fit` again"

Floats = npt.NDArray[np.floating[Any]]
Arrays = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Gate:
    """``quality`` and ``ood`` as in a manifest; ``arrays``: ``means`` ``[C,F]`` and ``precision`` ``[F,F]``."""

    quality: dict[str, Any]
    ood: dict[str, Any]
    arrays: Arrays

    def npz(self) -> bytes:
        """The bundle's ``ood.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays)  # type: ignore[arg-type]
        return buffer.getvalue()


@dataclass(frozen=True)
class _GateForm:
    """``gate.json``."""

    quality: dict[str, Any]
    ood: dict[str, Any]


def fit_gate(model: nn.Module, train: Tensors, val: Tensors, sides: npt.NDArray[np.int64]) -> Gate:
    """Fit on the training images, set the threshold on validation. ``sides``: shorter sides of the files, px."""
    ood, arrays = fit_ood(model, train, val)
    return Gate(fit_quality(train.images, val.images, sides), ood, arrays)


def fit_ood(
    model: nn.Module, train: Tensors, val: Tensors
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """:class:`Gate`'s ``ood`` and ``arrays``: the part that depends on the network."""
    from sklearn.covariance import ledoit_wolf  # here: importing it takes a second, and only a fit needs it

    features = pooled_features(model, train.images)
    # Several findings an image: their combinations are too many for a mean each, so all images share one.
    labels = train.labels if train.labels.ndim == 1 else np.zeros(len(train), np.int64)
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    place = np.searchsorted(np.unique(labels), labels)
    covariance, shrinkage = ledoit_wolf(features - means[place], assume_centered=True)
    precision = np.linalg.inv(covariance)
    known = distances(pooled_features(model, val.images), means, precision)
    ood = {
        "method": "mahalanobis, shared covariance, ledoit-wolf",
        "threshold": float(np.quantile(known, KNOWN_QUANTILE)),
        "quantile": KNOWN_QUANTILE,
        "shrinkage": float(shrinkage),
        "fitted_on": {"train": len(train), "val": len(val)},
    }
    return ood, {"means": means.astype(np.float32), "precision": precision.astype(np.float32)}


def distances(features: Floats, means: Floats, precision: Floats) -> Floats:
    """Features ``[n,F]`` → squared distance to the nearest mean per dimension ``[n]``, as on the device."""
    whitener = np.linalg.cholesky(precision)
    white, centres = features @ whitener, means @ whitener
    squared = ((white[:, None, :] - centres[None]) ** 2).sum(axis=2)
    return np.asarray(squared.min(axis=1) / features.shape[1], np.float64)


@torch.inference_mode()
def pooled_features(model: nn.Module, images: npt.NDArray[np.uint8]) -> Floats:
    """uint8 ``[n,S,S,3]`` → pooled ``layer4``, float64 ``[n,F]``: what the graph's ``features`` output gives."""
    model.eval()
    device = next(model.parameters()).device
    kept: list[torch.Tensor] = []
    handle = model.get_submodule("avgpool").register_forward_hook(lambda _m, _i, out: kept.append(out.flatten(1).cpu()))
    try:
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + EVALUATION_BATCH])).to(device)
            model(normalise(batch).contiguous(memory_format=torch.channels_last))
    finally:
        handle.remove()
    return torch.cat(kept).double().numpy()


def shorter_sides(data: DataSet, samples: Iterable[Sample]) -> npt.NDArray[np.int64]:
    """Shorter side of each image as it is stored, px."""
    sides = []
    for sample in samples:
        value = data.read(sample)
        if isinstance(value, bytes):
            header = read_header(value, sample.id)
            sides.append(min(header.width, header.height))
        else:
            sides.append(min(value.shape[:2]))
    return np.array(sides, np.int64)


def limits_of(gate: Gate) -> Limits:
    """The gate's quality limits as the device reads them."""
    limits = limits_from_json(gate.quality)
    if limits is None:
        raise RunError("gate.json has no quality limits", _FIT_AGAIN)
    return limits


def write_gate(run: Path, gate: Gate) -> None:
    """``RUN/ood.npz`` and ``RUN/gate.json``."""
    write_bytes(run / "ood.npz", gate.npz())
    write_json(run / "gate.json", {"quality": gate.quality, "ood": gate.ood})


def read_gate(run: Path) -> Gate | None:
    """None for a run that was fitted without. Raises RunError for files that are broken."""
    if not (run / "gate.json").exists():
        return None
    try:
        value = json.loads((run / "gate.json").read_text(encoding="utf-8"))
        form = records.read(_GateForm, value, f"{run.name}/gate.json", RunError, renew=_FIT_AGAIN)
        with np.load(run / "ood.npz", allow_pickle=False) as arrays:
            return Gate(form.quality, form.ood, {name: arrays[name] for name in ("means", "precision")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run.name}: gate.json or ood.npz is broken ({error})", _FIT_AGAIN) from error
