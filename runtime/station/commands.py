"""``fieldlens serve`` and ``fieldlens station``: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
from collections.abc import Callable
from pathlib import Path

from fieldlens.runtime.errors import EXIT_OK, KitError
from fieldlens.runtime.files import keeping
from fieldlens.runtime.machine.host import own_state_folder
from fieldlens.runtime.model import Model, load
from fieldlens.runtime.output.sinks import Talk
from fieldlens.runtime.sources.cameras.address import Address, parse_address
from fieldlens.runtime.station.app import build_app, own_hosts
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.records import backup
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.serving.server import listen, serve
from fieldlens.runtime.station.station import Station, StationSettings
from fieldlens.runtime.stopping import Stopper


def run_station(arguments: argparse.Namespace) -> int:
    """Answer on a loopback address until a signal comes."""
    host = _loopback(arguments.host)
    camera = _camera(arguments.camera)
    rules = KeepingRules(arguments.keep_images, arguments.retention_days, arguments.image_quota)
    settings = StationSettings(data_folder(arguments.data), arguments.site, rules)
    talk, stopper = Talk(), Stopper()

    def loading() -> Model:
        return load(
            arguments.bundle, backend=arguments.backend, precision=arguments.precision, state=arguments.state,
            threads=arguments.threads,
        )  # fmt: skip

    with listen(host, arguments.port) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        station = stack.enter_context(contextlib.closing(Station(settings, loading, camera)))
        stack.enter_context(stopper.listening(to_the_end=True))
        info = station.model.info
        talk.say(f"{station.model.bundle.title} on {info.name} ({info.precision}, {info.device})")
        talk.say(f"records: {settings.data}")
        for note in (*station.model.notes, *keeping.notes(), *(banner.message for banner in station.records.banners())):
            talk.say(f"note: {note}")
        talk.say(f"page: http://{f'[{host}]' if ':' in host else host}:{port}/")
        serve(build_app(station, own_hosts(port)), listener, settings.limits, stopper)
        talk.say(f"ended by {stopper.reason or 'itself'}; {station.records.count()} results in the records")
    return EXIT_OK


def _loopback(host: str) -> str:
    """Others must not reach the page before there are accounts."""
    name = "127.0.0.1" if host == "localhost" else host
    try:
        inside = ipaddress.ip_address(name).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise KitError(
            f"--host {host}: the page has no accounts yet, so only this machine may reach it",
            "leave --host at 127.0.0.1; from elsewhere: ssh -L 8080:127.0.0.1:8080 STATION",
        )
    return name


def _camera(name: str | None) -> Address | None:
    if name is None:
        return None
    address = parse_address(name)
    if address is None:
        raise KitError(
            f"--camera {name}: not a camera's address", "csi://N, v4l2://N, rtsp://HOST/PATH, http://HOST/PATH"
        )
    return address


def data_folder(given: Path | None) -> Path:
    """``--data``, else ``station`` in the state folder."""
    return given if given is not None else own_state_folder(None) / "station"


def make_backup(arguments: argparse.Namespace) -> int:
    """One file with everything, taken while the station runs."""
    made = backup.make(data_folder(arguments.data), arguments.file)
    print(f"{made.results} results and {made.images} images in {arguments.file} ({made.bytes / 1e6:.1f} MB)")
    return EXIT_OK


def restore_backup(arguments: argparse.Namespace) -> int:
    """Into an empty folder."""
    made = backup.restore(arguments.file, data_folder(arguments.data))
    print(f"{made.results} results and {made.images} images in {data_folder(arguments.data)}")
    return EXIT_OK


def export_table(arguments: argparse.Namespace) -> int:
    """Every result as CSV."""
    count = backup.export_table(data_folder(arguments.data), arguments.file)
    print(f"{count} results in {arguments.file}")
    return EXIT_OK


def verify_audit(arguments: argparse.Namespace) -> int:
    """Every row, and the heads that were printed."""
    head = verify_log(data_folder(arguments.data), arguments.head)
    print(f"{head.number} rows, none changed or missing; the log ends at {head}")
    if not arguments.head:
        print("note: only a printed head (--head) shows whether the end was cut off or the log written again")
    return EXIT_OK


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": run_station,
    "backup": make_backup,
    "restore": restore_backup,
    "export": export_table,
    "verify-audit": verify_audit,
}
