"""Why a Jetson's CSI camera gives no images: each cause as others met it, from its recorded layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldlens.runtime.doctor.csi_checks import csi_cameras, declared_sensors, docker_run
from fieldlens.runtime.doctor.machine_checks import OK, WARN, board
from fieldlens.runtime.machine import host
from tests.runtime.layouts import orin_nano, workstation, write

SOCKET = "tmp/argus_socket"
PLUGIN = "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so"
MODULES = "proc/device-tree/tegra-camera-platform"


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    return orin_nano(tmp_path / "orin")


def without(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


def test_a_camera_that_works(orin: Path) -> None:
    check = csi_cameras(orin)
    assert (check.status, check.words) == (OK, "imx219 9-0010; nvargus-daemon runs")
    assert declared_sensors(orin) == ["imx219 9-0010"]


def test_elsewhere_there_is_nothing_to_look_for(tmp_path: Path) -> None:
    assert csi_cameras(workstation(tmp_path)).status == OK


def test_the_daemon_is_not_running(orin: Path) -> None:
    """dusty-nv/jetson-inference#1398: "Connecting to nvargus-daemon failed: No such file or directory"."""
    check = csi_cameras(without(orin, "proc/1021"))
    assert (check.status, "nvargus-daemon is not running" in check.words) == (WARN, True)
    assert "sudo systemctl restart nvargus-daemon" in check.fix


def test_the_daemon_runs_without_its_socket(orin: Path) -> None:
    check = csi_cameras(without(orin, SOCKET))
    assert (check.status, "/tmp/argus_socket" in check.words) == (WARN, True)


def test_gstreamer_without_nvidias_plugin(orin: Path) -> None:
    assert "nvidia-l4t-gstreamer" in csi_cameras(without(orin, PLUGIN)).fix


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_a_container_without_the_socket(orin: Path, mark: str) -> None:
    """roflcoopter/viseron#583: the same message, and `-v /tmp/argus_socket:/tmp/argus_socket` was what helped."""
    write(orin, mark, "")
    write(orin, "dev/video0", "")
    write(orin, "dev/video1", "")
    check = csi_cameras(without(orin, SOCKET, "proc/1021"))  # the host's processes are not seen from inside
    assert check.status == WARN
    assert check.fix.endswith(
        "docker run --runtime nvidia -it --rm --network host -v /tmp/argus_socket:/tmp/argus_socket "
        "-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro --device /dev/video0 --device /dev/video1 IMAGE"
    )
    write(orin, SOCKET, "")
    assert csi_cameras(orin).status == OK


def test_a_container_without_the_nvidia_runtime(orin: Path) -> None:
    write(orin, ".dockerenv", "")
    check = csi_cameras(without(orin, PLUGIN))
    assert (check.status, "nvarguscamerasrc" in check.words) == (WARN, True)
    assert "--runtime nvidia" in check.fix


def test_a_container_is_seen_as_a_jetsons_without_the_release_file(orin: Path) -> None:
    """Docker hides /etc of the host; /proc/device-tree is the host's."""
    write(orin, ".dockerenv", "")
    without(orin, "etc/nv_tegra_release", SOCKET)
    assert csi_cameras(orin).status == WARN
    assert "--device /dev/video0 IMAGE" in docker_run(orin)


def test_no_overlay(orin: Path) -> None:
    """JetsonHacksNano/CSI-Camera#31: "No cameras available"; on Orin the overlay is chosen with jetson-io."""
    check = csi_cameras(without(orin, MODULES, "sys/class/video4linux"))
    assert (check.status, "overlay" in check.words) == (WARN, True)
    assert "/opt/nvidia/jetson-io/jetson-io.py" in check.fix


def test_a_station_with_a_usb_camera_needs_no_overlay(orin: Path) -> None:
    without(orin, MODULES)
    write(orin, "sys/class/video4linux/video0/name", "UVC Camera")
    assert csi_cameras(orin).status == OK


def test_no_driver(orin: Path) -> None:
    check = csi_cameras(without(orin, "sys/class/video4linux", "sys/bus/i2c/drivers/imx219"))
    assert (check.status, "no driver imx219" in check.words) == (WARN, True)
    assert "sudo modprobe nv_imx219" in check.fix


def test_a_sensor_that_does_not_answer(orin: Path) -> None:
    """RidgeRun/NVIDIA-Jetson-IMX477-RPIV3#32: "imx219: probe of 7-0010 failed with error -121"."""
    check = csi_cameras(without(orin, "sys/class/video4linux"))
    assert (check.status, "no camera answered" in check.words) == (WARN, True)
    assert "sudo dmesg | grep -iE 'imx219'" in check.fix
    assert "error -121" in check.fix


def test_one_of_two_declared_cameras_is_enough(orin: Path) -> None:
    write(orin, f"{MODULES}/modules/module1/drivernode0/devname", "imx219 10-0010\0")
    check = csi_cameras(orin)
    assert (check.status, "1 of 2 declared" in check.words) == (OK, True)


@pytest.mark.parametrize(
    ("model", "compatible", "module"),
    [
        (  # rbonghi/jetson_stats#711, JetPack 7.0
            "NVIDIA Jetson AGX Thor Developer Kit",
            "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264",
            "Jetson AGX Thor T5000, p3834-0008",
        ),
        (  # rbonghi/jetson_stats#400, JetPack 5.1.1: nobody calls it a Jetson
            "NVIDIA Orin Nano Developer Kit",
            "nvidia,p3768-0000+p3767-0003\0nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0003\0nvidia,p3767-0005\0"
            "nvidia,tegra234\0nvidia,tegra23x",
            "Jetson Orin Nano 8 GB, p3767-0003",
        ),
        (  # NVIDIA/jetson-gpio#125
            "NVIDIA Jetson AGX Orin Developer Kit",
            "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0nvidia,tegra23x",
            "Jetson AGX Orin 64 GB, p3701-0005",
        ),
        (  # rbonghi/jetson_stats#598: a name without NVIDIA
            "Jetson AGX Orin Industrial", "nvidia,p3701-0008", "Jetson AGX Orin Industrial, p3701-0008",
        ),
        (  # RidgeRun/NVIDIA-Jetson-IMX477-RPIV3#32
            "NVIDIA Jetson Nano Developer Kit",
            "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210",
            "Jetson Nano (developer kit), p3448-0000",
        ),
        ("a later Thor", "nvidia,p4071-0000+p3834-0099\0nvidia,tegra264", "Jetson Thor, p3834-0099"),
    ],
)  # fmt: skip
def test_boards_up_to_thor_have_names(tmp_path: Path, model: str, compatible: str, module: str) -> None:
    write(tmp_path, "proc/device-tree/model", f"{model}\0")
    write(tmp_path, "proc/device-tree/compatible", f"{compatible}\0")
    assert host.jetson_module(tmp_path) == module
    assert host.is_jetson(tmp_path)
    assert board(tmp_path).words.startswith(f"{model}; {module}")
    assert host.conditions(tmp_path)["module"] == module


def test_other_arm_boards_are_no_jetsons(tmp_path: Path) -> None:
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    write(tmp_path, "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert host.jetson_module(tmp_path) == ""
    assert not host.is_jetson(tmp_path)
