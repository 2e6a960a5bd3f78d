"""One calibration of a site: the scores of its cases, the table, the proposal, and the record to approve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import KitError, OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.site import page as pages
from fieldlens.runtime.site.cases import Case
from fieldlens.runtime.site.figures import Costs, Drift, Local, Proposal, Row, candidates, drift, propose, row_at
from fieldlens.runtime.site.record import SiteThreshold, approve, now_utc


@dataclass(frozen=True)
class Study:
    """What was found; nothing is kept yet."""

    title: str
    local: Local
    rows: tuple[Row, ...]
    proposal: Proposal
    drifts: tuple[Drift, ...]
    costs: Costs
    own: float

    @property
    def lines(self) -> list[str]:
        """For a terminal."""
        return pages.lines(self.local, self.rows, self.proposal, self.drifts, self.costs, self.own)

    def page(self, status: str) -> str:
        """The HTML page; ``status``: whether it was approved, and by whom."""
        return pages.page(
            self.title, self.local, self.rows, self.proposal, self.drifts, self.costs, self.own, status
        )  # fmt: skip

    def conclude(self, bundle: Bundle, state: Path, approved_by: str | None, report: Path | None) -> str:
        """Keep what was approved, write the page, and say which of both holds. Raises KitError as :meth:`record`, and
        OutputError, which says what holds where only the page is missing."""
        status = f"not approved: {bundle.title} keeps its own threshold"
        if self.proposal.promise.kept:
            status += " (--approved-by NAME keeps the proposed one)"
        refusal: KitError | None = None
        if approved_by is not None:
            try:
                record = self.record(approved_by)
                path = approve(state, bundle, record)
                status = f"approved: {record.words()}; kept in {path}, delete it to go back to the bundle's"
            except KitError as error:
                refusal = error
            except OSError as error:
                kept = f"the threshold cannot be kept in {state} ({error.strerror}); {status}"
                raise OutputError(kept, "give --state a folder that can be written") from error
        if report is not None:
            try:
                atomic.write_text(report, self.page(status))
            except OSError as error:
                raise OutputError(
                    f"{report} cannot be written ({error.strerror}); {status}", "give --report a place that can be"
                ) from error
        if refusal is not None:
            raise refusal
        return status

    def record(self, name: str) -> SiteThreshold:
        """The proposal as approved by ``name``. Raises KitError where these cases do not prove the target, or where
        the approval has no name."""
        promise, name = self.proposal.promise, name.strip()
        if not name or not name.isprintable() or len(name) > 100:
            raise KitError("--approved-by needs the name of who approves it", "one line of at most 100 characters")
        if not promise.kept:
            raise KitError(f"not kept: {promise.words()}", "add cases; until then the bundle's own threshold holds")
        positives = int(self.local.positive.sum())
        return SiteThreshold(
            self.proposal.threshold, self.proposal.band, promise, name, now_utc(), len(self.local.scores), positives,
            self.proposal.band_promise,
        )  # fmt: skip


def scored(cases: Sequence[Case], answer: Callable[[Case], Prediction]) -> Local:
    """The scores of all cases that the quality gate lets pass. Raises the error of the first that cannot be read, and
    KitError where the gate leaves cases of one kind only."""
    scores, kept, refused = [], [], 0
    for case in cases:
        prediction = answer(case)
        if prediction.outcome is Outcome.RETAKE or prediction.score is None:
            refused += 1
            continue
        scores.append(prediction.score)
        kept.append(case)
    positive = np.array([case.positive for case in kept], bool)
    if not positive.any() or positive.all():
        raise KitError(
            f"the quality gate refuses {refused} of {len(cases)} cases, and the rest are of one kind",
            "run `fieldlens calibrate-camera` first, or add cases",
        )
    return Local(np.array(scores), positive, tuple(case.group for case in kept), refused)


def study(
    local: Local, bundle: Bundle, prevalence: float | None, miss: float | None = None, referral: float | None = None
) -> Study:
    """Table, proposal and drift at the bundle's own score."""
    decision = bundle.manifest.decision
    assert decision is not None
    costs = Costs(float(local.positive.mean()) if prevalence is None else prevalence, miss, referral)
    proposal = propose(local, decision)
    thresholds = candidates(local, proposal.threshold, decision.threshold)
    return Study(
        f"{bundle.title} on this clinic's own cases", local,
        tuple(row_at(local, threshold, costs) for threshold in thresholds), proposal,
        tuple(drift(local, decision.reached)), costs, decision.threshold,
    )  # fmt: skip
