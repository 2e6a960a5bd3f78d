"""A device on this machine, in one command."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
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


@pytest.mark.full
@pytest.mark.skipif(SSHD is None, reason="no OpenSSH server here: apt install openssh-server")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["[2/7]", "installing: "])
def test_an_interruption_leaves_nothing_running(
    tiny_folder: Path, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    """Neither the server, nor a push that went on without us, nor the service that it would have started."""
    words = [sys.executable, "-m", "fieldlens", "deploy", "rehearse", str(tmp_path / "rehearsal"), str(tiny_folder)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith(moment):
                break
        time.sleep(1.0)
        running.send_signal(number)
        assert running.wait(60) == 130
    time.sleep(1.0)
    left = subprocess.run(["pgrep", "-fa", str(tmp_path / "rehearsal")], capture_output=True, text=True, check=False)
    assert "supervise" not in left.stdout
    assert "sshd" not in left.stdout
    assert "receive" not in left.stdout
