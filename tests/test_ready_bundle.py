"""The ready bundle of ``./deploy.sh try``: the committed one where it is there, and its way with one made here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fieldlens.convert.slim import slim
from fieldlens.runtime.bundle.open import open_bundle
from tests.runtime.conftest import build_bundle, tiny_manifest

ROOT = Path(__file__).resolve().parents[1]
READY = ROOT / "recipes/ready/demo.bundle"
LIMIT_BYTES = 14_000_000
TRY_LIMIT_S = 60.0
_WITHOUT = """
import runpy, sys
for name in ("torch", "torchvision", "onnx", "onnxruntime", "sklearn", "scipy", "matplotlib", "PIL", "tqdm"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

committed = pytest.mark.skipif(
    not (READY / "manifest.json").is_file(),
    reason="recipes/ready/demo.bundle is not here: ./deploy.sh ready-bundle makes it (torch, about 5 minutes)",
)


def on_device(*words: object) -> subprocess.CompletedProcess[str]:
    """``python -m …`` in the repository, where nothing can be imported that a device lacks."""
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample images, drawn as ``try`` draws them."""
    folder = tmp_path_factory.mktemp("try") / "images"
    done = on_device("train", "demo-data", folder, "--images", 30, "--seed", 1)
    assert done.returncode == 0, done.stderr
    return folder / "images"


def answers(bundle: Path, images: Path, place: Path) -> list[dict[str, object]]:
    """What ``try``'s last step writes, with its report."""
    done = on_device(
        "runtime", "classify", images, "--bundle", bundle, "--json", place / "r.jsonl", "--report", place / "r.html",
        "--state", place / "state",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place / "r.html").stat().st_size > 1000
    return [json.loads(line) for line in (place / "r.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_partial_bundle_answers_sample_images_without_torch(images: Path, tmp_path: Path) -> None:
    whole = build_bundle(tmp_path / "tiny.bundle", tiny_manifest())
    slim(whole, tmp_path / "ready.bundle", ("cpu",))
    assert len(answers(tmp_path / "ready.bundle", images, tmp_path)) == 30


@committed
def test_the_ready_bundle_is_small_partial_and_whole_in_what_it_has() -> None:
    bundle = open_bundle(READY)
    assert bundle.precisions == ("int8-cpu",)
    assert bundle.absent == ("model.fp32.onnx",)
    assert bundle.manifest.name == "demo"
    assert sum(path.stat().st_size for path in READY.rglob("*") if path.is_file()) <= LIMIT_BYTES


@committed
def test_the_ready_bundle_tells_the_demos_classes_apart(images: Path, tmp_path: Path) -> None:
    truth = {}
    for line in (images.parent / "labels.csv").read_text(encoding="utf-8").splitlines()[1:]:
        name, label = line.split(",")[:2]
        truth[Path(name).name] = label
    found = answers(READY, images, tmp_path)
    outcomes = [(truth[Path(str(line["source"])).name], line["outcome"]) for line in found]
    missed = [label for label, outcome in outcomes if label == "ragged-mark" and outcome == "no-sign-found"]
    assert len(missed) <= 1, outcomes


@committed
@pytest.mark.full
def test_try_answers_within_a_minute_from_an_empty_environment(tmp_path: Path) -> None:
    """In a copy, so that nobody's environment is touched; the package cache is this machine's."""
    kit = tmp_path / "kit"
    for name in ("runtime", "train", "convert", "benchmarks", "recipes", "locks"):
        shutil.copytree(ROOT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "fieldlens", kit / "fieldlens", symlinks=True)
    shutil.copy(ROOT / "deploy.sh", kit)
    began = time.perf_counter()
    done = subprocess.run(["bash", "deploy.sh", "try"], cwd=kit, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    size_mb = sum(path.stat().st_size for path in kit.rglob("*") if path.is_file()) / 1e6
    print(f"\n./deploy.sh try: {seconds:.0f} s, {size_mb:.0f} MB")
    assert seconds < TRY_LIMIT_S
    assert (kit / "try/report.html").is_file()
