"""Where decoded pixels lie: the same pixels, but not where the decoder would write them past the cache."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from fieldlens.runtime.pixels.decode_buffer import beside_vectors
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize


@pytest.mark.parametrize("size", [1, 31, 32, 1000, 921_600])
def test_it_never_begins_at_a_vector(size: int) -> None:
    for _ in range(20):
        buffer = beside_vectors(size)
        assert (len(buffer), buffer.ctypes.data % 32) == (size, 16)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (641, 479), (64, 64)])
def test_pixels_are_the_same_wherever_they_lie(width: int, height: int) -> None:
    made = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    data = simplejpeg.encode_jpeg(made, 90)
    decoded = Preprocess((Resize(min(width, height)),)).decode(data, "made.jpg").pixels
    assert decoded.ctypes.data % 32 == 16
    assert np.array_equal(decoded, simplejpeg.decode_jpeg(data, "RGB"))
