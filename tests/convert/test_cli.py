"""The command line, on hosts and on devices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.convert.cli import build_parser, main
from fieldlens.runtime.errors import KitError
from tests.convert.conftest import ROOT, Command
from tests.device_files import lay_device_files


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, fieldlens.convert.cli as c\n"
        "c.build_parser().format_help()\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'scipy', 'fieldlens.train'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_making_a_bundle_imports_no_package_that_only_a_fit_or_a_report_needs() -> None:
    """They take two seconds together, where a small bundle takes ten."""
    code = (
        "import sys, fieldlens.convert.assembly, fieldlens.convert.origin.training_run\n"
        "print({'matplotlib', 'sklearn', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_device_says_that_it_is_not_the_host(tmp_path: Path) -> None:
    lay_device_files(tmp_path)
    call = [sys.executable, "-m", "convert"]
    shown = subprocess.run([*call, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "x.bundle").mkdir()
    (tmp_path / "x.bundle" / "manifest.json").touch()
    refused = subprocess.run([*call, "verify", "x.bundle"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "\nerror: `python -m convert verify` belongs to the host" in refused.stderr
    assert "hint: run it on the host" in refused.stderr


def test_a_missing_bundle_is_named(command: Command, tmp_path: Path) -> None:
    done = command("verify", tmp_path / "no.bundle")
    assert done.returncode == 2
    assert "no.bundle does not exist" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verify", "x.bundle", "--predictions", "p.csv"], "--predictions needs labelled data"),
        (["bundle", "run", "--out", "x.bundle", "--version", "-1"], "--version -1 is out of range"),
        (
            ["bundle", "--pretrained", "resnet18", "--out", "x.bundle", "--share-images", "0123456789ab"],
            "--share-images belongs to a RUN",
        ),
    ],
)
def test_options_that_make_no_sense(words: list[str], message: str) -> None:
    with pytest.raises(KitError, match=message):
        main(words)


def test_consent_and_a_folder_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["bundle", "run", "--out", "x", "--images", "d", "--share-images"])
    assert "not allowed with" in capsys.readouterr().err
