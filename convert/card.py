"""``card.md``: one page for whoever is about to deploy the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fieldlens.convert.measure.labelled import OriginError
from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.precision import EMULATED
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.train.config import ModelConfig
from fieldlens.train.report.contents import FORMAT, public
from fieldlens.train.report.text import not_filled_in

_SHOWN = 20
MISSING = "**Not filled in**"


def text(manifest: Manifest, run: Path | None) -> str:
    """What it is, what was measured on which data, and for whom it is not. ``run`` None: weights from elsewhere."""
    area = area_name(manifest.task, len(manifest.classes))
    recipe = _recipe(manifest)
    lines = [
        f"# {manifest.name} {manifest.version.label}",
        "",
        *_to_fill_in(manifest),
        *([f"{recipe['title']}", ""] if recipe.get("title") else []),
        f"Classes: {_classes(manifest)}. Network: {_network(manifest)}, {manifest.size} px.",
        _data(manifest, run),
        "",
        *_decision(manifest),
        "## Measured",
        "",
        _measured_on(manifest) if run else "Agreement with FP32 on images without labels:",
        "",
        f"| precision | {area} | accuracy | ECE | decisions changed |",
        "|---|---|---|---|---|",
        *(_row(name, value) for name, value in manifest.evaluation.items()),
        "",
        *(
            ["FP16 and INT8 for TensorRT were emulated here; each device's gate measures them.", ""]
            if _emulated(manifest)
            else []
        ),
        _test(run, area) if run else "How right it is was not measured: nobody gave labelled data.",
        "",
        "Other data: `fieldlens convert verify BUNDLE --data DATA`.",
        "",
        "## Images inside",
        "",
        *_images(manifest),
        "",
        "## Intended use",
        "",
        recipe.get("intended_use") or f"{MISSING} (`recipe.intended_use`).",
        "",
        "## Not for",
        "",
        *([f"{recipe['not_for']}.", ""] if recipe.get("not_for") else []),
        "Cameras, populations, ages and findings that the data above does not hold. The answer is a screening aid, "
        "looked at by a person who is responsible for it.",
        "",
    ]
    return "\n".join(lines)


def _recipe(manifest: Manifest) -> dict[str, Any]:
    """What the recipe says of the model in words; empty for weights from elsewhere."""
    found = manifest.provenance.get("recipe", {}).get("recipe", {})
    return dict(found)


def _measured_on(manifest: Manifest) -> str:
    learnt = manifest.provenance.get("recipe", {}).get("train", {}).get("refit")
    more = ", and which the network has then learnt from" if learnt else ""
    return f"On the validation split, which also chose the temperature and the threshold{more}, so it flatters:"


def _network(manifest: Manifest) -> str:
    """Its name, and what was changed in it."""
    known = manifest.provenance.get("recipe", {}).get("model", {})
    shape = {key: known[key] for key in ("output_stride", "stages") if key in known}
    return f"{manifest.provenance['arch']}{ModelConfig(**shape).cut}"


def _to_fill_in(manifest: Manifest) -> list[str]:
    """One line, before all others, that names what the user has left empty."""
    recipe = _recipe(manifest)
    lacking = not_filled_in({**recipe, "name": manifest.name}) if recipe else []
    return [f"> {MISSING}: {', '.join(lacking)}. Fill in the recipe, then train again.", ""] if lacking else []


def _images(manifest: Manifest) -> list[str]:
    golden = manifest.provenance["golden"]
    return [f"{golden['images']} golden images, {golden['from']}. No other file shows an image, or names one."]


def _classes(manifest: Manifest) -> str:
    names = [info.display for info in manifest.classes]
    return ", ".join(names) if len(names) <= _SHOWN else f"{', '.join(names[:_SHOWN])}, … ({len(names)} in all)"


def _data(manifest: Manifest, run: Path | None) -> str:
    if run is None:
        return f"Weights: {manifest.provenance['weights']}. What they were trained on is not known here."
    data = manifest.provenance["data"]
    counts = ", ".join(f"{part} {count}" for part, count in data["n"].items())
    return f"Data: {data['name']} ({counts} images), SHA-256 {data['hash'][:16]}…."


def _emulated(manifest: Manifest) -> bool:
    return any(name in manifest.tolerances for name in EMULATED)


def _decision(manifest: Manifest) -> list[str]:
    decision = manifest.decision
    if decision is None:
        return []
    low, high = decision.band
    promise = promise_of(decision.reached)
    proved = f" What that promises: {promise.words()}." if promise else ""
    ends = band_promise_of(decision.reached) if low < high else None
    proved += f" Of the band: {ends.words()}." if ends else ""
    carried = decision.reached.get("carried_over")
    proved += f" {_carried(carried)}" if isinstance(carried, dict) else ""
    band = (
        f"uncertain, which is to be treated as refer, within {low:.3f}–{high:.3f}" if low < high else "never uncertain"
    )
    return [
        f"Refers when the score of {' + '.join(decision.positive)} is at least {decision.threshold:.3f}; {band}. "
        f"Chosen for {promise.aim if promise else decision.target}.{proved}",
        "",
    ]


def _carried(found: dict[str, Any]) -> str:
    """What this network reaches where others have chosen the threshold."""
    cells = [
        f"{measure} {found[measure]:.3f} ({low:.3f}–{high:.3f})"
        for measure in ("sensitivity", "specificity")
        if found.get(measure) is not None
        for low, high in [found[f"{measure}_interval"]]
    ]
    return f"This network itself reaches {' and '.join(cells)} there on {found['n']} images it was not trained on."


def _row(name: str, value: dict[str, Any]) -> str:
    if "val" not in value:
        return f"| {name} (left out: {'; '.join(value['refused'])}) | – | – | – | – |"
    row = value["val"]
    numbers = ("–" if row[key] is None else f"{row[key]:.4f}" for key in ("auc", "accuracy", "ece"))
    refused = " (left out: too much lost)" if value.get("refused") else ""
    return f"| {name}{refused} | {' | '.join(numbers)} | {row['decisions_changed']:.2%} |"


def _test(run: Path, area: str) -> str:
    """The trainer's own figures on images that it had not seen, if it wrote them."""
    try:
        found = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
        part = "test" if "test" in found else "out-of-fold"
        value = found[part]
        figures = f"{area} {value['auc']:.4f}, accuracy {value['accuracy']:.4f}, n = {value['n']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "The test split was not evaluated before conversion."
    if part == "test":
        return f"On the test split, FP32 in the trainer: {figures}. More: report.html."
    return f"By cross-validation of the recipe, not of this network, FP32 in the trainer: {figures}. More: report.html."


def report_files(run: Path) -> dict[str, bytes]:
    """``report.html`` of a run that has one, drawn again without any image and without the names of files, which may
    hold a patient's. Raises OriginError for a ``report.json`` that cannot be read."""
    if not (run / "report.json").is_file():
        return {}
    try:
        value = json.loads((run / "report.json").read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise OriginError(f"{run / 'report.json'} has format {value['format']}", "run `fieldlens train evaluate`")
        from fieldlens.train.report.page import page  # matplotlib, which only a run with a report needs

        return {"report.html": page(public(value)).encode()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OriginError(
            f"{run / 'report.json'} cannot be read ({error!r})", "run `fieldlens train evaluate` again, or remove it"
        ) from error
