from __future__ import annotations

from pathlib import Path

import pytest

from train.config import DataConfig
from train.data import load_data
from train.errors import DataError


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data"):
        load_data(tmp_path / "none", DataConfig())


def test_a_file_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a form of data"):
        load_data(path, DataConfig())


def test_another_table_name_may_be_set(table_data: Path) -> None:
    (table_data / "labels.csv").rename(table_data / "metadata.csv")
    assert len(load_data(table_data, DataConfig(table="metadata.csv")).samples) == 60
