"""Options of ``fieldlens update`` and ``fieldlens device``, free of heavy imports."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.parser import Commands, Parser

MODULE = "fieldlens.runtime.updating.commands"
STATION, RUNTIME = "station", "runtime"
"""What a device runs: a page, or none."""


def add_commands(commands: Commands) -> None:
    """What changes, and shows, the version that a device serves."""
    parser = commands.add(
        "update", "install a bundle on this device, from a stick or any folder, and serve it",
        "Nothing is switched before the bundle has proved itself here; if anything fails, the old one serves.",
        example="/media/usb/demo.bundle", module=MODULE, begin=beginning.also_as_json(_begin_update),
    )  # fmt: skip
    parser.add_argument("bundle", type=Path, help="the folder NAME.bundle, or a folder that holds one")
    _add_switching(parser)
    group = commands.group("device", "what this device serves: status, rollback, logs, and what its service runs")
    below = Commands(group, MODULE)
    _add_shown(below)
    _add_plumbing(below)


def _add_shown(below: Commands) -> None:
    parser = below.add(
        "status", "which version serves, at which precision, and why the device last went back", example="",
        begin=lambda _: "status: looking at this device …",
    )  # fmt: skip
    _add_root(parser)
    _add_json(parser)
    parser = below.add(
        "rollback", "serve the version before this one again", example="", begin=lambda _: "rollback: going back …"
    )
    _add_root(parser)
    _add_json(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser = below.add("logs", "the last lines that the service said", example="--lines 50",
                       begin=lambda _: "logs: reading …")  # fmt: skip
    _add_root(parser)
    parser.add_argument("--lines", type=_positive, default=100, metavar="N", help="how many (default 100)")


def _add_plumbing(below: Commands) -> None:
    for name, title, example in (
        ("prepare", "end an interrupted update before the service starts", ""),
        ("run", "what the service runs: prepare, then serve the current version", ""),
        ("recover", "end an update whose updater died while the service went on", ""),
        ("supervise", "keep the service running where there is no systemd", "--root scratch"),
        ("stop", "end that supervisor and its service", "--root scratch"),
    ):
        parser = below.add(name, title, example=example, begin=_begin_named)
        _add_root(parser)
        if name == "run":
            parser.add_argument("--prepared", action="store_true", help="`device prepare` ran already, as root")
    parser = below.add(
        "adopt", "run a release of the kit that lies here", example="0.1.0-0123456789ab",
        begin=lambda arguments: f"adopt: {arguments.release} …",
    )  # fmt: skip
    parser.add_argument("release", metavar="NAME", help="its folder in opt/fieldlens/releases")
    _add_root(parser)
    _add_json(parser)
    for name, title in (
        ("configure", "take settings from `fieldlens deploy provision`, as JSON on standard input"),
        ("keys", "let other keys count here, from `fieldlens deploy rotate`, on standard input"),
    ):
        parser = below.add(name, title, example="", begin=_begin_named)
        _add_root(parser)
        _add_json(parser)
        parser.add_argument("--dry-run", action="store_true", help="check, say what would change, change nothing")
    parser = below.add(
        "receive", "take a bundle from `fieldlens deploy push`, on standard input", example="", begin=_begin_named
    )
    _add_root(parser)


def _add_switching(parser: Parser) -> None:
    _add_root(parser)
    _add_json(parser)
    parser.add_argument("--dry-run", action="store_true", help="check, say what would be done, change nothing")
    parser.add_argument(
        "--allow-downgrade", action="store_true", help="install an older version on purpose; it is recorded"
    )


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="where the device's folders lie (default /)"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object, with `reason` where it fails")


def _begin_update(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    return f"update: {arguments.bundle} …"


def _begin_named(arguments: argparse.Namespace) -> str:
    return f"{arguments.command}: {arguments.root} …"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
