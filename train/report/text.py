"""The report's sentences: what the counts can carry, and the model card under CLAIM's headings.

Headings: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update, Radiology: AI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.train.config import RecipeConfig
from fieldlens.train.metrics import two_sided_z, wilson

OUT_OF_FOLD = "out-of-fold"
"""What the judged part of a cross-validation is called where others say ``test``."""

FEW = 30
"""Below this a class's figures are an anecdote."""

_NOT_STATED = "Not stated. Say it in the recipe ({key})."


def percent(value: float | None, digits: int = 1) -> str:
    """``0.9123`` → ``91.2%``; a dash where there is nothing."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}%"


def needed_without_a_miss(share: float, confidence: float = 0.95) -> int:
    """The fewest cases, all of them right, whose Wilson interval lies above ``share``: 73 for 0.95."""
    z = two_sided_z(confidence)
    count = max(1, math.floor(z * z * share / (1 - share)) - 1)
    while wilson(count, count, confidence)[0] <= share:
        count += 1
    return count


def not_filled_in(recipe: Mapping[str, Any]) -> list[str]:
    """What only the user can say of a model, and has not; ``recipe``: its ``[recipe]`` section."""
    wanted = ("name", "title", "intended_use")
    return [key.replace("_", " ") for key in wanted if recipe.get(key, "") in ("", RecipeConfig.name)]


def limits(report: Mapping[str, Any]) -> list[str]:
    """What these figures cannot carry, in words, computed from the counts."""
    figures, part = report["evaluation"], report["part"]
    lines = [*_proportions(figures, part["name"]), *_split(report), *_classes(figures), *_sites(report["sites"])]
    if figures["groups"] < figures["n"]:
        lines.append(
            f"The {figures['n']} images come from {figures['groups']} groups (people, lesions). Intervals of AUC are "
            "drawn by group; those of sensitivity and specificity take images as independent: a little too narrow."
        )
    if report["imageability"]:
        lines.append(
            "The gate's limits were set on images of the same data set. How many images a clinic has to take again "
            "is only known after a day with its own camera."
        )
    return lines


def _proportions(figures: Mapping[str, Any], part: str) -> list[str]:
    decision = figures["decision"]
    if decision is None:
        right, n = round(figures["accuracy"] * figures["n"]), figures["n"]
        return [_bound(right, n, f"{part} images", "right")] if figures["exact_match"] is None else []
    reported, lines = decision["uncertain_as_refer"], []
    for measure, noun, good in (("sensitivity", "positives", "referred"), ("specificity", "negatives", "not referred")):
        if reported[measure] is None:
            lines.append(f"There are no {noun} among the {part} images: nothing is known of {measure}.")
            continue
        count = reported[noun]
        lines.append(_bound(round(reported[measure] * count), count, f"{part} {noun}", good))
        low, wanted = reported[f"{measure}_interval"][0], _wanted(decision["target"], measure)
        if wanted is not None and low <= wanted:
            lines.append(
                f"That does not prove {measure} above {100 * wanted:g}%: the lower bound is {percent(low)}. "
                f"It needs at least {needed_without_a_miss(wanted)} {noun} without a miss; here are {count}."
            )
    return lines


def _bound(right: int, n: int, of: str, good: str) -> str:
    low, high = wilson(right, n)
    if right == n:
        return f"{n} {of}: the lower bound of {right}/{n} is {percent(low)}."
    return f"{n} {of}: {right} were {good}; the true share may lie anywhere from {percent(low)} to {percent(high)}."


def _wanted(target: str, measure: str) -> float | None:
    """The target's value where it is about this measure."""
    name, _, value = target.partition(">=")
    try:
        return min(float(value), 0.999) if name.strip() == measure else None
    except ValueError:
        return None


def _split(report: Mapping[str, Any]) -> list[str]:
    part, data, lines = report["part"], report["data"], []
    if part["name"] in ("train", "val"):
        chose = "fitted on" if part["name"] == "train" else "used to choose the epoch, temperature and threshold"
        if part["name"] == "val" and report["model"].get("refit"):
            chose += ", and then to fit the network that was kept"
        lines.append(f"These images were {chose}: every figure here flatters.")
    if part["name"] == "test" and part["opened"] > 1:
        lines.append(
            f"The test images have been looked at {part['opened']} times. If anything was changed after a look, the "
            "figures flatter."
        )
    if part["name"] == OUT_OF_FOLD:
        lines.append(
            "Cross-validation judges the recipe: each image was judged by a network that had not seen its group. The "
            "network that is kept was judged on no image of its own."
        )
    if data.get("ungrouped") or not data.get("groups"):
        why = (
            "The split ignores groups, as asked (--ungrouped)" if data.get("ungrouped") else "There is no group column"
        )
        lines.append(f"{why}: images of one person may be on both sides, and the figures may be too good.")
    if data.get("near_duplicates"):
        lines.append(
            f"Near-identical pairs of images on two sides of the split (perceptual hash): {data['near_duplicates']}. "
            "Look at them before believing the figures."
        )
    if data.get("shortcuts"):
        lines.append(
            f"Training images can be told apart without the finding: {'; '.join(data['shortcuts'])}. The network may "
            "have learnt that instead; figures on images of the same source cannot show it, those of another site can."
        )
    if data.get("skipped"):
        lines.append(f"{data['skipped']} files could not be read and were left out (--skip-bad).")
    return lines


def _classes(figures: Mapping[str, Any]) -> list[str]:
    few = {name: score["support"] for name, score in figures["classes"].items() if score["support"] < FEW}
    if not few:
        return []
    named = ", ".join(f"{name} {count}" for name, count in list(few.items())[:8])
    more = f" and {len(few) - 8} more classes" if len(few) > 8 else ""
    return [f"Fewer than {FEW} images of: {named}{more}. Their own figures are anecdotes."]


def _sites(rows: list[Mapping[str, Any]]) -> list[str]:
    if len(rows) > 1:
        return []
    where = f"All images come from one site ({rows[0]['name']})" if rows else "The data names no site"
    return [f"{where}: nothing is known of another clinic, camera or population."]


def card(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Heading and paragraphs, in CLAIM's order. What nobody wrote down is said to be missing."""
    recipe, data, model, part = (report[key] for key in ("recipe", "data", "model", "part"))
    figures, decision = report["evaluation"], report["evaluation"]["decision"]
    task = "one class for each image" if report["task"] == "multiclass" else "any number of findings for each image"
    method = "cross-validation" if part["name"] == OUT_OF_FOLD else "a fixed split"
    parts = ", ".join(f"{name} {count}" for name, count in data["n"].items())
    result = f"{area_of(report)} {_with(figures, 'auc', 3)}; accuracy {_with(figures, 'accuracy')}."
    if decision:
        reported = decision["uncertain_as_refer"]
        result = (
            f"With uncertain answers referred: sensitivity {_with(reported, 'sensitivity')}, specificity "
            f"{_with(reported, 'specificity')}. {result}"
        )
        if decision.get("promise"):
            result = f"{result} Promised at the threshold: {decision['promise']}."
    return [
        _entry(
            "Title", f"{report['name']}: {recipe['title'] or 'no title in the recipe'}. A deep-learning classifier."
        ),
        _entry(
            "Intended use",
            recipe["intended_use"] or _NOT_STATED.format(key="recipe.intended_use"),
            "A screening aid, looked at by a person who is responsible for the answer. It makes no diagnosis.",
            f"Not for: {recipe['not_for'] or 'cameras, populations, ages and findings that the data does not hold'}.",
        ),
        _entry("Study design", f"Retrospective, on stored images; {method}. Task: {task}."),
        _entry(
            "Data", f"{data['name']}, SHA-256 {data['hash'][:16]}…; {parts} images, {data['groups'] or 'no'} groups."
        ),
        _entry(
            "Reference standard", recipe["reference_standard"] or _NOT_STATED.format(key="recipe.reference_standard")
        ),
        _entry("Data partitions", _partitions(report)),
        _entry(
            "Model",
            f"{model['arch']} with one linear layer, input {model['size']}×{model['size']} RGB. Starting weights: "
            f"{model['weights']}. Steps before the network: {', '.join(model['steps'])}.",
        ),
        _entry("Training", model["training"]),
        _entry(
            "Evaluation",
            f"On {figures['n']} {part['name']} images. Proportions with Wilson's interval, AUC with a bootstrap by "
            "group, both 95%. Temperature and threshold were fixed on validation images before.",
        ),
        _entry("Model performance", result),
        _entry("Limitations", *report["limits"]),
        _entry("Other information", f"Commit {model['commit'] or 'unknown'}; {_versions(model['versions'])}."),
    ]


def area_of(report: Mapping[str, Any], *, of_score: bool = False) -> str:
    """What this report calls its AUC, of the score or over the classes."""
    return area_name(report["task"], len(report["classes"]), of_score=of_score)


def _entry(heading: str, *paragraphs: str) -> dict[str, Any]:
    return {"heading": heading, "text": list(paragraphs)}


def _with(values: Mapping[str, Any], measure: str, plain_digits: int = 0) -> str:
    """Value and interval: percentages, or plain numbers with this many digits."""
    value, interval = values[measure], values[f"{measure}_interval"]
    if plain_digits:
        numbers = [("–" if each is None else f"{each:.{plain_digits}f}") for each in (value, *interval)]
    else:
        numbers = [percent(each) for each in (value, *interval)]
    return f"{numbers[0]} ({numbers[1]}–{numbers[2]})"


def _partitions(report: Mapping[str, Any]) -> str:
    data = report["data"]
    if data.get("ungrouped") or not data.get("groups"):
        return "Single images were spread over the parts, stratified by class; groups were not kept together."
    return "Whole groups were kept on one side, stratified by class, so that no person is in training and test."


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "versions unknown"
