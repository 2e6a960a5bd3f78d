"""What the status bar, ``/readyz`` and ``/metrics`` say of the station now."""

from __future__ import annotations

from fieldlens.runtime.machine.sensors import Sensors
from fieldlens.runtime.site.record import threshold_from
from fieldlens.runtime.station.station import Station
from fieldlens.runtime.station.status_schemas import (
    CameraBody,
    ClockBody,
    DiskBody,
    ModelBody,
    QueueBody,
    SendingBody,
    StatusBody,
)

_NO_CAMERA = CameraBody(name="", state="none", message="", age_s=None, frames_per_s=0.0, dropped=0)


def why_not_ready(station: Station) -> str:
    """Empty where images can be answered."""
    if (fault := station.engine.fault) is not None:
        return f"the model answers nothing any more: {fault.message}"
    return "the disk is full" if station.housekeeping.full else ""


def state_of(station: Station) -> StatusBody:
    """Everything at once."""
    return StatusBody(
        ready=not why_not_ready(station),
        site=station.settings.site,
        uptime_s=station.uptime_s,
        results=station.records.count(),
        camera=_camera(station),
        disk=_disk(station),
        clock=ClockBody(utc=station.clock.stamp(), plausible=station.clock.plausible),
        queue=QueueBody(under_way=station.engine.under_way, capacity=station.engine.capacity),
        model=_model(station),
        temperature_c=_hottest(station.sensors),
        banners=len(station.records.banners()),
        sending=_sending(station),
        audit_head=str(station.records.audit_head()),
    )


def _camera(station: Station) -> CameraBody:
    if station.camera is None:
        return _NO_CAMERA
    return CameraBody(**station.camera.state.__dict__)


def _disk(station: Station) -> DiskBody:
    house, rules = station.housekeeping, station.settings.rules
    house.look()
    return DiskBody(
        free_bytes=house.free_bytes, image_bytes=house.image_bytes, quota_bytes=rules.quota_bytes,
        keeps_images=rules.images, retention_days=rules.days, full=house.full,
    )  # fmt: skip


def _model(station: Station) -> ModelBody:
    bundle, info, fault = station.model.bundle, station.model.info, station.engine.fault
    decision = bundle.manifest.decision
    return ModelBody(
        bundle=bundle.title, bundle_hash=bundle.hash, signed=bundle.signed, backend=info.name, version=info.version,
        device=info.device, precision=info.precision, threads=info.threads, decides=decision is not None,
        threshold=None if decision is None else decision.threshold, threshold_from=threshold_from(decision),
        classes={each.id: each.display for each in bundle.manifest.classes},
        notes=list(station.model.notes), fault=None if fault is None else fault.message,
    )  # fmt: skip


def _sending(station: Station) -> SendingBody | None:
    if not station.settings.send:
        return None
    if station.sender is not None:
        return SendingBody(**station.sender.state.__dict__)
    return SendingBody(host="", problem="", **station.records.queue().__dict__)


def _hottest(sensors: Sensors) -> float | None:
    return max(sensors.read().temperature_c.values(), default=None)


def gauges(station: Station) -> dict[str, float | None]:
    """For ``/metrics``."""
    camera = station.camera.state if station.camera is not None else None
    return {
        "queue_images": station.engine.under_way,
        "queue_capacity": station.engine.capacity,
        "temperature_celsius": _hottest(station.sensors),
        "disk_free_bytes": station.housekeeping.free_bytes,
        "image_bytes": station.housekeeping.image_bytes,
        "camera_live": None if camera is None else float(camera.state == "live"),
        "camera_frames_per_second": None if camera is None else camera.frames_per_s,
        "camera_frames_dropped": None if camera is None else camera.dropped,
        "sending_waiting": station.records.queue().waiting if station.settings.send else None,
        "banners_unseen": len(station.records.banners()),
        "ready": float(not why_not_ready(station)),
    }
