"""A device whose root and home are read-only runs all the same; what must be writable is what the options name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.machine.host import state_folder
from tests.runtime.privileges import can_unshare, read_only_everywhere, without_privileges
from tests.runtime.test_classify import ROOT, command, lines

NOTHING_KEPT = "nothing is kept in"


def as_a_user(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, env={**os.environ, **environment}, preexec_fn=without_privileges,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder into which nobody may write."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    return folder


@pytest.mark.parametrize("backend", ["openvino", pytest.param("onnxruntime", marks=pytest.mark.full)])
def test_without_a_place_for_its_state_a_run_goes_on_and_says_so(
    bundle_folder: Path, pictures: Path, tmp_path: Path, closed: Path, backend: str
) -> None:
    options = ("--bundle", bundle_folder, "--backend", backend, "--json", tmp_path / "r.jsonl")
    done = as_a_user("classify", pictures, *options, HOME=str(closed), XDG_STATE_HOME="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"note: {NOTHING_KEPT} {closed}/.local/state/fieldlens") == 1
    assert "(Permission denied)" in done.stdout
    assert len(lines(tmp_path / "r.jsonl")) == 7
    assert list(closed.iterdir()) == []


@pytest.mark.full
def test_a_selftest_without_a_place_for_its_state(bundle_folder: Path, closed: Path) -> None:
    tested = as_a_user("selftest", bundle_folder, "--state", closed / "state", "--backend", "openvino")
    assert tested.returncode == 0, tested.stderr
    assert f"note: {NOTHING_KEPT} {closed}/state" in tested.stderr


@pytest.mark.full
def test_info_and_doctor_without_a_place_for_their_state(bundle_folder: Path, closed: Path) -> None:
    assert as_a_user("info", bundle_folder, HOME=str(closed)).returncode == 0
    looked = as_a_user("doctor", "--bundle", bundle_folder, "--state", closed / "state")
    assert "Traceback" not in looked.stderr


@pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param("--json", "r.jsonl", marks=pytest.mark.full),
        pytest.param("--csv", "r.csv", marks=pytest.mark.full),
        ("--report", "r.html"),
        pytest.param("--overlays", "maps", marks=pytest.mark.full),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_run(
    basic: Sequence[object], pictures: Path, closed: Path, option: str, name: str
) -> None:
    done = as_a_user("classify", pictures, *basic, option, closed / name)
    assert done.returncode == 2
    assert "cannot be written (Permission denied)" in done.stderr
    assert "hint: choose another place" in done.stderr
    assert " ms\n" not in done.stdout


def test_a_user_without_a_home_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert state_folder(None) == Path("/nonexistent/.local/state/fieldlens")


@pytest.mark.skipif(
    not can_unshare(), reason="no mount namespace of our own here: the tests above, as a user, stand for it"
)
@pytest.mark.parametrize("backend", ["openvino", pytest.param("fake", marks=pytest.mark.full)])
def test_a_run_where_every_file_system_is_read_only_but_that_of_its_results(
    bundle_folder: Path, pictures: Path, tmp_path: Path, backend: str
) -> None:
    out = tmp_path / "out"
    kept = ("--json", out / "r.jsonl", "--csv", out / "r.csv", "--report", out / "r.html", "--overlays", out / "maps")
    words = command("classify", pictures, "--bundle", bundle_folder, "--backend", backend, *kept)
    environment = {key: value for key, value in os.environ.items() if key not in ("XDG_STATE_HOME", "TMPDIR")}
    script = [*read_only_everywhere(["sh", "-c", '"$@"; code=$?; ls "$0"; exit $code', str(out), *words], out)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-5:] == ["maps", "r.csv", "r.html", "r.json", "r.jsonl"]
    assert "7 images in" in done.stdout
    if backend != "fake":
        assert f"note: {NOTHING_KEPT}" in done.stdout
        assert "(Read-only file system)" in done.stdout


WATCHED = """
import sys
def hook(event, words):
    if event in ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo"):
        print("happened:", event, words, file=sys.stderr)
sys.addaudithook(hook)
from fieldlens.runtime import stopping
from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli
stopping.leave(run_cli(main))
"""


def test_openvino_reports_its_use_to_nobody_and_writes_nothing_into_the_home(
    bundle_folder: Path, tmp_path: Path
) -> None:
    """Its package for telemetry would start a process, ask for a server on the internet, and leave a number there."""
    home = tmp_path / "home"
    home.mkdir()
    words = ("selftest", bundle_folder, "--backend", "openvino", "--state", tmp_path / "state")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, words)], cwd=ROOT, env={**os.environ, "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "happened" not in done.stderr
    assert list(home.iterdir()) == []
