"""What a bundle is made from: a network, what is known of it, and the images to calibrate and judge it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from fieldlens.convert.golden import GoldenCandidate
from fieldlens.convert.measure.answer import Tensor
from fieldlens.convert.measure.evaluate import Labels
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.precision import TARGETS


@dataclass(frozen=True)
class BundleOptions:
    """What the command line asked for. ``share_images``: the hash, or its beginning, of data whose images may be seen
    by whoever gets the bundle."""

    data: Path | None = None
    name: str | None = None
    version: int = 1
    label: str = "1.0"
    share_images: str | None = None
    images: Path | None = None
    calibration: Path | None = None
    calibration_images: int = 512
    targets: tuple[str, ...] = TARGETS


@dataclass(frozen=True)
class Judging:
    """Preprocessed images uint8 ``[S,S,3]`` that no precision was calibrated on; ``labels`` None: only FP32's
    answers to compare with."""

    tensors: Sequence[Tensor]
    labels: Labels | None
    what: str


@dataclass(frozen=True)
class Origin:
    """``draft``: the manifest without shapes, evaluation, tolerances and files. ``calibration`` empty: no INT8.

    ``golden_from``: in words what the candidates are. ``run``: the training's folder, where its own evaluation lies,
    if there was one.
    """

    network: nn.Module
    draft: Manifest
    calibration: Sequence[Tensor]
    judging: Judging
    candidates: Sequence[GoldenCandidate]
    golden_from: str
    run: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)
