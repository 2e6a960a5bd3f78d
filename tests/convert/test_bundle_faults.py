"""What ``convert bundle`` refuses, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldlens.convert.assembly import bundle as make_bundle
from fieldlens.convert.assembly import make_from
from fieldlens.convert.cli import main
from fieldlens.convert.origin.origin import BundleOptions, Origin
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from tests.convert.conftest import PARTS, ROOT, Command, arrays


def truncated_checkpoint(run: Path) -> None:
    data = (run / "best.pt").read_bytes()
    (run / "best.pt").write_bytes(data[: len(data) // 2])


def wrong_classes(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    facts["classes"].append({"id": "third", "display": "third"})
    (run / "run.json").write_text(json.dumps(facts))


def missing_split(run: Path) -> None:
    (run / "split.csv").unlink()


def unfinished(run: Path) -> None:
    (run / "operating-point.json").unlink()


def changed_data(run: Path) -> None:
    content = arrays(PARTS)
    content["val_labels"][0] = 1
    np.savez(run / "changed.npz", **content)  # type: ignore[arg-type]
    (run / "local.json").write_text(json.dumps({"data": str(run / "changed.npz")}))


def broken_data(run: Path) -> None:
    (run / "broken.npz").write_bytes(b"PK\x03\x04 no more")
    (run / "local.json").write_text(json.dumps({"data": str(run / "broken.npz")}))


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (truncated_checkpoint, "best.pt is truncated or corrupt"),
    (wrong_classes, "classes is ['clear', 'spot'], run.json says ['clear', 'spot', 'third']"),
    (missing_split, "split.csv is missing"),
    (unfinished, "operating-point.json is missing"),
    (changed_data, "is not the data that spots was trained on"),
    (broken_data, "broken.npz cannot be read"),
]


def refused(code: int, errors: str, message: str) -> None:
    assert code == 2, errors
    error, hint = errors.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_broken_run_is_refused(
    spoil: Callable[[Path], None],
    message: str,
    broken_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(broken_run)
    code = run_cli(lambda: main(["bundle", str(broken_run), "--out", str(tmp_path / "out" / "no.bundle")]))
    refused(code, capsys.readouterr().err, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("spoil", "message"), [FAULTS[4]], ids=["data"])
def test_a_broken_run_is_refused_by_a_process(
    spoil: Callable[[Path], None], message: str, broken_run: Path, tmp_path: Path, command: Command
) -> None:
    spoil(broken_run)
    done = command("bundle", broken_run, "--out", tmp_path / "out" / "no.bundle")
    refused(done.returncode, done.stderr, message)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused(broken_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(broken_run / "best.pt", weights_only=True)
    checkpoint["model"]["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(checkpoint, broken_run / "best.pt")
    with pytest.raises(KitError, match="not finite"):
        make_bundle(broken_run, tmp_path / "no.bundle", BundleOptions())


def test_too_few_images_asked_for_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(KitError, match="--calibration-images 31: INT8 needs at least 32"):
        make_bundle(run, tmp_path / "no.bundle", BundleOptions(calibration_images=31))
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_is_in_use_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(KitError, match="exists and is not empty"):
        make_bundle(run, tmp_path, BundleOptions())
    assert (tmp_path / "mine").read_text() == "keep"


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_leaves_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.bundle"
    process = subprocess.Popen(
        [sys.executable, "-m", "convert", "bundle", str(run), "--out", str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".half.bundle.*.tmp/model.fp32.onnx")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_second_conversion_to_the_same_target_is_told_at_once(tmp_path: Path) -> None:
    out = tmp_path / "same.bundle"

    def never() -> Origin:
        raise AssertionError("read")

    with atomic.alone(out), pytest.raises(KitError, match="another process is making"):
        make_from(never, out, BundleOptions())
    assert list(tmp_path.iterdir()) == []
