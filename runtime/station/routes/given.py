"""What routes get from the application: the station, and a result by its id."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Depends, Request

from fieldlens.runtime.bundle.decision import logit
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.station.records.rows import ResultRow
from fieldlens.runtime.station.schemas import ResultBody, ResultId, result_body
from fieldlens.runtime.station.serving.problems import HttpProblem
from fieldlens.runtime.station.station import Station


async def station_of(request: Request) -> Station:
    """The one that the application was made for. ``async``: FastAPI sends any other dependency through a thread."""
    station = request.app.state.station
    assert isinstance(station, Station)
    return station


StationOf = Annotated[Station, Depends(station_of)]


def found(station: Station, result_id: ResultId) -> ResultRow:
    """A result. Raises HttpProblem 404."""
    row = station.records.one(result_id)
    if row is None:
        raise HttpProblem(404, "no-result", "there is no such result", "it may be older than the retention allows")
    return row


def shown(station: Station, row: ResultRow, most: int | None = None) -> ResultBody:
    """A result as the service shows it; ``most``: with so many of its likeliest classes."""
    display = {info.id: info.display for info in station.model.bundle.manifest.classes}
    threshold = class_threshold(station.model.bundle, row)
    return result_body(row, display, has_view=station.has_view(row), class_threshold=threshold, most=most)


def class_threshold(bundle: Bundle, row: ResultRow) -> float | None:
    """The threshold that the explained class had when this was answered, where each class has its own.

    A clinic may have set its own since, so it comes from the result: the score is
    ``sigmoid(logit(probability) - logit(threshold))`` (bundle/decision.py).
    """
    decision = bundle.manifest.decision
    if decision is None or decision.rule != "any" or row.bundle_hash != bundle.hash or row.score is None:
        return None
    border = float(logit(row.probabilities[row.explained]) - logit(row.score))
    return 0.5 * (1.0 + math.tanh(0.5 * border))
