"""Completion, asked for as a shell asks."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fieldlens.cli import build_parser
from fieldlens.runtime.terminal.completion import script

BASH = shutil.which("bash")


def completed(*words: str) -> set[str]:
    """What bash offers for the last of ``words``."""
    asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fieldlens; echo "${COMPREPLY[@]}"'
    code = f"{script(build_parser(), 'bash')}\n{asked}"
    assert BASH
    command = [BASH, "--norc", "-c", code, "bash", *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("fieldlens", "c"), {"classify", "calibrate-camera", "convert", "completion"}),
        (("fieldlens", "train", "e"), {"evaluate", "export-images"}),
        (("fieldlens", "train", "fit", "--re"), {"--recipe", "--resume"}),
        (("fieldlens", "classify", "photo.jpg", "--bundle", "b", "--precision", "f"), {"fp32", "fp16"}),
        (("fieldlens", "bench", "compare", "--random", "resnet3"), {"resnet34"}),
        (("fieldlens", "completion", "z"), {"zsh"}),
        (("fieldlens", "classify", "photo"), set()),
    ],
)
def test_bash(words: tuple[str, ...], offered: set[str]) -> None:
    assert completed(*words) == offered


def test_zsh_takes_the_same_function() -> None:
    """Through bashcompinit, which comes with zsh. Compared as text: few machines have a zsh."""
    bash, zsh = (script(build_parser(), shell).splitlines() for shell in ("bash", "zsh"))
    assert zsh[1] == "autoload -U +X bashcompinit && bashcompinit"
    assert zsh[2:] == bash[1:]
