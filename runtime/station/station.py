"""The station itself: model, camera and records together, and how one image becomes a stored result."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.errors import ImageError, KitError
from fieldlens.runtime.machine.sensors import Sensors
from fieldlens.runtime.model import Model
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.site.record import approval_of
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.item import Encoded, Frame
from fieldlens.runtime.station.clock import CLOCK, WallClock
from fieldlens.runtime.station.engine import BusyError, ModelThread, SeenImage, jpeg_of
from fieldlens.runtime.station.housekeeping import Housekeeping, KeepingRules
from fieldlens.runtime.station.live_camera import LiveCamera
from fieldlens.runtime.station.pins import compare_pins
from fieldlens.runtime.station.recent import RecentViews
from fieldlens.runtime.station.records.rows import ResultRow
from fieldlens.runtime.station.records.store import STATION, Records
from fieldlens.runtime.station.sending.sender import Sender
from fieldlens.runtime.station.sending.tus import Receiver
from fieldlens.runtime.station.serving.certificate import TlsFiles
from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.station.serving.metrics import Metrics
from fieldlens.runtime.station.subjects import new_subject

VIEW_QUALITY = 88
_CAPTURE_S = 1.0
"""How long a press on the button waits for a frame that was captured after it."""


@dataclass(frozen=True)
class StationSettings:
    """What was given at the start. ``rules``: which images are kept, and for how long."""

    data: Path
    site: str = ""
    rules: KeepingRules = field(default_factory=KeepingRules)
    limits: RequestLimits = field(default_factory=RequestLimits)
    waiting: int = 16
    preparers: int = 3
    send: bool = False
    """Every answered image is queued: for ``receiver``, or for a stick where there is none."""
    receiver: Receiver | None = None
    tls: TlsFiles | None = None
    """Not None: others than this machine can ask, so accounts are needed."""


@dataclass(frozen=True)
class AboutResult:
    """What a person says of an image: never a name."""

    subject: str = ""
    site: str = ""
    operator: str = ""
    by: str = STATION
    """The account that asks; for the audit log."""


class Station:
    """Opens everything, or raises KitError; ``close`` in the end. Any thread may call."""

    def __init__(
        self,
        settings: StationSettings,
        load: Callable[[], Model],
        camera: Address | None = None,
        clock: WallClock = CLOCK,
    ) -> None:
        self.settings, self.clock = settings, clock
        self._began = clock.monotonic()
        self.sensors = Sensors()
        self.metrics, self.recent = Metrics(), RecentViews()
        self.records = Records(settings.data)
        try:
            self.engine = ModelThread(load, waiting=settings.waiting, preparers=settings.preparers)
        except BaseException:
            self.records.close()
            raise
        self.model = self.engine.model
        self.records.audit(AuditEntry("start", detail=f"{self.model.bundle.title}, {self.model.bundle.hash}"))
        compare_pins(self.records, self.model, clock.stamp())
        classifier = self.model.classifier
        self.camera = LiveCamera(camera, classifier.preparer(), classifier.limits) if camera is not None else None
        self.housekeeping = Housekeeping(self.records, settings.rules, clock)
        self.sender = None if settings.receiver is None else Sender(self.records, settings.receiver, clock)

    @property
    def uptime_s(self) -> float:
        """Since the start."""
        return self.clock.monotonic() - self._began

    def upload(self, data: bytes, about: AboutResult, *, source: str = "image", pixels_kept: bool = True) -> ResultRow:
        """Answer an uploaded image, and store the answer. Raises KitError.

        ``source``: for messages; ``image#3`` is the third frame of a DICOM file. ``pixels_kept`` False: nothing that
        shows the image is kept, not even for the heat map.
        """
        header = read_header(data, source)
        if header.width * header.height > self.settings.limits.pixels:
            most = self.settings.limits.pixels / 1e6
            raise ImageError(
                f"{header.width}×{header.height} pixels are more than {most:g} million (decompression bomb?)",
                "export the image at a smaller size",
            )
        return self._answer(Encoded(source, data), "upload", about, pixels_kept)

    def capture(self, about: AboutResult) -> ResultRow | None:
        """Answer what the camera sees now, and store the answer; None where it gives no fresh frame."""
        assert self.camera is not None
        pressed = self.clock.monotonic()
        frame = self.camera.newest(timeout_s=_CAPTURE_S, since=pressed)
        return None if frame is None else self._answer(frame.image, "camera", about)

    def _answer(self, image: Encoded | Frame, origin: str, about: AboutResult, pixels_kept: bool = True) -> ResultRow:
        keep = self.housekeeping.check_room() and pixels_kept
        try:
            seen = self.engine.answer(image, whole=keep)
        except BusyError:
            self.metrics.count("busy")
            raise
        except KitError:
            self.metrics.count("failures")
            raise
        images = []
        if keep and seen.image_jpeg is not None:
            images = [("image", seen.image_jpeg), ("view", jpeg_of(seen.view_rgb, VIEW_QUALITY))]
        row = self._row(seen, origin, about)
        send = self.settings.send and row.outcome != Outcome.RETAKE
        stored = self.records.add(row, images, about.by, send=send)
        if send and self.sender is not None:
            self.sender.wake()
        if pixels_kept:
            self.recent.put(stored.id, seen.view_rgb)
        self.metrics.count("outcomes", "outcome", stored.outcome)
        self.metrics.latency(stored.latency_ms)
        return stored

    def _row(self, seen: SeenImage, origin: str, about: AboutResult) -> ResultRow:
        prediction, bundle = seen.prediction, self.model.bundle
        decision = bundle.manifest.decision
        explained = prediction.explained or prediction.label
        return ResultRow(
            id=uuid.uuid4().hex,
            created_utc=self.clock.stamp(),
            origin=origin,
            subject=about.subject or new_subject(),
            site=about.site or self.settings.site,
            operator=about.operator,
            outcome=str(prediction.outcome),
            label=prediction.label,
            score=prediction.score,
            threshold=None if decision is None else decision.threshold,
            probabilities=prediction.probabilities,
            findings=tuple(asdict(finding) for finding in prediction.findings),
            ood_score=prediction.ood_score,
            latency_ms={stage: round(value, 4) for stage, value in prediction.latency_ms.items()},
            backend=prediction.backend,
            precision=prediction.precision,
            bundle=prediction.bundle,
            bundle_hash=bundle.hash,
            bundle_signed_by=prediction.bundle_signed_by,
            explained=explained,
            cam=prediction.cam[list(prediction.probabilities).index(explained)],
            approval=approval_of(decision),
        )

    def view(self, result: ResultRow, kind: str = "view") -> bytes | None:
        """The JPEG of a result's ``image`` or ``view``: the kept file, or for a while the view; None: not kept."""
        for file in result.files:
            if file.kind == kind:
                try:
                    return self.records.files.read(file)
                except OSError:
                    return None
        seen_rgb = self.recent.get(result.id) if kind == "view" else None
        return None if seen_rgb is None else jpeg_of(seen_rgb, VIEW_QUALITY)

    def has_view(self, result: ResultRow) -> bool:
        """Whether :meth:`view` will find something."""
        return any(file.kind == "view" for file in result.files) or self.recent.get(result.id) is not None

    def has_heat_map(self, result: ResultRow) -> bool:
        """Never on an image that has to be taken again."""
        return result.outcome != Outcome.RETAKE

    def close(self) -> None:
        """End camera and model, then the records."""
        self.housekeeping.close()
        if self.sender is not None:
            self.sender.close()
        if self.camera is not None:
            self.camera.close()
        self.engine.close()
        self.records.close()
