"""The command ``fieldlens``: a device's commands directly, the other rooms' below ``train``, ``convert``, ``bench``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

from fieldlens import __version__
from fieldlens.runtime.cli import MODULE
from fieldlens.runtime.cli import add_commands as add_runtime
from fieldlens.runtime.errors import EXIT_OK, KitError
from fieldlens.runtime.terminal.completion import SHELLS, script
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser, Words

GROUPS = {
    "train": "fieldlens.train.cli",
    "convert": "fieldlens.convert.cli",
    "bench": "fieldlens.benchmarks.cli",
    "deploy": "fieldlens.convert.delivery.cli",
    "keys": "fieldlens.convert.delivery.keys_cli",
}
"""Word → the command line of that room. A device may have been given none of them."""


def build_parser() -> Parser:
    """Every command of the kit."""
    parser = Parser(prog="fieldlens", description="From labelled images to a model that answers offline on a device.")
    parser.add_argument("--version", action="version", version=f"fieldlens {__version__}")
    commands = Commands(parser, MODULE)
    add_runtime(commands)
    for word, module in GROUPS.items():
        _add_group(commands, word, module)
    completion = commands.add(
        "completion", "print completion for a shell", "Put it where your shell looks, or read it in at once.",
        example="bash > ~/.local/share/bash-completion/completions/fieldlens", module=__name__,
    )  # fmt: skip
    completion.add_argument("shell", choices=SHELLS, help="which shell")
    return parser


def _add_group(commands: Commands, word: str, module: str) -> None:
    try:
        room = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("fieldlens."):
            raise
        absent = commands.add(word, "not on this device", example="", module=__name__)
        absent.set_defaults(command=word)
        absent.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    else:
        room.add_commands(commands.group(word, room.TITLE))


def main(words: Words = None) -> int:
    """Run one command; returns its exit code. Raises KitError, which ``fieldlens.runtime.errors.run_cli`` maps to 2."""
    return run(build_parser(), words)


def run_completion(arguments: argparse.Namespace) -> int:
    """``fieldlens completion``."""
    print(script(build_parser(), arguments.shell))
    return EXIT_OK


def _run_absent(arguments: argparse.Namespace) -> int:
    raise KitError(f"`fieldlens {arguments.command}` is not on this device", "run it on the host, with the whole kit")


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "completion": run_completion,
    **dict.fromkeys(GROUPS, _run_absent),
}
