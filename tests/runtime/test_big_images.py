"""Twelve-megapixel photographs through standard input: flat memory, and decoded no larger than needed."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.sources.walk import IMAGE_SUFFIXES
from tests.processes import resident_mb
from tests.runtime.conftest import jpeg, scene

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 3000, 4000
PHOTOGRAPHS = 20
MEMORY_MB = 600
FASTER = 2.5
SAME = 0.995

_DRIVER = """
import sys
from fieldlens.runtime.pixels.preprocess import Preprocess
if {full_size}:
    Preprocess._reduction = lambda self, header: 1
from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli
sys.exit(run_cli(main))
"""


@dataclass(frozen=True)
class Measured:
    """Images a second over the run, its printed end, and resident memory in MB over time."""

    per_second: float
    printed: str
    memory_mb: tuple[float, ...]

    @property
    def peak_mb(self) -> float:
        return max(self.memory_mb)

    def median_mb(self, start: float, end: float) -> float:
        """Median between two fractions of the run."""
        count = len(self.memory_mb)
        return float(np.median(self.memory_mb[int(start * count) : max(int(end * count), int(start * count) + 1)]))


def classify(paths: Sequence[Path], results: Path, *arguments: object, full_size: bool = False) -> Measured:
    """Paths through standard input; fails unless every one was answered."""
    code = _DRIVER.format(full_size=full_size)
    command = [sys.executable, "-W", "error", "-c", code, "classify", "-", "--json", results, *arguments]
    with subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        memory: list[float] = []
        watcher = threading.Thread(target=watch_memory, args=(process, memory), daemon=True)
        watcher.start()
        printed, _ = process.communicate("".join(f"{path}\n" for path in paths))
        watcher.join()
    assert process.returncode == 0, printed[-2000:]
    found = re.search(rf"{len(paths)} images in \S+ s \((\S+) a second\)", printed)
    assert found, printed[-2000:]
    return Measured(float(found[1]), printed[printed.index("stage (ms)") :], tuple(memory))


def watch_memory(process: subprocess.Popen[str], memory_mb: list[float]) -> None:
    with suppress(ProcessLookupError):
        while True:
            memory_mb.append(resident_mb(process.pid))
            time.sleep(0.05)


def outcomes(results: Path) -> list[str]:
    return [json.loads(line)["outcome"] for line in results.read_text().splitlines()]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty files of about 2 MB, with the noise that a sensor leaves after its camera's own filter."""
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for number in range(PHOTOGRAPHS):
        large = cv2.resize(scene(number), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noise = np.random.default_rng(number).integers(-9, 10, (HEIGHT, WIDTH, 3), np.int16)
        picture = cv2.GaussianBlur(np.clip(large + noise, 0, 255).astype(np.uint8), (3, 3), 0)
        paths.append(folder / f"{number:02d}.jpg")
        paths[-1].write_bytes(jpeg(picture))
    return paths


@pytest.fixture
def options(bundle_folder: Path, tmp_path: Path) -> list[object]:
    """The sample bundle where there is one (./deploy.sh demo), else the tests' own."""
    sample = ROOT / "demo/demo.bundle"
    bundle = sample if (sample / "manifest.json").exists() else bundle_folder
    return ["--bundle", bundle, "--state", tmp_path / "state", "--workers", 2]


def check(photographs: list[Path], options: list[object], folder: Path, count: int, full_count: int) -> None:
    """``count`` images decoded small, ``full_count`` at full size; the second in three turns, each beside as many of
    the first, because a neighbour on the machine may take a turn's time."""
    repeated = [photographs[number % PHOTOGRAPHS] for number in range(count)]
    reduced = classify(repeated, folder / "reduced.jsonl", *options)
    turns = [
        (
            classify(repeated[:full_count], folder / "turn.jsonl", *options),
            classify(repeated[:full_count], folder / "whole.jsonl", *options, full_size=True),
        )
        for _ in range(3)
    ]
    early, late = reduced.median_mb(0.3, 0.5), reduced.median_mb(0.8, 1.0)
    ratios = [one.per_second / whole.per_second for one, whole in turns]
    print(
        f"\n{count} photographs of 12 megapixels ({photographs[0].stat().st_size / 1e6:.1f} MB): "
        f"{reduced.per_second:.1f} a second; in turns {', '.join(f'{ratio:.2f}' for ratio in ratios)} times the "
        f"{turns[0][1].per_second:.1f} of full-size decoding; memory: peak {reduced.peak_mb:.0f} MB, {early:.0f} MB "
        f"early, {late:.0f} MB late (full-size: peak {turns[0][1].peak_mb:.0f} MB)\n{reduced.printed}"
    )
    assert reduced.peak_mb < MEMORY_MB
    assert late < early + 20
    assert np.median(ratios) >= FASTER
    assert outcomes(folder / "reduced.jsonl")[:full_count] == outcomes(folder / "whole.jsonl")


def test_big_photographs(photographs: list[Path], options: list[object], tmp_path: Path) -> None:
    check(photographs, options, tmp_path, 200, 60)


@pytest.mark.full
def test_five_thousand_big_photographs(photographs: list[Path], options: list[object], tmp_path: Path) -> None:
    check(photographs, options, tmp_path, 5000, 200)


@pytest.mark.full
def test_the_sample_set_enlarged_gets_the_same_outcomes(tmp_path: Path) -> None:
    bundle, data = ROOT / "demo/demo.bundle", ROOT / "demo/data"
    if not (bundle / "manifest.json").exists():
        pytest.skip("no sample set yet: ./deploy.sh demo makes it")
    with (data / "labels.csv").open(newline="") as file:
        names = [next(value for value in row.values() if is_image(value)) for row in csv.DictReader(file)]
    paths = [enlarged(data / name, tmp_path / f"{number:05d}.jpg") for number, name in enumerate(names)]
    options = ["--bundle", bundle, "--state", tmp_path / "state", "--workers", 2]
    for name, full_size in (("reduced", False), ("whole", True)):
        classify(paths, tmp_path / f"{name}.jsonl", *options, full_size=full_size)
    pairs = list(zip(outcomes(tmp_path / "reduced.jsonl"), outcomes(tmp_path / "whole.jsonl"), strict=True))
    same = sum(one == other for one, other in pairs)
    print(f"\n{same} of {len(pairs)} enlarged sample images keep their outcome ({same / len(pairs):.2%})")
    assert same / len(pairs) >= SAME


def is_image(value: str) -> bool:
    return Path(value).suffix.lower() in IMAGE_SUFFIXES


def enlarged(source: Path, target: Path) -> Path:
    """To twelve megapixels, its shape kept."""
    picture = cv2.imread(str(source), cv2.IMREAD_COLOR)
    assert picture is not None
    factor = (HEIGHT * WIDTH / (picture.shape[0] * picture.shape[1])) ** 0.5
    large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    target.write_bytes(jpeg(np.asarray(cv2.cvtColor(large, cv2.COLOR_BGR2RGB), np.uint8)))
    return target
