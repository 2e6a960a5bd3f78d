"""How long each step of making a bundle takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import throwaway
from benchmarks.quiet import Quiet, Watch, cores_for
from benchmarks.surroundings import surroundings

OF_THE_BENCHMARK = ("pictures", "network")
"""Steps that a real conversion does not have: they stand for the training run."""


@dataclass(frozen=True)
class Settings:
    """``pictures`` calibrate INT8."""

    arch: str = "resnet18"
    size: int = 224
    pictures: int = 64
    rounds: int = 3
    threads: int = 0


@dataclass(frozen=True)
class Conversion:
    """Seconds of every step in each round."""

    settings: Settings
    seconds: dict[str, list[float]]
    quiet: Quiet
    conditions: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "quiet": self.quiet.to_json()}


def measure(settings: Settings, folder: Path, settle_s: float) -> Conversion:
    """Make the same bundle ``rounds`` times."""
    cores = cores_for(settings.threads)
    torch.set_num_threads(len(cores))
    watch = Watch(cores)
    watch.before(settle_s)
    watch.start()
    seconds: dict[str, list[float]] = {}
    for number in range(settings.rounds):
        watch.round()
        made = throwaway.make(folder / f"{number}.bundle", settings.arch, settings.size, settings.pictures)
        for name, value in made.seconds.items():
            if name not in OF_THE_BENCHMARK:
                seconds.setdefault(name, []).append(value)
    watch.round()
    return Conversion(settings, seconds, watch.finish(), surroundings(cores=cores))


def show(result: Conversion) -> str:
    """A row per step."""
    settings = result.settings
    lines = [
        "",
        f"{settings.arch} at {settings.size} px, {settings.pictures} calibration pictures, {settings.rounds} rounds",
        f"{'step':<24}{'median s':>10}{'least':>8}{'most':>8}",
    ]
    rows = {**result.seconds, "together": [sum(values) for values in zip(*result.seconds.values(), strict=True)]}
    lines += [f"{name:<24}{np.median(v):>10.2f}{min(v):>8.2f}{max(v):>8.2f}" for name, v in rows.items()]
    return "\n".join(lines)
