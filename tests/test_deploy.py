"""deploy.sh from the outside: what it says, where it works, what it does again and what it does not."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from fieldlens.cli import build_parser
from fieldlens.runtime.terminal.parser import subcommands
from tests.deploy_kit import BASH, ROOT, deploy, executable, make_ready

COMMANDS = ("try", "demo", "ready-bundle", "station", "test", "setup", "lock", "clean", "help")
ON_DEVICES = (
    "provision",
    "push",
    "release",
    "rotate",
    "rollback",
    "status",
    "logs",
    "selftest",
    "bench",
    "remove",
    "usb",
)
"""Handed on to `fieldlens deploy`."""


def test_the_script_parses() -> None:
    subprocess.run([BASH, "-n", str(ROOT / "deploy.sh")], check=True)


@pytest.mark.parametrize("name", ["deploy.sh", ".ci/run"])
def test_scripts_are_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_has_one_line_for_every_command(kit: Path, word: str) -> None:
    done = deploy(kit, word)
    assert done.returncode == 0
    listed = re.findall(r"^  ([\w-]+) +\S", done.stdout.partition("environment:")[0], flags=re.MULTILINE)
    assert sorted(listed) == sorted((*COMMANDS, *ON_DEVICES, "rehearse"))


def test_help_lists_what_main_accepts() -> None:
    script = (ROOT / "deploy.sh").read_text(encoding="utf-8")
    accepted = re.search(r"^ +([a-z |-]+)\) \"cmd_\$\{command//-/_\}\"", script, flags=re.MULTILINE)
    assert accepted
    assert {*accepted[1].split(" | "), "help"} == set(COMMANDS)
    handed_on = re.search(r"^ +([a-z |-]+)\) on_device", script, flags=re.MULTILINE)
    assert handed_on
    assert tuple(handed_on[1].split(" | ")) == ON_DEVICES
    assert {*ON_DEVICES, "rehearse"} == set(subcommands(subcommands(build_parser())["deploy"]))


def test_a_devices_command_keeps_the_callers_folder_and_words(kit: Path, tmp_path: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "push", "clinic-7", "my bundle", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls.txt").read_text().strip() == "fieldlens deploy push clinic-7 my bundle --dry-run"


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), (), ("demo", "now"), ("clean", "--all"), ("setup", "x"), ("try", "x")]
)
def test_wrong_usage_ends_with_2_and_a_hint(kit: Path, arguments: tuple[str, ...]) -> None:
    done = deploy(kit, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .+\nhint: .+\n", done.stderr)


def test_without_a_python_it_says_what_to_install(kit: Path, bare_path: Path) -> None:
    done = deploy(kit, "setup", PATH=str(bare_path))
    assert done.returncode == 2
    assert "error: no working Python >= 3.11" in done.stderr
    assert "hint: install one" in done.stderr
    assert not (kit / ".venv").exists()


def test_a_python_that_is_too_old_is_refused(kit: Path, bare_path: Path) -> None:
    executable(bare_path / "python3", f"#!{BASH}\necho 3.9\n")
    done = deploy(kit, "setup", PATH=str(bare_path))
    assert done.returncode == 2
    assert "error: no working Python >= 3.11" in done.stderr


def test_a_named_python_is_not_silently_replaced(kit: Path) -> None:
    done = deploy(kit, "setup", FIELDLENS_PYTHON="no-such-python")
    assert done.returncode == 2
    assert "FIELDLENS_PYTHON=no-such-python" in done.stderr


def test_a_foreign_broken_venv_is_left_alone(kit: Path) -> None:
    (kit / ".venv").mkdir()
    (kit / ".venv/precious").touch()
    done = deploy(kit, "setup")
    assert done.returncode == 2
    assert "was not made by ./deploy.sh" in done.stderr
    assert (kit / ".venv/precious").exists()


def test_an_unfinished_venv_is_started_over(kit: Path, bare_path: Path) -> None:
    """Cut short here by the missing Python: what counts is that the half-made one is noticed."""
    (kit / ".venv").mkdir()
    (kit / ".venv/fieldlens-made").touch()
    assert ".venv is unfinished" in deploy(kit, "setup", PATH=str(bare_path)).stdout


def test_a_second_setup_installs_nothing(kit: Path, tmp_path: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "setup", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ready: .venv, from locks/host-py" in done.stdout
    assert not (kit / "calls.txt").exists()


def test_a_changed_lock_is_noticed(kit: Path, bare_path: Path) -> None:
    make_ready(kit)
    lock = kit / (kit / ".venv/fieldlens-ready").read_text(encoding="utf-8").split()[0]
    lock.write_text(lock.read_text(encoding="utf-8") + "# moved\n", encoding="utf-8")
    executable(bare_path / "uv", f'#!{BASH}\n[ "$1" = --version ] || echo "$@" >>uv-calls.txt\n')
    done = deploy(kit, "setup", PATH=str(bare_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "the requirements changed" in done.stdout
    locked, linked = (kit / "uv-calls.txt").read_text(encoding="utf-8").splitlines()
    assert f"-r {lock.relative_to(kit)}" in locked
    assert "--no-deps --no-build-isolation --editable ." in linked, "the command comes last, and brings no package"
    assert "ready" in deploy(kit, "setup").stdout


def test_when_uv_fails_pip_takes_over_and_the_reason_is_said(kit: Path, bare_path: Path) -> None:
    make_ready(kit)
    (kit / ".venv/fieldlens-ready").write_text("an older lock\n", encoding="utf-8")
    executable(bare_path / "uv", f'#!{BASH}\n[ "$1" = --version ] || exit 9\n')
    done = deploy(kit, "setup", PATH=str(bare_path))
    assert done.returncode == 0, done.stderr
    assert "uv stopped" in done.stdout
    assert "falling back to pip" in done.stdout
    assert "pip install" in (kit / "calls.txt").read_text(encoding="utf-8")


def test_test_hands_its_arguments_to_pytest(kit: Path, tmp_path: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "test", "--full", "-k", "two words", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (kit / "calls.txt").read_text(encoding="utf-8") == "pytest --full -k two words\n"


def test_demo_runs_six_stages_in_order_and_tells_what_comes_next(kit: Path, tmp_path: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    calls = (kit / "calls.txt").read_text(encoding="utf-8").splitlines()
    stages = ["train demo-data", "train fit", "convert bundle", "convert verify", "runtime classify"]
    assert [" ".join(call.split()[:2]) for call in calls] == stages
    assert re.findall(r"^\[(\d)/6\] (?!done)", done.stdout, flags=re.MULTILINE) == list("123456")
    assert len(re.findall(r"^\[\d/6\] done in \d+ s$", done.stdout, flags=re.MULTILINE)) == 6
    assert (kit / "fed.txt").read_text(encoding="utf-8") == "demo/data/images/b.png\n", "only held-out images"
    assert f"heat map:  {kit / 'demo/overlays/b.png'}" in done.stdout
    hints = re.findall(r"^  \.venv/bin/fieldlens (.*)$", done.stdout, flags=re.MULTILINE)
    assert len(hints) == 3
    for hint in hints:
        assert build_parser().parse_args(hint.split()), "the command line takes every hint as it stands"


def test_a_second_demo_reuses_what_is_complete(kit: Path) -> None:
    make_ready(kit)
    deploy(kit, "demo")
    (kit / "demo/run/operating-point.json").unlink()  # as after an interrupted fit
    (kit / "calls.txt").unlink()
    done = deploy(kit, "demo")
    assert done.returncode == 0, done.stderr
    calls = (kit / "calls.txt").read_text(encoding="utf-8")
    assert "already there: demo/data" in done.stdout
    assert "demo-data" not in calls
    assert "train fit" in calls


def test_demo_stops_at_the_stage_that_fails(kit: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "demo", VERIFY_EXIT="2")
    assert done.returncode == 2
    assert "classify" not in (kit / "calls.txt").read_text(encoding="utf-8")


def test_clean_says_and_removes_what_the_script_made(kit: Path) -> None:
    make_ready(kit)
    (kit / "demo").mkdir()
    done = deploy(kit, "clean")
    assert done.returncode == 0
    assert "removing demo" in done.stdout
    assert "removing .venv" in done.stdout
    assert not (kit / "demo").exists()
    assert not (kit / ".venv").exists()
    assert (kit / "locks").exists()


def test_clean_leaves_a_venv_that_it_did_not_make(kit: Path) -> None:
    (kit / ".venv").mkdir()
    assert "leaving .venv" in deploy(kit, "clean").stdout
    assert (kit / ".venv").exists()
