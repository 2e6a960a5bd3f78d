"""Completion, asked for as a shell asks."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fieldlens.cli import build_parser
from fieldlens.runtime.terminal.completion import script

BASH, ZSH = shutil.which("bash"), shutil.which("zsh")


CASES = [
    (("fieldlens", "c"), {"classify", "calibrate-camera", "calibrate-site", "convert", "completion"}),
    (("fieldlens", "train", "e"), {"evaluate", "export-images"}),
    (("fieldlens", "train", "fit", "--re"), {"--recipe", "--resume"}),
    (("fieldlens", "classify", "photo.jpg", "--bundle", "b", "--precision", "f"), {"fp32", "fp16"}),
    (("fieldlens", "bench", "compare", "--random", "resnet3"), {"resnet34"}),
    (("fieldlens", "completion", "z"), {"zsh"}),
    (("fieldlens", "classify", "photo"), set()),
]


def completed(*words: str) -> set[str]:
    """What bash offers for the last of ``words``."""
    asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fieldlens; echo "${COMPREPLY[@]}"'
    code = f"{script(build_parser(), 'bash')}\n{asked}"
    assert BASH
    command = [BASH, "--norc", "-c", code, "bash", *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(("words", "offered"), CASES)
def test_bash(words: tuple[str, ...], offered: set[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.skipif(ZSH is None, reason="there is no zsh here: ./deploy.sh test installs it where apt-get can")
def test_zsh(tmp_path: Path) -> None:
    """A real zsh at a terminal, and the Tab key; what it ran in the end is what it had completed."""
    (tmp_path / "completion").write_text(script(build_parser(), "zsh"))
    (tmp_path / "resnet.jpg").touch()
    (tmp_path / ".zshrc").write_text(
        "PS1='ready> '; unsetopt zle_bracketed_paste 2>/dev/null; autoload -U +X compinit && compinit -u -D\n"
        '. ./completion\nfieldlens() { print -r -- "ran[$*]" }\n'
    )
    typed = {
        "compl\tz\t": "completion zsh",
        "train ev\t": "train evaluate",
        "train fit --resu\t": "train fit --resume",
        "bench compare --random resnet3\t": "bench compare --random resnet34",
        "classify --precision fp3\tresn\t": "classify --precision fp32 resnet.jpg",
    }
    seen = at_a_terminal(tmp_path, [f"fieldlens {keys}" for keys in typed])
    assert re.findall(r"ran\[(.*?) ?\]", seen) == list(typed.values()), seen


def at_a_terminal(folder: Path, lines: list[str]) -> str:
    """Everything that zsh shows while ``lines`` are typed, each after a prompt."""
    assert ZSH
    ours, theirs = pty.openpty()
    environment = {"HOME": str(folder), "ZDOTDIR": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb", "LANG": "C"}
    shell = subprocess.Popen([ZSH, "-di"], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        for count, line in enumerate([*lines, "exit"], 1):
            end = time.monotonic() + 20
            while seen.count(b"ready> ") < count and time.monotonic() < end:
                if select.select([ours], [], [], 0.1)[0]:
                    seen += os.read(ours, 65_536)
            os.write(ours, f"{line}\n".encode())
        shell.wait(20)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
    return seen.decode(errors="replace")


def test_zsh_takes_the_same_function() -> None:
    """Through bashcompinit, which comes with zsh."""
    bash, zsh = (script(build_parser(), shell).splitlines() for shell in ("bash", "zsh"))
    assert zsh[1] == "autoload -U +X bashcompinit && bashcompinit"
    assert zsh[2:] == bash[1:]
