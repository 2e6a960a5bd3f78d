"""Images a second of ``train fit``, against a plain torchvision loop and against what training cannot exceed.

The same images, network, settings and machine. Each turn is a whole process, from its start to the end of its epochs,
because that is what a person waits for. Beside it the rate within an epoch, without start, decoding and validation, and
the share of forward and backward on preloaded tensors that ``train fit`` reaches with its decoding counted in.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.benchmarks.device.compare.lane import ROOT
from fieldlens.benchmarks.device.machine.quiet import Quiet, QuietWatch, cores_for
from fieldlens.benchmarks.device.machine.surroundings import surroundings
from fieldlens.benchmarks.pipeline import plain_training
from fieldlens.runtime.errors import KitError

CONTENDERS = ("train fit", "plain torchvision loop", "preloaded tensors")


@dataclass(frozen=True)
class TrainingSettings:
    """Shared by all. ``images`` are JPEG files of ``train demo-data``."""

    arch: str = "resnet18"
    size: int = 64
    images: int = 640
    epochs: int = 3
    rounds: int = 3
    threads: int = 0
    batch_size: int = 32


@dataclass
class Rates:
    """One contender's turns: seconds of the whole process, and images a second within an epoch (median)."""

    whole_s: list[float] = field(default_factory=list)
    images_per_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """Rates by contender, and how many images an epoch trained on."""

    settings: TrainingSettings
    trained_on: int
    rates: dict[str, Rates]
    quiet: Quiet
    conditions: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "shares": self.shares, "quiet": self.quiet.to_json()}

    @property
    def shares(self) -> list[float]:
        """Of each turn: images a second of ``train fit``, decoding included, over those on preloaded tensors."""
        fit, preloaded = self.rates[CONTENDERS[0]], self.rates[CONTENDERS[2]]
        epochs = self.settings.epochs
        found = []
        for turn, decode_s in enumerate(fit.decode_s):
            of_turn = slice(turn * epochs, (turn + 1) * epochs)
            seconds = decode_s + sum(self.trained_on / rate for rate in fit.images_per_s[of_turn])
            alone = sum(self.trained_on / rate for rate in preloaded.images_per_s[of_turn])
            found.append(alone / seconds)
        return found


def measure(
    settings: TrainingSettings, folder: Path, settle_s: float, contenders: tuple[str, ...] = CONTENDERS
) -> Training:
    """A B C, C B A, A B C, … The first is always ``train fit``. Raises KitError where a process fails."""
    cores = cores_for(settings.threads)
    data = folder / "data"
    run_module(["train", "demo-data", str(data), "--images", str(settings.images)], len(cores))
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe_of(settings, len(cores)), encoding="utf-8")
    watch = QuietWatch(cores)
    watch.before(settle_s)
    watch.start()
    rates = {name: Rates() for name in contenders}
    trained_on = 0
    for number in range(settings.rounds):
        for name in contenders if number % 2 == 0 else reversed(contenders):
            watch.round()
            out = folder / f"{name.split()[0]}-{number}"
            began = time.perf_counter()
            if name == CONTENDERS[0]:
                trained_on = _fit(recipe, data, out, len(cores), rates[name])
            elif name == CONTENDERS[1]:
                _plain(settings, data, out, folder / f"train-{number}", len(cores), rates[name])
            else:
                _preloaded(settings, trained_on, len(cores), rates[name])
            rates[name].whole_s.append(time.perf_counter() - began)
    watch.round()
    return Training(settings, trained_on, rates, watch.finish(), surroundings(cores=cores))


def recipe_of(settings: TrainingSettings, threads: int) -> str:
    """What `train fit` is asked for, as TOML."""
    turns = plain_training
    return f"""
[preprocess]
steps = [{{ step = "orient" }}, {{ step = "resize", size = {settings.size} }}]
[model]
arch = "{settings.arch}"
[train]
epochs = {settings.epochs}
batch_size = {settings.batch_size}
threads = {threads}
device = "cpu"
[augment]
rotate_degrees = {turns.ROTATE_DEGREES}
zoom = {turns.ZOOM}
shift = {turns.SHIFT}
flip_horizontal = true
brightness = {turns.BRIGHTNESS}
contrast = {turns.CONTRAST}
"""


def _fit(recipe: Path, data: Path, out: Path, threads: int, rates: Rates) -> int:
    """One ``train fit``; returns how many images it trained on, as its own split says."""
    reported = run_module(["train", "fit", "--recipe", str(recipe), "--data", str(data), "--out", str(out)], threads)
    rates.decode_s += [
        float(seconds) for seconds in re.findall(r"^decoded once .* in ([\d.]+) s", reported, re.MULTILINE)
    ]
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rates.images_per_s += [float(row["images_per_second"]) for row in csv.DictReader(file)]
    with (out / "split.csv").open(encoding="utf-8", newline="") as file:
        return sum(row["split"] == "train" for row in csv.DictReader(file))


def _preloaded(settings: TrainingSettings, trained_on: int, threads: int, rates: Rates) -> None:
    """As many steps an epoch as the fit of the same turn, or of the turn before."""
    task = {**asdict(settings), "trained_on": trained_on, "classes": 3, "threads": threads}
    done = run_module(["fieldlens.benchmarks.pipeline.preloaded_training", json.dumps(task)], threads)
    rates.images_per_s += [float(value) for value in json.loads(done.splitlines()[-1])["images_per_s"]]


def _plain(settings: TrainingSettings, data: Path, out: Path, run: Path, threads: int, rates: Rates) -> None:
    """The plain loop, on the very images of the newest fit's split."""
    split = run / "split.csv" if run.exists() else max(out.parent.glob("train-*/split.csv"))
    task = {**asdict(settings), "data": str(data), "split": str(split), "threads": threads}
    done = run_module(["fieldlens.benchmarks.pipeline.plain_training", json.dumps(task)], threads)
    rates.images_per_s += [float(value) for value in json.loads(done.splitlines()[-1])["images_per_s"]]


def run_module(command: list[str], threads: int) -> str:
    """``python -m …`` in a process of its own; its output. Raises KitError with its last words where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise KitError(
            f"python -m {' '.join(command[:2])} failed: {words[-1] if words else done.returncode}", "run it alone"
        )
    return done.stdout


def show(result: Training) -> str:
    """A row each, then their ratio."""
    settings = result.settings
    lines = [
        "",
        f"{settings.arch} at {settings.size} px, {result.trained_on} JPEG images, {settings.epochs} epochs of "
        f"batches of {settings.batch_size}, {settings.rounds} turns each",
        f"{'':<26}{'images/s in an epoch':>22}{'images/s, whole run':>22}",
    ]
    for name, rates in result.rates.items():
        whole = result.trained_on * settings.epochs / float(np.median(rates.whole_s))
        lines.append(f"{name:<26}{np.median(rates.images_per_s):>22.0f}{whole:>22.0f}")
    ours, plain = (result.rates[name] for name in CONTENDERS[:2])
    ratios = [b / a for a, b in zip(ours.whole_s, plain.whole_s, strict=True)]
    lines.append(
        f"a whole run of `train fit` is {np.median(ratios):.2f} times as fast (turns: {min(ratios):.2f} to "
        f"{max(ratios):.2f}); it validates after every epoch and stores checkpoints, the plain loop does neither"
    )
    lines.append(
        f"the epochs of `train fit`, decoding included, reach {np.median(result.shares):.1%} of forward and backward "
        f"on preloaded tensors (turns: {min(result.shares):.1%} to {max(result.shares):.1%})"
    )
    return "\n".join(lines)
