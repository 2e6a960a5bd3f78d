from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.runtime.boundary import run_cli
from fieldlens.train.cli import build_parser, main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str | Path) -> int:
    return run_cli(lambda: main([str(argument) for argument in arguments]))


def test_parsing_imports_nothing_heavy() -> None:
    code = (
        "import sys, fieldlens.train.cli; fieldlens.train.cli.build_parser().format_help();"
        "print([m for m in ('torch', 'cv2', 'numpy', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["demo-data", "fit", "evaluate", "export-images"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args([command, "--help"])
    assert caught.value.code == 0
    assert command in capsys.readouterr().out


def test_fit_then_evaluate(table_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[recipe]\nname = "r"\n[preprocess]\nsize = 32\n[train]\nepochs = 9\nbatch_size = 8\n'
        '[decision]\npositive = ["ill"]\nrounds = 20\n',
        encoding="utf-8",
    )
    out = tmp_path / "a run"
    assert run("fit", "--recipe", recipe, "--data", table_data, "--out", out, "--set", "train.epochs=1") == 0
    assert "kept epoch 1" in capsys.readouterr().out
    assert json.loads((out / "config.json").read_text())["train"]["epochs"] == 1
    words = ("--out", tmp_path / "both", "--set", "train.epochs=1", "--set", "train.refit=true")
    assert run("fit", "--recipe", recipe, "--data", table_data, *words) == 0
    said = capsys.readouterr().out
    assert "epoch 1 chose: val_auc" in said
    assert "kept is the network that has learnt from all images" in said
    assert run("evaluate", out) == 0
    assert "sensitivity" in capsys.readouterr().out
    assert (out / "evaluation.json").is_file()


def test_refusals_have_an_error_and_a_hint_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ROOT / "recipes/demo.toml"
    assert run("fit", "--recipe", recipe, "--data", tmp_path / "none", "--out", tmp_path / "run") == 2
    reported = capsys.readouterr().err
    assert reported.startswith("error: there is no data")
    assert "\nhint: " in reported
    assert run("fit", "--recipe", recipe, "--data", tmp_path, "--out", tmp_path, "--set", "train.epoch=1") == 2
    assert "epochs" in capsys.readouterr().err


def test_demo_data_and_export_images(npz_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo-data", tmp_path / "demo", "--images", "30", "--seed", "2") == 0
    assert run("export-images", npz_data, "--split", "val", "--out", tmp_path / "png") == 0
    assert "8 images" in capsys.readouterr().out
    assert (tmp_path / "demo/labels.csv").is_file()
