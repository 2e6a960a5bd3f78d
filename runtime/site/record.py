"""The approved threshold of a clinic, in the state folder: bound to the network, audited, said in every output.

It is a record of this device, not of the bundle, whose signature stays as it is. One is kept for each bundle name, and
it names the network that it was made for. Another network's scores mean something else, so it ignores the record, says
so, and keeps its own threshold until the clinic calibrates again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from fieldlens.runtime.bundle.band import BandPromise
from fieldlens.runtime.bundle.decision import Decision, logit
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import REFERENCE, model_file
from fieldlens.runtime.bundle.promise import Promise
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.fields import Between
from fieldlens.runtime.files import atomic, kept
from fieldlens.runtime.files.bounds import RECORD_BYTES
from fieldlens.runtime.machine.clock import time_utc
from fieldlens.runtime.pixels.steps import steps_to_json

SITE, APPROVAL = "site", "site_approval"
"""Keys in a decision's ``reached``: whose threshold it is, in words, and as an Approval's fields."""
_AGAIN = "delete it, and run `fieldlens calibrate-site` again"
_Share = Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class Approval:
    """Who approved a clinic's own threshold, when (empty: no clock was set), on how many cases."""

    approved_by: str
    approved_utc: str
    cases: Annotated[int, Between(1, 2**53)]

    def words(self) -> str:
        """Whose threshold it is, for every output."""
        when = f" on {self.approved_utc[:10]}" if self.approved_utc else ""
        return f"this clinic's own, approved by {self.approved_by}{when} on {self.cases} cases"


@dataclass(frozen=True)
class SiteThreshold:
    """What was approved: threshold and band on the scale of the bundle's own score, and by whom, when (empty: no clock
    was set), on how many cases; what the band promises here (None: no band, or a record of before this was kept)."""

    threshold: _Share
    band: tuple[_Share, _Share]
    promise: Promise
    approved_by: str
    approved_utc: str
    cases: Annotated[int, Between(1, 2**53)]
    positives: Annotated[int, Between(1, 2**53)]
    band_promise: BandPromise | None = None

    @property
    def approval(self) -> Approval:
        """What outputs say of it."""
        return Approval(self.approved_by, self.approved_utc, self.cases)

    def words(self) -> str:
        """Whose threshold it is, for every output."""
        return self.approval.words()


def network_of(manifest: Manifest) -> str:
    """SHA-256 of all that gives a score its meaning: weights, steps, temperature, and how the score is made."""
    decision = manifest.decision
    value = {
        "model": manifest.files[model_file(REFERENCE)].sha256,
        "preprocess": steps_to_json(manifest.preprocess),
        "temperature": manifest.temperature,
        "score": None if decision is None else [decision.rule, decision.positive, decision.thresholds],
    }
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def approve(state: Path, bundle: Bundle, record: SiteThreshold) -> Path:
    """Add a line to ``audit.jsonl``, whose lines are chained by their hashes, then keep the record. Raises OSError.

    In this order, so that whatever is killed half-way, no threshold holds that the log does not know.
    """
    path, log = _path(state, bundle), state / SITE / "audit.jsonl"
    old = log.read_bytes() if log.exists() else b""
    before = bundle.manifest.decision
    event = {
        "event": "site threshold approved", "time_utc": record.approved_utc, "by": record.approved_by,
        "bundle": bundle.title, "bundle_hash": bundle.hash, "network": network_of(bundle.manifest),
        "before": before.threshold if before else None, "after": record.threshold, "cases": record.cases,
        "previous": hashlib.sha256(old).hexdigest(),
    }  # fmt: skip
    atomic.make_folder(log.parent)
    atomic.write_bytes(log, old + json.dumps(event, sort_keys=True).encode() + b"\n", 0o600)
    kept.save(path, _identity(bundle), json.dumps(asdict(record), allow_nan=False).encode())
    return path


def localised(state: Path, bundle: Bundle) -> tuple[Bundle, tuple[str, ...]]:
    """The bundle with this clinic's threshold, and what must be said of that; the bundle itself where there is none, or
    one for another network. Raises BundleError for a record that is damaged."""
    path, decision = _path(state, bundle), bundle.manifest.decision
    if decision is None:
        return bundle, ()
    if kept.hidden(path):
        unread = f"{state} cannot be read: a threshold of this clinic's own, if there is one, does not hold now"
        return bundle, (unread,)
    try:
        found = kept.load_any(path, RECORD_BYTES)
        if found is None:
            return bundle, ()
        identity, payload = found
        if identity != _identity(bundle):
            return bundle, (
                "this clinic's threshold was made for another network and is ignored: the bundle's own holds until "
                "`fieldlens calibrate-site` is run again",
            )
        record = kept.record(SiteThreshold, payload, path.name)
    except KitError as error:
        raise BundleError(f"{path} cannot be used: {error}", _AGAIN) from error
    local = moved(decision, record)
    note = f"the threshold {local.threshold:.4f} is {record.words()} (the bundle's is {decision.threshold:.4f})"
    if decision.rule == "any":
        note = f"the thresholds are {record.words()}"
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, decision=local)), (note,)


def moved(decision: Decision, record: SiteThreshold) -> Decision:
    """The decision at the clinic's threshold. With several labels every label's threshold moves by the same on the
    logit's scale, which is what a threshold on the joint score means."""
    band_here = record.band_promise.to_json() if record.band_promise else {}
    reached = {
        **decision.reached, "promise": record.promise.to_json(), "band": band_here, SITE: record.words(),
        APPROVAL: asdict(record.approval),
    }  # fmt: skip
    thresholds, band = dict.fromkeys(decision.positive, record.threshold), record.band
    if decision.rule == "any":
        by = float(logit(record.threshold))
        thresholds = {name: _sigmoid(float(logit(border)) + by) for name, border in decision.thresholds.items()}
        band = (_sigmoid(float(logit(band[0])) - by), _sigmoid(float(logit(band[1])) - by))
    return dataclasses.replace(
        decision, thresholds=thresholds, band=band, reached=reached, target=record.promise.target
    )  # fmt: skip


def threshold_from(decision: Decision | None) -> str | None:
    """Whose threshold it is, where it is not the bundle's."""
    found = decision.reached.get(SITE) if decision else None
    return found if isinstance(found, str) else None


def approval_of(decision: Decision | None) -> Approval | None:
    """Who approved the threshold, where it is not the bundle's."""
    found = decision.reached.get(APPROVAL) if decision and threshold_from(decision) else None
    return None if found is None else Approval(**found)


def _sigmoid(value: float) -> float:
    return float(0.5 * (1 + np.tanh(0.5 * value)))


def now_utc() -> str:
    """Empty where the clock was not set."""
    return time_utc(time.time()) or ""


def _path(state: Path, bundle: Bundle) -> Path:
    return state / SITE / f"{hashlib.sha256(bundle.manifest.name.encode()).hexdigest()[:16]}.json"


def _identity(bundle: Bundle) -> dict[str, Any]:
    return {"kind": "site threshold", "network": network_of(bundle.manifest)}
