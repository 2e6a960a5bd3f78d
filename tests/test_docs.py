"""The documentation against the command line: nothing shown that does not exist, nothing that exists undocumented."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs/commands.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
KIT = "fieldlens"
ROOMS = ("train", "convert", "runtime", "benchmarks")
"""Each is `python -m ROOM` in a checkout, too, with the same commands."""

FENCE = re.compile(r"^ {0,3}```[^\n]*\n(.*?)^ {0,3}```", flags=re.MULTILINE | re.DOTALL)
COMMAND = re.compile(
    r"(?:python[\d.]*\s+-m\s+(?P<room>train|convert|runtime|benchmarks)\b"
    r"|(?<![\w./'`-])(?<!from )(?:\.venv/bin/)?(?P<kit>fieldlens)(?=\s+[a-z-]))(?P<rest>[^\n]*)"
)
HEADING = re.compile(r"^#{2,6} (.*)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Documented:
    """One command as a page shows it."""

    page: str
    room: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join((self.room, *self.words))}"


def parser_of(room: str) -> argparse.ArgumentParser:
    """The kit and every room offer `build_parser()` in `cli.py`."""
    module = "fieldlens.cli" if room == KIT else f"fieldlens.{room}.cli"
    parser = importlib.import_module(module).build_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of a parser by name, aliases included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The flags that `--help` shows."""
    own = [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    return [action for action in own if "--help" not in action.option_strings]


def commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be typed, `train fit` for one; an alias counts as its command."""
    below = children(parser)
    if not below or options(parser):
        yield name, parser
    seen: set[int] = set()
    for child_name, child in below.items():
        if id(child) not in seen:
            seen.add(id(child))
            yield from commands(child, f"{name} {child_name}")


def shell_words(rest: str) -> tuple[str, ...]:
    """The arguments of one command: up to a pipe, a redirection or the next command."""
    lexer = shlex.shlex(rest, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        words.append(word)
    return tuple(words)


def documented_in(text: str, page: str) -> list[Documented]:
    """The commands for our rooms inside a page's fenced blocks, continued lines joined."""
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    found = COMMAND.finditer(blocks)
    return [Documented(page, each["room"] or each["kit"], shell_words(each["rest"])) for each in found]


def all_documented() -> list[Documented]:
    pages = [page for page in PAGES if page.exists()]
    return [each for page in pages for each in documented_in(page.read_text(encoding="utf-8"), page.name)]


def fault(command: Documented, parser: argparse.ArgumentParser) -> str | None:
    """What argparse would refuse: an unknown subcommand or flag. Values are placeholders and stay unchecked."""
    words = list(command.words)
    while below := children(parser):
        at = next((index for index, word in enumerate(words) if not word.startswith("-")), None)
        if at is None:
            break
        if words[at] not in below:
            return f"no subcommand {words[at]!r} (there are: {', '.join(below)})"
        if unknown := unknown_flags(words[:at], parser):
            return unknown
        parser, words = below[words[at]], words[at + 1 :]
    return unknown_flags(words, parser)


def unknown_flags(words: list[str], parser: argparse.ArgumentParser) -> str | None:
    known = set(parser._option_string_actions)
    flags = [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
    wrong = [flag for flag in flags if flag not in known]
    return f"no flag {wrong[0]!r}" if wrong else None


def section(text: str, command: str) -> str | None:
    """The part of the reference below the heading that names the command, up to the next heading."""
    headings = list(HEADING.finditer(text))
    for index, heading in enumerate(headings):
        if f"`{command}`" in heading[1]:
            end = headings[index + 1].start() if index + 1 < len(headings) else len(text)
            return text[heading.end() : end]
    return None


def missing_from(text: str, command: str, parser: argparse.ArgumentParser) -> list[str]:
    """Lines to add to the reference, ready to be pasted and improved."""
    body = section(text, command)
    lines = [] if body is not None else [f"### `{command}`"]
    for action in options(parser):
        flag = max(action.option_strings, key=len)
        if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", body or ""):
            lines.append(f"- `{flag}`: {action.help}")
    return lines


def test_every_command_and_option_is_in_the_reference() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    found = list(commands(parser_of(KIT), KIT))
    missing = [line for name, parser in found for line in missing_from(text, name, parser)]
    assert not missing, "add to docs/commands.md:\n" + "\n".join(missing)


def test_the_reference_describes_no_command_that_is_gone() -> None:
    existing = {name for name, _ in commands(parser_of(KIT), KIT)}
    headings = re.findall(
        rf"^#{{3,6}} `({KIT}(?: [\w-]+)*)`", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert set(headings) == existing - {KIT}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_the_same_commands_in_a_checkout(room: str) -> None:
    """`python -m train fit` takes what `fieldlens train fit` takes: one parser behind both."""
    own, kit = parser_of(room), parser_of(KIT)
    beside = kit if room == "runtime" else children(kit)[{"benchmarks": "bench"}.get(room, room)]
    for name, parser in children(own).items():
        assert parser.format_help().split("\n\n")[1:-1] == children(beside)[name].format_help().split("\n\n")[1:-1]


@pytest.mark.parametrize("command", all_documented(), ids=str)
def test_a_documented_command_exists(command: Documented) -> None:
    assert (wrong := fault(command, parser_of(command.room))) is None, wrong


def test_the_pages_show_every_main_room_at_work() -> None:
    """Guards the test above: with a broken pattern it would have nothing to check."""
    shown = all_documented()
    assert {command.room for command in shown} >= {KIT}
    assert {command.words[0] for command in shown if command.room == KIT} >= {"train", "convert", "classify", "bench"}


@pytest.mark.parametrize("room", [KIT, *ROOMS])
def test_every_command_says_what_it_does(room: str) -> None:
    silent = [name for name, parser in commands(parser_of(room), room) if not parser.description]
    assert not silent, "give these a description"


def example_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    fit = parser.add_subparsers().add_parser("fit")
    fit.add_argument("data")
    fit.add_argument("--out", help="where to")
    return parser


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("python -m train fit data --out run", None),
        (".venv/bin/python -m train fit data --out=run | tee log --x", None),
        ("$ ls | python3 -m train fit - \\\n  --out run > log  # --nonsense", None),
        ("python -m train fitt data", "no subcommand 'fitt'"),
        ("fieldlens fitt data", "no subcommand 'fitt'"),
        ("$ .venv/bin/fieldlens fit data --out run", None),
        ("from fieldlens import load\nfieldlens fit data", None),
        ("python -m train fit data --output run", "no flag '--output'"),
        ("python -m train --out run fit", "no subcommand 'run'"),
    ],
)
def test_the_check_itself_tells_right_from_wrong(line: str, wrong: str | None) -> None:
    (command,) = documented_in(f"text\n```bash\n{line}\n```\n", "page")
    found = fault(command, example_parser())
    assert (found or "").startswith(wrong or "")
    assert bool(found) == bool(wrong)


def test_the_check_itself_notices_a_missing_option() -> None:
    parser = example_parser()
    fit = children(parser)["fit"]
    assert missing_from("", "train fit", fit) == ["### `train fit`", "- `--out`: where to"]
    assert missing_from("### `train fit`\n`--output`\n", "train fit", fit) == ["- `--out`: where to"]
    assert missing_from("### `train fit`\n`--out DIR`\n", "train fit", fit) == []
