"""Damaged arrays for the fuzzer: whatever a ``.npz`` can hold that it should not."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtime.bundle_damage import put

Damage = Callable[[Path], object]


def putter(name: str, data: bytes) -> Damage:
    """Another file in the place of ``name``, with a hash that fits."""
    return lambda folder: put(folder, name, data)


def npy(descr: str, shape: str, data: bytes, order: str = "False", version: bytes = b"\x01\x00") -> bytes:
    """A ``.npy`` file with whatever header."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header) + 1)
    return b"\x93NUMPY" + version + size + header + b"\n" + data


def npz(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of ``members``; a name may come twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def array_damages(file: str, name: str, shape: tuple[int, int]) -> dict[str, Damage]:
    """Damages to one array of a file; the others in it stay."""
    good = np.zeros(shape, np.float32) if name == "logits" else np.eye(*shape, dtype=np.float32)
    count = good.size

    def array(value: Any) -> bytes:
        made = io.BytesIO()
        np.save(made, value, allow_pickle=True)
        return made.getvalue()

    spoilt = good.copy()
    spoilt[0, 0] = np.nan
    infinite = good.copy()
    infinite[0, 0] = np.inf
    member = f"{name}.npy"
    values: dict[str, bytes] = {
        "not a number": array(spoilt),
        "infinity": array(infinite),
        "objects": array(np.array([[{}] * shape[1]] * shape[0], object)),
        "complex numbers": array(good.astype(np.complex64)),
        "texts": array(good.astype("U8")),
        "records": array(np.zeros(shape, [("a", "<f4")])),
        "a row less": array(good[1:]),
        "one dimension": array(good.ravel()),
        "a scalar": array(np.float32(1)),
        "a huge shape": npy("'<f4'", "(1000000000, 1000000000)", b""),
        "a negative shape": npy("'<f4'", f"(-{shape[0]}, {shape[1]})", bytes(4 * count)),
        "a shape of 10,000 dimensions": npy("'<f4'", f"({'1,' * 10_000})", bytes(4)),
        "less data than its shape": npy("'<f4'", str(shape), bytes(4 * count - 4)),
        "more data than its shape": npy("'<f4'", str(shape), bytes(4 * count + 4)),
        "a header of brackets": npy("(" * 20_000, str(shape), bytes(4 * count)),
        "a header that is code": npy("__import__('os').getpid()", str(shape), bytes(4 * count)),
        "an unknown version": npy("'<f4'", str(shape), bytes(4 * count), version=b"\x09\x00"),
        "no header": bytes(4 * count),
    }
    damages = {what: _other_member(file, member, data) for what, data in values.items()}
    whole = npz([(member, array(good))])
    files: dict[str, bytes] = {
        "not a zip": b"PK\x03\x04 no more",
        "an array instead of a zip": array(good),
        "an empty zip": npz([]),
        "a bomb": npz([(member, bytes(2_000_000_000 // 10))], zipfile.ZIP_DEFLATED),
        "a bomb in an unknown member": npz([(member, array(good)), ("x.npy", bytes(10**8))], zipfile.ZIP_DEFLATED),
        "a wrong checksum": whole.replace(array(good)[-16:], b"\x01" * 16, 1),
        "bzip2": npz([(member, array(good))], zipfile.ZIP_BZIP2),
        "an encrypted member": whole.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00").replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
        "20,000 members": npz([(f"{number}.npy", b"") for number in range(20_000)]),
    }  # fmt: skip
    damages |= {what: putter(file, data) for what, data in files.items()}
    return damages


def _other_member(file: str, member: str, data: bytes) -> Damage:
    def damage(folder: Path) -> None:
        with zipfile.ZipFile(folder / file) as archive:
            kept = [(name, archive.read(name)) for name in archive.namelist() if name != member]
        put(folder, file, npz([*kept, (member, data)]))

    return damage
