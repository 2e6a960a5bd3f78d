"""A path that cannot be written is an error before any work, and a folder that is made is named."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.output.places import check_places


def test_a_missing_folder_is_made_for_its_owner_and_named(tmp_path: Path) -> None:
    (note,) = check_places([tmp_path / "missing/dir/x.jsonl", tmp_path / "r.csv"])
    assert note == f"the folder {tmp_path}/missing/dir was missing and has been made"
    assert stat.S_IMODE((tmp_path / "missing").stat().st_mode) & 0o077 == 0
    assert check_places([tmp_path / "missing/dir/x.jsonl"]) == []
    assert check_places([], [tmp_path / "maps"]) == [f"the folder {tmp_path}/maps was missing and has been made"]


@pytest.mark.parametrize("name", ["file/x.jsonl", "file/below/x.jsonl", "folder"])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        check_places([tmp_path / name])


def test_permissions_count_of_the_file_itself_where_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/dev/null`` may be written by everybody, and its folder by nobody."""
    (tmp_path / "there").write_text("")
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name == "there")
    assert check_places([tmp_path / "there"]) == []
    with pytest.raises(OutputError, match="Permission denied"):
        check_places([tmp_path / "new"])


def test_classify_says_so_before_it_opens_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/manifest.json").write_text("not opened")
    with pytest.raises(OutputError, match=r"file/x\.jsonl: cannot be written \(Not a directory"):
        main(["classify", str(tmp_path), "--bundle", str(tmp_path / "none"), "--json", str(tmp_path / "file/x.jsonl")])
    assert capsys.readouterr().out == ""
    assert sorted(os.listdir(tmp_path)) == ["file", "none"]  # noqa: PTH208
