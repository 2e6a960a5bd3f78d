"""What tells classes apart without the finding is found, and said before the first epoch and in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_split
from fieldlens.train.data.shortcuts import shortcuts
from fieldlens.train.evaluation.evaluate import evaluate
from fieldlens.train.fitting.fit import fit
from fieldlens.train.fitting.run_data import decode
from tests.train.conftest import make_config

Pixels = npt.NDArray[np.uint8]
Make = Callable[[np.random.Generator, int], tuple[Pixels, str, list[int]]]
"""Random numbers and the class (0: well) → pixels, the file's suffix, OpenCV's parameters."""


def noise(random: np.random.Generator, width: int = 48, height: int = 40, level: float = 110.0) -> Pixels:
    """A blotch somewhere, with grain: the same for both classes."""
    blotch = cv2.GaussianBlur(random.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 4)
    grain = random.normal(0, 6, (height, width))
    return np.clip(level + 300 * blotch + grain, 0, 255).astype(np.uint8)


def nothing(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    side = int(random.integers(38, 60))
    return noise(random, side + int(random.integers(0, 9)), side, random.uniform(60, 180)), ".jpg", [1, 90]


def shape(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    """One machine has one format; the sick are of two machines, above and below it, so no threshold tells."""
    return noise(random, (48 if not sick else int(random.choice((40, 60)))), 40), ".png", []


def kind(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    return noise(random), ".png" if sick else ".bmp", []


def compression(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    return noise(random), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 60 if sick else 97]


def light(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    return noise(random, level=random.uniform(120, 180) if sick else random.uniform(60, 125)), ".png", []


def focus(random: np.random.Generator, sick: int) -> tuple[Pixels, str, list[int]]:
    pixels = noise(random)
    return (cv2.GaussianBlur(pixels, (0, 0), 1.2).astype(np.uint8) if sick else pixels), ".bmp", []


def made(root: Path, make: Make, count: int = 60, of_one: int = 1, seed: int = 5) -> Path:
    """``count`` images of each class, ``of_one`` of each subject, in a folder per class."""
    random = np.random.default_rng(seed)
    lines = ["image,label,group"]
    for index in range(2 * count):
        pixels, suffix, parameters = make(random, index % 2)
        name = f"{index:03d}{suffix}"
        root.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), pixels, parameters)
        lines.append(f"{name},{('well', 'ill')[index % 2]},s{index % 2}-{index // 2 // of_one}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def found(data_path: Path, tmp_path: Path, config: Config | None = None) -> list[str]:
    config = config or make_config()
    data, parts = load_split(data_path, config.data, None)
    return [each.measure for each in shortcuts(data, decode(config, data, parts, tmp_path).train)]


@pytest.mark.parametrize(
    ("make", "measures"),
    [
        (nothing, []), (shape, ["width over height", "the number of pixels"]), (kind, ["the kind of file"]),
        (compression, ["the file's bytes per pixel"]), (light, ["brightness"]), (focus, ["sharpness"]),
    ],
)  # fmt: skip
def test_what_differs_is_named(make: Make, measures: list[str], tmp_path: Path) -> None:
    assert set(measures) <= set(found(made(tmp_path / "data", make), tmp_path))
    if not measures:
        assert not found(tmp_path / "data", tmp_path)


def test_one_subject_with_many_images_is_no_proof(tmp_path: Path) -> None:
    """Two subjects a class: each has a machine of its own, and so of course has its class."""
    assert found(made(tmp_path / "data", shape, of_one=8), tmp_path) == []


@pytest.mark.parametrize("seed", range(8))
def test_chance_is_not_reported(seed: int, tmp_path: Path) -> None:
    assert found(made(tmp_path / "data", nothing, 40, seed=seed), tmp_path) == []


def test_fit_warns_before_the_first_epoch_and_the_report_says_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(make_config(train={"epochs": 1}), made(tmp_path / "data", kind), tmp_path / "run", reporter=Lines())
    said = capsys.readouterr().out
    assert said.index("warning: classes can be told apart without the finding") < said.index("epoch   1/1")
    assert "the kind of file tells" in said
    stored = json.loads((tmp_path / "run/run.json").read_text())["shortcuts"]
    assert stored[0]["measure"] == "the kind of file"
    assert stored[0]["low"] > 0.9
    evaluate(tmp_path / "run", tmp_path / "data")
    limits = json.loads((tmp_path / "run/report.json").read_text())["limits"]
    assert any("told apart without the finding: the kind of file tells" in line for line in limits)
