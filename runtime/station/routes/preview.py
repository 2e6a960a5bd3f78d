"""The camera's preview: a frame at a time, always of the present."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from fieldlens.runtime.station.routes.given import StationOf
from fieldlens.runtime.station.serving.access import AuditEvent, Role, Routes
from fieldlens.runtime.station.serving.problems import HttpProblem

routes = Routes("/api/v1", "camera")
_WAIT_S = 0.5
_JPEG = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}


@routes.add(
    "GET", "/preview", may=Role.OPERATOR, event=AuditEvent.NONE, problems=(409, 503), response_class=Response,
    responses={200: {"content": _JPEG, "description": "The newest. Headers: X-Frame, X-Age-Ms, X-Hint, X-Checks"}},
)  # fmt: skip
async def preview(
    station: StationOf, after: Annotated[int, Query(ge=0, le=2**53, description="the X-Frame shown last")] = 0
) -> Response:
    """The newest frame with a number above ``after``; waits half a second for one. Ask again as soon as it is shown.

    503 where there is no fresh frame: then the page must take the old one off the screen. ``X-Hint``: what the quality
    gate would say, empty where it has nothing against the image (percent-encoded UTF-8). ``X-Checks``: the same for a
    page in another language, ``brightness-low`` for one; joined with commas.
    """
    if station.camera is None:
        raise HttpProblem(409, "no-camera", "this station has no camera", "start it with --camera")
    camera = station.camera
    frame = await run_in_threadpool(camera.newest, after, _WAIT_S)
    if frame is None:
        state = camera.state
        raise HttpProblem(503, "camera", f"no image: {state.message or state.state}", "", {"Retry-After": "1"})
    data = await run_in_threadpool(frame.jpeg)
    hint = quote("; ".join(finding.advice for finding in frame.hints))
    checks = ",".join(f"{each.check}-{'low' if each.value < each.limit else 'high'}" for each in frame.hints)
    headers = {
        "X-Frame": str(frame.number), "X-Age-Ms": f"{frame.age_s * 1e3:.0f}", "X-Hint": hint, "X-Checks": checks,
    }  # fmt: skip
    return Response(data, media_type="image/jpeg", headers=headers)
