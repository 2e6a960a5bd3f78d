from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from fieldlens.train.data.duplicates import near_copies, near_duplicates
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import ArrayDataSet, Sample
from tests.train.conftest import Configure


def photograph(seed: int, side: int = 160) -> np.ndarray:
    """Blobs and lines of a seed's own: RGB uint8."""
    random = np.random.default_rng(seed)
    pixels = cv2.resize(
        random.integers(40, 200, (12, 12, 3), dtype=np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(6):
        x, y, radius = (int(value) for value in random.integers(0, side, 3))
        cv2.circle(pixels, (x, y), radius // 4 + 3, tuple(int(v) for v in random.integers(0, 255, 3)), -1)
    return np.asarray(pixels)


def written(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, pixels in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), pixels)
    return root


def test_the_same_image_in_another_file_size_or_light_is_found_across_parts_only(
    tmp_path: Path, configure: Configure
) -> None:
    pictures = {f"{'ab'[n % 2]}/{n}.png": photograph(n) for n in range(30)}
    again = cv2.resize(photograph(0), (110, 110), interpolation=cv2.INTER_AREA)
    brighter = np.clip(photograph(1) * 0.8 + 20, 0, 255).astype(np.uint8)
    root = written(tmp_path, {**pictures, "a/again.jpg": again, "b/brighter.png": brighter})
    data = load_data(root, configure().data)
    parts = {sample.id: "train" for sample in data.samples}
    assert near_duplicates(data, parts) == []
    parts |= {"a/again.jpg": "test", "b/brighter.png": "val"}
    found = {(pair.first, pair.second, pair.parts) for pair in near_duplicates(data, parts)}
    assert found == {("a/0.png", "a/again.jpg", ("train", "test")), ("b/1.png", "b/brighter.png", ("train", "val"))}


def test_images_of_one_kind_are_no_duplicates_and_unreadable_ones_no_trouble(tmp_path: Path) -> None:
    from fieldlens.train.config import DataConfig
    from tests.train.ct_heads import MEDIUM, make_heads

    root = make_heads(tmp_path / "heads", 40, MEDIUM)
    data = load_data(root, DataConfig(image_column="id", label_column="hemorrhage"))
    (root / data.samples[3].id).write_bytes(b"broken")
    parts = {sample.id: ("train", "test")[index % 2] for index, sample in enumerate(data.samples)}
    assert near_duplicates(data, parts) == []


def test_thousands_are_compared_in_seconds() -> None:
    count = 4000
    random = np.random.default_rng(0)
    images = {str(n): random.integers(0, 255, (16, 16), dtype=np.uint8) for n in range(count)}
    images["7"] = images[str(count - 1)]
    samples = tuple(Sample(name, int(name) % 2) for name in images)
    data = ArrayDataSet("many", ("a", "b"), samples, images)
    began = time.process_time()
    pairs = near_duplicates(data, {name: "train" if int(name) < count // 2 else "test" for name in images})
    assert [(pair.first, pair.second) for pair in pairs] == [("7", str(count - 1))]
    assert time.process_time() - began < 10


def test_copies_are_found_in_another_set_whether_it_has_files_or_arrays(tmp_path: Path, configure: Configure) -> None:
    pictures = {f"{'ab'[n % 2]}/{n}.png": photograph(n) for n in range(12)}
    files = load_data(written(tmp_path, pictures), configure().data)
    arrays = {f"train/{n:05d}": photograph(n)[..., ::-1].copy() for n in range(8, 16)}
    other = ArrayDataSet("other", ("any",), tuple(Sample(name, 0) for name in arrays), arrays)
    found = {(pair.first, pair.second) for pair in near_copies(other, files)}
    assert found == {(f"train/{n:05d}", f"{'ab'[n % 2]}/{n}.png") for n in range(8, 12)}
