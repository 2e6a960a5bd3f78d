"""The gate on spoilt images: that the command counts rightly, and, in a long run, what the demo's gate detects."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldlens.benchmarks.cli import main
from fieldlens.benchmarks.device.detection import subjects
from fieldlens.benchmarks.device.detection.detection import GOOD, WRONG, Detection, DetectionRow, Seen, separation
from fieldlens.benchmarks.device.detection.faults import catalogue
from fieldlens.convert.assembly import bundle as make_bundle
from fieldlens.convert.origin.origin import BundleOptions
from fieldlens.train.demo_data.photographs import make_demo_data
from fieldlens.train.fitting.fit import fit
from fieldlens.train.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[4]
Capture = pytest.CaptureFixture[str]


def row(kind: str, fault: str, retakes: int, right: int | None) -> DetectionRow:
    missed = None if right is None else max(0, 10 - right - retakes)
    return DetectionRow(kind, fault, "", 10, retakes, right, missed, Counter({"noise": retakes}), [1.0], [2.0])


RESULT = Detection(
    [row(GOOD, "as they are", 0, 10), row("dark", "a little", 2, 9), row("dark", "much", 10, 5),
     row(WRONG, "a wall", 9, None), row(WRONG, "leaves", 7, None), row("near", "near: a lamp", 4, 10)],
    "b 1", "openvino int8", "10 files", "the label", 0,
)  # fmt: skip


def test_a_fault_that_costs_nothing_does_not_count() -> None:
    kinds = RESULT.kinds()
    assert list(kinds) == [GOOD, "dark", WRONG]
    assert (kinds["dark"]["n"], kinds["dark"]["retake"], kinds["dark"]["least"]) == (10, 1.0, 1.0)
    assert (kinds[WRONG]["n"], kinds[WRONG]["retake"], kinds[WRONG]["least"]) == (20, 0.8, 0.7)
    low, high = kinds[WRONG]["interval"]
    assert low < 0.8 < high


def test_an_image_is_counted_once_in_every_column() -> None:
    counted = DetectionRow("dark", "x", "")
    for answer, findings in (((0,), ()), ((1,), ()), ((1,), ("noise", "ood"))):
        counted.add(Seen(answer, findings, 1.0, None), (0,))
    assert (counted.n, counted.retakes, counted.right, counted.missed) == (3, 1, 1, 1)
    assert counted.accuracy == pytest.approx(1 / 3)
    assert counted.findings == {"noise": 1, "ood": 1}


def test_separation_by_hand() -> None:
    known, strange = np.arange(100.0), np.array([50.0, 200.0, 300.0, 400.0])
    found = separation(known, strange)
    assert found["fpr_at_95_tpr"] == 0.25
    assert found["auroc"] == pytest.approx((50.5 / 100 + 3) / 4)


def test_strengths_are_told_at_both_sizes() -> None:
    reported = {fault.name: fault.stated(480, 96) for fault in catalogue()}
    assert reported["defocus, radius"] == "21.6 px of 480 = 4.32 px of 96"
    assert reported["underexposed"] == "-5 stops"
    assert reported["grain"] == "σ 120 of 255 = 24.0 at 96 px"


@pytest.mark.parametrize("name", subjects.names())
def test_subjects_differ_from_each_other_and_repeat_themselves(name: str) -> None:
    one, same, other = (subjects.subject(name, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (480, 640, 3)
    assert one.dtype == np.uint8
    assert (one == same).all()
    assert np.abs(one.astype(int) - other).mean() > 3


def test_the_command(bundle_folder: Path, labelled: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "gate.json"
    common = ["--bundle", str(bundle_folder), "--images", str(labelled), "--state", str(tmp_path)]
    assert main(["gate", *common, "--limit", "2", "--near", str(labelled), "--json", str(out)]) == 0
    printed, kept = capsys.readouterr().out, json.loads(out.read_text())
    assert "| as they are" in printed.replace("good          ", "")
    assert {line["kind"] for line in kept["rows"]} == {
        GOOD, "blurred", "dark", "overexposed", "noise", WRONG, "near"
    }  # fmt: skip
    assert [line["n"] for line in kept["rows"]] == [6, *[2] * (len(kept["rows"]) - 2), 6]
    assert kept["truth"] == "the label"
    assert kept["rows"][0]["right"] is not None


@pytest.mark.full
def test_the_demos_gate_detects_what_costs_answers(tmp_path: Path) -> None:
    """The recipe as shipped, fitted on seed 0 and judged on subjects of seed 23, on which nothing was chosen."""
    torch.set_num_threads(os.cpu_count() or 1)
    make_demo_data(tmp_path / "data")
    fit(load_recipe(ROOT / "recipes/demo.toml"), tmp_path / "data", tmp_path / "run")
    make_bundle(tmp_path / "run", tmp_path / "demo.bundle", BundleOptions(targets=("cpu",)))
    make_demo_data(tmp_path / "other", seed=23)
    out = tmp_path / "gate.json"
    arguments = ["--bundle", tmp_path / "demo.bundle", "--images", tmp_path / "other", "--state", tmp_path / "state"]
    assert main(["gate", *map(str, arguments), "--limit", "60", "--json", str(out)]) == 0
    kinds = json.loads(out.read_text())["kinds"]
    assert kinds[GOOD]["retake"] <= 0.03
    for kind in ("blurred", "dark", "overexposed", "noise", WRONG):
        assert kinds[kind]["rows"] >= 1
        assert kinds[kind]["retake"] >= 0.9, kind
