"""argparse with the kit's manners: ``error:`` and ``hint:``, "did you mean", an example below each ``--help``."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fieldlens.runtime.errors import EXIT_REFUSED


class Parser(argparse.ArgumentParser):
    """``example``: what a person may type, without the command itself; shown below the help."""

    def __init__(self, *, example: str | None = None, **kwargs: Any) -> None:
        super().__init__(formatter_class=_HelpText, **kwargs)
        self._words: list[str] = []
        if example is not None:
            self.epilog = f"example:\n  {self.prog} {example}".rstrip()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a word that is left over is refused here, where its neighbours are known."""
        self._words = list(sys.argv[1:] if args is None else args)
        found, left = super().parse_known_args(self._words, namespace)
        if left:
            self.error(f"unexpected: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """Exit code 2, with a hint. A mistyped option is named first: whatever else is wrong may come from it."""
        hint = f"`{self.prog} --help` lists what there is"
        if unknown := self._unknown_option():
            message = f"unknown option {unknown}"
            hint = suggestion(unknown, self._option_string_actions) or hint
        self.refuse(message, hint)

    def refuse(self, message: str, hint: str) -> NoReturn:
        """Say what is wrong and what to do, and end with exit code 2."""
        self.exit(EXIT_REFUSED, f"error: {self.prog}: {message}\nhint: {hint}\n")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """As argparse's, but an empty name is no path (for pathlib it would be the current folder), and what is no
        number is called that, not by the name of the function that read it."""
        if action.type is Path and not arg_string:
            raise argparse.ArgumentError(action, "an empty name (an unset variable of the shell?)")
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if isinstance(error.__context__, ValueError):
                raise argparse.ArgumentError(action, f"{arg_string!r} is not a number") from error
            raise

    def _unknown_option(self) -> str | None:
        """The first word that looks like a long option and is none, abbreviations included."""
        for word in self._words:
            name = word.partition("=")[0]
            if word == "--":
                return None
            if name.startswith("--") and not any(known.startswith(name) for known in self._option_string_actions):
                return name
            if name in subcommands(self):
                return None  # what follows belongs to it
        return None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A mistyped command or choice, with its nearest neighbour."""
        if action.choices is None or value in action.choices:
            return
        below = subcommands(self)
        if below and value not in below:
            deeper = {f"{name} {leaf}": leaf for name, child in below.items() for leaf in subcommands(child)}
            exact = [path for path, leaf in deeper.items() if leaf == value]
            hint = f"did you mean `{self.prog} {exact[0]}`?" if exact else suggestion(value, below)
            self.refuse(f"unknown command {value!r}", hint or f"there are: {', '.join(below)}")
        choices = [str(choice) for choice in action.choices]
        title = "/".join(action.option_strings) or str(action.metavar or action.dest)
        self.refuse(
            f"{title} {value}: no such choice", suggestion(str(value), choices) or f"one of {', '.join(choices)}"
        )


class _HelpText(argparse.HelpFormatter):
    """Wraps descriptions and leaves examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)


Begin = Callable[[argparse.Namespace], str]


class Commands:
    """The commands below a parser. ``module`` holds their functions: ``COMMANDS``, name → function."""

    def __init__(self, parser: Parser, module: str) -> None:
        self._below = parser.add_subparsers(required=True, metavar="COMMAND")
        self._module = module

    def add(
        self, name: str, title: str, more: str = "", *, example: str, module: str = "", begin: Begin | None = None
    ) -> Parser:
        """One command: ``title`` is its line in the list, and with ``more`` its description.

        ``begin`` checks what can be checked without a heavy import, and gives the line that the command begins with.
        """
        parser = self.group(name, title, more, example=example)
        parser.set_defaults(module=module or self._module, command=name, typed=parser.prog, begin=begin)
        return parser

    def group(self, name: str, title: str, more: str = "", *, example: str | None = None) -> Parser:
        """A word that is followed by a command."""
        description = f"{title[0].upper()}{title[1:]}. {more}".rstrip()
        return self._below.add_parser(name, help=title, description=description, example=example)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """A "did you mean" for a mistyped word; None where nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None


Words = Sequence[str] | None
"""A command line without its first word; None: this process's own."""
