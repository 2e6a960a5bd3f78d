"""The command line ``fieldlens keys``. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from fieldlens.convert.delivery.cli import MODULE, add_json, add_keys
from fieldlens.runtime.terminal.parser import Commands, Parser

TITLE = "keys of those who vouch for bundles"


def add_commands(parser: Parser) -> None:
    """``fieldlens keys``."""
    commands = Commands(parser, MODULE)
    new = commands.add(
        "new", "make a key, or name one that exists, as one whose bundles count", example="maker@clinic",
        begin=lambda arguments: f"keys: {arguments.name} …",
    )  # fmt: skip
    new.add_argument("name", metavar="NAME", help="who it belongs to, for example maker@clinic")
    new.add_argument("--from", dest="existing", type=Path, metavar="FILE.pub", help="use this public key")
    new.add_argument("--no-passphrase", action="store_true", help="for machines; people protect theirs")
    show = commands.add("show", "whose bundles count, and which keys were withdrawn", example="",
                        begin=lambda _: "keys: reading …")  # fmt: skip
    revoke = commands.add(
        "revoke", "withdraw a key: devices refuse what it signed", example="maker@clinic",
        begin=lambda arguments: f"keys: {arguments.name} …",
    )  # fmt: skip
    revoke.add_argument("name", metavar="NAME", help="whose key")
    for parser in (new, show, revoke):
        add_keys(parser)
        add_json(parser)
