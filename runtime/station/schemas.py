"""What the REST service takes and gives: the shapes of its JSON, from which OpenAPI is made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.pixels.heat import too_coarse
from fieldlens.runtime.station.records.rows import BannerRow, ResultRow
from fieldlens.runtime.station.serving.problems import ProblemBody
from fieldlens.runtime.station.subjects import PATTERN

NO_CONTROLS = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""Text that a person typed: no control character but tab and line feed, no mark that turns the direction of text."""
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
Subject = Annotated[str, StringConstraints(pattern=PATTERN)]
Line = Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=100)]
Note = Annotated[str, StringConstraints(pattern=NO_CONTROLS, max_length=2000)]
ResultId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
TOP = 3
IN_LISTS = 10
"""Classes of each result in a list: fifty results of a thousand classes would be 2 MB."""

OUTCOME_WORDS = {
    Outcome.REFER: "Refer",
    Outcome.NO_SIGN_FOUND: "No sign found",
    Outcome.UNCERTAIN: "Uncertain: treat as refer",
    Outcome.RETAKE: "Take the image again",
    Outcome.CLASSIFIED: "Classified",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AboutForm(_Strict):
    """What a person says of an image. ``subject`` empty: an ID is made. Never a name."""

    subject: Subject | Literal[""] = ""
    site: Line = ""
    operator: Line = ""


class ReviewForm(_Strict):
    """A clinician's word on a result."""

    agrees: bool
    note: Note = ""
    reviewer: Line = ""


class SeenForm(_Strict):
    """Who has seen a banner."""

    by: Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=100)]


class TopClass(BaseModel):
    """A class with its calibrated probability."""

    id: str
    display: str
    probability: float


class DecidingClass(BaseModel):
    """Where each class has its own threshold: the class that the score comes from."""

    id: str
    display: str
    probability: float
    threshold: float


class FindingBody(BaseModel):
    """Why the image has to be taken again."""

    check: str
    value: float
    limit: float
    advice: str


class ReviewBody(BaseModel):
    """The newest review of a result."""

    created_utc: str
    agrees: bool
    note: str
    reviewer: str


class ApprovalBody(BaseModel):
    """Who approved this clinic's own threshold, when (empty: no clock was set), and on how many cases."""

    approved_by: str
    approved_utc: str
    cases: int


class ResultBody(BaseModel):
    """A stored result. ``top`` is empty on ``retake``: no class is shown for an image that has to be taken again.

    ``deciding``: None where one threshold is for the score, where the model decides nothing, on ``retake``, and for a
    result of another bundle than the one that runs. ``has_image``: the whole image is kept; ``has_view``: what the
    network saw can still be shown; ``has_heatmap``: and the heat map over it, which a retake never has.
    ``no_heatmap``: why its map is too coarse to be drawn, else empty. ``approval``: None where the threshold was the
    bundle's.
    """

    id: str
    number: int
    created_utc: str
    origin: Literal["camera", "upload"]
    subject: str
    site: str
    operator: str
    outcome: Outcome
    outcome_words: str
    top: list[TopClass]
    probabilities: dict[str, float]
    score: float | None
    threshold: float | None
    approval: ApprovalBody | None
    deciding: DecidingClass | None
    findings: list[FindingBody]
    ood_score: float | None
    explained: str
    latency_ms: dict[str, float]
    backend: str
    precision: str
    bundle: str
    bundle_hash: str
    bundle_signed_by: str | None
    has_image: bool
    has_view: bool
    has_heatmap: bool
    no_heatmap: str
    review: ReviewBody | None


class PredictedItem(BaseModel):
    """One uploaded file, or a frame of it: its result, or why there is none. ``name``: the file's own; of a DICOM file
    without what could name its patient. ``notes``: what a DICOM file says of its pixels (writing is burnt into them; it
    is a secondary capture)."""

    name: str
    notes: list[Literal["burnt-in", "secondary"]] = []
    result: ResultBody | None = None
    problem: ProblemBody | None = None


class PredictedBody(BaseModel):
    """Every uploaded file, in order."""

    items: list[PredictedItem]


class ResultsBody(BaseModel):
    """A page of results, newest first; ``next_before`` goes into ``before`` for the following page."""

    results: list[ResultBody]
    total: int
    next_before: int | None


class BannerBody(BaseModel):
    """Something that somebody has to see."""

    number: int
    kind: str
    message: str
    hint: str
    created_utc: str
    seen_utc: str | None
    seen_by: str | None


class BannersBody(BaseModel):
    """Banners."""

    banners: list[BannerBody]


class ForgetForm(_Strict):
    """Whose results are to be deleted."""

    subject: Subject


class ForgottenBody(BaseModel):
    """How many results were deleted."""

    results: int


class AuditRowBody(BaseModel):
    """One event. ``about``: the ID of the result; of a deleted subject a keyed hash."""

    number: int
    created_utc: str
    event: str
    who: str
    about: str
    detail: str


class AuditBody(BaseModel):
    """The newest events first, and where the log ends."""

    rows: list[AuditRowBody]
    head: str


class SubjectBody(BaseModel):
    """A new ID."""

    subject: str


def result_body(
    row: ResultRow,
    display: dict[str, str],
    *,
    has_view: bool,
    class_threshold: float | None = None,
    most: int | None = None,
) -> ResultBody:
    """A row as the service shows it. ``display`` names classes for people; ``class_threshold`` is that of the explained
    class, where each has its own; ``most``: so many of the likeliest classes, None for all."""
    retake = row.outcome == Outcome.RETAKE
    no_heatmap = too_coarse(row.cam)
    best = sorted(row.probabilities.items(), key=lambda item: -item[1])
    top = [TopClass(id=name, display=display.get(name, name), probability=p) for name, p in best[:TOP]]
    plain = {name: getattr(row, name) for name in ResultBody.model_fields if hasattr(row, name)}
    if most is not None and len(best) > most:
        plain["probabilities"] = dict(best[:most])
    plain["review"] = None if row.review is None else ReviewBody(**row.review.__dict__)
    plain["approval"] = None if row.approval is None else ApprovalBody(**row.approval.__dict__)
    plain["findings"] = [FindingBody(**finding) for finding in row.findings]
    return ResultBody(
        **plain,
        outcome_words=OUTCOME_WORDS[Outcome(row.outcome)],
        top=[] if retake else top,
        deciding=None
        if retake or class_threshold is None
        else DecidingClass(
            id=row.explained,
            display=display.get(row.explained, row.explained),
            probability=row.probabilities[row.explained],
            threshold=class_threshold,
        ),
        has_image=any(file.kind == "image" for file in row.files),
        has_view=has_view,
        has_heatmap=has_view and not retake and not no_heatmap,
        no_heatmap=no_heatmap,
    )


def banner_body(row: BannerRow) -> BannerBody:
    """A banner as the service shows it."""
    return BannerBody(**row.__dict__)
