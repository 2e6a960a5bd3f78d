"""A bundle's manifest for people."""

from __future__ import annotations

from typing import Any

from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.pixels.steps import steps_to_json


def describe(bundle: Bundle) -> str:
    """Several lines: what it is, what it decides, how it was measured, what it holds."""
    manifest = bundle.manifest
    lines = [
        f"{manifest.name}, version {manifest.version.number} ({manifest.version.label})",
        f"hash        {bundle.hash} (SHA-256 of manifest.json, which fixes every other file)",
        f"signed      {bundle.signed}",
        f"format      {manifest.format}",
        *(f"note        {note}" for note in manifest.notes),
        f"task        {manifest.task}",
        "classes     " + ", ".join(f"{info.display} ({info.id})" for info in manifest.classes),
        f"input       uint8 [N,{manifest.size},{manifest.size},3] RGB",
        "preprocess  " + " → ".join(_step(step) for step in steps_to_json(manifest.preprocess)),
        f"temperature {manifest.temperature:.4g}",
        "decision    " + _decision(bundle),
        "gate        " + _gate(bundle),
    ]
    here = [info.size for name, info in manifest.files.items() if name not in bundle.absent]
    lines += [f"files       {len(here)}, {sum(here) / 1e6:.1f} MB" + (f"; {bundle.partial}" if bundle.absent else "")]
    for precision in manifest.precisions:
        size = manifest.files[model_file(precision)].size / 1e6
        away = "" if precision in bundle.precisions else "not in this copy; "
        lines.append(f"  {precision:<10}{size:7.1f} MB  {away}{_measured(manifest.evaluation.get(precision))}")
    lines += [f"made from   {key}: {_short(value)}" for key, value in manifest.provenance.items()]
    return "\n".join(map(printable, lines))


def _step(step: dict[str, Any]) -> str:
    values = ", ".join(f"{key} {value}" for key, value in step.items() if key != "step")
    return f"{step['step']} ({values})" if values else str(step["step"])


def _decision(bundle: Bundle) -> str:
    decision = bundle.manifest.decision
    if decision is None:
        return "none: outcomes are 'classified'"
    low, high = decision.band
    return (
        f"refer when the {decision.rule} of {', '.join(decision.positive)} reaches {decision.threshold:.3f} "
        f"(uncertain from {low:.3f} to {high:.3f}); chosen for {decision.target}"
    )


def _gate(bundle: Bundle) -> str:
    parts = []
    if bundle.manifest.quality is not None:
        parts.append("quality: " + ", ".join(bundle.manifest.quality.get("limits", {})))
    if bundle.manifest.ood is not None:
        parts.append("out of distribution")
    return "; ".join(parts) or "none"


def _measured(evaluation: Any) -> str:
    if not isinstance(evaluation, dict):
        return "not measured"
    return ", ".join(f"{key} {_short(value)}" for key, value in evaluation.items() if isinstance(value, int | float))


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 100 else text[:99] + "…"
