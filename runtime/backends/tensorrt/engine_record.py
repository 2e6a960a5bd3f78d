"""What is known about an engine on this device's disk: what it is bound to, how it was accepted, which one to run."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.fields import Fields
from fieldlens.runtime.files import strictjson
from fieldlens.runtime.files.bounds import RECORD_BYTES

FORMAT = 1
_KEY = re.compile(r"[0-9a-f-]{1,64}")
REBUILD = "run `python -m convert engine --ensure BUNDLE`"


class PlanError(BackendError):
    """A stored plan that is missing, altered, or not to be trusted."""


@dataclass(frozen=True)
class Device:
    """What an engine is bound to."""

    tensorrt: str
    gpu: str
    compute_capability: str

    @property
    def key(self) -> str:
        """Short hash, for file names."""
        return short_hash(asdict(self))

    def differences(self, other: Device) -> list[str]:
        """What changed from ``other`` to this, in words."""
        names = {"tensorrt": "TensorRT", "gpu": "GPU", "compute_capability": "compute capability"}
        mine, theirs = asdict(self), asdict(other)
        return [f"{label} {theirs[name]} → {mine[name]}" for name, label in names.items() if mine[name] != theirs[name]]


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
        return short_hash(asdict(self))


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
    plans: dict[str, str]
    refused: dict[str, str]
    reason: str


def short_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of ``value`` as JSON: for file names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _fields(data: bytes, where: str) -> Fields:
    try:
        value = strictjson.loads(data, RECORD_BYTES)
    except strictjson.JsonError as error:
        raise PlanError(f"{where} cannot be read: {error}", REBUILD) from error
    fields = Fields(value, where, PlanError)
    if fields.take("format", int) != FORMAT:
        raise PlanError(f"{where} is of another version of this kit", REBUILD)
    return fields


def _device(fields: Fields) -> Device:
    device = Device(fields.take("tensorrt", str), fields.take("gpu", str), fields.take("compute_capability", str))
    fields.done()
    return device


def _identity(fields: Fields) -> Identity:
    identity = Identity(
        bundle=fields.take("bundle", str),
        file=fields.take("file", str),
        file_sha256=fields.take("file_sha256", str),
        precision=fields.take("precision", str),
        typing=fields.take("typing", str),
        device=_device(fields.child("device")),
        options=fields.take("options", str),
        code_version=fields.take("code_version", int),
    )
    fields.done()
    return identity


def parse_record(data: bytes) -> EngineRecord:
    """``<key>.json``. Raises PlanError."""
    fields = _fields(data, "the plan's record")
    record = EngineRecord(
        identity=_identity(fields.child("identity")),
        plan_sha256=fields.take("plan_sha256", str),
        plan_size=fields.take("plan_size", int),
        driver=fields.take("driver", str),
        built_utc=fields.take("built_utc", str),
        build_s=fields.take("build_s", float),
        notes=tuple(str(note) for note in fields.take("notes", list)),
        gate=fields.take("gate", dict),
        conditions=fields.take("conditions", dict),
    )
    fields.done()
    return record


def _texts(fields: Fields, name: str, form: re.Pattern[str] | None = None) -> dict[str, str]:
    """An object of texts; ``form``: of this form, because file names are made of them."""
    found: dict[str, str] = fields.take(name, dict)
    if not all(isinstance(text, str) and (form is None or form.fullmatch(text)) for text in found.values()):
        raise fields.fail(f"the choice of an engine: {name} holds something else than it should", REBUILD)
    return found


def parse_choice(data: bytes) -> EngineChoice:
    """``choice-<device>.json``. Raises PlanError."""
    fields = _fields(data, "the choice of an engine")
    choice = EngineChoice(
        device=_device(fields.child("device")),
        driver=fields.take("driver", str),
        asked=fields.take("asked", str),
        options=fields.take("options", str),
        code_version=fields.take("code_version", int),
        chosen=fields.take("chosen", str),
        plans=_texts(fields, "plans", _KEY),
        refused=_texts(fields, "refused"),
        reason=fields.take("reason", str),
    )
    fields.done()
    return choice
