"""The conditions of a figure: what ``runtime/machine`` reads, clocks and power mode, and what a person states."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.machine.host import conditions, number, read

_PEERS = ("torch", "torchvision", "pillow", "onnx", "matplotlib")


def surroundings(power_mode: str | None = None, cores: list[int] | None = None) -> dict[str, Any]:
    """Everything that is known now. ``power_mode`` is a person's word for what no file on this machine says."""
    found = conditions()
    found["versions"] = {**found.get("versions", {}), **_versions()}
    stated = f"{power_mode} (as stated)" if power_mode else ""
    if mode := stated or found.get("power_mode") or _profile() or _governor(found):
        found["power_mode"] = mode
    if clocks := clocks_mhz(cores or [0]):
        found["clocks_mhz"] = clocks
    return found


def missing(found: dict[str, Any]) -> list[str]:
    """What a figure must not be published without, and this machine does not tell."""
    return [name for name in ("device", "cpu", "cores", "power_mode", "clocks_mhz", "versions") if not found.get(name)]


def require(found: dict[str, Any]) -> None:
    """Raises KitError that names what is missing and how to give it."""
    if lacking := missing(found):
        stated = "power_mode" in lacking
        raise KitError(
            f"the conditions are not recorded: this machine does not tell {', '.join(lacking)}",
            'state it with --power-mode "…" (a virtual machine: who sets its clocks)' if stated
            else "run it on a Linux system with /proc and /sys",
        )  # fmt: skip


def clocks_mhz(cores: list[int]) -> list[int]:
    """Of each core now; from cpufreq, else /proc/cpuinfo (in a virtual machine that is the nominal clock)."""
    files = (Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq") for core in cores)
    if found := [round(khz / 1000) for file in files if (khz := number(file))]:
        return found
    lines = [line.partition(":") for line in read(Path("/proc/cpuinfo")).splitlines()]
    listed = [round(float(value)) for name, _, value in lines if name.strip() == "cpu MHz"]
    return [listed[core] for core in cores if core < len(listed)]


def _profile() -> str | None:
    text = read(Path("/sys/firmware/acpi/platform_profile"))
    return f"platform profile {text}" if text else None


def _governor(found: dict[str, Any]) -> str | None:
    return f"governor {found['governor']}" if found.get("governor") else None


def _versions() -> dict[str, str]:
    installed = {}
    for name in _PEERS:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
