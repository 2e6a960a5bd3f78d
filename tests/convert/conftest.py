"""Fixtures of the converter's tests: a real run on small generated data, and a real bundle of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from fieldlens.train.config import Config
from fieldlens.train.fitting.fit import fit
from fieldlens.train.model import build_model, normalise
from fieldlens.train.recipe import config_from_json

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
ALL = ("fp32", "fp16", "int8", "int8-trt8", "int8-cpu")
PARTS = {"train": 160, "val": 72, "test": 60}

Pixels = npt.NDArray[np.uint8]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def picture(label: int, seed: int, side: int = 48) -> Pixels:
    """Noise and light of any kind; class 1 has a bright spot somewhere. uint8 RGB ``[side,side,3]``."""
    draw = np.random.default_rng(seed)
    image = cv2.resize(draw.uniform(60, 120, (4, 4, 3)).astype(np.float32), (side, side))
    if label:
        centre = (int(draw.integers(side // 5, side - side // 5)), int(draw.integers(side // 5, side - side // 5)))
        spot = np.zeros((side, side), np.float32)
        cv2.circle(spot, centre, side // 8, 1.0, -1)
        image = image + cv2.GaussianBlur(spot, (0, 0), side / 24)[..., None] * draw.uniform(33, 110)
    return np.clip(image + draw.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def real_like(count: int, size: int = SIZE) -> Pixels:
    """A batch ``[count,size,size,3]`` of such images."""
    return np.stack([picture(index % 2, 9000 + index, size) for index in range(count)])


def trained_looking(
    arch: str, classes: int = 3, dropout: float = 0.0, output_stride: int = 32, stages: int = 4
) -> nn.Module:  # fmt: skip
    """A network whose batch norms have seen something: fresh ones fold into nothing."""
    torch.manual_seed(1)
    network = build_model(arch, classes, dropout, output_stride, stages).train()
    with torch.no_grad():
        for _ in range(3):
            network(normalise(torch.from_numpy(real_like(8))))
    return network.eval()


def arrays(parts: dict[str, int]) -> dict[str, npt.NDArray[np.generic]]:
    """A MedMNIST-style set."""
    content: dict[str, npt.NDArray[np.generic]] = {}
    for offset, (part, count) in enumerate(parts.items()):
        labels = np.arange(count) % 2
        content[f"{part}_images"] = np.stack([picture(int(v), offset * 10_000 + i) for i, v in enumerate(labels)])
        content[f"{part}_labels"] = labels[:, None]
    return content


def recipe(**data: object) -> Config:
    """A few steps of a ResNet-18 at 64 px."""
    return config_from_json(
        {
            "recipe": {"name": "spots"},
            "data": {"labels": {"0": "clear", "1": "spot"}, "display": {"spot": "A spot"}, **data},
            "preprocess": {"steps": [{"step": "resize", "size": SIZE}]},
            "model": {"dropout": 0.1},
            "train": {"epochs": 4, "threads": 1, "batch_size": 20, "lr": 0.002, "warmup": 0.2, "metric": "val_loss"},
            "decision": {"positive": ["spot"], "rounds": 50},
        }
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set as an ``.npz``."""
    path = tmp_path_factory.mktemp("data") / "spots.npz"
    np.savez(path, **arrays(PARTS))  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run, made by the trainer itself."""
    folder = tmp_path_factory.mktemp("runs") / "spots"
    threads = torch.get_num_threads()
    fit(recipe(), data, folder)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def broken_run(run: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(run, tmp_path / "spots"))


@pytest.fixture(scope="session")
def command() -> Command:
    """``python -m convert …`` in a process of its own."""

    def call(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "convert", *map(str, arguments)],
            cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="session")
def bundle_folder(run: Path, tmp_path_factory: pytest.TempPathFactory, command: Command) -> Path:
    """The run's bundle, made by the command line."""
    out = tmp_path_factory.mktemp("bundles") / "spots.bundle"
    done = command("bundle", run, "--out", out, "--version", 7, "--label", "spring", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return out
