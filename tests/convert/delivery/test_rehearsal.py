"""A device on this machine, in one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fieldlens.cli import main
from tests.convert.delivery.loopback import SSHD


@pytest.mark.skipif(SSHD is None, reason="no OpenSSH server here: apt install openssh-server")
def test_one_command_from_nothing_to_an_answer(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = Path(shutil.copytree(tiny_folder, tmp_path / "partial.bundle"))
    (partial / "model.fp32.onnx").unlink()
    assert main(["deploy", "rehearse", str(tmp_path / "rehearsal"), str(partial), "--once"]) == 0
    said = capsys.readouterr().out
    assert "serves      tiny version 3" in said
    assert "service     answers\n" in said
    assert "page: http://127.0.0.1:" in said
