"""Output for people."""

from __future__ import annotations

import pytest

from fieldlens.convert.table import step, table


def test_columns_are_aligned() -> None:
    assert table(["a", "number"], [["long name", "1"], ["b", "22"]]).splitlines() == [
        "a          number",
        "long name       1",
        "b              22",
    ]


def test_a_step_says_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    with step("read", "the data"):
        pass
    assert capsys.readouterr().out == "read        the data … 0.0 s\n"


def test_a_step_that_fails_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), step("read", "the data"):
        raise ValueError("no")
    assert capsys.readouterr().out == "read        the data … stopped\n"
