"""The commands of a station. What they do lies behind the extra ``station``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.options.backend import add_backend
from fieldlens.runtime.options.values import days, port, size
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.parser import Commands

ROLES = ("operator", "clinician", "admin")
STATION = "fieldlens.runtime.station.commands"
"""Loaded by name, and only when one of its commands is run."""


def add_serve(commands: Commands) -> None:
    """``serve``."""
    parser = commands.add(
        "serve", "the station's page and REST service on this machine", "Needs the extra station.",
        example="--bundle demo.bundle --camera v4l2://0", module=STATION, begin=_begin_serve,
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, required=True, help="the folder NAME.bundle")
    parser.add_argument("--camera", metavar="URI", help="csi://N, v4l2://N, rtsp://HOST/PATH or http://HOST/PATH")
    _add_data(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="default 127.0.0.1; beyond this machine only after `fieldlens station init`"
    )
    parser.add_argument("--port", type=port, default=8080, help="default 8080; 0 takes a free one")
    parser.add_argument("--site", default="", help="the clinic's name in every result that names none")
    parser.add_argument("--keep-images", action="store_true", help="keep the images, too; off unless given")
    parser.add_argument(
        "--retention-days", type=days, default=0, metavar="N", help="delete results after N days (default 0: never)"
    )
    parser.add_argument(
        "--image-quota", type=size, default=10**10, metavar="SIZE", help="no more images are kept then (default 10G)"
    )
    parser.add_argument(
        "--send-to", metavar="URL", help="queue every result, and send it there (tus); `stick`: only queue it"
    )
    parser.add_argument("--send-token", type=Path, metavar="FILE", help="the receiver's token, one line")
    parser.add_argument("--send-ca", type=Path, metavar="PEM", help="who signed the receiver's own certificate")
    add_backend(parser)


def add_station(commands: Commands) -> None:
    """``station`` and its commands."""
    group = commands.group("station", "a station's records: backup, restore, export, audit")
    below = Commands(group, STATION)
    for name, title, example in (
        ("backup", "everything into one file, while the station runs", "monday.tar"),
        ("restore", "a backup into an empty folder", "monday.tar --data /srv/station"),
        ("export", "every result as CSV", "results.csv"),
    ):
        parser = below.add(name, title, example=example, begin=_begin_station)
        parser.add_argument("file", type=Path, help="the backup or CSV file")
        if name != "restore":
            parser.add_argument("--encrypt-to", type=Path, metavar="KEY", help="file with a public key (age, SSH, PGP)")
        _add_data(parser)
    parser = below.add(
        "packages", "what waits to be sent, onto a stick", example="/media/stick/ --encrypt-to clinic.pub",
        begin=lambda arguments: f"{arguments.command}: {arguments.place} …",
    )  # fmt: skip
    parser.add_argument("place", type=Path, help="folder for the packages; with --received the receiver's receipt")
    parser.add_argument("--received", action="store_true", help="take out of the queue what the receipt proves")
    parser.add_argument("--encrypt-to", type=Path, metavar="KEY", help="file with a public key (age, SSH, PGP)")
    _add_data(parser)
    parser = below.add(
        "verify-audit",
        "whether the audit log is as it was written",
        example="--head 1204:9f3c…",
        begin=lambda _: "verify-audit: reading the audit log …",
    )
    parser.add_argument("--head", action="append", default=[], help="one that was printed; may be given again")
    _add_data(parser)
    _add_accounts(below)


def _add_accounts(commands: Commands) -> None:
    parser = commands.add(
        "init",
        "the first admin and a certificate",
        example="--name station.clinic.example",
        begin=lambda arguments: f"{arguments.command}: opening the records …",
    )
    parser.add_argument("--name", action="append", required=True, help="host name or address; may be given again")
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="the clinic's own (default: self-signed)")
    parser.add_argument("--key", type=Path, metavar="PEM", help="its key, without a passphrase")
    _add_data(parser)
    parser = commands.add(
        "account",
        "list, make, change or remove accounts",
        example='"Ada" --role operator',
        begin=lambda arguments: f"{arguments.command}: opening the records …",
    )
    parser.add_argument("name", nargs="?", help="whose; without it all are listed")
    parser.add_argument("--role", choices=ROLES, default="operator", help="default operator")
    parser.add_argument("--remove", action="store_true", help="remove it")
    _add_data(parser)
    parser = commands.add(
        "token",
        "a machine's access, shown once",
        example="printer --role clinician",
        begin=lambda arguments: f"{arguments.command}: opening the records …",
    )
    parser.add_argument("name", help="of the machine")
    parser.add_argument("--role", choices=ROLES, default="operator", help="default operator")
    parser.add_argument("--revoke", action="store_true", help="end all of that name")
    _add_data(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="the station's records (default: in the state folder)")


def _begin_serve(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    return f"serve: opening {arguments.bundle} …"


def _begin_station(arguments: argparse.Namespace) -> str:
    if arguments.command == "restore":
        beginning.file(arguments.file, "FILE")
    return f"{arguments.command}: {arguments.file} …"
