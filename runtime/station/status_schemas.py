"""What the service says of itself: camera, disk, clock, queue, model and sending."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class CameraBody(BaseModel):
    """The camera now. ``state``: ``none``, ``opening``, ``live``, ``stalled`` or ``lost``."""

    name: str
    state: Literal["none", "opening", "live", "stalled", "lost"]
    message: str
    age_s: float | None
    frames_per_s: float
    dropped: int


class DiskBody(BaseModel):
    """Bytes. ``full``: nothing is answered until there is room."""

    free_bytes: int
    image_bytes: int
    quota_bytes: int
    keeps_images: bool
    retention_days: int
    full: bool


class ClockBody(BaseModel):
    """``plausible``: whether the clock can be right."""

    utc: str
    plausible: bool


class QueueBody(BaseModel):
    """Images under way, and how many may be."""

    under_way: int
    capacity: int


class ModelBody(BaseModel):
    """What answers. ``fault``: why it does not any more. ``threshold_from``: whose threshold it is, where it is this
    clinic's own."""

    bundle: str
    bundle_hash: str
    signed: str
    backend: str
    version: str
    device: str
    precision: str
    threads: int
    decides: bool
    threshold: float | None
    threshold_from: str | None
    classes: dict[str, str]
    notes: list[str]
    fault: str | None


class SendingBody(BaseModel):
    """What waits to be sent. ``host`` empty: for a stick. ``problem``: why nothing is sent now; empty: all is well."""

    host: str
    waiting: int
    oldest_utc: str
    last_sent_utc: str
    problem: str


class StatusBody(BaseModel):
    """The status bar. ``audit_head``: where the audit log ends now, ``number:hexadecimal``, to be printed."""

    ready: bool
    site: str
    uptime_s: float
    results: int
    camera: CameraBody
    disk: DiskBody
    clock: ClockBody
    queue: QueueBody
    model: ModelBody
    temperature_c: float | None
    sending: SendingBody | None
    banners: int
    audit_head: str


class HealthBody(BaseModel):
    """``ok``, or why not."""

    status: str


class ReadyBody(HealthBody):
    """What an updater has to know before it calls a version good: which bundle answers, and whether there is a camera.

    ``camera``: its state in one word, ``none`` without one.
    """

    bundle_hash: str
    camera: str
