"""Two runs: the same story, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldlens.benchmarks.cli import main
from fieldlens.benchmarks.device.compare.agreement import agreement, show
from fieldlens.runtime.errors import KitError


def run(folder: Path, hour: int = 10, valid: bool = True, images: int = 16, **medians_ms: float) -> Path:
    """A folder as ``compare --out`` writes it; five steady rounds per contender."""
    folder.mkdir()
    facts = {
        "conditions": {"time_utc": f"2026-01-01T{hour:02d}:00:00Z"}, "network": {"arch": "resnet18"},
        "images": {"count": images}, "bundle": {"hash": "x"}, "quiet": {"valid": valid},
    }  # fmt: skip
    (folder / "conditions.json").write_text(json.dumps(facts))
    times = {name: [[value * (1 + 0.002 * turn)] * 3 for turn in range(5)] for name, value in medians_ms.items()}
    (folder / "raw.json").write_text(json.dumps(times))
    lines = [json.dumps({"contender": name, "reference": "ours"}) for name in medians_ms]
    (folder / "compare.jsonl").write_text("\n".join(lines))
    return folder


def test_a_slower_hour_for_all_changes_no_ratio(tmp_path: Path) -> None:
    first = run(tmp_path / "a", ours=3.0, torch=12.0, dnn=9.0)
    found = agreement(first, run(tmp_path / "b", hour=11, ours=3.3, torch=13.2, dnn=9.9))
    assert found.holds
    assert found.hours_apart == 1
    assert found.changes["torch"] == pytest.approx((4, 4))
    assert (found.decided, found.reversed) == (3, ())
    assert "none turned round" in show(found)


def test_a_ratio_that_moved_is_told(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", ours=3.0, torch=12.0), run(tmp_path / "b", ours=3.0, torch=13.5)
    found = agreement(first, second)
    name, change = found.largest
    assert name == "torch"
    assert change == pytest.approx(0.125)
    assert not found.holds
    assert main(["agree", str(first), str(second), "--json", str(tmp_path / "a.json")]) == 2
    assert json.loads((tmp_path / "a.json").read_text())["holds"] is False


def test_an_order_turned_round_is_told(tmp_path: Path) -> None:
    first = run(tmp_path / "a", ours=3.0, torch=12.0, dnn=11.5)
    second = run(tmp_path / "b", ours=3.0, torch=11.5, dnn=12.0)
    found = agreement(first, second)
    assert found.reversed == (("dnn", "torch"),)
    assert not found.holds
    assert "dnn before torch" in show(found)


@pytest.mark.parametrize(("change", "word"), [({"valid": False}, "INVALID"), ({"images": 3}, "different things")])
def test_what_cannot_be_compared_is_refused(tmp_path: Path, change: dict, word: str) -> None:
    first = run(tmp_path / "a", ours=3.0, torch=12.0)
    with pytest.raises(KitError, match=word):
        agreement(first, run(tmp_path / "b", **change, ours=3.0, torch=12.0))
    with pytest.raises(KitError, match="cannot be read"):
        agreement(first, tmp_path / "nowhere")
