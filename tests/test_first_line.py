"""No silence: what every command says first, and how soon; what is refused before anything heavy is imported."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.cli import build_parser
from fieldlens.runtime.terminal.parser import subcommands

ROOT = Path(__file__).resolve().parents[1]
WAIT_S = 20.0
"""Generous: CI shares its cores. The promise, 1 s, is measured with --full."""

FIRST = {
    "classify": ("photo.jpg", "--bundle", "a.bundle"),
    "calibrate-camera": ("v4l2://0", "--bundle", "a.bundle"),
    "calibrate-site": ("data", "--bundle", "a.bundle"),
    "verify": ("a.bundle",),
    "info": ("a.bundle",),
    "doctor": (),
    "selftest": ("a.bundle",),
    "serve": ("--bundle", "a.bundle"),
    "station backup": ("new.tar",),
    "station restore": ("photo.jpg",),
    "station export": ("new.csv",),
    "station packages": ("new-folder",),
    "station verify-audit": (),
    "station init": ("--name", "clinic.example"),
    "station account": (),
    "station token": ("printer",),
    "update": ("a.bundle",),
    "device status": (),
    "device rollback": (),
    "device logs": (),
    "device prepare": (),
    "device run": (),
    "device recover": (),
    "device supervise": (),
    "device stop": (),
    "device receive": (),
    "device configure": (),
    "device keys": (),
    "device adopt": ("0.1.0-0123456789ab",),
    "deploy usb": ("data", "a.bundle"),
    "deploy provision": ("station-7",),
    "deploy release": ("station-7",),
    "deploy rehearse": ("new", "a.bundle"),
    "deploy rotate": ("station-7",),
    "deploy push": ("station-7", "a.bundle"),
    "deploy rollback": ("station-7",),
    "deploy status": ("station-7",),
    "deploy selftest": ("station-7",),
    "deploy bench": ("station-7",),
    "deploy logs": ("station-7",),
    "deploy remove": ("station-7",),
    "keys new": ("maker@clinic",),
    "keys show": (),
    "keys revoke": ("maker@clinic",),
    "train new-recipe": ("data", "--positive", "ill", "--out", "new.toml"),
    "train demo-data": ("new", "--images", "30"),
    "train fit": ("--recipe", "demo", "--data", "data", "--out", "new"),
    "train crossval": ("--recipe", "demo", "--data", "data", "--out", "new"),
    "train curve": ("--recipe", "demo", "--data", "data", "--out", "new"),
    "train pretrain": ("--out", "new.safetensors"),
    "train evaluate": ("run",),
    "train export-images": ("data", "--out", "new"),
    "convert bundle": ("run", "--out", "new"),
    "convert verify": ("a.bundle",),
    "convert engine": ("a.bundle",),
    "convert sign": ("a.bundle", "--key", "photo.jpg"),
    "convert slim": ("a.bundle", "--for", "cpu", "--out", "new"),
    "bench compare": ("--random", "resnet18"),
    "bench roofline": ("--random", "resnet18"),
    "bench training": (),
    "bench conversion": (),
    "bench record": ("--random", "resnet18"),
    "bench agree": ("run", "run"),
    "bench gate": ("--bundle", "a.bundle", "--images", "data"),
    "bench docs": ("--check",),
}
"""A command that would begin, in the folder that :func:`place` makes."""

REFUSED = {
    "no bundle": ("classify photo.jpg --bundle no.bundle", "no.bundle does not exist"),
    "no bundle to serve": ("serve --bundle no.bundle", "no.bundle does not exist"),
    "no backup": ("station restore no.tar", "no.tar does not exist"),
    "no data to look at": ("train new-recipe no --positive ill --out new.toml", "there is no data at no"),
    "a file as bundle": ("info photo.jpg", "photo.jpg is not a folder"),
    "a folder that is no bundle": ("verify data", "data: manifest.json is missing"),
    "no image": ("classify no.jpg --bundle a.bundle", "no.jpg: there is no such file"),
    "no data": ("train fit --recipe demo --data no --out new", "there is no data at no"),
    "no recipe": ("train fit --recipe no.toml --data data --out new", "there is no recipe no.toml"),
    "an unknown key": (
        "train fit --recipe demo --data data --out new --set train.epoch=3",
        "unknown key 'epoch'",
    ),
    "no weights": ("train fit --recipe demo --data data --out new --weights no.pth", "--weights no.pth does not exist"),
    "a run in use": ("train fit --recipe demo --data data --out used", "used exists and is not empty"),
    "a cross-validation in use": ("train crossval --recipe demo --data data --out used", "is not a cross-validation"),
    "a curve in use": ("train curve --recipe demo --data data --out used", "is not a learning curve"),
    "no curve to compare with": (
        "train curve --recipe demo --data data --out new --against run",
        "--against run is not a learning curve",
    ),
    "sizes of a curve": (
        "train curve --recipe demo --data data --out new --sizes 100,many",
        "--sizes '100,many' are not numbers of images",
    ),
    "draws of a curve": ("train curve --recipe demo --data data --out new --draws 0", "--draws is 0"),
    "a share kept apart": ("train curve --recipe demo --data data --out new --apart 1", "--apart is 1"),
    "a kind of weights": ("train pretrain --out new.pt", "new.pt is no name for safetensors"),
    "one class to tell apart": ("train pretrain --out new.safetensors --classes 1", "--classes is 1"),
    "no run to judge": ("train evaluate no", "there is no run folder no"),
    "prevalence": ("train evaluate run --prevalence 2", "--prevalence 2 is no share"),
    "images to export in use": ("train export-images data --out used", "used exists and is not empty"),
    "no run to convert": ("convert bundle no --out new", "there is no run folder no"),
    "a bundle in use": ("convert bundle run --out used", "used exists and is not empty"),
    "an unknown target": ("convert bundle run --out new --targets gpu", "--targets 'gpu': gpu is no target"),
    "no calibration": (
        "convert bundle --pretrained resnet18 --calibration no --out new",
        "--calibration no does not exist",
    ),
    "two origins": ("convert bundle run --pretrained resnet18 --out new", "a bundle is made from one of"),
    "no data to verify": ("convert verify a.bundle --data no", "--data no does not exist"),
    "no key": ("convert sign a.bundle --key no", "--key no does not exist"),
    "no bundle to slim": ("convert slim no.bundle --for cpu --out new", "no.bundle does not exist"),
    "no bundle to compare": ("bench compare --bundle no.bundle", "no.bundle does not exist"),
    "no images to compare": ("bench compare --random resnet18 --images no", "--images no is not a folder"),
    "no bundle to install": ("update no.bundle", "no.bundle does not exist"),
    "no stick": ("deploy usb no a.bundle", "DIR no does not exist"),
    "no bundle to push": ("deploy push station-7 no.bundle", "no.bundle does not exist"),
    "labels alone": ("bench roofline --random resnet18 --labels photo.jpg", "--labels needs --images"),
    "no run to agree with": ("bench agree run no", "RUN no does not exist"),
}


def place(folder: Path) -> Path:
    """Things that look right from outside."""
    (folder / "a.bundle").mkdir(parents=True)
    (folder / "a.bundle" / "manifest.json").write_text("{}")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    for name in ("data", "run", "used"):
        (folder / name).mkdir()
    (folder / "used" / "file").touch()
    return folder


def leaves(parser: argparse.ArgumentParser, at: str = "") -> Iterator[str]:
    below = subcommands(parser)
    for name, child in below.items():
        yield from leaves(child, f"{at} {name}".strip())
    if not below:
        yield at


def test_every_command_is_in_the_table() -> None:
    assert set(leaves(build_parser())) - {"completion"} == set(FIRST)


def begin_all(folder: Path, lines: list[list[str]]) -> tuple[dict[str, str], list[str]]:
    """Parse each command line and call its ``begin``, all in one process; results, and what it had to import."""
    code = (
        "import json, sys\n"
        "from fieldlens.cli import build_parser\n"
        "from fieldlens.runtime.errors import KitError\n"
        "parser, found = build_parser(), {}\n"
        "for words in json.load(sys.stdin):\n"
        "    arguments = parser.parse_args(words)\n"
        "    try: found[' '.join(words)] = arguments.begin(arguments)\n"
        "    except KitError as error: found[' '.join(words)] = f'refused: {error.message}; {error.hint}'\n"
        "heavy = ('torch', 'torchvision', 'onnx', 'onnxruntime', 'openvino', 'numpy', 'cv2', 'scipy', 'sklearn')\n"
        "print(json.dumps([found, sorted(set(heavy) & set(sys.modules))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, heavy = json.loads(done.stdout)
    return found, heavy


def test_every_command_says_what_it_will_do_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    lines = [[*name.split(), *words] for name, words in FIRST.items()]
    found, heavy = begin_all(place(tmp_path / "work"), lines)
    assert heavy == []
    for name, words in FIRST.items():
        said = found[" ".join((*name.split(), *words))]
        assert not said.startswith("refused"), said
        assert said.endswith(" …"), said
        assert len(said.splitlines()) == 1


def test_wrong_paths_are_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    found, heavy = begin_all(place(tmp_path / "work"), [line.split() for line, _ in REFUSED.values()])
    assert heavy == []
    for line, words in REFUSED.values():
        assert found[line].startswith("refused: "), found[line]
        assert words in found[line]
        assert not found[line].endswith("; "), "a refusal has a hint"


def test_a_second_rank_does_not_stumble_over_the_first_ones_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    line = "train fit --recipe demo --data data --out used"
    found, _ = begin_all(place(tmp_path / "work"), [line.split()])
    assert not found[line].startswith("refused")


def first_line(name: str, words: tuple[str, ...], folder: Path) -> tuple[str, float]:
    """The first line of a real process, and after how many seconds it came. The process is then ended."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "fieldlens", *name.split(), *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        seconds = time.perf_counter() - began
        process.kill()
    return line, seconds


@pytest.mark.parametrize("name", ["info", "train fit", "convert bundle", "bench compare"])
def test_the_first_line_of_a_process(tmp_path: Path, name: str) -> None:
    """One command of each room; the others go the same way."""
    line, seconds = first_line(name, FIRST[name], place(tmp_path / "work"))
    assert line.startswith(name.split()[-1] + ": ")
    assert seconds < WAIT_S


def test_a_refusal_is_an_error_with_a_hint_and_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fieldlens", "train", "fit", "--recipe", "demo", "--data", "no", "--out", "new"],
        cwd=place(tmp_path / "work"), capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no data at no\nhint: ")
    assert done.stdout == ""


@pytest.fixture
def busy_core() -> Iterator[None]:
    """Another program that takes a core."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        yield
        other.kill()


@pytest.mark.full
@pytest.mark.usefixtures("busy_core")
def test_first_lines_come_within_a_second_beside_another_program(tmp_path: Path) -> None:
    """Median of 5 each; the table of docs/commands.md is this one's output."""
    medians: dict[str, float] = {}
    for name, words in FIRST.items():
        times = [first_line(name, words, place(tmp_path / f"{name}-{turn}"))[1] for turn in range(5)]
        medians[name] = statistics.median(times)
    print("\n" + "\n".join(f"| `{name}` | {seconds:.2f} s |" for name, seconds in medians.items()))
    assert {name: seconds for name, seconds in medians.items() if seconds > 1.0} == {}


@pytest.mark.full
@pytest.mark.usefixtures("busy_core")
def test_refusals_come_within_0_6_s_beside_another_program(tmp_path: Path) -> None:
    """Median of 5 each."""
    medians: dict[str, float] = {}
    for name, (line, _) in REFUSED.items():
        times = [first_line(line, (), place(tmp_path / f"{len(medians)}-{turn}"))[1] for turn in range(5)]
        medians[name] = statistics.median(times)
    print("\n" + "\n".join(f"| {name} | {seconds:.2f} s |" for name, seconds in medians.items()))
    assert {name: seconds for name, seconds in medians.items() if seconds > 0.6} == {}
