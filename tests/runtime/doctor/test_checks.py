"""The doctor: healthy and sick machines, one line each, with the command that fixes it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fieldlens.runtime.bundle import signature
from fieldlens.runtime.doctor import checks as doctor
from fieldlens.runtime.doctor import machine_checks
from fieldlens.runtime.doctor.machine_checks import FAIL, OK, WARN, Check
from tests.runtime.layouts import cpu_clock, gpu_clock, meminfo, orin_nano, workstation, write
from tests.runtime.test_classify import run

BUILD = "  GUI: NONE\n  Video I/O:\n    FFMPEG:  {ffmpeg}\n    GStreamer:  {gstreamer}\n    v4l/v4l2:  {v4l}\n"


def library(**attributes: Any) -> Callable[[str], Any]:
    """A probe that finds everything."""
    return lambda name: SimpleNamespace(__version__="1.2.3", **attributes)


def opencv(gstreamer: str = "YES (1.20.3)", v4l: str = "YES (linux/videodev2.h)") -> Callable[[str], Any]:
    text = BUILD.format(gstreamer=gstreamer, v4l=v4l, ffmpeg="YES")
    return library(getBuildInformation=lambda: text)


def missing(*names: str) -> Callable[[str], Any]:
    def probe(name: str) -> Any:
        if name in names:
            raise ImportError(f"No module named '{name}'")
        return opencv()(name)

    return probe


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    root = orin_nano(tmp_path / "orin")
    write(root, "dev/video0", "")
    return root


def found(checks: list[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    return check


def test_every_line_that_is_not_ok_says_how_to_mend_it(orin: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (orin, workstation(tmp_path / "pc"), tmp_path / "empty"):
        for probe in (opencv(), missing("cv2", "numpy", "openvino", "onnxruntime", "tensorrt", "pycuda.driver")):
            for check in doctor.examine(root, tmp_path / "state", tmp_path / "no.bundle", probe):
                assert check.status in (OK, WARN, FAIL)
                assert "\n" not in check.words + check.fix
                assert bool(check.fix) == (check.status != OK), check


def test_a_machine_without_anything_special_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldlens.runtime.machine.host.versions", lambda: {"opencv-python-headless": "5.0"})
    checks = doctor.examine(tmp_path, tmp_path, None, opencv(gstreamer="NO"))
    assert {check.name for check in checks if check.status != OK} == {"cameras", "signatures"}
    assert not any(check.status == FAIL for check in checks)


@pytest.mark.parametrize(
    ("name", "on_jetson", "on_pc"),
    [
        ("numpy", "requirements-jetson.txt", "requirements.txt"),
        ("simplejpeg", "requirements-jetson.txt", "requirements.txt"),
        ("cv2", "apt-get install python3-opencv", "requirements.txt"),
    ],
)
def test_a_missing_library(orin: Path, tmp_path: Path, name: str, on_jetson: str, on_pc: str) -> None:
    title = {"cv2": "OpenCV"}.get(name, name)
    for root, command in ((orin, on_jetson), (tmp_path, on_pc)):
        check = found(doctor.examine(root, tmp_path, None, missing(name)), title)
        assert check.status == FAIL
        assert command in check.fix


def test_a_library_that_breaks_while_it_is_imported(tmp_path: Path) -> None:
    """NumPy 2 under an OpenCV made for NumPy 1 ends in an AttributeError, not in an ImportError."""

    def probe(name: str) -> Any:
        raise AttributeError("_ARRAY_API not found\nand more lines")

    check = doctor.module("numpy", probe, tmp_path)
    assert (check.status, check.words) == (FAIL, "_ARRAY_API not found")


def test_opencv_on_a_jetson_needs_gstreamer(orin: Path, tmp_path: Path) -> None:
    check = doctor.opencv(opencv(gstreamer="NO"), orin)
    assert check.status == WARN
    assert "system-site-packages" in check.fix
    assert doctor.opencv(opencv(gstreamer="NO"), tmp_path).status == OK
    assert doctor.opencv(opencv(v4l="NO"), tmp_path).status == WARN
    assert doctor.opencv(opencv(), orin).words == "1.2.3, GStreamer yes, V4L2 yes, FFmpeg yes"


def test_two_owners_of_cv2(orin: Path, tmp_path: Path) -> None:
    both = {"opencv-python": "5.0", "opencv-python-headless": "5.0"}
    check = doctor.opencv_owner(both, tmp_path)
    assert check.status == FAIL
    assert "pip uninstall opencv-python opencv-python-headless" in check.fix
    assert doctor.opencv_owner({"opencv-python-headless": "5.0"}, orin).status == WARN
    assert doctor.opencv_owner({}, orin).status == OK


def test_cameras_and_permissions(orin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.cameras(tmp_path).status == WARN
    assert "imx219" in doctor.cameras(orin).words
    pc = workstation(tmp_path / "pc")
    write(pc, "dev/video0", "")
    check = doctor.cameras(pc)
    assert (check.status, check.words) == (OK, "/dev/video0 (UVC Camera)")  # not the device for metadata
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = doctor.cameras(pc)
    assert check.status == FAIL
    assert 'usermod -aG video "$USER"' in check.fix


def no_library(name: str) -> Any:
    raise OSError("libcuda.so.1: cannot open shared object file")


def test_cuda(orin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.cuda(tmp_path, False).status == OK
    assert "nvidia-jetpack" in doctor.cuda(orin, True, no_library).fix
    assert "ubuntu-drivers" in doctor.cuda(workstation(tmp_path / "pc"), True, no_library).fix
    monkeypatch.setattr("shutil.which", lambda name: None)
    check = doctor.cuda(orin, True, library())
    assert (check.status, "12.6.11" in check.words) == (WARN, True)
    assert "/usr/local/cuda/bin" in check.fix
    monkeypatch.setattr("shutil.which", lambda name: "/usr/local/cuda/bin/nvcc")
    assert doctor.cuda(orin, True, library()).status == OK


def test_a_gpu_is_seen_on_the_bus_even_without_its_driver(orin: Path, tmp_path: Path) -> None:
    assert doctor.has_gpu(orin)
    assert not doctor.has_gpu(tmp_path)
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.1/class", "0x040300")  # its sound device is no GPU
    assert not doctor.has_gpu(tmp_path)
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", "0x030000")
    assert doctor.has_gpu(tmp_path)


def test_tensorrt_and_pycuda(orin: Path, tmp_path: Path) -> None:
    gone = missing("tensorrt", "pycuda.driver")
    assert doctor.gpu_module("TensorRT", "tensorrt", gone, tmp_path, False).status == OK
    assert "python3-libnvinfer" in doctor.gpu_module("TensorRT", "tensorrt", gone, orin, True).fix
    assert "cuda/bin" in doctor.gpu_module("pycuda", "pycuda.driver", gone, orin, True).fix
    assert "requirements-gpu.txt" in doctor.gpu_module("pycuda", "pycuda.driver", gone, tmp_path, True).fix
    assert doctor.gpu_module("TensorRT", "tensorrt", library(), orin, True).words == "1.2.3"


def test_no_backend_at_all(tmp_path: Path) -> None:
    none = missing("openvino", "onnxruntime")
    assert doctor.cpu_backends(none, False).status == FAIL
    assert doctor.cpu_backends(none, True).status == WARN
    assert doctor.cpu_backends(missing("openvino"), False).words == "onnxruntime 1.2.3"


def test_power_mode_and_clocks(orin: Path, tmp_path: Path) -> None:
    assert machine_checks.power_mode(orin).words == "nvpmodel 0 (15W)"
    assert machine_checks.clocks(orin).fix.startswith("sudo jetson_clocks --store && sudo jetson_clocks")
    for policy in (0, 4):
        cpu_clock(orin, policy, 1_510_400, 1_510_400, 1_510_400)
    gpu_clock(orin, 624_750_000, 624_750_000, 624_750_000)
    assert machine_checks.clocks(orin).status == OK
    (orin / "var/lib/nvpmodel/status").unlink()
    assert machine_checks.power_mode(orin).status == WARN
    pc = workstation(tmp_path / "pc")
    assert "cpupower" in machine_checks.clocks(pc).fix
    write(pc, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
    assert machine_checks.clocks(pc).status == OK
    assert machine_checks.clocks(tmp_path).status == machine_checks.power_mode(tmp_path).status == OK


def test_heat(orin: Path) -> None:
    assert machine_checks.heat(orin).words == "cpu at 51 °C"
    write(orin, "sys/class/thermal/thermal_zone4/temp", 91_000)
    assert (machine_checks.heat(orin).status, "tj at 91" in machine_checks.heat(orin).words) == (WARN, True)
    write(orin, "sys/class/thermal/thermal_zone4/temp", 70_000)
    write(orin, "sys/class/thermal/cooling_device2/cur_state", 1)
    assert "slowed down by gpu-throttle-alert" in machine_checks.heat(orin).words


@pytest.mark.parametrize(("free_mb", "status"), [(4000, OK), (900, WARN), (300, FAIL)])
def test_memory(tmp_path: Path, free_mb: int, status: str) -> None:
    write(tmp_path, "proc/meminfo", meminfo(8_000_000, free_mb * 1024))
    assert machine_checks.memory(tmp_path).status == status


def test_swap(orin: Path, tmp_path: Path) -> None:
    assert machine_checks.swap(orin).status == OK
    write(orin, "proc/meminfo", meminfo(7_800_000, 5_000_000))
    assert "mkswap" in machine_checks.swap(orin).fix
    write(tmp_path, "proc/meminfo", meminfo(7_800_000, 5_000_000))
    assert machine_checks.swap(tmp_path).status == OK  # no engines are built there
    write(tmp_path, "proc/meminfo", meminfo(7_800_000, 5_000_000, swap_kb=4_000_000, swap_free_kb=1_000_000))
    assert machine_checks.swap(tmp_path).status == WARN


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "not" / "yet"
    for free, status in ((5 * 2**30, OK), (500 * 2**20, WARN), (50 * 2**20, FAIL)):
        monkeypatch.setattr("shutil.disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        assert machine_checks.disk(state).status == status
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = machine_checks.disk(state)
    assert check.status == FAIL
    assert str(state) in check.fix
    assert not state.exists()  # it looks, and makes nothing


def test_the_clock_on_the_wall(orin: Path, tmp_path: Path) -> None:
    check = machine_checks.wall_clock(tmp_path, now=12.0)
    assert (check.status, "1970-01-01" in check.words) == (WARN, True)
    assert "timedatectl set-time" in check.fix
    assert machine_checks.wall_clock(tmp_path, now=1.8e9).status == OK
    assert "RTC" in machine_checks.wall_clock(orin, now=1.8e9).fix
    write(orin, "run/systemd/timesync/synchronized", "")
    assert "synchronised" in machine_checks.wall_clock(orin, now=1.8e9).words


def test_the_signature_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "SYSTEM_POLICY", tmp_path / "policy.json")
    monkeypatch.delenv(signature.POLICY_VARIABLE, raising=False)
    assert doctor.signature_policy().status == WARN
    write(tmp_path, "policy.json", '{"allowed_signers": "signers"}')
    assert (doctor.signature_policy().status, "signers is missing" in doctor.signature_policy().words) == (FAIL, True)
    write(tmp_path, "signers", "")
    assert doctor.signature_policy().status == OK
    with monkeypatch.context() as patch:
        patch.setattr(signature, "PROGRAMS", (tmp_path / "ssh-keygen",))
        assert "openssh-client" in doctor.signature_policy().fix
    write(tmp_path, "policy.json", "{")
    assert doctor.signature_policy().status == FAIL


def test_a_bundle(bundle_folder: Path, copy: Path) -> None:
    assert doctor.check_bundle(bundle_folder).status == OK
    (copy / "model.fp32.onnx").write_bytes(b"x")
    check = doctor.check_bundle(copy)
    assert check.status == FAIL
    assert "does not match its hash" in check.words


def test_no_plan_is_asked_for_without_a_gpu(bundle_folder: Path, tmp_path: Path) -> None:
    assert doctor.plans(bundle_folder, tmp_path, gpu=False) == []
    (check,) = doctor.plans(bundle_folder, tmp_path, gpu=True)  # no driver in the test environment: said, not raised
    assert check.status == WARN


def test_lines_are_aligned_and_counted() -> None:
    checks = [Check("a", OK, "fine"), Check("longer", FAIL, "broken", "fix it")]
    assert doctor.lines(checks) == [
        "ok   a       fine", "fail longer  broken", "             → fix it", "1 ok, 0 warn, 1 fail",
    ]  # fmt: skip


def test_the_command(bundle_folder: Path, tmp_path: Path) -> None:
    done = run("doctor", "--bundle", bundle_folder, "--state", tmp_path, "--json")
    facts = json.loads(done.stdout)
    assert {check["name"] for check in facts["checks"]} >= {"Python", "OpenCV", "cameras", "CUDA", "disk", "bundle"}
    assert done.returncode == (0 if facts["healthy"] else 2)
    assert set(facts["checks"][0]) == {field.name for field in dataclasses.fields(Check)}
    sick = run("doctor", "--bundle", tmp_path / "none.bundle", "--state", tmp_path)
    assert sick.returncode == 2
    assert "fail bundle" in sick.stdout
    assert "→" in sick.stdout


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (  # as reported in NVIDIA-AI-IOT/trt_pose#111
            "/usr/lib/aarch64-linux-gnu/libgomp.so.1: cannot allocate memory in static TLS block",
            'export LD_PRELOAD="/usr/lib/aarch64-linux-gnu/libgomp.so.1", and start again',
        ),
        (  # as reported in Jonah-May-OSS/wyoming-whisper-trt#1038 (JetPack 7.2) and OE4T/meta-tegra#1281
            "libnvdla_compiler.so: cannot open shared object file: No such file or directory",
            "JetPack 7.2 has no such package: use the host's own TensorRT",
        ),
    ],
)
def test_what_the_dynamic_linker_says_has_a_command(tmp_path: Path, said: str, fix: str) -> None:
    def probe(name: str) -> Any:
        raise ImportError(said)

    for check in (
        doctor.module("numpy", probe, tmp_path),
        doctor.opencv(probe, orin_nano(tmp_path / "orin")),
        doctor.gpu_module("TensorRT", "tensorrt", probe, tmp_path, True),
    ):
        assert fix in check.fix
        assert said in check.words
