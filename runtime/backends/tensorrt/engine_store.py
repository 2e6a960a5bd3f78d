"""Engines on this device's disk: which is whose, whether it is still the one that was accepted, and which one to run.

A plan is native code that TensorRT executes when it loads it. So it is built here, kept in a folder that only its
builder's user can write, read once, and loaded from the very bytes whose hash was compared.

    <state>/engines/<bundle hash>/<key>.plan            the engine; its key holds identity and content
    <state>/engines/<bundle hash>/<key>.json            its record: identity, hash, gate, conditions
    <state>/engines/<bundle hash>/choice-<device>.json  which of them this device runs, and why; replaced last
    <state>/engines/timing/<key>.cache                  TensorRT's timings

A key holds the plan's own hash, so no build ever overwrites what a choice names: one that fails, or is killed, leaves
the last good engine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from fieldlens.runtime.backends.tensorrt.engine_record import (
    FORMAT,
    REBUILD,
    Device,
    EngineChoice,
    EngineRecord,
    PlanError,
    parse_choice,
    parse_record,
    short_hash,
)
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, kept
from fieldlens.runtime.files.bounds import RECORD_BYTES
from fieldlens.runtime.files.trusted import UntrustedError, check_private_folder, read_regular

_PLAN_BYTES = 4 << 30
_TIMING_BYTES = 64 << 20


class EngineStore:
    """The plans of one bundle in ``state``. Raises PlanError for a folder that others can write."""

    def __init__(self, state: Path, bundle_hash: str) -> None:
        self.root = state / "engines"
        self.folder = self.root / bundle_hash[:16]

    def prepare(self) -> None:
        """Make the folders, closed to others, and clear away what a killed build left. Needs the lock."""
        for folder in (self.root, self.folder, self.root / "timing"):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise PlanError(f"{folder} cannot be made ({error.strerror})", "give another --state DIR") from error
            _check_folder(folder)
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One builder at a time. Raises PlanError at once where another is at work."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_folder(self.root)
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise PlanError(f"{self.root} cannot be used ({error.strerror})", "give another --state DIR") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PlanError("another process is building engines here", "wait until it has ended") from None
            yield
        finally:
            os.close(handle)

    def choice(self, device: Device) -> EngineChoice | None:
        """What was chosen for ``device``, or None."""
        payload = self._load_kept(self._choice_path(device), self._choice_identity(device))
        return None if payload is None else parse_choice(payload)

    def other_choices(self, device: Device) -> list[EngineChoice]:
        """What other devices or versions chose in this folder, newest first: why a rebuild is needed."""
        paths = [path for path in self.folder.glob("choice-*.json") if path != self._choice_path(device)]
        found = []
        for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(KitError):
                if (whole := kept.load_any(path, RECORD_BYTES)) is not None:
                    found.append(parse_choice(whole[1]))
        return found

    def needed(self, wanted: EngineChoice) -> str:
        """Why there is something to do until ``wanted`` (whose plans do not matter) holds here; empty if it does.

        Raises PlanError where what was chosen before cannot be read.
        """
        before = self.choice(wanted.device)
        if before is None:
            others = self.other_choices(wanted.device)
            return "; ".join(wanted.device.differences(others[0].device)) if others else "no engine for this GPU yet"
        labels = {"asked": "--precision", "options": "builder options", "code_version": "builder", "driver": "driver"}
        reasons = [
            f"{label} changed ({getattr(before, name)} → {getattr(wanted, name)})"
            for name, label in labels.items()
            if getattr(before, name) != getattr(wanted, name)
        ]
        for key in before.plans.values():
            try:
                self.load(key)
            except PlanError as error:
                reasons.append(error.message)
        return "; ".join(reasons)

    def load(self, key: str) -> tuple[bytes, EngineRecord]:
        """A plan's bytes, read once and compared with its record. Raises PlanError: missing, truncated, altered."""
        payload = self._load_kept(self.folder / f"{key}.json", _record_identity(key))
        if payload is None:
            raise PlanError(f"{key}.json is missing", REBUILD)
        record = parse_record(payload)
        plan = _read(self.folder / f"{key}.plan", min(record.plan_size, _PLAN_BYTES))
        if record.key != key:
            raise PlanError(f"{key}.json belongs to another plan", REBUILD)
        if len(plan) != record.plan_size:
            raise PlanError(f"{key}.plan is truncated ({len(plan)} of {record.plan_size} bytes)", REBUILD)
        if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
            raise PlanError(f"{key}.plan does not match its hash: it was altered or damaged", REBUILD)
        return plan, record

    def save(self, plan: bytes, record: EngineRecord) -> str:
        """Store an accepted plan; its key. Raises PlanError where the disk is full."""
        path = self.folder / f"{record.key}.plan"
        with _disk_errors(f"the plan ({len(plan) / 2**20:.0f} MiB)"):
            if not path.exists() or path.read_bytes() != plan:
                atomic.write_bytes(path, plan, 0o600)
            kept.save(self.folder / f"{record.key}.json", _record_identity(record.key), _json(record))
        return record.key

    def choose(self, choice: EngineChoice) -> None:
        """From now on this device runs ``choice``. The last step of a build; then drop what no choice names."""
        with _disk_errors("the choice of an engine"):
            kept.save(self._choice_path(choice.device), self._choice_identity(choice.device), _json(choice))
        named = {key for other in self.other_choices(choice.device) for key in other.plans.values()}
        named |= set(choice.plans.values())
        for path in (*self.folder.glob("*.plan"), *self.folder.glob("*.json")):
            if not path.name.startswith("choice-") and path.stem not in named:
                path.unlink(missing_ok=True)

    def timing_cache(self, device: Device, power_mode: str) -> bytes:
        """Saved timings for this TensorRT, GPU and power mode; empty where there are none, or damaged ones."""
        with contextlib.suppress(KitError):
            path, identity = self._timing_path(device, power_mode), _timing_identity(device, power_mode)
            return kept.load(path, identity, _TIMING_BYTES) or b""
        return b""

    def save_timing_cache(self, device: Device, power_mode: str, data: bytes) -> None:
        """Keep the timings. A full disk is no reason to fail: they only save time."""
        if data:
            with contextlib.suppress(OSError):
                kept.save(self._timing_path(device, power_mode), _timing_identity(device, power_mode), data)

    def _timing_path(self, device: Device, power_mode: str) -> Path:
        return self.root / "timing" / f"{short_hash([device.to_json(), power_mode])}.cache"

    def _choice_path(self, device: Device) -> Path:
        return self.folder / f"choice-{device.key}.json"

    def _choice_identity(self, device: Device) -> kept.Identity:
        return {"kind": "choice of an engine", "bundle": self.folder.name, "device": device.to_json()}

    def _load_kept(self, path: Path, identity: kept.Identity) -> bytes | None:
        """A kept file's payload, or None. Raises PlanError: damaged, or in a folder that others can write."""
        if not path.exists():
            return None
        _check_folder(self.root)
        _check_folder(self.folder)
        try:
            return kept.load(path, identity, RECORD_BYTES)
        except KitError as error:
            raise PlanError(error.message, REBUILD) from error


def _record_identity(key: str) -> kept.Identity:
    return {"kind": "record of an engine", "key": key}


def _timing_identity(device: Device, power_mode: str) -> kept.Identity:
    return {"kind": "TensorRT's timings", "device": device.to_json(), "power_mode": power_mode}


def _json(value: EngineRecord | EngineChoice) -> bytes:
    return json.dumps({"format": FORMAT, **asdict(value)}, ensure_ascii=False, allow_nan=False).encode()


def _check_folder(folder: Path) -> None:
    """Ours (or root's), a real folder, and not writable by anybody else: a plan in it would run their code."""
    try:
        check_private_folder(folder)
    except UntrustedError as error:
        raise PlanError(f"{error.message}: a plan in it may be anybody's code", error.hint) from error


def _read(path: Path, limit: int) -> bytes:
    """All bytes of our own ordinary file of at most ``limit`` bytes; links are not followed."""
    try:
        return read_regular(path, limit, private=True)
    except UntrustedError as error:
        raise PlanError(f"{path.name} cannot be read ({error.message})", REBUILD) from error
    except OSError as error:
        raise PlanError(f"{path.name} cannot be read ({error.strerror})", REBUILD) from error


@contextlib.contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PlanError(f"no space left for {what}", "free some space, or give another --state DIR") from error
        raise PlanError(f"{what} cannot be written ({error.strerror})", "give another --state DIR") from error
