"""A bundle as the converter makes it, built into engines by the fake TensorRT of each generation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.open import open_bundle
from tests.fakes.gpu import World
from tests.fakes.install import install
from tests.fakes.workshop import build_engine, chosen


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, version: str) -> Iterator[World]:
    world = World()
    install(monkeypatch, world, version)
    yield world
    assert world.violations == []
    assert world.held() == []


@pytest.mark.parametrize(
    ("version", "precision"),
    [
        ("8.6.1", "fp32"), ("8.6.1", "fp16"), ("8.6.1", "int8"), ("10.3.0", "fp16"), ("11.4.0.106", "fp16"),
        ("11.4.0.106", "int8"),
    ],
)  # fmt: skip
def test_every_precision_is_accepted(
    world: World, version: str, precision: str, bundle_folder: Path, tmp_path: Path
) -> None:
    """Parser, golden images, layers: with the files and the tolerances that a device gets."""
    bundle = open_bundle(bundle_folder)
    assert chosen(build_engine(bundle, tmp_path / "state", "--precision", precision)).chosen == precision
