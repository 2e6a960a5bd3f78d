"""What a data-protection officer asks for: the audit log, and the deletion of one subject."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from fieldlens.runtime.station.routes.given import StationOf
from fieldlens.runtime.station.schemas import AuditBody, AuditRowBody, ForgetForm, ForgottenBody
from fieldlens.runtime.station.serving.access import AuditEvent, CallerOf, Role, Routes

routes = Routes("/api/v1", "trust")
_MOST = 500


@routes.add("GET", "/audit", may=Role.ADMIN, event=AuditEvent.LOG, response_model=AuditBody)
def audit(
    station: StationOf,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    before: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> AuditBody:
    """The audit log, newest events first. Reading it is an event, too. `fieldlens station verify-audit` checks it."""
    rows = [AuditRowBody(**asdict(row)) for row in station.records.audit_rows(limit, before)]
    return AuditBody(rows=rows, head=str(station.records.audit_head()))


@routes.add("POST", "/subjects/forget", may=Role.ADMIN, event=AuditEvent.DELETE, response_model=ForgottenBody)
def forget(form: ForgetForm, station: StationOf, caller: CallerOf) -> ForgottenBody:
    """Delete every result, review and image of one subject. The log keeps that it was done, and not whose it was."""
    return ForgottenBody(results=station.records.forget_subject(form.subject, caller.name))
