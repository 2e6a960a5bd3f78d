"""The proof that a version works on this device, before anything is switched: its engine, then its golden images.

Both run as processes of their own, as the service's user where there is one: what they leave in the state folder is the
service's, and a library that crashes takes nothing else with it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.updating import memory
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused
from fieldlens.runtime.updating.settings import read_setup

SERVICE_USER = "fieldlens"
_ERROR = re.compile(r"^error: (.*?)(?=^hint: |\Z)", flags=re.MULTILINE | re.DOTALL)
"""Of one of our commands: a program's own words may take several lines."""
_ENGINE_S, _SELFTEST_S = 3600.0, 900.0


@dataclass(frozen=True)
class SelfTestRecord:
    """The last self-test before a switch, for ``status``. ``at_s``: this device's clock, as a Unix time."""

    place: str
    passed: bool
    backend: str
    precision: str
    images: int
    inference_p50_ms: float
    at_s: float


class Proof:
    """Proves a bundle's folder for the device ``layout``."""

    def __init__(self, layout: DeviceFolders) -> None:
        self._layout = layout

    def __call__(self, folder: Path) -> None:
        """Build the engine where this device has TensorRT, then answer the golden images. Raises UpdateRefused."""
        state = ["--state", str(self._layout.service_state)]
        setup = read_setup(self._layout)
        if importlib.util.find_spec("tensorrt") and setup.backend in ("", "auto", "tensorrt"):
            done = self._run(["convert", "engine", str(folder), "--ensure", *state], _ENGINE_S, "engine")
            if done.returncode != 0:
                message, hint = _said(done)
                raise UpdateRefused("engine", f"the engine cannot be built: {message}", hint)
        chosen = [word for name in ("backend", "precision") if (value := getattr(setup, name))
                  for word in (f"--{name}", value)]  # fmt: skip
        done = self._run(["selftest", str(folder), "--json", *chosen, *state], _SELFTEST_S, "self-test")
        result = _parsed(done.stdout)
        if done.returncode != 0 or not result.get("passed"):
            message, hint = _said(done) if not result else (_difference(result), "convert the model again")
            raise UpdateRefused("self-test", f"the self-test failed: {message}", hint)
        self._keep(folder, result)

    def _keep(self, folder: Path, result: dict[str, Any]) -> None:
        record = SelfTestRecord(
            folder.relative_to(self._layout.bundles).as_posix() if folder.is_relative_to(self._layout.bundles) else "",
            True, str(result.get("backend", "")), str(result.get("precision", "")), int(result.get("images", 0)),
            float(result.get("inference_p50_ms", 0.0)), time.time(),
        )  # fmt: skip
        memory.attempt(lambda: memory.save(self._layout.selftest, record))

    def _run(self, words: list[str], seconds: float, reason: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [sys.executable, "-m", "fieldlens", *words], capture_output=True, text=True, check=False,
                errors="replace", timeout=seconds, stdin=subprocess.DEVNULL, **as_service_user(self._layout),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UpdateRefused(
                reason, f"`{' '.join(words[:2])}` took longer than {seconds / 60:.0f} min", "look at the device's load"
            ) from None


def as_service_user(layout: DeviceFolders) -> dict[str, Any]:
    """Options for subprocess: root works as the service's user, anybody else as himself."""
    if os.geteuid() != 0 or layout.root != Path("/"):
        return {}
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return {}
    groups = os.getgrouplist(SERVICE_USER, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _difference(result: dict[str, Any]) -> str:
    return (
        f"{result.get('precision')} on {result.get('backend')}: logits differ by {result.get('max_logit_difference')}, "
        f"{result.get('allowed_logit_difference')} allowed; {result.get('flips')} decisions turned into their opposite"
    )


def _said(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """``error:`` and ``hint:`` of a command of ours; its last line where it had none (a crash)."""
    lines = done.stderr.splitlines()
    found = _ERROR.search(done.stderr)
    error = " ".join(found[1].split()) if found else ""
    hint = next((line[6:] for line in lines if line.startswith("hint: ")), "run it by hand on the device")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return error or last or f"it ended with {done.returncode}", hint
