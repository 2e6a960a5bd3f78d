"""How long each step of `convert bundle` takes, for all targets, as it says itself."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.benchmarks.device.machine.quiet import Quiet, QuietWatch, cores_for
from fieldlens.benchmarks.device.machine.surroundings import surroundings
from fieldlens.benchmarks.pipeline import training
from fieldlens.benchmarks.pipeline.training import recipe_of, run_module

_STEP = re.compile(r"^(\w+) +(.+) … ([\d.]+) s$", re.MULTILINE)


@dataclass(frozen=True)
class ConversionSettings:
    """``images`` are JPEG files of ``train demo-data``; the network trains on seven tenths for ``epochs``, because
    the figures of one that has learnt nothing break the tolerances, and other steps follow."""

    arch: str = "resnet18"
    size: int = 224
    images: int = 240
    rounds: int = 3
    threads: int = 0
    epochs: int = 3


@dataclass(frozen=True)
class Conversion:
    """``seconds`` of every step in each round, to a tenth; ``whole_s``: of the process, from start to end."""

    settings: ConversionSettings
    seconds: dict[str, list[float]]
    whole_s: list[float]
    quiet: Quiet
    conditions: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "quiet": self.quiet.to_json()}


def measure(settings: ConversionSettings, folder: Path, settle_s: float) -> Conversion:
    """Train once, then make the same bundle ``rounds`` times. Raises KitError where a process fails."""
    cores = cores_for(settings.threads)
    data, run, out = folder / "data", folder / "run", folder / "made.bundle"
    _train(settings, data, run, len(cores))
    watch = QuietWatch(cores)
    watch.before(settle_s)
    watch.start()
    seconds: dict[str, list[float]] = {}
    whole_s = []
    for _ in range(settings.rounds):
        shutil.rmtree(out, ignore_errors=True)
        watch.round()
        began = time.perf_counter()
        reported = run_module(["convert", "bundle", str(run), "--data", str(data), "--out", str(out)], len(cores))
        whole_s.append(time.perf_counter() - began)
        for step, value in steps(reported, run).items():
            seconds.setdefault(step, []).append(value)
    watch.round()
    return Conversion(settings, seconds, whole_s, watch.finish(), surroundings(cores=cores))


def _train(settings: ConversionSettings, data: Path, run: Path, threads: int) -> None:
    recipe = run.parent / "recipe.toml"
    asked = training.TrainingSettings(settings.arch, settings.size, settings.images, settings.epochs)
    recipe.write_text(recipe_of(asked, threads), encoding="utf-8")
    run_module(["train", "demo-data", str(data), "--images", str(settings.images)], threads)
    run_module(["train", "fit", "--recipe", str(recipe), "--data", str(data), "--out", str(run)], threads)


def steps(reported: str, run: Path) -> dict[str, float]:
    """What `convert bundle` printed → seconds by step; one that is done for each attempt is added up."""
    found: dict[str, list[float]] = {}
    for name, what, value in _STEP.findall(reported):
        found.setdefault(f"{name} {what}".replace(str(run), "the run"), []).append(float(value))
    return {step if len(v) == 1 else f"{step}, {len(v)} times": sum(v) for step, v in found.items()}


def show(result: Conversion) -> str:
    """A row per step."""
    settings = result.settings
    width = max(map(len, result.seconds))
    lines = [
        "",
        f"{settings.arch} at {settings.size} px, trained on {settings.images} images with validation and test, "
        f"{settings.rounds} rounds",
        f"{'step':<{width}}{'median s':>10}{'least':>8}{'most':>8}",
    ]
    rows = {**result.seconds, "the whole process": result.whole_s}
    lines += [f"{name:<{width}}{np.median(v):>10.1f}{min(v):>8.1f}{max(v):>8.1f}" for name, v in rows.items()]
    return "\n".join(lines)
