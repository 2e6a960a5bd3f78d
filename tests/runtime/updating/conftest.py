"""Fixtures of the updater's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.updating.layout import DeviceFolders
from tests.runtime.updating.device import three_versions


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the versions ``1``, ``2`` and ``3`` of a tiny bundle."""
    return three_versions(tmp_path_factory.mktemp("made"))


@pytest.fixture
def layout(tmp_path: Path) -> DeviceFolders:
    """The folders of a device that has nothing yet."""
    return DeviceFolders(tmp_path / "root")


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here waits for a real disk: a kill loses nothing that was written, and a power cut is a model."""
    monkeypatch.setattr("os.fsync", lambda _: None)
