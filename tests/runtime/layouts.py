"""Layouts of ``/sys``, ``/proc`` and ``/etc`` as real machines have them, built into a folder that stands for ``/``.

The names and units are those of the kernel's documents, of NVIDIA's guide and of listings that owners of such machines
published: an Orin Nano with JetPack 6.2 (INA3221 on i2c-1 at 0x40, ``soctherm_oc``, zones that cannot be read while
their unit sleeps) and an x86 workstation (coretemp, RAPL, thermal_throttle). None was taken from one by us.
"""

from __future__ import annotations

from pathlib import Path


def write(root: Path, name: str, value: object) -> Path:
    """One file below ``root``."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def link(root: Path, name: str, target: str) -> None:
    """``name`` → ``target``, both below ``root``: what the kernel shows under a class lies elsewhere."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(root / target)


def proc_stat(busy_ticks: int, steal_ticks: int = 0, cores: int = 64) -> str:
    """``/proc/stat`` with the same hundredths of a second for every core; user, idle and steal only."""
    one = f"{busy_ticks} 0 0 1000 0 0 0 {steal_ticks} 0 0"
    return "\n".join([f"cpu  {one}", *(f"cpu{core} {one}" for core in range(cores)), "intr 0"])


def meminfo(total_kb: int, available_kb: int, swap_kb: int = 0, swap_free_kb: int | None = None) -> str:
    """``/proc/meminfo``."""
    free_kb = swap_kb if swap_free_kb is None else swap_free_kb
    values = {"MemTotal": total_kb, "MemAvailable": available_kb, "SwapTotal": swap_kb, "SwapFree": free_kb}
    return "\n".join(f"{name}: {value:>15} kB" for name, value in values.items())


def orin_nano(root: Path) -> Path:
    """Jetson Orin Nano, JetPack 6.2, mode 15W, clocks free."""
    write(root, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0")
    compatible = "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"
    write(root, "proc/device-tree/compatible", compatible)
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025"
    write(root, "etc/nv_tegra_release", release)
    package = "Package: nvidia-jetpack\nStatus: install ok installed\nArchitecture: arm64\nVersion: 6.2+b77\n"
    write(root, "var/lib/dpkg/status", f"Package: adduser\nVersion: 3.118\n\n{package}")
    write(root, "var/lib/nvpmodel/status", "pmode:0000 fmode:quiet")
    write(root, "etc/nvpmodel.conf", "# modes\n< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >")
    write(root, "usr/local/cuda/version.json", '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}')
    write(root, "proc/meminfo", meminfo(7_802_828, 5_120_000, swap_kb=3_901_408))
    _orin_power(root)
    for number, (kind, temperature) in enumerate(
        {
            "cpu-thermal": 51_250,
            "gpu-thermal": 49_906,
            "cv0-thermal": None,
            "soc0-thermal": 48_312,
            "tj-thermal": 51_250,
        }.items()
    ):
        write(root, f"sys/class/thermal/thermal_zone{number}/type", kind)
        if temperature is None:  # reading it gives EAGAIN on the board; a folder cannot be read either
            (root / f"sys/class/thermal/thermal_zone{number}/temp").mkdir()
        else:
            write(root, f"sys/class/thermal/thermal_zone{number}/temp", temperature)
    for number, (kind, state) in enumerate({"pwm-fan": 2, "cpufreq-cpu0": 0, "gpu-throttle-alert": 0}.items()):
        write(root, f"sys/class/thermal/cooling_device{number}/type", kind)
        write(root, f"sys/class/thermal/cooling_device{number}/cur_state", state)
    for core in range(6):
        link(root, f"sys/devices/system/cpu/cpu{core}/cpufreq", f"sys/devices/system/cpu/cpufreq/policy{core // 4 * 4}")
    for policy in (0, 4):
        cpu_clock(root, policy, 115_200, 1_510_400, 1_344_000)
    gpu_clock(root, 306_000_000, 624_750_000, 408_000_000)
    write(root, "sys/class/devfreq/17000000.gpu/device/load", 423)
    write(root, "sys/class/devfreq/15340000.vic/cur_freq", 115_200_000)
    csi_camera(root)
    return root


def csi_camera(root: Path) -> None:
    """An IMX219 that works: overlay, driver, video node, GStreamer's plugin, NVIDIA's daemon and its socket.

    Nodes of the device tree: Jetson Linux Developer Guide, "Sensor Software Driver Programming"; the daemon reads them
    as its log in OE4T/meta-tegra#943 shows. The video node's name: dusty-nv/jetson-inference#1398.
    """
    module = "proc/device-tree/tegra-camera-platform/modules/module0"
    write(root, f"{module}/badge", "jakku_front_RBP194\0")
    write(root, f"{module}/drivernode0/devname", "imx219 9-0010\0")
    write(root, "sys/bus/i2c/drivers/imx219/9-0010/name", "imx219")
    write(root, "sys/class/video4linux/video0/name", "vi-output, imx219 9-0010")
    write(root, "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so", "")
    write(root, "proc/1021/comm", "nvargus-daemon")
    write(root, "tmp/argus_socket", "")


def _orin_power(root: Path) -> None:
    chip = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040/hwmon/hwmon1"
    write(root, f"{chip}/name", "ina3221")
    rails = {1: ("VDD_IN", 5016, 1520), 2: ("VDD_CPU_GPU_CV", 5008, 472), 3: ("VDD_SOC", 5008, 408)}
    for channel, (label, millivolts, milliamperes) in rails.items():
        write(root, f"{chip}/in{channel}_label", label)
        write(root, f"{chip}/in{channel}_input", millivolts)
        write(root, f"{chip}/curr{channel}_input", milliamperes)
    write(root, f"{chip}/in7_label", "sum of shunt voltages")
    write(root, f"{chip}/in7_input", 12)
    link(root, "sys/class/hwmon/hwmon1", chip)
    link(root, "sys/bus/i2c/devices/1-0040", "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040")
    events = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon3"
    write(root, f"{events}/name", "soctherm_oc")
    for number, count in ((1, 0), (2, 0), (3, 7)):
        write(root, f"{events}/oc{number}_event_cnt", count)
        write(root, f"{events}/oc{number}_throt_en", 1)
    link(root, "sys/class/hwmon/hwmon3", events)


def rail(root: Path, channel: int, millivolts: int, milliamperes: int) -> None:
    """Another reading of the Orin's INA3221."""
    chip = "sys/class/hwmon/hwmon1"
    write(root, f"{chip}/in{channel}_input", millivolts)
    write(root, f"{chip}/curr{channel}_input", milliamperes)


def cpu_clock(root: Path, policy: int, low_khz: int, high_khz: int, now_khz: int) -> None:
    """One ``cpufreq`` policy."""
    folder = f"sys/devices/system/cpu/cpufreq/policy{policy}"
    write(root, f"{folder}/scaling_min_freq", low_khz)
    write(root, f"{folder}/scaling_max_freq", high_khz)
    write(root, f"{folder}/scaling_cur_freq", now_khz)
    write(root, f"{folder}/scaling_governor", "schedutil")


def gpu_clock(root: Path, low_hz: int, high_hz: int, now_hz: int) -> None:
    """The Orin's GPU."""
    folder = "sys/class/devfreq/17000000.gpu"
    write(root, f"{folder}/min_freq", low_hz)
    write(root, f"{folder}/max_freq", high_hz)
    write(root, f"{folder}/cur_freq", now_hz)


def workstation(root: Path) -> Path:
    """An x86 PC with an NVIDIA card whose driver is installed."""
    write(root, "sys/class/dmi/id/product_name", "OptiPlex 7090")
    write(
        root, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-10505 CPU @ 3.20GHz\nflags\t\t: avx2"
    )
    write(root, "proc/meminfo", meminfo(16_265_000, 12_000_000))
    write(root, "proc/stat", proc_stat(100))
    write(
        root, "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 2024"
    )
    for core in range(64):
        folder = f"sys/devices/system/cpu/cpu{core}"
        write(root, f"{folder}/cpufreq/scaling_min_freq", 800_000)
        write(root, f"{folder}/cpufreq/scaling_max_freq", 4_600_000)
        write(root, f"{folder}/cpufreq/scaling_cur_freq", 4_200_000 + core)
        write(root, f"{folder}/cpufreq/scaling_governor", "powersave")
        write(root, f"{folder}/thermal_throttle/core_throttle_count", 3)
        write(root, f"{folder}/thermal_throttle/package_throttle_count", 5)
    zones = {"acpitz": 27_800, "x86_pkg_temp": 54_000}
    for number, (kind, temperature) in enumerate(zones.items()):
        write(root, f"sys/class/thermal/thermal_zone{number}/type", kind)
        write(root, f"sys/class/thermal/thermal_zone{number}/temp", temperature)
    for number, (kind, state) in enumerate(
        {"Processor": 0, "intel_powerclamp": -1, "LCD": 40, "TCC Offset": 3}.items()
    ):
        write(root, f"sys/class/thermal/cooling_device{number}/type", kind)
        write(root, f"sys/class/thermal/cooling_device{number}/cur_state", state)
    write(root, "sys/class/hwmon/hwmon2/name", "coretemp")
    for number, (label, temperature) in enumerate({"Package id 0": 55_000, "Core 0": 53_000}.items(), 1):
        write(root, f"sys/class/hwmon/hwmon2/temp{number}_label", label)
        write(root, f"sys/class/hwmon/hwmon2/temp{number}_input", temperature)
    for number, (name, energy) in enumerate({"package-0": 1_000_000, "psys": 9_000_000}.items()):
        write(root, f"sys/class/powercap/intel-rapl:{number}/name", name)
        write(root, f"sys/class/powercap/intel-rapl:{number}/energy_uj", energy)
    write(root, "sys/class/video4linux/video0/name", "UVC Camera")
    write(root, "sys/class/video4linux/video0/index", 0)
    write(root, "sys/class/video4linux/video1/name", "UVC Camera")
    write(root, "sys/class/video4linux/video1/index", 1)
    return root
