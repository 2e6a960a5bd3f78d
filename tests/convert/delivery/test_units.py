"""The units that `provision` installs: accepted by systemd itself where it is here, and hardened."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fieldlens.convert.delivery.provision import UNITS
from fieldlens.runtime.updating.service import UNIT

FOLDER = Path(__file__).resolve().parents[3] / "deploy"
HARDENING = (
    "User=fieldlens", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
    "SupplementaryGroups=video", "CapabilityBoundingSet=", "Restart=always", "StartLimitBurst=10",
)  # fmt: skip


def test_every_unit_is_installed() -> None:
    assert {path.name for path in FOLDER.glob("fieldlens-*")} == set(UNITS)
    assert UNIT in UNITS


def test_the_service_is_hardened_and_recovers_first() -> None:
    lines = (FOLDER / UNIT).read_text().splitlines()
    assert set(HARDENING) <= set(lines)
    assert "ExecStartPre=+/opt/fieldlens/bin/fieldlens device prepare" in lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_takes_them(tmp_path: Path) -> None:
    """With the program put where a device would have it."""
    program = tmp_path / "fieldlens"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in UNITS:
        text = (FOLDER / name).read_text().replace("/opt/fieldlens/bin/fieldlens", str(program))
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "fieldlens-" in line]
    assert not ours, done.stderr
    assert done.returncode == 0, done.stderr
