"""Small files that cost much: refused by what their header says, or stopped; and large images that are welcome."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import ConfigError, ImageError
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from tests.runtime.bombs import BOMBS, COSTLY, chunk, empty_deflate, png_of, progressive, rows
from tests.runtime.conftest import jpeg, png, scene
from tests.runtime.decode_worker import ROOT, Work, decode_all

SECONDS, MEMORY_MB = 2.0, 600
SHORT_S = 0.3
"""So that the bombs that must be stopped cost the tests less."""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in {**{name: make for name, (make, _) in BOMBS.items()}, **COSTLY}.items():
        (folder / name).write_bytes(make())
    return decode_all(folder, SHORT_S)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_name(bombs: Work, name: str) -> None:
    file = next(file for file in bombs.files if file.name == name)
    assert re.search(BOMBS[name][1], file.error), file.error
    assert name in file.error
    assert file.hint
    assert file.seconds < SHORT_S + 0.1


@pytest.mark.parametrize("name", COSTLY)
def test_what_costs_much_and_is_no_part_of_the_image_is_left_out(bombs: Work, name: str) -> None:
    file = next(file for file in bombs.files if file.name == name)
    assert not file.error
    assert file.seconds < 0.1


def test_no_bomb_takes_much_memory(bombs: Work) -> None:
    print(bombs.peak_mb)
    assert bombs.peak_mb < 200


def within(preprocess: Preprocess, data: bytes, name: str) -> str:
    """What is said of a file, or ""."""
    try:
        preprocess.from_bytes(data, name)
    except ImageError as error:
        return error.message
    return ""


def test_the_limits_are_settings() -> None:
    data = progressive(2048, 2048, 60)
    steps = (Orient(), Resize(64))
    assert not within(Preprocess(steps), data, "x.jpg")
    assert "over the limit of 0.1" in within(Preprocess(steps, DecodeLimits(seconds=0.1)), data, "x.jpg")
    large = png(np.zeros((3000, 4000, 3), np.uint8))
    assert not within(Preprocess(steps), large, "x.png")
    assert "MB to decode, over the limit of 60" in within(
        Preprocess(steps, DecodeLimits(memory_mb=260)), large, "x.png"
    )
    for limits in ({"seconds": 0.0}, {"memory_mb": 200.0}, {"seconds": float("nan")}):
        with pytest.raises(ConfigError):
            DecodeLimits(**limits)


def test_the_limits_are_options_of_the_command(tmp_path: Path, basic: Sequence[object]) -> None:
    (tmp_path / "large.png").write_bytes(png(np.zeros((3000, 4000, 3), np.uint8)))
    command = [sys.executable, "-m", "runtime", "classify", tmp_path / "large.png", *basic]
    for options, said in (
        (["--decode-memory", 260], "over the limit of 60 (decompression bomb?)"),
        (["--decode-seconds", 0.001], "over the limit of 0.001 (decompression bomb?)"),
        (["--decode-memory", 100], "give 250 or more"),
        ([], ""),
    ):
        done = subprocess.run(
            list(map(str, [*command, *options])), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == (2 if said else 0)
        assert said in done.stderr


def test_an_animation_of_one_frame_is_an_animation() -> None:
    whole = png_of(8, 8, zlib.compress(rows(8, 8)))
    assert within(Preprocess((Resize(16),)), whole, "x.png") == ""
    with_control = whole.replace(b"\0\0\0\0IEND", chunk(b"acTL", b"") + b"\0\0\0\0IEND")
    assert "animated" in within(Preprocess((Resize(16),)), with_control, "x.png")


@pytest.mark.parametrize(
    ("width", "height", "quality"), [(4000, 3000, 90), pytest.param(8660, 5774, 95, marks=pytest.mark.full)]
)
def test_a_cameras_photograph_is_welcome(tmp_path: Path, width: int, height: int, quality: int) -> None:
    """Twelve and fifty megapixels: baseline, progressive at full colour resolution, PNG."""
    from PIL import Image

    picture = np.asarray(cv2.resize(scene(3), (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    (tmp_path / "a.jpg").write_bytes(jpeg(picture, quality))
    Image.fromarray(picture).save(tmp_path / "b.jpg", quality=quality, progressive=True, subsampling=0)
    (tmp_path / "c.png").write_bytes(png(picture))
    work = decode_all(tmp_path)
    assert [file.error for file in work.files] == ["", "", ""]
    assert max(file.seconds for file in work.files) < SECONDS
    assert work.peak_mb < MEMORY_MB


@pytest.mark.full
def test_what_is_just_within_the_limits_is_within_them(tmp_path: Path) -> None:
    """The costs that decode_limits.py assumes are no less than the real ones."""
    large, larger = np.asarray(scene(1, 4000, 5000)), np.asarray(scene(1, 5000, 6000))
    files = {
        "passes.jpg": progressive(8000, 8000, 26),
        "channels.jpg": progressive(5700, 5700, 13, 3),
        "empty-blocks.png": png_of(1000, 1000, empty_deflate(2_100_000) + zlib.compress(rows(1000, 1000))[2:]),
        "flat.png": png_of(8000, 8000, zlib.compress(rows(8000, 8000))),
        "interlaced.png": png_of(8000, 7000, zlib.compress(rows(8020, 7080)), interlaced=True),
        "lossless.webp": cv2.imencode(".webp", large)[1].tobytes(),
        "lossy.webp": cv2.imencode(".webp", large, [cv2.IMWRITE_WEBP_QUALITY, 95])[1].tobytes(),
        "lzw.tif": cv2.imencode(".tif", larger)[1].tobytes(),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    work = decode_all(tmp_path)
    print(f"\n{work}")
    assert not [file for file in work.files if file.seconds > SECONDS or "header" in file.error]
    assert sum(not file.error for file in work.files) >= len(files) - 1  # the empty blocks take their two seconds
    assert work.peak_mb < MEMORY_MB
