"""Processes that take turns: the figures, the rows, and contenders that misbehave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldlens.benchmarks.device.compare import lane
from fieldlens.benchmarks.device.compare.comparison import Comparison, compare
from fieldlens.benchmarks.device.compare.stage import ComparisonSubject, Stage, prepare
from fieldlens.benchmarks.device.contenders.catalogue import ALL, FOLDERS, OURS, REFERENCE, pick
from fieldlens.benchmarks.device.machine.validity import exit_code
from fieldlens.benchmarks.networks import torch_weights
from fieldlens.runtime.errors import KitError
from tests.benchmarks.conftest import QUICK, Invent, burning

STEADY = "def answer(data):\n    time.sleep(0.004)\n    return [0.5, 0.5]"
SLOWER = "def answer(data):\n    time.sleep(0.008)\n    return [0.5, 0.5]"
CRASHING = """seen = []
def answer(data):
    seen.append(1)
    if len(seen) > 30: raise ValueError('overheated')
    return [1, 0]"""
SPINNING = """def spin():
    while True: pass
def answer(data):
    if threading.active_count() < 2: threading.Thread(target=spin, daemon=True).start()
    return [0.5, 0.5]"""


def row_of(comparison: Comparison, name: str) -> Any:
    return next(row for row in comparison.rows if row.contender.name == name)


def test_every_contender_answers_and_is_timed(comparison: Comparison) -> None:
    for name in (REFERENCE, "opencv-onnxruntime-fp32", "documents", "floor-openvino-int8"):
        row = row_of(comparison, name)
        assert row.note is None, row.note
        assert [len(turn) for turn in row.rounds] == [3, 3, 3]
        assert row.times["p50_ms"] > 0
        assert row.first_start_ms is not None
        assert row.first_start_ms > 50
        assert row.peak_mb is not None
        assert row.peak_mb > 20
    assert comparison.reference == REFERENCE
    assert row_of(comparison, REFERENCE).ratio.value == 1


def test_peers_run_the_same_network(comparison: Comparison) -> None:
    """Other decoders and resizers move a probability a little; another network would move it a lot."""
    for name in ("opencv-onnxruntime-fp32", "documents", REFERENCE):
        assert row_of(comparison, name).largest_difference < 0.2
    assert row_of(comparison, "fieldlens-openvino-fp32").agrees == 1
    assert row_of(comparison, "documents").accuracy is not None
    assert row_of(comparison, "floor-openvino-int8").accuracy is None


def test_without_gate_and_map_ours_gives_the_same_probabilities(comparison: Comparison) -> None:
    bare, whole = row_of(comparison, "fieldlens-openvino-int8-no-gate"), row_of(comparison, REFERENCE)
    assert bare.note is None, bare.note
    assert bare.ratio is not None
    assert (bare.largest_difference, bare.accuracy) == (whole.largest_difference, whole.accuracy)


def test_what_is_missing_is_a_row(stage: Stage, invent: Invent) -> None:
    absent = replace(invent("absent", STEADY), needs=("no_such_library",), install="pip install no_such_library")
    row = row_of(compare(stage, [invent("steady", STEADY, OURS), absent], QUICK), "absent")
    assert row.note == "not installed (no_such_library): pip install no_such_library"
    assert row.times == {}


def test_a_known_ratio_is_found(stage: Stage, invent: Invent) -> None:
    found = compare(stage, [invent("steady", STEADY, OURS), invent("slower", SLOWER)], replace(QUICK, rounds=5))
    assert found.reference == "steady"
    assert row_of(found, "slower").ratio.value == pytest.approx(2, rel=0.25)


def test_further_starts_are_fresh_processes(stage: Stage, invent: Invent) -> None:
    found = compare(stage, [invent("steady", STEADY, OURS)], replace(QUICK, rounds=1, starts=2))
    row = row_of(found, "steady")
    assert len(row.starts_ms) == 2
    assert min(row.starts_ms) > 10  # a Python does not start faster
    assert row.start_ms == pytest.approx(sum(row.starts_ms) / 2)


def test_a_contender_that_fails_does_not_stop_the_others(stage: Stage, invent: Invent) -> None:
    peers = [
        invent("steady", STEADY, OURS),
        invent("crashing", CRASHING),
        invent("broken", "import no_such_module"),
    ]
    found = compare(stage, peers, QUICK)
    assert len(row_of(found, "steady").rounds) == 3
    assert "overheated" in row_of(found, "crashing").note
    assert "no_such_module" in row_of(found, "broken").note
    assert row_of(found, "crashing").times == {}


def test_threads_that_keep_running_make_the_run_invalid(
    stage: Stage, invent: Invent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_ASLEEP_WITHIN_S", 0.1)
    peers = [invent("steady", STEADY, OURS), invent("spinning", SPINNING)]
    found = compare(stage, peers, QUICK)
    assert found.quiet.kept_spinning == {"spinning"}
    assert any("spinning" in doubt for doubt in found.quiet.doubts())


def test_a_loaded_machine_makes_the_run_invalid(stage: Stage, invent: Invent) -> None:
    with burning():
        found = compare(stage, [invent("steady", STEADY, OURS)], QUICK)
    assert exit_code(found.quiet) == 4


def test_a_bundle_by_a_relative_path_is_found(
    bundle_folder: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contenders run in another folder: only from the kit's own was it found."""
    monkeypatch.chdir(bundle_folder.parent)
    stage = prepare(ComparisonSubject(Path(bundle_folder.name), images=labelled, state=Path("state")), tmp_path)
    assert stage.job(pick([])[0], 1).bundle == str(bundle_folder)
    assert stage.state == str(bundle_folder.parent / "state")


def test_a_network_that_torchvision_does_not_have_is_compared_with_the_other_peers(
    bundle_folder: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's, without its last stage, was refused whatever the peers."""
    monkeypatch.setattr(torch_weights, "_CONVOLUTIONS", {"resnet18": 99})
    stage = prepare(ComparisonSubject(bundle_folder, images=labelled), tmp_path)
    assert (stage.arch, stage.weights) == ("resnet18", "")
    assert set(stage.models) == {"fp32", "int8-cpu"}
    comparison = compare(stage, pick(["opencv-onnxruntime-fp32", "documents"]), QUICK)
    assert row_of(comparison, "opencv-onnxruntime-fp32").note is None
    assert "no weights for torchvision's resnet18" in row_of(comparison, "documents").note


def test_without_ours_there_is_nothing_to_compare(stage: Stage, invent: Invent) -> None:
    with pytest.raises(KitError, match="nothing to compare"):
        compare(stage, [invent("broken", "import no_such_module", OURS)], QUICK)


def test_the_order_on_the_command_line_changes_nothing() -> None:
    names = ["opencv-dnn", "documents", "fieldlens-onnxruntime-int8"]
    assert pick(names) == pick(names[::-1])
    assert REFERENCE in [contender.name for contender in pick(names)]
    assert pick(None) == (*ALL, *FOLDERS)


def test_an_unknown_peer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(KitError, match="opencv-dn") as error:
        pick(["opencv-dn"])
    assert "opencv-dnn" in error.value.hint
