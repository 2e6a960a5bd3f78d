"""A bundle from here to a device over one SSH session, which may be lost at any moment and is then taken up again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fieldlens.convert.delivery.remote import ConnectionLost, DeliveryFailed, Remote, RemoteResult
from fieldlens.convert.slim import needed
from fieldlens.runtime.bundle.open import open_bundle, read_manifest_bytes, read_signature
from fieldlens.runtime.bundle.opened import COPY_WHOLE, Bundle
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.runtime.updating.receiving import PIECE_BYTES

_AHEAD = 2
"""Pieces on their way that were not answered yet: a cut costs no more than these."""
_TRIES = 8
_PAUSE_S = 1.0
_INSTALL_S = 2 * 3600.0


@dataclass(frozen=True)
class Pushed:
    """What a push did. ``sent_bytes``: of the bundle's files, repeats included; ``tries``: sessions that it took."""

    result: dict[str, Any]
    sent_bytes: int
    tries: int


class Push:
    """One bundle to one device."""

    def __init__(
        self, remote: Remote, bundle: Bundle, *, allow_downgrade: bool = False, dry_run: bool = False,
        reporter: Reporter = SILENT,
    ) -> None:  # fmt: skip
        self._remote, self._bundle, self._reporter = remote, bundle, reporter
        self._down, self._dry_run = allow_downgrade, dry_run
        self._sent = 0
        self._installing = False

    def do(self) -> Pushed:
        """Offer, send, install; again from where it stopped when the line is lost. Raises DeliveryFailed."""
        for tries in range(1, _TRIES + 1):
            try:
                return Pushed(self._session(), self._sent, tries)
            except ConnectionLost as lost:
                if self._installing:
                    return Pushed(self._ask_how_it_ended(lost), self._sent, tries)
                if tries == _TRIES:
                    raise
                self._reporter.say(f"{lost.message}; going on from where it stopped ({tries} of {_TRIES - 1})")
                time.sleep(_PAUSE_S * tries)
        raise AssertionError("unreachable")

    def _session(self) -> dict[str, Any]:
        words = [self._remote.program, "device", "receive", "--root", self._remote.root]
        process = subprocess.Popen(
            self._remote.command(self._remote.as_owner(words)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            return self._talk(_Line(self._remote, process, process.stdin, process.stdout, process.stderr))
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    pipe.close()

    def _talk(self, line: _Line) -> dict[str, Any]:
        manifest, signature = read_manifest_bytes(self._bundle.path), read_signature(self._bundle.path) or b""
        offer = {
            "do": "offer", "manifest": len(manifest), "signature": len(signature), "allow_downgrade": self._down,
            "dry_run": self._dry_run,
        }  # fmt: skip
        found = line.ask("offering the bundle", offer, manifest + signature)
        lacking = self._lacking(tuple(found["targets"]), found["have"])
        left = sum(self._size(name) - offset for name, offset in lacking.items())
        if 2 * left > found["free"]:
            free_mb = max(0, found["free"]) / 1e6
            raise DeliveryFailed(
                "disk-full",
                f"{self._remote.host}: {free_mb:.1f} MB are free beside what is kept for results, the update needs "
                f"{2 * left / 1e6:.1f} MB",
                "remove old results or bundles there, then push again",
            )
        if self._dry_run:
            return {"ok": True, "dry_run": True, "steps": self._steps(lacking, left)}
        self._reporter.say(f"sending {left / 1e6:.1f} MB in {len(lacking)} files")
        for name, offset in lacking.items():
            self._send(line, name, offset)
        self._reporter.say("installing: the engine, the golden images, the switch …")
        self._installing = True
        return line.ask("installing", {"do": "install", "allow_downgrade": self._down})

    def _steps(self, lacking: dict[str, int], left: int) -> list[str]:
        title = f"{self._bundle.manifest.name} version {self._bundle.manifest.version.number}"
        return [
            f"send {left / 1e6:.1f} MB: {', '.join(lacking) or 'nothing, all of it is there'}",
            f"build the engine and answer the golden images of {title} on {self._remote.host}",
            "switch to it, restart the service, wait for its answer; go back if it does not come",
        ]

    def _lacking(self, targets: tuple[str, ...], have: dict[str, int]) -> dict[str, int]:
        """File → from which byte on, of what this device needs and has not."""
        bundle = self._bundle
        models = {model_file(name) for name in bundle.manifest.precisions}
        wanted = {model_file(name) for name in needed(bundle, targets)}
        if absent := sorted(wanted & set(bundle.absent)):
            raise BundleError(bundle.left_out(absent[0]), COPY_WHOLE)
        names = [name for name in bundle.manifest.files if name in wanted or name not in models]
        offsets = {name: have.get(bundle.manifest.files[name].sha256, -1) for name in names}
        unique = {bundle.manifest.files[name].sha256: name for name in reversed(names)}
        return {
            name: max(0, offset) for name, offset in offsets.items()
            if offset != self._size(name) and unique[bundle.manifest.files[name].sha256] == name
        }  # fmt: skip

    def _size(self, name: str) -> int:
        return self._bundle.manifest.files[name].size

    def _send(self, line: _Line, name: str, offset: int) -> None:
        data = self._bundle.read(name)
        left = memoryview(data)[offset:]
        line.tell(
            {"do": "file", "sha256": self._bundle.manifest.files[name].sha256, "offset": offset, "size": len(left)}
        )
        pieces = [left[at : at + PIECE_BYTES] for at in range(0, len(left), PIECE_BYTES)]
        for index, piece in enumerate(pieces):
            line.write(piece, f"sending {name}")
            self._sent += len(piece)
            if index >= _AHEAD - 1:
                line.answer(f"sending {name}")
        for _ in range(min(len(pieces), _AHEAD - 1)):
            line.answer(f"sending {name}")
        line.answer(f"sending {name}")

    def _ask_how_it_ended(self, lost: ConnectionLost) -> dict[str, Any]:
        """The device goes on without us: its own status knows."""
        self._reporter.say(f"{lost.message}; the device goes on, asking it …")
        end = time.monotonic() + _INSTALL_S
        while time.monotonic() < end:
            try:
                reported = self._remote.fieldlens(
                    ["device", "status", "--json", "--root", self._remote.root], "asking how it ended", 120.0
                ).reported
            except ConnectionLost:
                reported = {"update": "under way"}
            if reported and reported["update"] == "none":
                return self._ended(reported)
            time.sleep(_PAUSE_S)
        raise lost

    def _ended(self, reported: dict[str, Any]) -> dict[str, Any]:
        good, returned = reported.get("good") or {}, reported.get("returned") or {}
        if good.get("hash") == self._bundle.hash:
            return {"ok": True, "version": good, "clock_is_set": reported["clock"] != "clock not set"}
        if (returned.get("refused") or {}).get("hash") == self._bundle.hash:
            raise DeliveryFailed(
                str(returned["reason"]), f"{self._remote.host}: the device went back: {returned['detail']}",
                "fix what the reason names, then push again",
            )  # fmt: skip
        raise DeliveryFailed(
            "interrupted",
            f"{self._remote.host}: the update ended before the switch; the version before serves",
            "push again: what has arrived is not sent twice",
        )


@dataclass
class _Line:
    """The two ends of one session."""

    remote: Remote
    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    read: bytes = b""

    def ask(self, step: str, message: dict[str, Any], more: bytes = b"") -> dict[str, Any]:
        """One message and its answer."""
        self.write(json.dumps(message).encode() + b"\n" + more, step)
        return self.answer(step)

    def tell(self, message: dict[str, Any]) -> None:
        """A message that is answered later."""
        self.write(json.dumps(message).encode() + b"\n", "sending")

    def write(self, data: bytes | memoryview, step: str) -> None:
        """All of it. Raises what the device said, or ConnectionLost."""
        view = memoryview(data)
        try:
            while view:
                view = view[self.stdin.write(view) or 0 :]
        except OSError:
            self.answer(step)  # a refusal explains it; else the line is gone
            raise self.remote.lost(step, b"") from None

    def answer(self, step: str) -> dict[str, Any]:
        """The next answer. Raises DeliveryFailed for a refusal, ConnectionLost where none comes."""
        while b"\n" not in self.read:
            piece = self.stdout.read(65_536)
            if not piece:
                raise self._ended(step)
            self.read += piece
        line, _, self.read = self.read.partition(b"\n")
        reported = json.loads(line)
        if reported.get("ok", True):
            return dict(reported)
        raise DeliveryFailed(
            str(reported["reason"]), f"{self.remote.host}: {step}: {reported['message']}", str(reported["hint"])
        )

    def _ended(self, step: str) -> DeliveryFailed:
        self.stdin.close()
        said = self.stderr.read()
        code = self.process.wait()
        if code in (255, 0) or code < 0 or code >= 128:  # the line, or a kill on the device's side
            return self.remote.lost(step, said)
        return self.remote.failed(step, RemoteResult(code, b"", said))


def push(
    remote: Remote, source: Path, *, allow_downgrade: bool = False, dry_run: bool = False, reporter: Reporter = SILENT
) -> Pushed:
    """Check the bundle here, byte by byte, then bring it to the device. Raises KitError."""
    bundle = open_bundle(source, allow_unsigned=True)
    return Push(remote, bundle, allow_downgrade=allow_downgrade, dry_run=dry_run, reporter=reporter).do()
