"""The conditions under which a figure was measured. Everything is optional: what cannot be read is left out."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "opencv-python-headless", "opencv-python", "simplejpeg", "openvino", "onnxruntime", "tensorrt")


def conditions() -> dict[str, Any]:
    """Device, CPU, load and versions, as they are now."""
    found = {
        "device": _read("/proc/device-tree/model") or _read("/sys/class/dmi/id/product_name") or platform.machine(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_mb": _memory_mb(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_1min": os.getloadavg()[0],
        "os": _os_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions(),
        "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def versions() -> dict[str, str]:
    """Installed versions of the libraries that a figure depends on."""
    installed = {}
    for name in _LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Model name of the first core."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_fingerprint() -> str:
    """Hash of the CPU's name and instruction sets: where it differs, INT8 may give other numbers."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return hashlib.sha256(f"{cpu_name()} {flags}".encode()).hexdigest()[:16]


def state_folder(given: Path | None) -> Path:
    """``--state``, else the service's state folder, else the user's (XDG base directories)."""
    if given is not None:
        return given
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "fieldlens"


def _cpuinfo(key: str) -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _memory_mb() -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _os_name() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
