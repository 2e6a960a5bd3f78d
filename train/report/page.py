"""``report.html``: one file without anything from elsewhere, drawn from ``report.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldlens.train.report import background, sections
from fieldlens.train.report.style import CSS
from fieldlens.train.report.tables import Html, number, share, text
from fieldlens.train.report.text import area_of, not_filled_in

Images = Mapping[int, bytes]
"""Index of an image among those judged → JPEG with the image and its heat map side by side."""


def page(report: Mapping[str, Any], pictures: Images | None = None) -> str:
    """The whole page. ``images`` of the worst mistakes: only where they may be seen by whoever gets the page."""
    body = "".join(
        text(part)
        for part in (
            _head(report),
            sections.limits(report),
            sections.decision(report),
            sections.confusion(report),
            sections.ordinal(report),
            sections.curves(report),
            sections.calibration(report),
            sections.thresholds(report),
            sections.sites(report),
            sections.imageability(report),
            sections.pointing(report),
            background.mistakes(report, pictures or {}),
            background.training(report),
            background.data(report),
            background.inference(report),
            background.card(report),
        )
    )
    name = text(f"{report['name']}: evaluation on {report['part']['name']}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{CSS}</style></head><body>\n<main>{body}</main>"
        f"<footer>{_foot(report)}</footer></body></html>\n"
    )


def _head(report: Mapping[str, Any]) -> Html:
    figures, part = report["evaluation"], report["part"]
    groups = f" of {figures['groups']} groups" if figures["groups"] < figures["n"] else ""
    opened = f", looked at {part['opened']} time{'s' if part['opened'] != 1 else ''}" if part["opened"] else ""
    line = f"{figures['n']} {part['name']} images{groups} of {report['data']['name']}{opened}; {report['made']}"
    title = report["recipe"]["title"]
    return Html(
        f"<header><h1>{text(report['name'])}</h1>{f'<p>{text(title)}</p>' if title else ''}{_missing(report)}"
        f'<p class="soft">{text(line)}</p><ul class="tiles">{"".join(_tiles(report))}</ul></header>'
    )


def _missing(report: Mapping[str, Any]) -> Html:
    """What the user has left empty in the recipe, so that nobody takes it for said."""
    lacking = not_filled_in({**report["recipe"], "name": report["name"]})
    words = f"Not filled in: {', '.join(lacking)}. Fill in the recipe, then train again."
    return Html(f'<p class="missing">{text(words)}</p>' if lacking else "")


def _tiles(report: Mapping[str, Any]) -> list[str]:
    figures, decision = report["evaluation"], report["evaluation"]["decision"]
    tiles = []
    if decision:
        reported = decision["uncertain_as_refer"]
        tiles += [("Sensitivity", reported, "sensitivity", "found of those who have it")]
        tiles += [("Specificity", reported, "specificity", "sent home of those who have it not")]
    else:
        tiles += [("Accuracy", figures, "accuracy", "right of all")]
    shown = [_tile(name, share(values, key), note) for name, values, key, note in tiles]
    readable = report["imageability"]
    if readable:
        shown.append(_tile("Imageability", share(readable, "share"), "images that could be judged"))
    area = area_of(report, of_score=bool(decision))
    shown.append(_tile(area[0].upper() + area[1:], number(decision or figures, "auc"), _what_auc(report)))
    if figures["ordinal"]:
        shown.append(_tile("Quadratic kappa", number(figures["ordinal"], "quadratic_kappa"), "agreement on the grade"))
    return shown


def _what_auc(report: Mapping[str, Any]) -> str:
    if report["evaluation"]["decision"]:
        return "of the score that is compared with the threshold"
    return "one class against the other" if len(report["classes"]) == 2 else "mean over the classes"


def _tile(name: str, value: Html, note: str) -> str:
    figure, _, interval = value.removesuffix("</small>").partition("<small>")
    within = f"95%: {interval}" if interval else ""
    return f"<li>{name}<b>{figure}</b><span>{within}</span><span>{text(note)}</span></li>"


def _foot(report: Mapping[str, Any]) -> str:
    return text(
        f"Intervals are 95%: Wilson's for shares, a bootstrap by group for AUC and kappa. Made {report['made']} from "
        f"report.json (format {report['format']}), which holds every figure of this page."
    )
