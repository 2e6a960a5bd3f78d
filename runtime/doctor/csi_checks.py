"""What stands between a Jetson's CSI camera and its images: overlay, driver, Argus, and the way into a container.

A CSI camera is not plug and play. Its sensor has to be declared in the device tree (an overlay that ``jetson-io``
chooses), its driver has to find it there, and ``nvarguscamerasrc`` reaches it only through NVIDIA's daemon, whose
socket no container has by itself. Every check takes ``root`` (``/``) and gives one line.

Sources: Jetson Linux Developer Guide, "Sensor Software Driver Programming" (``tegra-camera-platform``: ``badge``,
``devname``); OE4T/meta-tegra#943 (the daemon reads the same nodes); RidgeRun/NVIDIA-Jetson-IMX477-RPIV3#32 (a sensor
that does not answer: ``probe of 7-0010 failed with error -121``); dusty-nv/jetson-inference#1398 and
roflcoopter/viseron#583 (a container without the daemon's socket); the ``docker run`` is that of dusty-nv's
jetson-containers.
"""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.doctor.machine_checks import OK, WARN, Check
from fieldlens.runtime.machine import host

NAME = "CSI cameras"
SOCKET = "tmp/argus_socket"
_PLUGIN = "gstreamer-1.0/libgstnvarguscamerasrc.so"
_LIBRARIES = ("usr/lib/aarch64-linux-gnu", "usr/lib")
"""Ubuntu's place, and that of an image made with Yocto."""
_MODULES = "proc/device-tree/tegra-camera-platform/modules"
_CSI = "vi-output, "
"""How the kernel names what comes through the video input unit: ``vi-output, imx219 9-0010``."""
_CHOOSE = (
    "sudo /opt/nvidia/jetson-io/jetson-io.py, configure the CSI connector for your camera, save and restart; a camera "
    "that is not in its list needs the driver of who sells it"
)


def csi_cameras(root: Path) -> Check:
    """The first thing that is missing between the sensor and ``nvarguscamerasrc``."""
    if not host.is_jetson(root):
        return Check(NAME, OK, "no Jetson, so none")
    if in_container(root):
        return _in_container(root)
    declared, there = declared_sensors(root), _attached(root)
    if not there and not declared:
        return _none_declared(root)
    if not there:
        return _no_driver(root, declared)
    return _argus(root, there, declared)


def in_container(root: Path) -> bool:
    """Docker leaves ``/.dockerenv``, Podman ``/run/.containerenv``."""
    return (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()


def declared_sensors(root: Path) -> list[str]:
    """The sensors of the device tree, ``imx219 9-0010``, by driver and place on the I2C bus; else a module's badge."""
    found = []
    for module in sorted((root / _MODULES).glob("module*")):
        name = host.read(module / "drivernode0/devname") or host.read(module / "badge")
        if name:
            found.append(name)
    return found


def docker_run(root: Path) -> str:
    """The command that gives a container its GPU, the daemon's socket and the cameras of this host."""
    videos = [path.name for path in sorted((root / "dev").glob("video*"))] or ["video0"]
    devices = " ".join(f"--device /dev/{name}" for name in videos)
    return (
        "docker run --runtime nvidia -it --rm --network host -v /tmp/argus_socket:/tmp/argus_socket "
        f"-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro {devices} IMAGE"
    )


def _attached(root: Path) -> list[str]:
    names = (host.read(path / "name") for path in sorted(root.glob("sys/class/video4linux/video*")))
    return [name.removeprefix(_CSI) for name in names if name.startswith(_CSI)]


def _has_plugin(root: Path) -> bool:
    return any((root / folder / _PLUGIN).exists() for folder in _LIBRARIES)


def _in_container(root: Path) -> Check:
    lacking = []
    if not (root / SOCKET).exists():
        lacking.append("the socket of the host's nvargus-daemon (/tmp/argus_socket)")
    if not _has_plugin(root):
        lacking.append("nvarguscamerasrc (the NVIDIA runtime brings it)")
    if lacking:
        words = f"this container has not {' and not '.join(lacking)}: no CSI camera can be opened in it"
        return Check(NAME, WARN, words, f"leave it, and start it on the host with: {docker_run(root)}")
    return Check(NAME, OK, f"{', '.join(_attached(root)) or 'none seen'}; Argus's socket is in this container")


def _none_declared(root: Path) -> Check:
    words = "none in the device tree"
    if list(root.glob("sys/class/video4linux/video*")):  # a station with a USB camera needs none
        return Check(NAME, OK, f"{words}; a CSI camera would need its overlay")
    return Check(NAME, WARN, f"{words}: a CSI camera that is attached is not seen without its overlay", _CHOOSE)


def _no_driver(root: Path, declared: list[str]) -> Check:
    """The overlay is there, and no camera. Either nobody drives the sensor, or the driver asked and got no answer."""
    drivers = sorted({name.split()[0] for name in declared})
    absent = [name for name in drivers if not (root / "sys/bus/i2c/drivers" / name).exists()]
    names = ", ".join(declared)
    if absent:
        words = f"the device tree declares {names}, but the kernel has no driver {', '.join(absent)}"
        return Check(NAME, WARN, words, f"sudo modprobe nv_{absent[0]} (or {absent[0]}); else {_CHOOSE}")
    fix = (
        f"sudo dmesg | grep -iE '{'|'.join(drivers)}': 'error -121' is a sensor that does not answer. Switch the board "
        f"off, seat both ends of the flat cable, try the other connector; for another sensor {_CHOOSE}"
    )
    return Check(NAME, WARN, f"the device tree declares {names}, but no camera answered its driver", fix)


def _argus(root: Path, there: list[str], declared: list[str]) -> Check:
    words = ", ".join(there) + (f" ({len(there)} of {len(declared)} declared)" if len(declared) > len(there) else "")
    if not _has_plugin(root):
        words = f"{words}, but GStreamer has no nvarguscamerasrc"
        return Check(NAME, WARN, words, "sudo apt-get install nvidia-l4t-gstreamer nvidia-l4t-camera")
    running = any(host.read(path) == "nvargus-daemon" for path in root.glob("proc/[0-9]*/comm"))
    if not running or not (root / SOCKET).exists():
        what = "its socket is missing (/tmp/argus_socket)" if running else "nvargus-daemon is not running"
        fix = "sudo systemctl restart nvargus-daemon; then: systemctl status nvargus-daemon"
        return Check(NAME, WARN, f"{words}, but {what}", fix)
    return Check(NAME, OK, f"{words}; nvargus-daemon runs")
