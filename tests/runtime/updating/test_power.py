"""A Jetson's power mode. The commands here behave as those of a board were seen to:

- ``nvpmodel -q`` prints ``NV Power Mode: MAXN`` and the number on the next line (jetson_stats, jtop/core/nvpmodel.py,
  and anduril/jetpack-nixos#460, an AGX Thor);
- a change that needs a restart asks ``DO YOU WANT TO REBOOT NOW?``, and whoever declines has not changed the mode,
  whatever the exit code says (almond-bot/axol#107);
- a mode that the driver refuses prints ``NVPM ERROR: failed to set power mode!`` (OE4T/meta-tegra#1268, an Orin Nano).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.updating import power
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused

NVPMODEL = """#!/bin/sh
# Mode 1 at once; mode 2 only after a restart; mode 3 is what the driver refuses. $STATUS is the board's memory.
echo "$@" >>"$CALLS"
case "$1" in
  -q) printf 'NV Power Mode: X\\n'; sed 's/pmode:0*\\(.\\)/\\1/' "$STATUS" ;;
  -m) case "$2" in
    0 | 1) echo "pmode:000$2" >"$STATUS" ;;
    2) echo "NVPM WARN: Reboot required for changing to this power mode: 2" >&2
       echo "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
       read -r answer; [ "$answer" != YES ] || touch "$STATUS.restarted" ;;
    *) echo "NVPM ERROR: failed to set power mode!"; exit 255 ;;
  esac ;;
esac
"""
CONF = "".join(
    f"< POWER_MODEL ID={number} NAME={name} >\n" for number, name in enumerate(("MAXN", "15W", "30W", "50W"))
)


@pytest.fixture
def board(layout: DeviceFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeviceFolders:
    """A Jetson in mode 0, with the two commands."""
    programs, status = tmp_path / "programs", layout.root / "var/lib/nvpmodel/status"
    for path, text in (
        (layout.root / "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3"),
        (layout.root / "etc/nvpmodel.conf", CONF),
        (status, "pmode:0000"),
        (programs / "nvpmodel", NVPMODEL),
        (programs / "jetson_clocks", '#!/bin/sh\necho clocks >>"$CALLS"\n'),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    for name, value in (("PATH", f"{programs}:/usr/bin:/bin"), ("STATUS", status), ("CALLS", tmp_path / "calls")):
        monkeypatch.setenv(name, str(value))
    return layout


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []


def test_a_mode_is_set_once_and_shown(board: DeviceFolders, tmp_path: Path) -> None:
    assert power.apply(board, 1, clocks=True) == []
    assert power.shown(board, 1, clocks=True) == "1 (15W), clocks held at their highest"
    power.apply(board, 1, clocks=False)
    assert calls(tmp_path) == ["-q", "-m 1", "-q", "clocks", "-q"], "what is set already is not set again"


def test_a_mode_that_needs_a_restart_is_said_and_nothing_restarts(board: DeviceFolders) -> None:
    (note,) = power.apply(board, 2, clocks=False)
    assert "needs a restart of the board" in note
    assert "0 (MAXN)" in note
    assert not (board.root / "var/lib/nvpmodel/status.restarted").exists()
    assert power.shown(board, 2, clocks=False).startswith("0 (MAXN), NOT 2, which was asked for")


def test_a_mode_that_the_driver_refuses(board: DeviceFolders) -> None:
    with pytest.raises(UpdateRefused, match="failed to set power mode!") as refused:
        power.apply(board, 3, clocks=False)
    assert refused.value.reason == "power-mode"


def test_a_mode_that_the_board_has_not_is_refused_before_anything(board: DeviceFolders, tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match="no power mode 7") as refused:
        power.check(board, 7, clocks=False)
    assert refused.value.hint == "it has 0 (MAXN), 1 (15W), 2 (30W), 3 (50W)"
    assert calls(tmp_path) == []


def test_another_machine_has_none(layout: DeviceFolders) -> None:
    assert power.apply(layout, None, clocks=False) == []
    assert power.shown(layout, None, clocks=False) == ""
    for mode, clocks in ((0, False), (None, True)):
        with pytest.raises(UpdateRefused, match="no Jetson") as refused:
            power.apply(layout, mode, clocks)
        assert refused.value.reason == "no-jetson"


def test_a_board_without_the_command_says_which_package_has_it(
    board: DeviceFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UpdateRefused, match="nvpmodel is not on this device") as refused:
        power.apply(board, 1, clocks=False)
    assert "nvidia-l4t-nvpmodel" in refused.value.hint
