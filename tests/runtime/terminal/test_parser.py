"""What a mistyped word is answered with, and that all command lines are made in the same way."""

from __future__ import annotations

import importlib

import pytest

from fieldlens.cli import build_parser
from fieldlens.runtime.terminal.parser import Commands, Parser, subcommands


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("clasify x", "unknown command 'clasify'", "did you mean classify?"),
        ("train fitt", "unknown command 'fitt'", "did you mean fit?"),
        ("fit --recipe demo", "unknown command 'fit'", "did you mean `fieldlens train fit`?"),
        ("zzz", "unknown command 'zzz'", "there are: classify, "),
        ("train fit --recipee x", "unknown option --recipee", "did you mean --recipe?"),
        ("train fit --recipe x --data d --out o --weigths=none", "unknown option --weigths", "did you mean --weights?"),
        ("classify a --bundle b --precision fp17", "--precision fp17: no such choice", "did you mean fp16?"),
        ("classify a --bundle b --xyz", "unknown option --xyz", "`fieldlens classify --help`"),
        ("info a.bundle b.bundle", "unexpected: b.bundle", "`fieldlens info --help`"),
        ("calibrate-site a --bundle b --prevalence x", "--prevalence: 'x' is not a number", "calibrate-site --help`"),
        ("classify a", "the following arguments are required: --bundle", "`fieldlens classify --help`"),
    ],
)
def test_a_mistyped_word(words: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(words.split())
    assert caught.value.code == 2
    error, reported = capsys.readouterr().err.splitlines()
    assert error.startswith("error: fieldlens")
    assert message in error
    assert reported.startswith("hint: ")
    assert hint in reported


def test_an_abbreviation_is_no_mistake() -> None:
    assert build_parser().parse_args(["classify", "a", "--bund", "b", "--prec", "int8"]).precision == "int8"


def leaves(parser: Parser, name: str) -> list[tuple[str, Parser]]:
    below = subcommands(parser)
    found = [leaf for word, child in below.items() for leaf in leaves(child, f"{name} {word}")]  # type: ignore[arg-type]
    return found or [(name, parser)]


@pytest.mark.parametrize(("name", "parser"), leaves(build_parser(), "fieldlens"), ids=lambda value: str(value)[:40])
def test_every_command_has_an_example_that_parses_and_a_function(name: str, parser: Parser) -> None:
    title, example = (parser.epilog or "").split("\n")
    assert title == "example:"
    words = example.split("#")[0].split(">")[0].replace('"15 W"', "15W").split()
    assert words[: len(name.split())] == name.split()
    arguments = build_parser().parse_args(words[1:])
    commands = importlib.import_module(arguments.module).COMMANDS
    assert callable(commands[arguments.command])


def test_two_commands_of_one_name_do_not_meet() -> None:
    names = [name for name, _ in leaves(build_parser(), "fieldlens")]
    assert len(names) == len(set(names))


def test_an_example_stays_on_its_line() -> None:
    parser = Parser(prog="kit")
    long = "--option " * 30 + "end"
    assert f"kit one {long}" in Commands(parser, "m").add("one", "a command", example=long).format_help()
