"""What the doctor looks at on the machine itself: power, clocks, heat, memory, disk, the clock on the wall.

Every check takes ``root`` (``/``), so that other machines' layouts can be tested anywhere, and gives one line.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.machine import host
from fieldlens.runtime.machine.encryption import is_encrypted
from fieldlens.runtime.machine.sensors import Sensors

OK, WARN, FAIL = "ok", "warn", "fail"
_MB, _GB = 2**20, 2**30
LEAST_MEMORY_MB, COMFORTABLE_MEMORY_MB = 400, 1000
LEAST_DISK, COMFORTABLE_DISK = 200 * _MB, _GB
HOT_C = 85.0
NOT_BEFORE = 1_735_689_600.0
"""1 January 2025: this kit is younger, so a clock that shows an earlier day was never set."""

_MAKE_SWAP = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
)
_LOCK_CLOCKS = (
    "sudo jetson_clocks --store && sudo jetson_clocks, on the board and not in a container; "
    "sudo jetson_clocks --restore goes back, and so does a restart"
)


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, in words, and the command that fixes it (empty where all is well)."""

    name: str
    status: str
    words: str
    fix: str = ""


def board(root: Path) -> Check:
    """What this is, as an engineer will be asked first: board, module and release."""
    facts = (host.device_name(root), host.jetson_module(root), host.jetpack(root))
    return Check("device", OK, "; ".join(fact for fact in facts if fact))


def power_mode(root: Path) -> Check:
    """A Jetson's power mode; elsewhere there is none."""
    if not host.is_jetson(root):
        return Check("power mode", OK, "no Jetson, so no nvpmodel")
    mode = host.power_mode(root)
    if not mode:
        return Check("power mode", WARN, "nvpmodel has no mode set", "sudo nvpmodel -q, then sudo nvpmodel -m 0")
    return Check("power mode", OK, f"nvpmodel {mode}")


def clocks(root: Path) -> Check:
    """Locked clocks make figures comparable. A station does not need them, so free ones are no failure."""
    ranges = host.clock_ranges_mhz(root)
    if not ranges:
        return Check("clocks", OK, "not visible here (a virtual machine, mostly)")
    if all(low == high for low, high in ranges.values()):
        return Check("clocks", OK, host.clocks(root))
    if host.is_jetson(root):
        return Check("clocks", WARN, f"{host.clocks(root)}: benchmarks will wander", _LOCK_CLOCKS)
    governor = host.read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    words = f"{host.clocks(root)}, governor {governor}"
    if governor == "performance":
        return Check("clocks", OK, words)
    fix = "sudo cpupower frequency-set --governor performance"
    return Check("clocks", WARN, f"{words}: benchmarks will wander", fix)


def heat(root: Path) -> Check:
    """The hottest zone now, and whether the machine is being slowed down."""
    sample = Sensors(root).read()
    slowed = [kind for kind, state in sample.cooling.items() if state > 0]
    if not sample.temperature_c:
        return Check("heat", OK, "no temperature sensor is visible")
    zone = max(sample.temperature_c, key=lambda name: sample.temperature_c[name])
    words = f"{zone} at {sample.temperature_c[zone]:.0f} °C"
    if slowed:
        return Check("heat", WARN, f"{words}; slowed down by {', '.join(slowed)}", "cool it: fan, heat sink, shade")
    if sample.temperature_c[zone] >= HOT_C:
        return Check("heat", WARN, words, "cool it: fan, heat sink, shade")
    return Check("heat", OK, words)


def memory(root: Path) -> Check:
    """Memory that can be had now; a model and the libraries need about 400 MB."""
    found = host.memory_kb(root)
    if "MemAvailable" not in found:
        return Check("memory", OK, "not visible here")
    free_mb = found["MemAvailable"] // 1024
    words = f"{free_mb:,} of {found['MemTotal'] // 1024:,} MB available"
    fix = "ps -eo rss,args --sort=-rss | head, and end what is not needed"
    if free_mb < LEAST_MEMORY_MB:
        return Check("memory", FAIL, words, fix)
    return Check(
        "memory",
        OK if free_mb >= COMFORTABLE_MEMORY_MB else WARN,
        words,
        "" if free_mb >= COMFORTABLE_MEMORY_MB else fix,
    )


def swap(root: Path) -> Check:
    """Building an engine needs more memory than running it: a small Jetson needs swap for that."""
    found = host.memory_kb(root)
    total, free = found.get("SwapTotal", 0) // 1024, found.get("SwapFree", 0) // 1024
    small_jetson = host.is_jetson(root) and found.get("MemTotal", 0) < 12 * 2**20
    if total == 0 and small_jetson:
        return Check("swap", WARN, "none: building engines may run out of memory", _MAKE_SWAP)
    if total and (total - free) > total / 2:
        return Check("swap", WARN, f"{total - free:,} of {total:,} MB used: answers will stall", "free memory as above")
    return Check("swap", OK, f"{total - free:,} of {total:,} MB used" if total else "none, and none needed")


def disk(state: Path) -> Check:
    """Room for plans and records where this device keeps its state, and the right to write there."""
    folder = state
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check("disk", FAIL, f"{state} cannot be written", f'sudo install -d -o "$USER" {state}')
    free = shutil.disk_usage(folder).free
    words = f"{free / _GB:.1f} GB free for {state}"
    fix = "sudo journalctl --vacuum-size=100M; sudo apt-get clean; du -xh / | sort -h | tail"
    if free < LEAST_DISK:
        return Check("disk", FAIL, words, fix)
    return Check("disk", OK if free >= COMFORTABLE_DISK else WARN, words, "" if free >= COMFORTABLE_DISK else fix)


def encryption(root: Path, state: Path) -> Check:
    """Whoever takes the machine takes its disk: records and images lie there as they are."""
    folder = Path(os.path.realpath(state))
    encrypted = is_encrypted(folder, root)
    if encrypted is None:
        return Check("encryption", OK, "no disk is visible here (a container, mostly)")
    if encrypted:
        return Check("encryption", OK, f"the disk of {state} is encrypted")
    fix = "install the system with an encrypted disk (LUKS), or keep the records on one: docs/station.md, Privacy"
    return Check("encryption", WARN, f"the disk of {state} is not encrypted: a thief can read its records", fix)


def wall_clock(root: Path, now: float | None = None) -> Check:
    """A clock that was never set puts wrong dates on records. Signatures do not depend on it."""
    now = time.time() if now is None else now
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < NOT_BEFORE:
        return Check(
            "clock", WARN, f"it shows {shown}: it was never set", 'sudo timedatectl set-time "YYYY-MM-DD HH:MM:SS"'
        )
    synced = (root / "run/systemd/timesync/synchronized").exists()
    if not synced and not list(root.glob("sys/class/rtc/rtc*")) and host.is_jetson(root):
        return Check(
            "clock",
            WARN,
            f"{shown}, but no battery clock keeps it",
            "add the board's RTC battery, or a network time source",
        )
    return Check("clock", OK, f"{shown}{', synchronised' if synced else ''}")
