"""The device's side of a push: bytes come in over standard input, in pieces that survive a lost line.

Messages are a JSON object on a line, followed by the bytes that it announces. Every piece is answered before the next
but one is sent, so that a cut costs little; what has arrived stays, named by its hash, for the next attempt. Nothing is
parsed before its signature counts, and the service is not touched before everything is here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from fieldlens.runtime.bundle.manifest import Manifest, parse_manifest
from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE
from fieldlens.runtime.bundle.signature import check_signature, device_policy
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, bounds, strictjson
from fieldlens.runtime.files.locks import taken
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused
from fieldlens.runtime.updating.recovery import is_updating, make_lasting_folder
from fieldlens.runtime.updating.updater import Updater, refusal_of

PIECE_BYTES = 32_768
_LINE_BYTES = 65_536
_GIVE_WAY_S = 10.0
_SHA = re.compile(r"[0-9a-f]{64}")


class LineLost(Exception):
    """The other end went away. What has arrived stays."""


class UpdateReceiver:
    """Answers the messages of one push, in order, until the line ends."""

    def __init__(self, layout: DeviceFolders, updater: Updater, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._layout, self._updater = layout, updater
        self._in, self._out = stdin, stdout
        self._parts = layout.state / "incoming"
        self._manifest: Manifest | None = None
        self._bytes: tuple[bytes, bytes] = (b"", b"")

    def run(self) -> int:
        """0, whatever was answered: refusals are answers, too."""
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "offer": self._offer, "file": self._file, "install": self._install,
        }  # fmt: skip
        with contextlib.suppress(LineLost):
            while (message := self._message()) is not None:
                try:
                    answer = answers[str(message.get("do"))](message)
                except KeyError:
                    answer = {
                        "ok": False,
                        "reason": "protocol",
                        "message": "an unknown message",
                        "hint": "update the kit",
                    }
                except (KitError, OSError) as error:
                    refusal = refusal_of(error)
                    if message.get("do") != "install" or not isinstance(error, UpdateRefused):
                        self._remember_refusal(refusal)
                    answer = {
                        "ok": False, "reason": refusal.reason, "message": refusal.message, "hint": refusal.hint,
                    }  # fmt: skip
                self._say(answer)
        return 0

    def _remember_refusal(self, refusal: UpdateRefused) -> None:
        """The updater writes its own refusals down; those before it are written here."""
        memory.attempt(lambda: memory.note(self._layout, "refused", None, refusal.reason, refusal.message))

    def _message(self) -> dict[str, Any] | None:
        line = self._in.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            return None
        try:
            value = strictjson.loads(line, _LINE_BYTES)
        except strictjson.JsonError as error:
            raise UpdateRefused("protocol", f"not a message: {error}", "update the kit on both ends") from error
        return value if isinstance(value, dict) else {}

    def _say(self, answer: dict[str, Any]) -> None:
        """A result that nobody hears is in the events and in ``device status``."""
        try:
            self._out.write((json_text(answer) + "\n").encode())
            self._out.flush()
        except OSError as error:
            raise LineLost from error

    def _take(self, count: int) -> bytes:
        data = self._in.read(count)
        if len(data) < count:
            raise LineLost
        return data

    # ------------------------------------------------------------ the three messages

    def _offer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Manifest and signature; what this device runs, and what it has already."""
        size, signed = int(message["manifest"]), int(message["signature"])
        if not 0 < size <= bounds.MANIFEST_BYTES or not 0 <= signed <= bounds.SIGNATURE_BYTES:
            raise UpdateRefused("protocol", "the manifest or signature is too large", "check the bundle")
        self._bytes = data, signature = self._take(size), self._take(signed)
        for folder in (self._layout.state, self._layout.bundles, self._parts):
            make_lasting_folder(folder)
        policy = device_policy()
        if policy is not None:
            check_signature(data, signature or None, policy)
        self._manifest = manifest = parse_manifest(data)
        self._updater.check_offer(
            manifest, hashlib.sha256(data).hexdigest(), allow_downgrade=bool(message.get("allow_downgrade"))
        )
        if not message.get("dry_run"):
            self._forget_others(manifest)
            self._reuse(manifest)
        found = {path.name: path.stat().st_size for path in self._parts.iterdir() if path.is_file()}
        free = shutil.disk_usage(self._parts).free
        return {"ok": True, "targets": _targets(), "have": found, "free": free - store.SPARE_BYTES}

    def _forget_others(self, manifest: Manifest) -> None:
        wanted = {info.sha256 for info in manifest.files.values()}
        for path in list(self._parts.iterdir()):
            if path.name not in wanted:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _reuse(self, manifest: Manifest) -> None:
        """Files that an installed version holds already are not sent again."""
        wanted = {info.sha256: info.size for info in manifest.files.values()}
        for version in store.installed(self._layout):
            folder = self._layout.bundles / version.place
            for name, info in parse_manifest((folder / MANIFEST).read_bytes()).files.items():
                part, there = self._parts / info.sha256, folder / name
                lacking = info.sha256 in wanted and not _is_whole(part, info.sha256)
                if lacking and _is_whole(there, info.sha256):
                    shutil.copyfile(there, part)

    def _file(self, message: dict[str, Any]) -> dict[str, Any]:
        """Bytes of one file from ``offset`` on. Each piece is written and answered."""
        manifest = self._known()
        sha, offset, size = str(message["sha256"]), int(message["offset"]), int(message["size"])
        sizes = {info.sha256: info.size for info in manifest.files.values()}
        if not _SHA.fullmatch(sha) or sha not in sizes or offset < 0 or offset + size != sizes[sha]:
            raise UpdateRefused("protocol", "a file that was not offered", "push again")
        part = self._parts / sha
        with part.open("r+b" if part.exists() else "w+b") as file:
            file.truncate(offset)
            file.seek(offset)
            while size > 0:
                data = self._take(min(PIECE_BYTES, size))
                file.write(data)
                file.flush()
                size -= len(data)
                self._say({"got": file.tell()})
            os.fsync(file.fileno())
        if not _is_whole(part, sha):
            part.unlink()
            raise UpdateRefused("damaged-transfer", "a file changed on its way", "push again; check the line")
        return {"ok": True}

    def _install(self, message: dict[str, Any]) -> dict[str, Any]:
        """Everything is here: put it together and hand it to the updater, whether anybody still listens or not."""
        manifest = self._known()
        folder = self._parts / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        for name, info in manifest.files.items():
            if (part := self._parts / info.sha256).exists():
                atomic.make_folder((folder / name).parent, atomic.PUBLIC_FOLDER)
                os.link(part, folder / name)
        atomic.make_folder(folder, atomic.PUBLIC_FOLDER)
        (folder / MANIFEST).write_bytes(self._bytes[0])
        if self._bytes[1]:
            (folder / SIGNATURE).write_bytes(self._bytes[1])
        down = bool(message.get("allow_downgrade"))
        version = self._updater.install(folder, allow_downgrade=down)
        shutil.rmtree(self._parts, ignore_errors=True)
        return {"ok": True, "version": asdict(version), "clock_is_set": memory.clock_is_set()}

    def _known(self) -> Manifest:
        if self._manifest is None:
            raise UpdateRefused("protocol", "no bundle was offered", "push again")
        return self._manifest


def _is_whole(path: Path, sha: str) -> bool:
    if not path.is_file():
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == sha


def _targets() -> list[str]:
    """What this device runs: TensorRT where it is installed, and the CPU beside it as what is left when it fails."""
    if importlib.util.find_spec("tensorrt") is None:
        return ["cpu"]
    import tensorrt

    major = int(str(tensorrt.__version__).partition(".")[0])
    return ["cpu", "tensorrt10" if major >= 10 else "tensorrt8"]


def receive(layout: DeviceFolders, updater: Updater) -> int:
    """Serve one push on standard input and output. Raises UpdateRefused: another push installs at this moment."""
    make_lasting_folder(layout.state)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    handle = _only_push(layout)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        return UpdateReceiver(layout, updater, sys.stdin.buffer, out).run()
    finally:
        os.close(handle)


def _only_push(layout: DeviceFolders) -> int:
    """A push whose line died may still wait for bytes that never come: a newer one ends it, unless it installs."""
    lock, end = layout.state / "incoming.lock", time.monotonic() + _GIVE_WAY_S
    while True:
        try:
            return taken(lock)
        except BlockingIOError:
            if is_updating(layout) or time.monotonic() > end:
                raise UpdateRefused("busy", "another update is running on this device", "wait for it") from None
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(lock.read_text()), signal.SIGTERM)
        time.sleep(0.1)
