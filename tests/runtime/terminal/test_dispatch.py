"""What a command lacks is said with the extra that brings it; our own mistakes keep their traceback."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser


def lacking(missing: str, monkeypatch: pytest.MonkeyPatch) -> Parser:
    """A kit whose one command needs ``missing``."""

    def needy(_: object) -> int:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    module = ModuleType("kit.room.commands")
    vars(module)["COMMANDS"] = {"go": needy}
    monkeypatch.setitem(sys.modules, "kit.room.commands", module)
    parser = Parser(prog="kit")
    Commands(parser, "kit.room.commands").add("go", "a command", example="")
    return parser


@pytest.mark.parametrize(
    ("missing", "message", "hint"),
    [
        ("cv2", "`kit go` needs cv2", "fieldlens[device]"),
        ("torch.nn", "`kit go` belongs to the host: torch.nn is missing", "fieldlens[host]"),
        ("fieldlens.train", "`kit go` belongs to the host: fieldlens.train is missing", "fieldlens[host]"),
        ("tomllib", "`kit go` needs Python 3.11", "a later Python"),
    ],
)
def test_a_missing_library(missing: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KitError, match=message) as caught:
        run(lacking(missing, monkeypatch), ["go"])
    assert hint in caught.value.hint


def test_a_misspelt_import_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(lacking("nmupy", monkeypatch), ["go"])
