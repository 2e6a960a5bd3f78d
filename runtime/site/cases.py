"""The clinic's labelled cases: a folder of images with ``labels.csv`` (columns image, label and, if any, group)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.tables.cells import alike, is_missing, said
from fieldlens.runtime.tables.csv_rows import Row, Table, read_csv
from fieldlens.runtime.tables.image_index import ImageIndex
from fieldlens.runtime.tables.private_texts import PrivateTexts
from fieldlens.runtime.tables.problems import Problem, all_at_once

TABLE = "labels.csv"
_BLOCK = 1 << 20
_NAMED = 8
"""Classes that a hint lists."""
_YES, _NO = ("1", "yes", "true", "positive"), ("0", "no", "false", "negative", "no finding")


@dataclass(frozen=True)
class Case:
    """One image of the clinic; ``group``: its patient, or the image itself."""

    path: Path
    positive: bool
    group: str


def read_cases(folder: Path, manifest: Manifest) -> list[Case]:
    """Raises DataError with all that is wrong, KitError for a bundle without a decision or cases of one side only."""
    if manifest.decision is None:
        raise KitError(f"{manifest.name} has no decision, so no threshold", "name decision.positive in its recipe")
    if not (folder / TABLE).exists():
        hint = f"LOCAL is a folder of images with {TABLE} beside them: columns image, label and, if any, group"
        raise KitError(f"there is no {folder / TABLE}", hint)
    table = read_csv(folder / TABLE, ("image", "label"))
    absent = [column for column in ("image", "label") if column not in table.columns]
    advice = f"name the columns image and label; there are {', '.join(map(repr, table.columns)) or 'none'}"
    problems = [*table.problems, *(Problem(f"{table.name}: there is no column {name!r}", advice) for name in absent)]
    cases = [] if problems else _cases(table, folder, manifest, problems)
    if problems:
        raise all_at_once(table.name, PrivateTexts(folder).problems(problems))
    sick = sum(case.positive for case in cases)
    if not 0 < sick < len(cases):
        counts = f"{table.name} has {sick} cases with the finding and {len(cases) - sick} without"
        raise KitError(counts, "a threshold needs both kinds: add people with and without the finding")
    return cases


def _cases(table: Table, folder: Path, manifest: Manifest, problems: list[Problem]) -> list[Case]:
    """A case for each row that is right; what is wrong with the others is added to ``problems``."""
    index, cases, seen, contents = ImageIndex(folder), list[Case](), set[str](), dict[str, tuple[str, Case]]()
    for line, row in table.rows:
        found, positive = index.find(row["image"]), _positive(row, manifest)
        swallowed = table.swallowed(line, "image", lambda cell: isinstance(index.find(cell), str))
        if swallowed:
            problems.append(swallowed)
        elif isinstance(found, Problem):
            problems.append(Problem(f"{table.name} line {line}: {found.text}", found.hint))
        elif found in seen:
            problems.append(Problem(f"{table.name} line {line}: {row['image']!r} is named twice", "name it once"))
        elif positive is None:
            text = f"{table.name} line {line}: label {row['label']!r} is neither a class of the bundle nor 0 or 1"
            classes = ", ".join(manifest.class_ids[:_NAMED]) + (", …" if len(manifest.class_ids) > _NAMED else "")
            hint = f"write a class of the bundle ({classes}), or 1 for a finding and 0 for none"
            problems.append(Problem(text, hint))
        else:
            seen.add(found)
            group = said(row.get("group", ""))
            case = Case(folder / found, positive, found if is_missing(group) else group)
            first = contents.setdefault(_hash(case.path), (row["image"], case))
            if first[1].group != case.group or first[1].positive != case.positive:
                text = f"{table.name} line {line}: {row['image']!r} is the same image as {first[0]!r}"
                hint = "keep one of the two: counted as two people, they would prove too much"
                problems.append(Problem(text, hint))
            cases.append(case)
    return cases


def _hash(path: Path) -> str:
    """SHA-256 of the file; one that cannot be read is like no other, and is reported when it is to be answered."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
    except OSError:
        return str(path)
    return found.hexdigest()


def _positive(row: Row, manifest: Manifest) -> bool | None:
    """None for a word that is no class; several findings are parted by |."""
    assert manifest.decision is not None
    known = {alike(word): info.id for info in manifest.classes for word in (info.id, info.display)}
    words = [alike(word) for word in row["label"].split("|")]
    if all(word in known for word in words):
        return any(known[word] in manifest.decision.positive for word in words)
    if len(words) == 1 and words[0] in (*_YES, *_NO):
        return words[0] in _YES
    return None
