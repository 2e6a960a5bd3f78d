"""Damaged images: each is answered for, and what its format can show is seen. Nothing is timed by the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize
from tests.runtime.conftest import scene
from tests.runtime.damage import DAMAGES, FORMATS, MUTATIONS
from tests.runtime.decode_worker import ROOT, decode_all

SEEN, HARMLESS, SILENT = "seen", "same pixels", "other pixels"
SURE = {
    ("JPEG", "512 bytes of zeros"), ("TIFF, LZW", "512 bytes of zeros"),
    ("TIFF, PackBits", "512 bytes of zeros"), ("TIFF, PackBits", "512 foreign bytes"),
    *((name, damage) for name in ("PNG", "TIFF, deflate") for damage in DAMAGES if damage != "something behind it"),
    *((name, "cut short") for name in FORMATS),
    *((name, "something behind it") for name in ("BMP", "WebP, lossy", "WebP, lossless")),
}  # fmt: skip
"""What is always seen."""


def judged(name: str, damage: str, count: int, height: int, width: int) -> Counter[str]:
    """What became of ``count`` images with one damage each."""
    preprocess, found = Preprocess((Resize(512),)), Counter({SEEN: 0, HARMLESS: 0, SILENT: 0})
    files = [FORMATS[name](np.ascontiguousarray(scene(seed, height, width))) for seed in range(5)]
    good = [preprocess.decode(data, "good").pixels.copy() for data in files]
    for number in range(count):
        random, which = np.random.default_rng(number), number % len(files)
        data = DAMAGES[damage](files[which], random)
        if data == files[which]:
            found[HARMLESS] += 1
            continue
        try:
            same = np.array_equal(preprocess.decode(data, "damaged").pixels, good[which])
        except ImageError:
            found[SEEN] += 1
        else:
            found[HARMLESS if same else SILENT] += 1
    return found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_can_show_is_seen(name: str, damage: str) -> None:
    if (name, damage) not in SURE:
        assert damage != "cut short"
        return
    found = judged(name, damage, 12, 120, 160)
    assert found[SILENT] == 0
    assert found[SEEN] >= 11  # zeros may fall on zeros


@pytest.mark.full
@pytest.mark.parametrize("name", FORMATS)
def test_five_hundred_damages_of_each_kind(name: str) -> None:
    """Prints a row of the table in docs/inputs.md."""
    cells = []
    for damage in DAMAGES:
        found = judged(name, damage, 500, 480, 640)
        cells.append(f"{found[SEEN] / 5:.1f}% / {found[SILENT] / 5:.1f}%")
        if (name, damage) in SURE:
            assert found[SILENT] == 0, (damage, found)
    print(f"\n| {name} | {' | '.join(cells)} |")


def mutate(folder: Path, count: int) -> None:
    """Files of all formats, some of them damaged twice."""
    names = list(FORMATS)
    files = {name: FORMATS[name](np.ascontiguousarray(scene(7, 96, 128))) for name in names}
    for number in range(count):
        random, name = np.random.default_rng(number), names[number % len(names)]
        data = files[name]
        for _ in range(int(random.integers(1, 3))):
            data = MUTATIONS[int(random.integers(len(MUTATIONS)))](data, random) if len(data) > 8 else data
        ending = name.split(",")[0].lower()
        (folder / f"{number:05d}.{ending}").write_bytes(data)


def check(folder: Path, count: int, basic: Sequence[object]) -> None:
    mutate(folder, count)
    work = decode_all(folder)
    assert len(work.files) == count
    assert max(file.seconds for file in work.files) < 2.0
    assert work.peak_mb < 600
    refused = {file.name for file in work.files if file.error}
    assert all(file.hint and file.name in file.error for file in work.files if file.error)
    results = folder.parent / "results.jsonl"
    command = [sys.executable, "-W", "error", "-m", "runtime", "classify", folder, *basic, "--json", results]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [Path(line["source"]).name for line in lines] == sorted(path.name for path in folder.iterdir())
    assert {Path(line["source"]).name for line in lines if line.get("error")} == refused
    slowest = max(file.seconds for file in work.files)
    print(f"\n{len(refused)} of {count} refused; slowest {slowest:.3f} s; {work.peak_mb:.0f} MB")


def test_mutated_images_are_all_accounted_for(tmp_path: Path, basic: Sequence[object]) -> None:
    (tmp_path / "images").mkdir()
    check(tmp_path / "images", 150, basic)


@pytest.mark.full
def test_two_thousand_mutated_images(tmp_path: Path, basic: Sequence[object]) -> None:
    (tmp_path / "images").mkdir()
    check(tmp_path / "images", 2000, basic)
