"""The sections of the page, in the order of a sceptical reader's questions. Each is empty where there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldlens.train.report import svg
from fieldlens.train.report.tables import (
    SENSITIVITY,
    SPECIFICITY,
    Html,
    Tinted,
    figure,
    number,
    paragraph,
    section,
    share,
    table,
    text,
)
from fieldlens.train.report.text import OUT_OF_FOLD, area_of, percent

Report = Mapping[str, Any]
HIT, ERROR = (11, 79, 138), (190, 80, 0)
"""Blue and orange, which people with any colour vision can tell apart."""
MOST_CELLS = 12
"""Classes of a confusion matrix that fits on a page; more of them become a list of the commonest mix-ups."""


def names_of(report: Report) -> dict[str, str]:
    """Class id → name for people."""
    return {item["id"]: item["display"] for item in report["classes"]} | {"refer": "referred"}


def limits(report: Report) -> Html:
    """What the figures cannot carry, before the figures."""
    lines = "".join(f"<li>{text(line)}</li>" for line in report["limits"])
    return Html(f'<section class="limits"><h2>What these figures can carry</h2><ul>{lines}</ul></section>')


def decision(report: Report) -> Html:
    """Rates at the operating point, and predictive values elsewhere."""
    found = report["evaluation"]["decision"]
    if not found:
        return Html("")
    measures = ("sensitivity", "specificity", "ppv", "npv")
    rows = [
        (name, *(share(values, measure) for measure in measures))
        for name, values in (("uncertain counts as refer", found["uncertain_as_refer"]), ("at the threshold", found))
    ]
    low, high = found["band"]
    counts = ", ".join(f"{name} {count}" for name, count in found["outcomes"].items())
    aim = found.get("aim") or found["target"]  # reports of before have the target alone
    words = f"Chosen for {aim}: refer from a score of {found['threshold']:.3f}; "
    words += f"uncertain, to be treated as refer, from {low:.3f} to {high:.3f}." if low < high else "never uncertain."
    if report["part"]["name"] == OUT_OF_FOLD:
        words = f"Chosen for {aim}. {report['crossval']['pooled']['how']}"
    if found.get("promise"):
        words += f" What that promises: {found['promise']}. The 95% intervals below are another thing: two-sided, and "
        words += "about where the true share may lie as far as the images judged here tell."
    if found.get("band_promise"):
        words += f" Of the band: {found['band_promise']}."
    words += f" Here: {counts}."
    caption = (
        f"{found['positives']} positives, {found['negatives']} negatives; PPV and NPV at this set's prevalence of "
        f"{percent(found['positives'] / found['n'])}"
    )
    return section(
        "At the operating point", paragraph(words),
        table(caption, ("", SENSITIVITY, SPECIFICITY, "PPV", "NPV"), rows), _prevalences(report),
    )  # fmt: skip


def _prevalences(report: Report) -> Html:
    rows = [
        (
            percent(row["prevalence"]), share(row, "ppv", 0), share(row, "npv", 0),
            *(f"{row[key]:.0f}" for key in ("referred_per_1000", "found_per_1000")), f"{row['missed_per_1000']:.1f}",
        )
        for row in report["prevalences"]
        if "ppv" in row
    ]  # fmt: skip
    header = ("have it", "PPV", "NPV", "referred /1000", "found /1000", "missed /1000")
    return (
        table("The same model where another share of the people have it (uncertain counts as refer)", header, rows)
        if rows
        else Html("")
    )


def confusion(report: Report) -> Html:
    """Most probable class against the truth, and each class by itself."""
    counts, names = report["evaluation"]["confusion"], names_of(report)
    shown = [names[item["id"]] for item in report["classes"]]
    matrix = Html("")
    if counts and len(shown) <= MOST_CELLS:
        rows = [
            [name, *(_cell(count, sum(row), index == place) for place, count in enumerate(row))]
            for index, (name, row) in enumerate(zip(shown, counts, strict=True))
        ]
        caption = "Rows: the truth. Columns: the most probable class. Counts and share of the row"
        matrix = table(caption, ("", *shown), rows, "confusion")
    elif counts:
        mixed = sorted(((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j))[::-1]
        rows = [[shown[i], shown[j], n] for n, i, j in mixed[:MOST_CELLS]]
        matrix = table("The commonest mix-ups", ("truth", "said", "images"), rows)
    return section("Confusion and classes", matrix, _classes(report))


def _cell(count: int, whole: int, right: bool) -> Tinted:
    """Tinted by the row's share: blue where it is right, orange where it is wrong, however few those are."""
    part = count / whole if whole else 0.0
    strength = 0.0 if not count else 0.05 + 0.95 * part if right else 0.25 + 0.75 * part
    return Tinted(Html(f"{count}<small>{percent(part, 0)}</small>"), HIT if right else ERROR, strength)


def _classes(report: Report) -> Html:
    names, several = names_of(report), report["task"] == "multilabel"
    rows = []
    for key, row in list(report["evaluation"]["classes"].items())[:100]:
        if several:
            rates = [f"{row['threshold']:.3f}", share(row, "sensitivity", 0), share(row, "specificity", 0)]
        else:
            rates = [f"{row[measure]:.3f}" for measure in ("precision", "recall", "f1")]
        rows.append([names[key], row["support"], *rates, number(row, "auc", 2 if several else 3)])
    middle = ("threshold", SENSITIVITY, SPECIFICITY) if several else ("precision", "recall", "F1")
    caption = (
        "Each label at its own threshold" if several else "Each class against the rest, by the most probable class"
    )
    caption += "; its own AUC"
    return table(caption, ("", "images", *middle, "AUC"), rows)


def ordinal(report: Report) -> Html:
    """Grades in order."""
    found = report["evaluation"]["ordinal"]
    if not found:
        return Html("")
    rows = [
        ("quadratic kappa", number(found, "quadratic_kappa")),
        ("same grade", percent(found["exact"])),
        ("one grade off", share(found, "off_by_one")),
        ("two or more off", percent(found["off_by_more"])),
        ("mean absolute error", f"{found['mean_absolute_error']:.3f} grades"),
    ]
    return section("Grades", table("How far the most probable grade is from the truth", (), rows, "facts"))


def curves(report: Report) -> Html:
    """ROC and precision-recall with the operating point."""
    if not report["roc"]:
        return Html("")
    at, names = report["evaluation"]["decision"], names_of(report)
    area = report["evaluation"]["auc"]
    where = ""
    if at and at["sensitivity"] is not None and at["specificity"] is not None:
        where = f" Operating point: sensitivity {percent(at['sensitivity'])}, specificity {percent(at['specificity'])}."
    roc = figure(
        svg.roc(report["roc"], at, names),
        f"ROC curve. {area_of(report)} {area if area is None else round(area, 3)}.{where}",
        "ROC. The cross is the operating point with its 95% intervals, the dotted line chance.",
    )  # fmt: skip
    pr = figure(
        svg.precision_recall(report["pr"], at, names), f"Precision-recall curve.{where}",
        "Precision and recall; AP is the average precision.",
    )  # fmt: skip
    return section("ROC and precision-recall", Html(f'<div class="pair">{roc}{pr}</div>'))


def calibration(report: Report) -> Html:
    """Does 80% mean 80%?"""
    found = report["calibration"]
    drawing = figure(
        svg.reliability(found),
        f"Reliability diagram. ECE {found['before']['ece']:.3f} before, {found['after']['ece']:.3f} after temperature.",
        "On the dotted line, what is said is what is true. The larger a mark, the more answers are behind it.",
    )
    one = f"Temperature {report['model']['temperature']:.3f}, fitted on validation."
    own = "Each fold has its own temperature, fitted on its validation."
    words = (
        f"{own if report['part']['name'] == OUT_OF_FOLD else one} Expected calibration error: "
        f"{found['before']['ece']:.3f} before, {found['after']['ece']:.3f} after (15 bins)."
    )
    return section("Calibration", paragraph(words), drawing)


def thresholds(report: Report) -> Html:
    """What another threshold would do, for all and for each site."""
    found = report["thresholds"]
    if not found:
        return Html("")
    share_of = f"{percent(found['prevalence'])} of the people have it"
    source = "as asked" if found["given"] else "as in this set; --prevalence gives another"
    tables = [_thresholds(f"All images; {share_of} ({source})", found["rows"])]
    tables += [
        Html(f"<details><summary>{text(site)}</summary>{_thresholds(f'{site}; {share_of}', rows)}</details>")
        for site, rows in report["thresholds_by_site"].items()
    ]
    note = "A clinic that moves its threshold should do so on its own labelled images, not on these. Thresholds that "
    note += "judge every image alike share a row."
    return section("Other thresholds", paragraph(note), *tables)


def _thresholds(caption: str, rows: list[dict[str, Any]]) -> Html:
    header = ("refer from", SENSITIVITY, SPECIFICITY, "PPV", "NPV", "ref. /1000", "missed /1000")
    lines = [
        (
            Html(f"{row['threshold']:.3f}" + (f"<small>{text(row['note'])}</small>" if row["note"] else "")),
            share(row, "sensitivity", 0), share(row, "specificity", 0), percent(row["ppv"], 0), percent(row["npv"], 0),
            f"{row['referred_per_1000']:.0f}", f"{row['missed_per_1000']:.1f}",
        )
        for row in rows
    ]  # fmt: skip
    return table(caption, header, lines, "thresholds", [i for i, row in enumerate(rows) if row["note"] == "chosen"])


def sites(report: Report) -> Html:
    """Per site and per subgroup."""
    area = area_of(report)
    tables = [_subset("Sites", report["sites"], area)] if len(report["sites"]) > 1 else []
    tables += [
        _subset(column, [row for row in report["subgroups"] if row["column"] == column], area)
        for column in dict.fromkeys(row["column"] for row in report["subgroups"])
    ]
    return section("Sites and subgroups", *tables)


def _subset(caption: str, rows: list[dict[str, Any]], area: str) -> Html:
    decided = any("decision" in row for row in rows)
    lines = []
    for row in rows:
        rates = [share(row.get("decision"), key, 0) for key in ("sensitivity", "specificity")] if decided else []
        read = row["readable"]
        count = row["n"] if read is None else Html(f"{row['n']}<small>{percent(read / row['n'], 0)} readable</small>")
        lines.append((row["name"], count, *rates, share(row, "accuracy", 0), number(row, "auc", 2)))
    columns = (SENSITIVITY, SPECIFICITY) if decided else ()
    return table(f"{caption} (uncertain counts as refer)" if decided else caption,
                 ("", "images", *columns, "accuracy", area), lines)  # fmt: skip


def pointing(report: Report) -> Html:
    """Do the heat maps point at the findings? Reports of older versions do not say."""
    found = report.get("pointing")
    if not found:
        return Html("")
    first = next(iter(found.values()))
    rows: list[tuple[object, ...]] = [
        (name, f"{row['cells']}×{row['cells']}", row["n"], share(row, "hit", 0), share(row, "inside", 0))
        for name, row in found.items()
    ]
    rows.append(("the image's middle", "–", first["n"], percent(first["middle"]), "–"))
    rows.append(("chance", "–", first["n"], percent(first["chance"]), percent(first["chance"])))
    words = "Of images that are referred (or, without a decision, judged rightly) and whose finding is marked in the "
    words += "data: the map as it is drawn, against the mark. The marks were not used for training."
    if first["not_drawn"]:
        words += f" On a device there is {first['not_drawn']}."
    header = ("map", "cells", "images", "brightest point inside", "colour inside")
    return section("Heat maps", paragraph(words), table("The pointing game", header, rows))


def imageability(report: Report) -> Html:
    """How many images the device would have judged."""
    found = report["imageability"]
    if not found:
        return Html("")
    rows = []
    for name, values in (("all", found["all"]), ("readable", found["only_readable"])):
        if values:
            reported = values.get("decision")
            rates = [share(reported, key, 0) for key in ("sensitivity", "specificity")] if reported else []
            rows.append((name, values["n"], *rates, share(values, "accuracy", 0), number(values, "auc", 2)))
    columns = (SENSITIVITY, SPECIFICITY) if "decision" in found["all"] else ()
    reasons = ", ".join(f"{name} {count}" for name, count in found["reasons"].items()) or "none"
    words = f"{found['readable']} of {found['n']} images pass the device's gate. Checks that failed: {reasons}."
    return section(
        "Imageability", paragraph(words),
        table("An image that the gate refuses is taken again; it is counted in the first row as the network alone "
              "judges it", ("", "images", *columns, "accuracy", area_of(report)), rows),
    )  # fmt: skip
