"""The command line ``fieldlens deploy``. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.bundle.precision import targets_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.options.values import positive
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.parser import Commands, Parser
from fieldlens.runtime.updating.arguments import RUNTIME, STATION

TITLE = "bring this kit and its bundles to devices, over SSH or on a stick"
MODULE = "fieldlens.convert.delivery.commands"
_HOST_HELP = "what ssh calls the device: NAME, USER@NAME, or a Host of ~/.ssh/config"


def add_commands(parser: Parser) -> None:
    """``fieldlens deploy``."""
    commands = Commands(parser, MODULE)
    _add_usb(commands)
    _add_provision(commands)
    _add_push(commands)
    _add_release(commands)
    _add_rotate(commands)
    _add_rehearse(commands)
    for name, title, begin in (
        ("rollback", "let a device serve the version before again", "going back"),
        ("status", "what a device serves, how, and why it last went back", "asking"),
        ("selftest", "run the golden images on a device, with what it serves", "answering the golden images"),
        ("bench", "fetch a device's latency report", "measuring"),
        ("logs", "the last lines that a device's service said", "reading"),
        ("remove", "take the kit off a device; its records stay", "removing"),
    ):
        _add_asked(commands, name, title, begin)


def _add_asked(commands: Commands, name: str, title: str, doing: str) -> None:
    parser = commands.add(
        name, title, example="clinic-7", begin=lambda arguments: f"{arguments.command}: {arguments.host}: {doing} …"
    )
    _add_host(parser)
    if name == "logs":
        parser.add_argument("--lines", type=positive, default=100, metavar="N", help="how many (default 100)")
    if name == "bench":
        parser.add_argument("--out", type=Path, metavar="FILE.html", help="where (default HOST-latency.html)")
    if name == "remove":
        parser.add_argument("--with-records", action="store_true", help="its records, too: they cannot be had back")


def _add_usb(commands: Commands) -> None:
    parser = commands.add(
        "usb", "write an update to a stick, for `fieldlens update` on a station without a network",
        example="/media/usb demo.bundle", begin=beginning.also_as_json(_begin_usb),
    )  # fmt: skip
    parser.add_argument("stick", type=Path, metavar="DIR", help="where the stick is mounted")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument("--for", dest="targets", metavar="LIST", help="only for these: cpu, tensorrt10, tensorrt8")
    _add_dry_run(parser)
    add_json(parser)


def _add_provision(commands: Commands) -> None:
    parser = commands.add(
        "provision", "make a device of a machine: code, libraries, trust, service",
        "Doing it again repairs what is missing, and changes nothing else.",
        example="root@clinic-7 --camera v4l2://0", begin=beginning.also_as_json(_begin_provision),
    )  # fmt: skip
    _add_host(parser)
    add_keys(parser)
    parser.add_argument("--camera", metavar="URI", help="csi://N, v4l2://N, rtsp://HOST/PATH or http://HOST/PATH")
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument("--station", dest="runs", action="store_const", const=STATION, help="with a page (default)")
    runs.add_argument(
        "--runtime", dest="runs", action="store_const", const=RUNTIME,
        help="no page: what --camera sees or what comes into --watch is classified, into files on the device",
    )  # fmt: skip
    parser.add_argument("--watch", metavar="DIR", help="of --runtime: the device's folder that the images come into")
    parser.add_argument(
        "--listen", metavar="ADDRESS",
        help="who may reach the page: 127.0.0.1 (default), or 0.0.0.0 for all networks, once it has accounts",
    )  # fmt: skip
    parser.add_argument("--port", type=int, metavar="N", help="of the station's page, there (default 8080)")
    parser.add_argument("--site", metavar="TEXT", help="the clinic's name in every result")
    parser.add_argument("--power-mode", type=int, metavar="N", help="of a Jetson: nvpmodel's number")
    parser.add_argument(
        "--jetson-clocks", action=argparse.BooleanOptionalAction, help="of a Jetson: hold its clocks at their highest"
    )
    parser.add_argument("--python", metavar="FILE", default="", help="a Python on the device that has the libraries")
    parser.add_argument("--offline", action="store_true", help="the device has no internet: its wheels are sent along")
    parser.add_argument("--unsigned", action="store_true", help="for a trial: no policy, unsigned bundles are taken")


def _add_push(commands: Commands) -> None:
    parser = commands.add(
        "push", "bring a bundle to a device; it goes back by itself if the bundle does not work there",
        example="clinic-7 demo.bundle", begin=beginning.also_as_json(_begin_push),
    )  # fmt: skip
    parser.add_argument("host", metavar="HOST", help=_HOST_HELP)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    _add_way(parser)
    parser.add_argument("--allow-downgrade", action="store_true", help="an older version on purpose; it is recorded")


def _add_rehearse(commands: Commands) -> None:
    parser = commands.add(
        "rehearse", "a device on this machine: a private SSH server on loopback and a scratch folder behind it",
        "Provisions it, pushes a signed copy of the bundle, and keeps the station's page open until Ctrl-C.",
        example="rehearsal demo.bundle", begin=_begin_rehearse,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="where everything of it lies; delete it afterwards")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of the station's page (default: a free one)")
    parser.add_argument("--once", action="store_true", help="end as soon as it has answered")


def _begin_rehearse(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    beginning.port(arguments.port or None, "--port")
    if beginning.exists(arguments.folder):
        beginning.folder(arguments.folder, "DIR")
    return f"rehearse: {arguments.bundle} in {arguments.folder} …"


def _add_release(commands: Commands) -> None:
    parser = commands.add(
        "release", "bring this checkout's code to a device; it goes back by itself if the code does not work there",
        example="clinic-7", begin=lambda arguments: f"release: {arguments.host} …",
    )  # fmt: skip
    _add_host(parser)
    add_keys(parser)
    parser.add_argument("--key", type=Path, metavar="FILE", help="to sign with (default: the first of --keys)")
    parser.add_argument("--python", metavar="FILE", default="", help="a Python on the device that has the libraries")
    parser.add_argument("--unsigned", action="store_true", help="for a device without release signers")


def _add_rotate(commands: Commands) -> None:
    parser = commands.add(
        "rotate", "let other keys count on a device: those of the folder, signed with one that it knows",
        "The service is not touched, and no list that would make its bundle count no more is taken.",
        example="clinic-7 --key ~/.config/fieldlens/keys/maker@clinic",
        begin=lambda arguments: f"rotate: {arguments.host} …",
    )  # fmt: skip
    _add_host(parser)
    add_keys(parser)
    parser.add_argument("--key", type=Path, metavar="FILE", help="to sign with (default: the first of --keys)")


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help=_HOST_HELP)
    _add_way(parser)


def _add_way(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", default="/", metavar="DIR", help="where the device's folders lie there (default /)")
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="another configuration for ssh")
    _add_dry_run(parser)
    add_json(parser)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="check, say what would be done, change nothing")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object, with `reason` where it fails")


def add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", type=Path, metavar="DIR", help="of keys (default ~/.config/fieldlens/keys)")


def _begin_provision(arguments: argparse.Namespace) -> str:
    from fieldlens.runtime.sources.cameras.address import parse_address

    beginning.port(arguments.port, "--port")
    if arguments.camera and parse_address(arguments.camera) is None:
        raise ConfigError(f"--camera {arguments.camera} is no camera", "for example v4l2://0 or rtsp://HOST/PATH")
    return f"provision: {arguments.host} …"


def _begin_usb(arguments: argparse.Namespace) -> str:
    beginning.folder(arguments.stick, "DIR")
    beginning.bundle(arguments.bundle)
    if arguments.targets:
        targets_of(arguments.targets, "--for")
    return f"usb: {arguments.bundle} to {arguments.stick} …"


def _begin_push(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    return f"push: {arguments.bundle} to {arguments.host} …"
