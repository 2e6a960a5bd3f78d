"""The page of what was recorded on devices that could not measure or draw everything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fieldlens.benchmarks.record.page import render
from fieldlens.runtime.errors import KitError

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def test_a_device_without_matplotlib_has_a_table_and_no_broken_image(tmp_path: Path) -> None:
    results = shutil.copytree(RESULTS, tmp_path / "results")
    pictures = list(results.rglob("bars.png"))
    assert pictures
    with_bars = render(results, tmp_path / "page.md")
    for picture in pictures:
        picture.unlink()
    for part in ("training", "conversion"):
        for path in results.rglob(f"{part}.json"):
            path.unlink()
    without = render(results, tmp_path / "page.md")
    assert "bars.png" in with_bars
    assert "bars.png" not in without
    assert "fieldlens-openvino-int8" in without


NOTED = RESULTS / "h200-tensorrt-8.6" / "notes.json"


def test_noted_figures_stand_last_with_their_remarks_and_conditions(tmp_path: Path) -> None:
    page = render(RESULTS, tmp_path / "page.md")
    recorded, noted = page.split("## NVIDIA H200, TensorRT 8.6.1", 1)
    assert "fieldlens-openvino-int8" in recorded
    assert "notes, not a recorded comparison" in noted
    assert "other programs used up to 14 of the 16 cpu cores" in noted.lower()
    assert "driver 580.159.04, CUDA 13.0" in noted
    assert noted.index("upper bounds") < noted.index("| way |")
    assert "bars.png" not in noted


def test_noted_figures_are_those_of_the_raw_values() -> None:
    """Each row of the network's table, from the file beside it."""
    raw = json.loads((NOTED.parent / "network.json").read_text())
    tables = {table["title"]: table["rows"] for table in json.loads(NOTED.read_text())["tables"]}
    found = {row[0]: row for row in tables["The network alone, batch 1"]}
    for one in raw["tensorrt"]:
        plain = found[f"{one['precision']}: a plain enqueue, page-locked copies"]
        graph = found[f"{one['precision']}: this runtime: CUDA graph, copies (its default here)"]
        assert plain[1] == pytest.approx(one["plain_wall_p50"], abs=1e-4)
        assert graph[1] == pytest.approx(one["graph+copies"]["wall_p50"], abs=1e-4)
        assert graph[5] == pytest.approx(graph[1] / plain[1], abs=1e-3)
        assert graph[5] <= 0.95
    stages = {row[0]: row for row in tables["From the bytes of a 640×480 JPEG to the answer"]}
    latency = json.loads((NOTED.parent / "single-stream.json").read_text())["latency_ms"]
    assert stages["total"][1] == pytest.approx(latency["total"]["p50"], abs=1e-3)


@pytest.mark.parametrize("lost", ["remarks", "conditions"])
def test_no_noted_figure_without_how_it_came_about(tmp_path: Path, lost: str) -> None:
    notes = json.loads(NOTED.read_text())
    del notes[lost]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/notes.json").write_text(json.dumps(notes))
    with pytest.raises(KitError, match=lost):
        render(tmp_path, tmp_path / "page.md")
