"""A tiny network's bundle, labelled images, contenders that are made for the test, and one small real comparison."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldlens.benchmarks.device import image_set
from fieldlens.benchmarks.device.compare.comparison import Comparison, ComparisonSettings, compare
from fieldlens.benchmarks.device.compare.stage import ComparisonSubject, Stage, prepare
from fieldlens.benchmarks.device.contenders.catalogue import PEER, Contender, pick
from fieldlens.benchmarks.networks import throwaway

PEERS = [
    "opencv-onnxruntime-fp32", "documents", "tensorrt-enqueue", "floor-openvino-int8", "fieldlens-openvino-fp32",
    "fieldlens-openvino-int8-no-gate",
    "folder-openvino-throughput",
]  # fmt: skip
QUICK = ComparisonSettings(rounds=3, per_round=3, starts=0, settle_s=0.0)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 at 64 px with random weights."""
    folder = tmp_path_factory.mktemp("made") / "random.bundle"
    throwaway.make(folder, "resnet18", 64, 32)
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six JPEG files and ``labels.csv``."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["image,label"]
    for seed in range(6):
        (folder / f"{seed}.jpg").write_bytes(image_set.jpeg(image_set.scene(seed)))
        rows.append(f"{seed}.jpg,{'one' if seed % 2 else 'other'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def stage(bundle_folder: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    subject = ComparisonSubject(bundle_folder, images=labelled, labels=labelled / "labels.csv")
    return prepare(subject, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def comparison(stage: Stage) -> Comparison:
    """A real one, with processes: too short for its figures to mean anything."""
    return compare(stage, pick(PEERS), QUICK)


Invent = Callable[..., Contender]


@pytest.fixture
def invent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invent:
    """Contenders from a few lines: ``answer(data)`` and what comes before it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, code: str, group: str = PEER) -> Contender:
        lines = ["import time, threading", "from fieldlens.benchmarks.device.contenders.base import Loaded", code]
        lines += ["def load(job):", "    return Loaded(answer, 'invented')"]
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        return Contender(name, name, group, name, "fp32", (), "")

    return make


@contextmanager
def burning() -> Iterator[None]:
    """Every core busy with somebody else's work."""
    command = [sys.executable, "-c", "print('on', flush=True)\nwhile True: pass"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
