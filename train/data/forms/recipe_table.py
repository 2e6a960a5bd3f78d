"""A recipe that speaks of a table gets that table, or an error: folders are not guessed at in its place."""

from __future__ import annotations

from pathlib import Path

from fieldlens.train.config import DataConfig
from fieldlens.train.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_COLUMNS = ("image_column", "label_column", "group_column", "site_column", "split_column")
_OF_TABLES = (*_COLUMNS, "label_columns", "subgroup_columns", "split_files")


def refuse_without_table(root: Path, config: DataConfig) -> None:
    """Raises DataError where the recipe names a table, or what only a table has, and there is none."""
    default = DataConfig()
    named = [key for key in _OF_TABLES if getattr(config, key) and getattr(config, key) != getattr(default, key)]
    if config.ungrouped and "group_column" in named:
        named.remove("group_column")
    if config.table == default.table and not named:
        return
    why = f" (its data.{named[0]} needs one)" if config.table == default.table else ""
    others = tables_in(root)
    hint = f"it has {', '.join(others[:3])}: --set data.table={others[0]!r}" if others else "copy it beside the images"
    raise DataError(f"{root.name}: the recipe's table {config.table} is not here{why}", hint)


def tables_in(root: Path) -> list[str]:
    """Names of files beside the folders that may be tables."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_file())
    except OSError:
        return []
    return [name for name in names if name.lower().endswith((".csv", ".tsv")) and not name.startswith(".")]
