from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fieldlens.train.data.samples import ArrayDataSet, Sample
from fieldlens.train.errors import DataError
from fieldlens.train.learning_curve.draws import KEPT_APART, OWN_VALIDATION, TEST, DrawPlan, in_order, plan
from tests.train.conftest import make_config

PIXELS = np.zeros((4, 4), np.uint8)


def made(samples: Sequence[Sample], classes: tuple[str, ...] = ("well", "ill")) -> ArrayDataSet:
    return ArrayDataSet("made", classes, tuple(samples), dict.fromkeys([sample.id for sample in samples], PIXELS))


def patients(count: int, split: str | None = None, name: str = "p") -> list[Sample]:
    """Patients of one to five images, a third of them ill, a few with both kinds."""
    samples = []
    for patient in range(count):
        for shot in range(1 + patient % 5):
            label = int(patient % 3 == 0) if patient % 11 else shot % 2
            samples.append(Sample(f"{name}{patient}-{shot}", label, f"{name}{patient}", None, split))
    return samples


def drawn(found: DrawPlan, size: int, number: int) -> set[str]:
    (draw,) = [draw for draw in found.draws if (draw.size, draw.number) == (size, number)]
    return {key for key, part in draw.parts.items() if part in ("train", "val")}


def test_draws_are_whole_patients_in_the_pools_proportion_and_nested() -> None:
    data = made(patients(300))
    found = plan(data, make_config(), (60, 120, 240), 4, test=False, apart=0.25)
    by_id = {sample.id: sample for sample in data.samples}
    pool_share = np.mean([sample.label for sample in found.pool])
    for draw in found.draws:
        chosen = drawn(found, draw.size, draw.number)
        groups = {by_id[key].group for key in chosen}
        assert chosen == {sample.id for sample in found.pool if sample.group in groups}, "whole patients"
        assert abs(len(chosen) - draw.size) <= 2, "within half of the largest patient"
        assert draw.images == len(chosen)
        assert abs(np.mean([by_id[key].label for key in chosen]) - pool_share) < 0.1
        for group in groups:
            assert len({draw.parts[sample.id] for sample in data.samples if sample.group == group}) == 1
        assert not chosen & {sample.id for sample in found.judged}
    for number in (1, 2, 3, 4):
        assert drawn(found, 60, number) < drawn(found, 120, number) < drawn(found, 240, number)
    assert len({frozenset(drawn(found, 60, number)) for number in (1, 2, 3, 4)}) == 4


def test_every_image_is_drawn_about_equally_often() -> None:
    """Also those of large groups, and of a stratum of its own: a patient with both classes."""
    pool = [*patients(60), Sample("rare-0", 0, "rare"), Sample("rare-1", 1, "rare")]
    seen: Counter[str] = Counter()
    for number in range(400):
        count = 0
        for group in in_order(pool, str(number)):
            count += len(group)
            if count > len(pool) // 4:
                break
            seen.update(sample.id for sample in group)
    shares = np.array([seen[sample.id] / 400 for sample in pool])
    assert shares.min() > 0.15
    assert shares.max() < 0.35


def test_who_judges() -> None:
    config = make_config()
    plain = made(patients(200))
    apart = plan(plain, config, (50,), 1, test=False, apart=0.25)
    assert apart.kind == KEPT_APART
    tested = plan(plain, config, (50,), 1, test=True, apart=0.25)
    assert tested.kind == TEST
    never = {sample.id for sample in tested.judged}
    assert not never & {sample.id for sample in (*apart.judged, *apart.pool)}, "the test part is for --test alone"
    assert len(apart.judged) == pytest.approx(0.25 * (len(apart.judged) + len(apart.pool)), abs=4)
    own = made([*patients(80, "train", "a"), *patients(30, "val", "b"), *patients(30, "test", "c")])
    by_own = plan(own, config, (50,), 1, test=False, apart=0.25)
    assert by_own.kind == OWN_VALIDATION
    assert {sample.split for sample in by_own.judged} == {"val"}
    assert {sample.split for sample in by_own.pool} == {"train"}
    by_test = plan(own, config, (50,), 1, test=True, apart=0.25)
    assert {sample.split for sample in by_test.judged} == {"test"}
    assert {sample.split for sample in by_test.pool} == {"train", "val"}


@pytest.mark.parametrize(
    ("samples", "sizes", "words"),
    [
        (patients(60), (50, 5000), "5000 images cannot be drawn"),
        ([replace(sample, label=0) for sample in patients(60)], (50,), "'ill'"),
        (patients(60), (6,), "of 'ill' in a draw"),
        ([replace(s, group=f"g{s.label}{int(s.id[1:].split('-')[0]) % 5}") for s in patients(60)], (30,), "too few"),
    ],
)
def test_what_cannot_be_drawn(samples: list[Sample], sizes: tuple[int, ...], words: str) -> None:
    with pytest.raises(DataError) as caught:
        plan(made(samples), make_config(), sizes, 2, test=False, apart=0.25)
    assert words in caught.value.message
    assert caught.value.hint
