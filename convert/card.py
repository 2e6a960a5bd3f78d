"""``card.md``: one page for whoever is about to deploy the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.manifest import Manifest


def text(manifest: Manifest, run: Path) -> str:
    """What it is, what was measured on which data, and for whom it is not."""
    data = manifest.provenance["data"]
    counts = ", ".join(f"{part} {count}" for part, count in data["n"].items())
    lines = [
        f"# {manifest.name} {manifest.version.label}",
        "",
        f"Classes: {', '.join(info.display for info in manifest.classes)}. "
        f"Network: {manifest.provenance['arch']}, {manifest.size} px.",
        f"Data: {data['name']} ({counts} images), SHA-256 {data['hash'][:16]}….",
        "",
        *_decision(manifest),
        "## Measured",
        "",
        "On the validation split, which also chose the temperature and the threshold, so it flatters:",
        "",
        "| precision | AUC | accuracy | ECE | decisions changed |",
        "|---|---|---|---|---|",
        *(_row(name, value) for name, value in manifest.evaluation.items()),
        "",
        _test(run),
        "",
        "Other data: `python -m convert verify BUNDLE --data DATA`.",
        "",
        "## Not for",
        "",
        "Cameras, populations, ages and findings that the data above does not hold. The answer is a screening aid, "
        "looked at by a person who is responsible for it.",
        "",
    ]
    return "\n".join(lines)


def _decision(manifest: Manifest) -> list[str]:
    decision = manifest.decision
    if decision is None:
        return []
    low, high = decision.band
    return [
        f"Refers when the score of {' + '.join(decision.positive)} is at least {decision.threshold:.3f}; uncertain, "
        f"which is to be treated as refer, within {low:.3f}–{high:.3f}. Chosen for {decision.target}.",
        "",
    ]


def _row(name: str, value: dict[str, Any]) -> str:
    row = value["val"]
    numbers = ("–" if row[key] is None else f"{row[key]:.4f}" for key in ("auc", "accuracy", "ece"))
    refused = " (left out: too much lost)" if value.get("refused") else ""
    return f"| {name}{refused} | {' | '.join(numbers)} | {row['decisions_changed']:.2%} |"


def _test(run: Path) -> str:
    """The trainer's own figures on its test split, if it wrote them."""
    try:
        test = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["test"]
        figures = f"AUC {test['auc']:.4f}, accuracy {test['accuracy']:.4f}, n = {test['n']}"
        return f"On the test split, FP32 in the trainer: {figures}."
    except (OSError, ValueError, KeyError, TypeError):
        return "The test split was not evaluated before conversion."
