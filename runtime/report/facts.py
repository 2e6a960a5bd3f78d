"""The report of a run: the same facts as JSON for programs and as one self-contained page for people."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldlens.runtime.backends.base import BackendInfo
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.machine.host import conditions
from fieldlens.runtime.machine.telemetry import TelemetryRecord
from fieldlens.runtime.report.diagnosis import Diagnosis
from fieldlens.runtime.report.page import page
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.running.single_stream import SingleStreamResult

FORMAT = 1


@dataclass(frozen=True)
class Observed:
    """What was seen around a run: conditions at its start and its end, the machine's samples, and what they say."""

    start: dict[str, Any]
    end: dict[str, Any]
    record: TelemetryRecord
    diagnosis: tuple[Diagnosis, ...]
    percentile: float
    verdict: SingleStreamResult | None = None


def observed(
    start: dict[str, Any],
    record: TelemetryRecord,
    diagnosis: tuple[Diagnosis, ...],
    percentile: float = 99.0,
    verdict: SingleStreamResult | None = None,
) -> Observed:
    """With the conditions of this moment as those of the end; ``percentile`` is the one that was asked for."""
    return Observed(start, conditions(), record, diagnosis, percentile, verdict)


def write_report(
    path: Path, log: RunLog, bundle: Bundle, info: BackendInfo, reasons: tuple[str, ...], around: Observed
) -> None:
    """Write ``path`` (HTML) and its twin ``.json``. Raises OutputError."""
    facts = report_facts(log, bundle, info, reasons, around)
    try:
        atomic.write_json(path.with_suffix(".json"), facts)
        atomic.write_text(path, page(facts))
    except OSError as error:
        hint = f"make room, or choose another place: df -h '{path.parent}'"
        raise OutputError(f"{path}: {error.strerror}", hint) from error


def check_place(path: Path) -> None:
    """Make the report's folder. Raises OutputError where it cannot be written: better now than after the run."""
    try:
        atomic.make_folder(path.parent)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error


def report_facts(
    log: RunLog, bundle: Bundle, info: BackendInfo, reasons: tuple[str, ...], around: Observed
) -> dict[str, Any]:
    """Everything the page shows, ready for JSON."""
    return {
        "format": FORMAT,
        "bundle": {
            "title": bundle.title,
            "hash": bundle.hash,
            "version": bundle.manifest.version.number,
            "signed_by": bundle.signer,
            "signed": bundle.signed,
        },
        "backend": {**asdict(info), "chosen_because": list(reasons)},
        "run": log.to_json(),
        "percentile": f"p{around.percentile:g}",
        "diagnosis": [asdict(finding) for finding in around.diagnosis],
        "single_stream": around.verdict.to_json() if around.verdict else None,
        "conditions": {"start": around.start, "end": around.end},
        "telemetry": around.record.to_json(log.seconds, log.answered),
    }
