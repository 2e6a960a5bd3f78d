"""Masks and boxes beside the data: found, turned and scaled as the image is, and read by nothing but evaluation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.data.marked_areas import MarkedAreas, areas_of, marked_areas
from fieldlens.train.data.samples import DataSet
from fieldlens.train.demo_data.photographs import with_orientation
from fieldlens.train.errors import DataError

STEPS = (Orient(), Resize(32))
WIDE, HIGH = 120, 80


def make(root: Path, names: tuple[str, ...] = ("a", "b")) -> Path:
    """Two wide photographs with a table."""
    (root / "images").mkdir(parents=True)
    for index, name in enumerate(names):
        image = np.random.default_rng(index).integers(0, 255, (HIGH, WIDE, 3), np.uint8)
        cv2.imwrite(str(root / f"images/{name}.jpg"), image)
    rows = "".join(f"images/{name}.jpg,{'ill' if index else 'well'}\n" for index, name in enumerate(names))
    (root / "labels.csv").write_text(f"image,label\n{rows}", encoding="utf-8")
    return root


def mask(path: Path, inside: int = 255, shape: tuple[int, int] = (HIGH, WIDE)) -> None:
    """The left half of the middle square, of an image in the proportions of ``shape``."""
    path.parent.mkdir(exist_ok=True)
    height, width = shape
    drawn = np.zeros(shape, np.uint8)
    drawn[:, (width - height) // 2 : width // 2] = inside
    cv2.imwrite(str(path), drawn)


def opened(root: Path, **config: object) -> tuple[DataSet, MarkedAreas]:
    settings = DataConfig(**config)  # type: ignore[arg-type]
    data = load_data(root, settings)
    found = marked_areas(data, settings)
    assert found is not None
    return data, found


def seen(root: Path, class_id: str = "ill", **config: object) -> list[float | None]:
    """Of each image, how much of the left and how little of the right half is marked."""
    data, found = opened(root, **config)
    areas = areas_of(found, data, data.samples, [class_id] * len(data.samples), STEPS, 20)
    return [None if area is None else float(area[:, :10].mean() - area[:, 10:].mean()) for area in areas]


@pytest.mark.parametrize("name", ["b.png", "images/b.png", "b_segmentation.png", "b.tif"])
def test_a_mask_is_found_by_its_images_name(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "set")
    (root / "masks/images").mkdir(parents=True)
    mask(root / "masks" / name)
    assert seen(root, mask_folder="masks") == [None, 1.0]


@pytest.mark.parametrize(("inside", "shape"), [(1, (HIGH, WIDE)), (255, (HIGH // 2, WIDE // 2)), (200, (240, 360))])
def test_a_mask_may_have_another_resolution_and_any_value(
    tmp_path: Path, inside: int, shape: tuple[int, int]
) -> None:  # fmt: skip
    root = make(tmp_path / "set")
    mask(root / "masks/b.png", inside, shape)
    assert seen(root, mask_folder="masks") == [None, 1.0]


def test_a_turned_photograph_has_an_upright_mask(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    upright = cv2.imread(str(root / "images/b.jpg"))
    assert upright is not None
    lying = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    path = root / "images/b.jpg"
    path.write_bytes(with_orientation(cv2.imencode(".jpg", lying)[1].tobytes(), 6))
    mask(root / "masks/b.png")
    assert seen(root, mask_folder="masks") == [None, 1.0]


def test_boxes_are_of_their_class(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    rows = f"images/b.jpg,ill,20,0,40,{HIGH}\nb.jpg,well,60,0,40,{HIGH}\nz.jpg,ill,0,0,5,5\n"
    (root / "boxes.csv").write_text(f"image,label,x,y,width,height\n{rows}", encoding="utf-8")
    assert seen(root, box_table="boxes.csv") == [None, 1.0]
    assert seen(root, "well", box_table="boxes.csv") == [None, -1.0]
    assert seen(root, box_table="boxes.csv", box_label_column="nobody") == [None, 0.0], "of any class"


def test_training_never_sees_them(tmp_path: Path) -> None:
    """The same samples and the same hash with and without; a folder of masks is no class, and no second ``b``."""
    root = make(tmp_path / "set")
    plain = load_data(root, DataConfig()).hash
    (root / "labels.csv").write_text("image,label\na,well\nb,ill\n", encoding="utf-8")
    mask(root / "masks/b.png")
    data, _ = opened(root, mask_folder="masks")
    assert (data.hash, len(data.samples)) == (plain, 2)
    folders = tmp_path / "folders"
    for index, name in enumerate(("ill", "well")):
        (folders / name).mkdir(parents=True)
        cv2.imwrite(str(folders / name / f"{name}.png"), np.full((40, 40, 3), 60 * index, np.uint8))
    mask(folders / "masks/ill.png", shape=(40, 40))
    data, found = opened(folders, mask_folder="masks")
    assert (data.classes, len(found)) == (("ill", "well"), 1)


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    mask(root / "masks/b.png", shape=(WIDE, HIGH))
    with pytest.raises(DataError, match="other proportions"):
        seen(root, mask_folder="masks")
    (root / "boxes.csv").write_text("image,x,y,width,height\nb.jpg,1,2,x,4\nb.jpg,1,2,0,4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2: 1, 2, x, 4 is no box(.|\n)*line 3: a box of 0 by 4"):
        seen(root, box_table="boxes.csv")
    with pytest.raises(DataError, match="has no column 'left'"):
        seen(root, box_table="boxes.csv", box_columns=("left", "y", "width", "height"))
    with pytest.raises(ConfigError, match="2 columns"):
        DataConfig(box_columns=("x", "y"))


def test_a_set_without_what_the_recipe_names_is_judged_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another set than the training's, by the training's recipe."""
    settings = DataConfig(mask_folder="masks", box_table="boxes.csv")
    assert marked_areas(load_data(make(tmp_path / "set"), settings), settings, Lines()) is None
    said = capsys.readouterr().out
    assert "set has no masks (data.mask_folder): its heat maps are not judged" in said
    assert "set has no boxes.csv" in said


def test_nothing_named_is_nothing_read(tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    assert marked_areas(load_data(root, DataConfig()), DataConfig()) is None
    empty = MarkedAreas()
    assert empty.of(load_data(root, DataConfig()), load_data(root, DataConfig()).samples[0], "ill",
                    Preprocess(STEPS), 8) is None  # fmt: skip
