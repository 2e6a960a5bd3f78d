"""Damaged bundles for the fuzzer, made by hand: kinds of files, sizes, arrays, contradictions."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE
from tests.runtime.bundle_arrays import array_damages, putter
from tests.runtime.bundle_damage import COMMANDS, IMAGE, LIST, MODEL, OOD, REFERENCE, Case, put, rehash
from tests.runtime.conftest import bomb, jpeg, scene

Damage = Callable[[Path], object]
_RUN = ("selftest", "classify")
"""The commands that load the network."""


def forms() -> list[Case]:
    """All of them."""
    cases = [Case(name, damage, COMMANDS) for name, damage in {**_KINDS, **_JSON, **_CLASHES, **_golden()}.items()]
    for file, members in ((REFERENCE, ("logits", (8, 2))), (OOD, ("precision", (16, 16)))):
        for name, damage in array_damages(file, *members).items():
            unread = file == REFERENCE and "unknown member" in name  # nobody unpacks it
            cases.append(Case(f"{file}: {name}", damage, () if unread else COMMANDS))
    cases += [Case(name, damage, _RUN) for name, damage in _MODELS.items()]
    return [*cases, *(Case(name, damage) for name, damage in _HARMLESS.items())]


# ---------------------------------------------------------------- kinds of files


def _swap(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have 107 bytes
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


def _sparse(size: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def _claim(name: str, size: int) -> Damage:
    """A sparse file whose size is the manifest's, so that only a limit can tell."""

    def damage(folder: Path) -> None:
        _sparse(size)(folder / name)
        _edit(folder, lambda value: value["files"][name].__setitem__("size", size))

    return damage


def _link(path: Path) -> None:
    target = path.parent / "elsewhere"
    path.symlink_to(target)


def _nothing(path: Path) -> None:
    """Leaves the place empty."""


def _both(first: Damage, second: Damage) -> Damage:
    def damage(folder: Path) -> None:
        first(folder)
        second(folder)

    return damage


def _unlist(*names: str) -> Damage:
    """Files that are gone, from the folder and from the manifest."""

    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()
            _edit(folder, lambda value, name=name: value["files"].pop(name))  # type: ignore[misc]

    return damage


def _nested(folder: Path) -> None:
    here = folder / "golden"
    for _ in range(300):
        here = here / "deep"
    here.mkdir(parents=True)


_PLACES: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a dangling link": _link,
    "missing": _nothing,
}
_KINDS: dict[str, Damage] = {
    **{
        f"{name} is {kind}": _swap(name, make)
        for name in (MANIFEST, MODEL, LIST, REFERENCE, OOD, IMAGE)
        for kind, make in _PLACES.items()
        if (name, kind) != (MODEL, "missing")  # a partial copy
    },
    "a socket": _swap(IMAGE, _bind),
    "a link to /dev/zero": _swap(IMAGE, lambda path: path.symlink_to("/dev/zero")),
    "an extra FIFO": lambda folder: os.mkfifo(folder / "golden" / "x.jpg"),
    "an extra folder": lambda folder: (folder / "more").mkdir(),
    "folders 300 deep": _nested,
    "a name that is no text": lambda folder: Path(os.fsdecode(bytes(folder) + b"/\xff\xfe\n.jpg")).write_bytes(b"x"),
    "a signature that is a FIFO": lambda folder: os.mkfifo(folder / SIGNATURE),
    "a signature of 10 GB": lambda folder: _sparse(10**10)(folder / SIGNATURE),
    "a manifest of 10 GB": _swap(MANIFEST, _sparse(10**10)),
    "a sparse image of 10 GB": _swap(IMAGE, _sparse(10**10)),
    "a sparse model of 10 GB": _swap(MODEL, _sparse(10**10)),
    "a sparse image of 10 GB, as listed": _claim(IMAGE, 10**10),
    "a sparse model of 10 GB, as listed": _claim(MODEL, 10**10),
    "a sparse list of 10 GB, as listed": _claim(LIST, 10**10),
    "a sparse reference of 10 GB, as listed": _claim(REFERENCE, 10**10),
    "sparse arrays of 10 GB, as listed": _claim(OOD, 10**10),
    "a sparse card of 10 GB, as listed": _claim("card.md", 10**10),
    "a file that grew": lambda folder: (folder / MODEL).write_bytes((folder / MODEL).read_bytes() + b"\0"),
}  # fmt: skip


# ---------------------------------------------------------------- the manifest as a whole


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def _change(change: Callable[[dict[str, Any]], object]) -> Damage:
    return lambda folder: _edit(folder, change)


def _text(change: Callable[[str], str]) -> Damage:
    return lambda folder: (folder / MANIFEST).write_text(change((folder / MANIFEST).read_text()))


def _bytes(change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / MANIFEST).write_bytes(change((folder / MANIFEST).read_bytes()))


_JSON: dict[str, Damage] = {
    "a key twice": _text(lambda text: text.replace("{", '{"format": 1,', 1)),
    "a threshold twice": _text(lambda text: text.replace('"thresholds": 0.5', '"thresholds": 0.5, "thresholds": 0.9')),
    "two values": _text(lambda text: text + "{}"),
    "a byte order mark": _bytes(lambda data: b"\xef\xbb\xbf" + data),
    "UTF-16": _bytes(lambda data: data.decode().encode("utf-16")),
    "overlong UTF-8": _bytes(lambda data: data.replace(b'"tiny"', b'"\xc0\xaf"')),
    "a surrogate in UTF-8": _bytes(lambda data: data.replace(b'"tiny"', b'"\xed\xa0\x80"')),
    "a zero byte at the end": _bytes(lambda data: data + b"\0"),
    "a million brackets": _bytes(lambda data: b"[" * 1_000_000),
    "200,000 files": _change(lambda value: value["files"].update(
        {f"f{number}": {"sha256": "0" * 64, "size": 1} for number in range(200_000)})),
    "50,000 classes": _change(lambda value: value.__setitem__(
        "classes", [{"id": f"c{number}", "display": "c"} for number in range(50_000)])),
    "an empty class id": _change(lambda value: value["classes"][0].__setitem__("id", "")),
    "a line break in a class": _change(lambda value: value["classes"][0].__setitem__("display", "a\nb")),
    "an escape in the name": _change(lambda value: value.__setitem__("name", "\x1b[2Jtiny")),
    "a right-to-left override in the name": _change(lambda value: value.__setitem__("name", "a\u202eb")),
}  # fmt: skip


# ---------------------------------------------------------------- values that contradict each other


def _shape(output: str, shape: list[Any]) -> Damage:
    return _change(lambda value: value["tensors"]["outputs"][output].__setitem__("shape", shape))


def _decision(**values: Any) -> Damage:
    return _change(lambda value: value["decision"].update(values))


def _quality(**values: Any) -> Damage:
    return _change(lambda value: value["quality"].update(values))


_CLASHES: dict[str, Damage] = {
    "a positive class twice": _decision(positive=["sign", "sign"]),
    "thresholds that are lists": _decision(thresholds={"sign": []}),
    "a band turned round": _decision(band=[0.9, 0.1]),
    "a band of three": _decision(band=[0.1, 0.2, 0.3]),
    "a band of texts": _decision(band=["0.1", "0.2"]),
    "a billion features": _shape("features", ["N", 10**9]),
    "true features": _shape("features", ["N", True]),
    "a heat map of a billion": _shape("cam", ["N", 2, 10**9, 10**9]),
    "a network of a billion pixels": _change(lambda value: value["preprocess"][1].__setitem__("size", 10**9)),
    "other features than the arrays have": _shape("features", ["N", 15]),
    "a limit that is text": _quality(limits={"brightness": ["1", "2"]}),
    "a limit of three": _quality(limits={"brightness": [1, 2, 3]}),
    "a limit turned round": _quality(limits={"brightness": [2, 1]}),
    "an unknown check": _quality(limits={"taste": [1, 2]}),
    "limits without a model": _quality(model=None),
    "a gate without bounds": _change(lambda value: value["quality"].pop("bounds")),
    "a whitener of texts": _quality(model={"powers": ["1"] * 9, "offset": 0, "mean": [0] * 19,
                                           "whitener": [["1"] * 19] * 19}),
    "a whitener of 1e308": _quality(model={"powers": [1] * 9, "offset": 0, "mean": [0] * 19,
                                           "whitener": [[1e308] * 19] * 19}),
    "a whitener that is too small": _quality(model={"powers": [1] * 9, "offset": 0, "mean": [0] * 19,
                                                    "whitener": [[1]]}),
    "a distance that is text": _change(lambda value: value["ood"].__setitem__("threshold", "1")),
    "a distance that is true": _change(lambda value: value["ood"].__setitem__("threshold", True)),
    "a negative distance": _change(lambda value: value["ood"].__setitem__("threshold", -1)),
    "no distance": _change(lambda value: value["ood"].pop("threshold")),
    "distances without arrays": _unlist(OOD),
    "a hash that is no hash": _change(lambda value: value["files"][IMAGE].__setitem__("sha256", "x" * 64)),
    "a path of 5,000 folders": _change(lambda value: value["files"].__setitem__(
        "a/" * 5000 + "b", {"sha256": "0" * 64, "size": 0})),
    "a path with a line break": _change(lambda value: value["files"].__setitem__(
        "a\nb", {"sha256": "0" * 64, "size": 0})),
    "no model": _unlist(MODEL, "model.int8-cpu.onnx"),
}  # fmt: skip


# ---------------------------------------------------------------- golden images


def _golden() -> dict[str, Damage]:
    entry = {"file": IMAGE, "sha256": "0" * 64}
    lists: dict[str, Any] = {
        "no golden images": {"images": []},
        "100,000 golden images": {"images": [entry] * 100_000},
        "golden images that are numbers": {"images": [1, 2, 3]},
        "golden images in an object": {"images": {"file": IMAGE}},
        "a golden image that is not listed": {"images": [{**entry, "file": "golden/999.jpg"}] * 8},
        "a golden image outside": {"images": [{**entry, "file": "../../../etc/passwd"}] * 8},
        "a golden image that is the manifest": {"images": [{**entry, "file": MANIFEST}] * 8},
        "a golden image named by a list": {"images": [{**entry, "file": [IMAGE]}] * 8},
        "seven golden images for eight answers": {"images": [entry] * 7},
        "golden list that is a list": [entry],
    }
    damages: dict[str, Damage] = {name: putter(LIST, json.dumps(value).encode()) for name, value in lists.items()}
    return damages


# ---------------------------------------------------------------- networks

_MODELS: dict[str, Damage] = {
    "a model of zeros": putter(MODEL, bytes(100_000)),
    "a model of text": putter(MODEL, b"this is not a network\n" * 100),
    "a model of one byte": putter(MODEL, b"\x08"),
    "an empty model": putter(MODEL, b""),
    "an image for a model": putter(MODEL, jpeg(scene(1, 60, 80))),
    "another network's features": _both(
        _shape("features", ["N", 8]), _change(lambda value: value.__setitem__("ood", None))),
    "another network's classes": lambda folder: _three_classes(folder),
    "a sparse model of 500 MB": _both(
        lambda folder: _sparse(500_000_000)(folder / MODEL), lambda folder: rehash(folder, MODEL)),
    "golden bomb": putter(IMAGE, bomb()),
    "a golden image of text": putter(IMAGE, b"no image"),
}  # fmt: skip


def _three_classes(folder: Path) -> None:
    """A manifest and golden answers for three classes beside a network that has two."""

    def change(value: dict[str, Any]) -> None:
        value["classes"].append({"id": "third", "display": "Third"})
        value["tensors"]["outputs"]["logits"]["shape"][1] = value["tensors"]["outputs"]["cam"]["shape"][1] = 3

    _edit(folder, change)
    arrays = io.BytesIO()
    np.savez(arrays, logits=np.zeros((8, 3), np.float32))
    put(folder, REFERENCE, arrays.getvalue())


def _touch(folder: Path) -> None:
    (folder / SIGNATURE).write_bytes(b"-----BEGIN SSH SIGNATURE-----\n")


_HARMLESS: dict[str, Damage] = {
    "nothing at all": lambda folder: None,
    "a partial copy": lambda folder: (folder / MODEL).unlink(),
    "a signature that nobody asks for": _touch,
    "readable by all, writable by all": lambda folder: folder.chmod(0o777),
    "another name": _change(lambda value: value.__setitem__("name", "Lippe – tiny ✓")),
    "written without spaces": lambda folder: (folder / MANIFEST).write_text(
        json.dumps(json.loads((folder / MANIFEST).read_text()), separators=(",", ":"))),
    "keys in another order": lambda folder: (folder / MANIFEST).write_text(
        json.dumps(dict(reversed(json.loads((folder / MANIFEST).read_text()).items())))),
}  # fmt: skip
