"""Which images INT8 is calibrated with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fieldlens.convert.graph.contract import ConversionError
from fieldlens.convert.quantization.calibrate import check_images, choose, ids_hash, too_few
from fieldlens.train.data.samples import Sample
from tests.convert.conftest import Pixels, real_like


def clinic(site: str, label: int, count: int) -> list[Sample]:
    return [Sample(f"{site}/{label}/{index:04d}", label, site=site) for index in range(count)]


SAMPLES = [*clinic("north", 0, 300), *clinic("north", 1, 40), *clinic("south", 0, 12), *clinic("south", 1, 80)]
ALL_TRAIN = {sample.id: "train" for sample in SAMPLES}


def test_classes_and_sites_take_turns() -> None:
    chosen = choose(SAMPLES, ALL_TRAIN, 100)
    counts = dict.fromkeys(("north/0", "north/1", "south/0", "south/1"), 0)
    for sample in chosen:
        counts[sample.id.rpartition("/")[0]] += 1
    assert counts["south/0"] == 12, "a small stratum is taken whole"
    assert max(counts.values()) - min(v for k, v in counts.items() if k != "south/0") <= 1


def test_training_images_only() -> None:
    parts = {sample.id: ("train", "val", "test")[index % 3] for index, sample in enumerate(SAMPLES)}
    assert {parts[sample.id] for sample in choose(SAMPLES, parts, 512)} == {"train"}


def test_the_same_every_time_and_in_any_order() -> None:
    one, other = choose(SAMPLES, ALL_TRAIN, 64), choose(SAMPLES[::-1], ALL_TRAIN, 64)
    assert one == other
    assert ids_hash(one) == ids_hash(other) != ids_hash(one[:-1])


def test_a_number_that_no_calibration_can_do_with_is_refused() -> None:
    with pytest.raises(ConversionError, match="--calibration-images 31"):
        choose(SAMPLES, ALL_TRAIN, 31)


def grouped(people: int, count: int) -> list[Sample]:
    return [Sample(f"{index}.png", 0, f"P{index % people}") for index in range(count)]


@pytest.mark.parametrize(
    ("samples", "different", "why"),
    [
        (grouped(31, 60), 60, "31 groups (patients)"),
        (grouped(32, 60), 60, ""),
        (SAMPLES[:31], 31, "has 31 images"),
        (SAMPLES[:60], 31, "31 different images"),
        (SAMPLES[:32], 32, ""),
    ],
)
def test_people_are_counted_not_their_images(samples: list[Sample], different: int, why: str) -> None:
    tensors = [np.full((8, 8, 3), min(index, different - 1), np.uint8) for index in range(len(samples))]
    found = too_few(samples, tensors)
    assert (why in found) if why else found == ""


def noise(side: int, enlarged: int = 1) -> list[Pixels]:
    """40 images of random numbers, each of them ``enlarged`` times as wide."""
    draw = np.random.default_rng(0).integers(0, 256, (40, side // enlarged, side // enlarged, 3)).astype(np.uint8)
    return [np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8) for image in draw]


def blank() -> list[Pixels]:
    return [np.full((64, 64, 3), value, np.uint8) for value in range(40)]


@pytest.mark.parametrize(
    "images", [noise(64), noise(224), noise(224, 4), noise(32), blank()], ids=["64", "224", "enlarged", "32", "blank"]
)
def test_random_data_is_refused(images: list[Pixels]) -> None:
    with pytest.raises(ConversionError, match="noise or blank, not images"):
        check_images(images)


@pytest.mark.parametrize("side", [32, 64, 224])
def test_images_are_taken(side: int) -> None:
    check_images(list(real_like(40, side)))


def test_one_image_again_and_again_is_one_image() -> None:
    with pytest.raises(ConversionError, match="1 different calibration images"):
        check_images([*real_like(1)] * 40)
