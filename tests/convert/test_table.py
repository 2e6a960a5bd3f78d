"""Output for people."""

from __future__ import annotations

from fieldlens.convert.table import table


def test_columns_are_aligned() -> None:
    assert table(["a", "number"], [["long name", "1"], ["b", "22"]]).splitlines() == [
        "a          number",
        "long name       1",
        "b              22",
    ]
