"""A device at the other end of SSH: commands with their answers, and what to say when the line is gone.

OpenSSH's own client does the work, so that keys, jump hosts and names come from the user's ``~/.ssh/config``.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import KitError

_LOST = 255
"""What ssh(1) ends with for a failure of its own."""
_ERROR = re.compile(r"^error: (.*?)(?=^hint: |\Z)", flags=re.MULTILINE | re.DOTALL)
_PATIENCE = ("ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3", "BatchMode=yes")


class DeliveryFailed(KitError):
    """Something on the way to a device, or on it. ``reason`` is a word for programs."""

    def __init__(self, reason: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.reason = reason


class ConnectionLost(DeliveryFailed):
    """The line to the device is gone, or never was there."""


@dataclass(frozen=True)
class Remote:
    """``host``: anything that ssh takes. ``root``: where the device's folders lie. ``config``: another ssh_config."""

    host: str
    root: str = "/"
    config: Path | None = None

    def __post_init__(self) -> None:
        if self.host.startswith("-") or not self.host:
            raise DeliveryFailed("usage", f"{self.host!r} is no host", "write NAME or USER@NAME")
        if not self.root.startswith("/"):
            raise DeliveryFailed("usage", f"--root {self.root} is not absolute", "give a path that begins with /")

        if self.config is not None and not self.config.is_file():
            raise DeliveryFailed("usage", f"--ssh-config {self.config} is no file", "leave it out for ~/.ssh/config")

    @property
    def program(self) -> str:
        """The device's ``fieldlens``."""
        return f"{self.root.rstrip('/')}/opt/fieldlens/bin/fieldlens"

    def command(self, words: list[str]) -> list[str]:
        """ssh's whole command line for ``words`` on the device."""
        program = shutil.which("ssh")
        if program is None:
            raise DeliveryFailed("no-ssh", "ssh is not installed on this machine", "apt install openssh-client")
        options = [word for option in _PATIENCE for word in ("-o", option)]
        config = ["-F", str(self.config)] if self.config else []
        return [program, *config, "-T", *options, self.host, "--", shlex.join(words)]

    def run(self, words: list[str], step: str, given: bytes = b"", timeout_s: float = 600.0) -> RemoteResult:
        """Run ``words`` and wait. Raises ConnectionLost; what the command itself ends with is the caller's to judge."""
        try:
            done = subprocess.run(self.command(words), input=given, capture_output=True, check=False, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ConnectionLost(
                "timeout", f"{self.host}: {step}: no answer within {timeout_s / 60:.0f} min", "look at its load"
            ) from None
        if done.returncode == _LOST:
            raise self.lost(step, done.stderr)
        return RemoteResult(done.returncode, done.stdout, done.stderr)

    def must(self, words: list[str], step: str, given: bytes = b"", timeout_s: float = 600.0) -> RemoteResult:
        """As :meth:`run`; raises DeliveryFailed where the command fails."""
        done = self.run(words, step, given, timeout_s)
        if done.code != 0:
            raise self.failed(step, done)
        return done

    def fieldlens(self, words: list[str], step: str, timeout_s: float = 600.0) -> RemoteResult:
        """A command of the device's own kit, as the user who may change it."""
        return self.run(self.as_owner([self.program, *words]), step, timeout_s=timeout_s)

    def as_owner(self, words: list[str]) -> list[str]:
        """With ``sudo -n`` where the device's root is the system's, and we are not root there."""
        if self.root != "/":
            return words
        return ["sh", "-c", 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi', "sh", *words]

    def lost(self, step: str, said: bytes) -> ConnectionLost:
        """What ssh said about the line."""
        text = " ".join(said.decode(errors="replace").split()) or "the connection was lost"
        return ConnectionLost(
            "connection", f"{self.host}: {step}: {text}", f"try `ssh {self.host} true`; then run the same command again"
        )

    def failed(self, step: str, done: RemoteResult) -> DeliveryFailed:
        """A command on the device that ended badly, in its own words."""
        reported = done.reported
        if reported.get("message"):
            return DeliveryFailed(
                str(reported.get("reason", "refused")),
                f"{self.host}: {step}: {reported['message']}",
                str(reported.get("hint", "")),
            )
        lines = done.stderr.decode(errors="replace").splitlines()
        found = _ERROR.search(done.stderr.decode(errors="replace"))
        error = " ".join(found[1].split()) if found else ""
        hint = next((line[6:] for line in lines if line.startswith("hint: ")), "see the device's own words above")
        last = next((line for line in reversed(lines) if line.strip()), f"it ended with {done.code}")
        if "sudo" in last and not error:
            return DeliveryFailed(
                "no-rights",
                f"{self.host}: {step}: {last}",
                "log in as root, or allow sudo without a password",
            )
        missing = done.code in (126, 127)
        return DeliveryFailed(
            "not-provisioned" if missing else "device", f"{self.host}: {step}: {error or last}",
            "run ./deploy.sh provision HOST first" if missing else hint,
        )  # fmt: skip


@dataclass(frozen=True)
class RemoteResult:
    """A command on the device that has ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def reported(self) -> dict[str, Any]:
        """The JSON object on its standard output; empty where there is none."""
        try:
            value = json.loads(self.stdout.decode())
        except (ValueError, UnicodeDecodeError):
            return {}
        return value if isinstance(value, dict) else {}
