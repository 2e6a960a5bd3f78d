"""``fieldlens serve`` and ``fieldlens station``: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path

from fieldlens.runtime.errors import EXIT_OK, KitError
from fieldlens.runtime.files import keeping
from fieldlens.runtime.machine.host import own_state_folder
from fieldlens.runtime.model import Model, load
from fieldlens.runtime.output.sinks import Talk
from fieldlens.runtime.running.notify import Notifier
from fieldlens.runtime.sources.cameras.address import Address, parse_address
from fieldlens.runtime.station import account_commands
from fieldlens.runtime.station.account_commands import names_if_ready
from fieldlens.runtime.station.app import build_app, own_hosts
from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.records import backup
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.records.sealing import Recipient, recipient_of
from fieldlens.runtime.station.sending import stick
from fieldlens.runtime.station.sending.tus import Receiver, check_receiver
from fieldlens.runtime.station.serving.certificate import TlsFiles, tls_in
from fieldlens.runtime.station.serving.server import listen, serve
from fieldlens.runtime.station.station import Station, StationSettings
from fieldlens.runtime.stopping import Stopper

STICK = "stick"


def run_station(arguments: argparse.Namespace) -> int:
    """Answer until a signal comes: on a loopback address, or with accounts and TLS on any."""
    data = data_folder(arguments.data)
    host, tls, names = _where(arguments.host, data)
    camera = _camera(arguments.camera)
    rules = KeepingRules(arguments.keep_images, arguments.retention_days, arguments.image_quota)
    send, receiver = _receiver(arguments)
    settings = StationSettings(data, arguments.site, rules, send=send, receiver=receiver, tls=tls)
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
        shown = names[0] if names else host
        talk.say(f"page: {'http' if tls is None else 'https'}://{f'[{shown}]' if ':' in shown else shown}:{port}/")
        notifier = stack.enter_context(contextlib.closing(Notifier()))
        notifier.ready(f"{station.model.bundle.title} on {info.name} ({info.precision})")
        serve(build_app(station, own_hosts(port, names)), listener, settings.limits, stopper, tls, notifier.beat)
        talk.say(f"ended by {stopper.reason or 'itself'}; {station.records.count()} results in the records")
    return EXIT_OK


def _where(host: str, data: Path) -> tuple[str, TlsFiles | None, list[str]]:
    """The address, and beyond loopback the certificate and this machine's names. Raises KitError without accounts."""
    name = "127.0.0.1" if host == "localhost" else host
    try:
        inside = ipaddress.ip_address(name).is_loopback
    except ValueError:
        inside = False
    if inside:
        return name, None, []
    tls = tls_in(data)
    names = names_if_ready(data)
    if tls is None or names is None:
        raise KitError(
            f"--host {host}: the page has no accounts yet, so only this machine may reach it",
            "fieldlens station init makes an admin and a certificate; or: ssh -L 8080:127.0.0.1:8080 STATION",
        )
    return name, tls, names


def _receiver(arguments: argparse.Namespace) -> tuple[bool, Receiver | None]:
    """Whether results are queued, and where they go: nowhere by themselves with ``stick``. Raises KitError."""
    if arguments.send_to in (None, STICK):
        if arguments.send_token or arguments.send_ca:
            raise KitError("--send-token and --send-ca belong to --send-to URL", "give the receiver's https:// address")
        return arguments.send_to is not None, None
    try:
        token = "" if arguments.send_token is None else arguments.send_token.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise KitError(f"--send-token {arguments.send_token}: cannot be read ({error})", "one line") from error
    return True, check_receiver(Receiver(arguments.send_to, token, arguments.send_ca))


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
    made = backup.make(data_folder(arguments.data), arguments.file, _recipient(arguments))
    print(f"{made.results} results and {made.images} images in {arguments.file} ({made.bytes / 1e6:.1f} MB)")
    return EXIT_OK


def _recipient(arguments: argparse.Namespace) -> Recipient | None:
    if arguments.encrypt_to is not None:
        return recipient_of(arguments.encrypt_to)
    print("note: it is not encrypted, and names patients' IDs; --encrypt-to KEY does that", file=sys.stderr)
    return None


def restore_backup(arguments: argparse.Namespace) -> int:
    """Into an empty folder."""
    made = backup.restore(arguments.file, data_folder(arguments.data))
    print(f"{made.results} results and {made.images} images in {data_folder(arguments.data)}")
    return EXIT_OK


def export_table(arguments: argparse.Namespace) -> int:
    """Every result as CSV."""
    count = backup.export_table(data_folder(arguments.data), arguments.file, _recipient(arguments))
    print(f"{count} results in {arguments.file}")
    return EXIT_OK


def write_packages(arguments: argparse.Namespace) -> int:
    """Onto a stick; or out of the queue, by the receiver's receipt."""
    data = data_folder(arguments.data)
    if arguments.received:
        taken, others = stick.received(data, arguments.place)
        print(f"{taken} packages arrived and left the queue; {others} lines of others")
        return EXIT_OK
    written, waiting = stick.write(data, arguments.place, _recipient(arguments))
    print(f"{written} packages written to {arguments.place}; {waiting} wait for the receiver's receipt")
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
    "packages": write_packages,
    "verify-audit": verify_audit,
    "init": lambda arguments: account_commands.init(data_folder(arguments.data), arguments),
    "account": lambda arguments: account_commands.account(data_folder(arguments.data), arguments),
    "token": lambda arguments: account_commands.token(data_folder(arguments.data), arguments),
}
