"""A Jetson's power mode and clocks, where they were asked for.

``nvpmodel -m N`` sets a mode, which the board keeps over restarts; ``jetson_clocks`` holds the clocks at the most that
the mode allows, until the next restart (NVIDIA, Jetson Linux Developer Guide, "Platform Power and Performance").
On an Orin some changes need a restart: nvpmodel asks ``DO YOU WANT TO REBOOT NOW?``, and who does not say yes has not
changed the mode. Its exit code says neither, so the mode is read again afterwards. No device is restarted from here.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from fieldlens.runtime.machine.host import power_mode, read
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused

_SECONDS = 60.0
_MODEL = re.compile(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", flags=re.MULTILINE)
_QUERIED = re.compile(r"NV Power Mode: *\S+\s+(\d+)")


def is_jetson(layout: DeviceFolders) -> bool:
    """Whether this device is one."""
    return bool(read(layout.root / "etc/nv_tegra_release"))


def modes(layout: DeviceFolders) -> dict[int, str]:
    """Number → name of each mode that this board has."""
    return {int(number): name for number, name in _MODEL.findall(read(layout.root / "etc/nvpmodel.conf"))}


def check(layout: DeviceFolders, mode: int | None, clocks: bool) -> None:
    """Whether this board can do what was asked for. Raises UpdateRefused."""
    if mode is None and not clocks:
        return
    if not is_jetson(layout):
        raise UpdateRefused("no-jetson", "this device is no Jetson, so it has no power mode", "leave the option out")
    known = modes(layout)
    if mode is not None and known and mode not in known:
        names = ", ".join(f"{number} ({name})" for number, name in sorted(known.items()))
        raise UpdateRefused("power-mode", f"this board has no power mode {mode}", f"it has {names}")


def apply(layout: DeviceFolders, mode: int | None, clocks: bool) -> list[str]:
    """Set what was asked for; what a person has to know. Raises UpdateRefused."""
    check(layout, mode, clocks)
    notes = [] if mode is None else _set_mode(layout, mode)
    if clocks:
        _run(["jetson_clocks"])
    return notes


def _set_mode(layout: DeviceFolders, mode: int) -> list[str]:
    if _mode_now() == mode:
        return []
    said = _run(["nvpmodel", "-m", str(mode)], given="no\n")
    if _mode_now() == mode:
        return []
    if "reboot" not in said.lower():
        raise UpdateRefused("power-mode", f"nvpmodel did not take mode {mode}: {said[-300:]}", "sudo nvpmodel -q")
    return [
        f"power mode {mode} needs a restart of the board: on it, sudo nvpmodel -m {mode}, and answer YES; until then "
        f"it runs in {power_mode(layout.root) or 'the mode before'}"
    ]


def _mode_now() -> int | None:
    found = _QUERIED.search(_run(["nvpmodel", "-q"]))
    return int(found[1]) if found else None


def _run(words: list[str], given: str = "") -> str:
    """What the command says, errors included: nvpmodel writes to both, and its exit code says little."""
    if shutil.which(words[0]) is None:
        raise UpdateRefused(
            "no-jetson", f"{words[0]} is not on this device", "it comes with JetPack: nvidia-l4t-nvpmodel"
        )
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpdateRefused("power-mode", f"{' '.join(words)}: {error}", "run it by hand on the device") from error
    if words[0] == "jetson_clocks" and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise UpdateRefused("power-mode", f"jetson_clocks: {said or done.returncode}", "run it as root on the device")
    return f"{done.stdout}\n{done.stderr}".strip()


def shown(layout: DeviceFolders, wanted: int | None, clocks: bool) -> str:
    """For ``status``: the mode, and whether it is the one that was asked for. Empty on other machines."""
    now = power_mode(layout.root)
    if not now:
        return ""
    words = [now]
    if wanted is not None and now.split()[0] != str(wanted):
        words.append(f"NOT {wanted}, which was asked for: see docs/deploy.md#power-mode")
    if clocks:
        words.append("clocks held at their highest")
    return ", ".join(words)
