"""The promise of speed, measured: ResNet-18 at 224 px from JPEG bytes of 640×480, processes that take turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.commands import verdict
from benchmarks.comparison import Settings, compare
from benchmarks.contenders.catalogue import REFERENCE, pick
from benchmarks.output import table
from benchmarks.stage import Subject, prepare

TIMES_FASTER = 4.0
TIMES_FLOOR = 1.25
"""Decoding and inference alone, of the same files, are the floor that no runtime can be below."""


@pytest.mark.full
def test_ours_against_the_documents_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To a whole Prediction with heat map and gate, OpenVINO INT8, against Pillow + torchvision + torch eager."""
    stage = prepare(Subject(None, "resnet18", 224), tmp_path)
    peers = pick(["documents", "floor-openvino-int8"])
    found = compare(stage, peers, Settings(rounds=20, per_round=15, starts=0, settle_s=90.0))
    with capsys.disabled():
        print("\n" + table(found) + "\n" + verdict(found.quiet))
    rows = {row.contender.name: row for row in found.rows}
    assert found.reference == REFERENCE
    documents, floor = rows["documents"].ratio, rows["floor-openvino-int8"].ratio
    assert documents is not None, rows["documents"].note
    assert floor is not None, rows["floor-openvino-int8"].note
    if found.quiet.doubts():  # either way no evidence: load slows torch's threads more than ours
        pytest.skip(f"{documents.value:.2f} times, but the machine was not quiet: {'; '.join(found.quiet.doubts())}")
    assert documents.value >= TIMES_FASTER
    assert 1 / floor.value <= TIMES_FLOOR
