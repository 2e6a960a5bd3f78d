"""Signs of life: what is in them, and that a run does not depend on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.running import heartbeat
from fieldlens.runtime.running.heartbeat import LifeSigns, read_heartbeat
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.sources.cameras.camera import CameraLog
from tests.runtime.conftest import ORIGIN


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.0)


def test_a_run_is_counted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path, log = tmp_path / "beat.json", RunLog()
    signs = LifeSigns(path, ORIGIN)
    signs.ready("tiny", log)
    first = read_heartbeat(path)
    assert first is not None
    assert (first.bundle_hash, first.answered, first.camera) == (ORIGIN.bundle_hash, 0, "none")
    assert (first.last_image_s, first.latency_p95_ms) == (None, None)
    log.outcomes["negative"] += 1
    log.latency.add(0.0, dict.fromkeys(heartbeat_stages(), 5.0))
    log.cameras.append(CameraLog("csi://0"))
    signs.beat()
    second = read_heartbeat(path)
    assert second is not None
    assert (second.answered, second.camera, second.began_s) == (1, "opening", first.began_s)
    assert second.last_image_s is not None
    assert second.latency_p95_ms == pytest.approx(5.0, rel=0.01)
    assert "source" not in path.read_text(), "no image and no patient"
    signs.close()
    assert not path.exists()


def heartbeat_stages() -> tuple[str, ...]:
    return tuple(RunLog().latency.stages)


@pytest.mark.parametrize(
    ("captured", "lost", "reopened", "state"),
    [(0, 0, 0, "opening"), (3, 0, 0, "live"), (3, 1, 0, "lost"), (5, 1, 1, "live")],
)
def test_cameras(tmp_path: Path, captured: int, lost: int, reopened: int, state: str) -> None:
    log = RunLog()
    log.cameras.append(CameraLog("csi://0", captured=captured, lost=lost, reopened=reopened))
    signs = LifeSigns(tmp_path / "beat.json", ORIGIN)
    signs.ready("tiny", log)
    found = read_heartbeat(tmp_path / "beat.json")
    assert found is not None
    assert found.camera == state


def test_a_place_that_takes_none_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    log = RunLog()
    (tmp_path / "file").touch()
    signs = LifeSigns(tmp_path / "file/beat.json", ORIGIN)
    signs.ready("tiny", log)
    signs.beat()
    assert len(log.notes) == 1
    assert "cannot be written" in log.notes[0]
