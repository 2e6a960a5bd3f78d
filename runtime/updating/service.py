"""The program that serves, seen from outside: started again, and asked whether it answers and with which version."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.updating import supervisor
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused
from fieldlens.runtime.updating.settings import read_setup

UNIT = "fieldlens-station.service"
ANSWER_S = 180.0
"""A Jetson loads TensorRT, and a slow disk a compiled model, in less."""
CAMERA_S = 30.0
_ASK_EVERY_S = 0.2
_PATIENCE_S = 5.0
_LIVE = "live"


@dataclass(frozen=True)
class ReadyAnswer:
    """What ``/readyz`` says. ``ready`` False: the process answers, and ``words`` says why it answers no image."""

    ready: bool
    bundle_hash: str = ""
    camera: str = ""
    words: str = ""


def ask(url: str) -> ReadyAnswer | None:
    """What the service answers now; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=_PATIENCE_S) as answer:
            body = json.loads(answer.read(100_000))
        if not isinstance(body, dict):  # another program on our port
            return None
        return ReadyAnswer(True, str(body.get("bundle_hash", "")), str(body.get("camera", "")))
    except urllib.error.HTTPError as error:
        return ReadyAnswer(False, words=_reason(error))
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _reason(error: urllib.error.HTTPError) -> str:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        body = json.loads(error.read(100_000))
        return str(body.get("detail") or body.get("title") or error.reason)
    return str(error.reason)


class StationService:
    """The station of this device. ``begin``: what starts it again, synchronously. Raises KitError."""

    def __init__(self, layout: DeviceFolders, begin: Callable[[], None], answer_s: float = ANSWER_S) -> None:
        self._layout, self._begin, self._answer_s = layout, begin, answer_s
        self._had_camera = False

    @property
    def url(self) -> str:
        """Raises ConfigError."""
        return read_setup(self._layout).url

    def remember(self) -> None:
        """Whether the camera delivers images with the version that serves now."""
        answer = ask(self.url)
        self._had_camera = answer is not None and answer.camera == _LIVE

    def restart(self) -> None:
        """Begin to serve what ``current`` leads to now."""
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
            last = ask(self.url)
            if last is not None and enough(last):
                return last
            time.sleep(_ASK_EVERY_S)
        return last


def _logs() -> str:
    return "`fieldlens device logs` shows what the service said"


def has_systemd(layout: DeviceFolders) -> bool:
    """Whether systemd runs this device's service: never below a scratch root."""
    return layout.root == Path("/") and Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def service_of(layout: DeviceFolders, answer_s: float = ANSWER_S) -> StationService:
    """systemd's unit, or our own supervisor's child where there is no systemd."""
    begin = _by_systemd if has_systemd(layout) else lambda: supervisor.restart(layout)
    return StationService(layout, begin, answer_s)


def _by_systemd() -> None:
    for words in (["reset-failed", UNIT], ["restart", UNIT]):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KitError(f"systemctl restart {UNIT}: {done.stderr.strip() or done.returncode}", f"journalctl -u {UNIT}")


def log_lines(layout: DeviceFolders, count: int) -> list[str]:
    """The last lines that the service said. Raises KitError."""
    if has_systemd(layout):
        done = subprocess.run(
            ["journalctl", "-u", UNIT, "-n", str(count), "--no-pager", "-o", "short-iso"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise KitError(f"journalctl: {done.stderr.strip()}", "run it as root")
        return done.stdout.splitlines()
    try:
        return layout.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError as error:
        raise KitError(f"{layout.log}: {error.strerror}", "the service has not been started here yet") from error
