"""A rural line: 1 Mbit/s and cut twice. What has arrived is not sent again."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.bundle.manifest import Version
from fieldlens.runtime.bundle.open import open_bundle
from tests.convert.delivery.loopback import Loopback
from tests.runtime.conftest import seal

SIZE_BYTES = 2_000_000


@pytest.mark.full
def test_a_throttled_line_that_is_cut_twice(device: Loopback, bundles: Path, tmp_path: Path) -> None:
    """At most 1.1 times the bundle's bytes go over the line, handshakes of three sessions included."""
    copy = Path(shutil.copytree(bundles / "3", tmp_path / "copy"))
    (copy / "report.html").write_bytes(os.urandom(SIZE_BYTES))
    manifest = open_bundle(bundles / "3").manifest
    seal(copy, dataclasses.replace(manifest, version=Version(7, "7.0")))
    sign_bundle(copy, device.keys.folder / "maker@test")
    size = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    line = device.line
    line.bytes_up, line.bits_per_s, line.cuts_at = 0, 1e6, [SIZE_BYTES // 3, 2 * SIZE_BYTES // 3]
    done = device.push(copy)
    line.bits_per_s = 0.0
    assert done.result["version"]["number"] == 7
    assert done.tries == 3
    assert line.cuts_at == []
    print(f"{line.bytes_up / size:.3f} times the bundle's {size} bytes")
    assert line.bytes_up <= 1.1 * size
