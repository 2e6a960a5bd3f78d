"""A partial copy of a bundle: what one device needs, and not the model files of the others (contract 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.copying import copy_into
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import COPY_WHOLE, Bundle
from fieldlens.runtime.bundle.precision import REFERENCE, model_file, preferred_on
from fieldlens.runtime.errors import BundleError, OutputError
from fieldlens.runtime.files import atomic


@dataclass(frozen=True)
class SlimBundle:
    """The copy, opened and checked; how many files the manifest's included, and their size."""

    bundle: Bundle
    files: int
    size_bytes: int


def slim(bundle: Path, out: Path, targets: tuple[str, ...], *, fp32: bool = False) -> SlimBundle:
    """Copy ``bundle`` to ``out`` with the model files that ``auto`` prefers on ``targets``, and all that is no model.

    FP32 goes along where ``fp32`` asks for it, where a target builds from it, or where a target has nothing narrower.
    Manifest and signature stay byte for byte, so the copy has the original's hash. Every file is checked on the way.
    Raises BundleError, also for a partial ``bundle`` without what a target needs; OutputError for an ``out`` in use.
    """
    opened = open_bundle(bundle, check_files=False, allow_unsigned=True)
    kept = [model_file(name) for name in needed(opened, targets, fp32=fp32)]
    if lacking := [name for name in kept if name in opened.absent]:
        raise BundleError(opened.left_out(lacking[0]), COPY_WHOLE)
    models = {model_file(name) for name in opened.manifest.precisions}
    names = [name for name in opened.manifest.files if name in kept or name not in models]
    try:
        with atomic.folder(out, atomic.PUBLIC_FOLDER) as folder:
            copy_into(folder, opened, names)
            open_bundle(folder, allow_unsigned=True)
    except FileExistsError as error:
        raise OutputError(f"{out} exists and is not empty", "choose another --out") from error
    size_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return SlimBundle(open_bundle(out, check_files=False, allow_unsigned=True), len(names), size_bytes)


def needed(bundle: Bundle, targets: tuple[str, ...], *, fp32: bool = False) -> tuple[str, ...]:
    """The model files, in the manifest's order, that devices of ``targets`` run or build engines from."""
    listed = bundle.manifest.precisions
    names = {REFERENCE} if fp32 else set()
    for target in targets:
        names |= {name for name in preferred_on(target) if name in listed} or {REFERENCE}
    return tuple(name for name in listed if name in names)
