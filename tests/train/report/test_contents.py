from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from fieldlens.train.report.contents import public
from fieldlens.train.report.page import page
from fieldlens.train.report.text import needed_without_a_miss
from tests.train.made_reports import NASTY, binary, ordinal, report_of, several

KINDS = {"binary": binary, "ordinal": ordinal, "multilabel": several}


@pytest.fixture(scope="module", params=KINDS)
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    return report_of(KINDS[request.param]())


class Reader(HTMLParser):
    """Every tag with its attributes, in order; and that what is opened is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    return reader


def test_it_is_plain_json(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_page_stands_alone_and_can_be_read_by_anyone(report: dict[str, Any]) -> None:
    html = page(report)
    assert len(html) < 1_500_000
    reader = read(html)
    assert not re.search(r"https?://|@import|url\(", html)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.tags}
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) >= 4
    assert all(each["alt"] and (each["src"] or "").startswith("data:image/") for each in images)
    assert html.count("<table") == html.count("<caption")
    assert {"lang": "en"} in [attributes for tag, attributes in reader.tags if tag == "html"]
    assert "width=device-width" in html
    assert "@media print" in html


def test_drawings_are_svg_with_letters(report: dict[str, Any]) -> None:
    drawings = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page(report))
    for drawing in drawings:
        root = ElementTree.fromstring(base64.b64decode(drawing))
        assert root.findall(".//{http://www.w3.org/2000/svg}text")


@pytest.mark.parametrize(
    "words",
    [
        "What these figures can carry", "Calibration", "ROC and precision-recall", "Other thresholds", "Worst mistakes",
        "Sites and subgroups", "Imageability", "Training", "Data and split", "Inference time", "Model card",
        "Reference standard", "Limitations", "ab" * 32, "hill", "1.50 ms",
    ],
)  # fmt: skip
def test_what_a_reviewer_looks_for_is_there(report: dict[str, Any], words: str) -> None:
    assert words in read(page(report)).words


def test_grades_and_labels_have_their_own_tables() -> None:
    assert "quadratic kappa" in page(report_of(ordinal()))
    words = page(report_of(several()))
    assert "Each label at its own threshold" in words
    assert "quadratic kappa" not in words


def test_names_from_the_data_are_letters_only() -> None:
    made = binary(names=("clear", NASTY))
    html = page(report_of(made))
    assert NASTY not in html
    assert NASTY in read(html).words
    drawings = [base64.b64decode(d).decode() for d in re.findall(r"svg\+xml;base64,([^\"]+)", html)]
    assert not any("<script" in drawing for drawing in drawings)


def test_many_classes_do_not_make_a_page_that_nobody_can_read() -> None:
    import numpy as np

    random = np.random.default_rng(0)
    labels = (np.arange(600) % 60).tolist()
    logits = random.normal(size=(600, 60)) + 2 * np.eye(60)[labels]
    made = {"labels": labels, "logits": logits, "names": tuple(f"c{index:02d}" for index in range(60))}
    report = report_of(made)
    assert report["evaluation"]["decision"] is None
    assert "The commonest mix-ups" in page(report)


@pytest.mark.parametrize(("share", "count"), [(0.95, 73), (0.9, 35), (0.5, 4)])
def test_how_many_without_a_miss(share: float, count: int) -> None:
    assert needed_without_a_miss(share) == count


def test_limits_are_computed_from_the_counts() -> None:
    lines = " ".join(report_of(binary(apart=40))["limits"])
    assert "40 test positives: the lower bound of 40/40 is 91.2%." in lines
    assert "does not prove sensitivity above 94.4%" in lines  # what 40 validation positives can promise
    assert f"needs at least {needed_without_a_miss(0.944)} positives without a miss; here are 40." in lines
    assert "120 images come from 60 groups" in lines


def test_limits_name_what_makes_figures_doubtful() -> None:
    plain = " ".join(report_of(binary())["limits"])
    near = {"count": 3, "pairs": [{"first": "a.png"}]}
    doubtful = " ".join(report_of(binary(), 4, ungrouped=True, near_duplicates=near, skipped=["x.png"])["limits"])
    for words in ("looked at 4 times", "--ungrouped", "two sides of the split (perceptual hash): 3", "--skip-bad"):
        assert words in doubtful
        assert words not in plain


def test_mistakes_are_the_worst_and_only_named() -> None:
    report = report_of(binary(apart=1.0))
    kinds = [row["kind"] for row in report["mistakes"]]
    assert kinds == sorted(kinds, reverse=True)
    alarms = [row["score"] for row in report["mistakes"] if row["kind"] == "false alarm"]
    assert alarms == sorted(alarms, reverse=True)
    assert alarms
    assert "image/jpeg" not in page(report)
    shown = page(report, {report["mistakes"][0]["index"]: b"\xff\xd8"})
    assert shown.count("data:image/jpeg;base64,/9g=") == 1


def test_what_may_travel_names_no_image() -> None:
    report = report_of(
        binary(apart=1.0), skipped=["p7.png"], near_duplicates={"count": 1, "pairs": [["a.png", "b.png"]]}
    )
    assert "clinic/" in json.dumps(report)
    travelling = public(report)
    assert not re.search(r"clinic/|p7\.png|a\.png", json.dumps(travelling) + page(travelling))
    assert travelling["evaluation"] == report["evaluation"]
    assert len(travelling["mistakes"]) == len(report["mistakes"])


def test_imageability_counts_the_gate_and_judges_both_ways() -> None:
    found = report_of(binary())["imageability"]
    assert (found["n"], found["readable"], found["reasons"]) == (120, 114, {"sharpness": 6})
    assert found["all"]["n"] == 120
    assert found["only_readable"]["n"] == 114
