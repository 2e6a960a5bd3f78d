from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import DataConfig
from fieldlens.train.data.cache import Tensors, load_tensors
from fieldlens.train.data.load import load_data
from fieldlens.train.data.splits import split
from fieldlens.train.demo_data.photographs import CLASSES, make_demo_data, photograph, plan, with_orientation
from fieldlens.train.errors import DataError

IMAGES = 240


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    assert make_demo_data(folder, IMAGES, seed=4) == IMAGES
    return folder


def test_the_table_has_classes_subjects_and_sites(demo: Path) -> None:
    with (demo / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "group", "site"]
    assert {row["label"] for row in rows} == set(CLASSES)
    assert len({row["site"] for row in rows}) == 2
    groups = [row["group"] for row in rows]
    assert IMAGES / 6 <= len(set(groups)) <= IMAGES / 2
    assert all((demo / row["image"]).is_file() for row in rows)


def test_photographs_differ_in_size_and_some_are_turned(demo: Path) -> None:
    headers = [read_header(path.read_bytes(), path.name) for path in (demo / "images").iterdir()]
    assert len({(header.width, header.height) for header in headers}) >= 5
    turned = [header.orientation for header in headers if header.orientation != 1]
    assert 0.1 < len(turned) / IMAGES < 0.4
    assert len(set(turned)) >= 3


def test_a_turned_file_shows_the_same_upright_image() -> None:
    seed, preprocess, plain = 4, Preprocess((Orient(), Resize(512))), Preprocess((Resize(512),))
    pictures = plan(60, seed)
    turned = next(p for p in pictures if read_header(photograph(p, seed).jpeg, "x").orientation in (6, 8))
    data = photograph(turned, seed).jpeg
    header = read_header(data, "x")
    upright = preprocess.decode(data, "x").pixels
    assert upright.shape[:2] in {(h, w) for w, h in turned.site.sizes}
    assert upright.shape[:2] == (header.width, header.height)
    stored = plain.from_bytes(data, "x")
    assert not np.array_equal(stored, preprocess.from_bytes(data, "x"))


def test_orientation_segment_is_read_back() -> None:
    plain = photograph(plan(30, 0)[0], 0).jpeg
    bare = plain if read_header(plain, "x").orientation == 1 else plain[:2] + plain[2 + 36 :]
    for orientation in range(1, 9):
        assert read_header(with_orientation(bare, orientation), "x").orientation == orientation


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = plan(30, 1), plan(30, 1), plan(30, 2)
    assert photograph(first[7], 1) == photograph(again[7], 1)
    assert photograph(first[7], 1) != photograph(other[7], 2)


def test_a_finished_folder_is_reused(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_demo_data(demo, IMAGES, seed=4, reporter=Lines()) == 0
    assert "already there" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    make_demo_data(whole, 30)
    make_demo_data(broken, 30)
    (broken / "labels.csv").unlink()
    for name in ("00003", "00029"):
        (broken / f"images/{name}.jpg").unlink()
    (broken / "images/.00003.jpg.x.tmp").write_bytes(b"half")
    assert make_demo_data(broken, 30) == 2
    ours, theirs = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (whole, broken))
    assert ours == theirs


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="something else"):
        make_demo_data(tmp_path, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_other_parameters_are_refused(demo: Path) -> None:
    with pytest.raises(DataError, match="other parameters"):
        make_demo_data(demo, IMAGES, seed=5)


@pytest.mark.parametrize(("images", "seed"), [(0, 0), (29, 0), (30, -1)])
def test_impossible_counts_are_refused(tmp_path: Path, images: int, seed: int) -> None:
    with pytest.raises(ConfigError):
        make_demo_data(tmp_path / "d", images, seed)


def linear_accuracy(demo: Path) -> float:
    """Logistic regression on raw 16×16×3 pixels, judged on held-out subjects."""
    config = DataConfig(val_fraction=0.05, test_fraction=0.3)
    data = load_data(demo, config)
    parts = split(data, config)

    def part(name: str) -> Tensors:
        return load_tensors(data, [s for s in data.samples if parts[s.id] == name], (Orient(), Resize(16)), name)

    train, test = part("train"), part("test")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    model.fit(train.images.reshape(len(train), -1) / 255.0, train.labels)
    return float(model.score(test.images.reshape(len(test), -1) / 255.0, test.labels))


def test_a_linear_classifier_on_raw_pixels_is_of_little_use(demo: Path) -> None:
    assert linear_accuracy(demo) < 0.7


def test_every_mark_has_its_place_beside_the_images(demo: Path) -> None:
    """Dark, red or pale, a mark differs from the skin around it, and the mask says where."""
    pictures, preprocess = plan(IMAGES, 4), Preprocess((Orient(), Resize(96)))
    assert {p.stem for p in (demo / "masks").iterdir()} == {f"{p.number:05d}" for p in pictures if p.kind != "clear"}
    differences = []
    for picture in pictures[:60]:
        if picture.mask_path is None:
            continue
        decoded = preprocess.decode((demo / picture.path).read_bytes(), picture.path).pixels
        mask = cv2.imread(str(demo / picture.mask_path), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        assert set(np.unique(mask)) == {0, 255}
        inside = cv2.resize(mask, decoded.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        ring = (cv2.dilate(inside.astype(np.uint8), np.ones((81, 81), np.uint8)) > 0) & ~inside
        differences.append(np.abs(decoded[inside].mean(0) - decoded[ring].mean(0)).max())
    assert np.median(differences) > 25


def test_a_folder_of_before_gets_its_masks(tmp_path: Path) -> None:
    make_demo_data(tmp_path / "d", 30)
    image = next((tmp_path / "d/images").iterdir())
    before = image.read_bytes()
    for path in (tmp_path / "d/masks").iterdir():
        path.unlink()
    assert make_demo_data(tmp_path / "d", 30) == sum(p.kind != "clear" for p in plan(30, 0))
    assert image.read_bytes() == before
