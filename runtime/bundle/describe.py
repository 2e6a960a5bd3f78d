"""A bundle's manifest for people, in tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.pixels.steps import steps_to_json

_LABEL = 12
_WIDTH = 110
_MOST = 600
"""Characters of one entry; ``--json`` has all of it."""


def describe(bundle: Bundle) -> str:
    """Several lines: what it is, what it decides, how it was measured, what it holds and what it was made from."""
    manifest = bundle.manifest
    here = [info.size for name, info in manifest.files.items() if name not in bundle.absent]
    lines = [
        printable(f"{manifest.name}, version {manifest.version.number} ({manifest.version.label})"),
        *_entry("hash", f"{bundle.hash} (SHA-256 of manifest.json, which fixes every other file)"),
        *_entry("signed", bundle.signed),
        *_entry("format", str(manifest.format)),
        *(line for note in manifest.notes for line in _entry("note", note)),
        *_entry("task", manifest.task),
        *_entry("input", f"uint8 [N,{manifest.size},{manifest.size},3] RGB"),
        *_entry("preprocess", " → ".join(_step(step) for step in steps_to_json(manifest.preprocess))),
        *_entry("temperature", f"{manifest.temperature:.4g}"),
        *_entry("decision", _decision(manifest)),
        *_entry("gate", _gate(manifest)),
        *_entry("files", f"{len(here)}, {sum(here) / 1e6:.1f} MB" + (f"; {bundle.partial}" if bundle.absent else "")),
        "",
        *_table(("class", "shown as", "refers from"), _classes(manifest)),
        "",
        *_table(_columns(manifest), [_precision(bundle, name) for name in manifest.precisions], "<" + ">" * 7),
        "",
        "made from",
    ]
    for key, value in manifest.provenance.items():
        lines += _made_from(str(key), value)
    return "\n".join(lines)


def _entry(label: str, text: str, width: int = _LABEL) -> list[str]:
    """A label and its text, broken under itself."""
    shown = printable(text)
    shown = shown if len(shown) <= _MOST else shown[: _MOST - 1] + "…"
    head = printable(label).ljust(width)
    head = head if head.endswith(" ") else head + "  "
    return textwrap.wrap(
        head + shown, _WIDTH, subsequent_indent=" " * width, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    )  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], sides: str = "") -> list[str]:
    """Columns as wide as their widest cell; ``sides`` has < or > for each (default: <)."""
    cells = [tuple(head), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = sides.ljust(len(widths), "<")
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths, strict=True)).rstrip()
        for row in cells
    ]


def _step(step: dict[str, Any]) -> str:
    values = ", ".join(f"{key} {value}" for key, value in step.items() if key != "step")
    return f"{step['step']} ({values})" if values else str(step["step"])


def _decision(manifest: Manifest) -> str:
    decision = manifest.decision
    if decision is None:
        return "none: outcomes are 'classified'"
    low, high = decision.band
    band = f" (uncertain from {low:.3f} to {high:.3f})" if low < high else ""
    promise = promise_of(decision.reached, error=BundleError, where="manifest.json.decision.reached")
    proved = f"; {promise.words()}" if promise else " without a confidence: new patients keep it half the time"
    ends = band_promise_of(decision.reached, BundleError, "manifest.json.decision.reached") if low < high else None
    proved += f". The band: {ends.words()}" if ends else ""
    return (
        f"refer when the {decision.rule} of {', '.join(decision.positive)} reaches {decision.threshold:.3f}{band}; "
        f"chosen for {promise.aim if promise else decision.target}{proved}"
    )


def _classes(manifest: Manifest) -> list[tuple[str, str, str]]:
    """Id, display name, and for a class that counts as a finding where it refers."""
    decision = manifest.decision
    borders: dict[str, str] = {}
    if decision is not None:
        shared = f"{decision.threshold:.3f}" + (" (summed)" if len(decision.positive) > 1 else "")
        any_of = decision.rule == "any"
        borders = {name: f"{decision.thresholds[name]:.3f}" if any_of else shared for name in decision.positive}
    return [(info.id, info.display, borders.get(info.id, "")) for info in manifest.classes]


def _gate(manifest: Manifest) -> str:
    parts = []
    if manifest.quality is not None:
        parts.append("quality: " + ", ".join(map(str, manifest.quality.get("limits", {}))))
    if manifest.ood is not None:
        parts.append("out of distribution")
    return "; ".join(parts) or "none"


def _columns(manifest: Manifest) -> tuple[str, ...]:
    area = area_name(manifest.task, len(manifest.classes))
    return ("precision", "MB", "images", area, "accuracy", "sensitivity", "specificity", "decisions changed")


def _precision(bundle: Bundle, precision: str) -> tuple[str, ...]:
    """A row of the table of precisions, on the validation images; dashes where nothing was measured."""
    manifest = bundle.manifest
    size_mb = manifest.files[model_file(precision)].size / 1e6
    found = _inner(_inner(manifest.evaluation, precision), "val")
    decided = _inner(found, "decision")
    shares = [_share(found, "accuracy"), _share(decided, "sensitivity"), _share(decided, "specificity")]
    area, name = found.get("auc"), precision if precision in bundle.precisions else f"{precision} (absent)"
    return (
        name, f"{size_mb:.1f}", str(found.get("n", "–")), f"{area:.3f}" if isinstance(area, float) else "–",
        *shares, _share(found, "decisions_changed"),
    )  # fmt: skip


def _inner(value: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of what only people read, and which may be anything."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _share(figures: dict[str, Any], key: str) -> str:
    value = figures.get(key)
    return f"{value:.1%}" if isinstance(value, int | float) else "–"


def _made_from(key: str, value: Any) -> Iterator[str]:
    """One line for a value, or for all plain values of a dictionary; its inner dictionaries follow, named by path."""
    if not isinstance(value, dict):
        yield from _entry(f"  {key}", _short(value), 24)
        return
    plain = {name: inner for name, inner in value.items() if not isinstance(inner, dict)}
    words = "; ".join(f"{name}: {_short(inner)}" for name, inner in plain.items() if inner not in ("", [], None))
    if words:
        yield from _entry(f"  {key}", words, 24)
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _made_from(f"{key}.{name}", inner)


def _short(value: Any) -> str:
    if isinstance(value, list):
        steps = all(isinstance(each, dict) and "step" in each for each in value)
        return " → ".join(map(_step, value)) if steps else ", ".join(map(_short, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
