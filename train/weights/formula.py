"""``--weights formula``: starting weights from generated images, which belong to nobody but the kit."""

from __future__ import annotations

from pathlib import Path

from fieldlens.train.errors import FitError

FORMULA = "formula"
FOLDER = Path(__file__).resolve().parents[2] / "weights"
"""Beside the rooms in a checkout; a wheel has none."""


def formula_file(arch: str) -> Path:
    """The file of ``arch``. Raises FitError with the command that makes one."""
    path = FOLDER / f"formula-{arch}.safetensors"
    if not path.is_file():
        made = f"fieldlens train pretrain --arch {arch} --out formula.safetensors"
        raise FitError(
            f"--weights {FORMULA}: this installation has no {path.name}",
            f"make one, on a GPU if there is one: `{made}`; then give --weights formula.safetensors",
        )
    return path


def source_of(weights: str, arch: str) -> str:
    """``formula`` as the path of its file; anything else as it is. Raises FitError as :func:`formula_file` does."""
    return str(formula_file(arch)) if weights == FORMULA else weights
