"""The promises of speed, measured: ResNet-18 at 224 px from JPEG bytes of 640×480, processes that take turns."""

from __future__ import annotations

import pytest

from fieldlens.benchmarks.device.compare.comparison import Comparison, ComparisonSettings, ContenderRow, compare
from fieldlens.benchmarks.device.compare.output import table
from fieldlens.benchmarks.device.compare.stage import ComparisonSubject, prepare
from fieldlens.benchmarks.device.compare.statistics import Ratio
from fieldlens.benchmarks.device.contenders.catalogue import REFERENCE, pick
from fieldlens.benchmarks.device.machine.validity import verdict

pytestmark = pytest.mark.full

FLOOR = "floor-openvino-int8"
AT_LEAST = {"opencv-onnxruntime-fp32": 2.5, "documents": 4.0}
TIMES_FLOOR = 1.25
"""Decoding and inference alone, of the same files, are the floor that no runtime can be below."""
START_MS = 1000.0


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Comparison:
    """A quiet machine is needed: load slows torch's threads more than ours, so either way it would be no evidence."""
    stage = prepare(ComparisonSubject(None, "resnet18", 224), tmp_path_factory.mktemp("speed"))
    peers = pick(["opencv-openvino-int8", "opencv-onnxruntime-int8", *AT_LEAST, FLOOR])
    found = compare(stage, peers, ComparisonSettings(rounds=20, per_round=15, starts=3, settle_s=120.0))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + table(found) + "\n" + verdict(found.quiet))
    if found.quiet.doubts():
        pytest.skip(f"the machine was not quiet: {'; '.join(found.quiet.doubts())}")
    return found


def row(found: Comparison, name: str) -> ContenderRow:
    row = next(row for row in found.rows if row.contender.name == name)
    assert row.note is None, f"{name}: {row.note}"
    return row


def ratio(found: Comparison, name: str) -> Ratio:
    value = row(found, name).ratio
    assert value is not None
    return value


def test_ours_is_first(measured: Comparison) -> None:
    """To a whole Prediction with heat map and gate, where the others stop at probabilities."""
    assert measured.reference == REFERENCE
    for name in ("opencv-openvino-int8", "opencv-onnxruntime-int8"):
        assert ratio(measured, name).low > 1, name


@pytest.mark.parametrize(("name", "times"), AT_LEAST.items(), ids=list(AT_LEAST))
def test_ours_is_several_times_faster(measured: Comparison, name: str, times: float) -> None:
    assert ratio(measured, name).value >= times


def test_ours_is_close_to_the_floor(measured: Comparison) -> None:
    assert 1 / ratio(measured, FLOOR).value <= TIMES_FLOOR


def test_the_second_start_answers_within_a_second(measured: Comparison) -> None:
    start_ms = row(measured, REFERENCE).start_ms
    assert start_ms is not None
    assert start_ms <= START_MS
