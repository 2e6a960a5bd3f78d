"""The program that serves, seen from outside: started again, and asked whether it answers and with which version."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.running.heartbeat import boot_s
from fieldlens.runtime.updating import supervisor
from fieldlens.runtime.updating.arguments import RUNTIME, STATION
from fieldlens.runtime.updating.asking import ReadyAnswer, ask, feel
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused
from fieldlens.runtime.updating.settings import certificate_of, read_setup

UNITS = {STATION: "fieldlens-station.service", RUNTIME: "fieldlens-runtime.service"}
ANSWER_S = 180.0
"""A Jetson loads TensorRT, and a slow disk a compiled model, in less."""
CAMERA_S = 30.0
_ASK_EVERY_S = 0.2
_LIVE = "live"


def answer_of(layout: DeviceFolders) -> ReadyAnswer | None:
    """What this device's service says now; None where it says nothing. Raises ConfigError."""
    setup = read_setup(layout)
    if setup.runs == RUNTIME:
        return feel(layout.heartbeat)[0]
    return ask(setup.url, certificate_of(layout) if setup.beyond else None)


class DeviceService:
    """What this device runs. ``begin``: what starts it again, synchronously. Raises KitError."""

    def __init__(self, layout: DeviceFolders, begin: Callable[[], None], answer_s: float = ANSWER_S) -> None:
        self._layout, self._begin, self._answer_s = layout, begin, answer_s
        self._had_camera, self._began_s = False, 0.0

    def remember(self) -> None:
        """Whether the camera delivers images with the version that serves now."""
        answer = answer_of(self._layout)
        self._had_camera = answer is not None and answer.camera == _LIVE

    def restart(self) -> None:
        """Begin to serve what ``current`` leads to now."""
        self._began_s = boot_s()
        with contextlib.suppress(OSError):
            self._layout.heartbeat.unlink(missing_ok=True)
        self._begin()

    def check(self, version: InstalledVersion) -> None:
        """Wait until the service answers with ``version``, and with the camera that was there before."""
        answer = self._wait(self._answer_s, lambda found: found.ready and found.bundle_hash == version.hash)
        if answer is None:
            raise UpdateRefused("health", f"the service did not answer within {self._answer_s:.0f} s", _logs())
        if not answer.ready:
            raise UpdateRefused("health", f"the service is not ready: {answer.words}", _logs())
        if answer.bundle_hash != version.hash:
            raise UpdateRefused("health", "the service answers with another bundle", _logs())
        if self._had_camera:
            seen = self._wait(CAMERA_S, lambda found: found.camera == _LIVE)
            if seen is None or seen.camera != _LIVE:
                raise UpdateRefused(
                    "camera", "the camera that delivered images before does not with this version", _logs()
                )

    def _wait(self, seconds: float, enough: Callable[[ReadyAnswer], bool]) -> ReadyAnswer | None:
        """The first answer that is ``enough``, else the last one."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            last = self._answer()
            if last is not None and enough(last):
                return last
            time.sleep(_ASK_EVERY_S)
        return last

    def _answer(self) -> ReadyAnswer | None:
        """Nothing of a run that began before the last restart: it was about to end, and wrote once more."""
        found = answer_of(self._layout)
        return None if found is not None and 0 < found.began_s < self._began_s else found


def _logs() -> str:
    return "`fieldlens device logs` shows what the service said"


def has_systemd(layout: DeviceFolders) -> bool:
    """Whether systemd runs this device's service: never below a scratch root."""
    return layout.root == Path("/") and Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def service_of(layout: DeviceFolders, answer_s: float = ANSWER_S) -> DeviceService:
    """systemd's unit, or our own supervisor's child where there is no systemd."""
    begin = _by_systemd if has_systemd(layout) else supervisor.restart
    return DeviceService(layout, lambda: begin(layout), answer_s)


def _by_systemd(layout: DeviceFolders) -> None:
    unit = UNITS[read_setup(layout).runs]
    for words in (["reset-failed", unit], ["restart", unit]):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KitError(f"systemctl restart {unit}: {done.stderr.strip() or done.returncode}", f"journalctl -u {unit}")


def choose_unit(layout: DeviceFolders) -> None:
    """Let the unit that the settings name start with the machine, and the other one not; nothing without systemd.

    Raises KitError.
    """
    if not has_systemd(layout):
        return
    chosen = UNITS[read_setup(layout).runs]
    other = next(unit for unit in UNITS.values() if unit != chosen)
    for words in (["disable", "-q", "--now", other], ["enable", "-q", chosen]):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip() or done.returncode
            raise KitError(f"systemctl {words[0]} {words[-1]}: {said}", "run it as root; see journalctl -b")


def log_lines(layout: DeviceFolders, count: int) -> list[str]:
    """The last lines that the service said. Raises KitError."""
    if has_systemd(layout):
        units = [word for unit in UNITS.values() for word in ("-u", unit)]
        done = subprocess.run(
            ["journalctl", *units, "-n", str(count), "--no-pager", "-o", "short-iso"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise KitError(f"journalctl: {done.stderr.strip()}", "run it as root")
        return done.stdout.splitlines()
    try:
        return layout.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError as error:
        raise KitError(f"{layout.log}: {error.strerror}", "the service has not been started here yet") from error
