"""The page's second half: the worst mistakes, how it was trained, on which data, how fast, and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldlens.train.report import svg
from fieldlens.train.report.sections import MOST_CELLS, Report, names_of
from fieldlens.train.report.tables import (
    SENSITIVITY,
    SPECIFICITY,
    Html,
    figure,
    number,
    paragraph,
    photograph,
    section,
    share,
    table,
    text,
)
from fieldlens.train.report.text import area_of, percent


def mistakes(report: Report, pictures: Mapping[int, bytes]) -> Html:
    """The worst ones; with images only where they were asked for."""
    rows, names = report["mistakes"], names_of(report)
    if not rows:
        return section("Worst mistakes", paragraph("None: no image was judged wrongly."))
    shown = []
    beware = "" if report.get("nameless") else " Names of files may name patients; a bundle's report has none of them."
    for row in rows:
        if row["index"] in pictures:
            words = f"{row['kind']}: {row['id']}. Truth: {row['true']}; said: {_said(row, names)}"
            shown.append(photograph(pictures[row["index"]], f"Image and heat map. {words}", words))
    if shown:
        note = f"Right, where there is a heat map: where the model looked, not where the disease is.{beware}"
        return section("Worst mistakes", paragraph(note), Html(f'<div class="mistakes">{"".join(shown)}</div>'))
    lines = [(row["kind"], row["id"], row["true"], _said(row, names)) for row in rows]
    caption = f"The most confident first.{beware}" if beware else "The most confident first"
    return section("Worst mistakes", table(caption, ("", "image", "truth", "said"), lines, "facts"))


def _said(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return f"{names[row['said']]} {percent(row['probability'], 0)}"


def training(report: Report) -> Html:
    """Loss and metric by epoch, of one fit or of every fold."""
    fits = [curve for curve in report["curves"] if curve["epochs"]]
    if not fits:
        return Html("")
    metric = "val_auc" if any("val_auc" in row for row in fits[0]["epochs"]) else "val_accuracy"
    last = fits[0]["epochs"][-1]
    alt = f"Curves of {len(fits)} fit(s) over up to {max(len(f['epochs']) for f in fits)} epochs; "
    alt += f"the first ended with validation loss {last.get('val_loss', float('nan')):.3f}."
    caption = "Loss on augmented training images and on validation" if len(fits) == 1 else "Validation, a line per fold"
    return section("Training", figure(svg.epochs(fits, metric, area_of(report)), alt, caption), _folds(report))


def _folds(report: Report) -> Html:
    found = report["crossval"]
    if not found:
        return Html("")
    rows = [
        (fold["fold"], fold["n"], share(fold, "accuracy", 0), number(fold, "auc", 2), share(fold, "sensitivity", 0),
         share(fold, "specificity", 0), f"{fold['temperature']:.2f}")
        for fold in found["folds"]
    ]  # fmt: skip
    header = ("fold", "images", "accuracy", area_of(report), SENSITIVITY, SPECIFICITY, "temp.")
    return table("Each fold's own figures, judged by a network that had not seen it", header, rows)


def data(report: Report) -> Html:
    """Which data, how it was split, and what is doubtful about it."""
    found = report["data"]
    alike = found["near_duplicates"]
    rows = [
        ("data set", found["name"]),
        ("SHA-256", Html(f"<code>{text(found['hash'])}</code>")),
        ("SHA-256 of the training's data", "the same" if found["hash"] == found["training_hash"] else
         Html(f"<code>{text(found['training_hash'])}</code> (another set)")),
        ("SHA-256 of the split", Html(f"<code>{text(found['split_hash'])}</code>")),
        ("groups", "ignored (--ungrouped)" if found["ungrouped"] else found["groups"] or "none named"),
        ("sites", ", ".join(found["sites"]) or "none named"),
        ("unreadable files left out", found["skipped"] and f"{found['skipped']}: {'; '.join(found['skipped_files'])}"),
        ("near-duplicates across the split", "not looked for" if alike is None else alike),
        ("looks at these images", report["part"]["opened"] or "–"),
    ]  # fmt: skip
    few = [row for row in found["parts"] if len(row["classes"]) <= MOST_CELLS]
    parts = [(row["part"], row["n"], row["groups"] or "–", *row["classes"].values()) for row in few]
    header = ("part", "images", "groups", *(few[0]["classes"] if few else ()))
    split = table("Images of each class in each part", header, parts) if few else Html("")
    return section("Data and split", table("What was judged", (), rows, "facts"), split)


def inference(report: Report) -> Html:
    """Time per image with its conditions, and every precision of a bundle."""
    found, parts = report["inference"], []
    if found:
        rows = [
            ("mean per image", f"{found['mean_ms']:.2f} ms"),
            ("one by one, median", f"{found['single_p50_ms']:.2f} ms"),
        ]
        if "total_mean_ms" in found:
            rows.append(("mean with decoding and preprocess", f"{found['total_mean_ms']:.2f} ms"))
        caption = "An orientation, measured while evaluating; `fieldlens bench` measures"
        parts = [table(caption, (), [*rows, ("what", found["what"]), ("where", found["where"])], "facts")]
    if report["precisions"]:
        lines = []
        for name, values in report["precisions"].items():
            reported = values["decision"] and values["decision"]["uncertain_as_refer"]
            lines.append((name, share(values, "accuracy", 0), number(values, "auc"), share(reported, "sensitivity", 0),
                          share(reported, "specificity", 0), f"{values['ece']:.3f}"))  # fmt: skip
        header = ("precision", "accuracy", area_of(report), SENSITIVITY, SPECIFICITY, "ECE")
        parts.append(table("Every precision that was run, on the same images", header, lines))
    return section("Inference time" + (" and precisions" if report["precisions"] else ""), *parts)


def card(report: Report) -> Html:
    """The model card, under CLAIM's headings."""
    entries = "".join(
        f"<h3>{text(entry['heading'])}</h3>" + "".join(f"<p>{text(words)}</p>" for words in entry["text"])
        for entry in report["card"]
    )
    note = paragraph("Headings follow CLAIM (Checklist for AI in Medical Imaging, 2024 update).")
    return section("Model card", note, Html(entries))
