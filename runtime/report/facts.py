"""The report of a run: the same facts as JSON for programs and as one self-contained page for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.backends.base import BackendInfo
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.machine.host import conditions
from fieldlens.runtime.machine.telemetry import TelemetryRecord
from fieldlens.runtime.output.rows import RowSink
from fieldlens.runtime.report.diagnosis import Diagnosis
from fieldlens.runtime.report.page import page
from fieldlens.runtime.running.rules import Verdict
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.site.record import threshold_from
from fieldlens.runtime.view.gallery import Thumbnail

FORMAT = 1


@dataclass(frozen=True)
class Observed:
    """What was seen around a run: conditions at its start and its end, the machine's samples, and what they say."""

    start: dict[str, Any]
    end: dict[str, Any]
    record: TelemetryRecord
    diagnosis: tuple[Diagnosis, ...]
    percentile: float
    verdict: Verdict | None = None


def observed(
    start: dict[str, Any],
    record: TelemetryRecord,
    diagnosis: tuple[Diagnosis, ...],
    percentile: float = 99.0,
    verdict: Verdict | None = None,
) -> Observed:
    """With the conditions of this moment as those of the end; ``percentile`` is the one that was asked for."""
    return Observed(start, conditions(), record, diagnosis, percentile, verdict)


def write_report(path: Path, facts: dict[str, Any], gallery: Sequence[Thumbnail] = ()) -> int:
    """Write ``path`` (HTML) and its twin ``.json``; the page's size in bytes. Images are in the page only. Raises
    OutputError."""
    text = page(facts, gallery)
    try:
        atomic.write_json(path.with_suffix(".json"), facts)
        atomic.write_text(path, text)
    except OSError as error:
        hint = f"make room, or choose another place: df -h '{path.parent}'"
        raise OutputError(f"{path}: {error.strerror}", hint) from error
    return len(text.encode("utf-8", "backslashreplace"))


def megabytes(size: int) -> str:
    """A file's size for people: ``84 kB``, ``1.2 MB``."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def report_facts(
    log: RunLog,
    bundle: Bundle,
    info: BackendInfo,
    reasons: tuple[str, ...],
    around: Observed,
    rows: RowSink | None = None,
) -> dict[str, Any]:
    """Everything the page shows but its images, ready for JSON. ``rows``: the images one by one, where they count."""
    decision = bundle.manifest.decision
    return {
        "format": FORMAT,
        "bundle": {
            "title": bundle.title,
            "hash": bundle.hash,
            "version": bundle.manifest.version.number,
            "signed_by": bundle.signer,
            "signed": bundle.signed,
        },
        "decision": {
            "threshold": decision.threshold if decision else None,
            "band": list(decision.band) if decision and decision.band[0] < decision.band[1] else None,
            "threshold_from": threshold_from(decision),
        },
        "results": rows.to_json() if rows else None,
        "backend": {**asdict(info), "chosen_because": list(reasons)},
        "run": log.to_json(),
        "percentile": f"p{around.percentile:g}",
        "diagnosis": [asdict(finding) for finding in around.diagnosis],
        "single_stream": _verdict(around, "single_stream"),
        "fixed_rate": _verdict(around, "fixed_rate"),
        "conditions": {"start": around.start, "end": around.end},
        "telemetry": around.record.to_json(log.seconds, log.answered),
    }


def _verdict(around: Observed, key: str) -> dict[str, Any] | None:
    return around.verdict.to_json() if around.verdict and around.verdict.key == key else None
