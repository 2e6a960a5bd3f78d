"""Arrays of a bundle: what NumPy writes is read, and nothing else."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.files.arrays import ArraysError, read_npz
from tests.runtime.bundle_arrays import npy, npz
from tests.runtime.bundle_damage import spoil

_WANTED = {"a": (2, 3)}


def saved(arrays: dict[str, Any], compressed: bool = False) -> bytes:
    made = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(made, **arrays)
    return made.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_writes_is_read(compressed: bool, kind: type, order: Any) -> None:
    value: Any = np.array([[1, 2, 3], [4, 5, 6]], kind, order=order)
    data = saved({"a": value, "other": np.array([{}], object), "scalar": kind(2.5)}, compressed)
    found = read_npz(data, {"a": (2, None), "scalar": ()}, 100)
    assert found["a"].dtype == kind
    np.testing.assert_array_equal(found["a"], value)
    assert found["scalar"] == 2.5


def test_versions_of_the_header() -> None:
    body = np.arange(6, dtype=np.float32).tobytes()
    for version in (b"\x01\x00", b"\x02\x00"):
        data = npz([("a.npy", npy("'<f4'", "(2, 3)", body, version=version))])
        assert read_npz(data, _WANTED, 100)["a"].ravel().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved({"a": np.zeros((3, 2))}), r"shape \(3, 2\), not \(2, 3\)"),
        (saved({"a": np.zeros((2, 3), int)}), "not an array of float32"),
        (saved({"a": np.zeros((2, 3), ">f4")}), "not an array of float32"),
        (saved({"a": np.array([[1, 2, np.nan]] * 2)}), "not finite"),
        (saved({"b": np.zeros((2, 3))}), "no array 'a'"),
        (saved({"a": np.zeros((2, 300))}), r"4928 bytes; 100 are allowed"),
        (saved({"a": np.zeros((10**4, 10**3))}, True), "80000128 bytes; 100 are allowed"),
        (saved({f"a{number}": np.zeros(1) for number in range(17)}), "17 arrays"),
        (saved({"a": np.zeros((2, 3))}) + b"tail", "end record"),
        (b"", "end record"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_wanted_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ArraysError, match=words):
        read_npz(data, _WANTED, 100)


def test_an_array_twice() -> None:
    one = npy("'<f4'", "(2, 3)", bytes(24))
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = npz([("a.npy", one), ("a.npy", one)])
    with pytest.raises(ArraysError, match="twice"):
        read_npz(data, _WANTED, 100)


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_gives_the_right_values_or_an_error(compressed: bool) -> None:
    value = np.arange(6.0).reshape(2, 3)
    whole, refused = saved({"a": value}, compressed), 0
    for number in range(600):
        rng = random.Random(number)
        try:
            found = read_npz(
                spoil(whole, rng.choice(["bit", "cut", "zeros", "noise", "insert", "swap"]), rng), _WANTED, 99
            )
        except ArraysError:
            refused += 1
        else:
            np.testing.assert_array_equal(found["a"], value)
    assert refused > 400
