"""Images of nobody."""

from __future__ import annotations

import numpy as np

from fieldlens.convert.synthetic import pictures
from tests.convert.conftest import SIZE, real_like


def test_they_look_like_the_set_and_like_none_of_it() -> None:
    training = real_like(48)
    made = list(pictures(list(training), 12))
    assert {(picture.shape, picture.dtype.name) for picture in made} == {((2 * SIZE, 2 * SIZE, 3), "uint8")}
    small = np.stack([picture[::2, ::2] for picture in made]).astype(float)
    assert np.abs(small.mean((0, 1, 2)) - training.mean((0, 1, 2))).max() < 25
    assert small.std() > 5
    flat = training.reshape(48, -1).astype(float)
    for picture in small.reshape(12, -1):
        assert max(np.corrcoef(picture, other)[0, 1] for other in flat) < 0.9


def test_the_same_every_time() -> None:
    training = list(real_like(32))
    for one, other in zip(pictures(training, 3), pictures(training, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_flat_images_are_no_trouble() -> None:
    flat = [np.full((32, 32, 3), 90, np.uint8)] * 32
    assert [int(picture.mean()) for picture in pictures(flat, 2)] == [90, 90]
