"""``fieldlens doctor``: one line per thing that a station needs, and the command that fixes what is wrong.

Nothing is changed, and nothing is started but ``ssh-keygen`` where a policy asks for signatures.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.signature import device_policy, find_program, read_lists
from fieldlens.runtime.doctor import csi_checks, machine_checks
from fieldlens.runtime.doctor.machine_checks import FAIL, OK, WARN, Check
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.machine import host

Probe = Callable[[str], Any]
"""Imports a module by name; raises ImportError."""
_DEVICE = "pip install -r runtime/requirements.txt"
_JETSON = "pip install -r runtime/requirements-jetson.txt"
_STATIC_TLS = re.compile(r"(/\S+\.so[\d.]*): cannot allocate memory in static TLS block")
_LEAST_PYTHON = (3, 10)
_MAKE_POLICY = (
    'sudo install -d /etc/fieldlens && echo \'{"allowed_signers": "allowed_signers"}\' | '
    "sudo tee /etc/fieldlens/policy.json, and put the signers' public keys beside it"
)
_PCI_NVIDIA, _PCI_DISPLAY = "0x10de", "0x03"


def doctor(arguments: argparse.Namespace) -> int:
    """Print all checks; 2 where one of them is a failure."""
    checks = examine(host.ROOT, host.state_folder(arguments.state), arguments.bundle)
    failed = any(check.status == FAIL for check in checks)
    if arguments.json:
        print(json_text({"healthy": not failed, "checks": [asdict(check) for check in checks]}))
    else:
        print("\n".join(map(printable, lines(checks))))
    return EXIT_REFUSED if failed else EXIT_OK


def lines(checks: list[Check]) -> list[str]:
    """One line a check, the command that fixes it under it, and the sum."""
    width = max(len(check.name) for check in checks)
    found = []
    for check in checks:
        found.append(f"{check.status:<5}{check.name:<{width + 2}}{check.words}")
        if check.fix:
            found.append(f"{'':<5}{'':<{width + 2}}→ {check.fix}")
    counts = [f"{sum(check.status == status for check in checks)} {status}" for status in (OK, WARN, FAIL)]
    return [*found, ", ".join(counts)]


def examine(root: Path, state: Path, bundle: Path | None, probe: Probe = importlib.import_module) -> list[Check]:
    """All checks, in the order in which one would fix things."""
    gpu = has_gpu(root)
    checks = [
        machine_checks.board(root),
        python(),
        module("numpy", probe, root),
        module("simplejpeg", probe, root),
        opencv(probe, root),
        opencv_owner(host.versions(), root),
        cameras(root),
        csi_checks.csi_cameras(root),
        cuda(root, gpu),
        gpu_module("TensorRT", "tensorrt", probe, root, gpu),
        gpu_module("pycuda", "pycuda.driver", probe, root, gpu),
        cpu_backends(probe, gpu),
        machine_checks.power_mode(root),
        machine_checks.clocks(root),
        machine_checks.heat(root),
        machine_checks.memory(root),
        machine_checks.swap(root),
        machine_checks.disk(state),
        machine_checks.encryption(root, state),
        machine_checks.wall_clock(root),
        signature_policy(),
    ]
    if bundle is not None:
        checks += [check_bundle(bundle), *plans(bundle, state, gpu)]
    return checks


def python() -> Check:
    """3.10 is JetPack 6's."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _LEAST_PYTHON:
        return Check(
            "Python", FAIL, f"{version} is too old", "sudo apt-get install python3.10-venv, then make .venv again"
        )
    return Check("Python", OK, f"{version} at {sys.executable}")


def _tried(name: str, probe: Probe) -> tuple[Any, str]:
    """The module, or None and why. A library of another NumPy or CUDA fails in many ways while it is imported."""
    try:
        return probe(name), ""
    except Exception as error:  # noqa: BLE001  (whatever it is, the doctor's answer is to say so)
        return None, str(error).splitlines()[0] if str(error) else type(error).__name__


def loader_fix(why: str) -> str:
    """The command for what the dynamic linker said, or an empty string.

    A library that came too late for thread-local memory has to come first (NVIDIA-AI-IOT/trt_pose#111). A container
    gets libnvdla_compiler.so from the host's driver, and JetPack 7.2 no longer has it: a TensorRT made for JetPack 6
    fails there (Jonah-May-OSS/wyoming-whisper-trt#1038).
    """
    if late := _STATIC_TLS.search(why):
        return f'export LD_PRELOAD="{late[1]}", and start again'
    if "libnvdla_compiler.so" in why:
        return (
            "JetPack 6: sudo apt-get install nvidia-l4t-dla-compiler on the host, and docker run --runtime nvidia; "
            "JetPack 7.2 has no such package: use the host's own TensorRT, or an image made for JetPack 7.2"
        )
    return ""


def module(name: str, probe: Probe, root: Path) -> Check:
    """A library without which nothing runs."""
    found, why = _tried(name, probe)
    if found is None:
        return Check(name, FAIL, why, loader_fix(why) or (_JETSON if host.is_jetson(root) else _DEVICE))
    return Check(name, OK, str(getattr(found, "__version__", "")) or host.versions().get(name, "installed"))


def opencv(probe: Probe, root: Path) -> Check:
    """Its build decides which cameras can be opened: CSI cameras need GStreamer, which no wheel has."""
    found, why = _tried("cv2", probe)
    jetson = host.is_jetson(root)
    if found is None:
        install = "sudo apt-get install python3-opencv" if jetson else _DEVICE
        return Check("OpenCV", FAIL, why, loader_fix(why) or install)
    from fieldlens.runtime.machine.opencv_build import GSTREAMER_HINT, has

    text = str(found.getBuildInformation())
    gstreamer, v4l = has("GStreamer", text), has("v4l/v4l2", text)
    words = f"{found.__version__}, GStreamer {_yes(gstreamer)}, V4L2 {_yes(v4l)}, FFmpeg {_yes(has('FFMPEG', text))}"
    if jetson and not gstreamer:
        return Check("OpenCV", WARN, f"{words}: CSI cameras cannot be opened", GSTREAMER_HINT)
    if not v4l:
        return Check("OpenCV", WARN, f"{words}: USB cameras cannot be opened", _DEVICE)
    return Check("OpenCV", OK, words)


def opencv_owner(installed: dict[str, str], root: Path) -> Check:
    """Two packages that both bring cv2 overwrite each other's files."""
    owners = [name for name in installed if name.startswith("opencv")]
    if len(owners) > 1:
        fix = f"pip uninstall {' '.join(owners)}, then install one of them"
        return Check("OpenCV's owner", FAIL, f"{' and '.join(owners)} are both installed", fix)
    if owners and host.is_jetson(root):
        return Check("OpenCV's owner", WARN, f"{owners[0]} hides JetPack's OpenCV", f"pip uninstall {owners[0]}")
    return Check("OpenCV's owner", OK, owners[0] if owners else "the system's package")


def cameras(root: Path) -> Check:
    """Cameras and the right to use them. A USB camera shows a second device for its metadata, which is left out."""
    found = [
        path for path in sorted(root.glob("sys/class/video4linux/video*")) if host.read(path / "index") in ("", "0")
    ]
    if not found:
        return Check("cameras", WARN, "none attached", "plug one in; then: v4l2-ctl --list-devices")
    named = {path.name: host.read(path / "name") or "camera" for path in found}
    closed = [name for name in named if not os.access(root / "dev" / name, os.R_OK | os.W_OK)]
    words = ", ".join(f"/dev/{name} ({title})" for name, title in named.items())
    if closed:
        fix = 'sudo usermod -aG video "$USER", then log in again'
        return Check("cameras", FAIL, f"no permission for {', '.join(f'/dev/{name}' for name in closed)}", fix)
    return Check("cameras", OK, words)


def has_gpu(root: Path) -> bool:
    """An NVIDIA GPU: a Jetson's own, or one on the PCI bus."""
    if host.is_jetson(root) or (root / "proc/driver/nvidia/version").exists():
        return True
    for device in root.glob("sys/bus/pci/devices/*"):
        if host.read(device / "vendor") == _PCI_NVIDIA and host.read(device / "class").startswith(_PCI_DISPLAY):
            return True
    return False


def cuda(root: Path, gpu: bool, load: Callable[[str], Any] = ctypes.CDLL) -> Check:
    """The driver's library, and the toolkit that pycuda is compiled against."""
    if not gpu:
        return Check("CUDA", OK, "no NVIDIA GPU: the CPU backends are used")
    try:
        load("libcuda.so.1")
    except OSError:
        fix = (
            "sudo apt-get install nvidia-jetpack"
            if host.is_jetson(root)
            else "sudo ubuntu-drivers install, then restart"
        )
        return Check("CUDA", FAIL, "a GPU is there, but its driver is not (libcuda.so.1)", fix)
    toolkit = host.cuda_version(root)
    words = f"driver {host.nvidia_driver(root) or 'found'}, toolkit {toolkit or 'not in /usr/local/cuda'}"
    if toolkit and shutil.which("nvcc") is None:
        return Check("CUDA", WARN, f"{words}; nvcc is not on PATH", 'export PATH="/usr/local/cuda/bin:$PATH"')
    return Check("CUDA", OK, words)


def gpu_module(title: str, name: str, probe: Probe, root: Path, gpu: bool) -> Check:
    """A library that only a GPU needs."""
    if not gpu:
        return Check(title, OK, "not needed without an NVIDIA GPU")
    found, why = _tried(name, probe)
    if found is not None:
        package = name.partition(".")[0]
        return Check(title, OK, str(getattr(found, "__version__", "")) or host.versions().get(package, "installed"))
    if fix := loader_fix(why):
        return Check(title, WARN, why, fix)
    if not host.is_jetson(root):
        return Check(title, WARN, why, "pip install -r runtime/requirements-gpu.txt")
    if title == "TensorRT":
        install = (
            "sudo apt-get install python3-libnvinfer; the environment needs `python3 -m venv --system-site-packages`"
        )
        return Check(title, WARN, why, install)
    return Check(title, WARN, why, f'PATH="/usr/local/cuda/bin:$PATH" {_JETSON}')


def cpu_backends(probe: Probe, gpu: bool) -> Check:
    """At least one of them, or TensorRT."""
    found = {name: _tried(name, probe)[0] for name in ("openvino", "onnxruntime")}
    there = [
        f"{name} {str(library.__version__).split('-')[0]}" for name, library in found.items() if library is not None
    ]
    if there:
        return Check("CPU backends", OK, ", ".join(there))
    return Check("CPU backends", WARN if gpu else FAIL, "neither OpenVINO nor ONNX Runtime", _DEVICE)


def signature_policy() -> Check:
    """Whose bundles this device takes. A policy that cannot be read is not the same as none."""
    try:
        policy = device_policy()
        if policy is None:
            return Check("signatures", WARN, "no policy: unsigned bundles are taken", _MAKE_POLICY)
        read_lists(policy)
        find_program()
    except KitError as error:
        return Check("signatures", FAIL, error.message, error.hint)
    override = "; a flag may override it" if policy.override else ""
    return Check("signatures", OK, f"required, signers in {policy.allowed_signers}{override}")


def check_bundle(path: Path) -> Check:
    """Signature, listing and every hash."""
    try:
        bundle = open_bundle(path)
    except KitError as error:
        return Check("bundle", FAIL, error.message, error.hint)
    return Check("bundle", OK, f"{bundle.title}, {bundle.matching}; {bundle.signed}")


def plans(path: Path, state: Path, gpu: bool) -> list[Check]:
    """The engine that was accepted for this bundle on this GPU, whole and current."""
    if not gpu:
        return []
    from fieldlens.runtime.doctor import engine_check

    return [engine_check.plan(path, state)]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
