"""The page of what was recorded on devices that could not measure or draw everything."""

from __future__ import annotations

import shutil
from pathlib import Path

from fieldlens.benchmarks.record.page import render

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
