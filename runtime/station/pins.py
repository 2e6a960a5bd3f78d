"""What a station runs is pinned: what differs from the last start is a banner until somebody has seen it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.model import Model
from fieldlens.runtime.station.records.store import Records

_FACT = "pinned"
_WORDS = {
    "backend": ("backend", "answers may be slower; ask your engineer what changed"),
    "precision": ("precision", "the model was tested at this precision on this device"),
    "device": ("processor", "a fall from GPU to CPU is slower: `fieldlens doctor` says what is missing"),
    "bundle": ("model", "ask your engineer whether this update was meant"),
    "bundle_hash": ("model's contents", "ask your engineer whether this update was meant"),
    "threshold": ("threshold", "more or fewer people will be referred than before"),
    "camera_limits": ("camera's limits", "the quality gate accepts other images than before"),
}


@dataclass(frozen=True)
class Pinned:
    """What decides an answer, beside the image."""

    backend: str
    precision: str
    device: str
    bundle: str
    bundle_hash: str
    threshold: str
    camera_limits: str


def pinned_now(model: Model) -> Pinned:
    """What runs."""
    decision = model.bundle.manifest.decision
    words = "none" if decision is None else f"{decision.thresholds}, band {list(decision.band)}"
    limits = model.classifier.limits
    ranges = "none" if limits is None else str({name: list(pair) for name, pair in sorted(limits.ranges.items())})
    info = model.info
    return Pinned(info.name, info.precision, info.device, model.bundle.title, model.bundle.hash, words, ranges)


def compare_pins(records: Records, model: Model, created_utc: str) -> list[str]:
    """Raise a banner for each difference from the last start, then pin what runs. The messages."""
    now = asdict(pinned_now(model))
    before: Mapping[str, Any] | None = records.fact(_FACT)
    said = []
    for name, value in now.items():
        if before is not None and (old := before.get(name)) != value and not _is_said(name, before, now):
            title, hint = _WORDS[name]
            message = f"the {title} changed: {_short(old)} → {_short(value)}"
            records.notify(f"changed-{name.replace('_', '-')}", message, hint, created_utc)
            records.audit(AuditEntry("model-change", detail=message))
            said.append(message)
    if before != now:
        records.remember(_FACT, now)
    return said


def _is_said(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Another model has other contents: one banner is enough."""
    return name == "bundle_hash" and before.get("bundle") != now["bundle"]


def _short(value: Any) -> str:
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text[:16]  # as on the slip
    return text if len(text) <= 120 else f"{text[:119]}…"
