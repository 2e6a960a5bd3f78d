"""Which folders are parts, which are classes, and which lie above them: read off, or refused with both readings.

A folder that holds no image at any depth counts as empty. Nothing is chosen between two readings: the parts of a public
set taken for its classes make a network that learns who copied the files.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from fieldlens.runtime.tables.cells import said
from fieldlens.train.data.part_names import looks_like_part, only_fillers, part_named
from fieldlens.train.errors import DataError

_NAME = "name the classes in data.classes (or data.labels) of the recipe, or rename the folders"
_MOST_NAMED = 6


@dataclass
class Tree:
    """A folder: images directly in it, and its subfolders. Names as on the disk."""

    images: list[str] = field(default_factory=list)
    folders: dict[str, Tree] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Images at any depth."""
        return len(self.images) + sum(tree.count for tree in self.folders.values())

    def filled(self) -> dict[str, Tree]:
        """Subfolders with images at any depth."""
        return {name: tree for name, tree in self.folders.items() if tree.count}

    def below(self, prefix: str = "") -> Iterable[str]:
        """Paths of all images, relative to this folder."""
        yield from (f"{prefix}{name}" for name in self.images)
        for name, tree in self.folders.items():
            yield from tree.below(f"{prefix}{name}/")


@dataclass(frozen=True)
class ClassFolder:
    """A folder of one class: its path below the root, its class as written, and its part where the folders say it."""

    path: str
    word: str
    part: str | None
    tree: Tree


def tree_of(paths: Iterable[str], folders: Iterable[str] = ()) -> Tree:
    """The tree of image paths (posix, relative) and of ``folders``, which may be empty."""
    root = Tree()
    for folder in folders:
        _place(root, folder.split("/"))
    for path in paths:
        *above, name = path.split("/")
        _place(root, above).images.append(name)
    return root


def _place(tree: Tree, parts: Iterable[str]) -> Tree:
    for part in parts:
        tree = tree.folders.setdefault(part, Tree())
    return tree


def class_folders(name: str, root: Tree, known: Container[str], notes: list[str]) -> list[ClassFolder]:
    """The folders of ``root`` as classes. ``known``: what the recipe calls labels and classes.

    ``name``: the data's, for messages. Adds to the notes what was odd. Raises DataError: two readings.
    """
    prefix, tree = _unwrapped(root, known, notes)
    filled = tree.filled()
    _refuse_copies(name, filled)
    classes_named = any(said(folder) in known for folder in filled)
    parts = {folder: part_named(folder) for folder in filled}
    if not classes_named and filled and all(parts.values()) and any(inner.filled() for inner in filled.values()):
        if empty := [f"{prefix}{folder}" for folder in tree.folders if folder not in filled]:
            notes.append(f"no images in {_some(empty)}: left out")
        return [
            found
            for folder, part in parts.items()
            for found in _in_part(name, f"{prefix}{folder}", filled[folder], part, known, notes)
        ]
    if not classes_named:
        _refuse_mixture(name, filled, known)
    if below := _parts_below(filled):
        return [
            ClassFolder(f"{prefix}{folder}/{one}", folder, part, tree.folders[folder].folders[one])
            for folder, inside in below.items()
            for one, part in inside.items()
        ]
    if not classes_named:
        _refuse_shared(name, filled, known)
    return [ClassFolder(f"{prefix}{folder}", folder, None, child) for folder, child in tree.folders.items()]


def _unwrapped(tree: Tree, known: Container[str], notes: list[str]) -> tuple[str, Tree]:
    """Past folders that hold nothing but one folder: archives unpack into a folder of their own."""
    prefix = ""
    while len(filled := tree.filled()) == 1 and not tree.images:
        folder, inner = next(iter(filled.items()))
        if said(folder) in known or not inner.filled() or part_named(folder):
            break
        prefix, tree = f"{prefix}{folder}/", inner
    if prefix:
        notes.append(f"read from {prefix}, the only folder with images")
        if tree.images:
            example = f"{prefix}{tree.images[0]}"
            notes.append(f"{len(tree.images)} images lie in no class folder (for example {example}): left out")
    return prefix, tree


def _in_part(
    name: str, path: str, tree: Tree, part: str | None, known: Container[str], notes: list[str]
) -> list[ClassFolder]:
    """``train/CLASS/…`` (or ``train/images/CLASS``, ``train/train/CLASS``). Images in no class have no label."""
    while len(tree.filled()) == 1 and not tree.images:
        inner = next(iter(tree.filled()))
        if said(inner) in known or not (part_named(inner) == part or only_fillers(inner)):
            break
        path, tree = f"{path}/{inner}", tree.folders[inner]
    if tree.images:
        text = f"{len(tree.images)} images of {path} lie in no class folder (for example {tree.images[0]})"
        notes.append(f"{text}: left out, they have no label")
    nested = [one for one in tree.filled() if part_named(one) and said(one) not in known]
    if nested:
        raise _two_readings(name, [f"{path}/{one}" for one in nested], "classes", "a copy of the set inside a part")
    return [ClassFolder(f"{path}/{one}", one, part, child) for one, child in tree.folders.items()]


def _parts_below(filled: Mapping[str, Tree]) -> dict[str, dict[str, str]]:
    """Class → its folders that are parts, where every class holds nothing but parts, and these hold images only."""
    found: dict[str, dict[str, str]] = {}
    for folder, tree in filled.items():
        inside = tree.filled()
        parts = {inner: part for inner in inside if (part := part_named(inner))}
        if tree.images or len(parts) < len(inside) or any(child.filled() for child in inside.values()):
            return {}
        found[folder] = parts
    return found if len({part for parts in found.values() for part in parts.values()}) > 1 else {}


def _refuse_mixture(name: str, filled: Mapping[str, Tree], known: Container[str]) -> None:
    """Raises DataError: some of the folders look like parts, or all do and hold no classes."""
    like = [folder for folder in filled if looks_like_part(folder) and said(folder) not in known]
    if like:
        others = [folder for folder in filled if folder not in like]
        beside = f", beside {_some(others)}" if others else ""
        raise _two_readings(name, like, "classes", f"parts of the set{beside}")


def _refuse_shared(name: str, filled: Mapping[str, Tree], known: Container[str]) -> None:
    """Raises DataError: the top folders hold the same folders, which may be the classes, or parts of the set."""
    seen: dict[str, list[str]] = {}
    for folder, tree in filled.items():
        for inner in tree.filled():
            seen.setdefault(said(inner), []).append(folder)
    shared = [inner for inner, above in seen.items() if len(above) > 1]
    if len(shared) > 1 and not any(inner in known for inner in seen):
        above = list(dict.fromkeys(folder for inner in shared for folder in seen[inner]))
        raise _two_readings(name, above, "classes", f"sites, patients or parts above the classes {_some(shared)}")
    nested = [folder for folder, tree in filled.items() if {*tree.filled()} & ({*filled} - {folder})]
    if nested:
        raise _two_readings(name, nested, "a class", "a copy of the set, or of a part of it, that holds its folders")


def _refuse_copies(name: str, filled: Mapping[str, Tree]) -> None:
    """Raises DataError: a folder that holds its siblings again, with the same files."""
    for folder, tree in filled.items():
        for inner, child in tree.filled().items():
            sibling = filled.get(inner)
            if sibling is not None and inner != folder and set(child.below()) == set(sibling.below()):
                text = f"{name}: {folder}/{inner} and {inner} hold files of the same names: one of them is a copy"
                raise DataError(text, f"remove one, or give --data {folder}")


def _two_readings(name: str, folders: Iterable[str], one: str, other: str) -> DataError:
    text = f"{name}: the folders {_some(list(folders))} may be {one}, or {other}"
    return DataError(text, f"{_NAME}: train, val and test are parts; or give one of the folders itself with --data")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
