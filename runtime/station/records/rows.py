"""What one result, review and notice are in the records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.site.record import Approval
from fieldlens.runtime.station.records.image_files import KeptFile


@dataclass(frozen=True)
class Review:
    """A clinician's word on a result."""

    created_utc: str
    agrees: bool
    note: str
    reviewer: str


@dataclass(frozen=True)
class BannerRow:
    """Something that somebody has to see; ``seen_utc`` None: nobody has."""

    number: int
    kind: str
    message: str
    hint: str
    created_utc: str
    seen_utc: str | None
    seen_by: str | None


@dataclass(frozen=True)
class ResultRow:
    """One answer with everything that led to it. ``cam`` is float32 ``[side,side]`` of the class ``explained``.

    ``number`` is 0 before it is stored. ``files``: its images, if they were kept. ``approval``: who approved the
    threshold where it was this clinic's own, None where it was the bundle's (or in results of before this was kept).
    """

    id: str
    created_utc: str
    origin: str
    subject: str
    site: str
    operator: str
    outcome: str
    label: str
    score: float | None
    threshold: float | None
    probabilities: Mapping[str, float]
    findings: tuple[Mapping[str, Any], ...]
    ood_score: float | None
    latency_ms: Mapping[str, float]
    backend: str
    precision: str
    bundle: str
    bundle_hash: str
    bundle_signed_by: str | None
    explained: str
    cam: npt.NDArray[np.float32] = field(compare=False)
    number: int = 0
    files: tuple[KeptFile, ...] = ()
    review: Review | None = None
    approval: Approval | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """As stored, without the number."""
        plain = (
            "id", "created_utc", "origin", "subject", "site", "operator", "outcome", "label", "score", "threshold",
            "ood_score", "backend", "precision", "bundle", "bundle_hash", "bundle_signed_by", "explained",
        )  # fmt: skip
        return {
            **{name: getattr(self, name) for name in plain},
            "probabilities": json_text(dict(self.probabilities)),
            "findings": json_text([dict(finding) for finding in self.findings]),
            "latency_ms": json_text(dict(self.latency_ms)),
            "cam": np.ascontiguousarray(self.cam, "<f4").tobytes(),
            "cam_side": self.cam.shape[0],
            "approval": None if self.approval is None else json_text(asdict(self.approval)),
        }


def result_from(row: sqlite3.Row, files: tuple[KeptFile, ...], review: Review | None) -> ResultRow:
    """A row of ``results`` with what belongs to it."""
    values = dict(row)
    side = values.pop("cam_side")
    values["cam"] = np.frombuffer(values["cam"], "<f4").reshape(side, side)
    for name in ("probabilities", "findings", "latency_ms"):
        values[name] = json.loads(values[name])
    values["findings"] = tuple(values["findings"])
    values["approval"] = None if values["approval"] is None else Approval(**json.loads(values["approval"]))
    return ResultRow(**values, files=files, review=review)
