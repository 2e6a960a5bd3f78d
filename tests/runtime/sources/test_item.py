"""What a source gives: each of its kinds, and what a run makes of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import simplejpeg

from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.prediction import Failure, Notice
from fieldlens.runtime.prepare import Prepared, Preparer
from fieldlens.runtime.running.ready import prepare_item
from fieldlens.runtime.sources.item import Broken, Encoded, File, Frame, Item, News, loaded
from fieldlens.runtime.sources.timing import Timing
from tests.runtime.conftest import jpeg, scene


@pytest.fixture
def preparer(bundle: Bundle) -> Preparer:
    return Preparer(bundle.manifest.preprocess)


def test_a_file_is_read_and_timed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"content")
    before = time.perf_counter()
    item = loaded(File("shown", path))
    assert isinstance(item, Encoded)
    assert (item.source, item.data) == ("shown", b"content")
    assert item.timing.began is not None
    assert before <= item.timing.began <= item.timing.began + item.timing.decode_ms / 1e3 <= time.perf_counter()


def test_a_file_that_is_not_there_is_broken_and_says_so_as_a_result(tmp_path: Path) -> None:
    item = loaded(File("none.jpg", tmp_path / "none.jpg"))
    assert isinstance(item, Broken)
    assert item.failure == Failure("none.jpg", "none.jpg: there is no such file", "check the path")


@pytest.mark.parametrize(
    "item",
    [
        Encoded("a", b"x"),
        Frame("b", scene(1)),
        News(Notice("c", "lost", "camera lost")),
        Broken("d", SourceError("d: gone", "look")),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_needs_no_reading_stays_as_it_is(item: Item) -> None:
    assert loaded(item) is item


def test_a_camera_hears_only_of_the_image_that_could_not_be_decoded(preparer: Preparer) -> None:
    refused: list[str] = []
    good = Encoded("good", jpeg(scene(1)), Timing(captured_at=time.monotonic()), lambda: refused.append("good"))
    bad = Encoded("bad", jpeg(scene(1))[:400], Timing(captured_at=time.monotonic()), lambda: refused.append("bad"))
    assert isinstance(prepare_item(good, preparer), Prepared)
    assert isinstance(prepare_item(bad, preparer), Broken)
    assert refused == ["bad"]


def test_bytes_and_a_frame_of_the_same_image_show_the_same_pixels(preparer: Preparer) -> None:
    data = jpeg(scene(1, 60, 80))  # too small to be decoded at a fraction of its size
    from_bytes = preparer(Encoded("a", data)).pixels_rgb.copy()
    prepared = preparer(Frame("b", simplejpeg.decode_jpeg(data)[..., ::-1].copy()))
    assert prepared.bgr
    assert (prepared.pixels_rgb == from_bytes).all()
