"""What is known about an engine on this device's disk: what it is bound to, how it was accepted, which one to run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, TypeVar

from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.fields import Matching
from fieldlens.runtime.files import records, strictjson
from fieldlens.runtime.files.bounds import RECORD_BYTES

FORMAT = 1
_Key = Annotated[str, Matching("[0-9a-f-]{1,64}", "the name of a plan")]
"""Of this form, because file names are made of it."""
T = TypeVar("T")
REBUILD = "run `fieldlens convert engine --ensure BUNDLE`"


class PlanError(BackendError):
    """A stored plan that is missing, altered, or not to be trusted."""


@dataclass(frozen=True)
class Device:
    """What an engine is bound to."""

    tensorrt: str
    gpu: str
    compute_capability: str
    system: str = ""
    """A Jetson's release of Jetson Linux: with the same TensorRT under another release the driver refuses an engine."""

    @property
    def key(self) -> str:
        """Short hash, for file names."""
        return short_hash(self.to_json())

    def to_json(self) -> dict[str, str]:
        """All that is known of it. Without ``system`` where there is none, so that a PC's files keep their names."""
        return {name: value for name, value in asdict(self).items() if value or name != "system"}

    def differences(self, other: Device) -> list[str]:
        """What changed from ``other`` to this, in words."""
        names = {"tensorrt": "TensorRT", "gpu": "GPU", "compute_capability": "compute capability"}
        names["system"] = "Jetson Linux"
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{label} {theirs[name] or '?'} → {mine[name] or '?'}"
            for name, label in names.items()
            if mine[name] != theirs[name]
        ]


@dataclass(frozen=True)
class Identity:
    """All that decides what is inside a plan (design, decision 2)."""

    bundle: str
    file: str
    file_sha256: str
    precision: str
    typing: str
    device: Device
    options: str
    code_version: int

    @property
    def key(self) -> str:
        """Short hash, for file names."""
        return short_hash({**asdict(self), "device": self.device.to_json()})


@dataclass(frozen=True)
class EngineRecord:
    """What is written beside a plan. ``gate`` and ``conditions`` are for people and reports."""

    identity: Identity
    plan_sha256: str
    plan_size: int
    driver: str
    built_utc: str
    build_s: float
    notes: tuple[str, ...] = ()
    gate: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the plan's files: what it is meant to be, and what it is."""
        return f"{self.identity.key}-{self.plan_sha256[:8]}"


@dataclass(frozen=True)
class EngineChoice:
    """What this device runs. ``plans``: accepted precision → key; ``refused``: precision → why."""

    device: Device
    driver: str
    asked: str
    options: str
    code_version: int
    chosen: str
    plans: dict[str, _Key]
    refused: dict[str, str]
    reason: str


def short_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of ``value`` as JSON: for file names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def parse_record(data: bytes) -> EngineRecord:
    """``<key>.json``. Raises PlanError."""
    return _parse(EngineRecord, data, "the plan's record")


def parse_choice(data: bytes) -> EngineChoice:
    """``choice-<device>.json``. Raises PlanError."""
    return _parse(EngineChoice, data, "the choice of an engine")


def _parse(kind: type[T], data: bytes, where: str) -> T:
    try:
        value = strictjson.loads(data, RECORD_BYTES)
    except strictjson.JsonError as error:
        raise PlanError(f"{where} cannot be read: {error}", REBUILD) from error
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise PlanError(f"{where} is of another version of this kit", REBUILD)
    return records.read(kind, value, where, PlanError, renew=REBUILD)
