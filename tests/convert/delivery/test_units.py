"""The units that `provision` installs: accepted by systemd itself where it is here, and hardened."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fieldlens.convert.delivery.provision import UNIT_FILES
from fieldlens.runtime.updating.arguments import RUNTIME, STATION
from fieldlens.runtime.updating.service import UNITS

FOLDER = Path(__file__).resolve().parents[3] / "deploy"
HARDENING = (
    "User=fieldlens", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
    "SupplementaryGroups=video", "CapabilityBoundingSet=", "Restart=always", "Type=notify", "WatchdogSec=60",
)  # fmt: skip
OWN = {
    STATION: ("StartLimitBurst=10", f"Conflicts={UNITS[RUNTIME]}"),
    RUNTIME: ("StartLimitIntervalSec=0", f"Conflicts={UNITS[STATION]}"),
}


def test_every_unit_is_installed() -> None:
    assert {path.name for path in FOLDER.glob("fieldlens-*")} == set(UNIT_FILES)
    assert set(UNITS.values()) < set(UNIT_FILES)


@pytest.mark.parametrize("runs", UNITS)
def test_a_service_is_hardened_and_recovers_first(runs: str) -> None:
    lines = (FOLDER / UNITS[runs]).read_text().splitlines()
    assert {*HARDENING, *OWN[runs]} <= set(lines)
    assert "ExecStartPre=+/opt/fieldlens/bin/fieldlens device prepare" in lines


def test_one_service_is_as_hardened_as_the_other() -> None:
    """A setting that one of them gets belongs to both: they run the same code, beside the same records."""
    station, runtime = (
        {line for line in (FOLDER / UNITS[runs]).read_text().splitlines() if line and not line.startswith("#")}
        for runs in (STATION, RUNTIME)
    )
    apart = {line.partition("=")[0] for line in station ^ runtime}
    assert apart == {"Description", "Conflicts", "StartLimitIntervalSec", "StartLimitBurst", "RestartSec"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_takes_them(tmp_path: Path) -> None:
    """With the program put where a device would have it."""
    program = tmp_path / "fieldlens"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    quoted = f'"{program}"'  # a folder of tests may have a space in its name
    for name in UNIT_FILES:
        text = (FOLDER / name).read_text().replace("/opt/fieldlens/bin/fieldlens", quoted)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNIT_FILES)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "fieldlens-" in line]
    assert not ours, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.parametrize(
    "unit", sorted(path.name for path in FOLDER.glob("*.service") if "\nUser=" in path.read_text())
)
def test_systemd_calls_it_hardened(unit: str) -> None:
    """Its own measure of what a service could do to its machine: 0 to 10; 3.7 with a camera and a GPU to reach."""
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=40", str(FOLDER / unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
