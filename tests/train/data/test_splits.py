from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import ArrayDataSet, Sample, class_counts
from fieldlens.train.data.splits import assign, split, split_hash
from fieldlens.train.errors import DataError


def made(samples: list[Sample], classes: tuple[str, ...] = ("a", "b")) -> ArrayDataSet:
    return ArrayDataSet("made", classes, tuple(samples), {s.id: np.zeros((2, 2), np.uint8) for s in samples})


def grouped(subjects: int = 60, seed: int = 0) -> list[Sample]:
    """Subjects of 1 to 9 images; a third of them has class 1."""
    random = np.random.default_rng(seed)
    return [
        Sample(f"{subject}-{shot}", int(subject % 3 == 0), f"s{subject}")
        for subject in range(subjects)
        for shot in range(int(random.integers(1, 10)))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_torn_and_every_class_keeps_its_share(seed: int) -> None:
    samples = grouped(seed=seed)
    parts = split(made(samples), DataConfig(split_seed=seed, val_fraction=0.2, test_fraction=0.2))
    sides = {(sample.group, parts[sample.id]) for sample in samples}
    assert len(sides) == 60
    for label in (0, 1):
        ours = [parts[sample.id] for sample in samples if sample.label == label]
        for part, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert ours.count(part) / len(ours) == pytest.approx(share, abs=0.05)


def test_ungrouped_samples_are_stratified_almost_exactly() -> None:
    samples = [Sample(str(n), int(n % 10 == 0)) for n in range(1000)]
    parts = split(made(samples), DataConfig())
    positives = [parts[s.id] for s in samples if s.label]
    assert [positives.count(p) for p in ("train", "val", "test")] == [70, 15, 15]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    samples = grouped()
    first, again = split(made(samples), DataConfig()), split(made(samples[::-1]), DataConfig())
    assert split_hash(first) == split_hash(again)
    assert split_hash(first) != split_hash(split(made(samples), DataConfig(split_seed=1)))


def test_the_assignment_is_pinned() -> None:
    """A converter re-derives the split years later: a change here breaks every run that is out there."""
    samples = [Sample(f"{s}-{shot}", s % 3 // 2, f"s{s}") for s in range(60) for shot in range(1 + 7 * s % 9)]
    assert (
        split_hash(split(made(samples), DataConfig()))
        == "408975ce77a3c8ebe5d068b6857a3199b1f91356518b10ef13d50010dd7108fb"
    )


def test_the_datas_own_split_wins(npz_data: Path) -> None:
    data = load_data(npz_data, DataConfig())
    assert split(data, DataConfig(split_seed=9)) == {sample.id: sample.id.split("/")[0] for sample in data.samples}


def test_a_missing_val_is_taken_from_train() -> None:
    samples = [Sample(f"{n}", n % 2, f"g{n // 4}", None, "test" if n >= 80 else "train") for n in range(100)]
    parts = split(made(samples), DataConfig(val_fraction=0.25))
    assert [list(parts.values()).count(p) for p in ("train", "val", "test")] == [60, 20, 20]


def test_a_group_on_two_sides_of_an_own_split_is_refused() -> None:
    samples = [Sample(f"{n}", n % 2, "same", None, ("train", "val", "test")[n % 3]) for n in range(12)]
    with pytest.raises(DataError, match="two sides"):
        split(made(samples), DataConfig())


def test_a_half_filled_split_column_is_refused() -> None:
    samples = [Sample("1", 0, split="train"), Sample("2", 1, split="val"), Sample("3", 1)]
    with pytest.raises(DataError, match="1 samples have no split"):
        split(made(samples), DataConfig())


def test_too_few_groups_of_a_class_are_told() -> None:
    samples = [Sample(f"{n}", 0, f"g{n}") for n in range(30)] + [Sample(f"p{n}", 1, f"only{n % 2}") for n in range(9)]
    with pytest.raises(DataError, match="no image of 'b' in"):
        split(made(samples), DataConfig())


def test_no_test_part_if_none_is_wanted() -> None:
    parts = split(made(grouped()), DataConfig(test_fraction=0.0))
    assert set(parts.values()) == {"train", "val"}


def test_assign_serves_folds_as_well() -> None:
    samples = grouped(90)
    folds = assign(samples, {str(fold): 0.2 for fold in range(5)}, seed=0)
    sizes = [list(folds.values()).count(str(fold)) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 12
    assert sum(sizes) == len(samples)


def test_findings_keep_their_share_rare_ones_too_and_no_patient_is_torn() -> None:
    random = np.random.default_rng(0)
    samples = [
        Sample(f"{patient}-{shot}", tuple(int(x) for x in random.random(3) < (0.4, 0.1, 0.02)), f"p{patient}")
        for patient in range(400)
        for shot in range(1 + patient % 3)
    ]
    data = made(samples, ("often", "some", "rare"))
    parts = split(data, DataConfig(task="multilabel", val_fraction=0.2, test_fraction=0.2))
    assert len({(sample.group, parts[sample.id]) for sample in samples}) == 400
    total = class_counts(samples, data.classes)
    for part, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        counts = class_counts([s for s in samples if parts[s.id] == part], data.classes)
        assert counts / total == pytest.approx(share, abs=0.07)


def test_a_finding_that_nobody_in_a_part_has_or_lacks_is_told() -> None:
    samples = [Sample(str(n), (1, int(n == 0), n % 2), split=("train", "val")[n // 10]) for n in range(20)]
    with pytest.raises(DataError) as caught:
        split(made(samples, ("all", "one", "half")), DataConfig(task="multilabel"))
    for reported in ("class 'one' has 1 image", "anything but 'all' in train", "anything but 'all' in val"):
        assert reported in caught.value.message


@pytest.mark.parametrize(
    ("labels", "reported"),
    [
        (["benign"] * 9 + ["malignant"] * 9 + ["begnin"], "class 'begnin' has 1 image: a typo of 'benign'?"),
        (
            ["benign"] * 9 + ["Benign "] * 9 + ["x"] * 9,
            "classes 'Benign ' and 'benign' differ in case, spaces",
        ),
    ],
)
def test_classes_that_are_perhaps_none(labels: list[str], reported: str) -> None:
    classes = tuple(sorted(set(labels)))
    samples = [Sample(str(n), classes.index(label)) for n, label in enumerate(labels)]
    with pytest.raises(DataError, match=re.escape(reported)):
        split(made(samples, classes), DataConfig())


def test_a_class_of_one_group_is_told() -> None:
    samples = [Sample(str(n), n % 2, "one" if n % 2 else f"g{n}") for n in range(20)]
    with pytest.raises(DataError, match="class 'b' has 10 images, all of one group"):
        split(made(samples), DataConfig())
