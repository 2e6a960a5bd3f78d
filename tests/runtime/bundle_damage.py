"""Damaged bundles for the fuzzer: bytes, poisoned values, and the whole bundle that they are made from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.open import MANIFEST
from fieldlens.runtime.pixels.appearance import COLOURS, TEXTURES
from tests.runtime.conftest import build_bundle, seal, tiny_manifest

COMMANDS = ("info", "verify", "selftest", "classify")
MODEL, LIST, REFERENCE, OOD, IMAGE = (
    "model.fp32.onnx", "golden/golden.json", "golden/golden.npz", "ood.npz", "golden/003.jpg",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A damage done to a copy of the bundle. ``refused``: the commands that must end with 2; the others may accept
    the bundle, but then have to be right."""

    name: str
    damage: Callable[[Path], object]
    refused: tuple[str, ...] = ()


def whole_bundle(folder: Path) -> Path:
    """The tiny bundle with everything that a bundle may have: decision, quality gate with its model, distribution."""
    size = TEXTURES + COLOURS
    quality = {
        "limits": {"brightness": [5, 250], "sharpness": [1e-9, None], "appearance": [None, 1e6], "side": [32, None]},
        "bounds": {"brightness": [2, 254], "sharpness": [1e-9, None], "appearance": [None, 1e6], "side": [32, None]},
        "model": {
            "powers": [0.1] * TEXTURES, "offset": 0.5, "mean": [1.0] * size,
            "whitener": (np.eye(size) * 0.1).tolist(),
        },
    }  # fmt: skip
    ood = {"method": "mahalanobis", "threshold": 1e6, "quantile": 0.995, "fitted_on": {"train": 100}}
    manifest = dataclasses.replace(tiny_manifest(), quality=quality, ood=ood, evaluation={"fp32": {"auc": 0.9}})
    build_bundle(folder, manifest)
    np.savez_compressed(folder / OOD, means=np.zeros((2, 16), np.float32), precision=np.eye(16, dtype=np.float32))
    (folder / "card.md").write_text("# tiny v3\n")
    seal(folder, manifest)
    return folder


def rehash(folder: Path, *names: str) -> None:
    """Make the manifest agree with ``names`` as they are now: what somebody without the key can do to a bundle."""
    value = json.loads((folder / MANIFEST).read_text())
    for name in names:
        data = (folder / name).read_bytes()
        value["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (folder / MANIFEST).write_text(json.dumps(value))


def put(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, with its hash in the manifest."""
    (folder / name).write_bytes(data)
    rehash(folder, name)


# ---------------------------------------------------------------- bytes

_OPERATIONS = ("bit", "cut", "zeros", "swap", "noise", "insert", "empty")


def spoil(data: bytes, operation: str, rng: random.Random) -> bytes:
    """One damage to some bytes; always a change."""
    if operation == "empty":
        return b""
    size, place = max(1, min(512, len(data) // 8)), rng.randrange(len(data))
    if operation == "bit":
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    if operation == "cut":
        return data[:place]
    if operation == "insert":
        return data[:place] + rng.randbytes(size) + data[place:]
    first = data[place : place + size]
    if operation == "swap":
        other = rng.randrange(len(data) // 2)
        block = data[other : other + len(first)]
        changed = data[:place] + block.ljust(len(first), b"\1") + data[place + size :]
    else:
        changed = data[:place] + (bytes(len(first)) if operation == "zeros" else rng.randbytes(len(first)))
        changed += data[place + size :]
    return changed if changed != data else data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


def byte_cases(each: int) -> Iterator[Case]:
    """``each`` of every operation on every kind of file, with the hash as it was, and again with one that fits."""
    for name in (MANIFEST, MODEL, LIST, REFERENCE, OOD, IMAGE, "card.md"):
        for operation in _OPERATIONS:
            for number in range(1 if operation == "empty" else each):
                for fits in (False,) if name == MANIFEST else (False, True):
                    yield _byte_case(name, operation, number, fits)


def _byte_case(name: str, operation: str, number: int, fits: bool) -> Case:
    title = f"{name}: {operation} {number}{', hash fits' if fits else ''}"

    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(spoil(path.read_bytes(), operation, random.Random(zlib.crc32(title.encode()))))
        if fits:
            rehash(folder, name)

    return Case(title, damage, () if fits or name == MANIFEST else COMMANDS)


# ---------------------------------------------------------------- poisoned values

POISONS: dict[str, str] = {
    "null": "null",
    "true": "true",
    "empty text": '""',
    "long text": json.dumps("x" * 100_000),
    "empty list": "[]",
    "empty object": "{}",
    "minus one": "-1",
    "zero": "0",
    "one and a half": "1.5",
    "1e308": "1e308",
    "1e-320": "1e-320",
    "400 digits": "1" + "0" * 400,
    "5000 digits": "9" * 5000,
    "NaN": "NaN",
    "infinity": "-Infinity",
    "overflow": "1e999",
    "deep list": "[" * 10_000 + "]" * 10_000,
    "deep object": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "lone surrogate": '"\\ud800"',
    "control characters": '"a\\u0000\\r\\n\\u001b[2Jb"',
    "ragged list": "[[1, 2], [3]]",
    "key twice": '{"a": 1, "a": 2}',
    "text for a number": '"0.5"',
    "path": '"../../etc/passwd"',
    "huge number": "1000000000",
}
"""By name, the JSON that takes a value's place."""
_UNREADABLE = ("5000 digits", "400 digits", "NaN", "infinity", "overflow", "deep list", "deep object",
               "lone surrogate", "key twice")  # fmt: skip
"""JSON that no strict reader takes, wherever it stands."""
_MARK = "@poison@"
Position = tuple[str | int, ...]


def positions(value: Any, path: Position = ()) -> Iterator[Position]:
    """Every place in a JSON value: objects and lists themselves, and what is in them. Of long lists three items."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from positions(item, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) // 2, len(value) - 1} & set(range(len(value)))):
            yield from positions(value[index], (*path, index))


def poison_cases(folder: Path, count: int) -> list[Case]:
    """``count`` of all combinations of a position (in the manifest, or the golden images' list) and a poison, spread
    evenly: every position and every poison is met."""
    places: list[tuple[str, Position]] = []
    for name in (MANIFEST, LIST):
        value = json.loads((folder / name).read_text())
        found = [place for place in positions(value) if place[0] != "files" or place[1:2] in ((), (IMAGE,), (MODEL,))]
        places += [(name, place) for place in found]
    names = list(POISONS)
    every = [(place, names[(index + turn) % len(names)]) for turn in range(len(names)) for index, place in
             enumerate(places)]  # fmt: skip
    return [_poison_case(name, place, poison) for (name, place), poison in every[:count]]


def _poison_case(name: str, place: Position, poison: str) -> Case:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(poisoned(json.loads(path.read_text()), place, POISONS[poison]))
        if name != MANIFEST:
            rehash(folder, name)

    where = ".".join(map(str, place))
    return Case(f"{name}: {where} is {poison}", damage, COMMANDS if poison in _UNREADABLE else ())


def poisoned(value: Any, place: Sequence[str | int], text: str) -> str:
    """``value`` as JSON, with the raw ``text`` at ``place``."""
    inner = value
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = _MARK
    return json.dumps(value).replace(json.dumps(_MARK), text)
