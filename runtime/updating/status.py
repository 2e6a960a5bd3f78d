"""What a device can say of itself: which version serves, how, since when, and why it last went back."""

from __future__ import annotations

import http.client
import re
import shutil
import time
from dataclasses import asdict
from typing import Any

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.machine import clock
from fieldlens.runtime.machine.sensors import Sensors
from fieldlens.runtime.running.heartbeat import boot_s
from fieldlens.runtime.updating import memory, power, store
from fieldlens.runtime.updating.arguments import RUNTIME
from fieldlens.runtime.updating.asking import ask, feel, fetch
from fieldlens.runtime.updating.keylists import KEYS, KeyLists
from fieldlens.runtime.updating.layout import DeviceFolders
from fieldlens.runtime.updating.memory import Good, Pending, Returned
from fieldlens.runtime.updating.proof import SelfTestRecord
from fieldlens.runtime.updating.recovery import is_updating
from fieldlens.runtime.updating.settings import StationSetup, certificate_of, read_setup

_BUCKET = re.compile(r'^fieldlens_latency_seconds_bucket\{stage="total",le="([^"]+)"\} (\d+)$', flags=re.MULTILINE)
_QUEUE = re.compile(r"^fieldlens_queue_images (\S+)$", flags=re.MULTILINE)


def status_of(layout: DeviceFolders) -> dict[str, Any]:
    """Everything, for ``--json``. Damaged records are said, not raised."""
    good, good_fault = memory.look(Good, layout.good)
    pending, pending_fault = memory.look(Pending, layout.pending)
    returned, returned_fault = memory.look(Returned, layout.returned)
    selftest, _ = memory.look(SelfTestRecord, layout.selftest)
    keys, keys_fault = memory.look(KeyLists, layout.trust / KEYS)
    serving = store.serving(layout)
    now = time.time()
    return {
        "current": asdict(serving) if serving else None,
        "good": asdict(good.version) if good else None,
        "before": asdict(good.before) if good and good.before else None,
        "installed": [each.place for each in store.installed(layout)],
        "update": _update(layout, pending),
        "service": _service(layout, serving.hash if serving else ""),
        "selftest": asdict(selftest) if selftest else None,
        "returned": asdict(returned) if returned else None,
        "keys": keys.number if keys else None,
        "faults": [fault for fault in (good_fault, pending_fault, returned_fault, keys_fault) if fault],
        "clock": clock.clock_state(now),
        "time_utc": clock.time_utc(now),
        "disk_free_mb": _free_mb(layout),
        "power_mode": _power(layout),
        "temperature_c": max(Sensors().read().temperature_c.values(), default=None),
    }


def _update(layout: DeviceFolders, pending: Pending | None) -> str:
    if is_updating(layout):
        return f"under way: {pending.to.title}" if pending else "under way"
    return f"interrupted: {pending.to.title}" if pending else "none"


def _free_mb(layout: DeviceFolders) -> int | None:
    place = next(each for each in (layout.bundles, *layout.bundles.parents) if each.exists())
    return shutil.disk_usage(place).free // 1_000_000


def _service(layout: DeviceFolders, expected_hash: str) -> dict[str, Any]:
    """Whether it answers, and whether it answers with what the link leads to."""
    try:
        setup = read_setup(layout)
    except KitError as error:
        return {"answers": False, "words": error.message}
    if setup.runs == RUNTIME:
        found, _ = feel(layout.heartbeat)
        silent, measured = f"no run leaves its signs of life at {layout.heartbeat}", _counted(layout)
    else:
        found = ask(setup.url, certificate_of(layout) if setup.beyond else None)
        silent, measured = f"nobody answers at {setup.url}", _measured(layout, setup) if found else {}
    about = {"runs": setup.runs, "url": "" if setup.runs == RUNTIME else setup.url}
    if found is None:
        return {"answers": False, "words": silent, **about}
    answered = {"answers": found.ready, "words": found.words, "camera": found.camera, "bundle_hash": found.bundle_hash}
    return {**answered, "as_linked": found.bundle_hash == expected_hash, **measured, **about}


def _counted(layout: DeviceFolders) -> dict[str, Any]:
    """What a run without a page says of itself."""
    _, record = feel(layout.heartbeat)
    if record is None:
        return {}
    return {
        "images": record.answered, "failed": record.failed, "latency_p95_at_most_ms": record.latency_p95_ms,
        "last_image_age_s": None if record.last_image_s is None else round(boot_s() - record.last_image_s, 1),
    }  # fmt: skip


def _measured(layout: DeviceFolders, setup: StationSetup) -> dict[str, Any]:
    """The station's own histogram: the bucket that holds the 95th percentile, and the queue."""
    try:
        status, body = fetch(setup.url, "/metrics", 1_000_000, certificate_of(layout) if setup.beyond else None)
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    text = body.decode(errors="replace") if status == http.client.OK else ""
    buckets = [(border, int(count)) for border, count in _BUCKET.findall(text)]
    queue = _QUEUE.search(text)
    total = buckets[-1][1] if buckets else 0
    border = next((border for border, count in buckets if total and count >= 0.95 * total), None)
    at_most = None if border in (None, "+Inf") else float(border) * 1e3
    return {
        "images": total,
        "latency_p95_at_most_ms": at_most,
        "queue": float(queue[1]) if queue else None,
    }


def _power(layout: DeviceFolders) -> str:
    """Empty where this device has no power modes."""
    try:
        setup = read_setup(layout)
    except KitError:
        return power.shown(layout, None, clocks=False)
    return power.shown(layout, setup.power_mode, setup.jetson_clocks)


def lines(status: dict[str, Any]) -> list[str]:
    """For people."""
    service, selftest = status["service"], status["selftest"]
    rows = [
        ("serves", _title(status["current"]) or "nothing: no bundle is installed"),
        ("before", _title(status["before"]) or "none: there is nothing to roll back to"),
        ("update", status["update"]),
        ("service", _service_words(service)),
        ("self-test", _selftest_words(selftest)),
        ("went back", _returned_words(status["returned"])),
        ("keys", f"number {status['keys']}" if status["keys"] else "without a number"),
        ("clock", status["clock"]),
        ("disk", f"{status['disk_free_mb']} MB free"),
    ]
    if status["temperature_c"] is not None:
        rows.append(("temperature", f"{status['temperature_c']:.0f} °C"))
    if status["power_mode"]:
        rows.append(("power", status["power_mode"]))
    rows += [("damaged", fault) for fault in status["faults"]]
    return [f"{name:<12}{printable(words)}" for name, words in rows]


def _title(version: dict[str, Any] | None) -> str:
    return f"{version['name']} version {version['number']} ({version['hash'][:12]})" if version else ""


def _service_words(service: dict[str, Any]) -> str:
    if not service["answers"]:
        return f"does not answer: {service['words']}"
    parts = ["answers" if service["as_linked"] else "answers with ANOTHER bundle than the one installed"]
    if service["camera"] not in ("", "none"):
        parts.append(f"camera {service['camera']}")
    if service.get("images"):
        limit = service["latency_p95_at_most_ms"]
        parts.append(f"p95 at most {round(limit, 1):g} ms of {service['images']} images" if limit else "p95 above 10 s")
    if service.get("failed"):
        parts.append(f"{service['failed']} without an answer")
    if service.get("last_image_age_s") is not None:
        parts.append(f"last image {service['last_image_age_s']:.0f} s ago")
    if service.get("queue"):
        parts.append(f"queue {service['queue']:.0f}")
    return ", ".join(parts)


def _selftest_words(record: dict[str, Any] | None) -> str:
    if record is None:
        return "none yet"
    when = clock.time_utc(record["at_s"]) or "at an unknown time (the clock was not set)"
    return (
        f"{record['place']} passed on {record['backend']} {record['precision']}: {record['images']} golden images, "
        f"{record['inference_p50_ms']:.1f} ms each, {when}"
    )


def _returned_words(record: dict[str, Any] | None) -> str:
    if record is None:
        return "never"
    refused, to = record["refused"], record["to"]
    way = f"from {_title(refused)} " if refused else ""
    when = clock.time_utc(record["at_s"]) or "at an unknown time (the clock was not set)"
    return f"{way}to {_title(to) or 'nothing'}, {when}: {record['reason']}: {record['detail']}"
