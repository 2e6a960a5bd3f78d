"""Retention, quota and room: what is deleted, and when the clock is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fieldlens.runtime.station.clock import WallClock, stamp
from fieldlens.runtime.station.housekeeping import Housekeeping, KeepingRules
from fieldlens.runtime.station.records.database import RecordsError
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import made

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@dataclass
class Hands:
    """A clock whose hands a test moves: ``pass_time`` both, ``jump`` the wall's alone."""

    wall: datetime = NOW
    seconds: float = 1000.0

    def pass_time(self, by: timedelta) -> None:
        self.wall += by
        self.seconds += by.total_seconds()

    def jump(self, by: timedelta) -> None:
        self.wall += by

    @property
    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall, lambda: self.seconds)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "data")
    for days in (1, 20, 40, 400):
        records.add(made(f"D{days}", stamp(NOW - timedelta(days=days))))
    yield records
    records.close()


def keeper(records: Records, hands: Hands, **rules: object) -> Housekeeping:
    """Without its thread, which would tidy by itself."""
    return Housekeeping(records, KeepingRules(**rules), hands.clock, start=False)  # type: ignore[arg-type]


def test_what_is_older_is_deleted(records: Records) -> None:
    assert keeper(records, Hands(), days=30).tidy() == 2
    assert records.count() == 2


def test_without_a_retention_nothing_is(records: Records) -> None:
    assert keeper(records, Hands()).tidy() == 0
    assert records.count() == 4


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-3), timedelta(hours=1)])
def test_a_jump_while_it_runs_deletes_nothing_until_somebody_has_seen_it(records: Records, jump: timedelta) -> None:
    hands = Hands()
    house = keeper(records, hands, days=500)
    house.tidy()
    hands.jump(jump)
    for _ in range(3):
        hands.pass_time(timedelta(hours=1))
        assert house.tidy() == 0
    assert records.count() == 4
    (banner,) = records.banners()
    assert "jumped" in banner.message
    records.seen(banner.number, "Ada", stamp(hands.wall))
    hands.pass_time(timedelta(hours=1))
    assert house.tidy() == (1 if jump > timedelta(days=100) else 0), "the clock is right: somebody said so"


@pytest.mark.parametrize(
    ("wall", "words"),
    [(NOW - timedelta(days=2), "before the last time"), (NOW + timedelta(days=60), "days after"),
     (datetime(1970, 1, 1, tzinfo=UTC), "cannot be")],
)  # fmt: skip
def test_a_doubtful_clock_at_the_start_deletes_nothing(records: Records, wall: datetime, words: str) -> None:
    keeper(records, Hands(), days=500).tidy()
    hands = Hands(wall)
    house = keeper(records, hands, days=1)
    assert house.tidy() == 0
    hands.pass_time(timedelta(hours=1))
    assert house.tidy() == 0
    assert records.count() == 4
    assert any(words in banner.message for banner in records.banners())


def test_a_fortnight_in_a_cupboard_is_no_jump(records: Records) -> None:
    keeper(records, Hands(), days=500).tidy()
    assert keeper(records, Hands(NOW + timedelta(days=14)), days=30).tidy() == 3
    assert records.banners() == ()


def test_a_full_quota_ends_the_images_and_not_the_results(records: Records) -> None:
    hands = Hands()
    house = keeper(records, hands, images=True, quota_bytes=10)
    assert house.check_room()
    records.add(made(), [("view", b"x" * 11)])
    hands.pass_time(timedelta(minutes=1))
    assert not house.check_room()
    assert [banner.kind for banner in records.banners()] == ["image-quota"]


def test_a_full_disk_ends_the_results(records: Records) -> None:
    house = keeper(records, Hands(), reserve_bytes=1 << 60)
    with pytest.raises(RecordsError, match="MB left"):
        house.check_room()
    assert house.full
