"""The conditions under which a figure was measured. Everything is optional: what cannot be read is left out.

``root`` stands for ``/`` in every function, so that the layouts of other machines can be tested anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import keeping
from fieldlens.runtime.files.trusted import UntrustedError, make_private_folder
from fieldlens.runtime.machine.jetson_modules import module_of

ROOT = Path("/")
_LIBRARIES = (
    "numpy", "opencv-python-headless", "opencv-python", "simplejpeg", "openvino", "onnxruntime", "tensorrt", "pycuda",
)  # fmt: skip
_GPU_CLOCK = re.compile(r"^(.*\.gpu|.*\.(ga10b|gv11b|gp10b|gm20b)|gpu-gpc-\d+)$")
"""The GPU's name under ``/sys/class/devfreq``: ``17000000.gpu`` (JetPack 6), ``17000000.ga10b`` (5), ``gpu-gpc-0``."""


def conditions(root: Path = ROOT) -> dict[str, Any]:
    """Device, CPU, load, power mode, clocks and versions, as they are now."""
    found = {
        "device": device_name(root),
        "module": jetson_module(root),
        "jetpack": jetpack(root),
        "cpu": cpu_name(root),
        "cores": usable_cores(),
        "cpu_quota": _cpu_quota(root),
        "memory_mb": _memory_mb(root),
        "power_mode": power_mode(root),
        "governor": read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocks": clocks(root),
        "load_1min": os.getloadavg()[0],
        "os": _os_name(root),
        "kernel": platform.release(),
        "cuda": cuda_version(root),
        "nvidia_driver": nvidia_driver(root),
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
    return len(usable_core_ids())


def usable_core_ids() -> tuple[int, ...]:
    """Their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def device_name(root: Path = ROOT) -> str:
    """The board's own name (a Jetson's), the product's name (a PC's), or the kind of processor."""
    board = read(root / "proc/device-tree/model")
    return board or read(root / "sys/class/dmi/id/product_name") or platform.machine()


def is_jetson(root: Path = ROOT) -> bool:
    """Whether this is an NVIDIA board with Jetson's Linux. A container on one has the device tree, but not the file."""
    named = "jetson" in read(root / "proc/device-tree/model").lower()
    return named or (root / "etc/nv_tegra_release").exists() or bool(jetson_module(root))


def jetson_module(root: Path = ROOT) -> str:
    """The module with its part number, ``Jetson Orin Nano 8 GB, p3767-0003``; empty elsewhere."""
    return module_of(read(root / "proc/device-tree/compatible"))


def jetson_linux(root: Path = ROOT) -> str:
    """The release of Jetson Linux (L4T), ``36.4.3``; empty elsewhere."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else ""


def jetpack(root: Path = ROOT) -> str:
    """JetPack's version where its package is installed, and Jetson Linux's; empty elsewhere."""
    release = jetson_linux(root)
    if not release:
        return ""
    linux = f"Jetson Linux {release}"
    packages = read(root / "var/lib/dpkg/status")
    kit = re.search(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: ([\d.]+)", packages, flags=re.MULTILINE)
    return f"JetPack {kit[1]} ({linux})" if kit else linux


def power_mode(root: Path = ROOT) -> str:
    """A Jetson's ``nvpmodel`` mode with its name, ``0 (MAXN)``; empty elsewhere."""
    found = re.search(r"pmode:(\d+)", read(root / "var/lib/nvpmodel/status"))
    if not found:
        return ""
    number = int(found[1])
    name = re.search(rf"POWER_MODEL\s+ID={number}\s+NAME=(\S+)", read(root / "etc/nvpmodel.conf"))
    return f"{number} ({name[1]})" if name else str(number)


def cpu_clock_folders(root: Path = ROOT) -> list[Path]:
    """``cpufreq`` folders of the cores this process may use, each once (cores of a cluster share one)."""
    folders: dict[Path, Path] = {}
    for core in usable_core_ids():
        folder = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        if folder.exists():
            folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def gpu_clock_folders(root: Path = ROOT) -> list[Path]:
    """``devfreq`` folders of an integrated GPU."""
    folders = root / "sys/class/devfreq"
    return [path for path in sorted(folders.glob("*")) if _GPU_CLOCK.match(path.name)]


def clock_ranges_mhz(root: Path = ROOT) -> dict[str, tuple[float, float]]:
    """``cpu`` and ``gpu`` → the lowest and the highest clock that the system allows now, in MHz."""
    kinds = {
        "cpu": [(f / "scaling_min_freq", f / "scaling_max_freq", 1e3) for f in cpu_clock_folders(root)],
        "gpu": [(f / "min_freq", f / "max_freq", 1e6) for f in gpu_clock_folders(root)],
    }
    ranges = {}
    for kind, files in kinds.items():
        lows = [value / unit for low, _, unit in files if (value := number(low)) is not None]
        highs = [value / unit for _, high, unit in files if (value := number(high)) is not None]
        if lows and highs:
            ranges[kind] = (min(lows), max(highs))
    return ranges


def clocks(root: Path = ROOT) -> str:
    """``cpu locked at 1510 MHz; gpu free, 306–625 MHz``; empty where the system does not tell (a virtual machine)."""
    return "; ".join(
        f"{kind} locked at {high:.0f} MHz" if low == high else f"{kind} free, {low:.0f}–{high:.0f} MHz"
        for kind, (low, high) in clock_ranges_mhz(root).items()
    )


def cuda_version(root: Path = ROOT) -> str:
    """The CUDA toolkit's version, or an empty string."""
    try:
        return str(json.loads(read(root / "usr/local/cuda/version.json"))["cuda"]["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def nvidia_driver(root: Path = ROOT) -> str:
    """The NVIDIA kernel module's version, or an empty string."""
    found = re.search(r"(?:Module|x86_64|aarch64)\s+(\d[\d.]+)", read(root / "proc/driver/nvidia/version"))
    return found[1] if found else ""


def cpu_name(root: Path = ROOT) -> str:
    """Model name of the first core."""
    return _cpuinfo("model name", root) or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """What instructions the CPU has, as Linux names them (``avx512_bf16``, ``bf16``); empty where it does not tell."""
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


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
    return (Path(base) if base else _home() / ".local" / "state") / "fieldlens"


def _home() -> Path:
    """A user without a home gets one that does not exist: nothing is kept there, and that is said."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def own_state_folder(given: Path | None) -> Path:
    """The state folder, made where it is missing, and certainly ours: what lies in it decides what runs and what is
    answered, so nobody else may have prepared it. Where it cannot be made, nothing is kept, and the run says so
    (:mod:`keeping`). Raises KitError for a folder that is somebody else's."""
    folder = state_folder(given)
    try:
        make_private_folder(folder)
    except UntrustedError as error:
        hint = "give another one with --state DIR, which this user can write and nobody else"
        raise KitError(f"state folder: {error.message}", f"{error.hint}; or {hint}") from error
    except OSError as error:
        if os.path.lexists(folder):
            raise KitError(
                f"state folder: {folder} is not a folder ({error.strerror})", "remove it, or give --state DIR"
            ) from error
        keeping.refused(folder, error)
    return folder


def _cpuinfo(key: str, root: Path = ROOT) -> str:
    for line in read(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def memory_kb(root: Path = ROOT) -> dict[str, int]:
    """``/proc/meminfo``: MemTotal, MemAvailable, SwapTotal, SwapFree and the rest, in kB."""
    pairs = re.findall(r"^(\w+):\s+(\d+)", read(root / "proc/meminfo"), flags=re.MULTILINE)
    return {name: int(value) for name, value in pairs}


def _memory_mb(root: Path) -> int | None:
    total = memory_kb(root).get("MemTotal")
    return total // 1024 if total else None


def _cpu_quota(root: Path) -> str:
    """A container's limit, in cores; empty without one (cgroup v2, ``cpu.max``)."""
    quota, _, period = read(root / "sys/fs/cgroup/cpu.max").partition(" ")
    return f"{int(quota) / int(period):g} cores" if quota.isdigit() and period.isdigit() else ""


def _os_name(root: Path) -> str:
    for line in read(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def read(path: Path) -> str:
    """A small text file without the zero bytes and newlines around it; empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def number(path: Path) -> float | None:
    """A file that holds one number; None where it does not, or cannot be read (a sensor that is powered down)."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
