"""Contract 3: bytes and frames → tensor."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.preprocess import Preprocess, upright
from fieldlens.runtime.pixels.steps import Clahe, Crop, Denoise, Grey, Orient, Resize, Step, Window
from tests.runtime.conftest import BROKEN, jpeg, png, scene, with_orientation


def make(*steps: Step) -> Preprocess:
    return Preprocess(steps)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_name_and_a_reason(broken: Path, name: str) -> None:
    with pytest.raises(ImageError, match=name.replace(".", r"\.")) as caught:
        make(Orient(), Resize(64)).from_bytes((broken / name).read_bytes(), name)
    assert caught.value.hint
    assert len(caught.value.message) > len(name) + 10


@pytest.mark.parametrize("fault", range(40))
def test_no_cut_or_scribble_in_a_jpeg_escapes_or_crashes(fault: int) -> None:
    """Cut anywhere: refused. Overwritten anywhere: refused or decoded to the right size, never another exception."""
    data = jpeg(scene(3, 120, 160))
    preprocess = make(Resize(64))
    with pytest.raises(ImageError):
        preprocess.from_bytes(data[: len(data) * fault // 40], "cut.jpg")
    place = len(data) * fault // 40
    scribbled = data[:place] + bytes(np.random.default_rng(fault).integers(0, 256, 24, np.uint8)) + data[place + 24 :]
    with contextlib.suppress(ImageError):
        assert preprocess.from_bytes(scribbled, "scribbled.jpg").shape == (64, 64, 3)


def test_crop_takes_the_centred_square_and_area_averages_it() -> None:
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, 32:96] = (200, 100, 50)
    out = make(Resize(16))(picture)
    assert (out == (200, 100, 50)).all()


@pytest.mark.parametrize("side", [224, 250, 300, 448, 470, 480, 719, 1000])
def test_averaging_blocks_first_changes_next_to_nothing(side: int) -> None:
    pixels = np.ascontiguousarray(scene(3, 1500, 1000)[:side, :side])
    at_once = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
    difference = np.abs(make(Resize(224))(pixels).astype(int) - at_once)
    assert difference.mean() < 2.0


@pytest.mark.parametrize("side", [448, 480, 719, 1000])
def test_the_finest_pattern_becomes_grey_and_no_moire(side: int) -> None:
    board = np.where(np.indices((side, side)).sum(axis=0) % 2, 255, 0).astype(np.uint8)
    small = make(Resize(224))(np.repeat(board[..., None], 3, axis=2))
    assert abs(float(small.mean()) - 127.5) < 2
    assert small.std() < 32


def test_pad_keeps_everything_between_black_bars() -> None:
    out = make(Resize(16, "pad"))(np.full((64, 128, 3), 90, np.uint8))
    assert (out[4:12] == 90).all()
    assert (out[:4] == 0).all()
    assert (out[12:] == 0).all()


def test_squash_distorts() -> None:
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, :64] = 100
    out = make(Resize(16, "squash"))(picture)
    assert (out[:, :8] == 100).all()
    assert (out[:, 8:] == 0).all()


def test_zoom_keeps_the_middle() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48, 16:48] = 77
    assert (make(Resize(16, "crop", 2.0))(picture) == 77).all()


def test_field_of_view_is_cut_before_the_square() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 60
    assert (make(Crop(0.5, 0.0, 1.0, 1.0), Resize(20))(picture) == 60).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(orientation: int) -> None:
    stored = scene(2, 96, 128)
    expected = np.array(upright(stored, orientation)) if orientation > 1 else stored
    data = with_orientation(jpeg(stored, 95), orientation)
    decoded = make(Orient(), Resize(64)).decode(data, "x.jpg")
    assert decoded.header.orientation == orientation
    assert decoded.pixels.shape == expected.shape
    assert np.abs(decoded.pixels.astype(int) - expected).mean() < 4


def test_orientation_six_is_a_quarter_turn_clockwise() -> None:
    stored = np.zeros((4, 6, 3), np.uint8)
    stored[0, 0] = 255  # the corner that EXIF 6 puts at the top right
    assert upright(stored, 6)[0, -1].tolist() == [255, 255, 255]


def test_without_the_orient_step_the_image_stays_as_stored() -> None:
    data = with_orientation(jpeg(scene(2, 96, 128)), 6)
    assert make(Resize(64)).decode(data, "x.jpg").pixels.shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("side", "decoded"), [(64 * 64, 64 * 8), (64 * 12, 64 * 3), (64 * 6, 64 * 6 // 4), (64 * 3, 96), (190, 190)]
)
def test_large_jpegs_are_decoded_small(side: int, decoded: int) -> None:
    """Reduced only where the result keeps 1.5 times the network's side."""
    pixels = make(Resize(64)).decode(jpeg(scene(4, side, side)), "x.jpg").pixels
    assert pixels.shape[:2] == (decoded, decoded)


@pytest.mark.parametrize(
    ("side", "most"),
    [(64 * 3, 6), (64 * 5, 8), (64 * 6, 6), (64 * 12, 3), (64 * 20, 3), (64 * 90, 3)],  # 1/2, 1/2, 1/4, then 1/8
)
def test_an_image_gives_one_tensor_whatever_it_came_as(side: int, most: int) -> None:
    """A JPEG that is decoded small, and the same pixels from a PNG file. At five, half a pixel of the small image
    is cut off at one side more than at the other."""
    data = jpeg(scene(4, side, side * 4 // 3), 95)
    preprocess = make(Resize(64))
    from_jpeg = preprocess.from_bytes(data, "x.jpg").astype(int)
    from_png = preprocess.from_bytes(png(simplejpeg.decode_jpeg(data)[..., ::-1]), "x.png").astype(int)
    assert np.abs(from_jpeg - from_png).max() <= most


@pytest.mark.parametrize("shape", [(5, 3000), (3000, 5), (7, 7)])
@pytest.mark.parametrize("mode", ["crop", "pad", "squash"])
def test_a_sliver_is_no_error(shape: tuple[int, int], mode: str) -> None:
    for data, name in ((jpeg(scene(1, *shape)), "x.jpg"), (png(scene(1, *shape)), "x.png")):
        assert make(Resize(64, mode)).from_bytes(data, name).shape == (64, 64, 3)


def test_a_frame_gives_what_the_same_file_gives() -> None:
    picture = scene(8)
    preprocess = make(Orient(), Resize(64))
    from_file = preprocess.from_bytes(png(picture[..., ::-1]), "x.png").copy()
    from_frame = preprocess.frame(np.ascontiguousarray(picture[..., ::-1]), preprocess.empty()[0])
    assert (from_file == from_frame).all()


@pytest.mark.parametrize("steps", [(Clahe(),), (Denoise(),), (Denoise("gaussian", 5),), (Grey(),), (Clahe(), Grey())])
def test_a_frame_gives_what_the_same_file_gives_after_further_steps(steps: tuple[Step, ...]) -> None:
    picture = scene(8)
    preprocess = make(Resize(64), *steps)
    from_file = preprocess.from_bytes(png(picture[..., ::-1]), "x.png").copy()
    from_frame = preprocess.frame(np.ascontiguousarray(picture[..., ::-1]), preprocess.empty()[0])
    assert (from_file == from_frame).all()
    assert (from_file != make(Resize(64))(picture)).any()


def test_grey_gives_three_equal_channels() -> None:
    out = make(Resize(64), Grey())(scene(9))
    assert (out[..., 0] == out[..., 1]).all()
    assert (out[..., 0] == out[..., 2]).all()


def ramp(dtype: type[np.generic], top: int) -> npt.NDArray[np.generic]:
    return np.repeat(np.linspace(0, top, 64)[None], 64, axis=0).astype(dtype)


def test_a_window_reads_sixteen_bits() -> None:
    out = make(Window(level=30_000, width=20_000), Resize(64)).from_bytes(png(ramp(np.uint16, 60_000)), "ct.png")
    assert out[0, 0, 0] == 0
    assert out[0, -1, 0] == 255
    middle = out[32, :, 0].astype(int)
    assert abs(int(middle[32]) - 128) < 8
    assert (np.diff(middle) >= 0).all()


def test_a_window_also_serves_eight_bits_colour_and_jpeg() -> None:
    preprocess = make(Window(level=100, width=100), Resize(64))
    grey = ramp(np.uint8, 255)
    one = preprocess.from_bytes(png(grey), "ct.png").copy()
    three = preprocess.from_bytes(png(np.dstack([grey] * 3)), "ct.png").copy()
    as_jpeg = preprocess.from_bytes(jpeg(np.ascontiguousarray(np.dstack([grey] * 3)), 98), "ct.jpg")
    assert np.abs(one.astype(int) - three).max() <= 1
    assert np.abs(one.astype(int) - as_jpeg).mean() < 4


def test_grey_and_transparent_files_have_three_channels(pictures: Path) -> None:
    preprocess = make(Resize(64))
    for name in ("grey.png", "rgba.png"):
        assert preprocess.from_bytes((pictures / name).read_bytes(), name).shape == (64, 64, 3)


def test_the_tensor_is_written_in_place_and_buffers_are_reused() -> None:
    preprocess = make(Resize(64))
    batch = preprocess.empty(2)
    returned = preprocess.from_bytes(jpeg(scene(1)), "x", batch[1])
    assert np.shares_memory(returned, batch)
    assert batch[0].max() == 0
    assert batch[1].max() > 0
    first = preprocess.decode(jpeg(scene(1)), "x").pixels
    second = preprocess.decode(jpeg(scene(2)), "x").pixels
    assert np.shares_memory(first, second)


def test_view_is_what_the_network_sees() -> None:
    picture = scene(1, 100, 200)
    assert make(Resize(64)).view(picture).shape == (100, 100, 3)
    assert make(Resize(64, "pad")).view(picture).shape == (200, 200, 3)
    assert make(Resize(64, "squash")).view(picture).shape == (100, 200, 3)
    assert make(Window(100, 100), Resize(64)).view(picture[..., 0]).shape == (100, 100, 3)
