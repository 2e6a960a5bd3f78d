"""Which columns of a table mean what."""

from __future__ import annotations

from dataclasses import dataclass

from fieldlens.runtime.fields import nearest
from fieldlens.runtime.tables.csv_rows import Table
from fieldlens.train.config import DataConfig
from fieldlens.train.data.labels import LabelReader
from fieldlens.train.errors import DataError, all_at_once

_SET = "set data.image_column, data.label_column, … in the recipe or with --set"


@dataclass(frozen=True)
class Columns:
    """Names of columns; None: the table has none."""

    image: str
    labels: tuple[str, ...]
    group: str | None
    site: str | None
    split: str | None
    subgroups: tuple[str, ...]

    @property
    def used(self) -> tuple[str, ...]:
        """All columns whose cells the kit reads."""
        return (self.image, *self.labels, *filter(None, (self.group, self.site, self.split)), *self.subgroups)


def columns_of(table: Table, config: DataConfig, reading: LabelReader) -> Columns:
    """Raises DataError for columns that the recipe needs and the table lacks, all of them at once."""
    have = table.columns
    labels = config.label_columns or (config.label_column,)
    named = len(labels) == 1 and config.label_column != "label"
    if named and labels[0] not in have and len(have) == 2 and config.image_column in have:
        labels = tuple(name for name in have if name != config.image_column)
        reading.notes.append(f"{table.name} has two columns: {labels[0]!r} is taken for {config.label_column!r}")
    optional = {"group": config.group_column, "site": config.site_column, "split": config.split_column}
    if config.ungrouped:
        del optional["group"]
    missing = [name for name in (config.image_column, *labels) if name not in have]
    # Under its default name an optional column may be absent; one that the recipe names must be there.
    missing += [name for kind, name in optional.items() if name not in ("", kind) and name not in have]
    if missing:
        raise _lacking(table, missing, config)
    absent = [name for name in config.subgroup_columns if name not in have]
    if absent:
        reading.notes.append(f"{table.name} has no column {', '.join(absent)}: no figures for these subgroups")
    known = {kind: name for kind, name in optional.items() if name and name in have}
    return Columns(
        config.image_column, labels, known.get("group"), known.get("site"), known.get("split"),
        tuple(name for name in config.subgroup_columns if name in have),
    )  # fmt: skip


def _lacking(table: Table, missing: list[str], config: DataConfig) -> DataError:
    """The columns that are missing; where there is not even a header, what else is wrong with the file."""
    have = table.columns
    if not have and table.problems:
        return all_at_once(table.name, table.problems)
    hint = f"{nearest(missing[0], have)}; {_SET}"
    if config.group_column in missing:
        hint = f"--ungrouped spreads single images all the same, and the report says so; {hint}"
    reported = ", ".join(map(repr, missing))
    return DataError(f"{table.name} has no column {reported} (it has: {', '.join(have) or 'nothing'})", hint)
