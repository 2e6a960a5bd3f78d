from __future__ import annotations

import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.labels import Found, LabelReader, class_order


def reading(**words: str) -> LabelReader:
    return LabelReader({name: Found(tuple(filter(None, said.split("+")))) for name, said in words.items()})


def test_findings_become_marks_in_the_order_of_the_classes() -> None:
    config = DataConfig(task="multilabel", classes=("mass", "effusion"), labels={"M": "mass", "E": "effusion"})
    classes, samples = reading(a="E+M", b="E", c="").samples(config)
    assert classes == ("mass", "effusion")
    assert [sample.label for sample in samples] == [(1, 1), (0, 1), (0, 0)]


def test_several_words_for_one_class() -> None:
    classes, samples = reading(a="nv", b="mel", c="bkl").samples(
        DataConfig(labels={"nv": "benign", "bkl": "benign", "mel": "malignant"})
    )
    assert classes == ("benign", "malignant")
    assert [sample.label for sample in samples] == [0, 1, 0]


def test_all_unknown_labels_are_told_with_the_nearest_known() -> None:
    found = reading(a="benign", b="begnin", c="benign", d="other", e="other")
    found.samples(DataConfig(classes=("benign", "malignant")))
    reported = [problem.text for problem in found.problems]
    assert reported[0] == "unknown label 'begnin' of 1 images (for example b); did you mean 'benign'?"
    assert reported[1].startswith("unknown label 'other' of 2 images (for example d); known:")


def test_a_pattern_groups_by_the_path() -> None:
    found = LabelReader({"x/UC_patient_12_1.bmp": Found(("a",)), "x/UC_patient_3_9.bmp": Found(("b",))})
    _, samples = found.samples(DataConfig(group_pattern=r"patient_(\d+)"))
    assert [sample.group for sample in samples] == ["12", "3"]
    assert not found.problems


def test_a_pattern_that_fits_some_paths_only_is_a_problem_and_one_that_fits_none_a_note() -> None:
    found = LabelReader({"p1.png": Found(("a",)), "x.png": Found(("b",))})
    found.samples(DataConfig(group_pattern=r"p(\d)"))
    assert [problem.text for problem in found.problems] == ["x.png: data.group_pattern finds no patient in its path"]
    found = LabelReader({"y.png": Found(("a",)), "x.png": Found(("b",))})
    found.samples(DataConfig(group_pattern=r"p(\d)"))
    assert (found.problems, found.notes) == ([], ["no path fits data.group_pattern"])


def test_ungrouped_forgets_the_groups_and_says_so() -> None:
    found = LabelReader({"x": Found(("a",), group="1"), "y": Found(("b",), group="1")})
    _, samples = found.samples(DataConfig(ungrouped=True))
    assert {sample.group for sample in samples} == {None}
    assert "ungrouped, as asked" in found.notes[0]


def test_some_images_without_a_group_are_noted() -> None:
    found = LabelReader({"x": Found(("a",), group="1"), "y": Found(("b",))})
    found.samples(DataConfig())
    assert found.notes == [
        "1 images have no group while others do (for example y): each is taken for a group of its own"
    ]


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (DataConfig(), ("1", "2", "10")),
        (DataConfig(labels={"2": "b", "1": "a", "10": "a"}), ("b", "a")),
        (DataConfig(labels={"2": "b", "1": "a"}, classes=("a", "b")), ("a", "b")),
        (DataConfig(task="multilabel", label_columns=("z", "y")), ("z", "y")),
    ],
)
def test_the_order_of_the_logits(config: DataConfig, order: tuple[str, ...]) -> None:
    assert class_order(["10", "2", "1"], config) == order


def test_groups_that_look_like_one_are_noted() -> None:
    found = LabelReader({"x": Found(("a",), group="P 1"), "y": Found(("b",), group="p  1")})
    found.samples(DataConfig())
    assert found.notes == ["groups 'P 1' and 'p  1' differ in case or spaces only: taken for two people"]
