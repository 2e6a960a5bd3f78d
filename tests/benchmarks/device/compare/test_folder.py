"""Images of a folder a second: real processes, too few turns for the figures to mean anything."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fieldlens.benchmarks.device.compare.comparison import IMAGES_A_TURN, Comparison, compare
from fieldlens.benchmarks.device.compare.output import json_lines, table
from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.contenders.catalogue import FOLDER, FOLDER_REFERENCE, OURS, pick
from tests.benchmarks.conftest import QUICK, Invent

ANSWER = "def answer(data): return [0.5, 0.5]"
MANY = """turns, Single = [], Loaded
def many(paths):
    turns.append(1)
    if len(turns) > 2: raise ValueError('overheated')
def answer(data): return None
def Loaded(answer, runs): return Single(answer, runs, many=many)"""


def test_a_folder_is_timed_beside_the_others(comparison: Comparison) -> None:
    ours, openvino = comparison.folders
    assert (ours.contender.name, openvino.contender.name) == (FOLDER_REFERENCE, "folder-openvino-throughput")
    for row in comparison.folders:
        assert row.note is None, row.note
        assert len(row.seconds) == QUICK.rounds
        assert row.images == IMAGES_A_TURN * QUICK.per_round
        assert row.per_second is not None
        assert row.per_second > 1
        assert row.ratio is not None
    assert ours.ratio is not None
    assert ours.ratio.value == 1
    lines = [json.loads(line) for line in json_lines(comparison).splitlines()]
    assert {tuple(line) for line in lines} == {tuple(lines[0])}, "the same keys in every line"
    assert [line["contender"] for line in lines[-2:]] == [row.contender.name for row in comparison.folders]
    assert lines[-1]["images_per_s"] == pytest.approx(openvino.per_second, abs=1e-3)
    assert "images of a folder" in table(comparison)


def test_one_that_fails_is_a_row_with_its_reason(stage: Stage, invent: Invent) -> None:
    ours, failing, single = invent("ours", ANSWER, OURS), invent("failing", MANY, FOLDER), invent("one", ANSWER, FOLDER)
    found = compare(stage, [ours, failing, single], replace(QUICK, rounds=2))
    assert [(row.per_second, row.ratio) for row in found.folders] == [(None, None)] * 2
    assert "overheated" in (found.folders[0].note or "")
    assert "takes one image at a time" in (found.folders[1].note or "")
    assert "overheated" in table(found)


@pytest.mark.parametrize(("asked", "folders"), [(["documents"], 0), (["folder-openvino-throughput"], 2), (None, 3)])
def test_folders_take_part_where_they_are_asked_for(asked: list[str] | None, folders: int) -> None:
    assert sum(each.group == FOLDER for each in pick(asked)) == folders
