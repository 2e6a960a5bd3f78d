"""By the command line: of any folder and any table every input is answered, failed, or left out with a reason."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.cli import main as runtime
from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.train.cli import main as train
from fieldlens.train.data.samples import DataSet
from fieldlens.train.fitting import fit
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest
from tests.runtime.dicom_made import ct
from tests.train.data.forms.test_any_table import CHANGES, ENCODINGS, clean

NAMES = ["a", "train", "test", "@eaDir", ".x", "__MACOSX", "früh", "two words", "x.jpg", "#recycle", "ill", "well"]
FILES = [
    "1.jpg",
    "2.JPE",
    "x.jfif",
    "notes.txt",
    "._1.jpg",
    ".y.png",
    "IM01",
    "3.png",
    "b.dcm",
    os.fsdecode(b"\xff.jpg"),
]
CONTENT = [jpeg(scene(1, 64, 64)), jpeg(scene(2, 64, 64))[:200], b"", ct(1), b"no image"]
MOST_S = 5.0


def grow(root: Path, chance: random.Random) -> None:
    folders = [root]
    root.mkdir(parents=True)
    for _ in range(chance.randint(2, 14)):
        where, kind = chance.choice(folders), chance.random()
        path = where / chance.choice(NAMES if kind < 0.35 else FILES)
        if os.path.lexists(path):
            continue
        if kind < 0.35:
            path.mkdir()
            folders.append(path)
        elif kind < 0.85:
            path.write_bytes(chance.choice(CONTENT[:1] * 3 + CONTENT))
        elif kind < 0.95:
            path.symlink_to(chance.choice([*folders, root / "nowhere", Path(), where / "1.jpg"]))
        else:
            os.mkfifo(path)


def entries(root: Path) -> int:
    """All that is neither a folder that is entered nor hidden and no image: hidden folders count as one."""
    count, seen = 0, set[tuple[int, int]]()
    pending = [root]
    links: list[Path] = []
    while pending or links:
        place = pending.pop() if pending else links.pop()
        found = place.stat()
        if (found.st_dev, found.st_ino) in seen:
            count += 1  # a link to a folder that is there already
            continue
        seen.add((found.st_dev, found.st_ino))
        for entry in place.iterdir():
            own = entry.name.startswith(".") or entry.name.lower() in ("@eadir", "__macosx", "#recycle")
            if own:
                count += (entry.is_dir() and not entry.is_symlink()) or Path(entry.name.lstrip("._")).suffix != ""
            elif entry.is_dir():
                (links if entry.is_symlink() else pending).append(entry)
            else:
                count += 1
    return count


def left_out(said: str) -> int:
    return sum(int(number) for number in re.findall(r"left out because [^:\n]*: (\d+)", said))


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    folder = tmp_path_factory.mktemp("counts")
    bundle = build_bundle(folder / "tiny.bundle", tiny_manifest())
    return ("--bundle", str(bundle), "--state", str(folder / "state"), "--backend", "fake")


@pytest.mark.parametrize("count", [6, pytest.param(300, marks=pytest.mark.full)])
def test_every_entry_of_a_folder_counts(
    options: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    for seed in range(count):
        root, results = tmp_path / f"tree{seed}", tmp_path / f"{seed}.jsonl"
        grow(root, random.Random(seed))
        began = time.process_time()
        code = run_cli(partial(runtime, ["classify", str(root), *options, "--json", str(results)]))
        assert time.process_time() - began < MOST_S
        written = capsys.readouterr()
        assert code in (0, 2, 3), seed
        assert "Traceback" not in written.err
        items = [json.loads(line) for line in results.read_text().splitlines()]
        nothing = sum("no images in this folder" in (item.get("error") or "") for item in items)
        failed = sum(bool(item.get("error")) for item in items) - nothing
        answered = len(items) - failed - nothing
        assert answered + failed + left_out(written.out + written.err) == entries(root), seed


class Read(Exception):
    """What training would be given."""

    def __init__(self, data: DataSet) -> None:
        self.data = data


@pytest.fixture
def reads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(config: object, data: DataSet, *rest: Any) -> None:
        raise Read(data)

    monkeypatch.setattr(fit, "_fit", stop)


def fitted(data: Path, out: Path, recipe: Path) -> tuple[DataSet | None, float]:
    """What `train fit` reads, or None where it refuses; the seconds of processor time."""
    began = time.process_time()
    try:
        words = ["fit", "--recipe", str(recipe), "--data", str(data), "--out", str(out), "--ungrouped"]
        code = run_cli(lambda: train(words))
    except Read as read:
        return read.data, time.process_time() - began
    assert code == 2
    return None, time.process_time() - began


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The demo's, for classes as the data names them."""
    path = tmp_path / "any.toml"
    text = (Path(__file__).parents[1] / "recipes" / "demo.toml").read_text()
    text = re.sub(r"(?m)^(classes|display) = .*\n", "", text)
    text = re.sub(r"(?ms)^\[decision\].*?(?=^\[|\Z)", "", text)
    path.write_text(text)
    return path


@pytest.mark.usefixtures("reads_only")
@pytest.mark.parametrize("count", [6, pytest.param(500, marks=pytest.mark.full)])
def test_every_row_of_a_table_counts(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    for number in range(12):
        (root / f"{number:02d}.png").write_bytes(CONTENT[0])
    whole = 0
    for seed in range(count):
        chance, text = random.Random(seed), clean()
        for _ in range(chance.randint(0, 3)):
            text = chance.choice(CHANGES)(text, chance)
        (root / "labels.csv").write_bytes(text.encode(chance.choice(ENCODINGS), errors="replace"))
        data, seconds = fitted(root, tmp_path / "run", recipe)
        said = capsys.readouterr().err
        assert seconds < MOST_S
        assert "Traceback" not in said
        if data is None:
            assert "error: " in said, seed
            continue
        whole += 1
        rows = len(read_csv(root / "labels.csv", ("image", "label")).rows)
        strays = sum(int(note.split()[0]) for note in data.notes if "in no row" in note)
        assert len(data.samples) == rows, seed
        assert rows + strays == 12, seed
    assert 0 < whole < count


def put(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(count):
        (folder / f"{len(list(folder.iterdir()))}{folder.name}.jpg").write_bytes(CONTENT[0])


@pytest.mark.usefixtures("reads_only")
@pytest.mark.parametrize("count", [6, pytest.param(300, marks=pytest.mark.full)])
def test_every_image_of_a_set_of_folders_counts(
    tmp_path: Path, recipe: Path, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    whole = 0
    for seed in range(count):
        root, chance = tmp_path / f"set{seed}", random.Random(seed)
        above = chance.choice(["", "", "images", "set/set", "train"])
        for kind in ("ill", "well", "früh")[: chance.randint(1, 3)]:
            put(root / above / kind, 12)
        for _ in range(chance.randint(0, 2)):
            odd = chance.choice(["", "__MACOSX", "test", "ill/p1", ".cache", "train/ill", "@eaDir/ill", "hill", above])
            put(root / odd, chance.randint(0, 9))
        root.mkdir(exist_ok=True)
        data, seconds = fitted(root, tmp_path / "run", recipe)
        said = capsys.readouterr().err
        assert seconds < MOST_S
        assert "Traceback" not in said
        if data is None:
            assert "error: " in said, seed
            continue
        whole += 1
        images = [p for p in root.rglob("*.jpg") if not {"__MACOSX", ".cache", "@eaDir"} & set(p.parts)]
        loose = sum(int(note.split()[0]) for note in data.notes if "lie in no class folder" in note)
        assert len(data.samples) + loose == len(images), seed
    assert 0 < whole < count
