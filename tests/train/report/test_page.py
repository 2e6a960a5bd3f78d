"""The evaluation report in a real Chromium: light, dark and on a telephone; hits and errors in different colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from fieldlens.train.report.page import page
from fieldlens.train.report.sections import ERROR, HIT, _cell
from fieldlens.train.report.tables import Html, Tinted, _luminance
from tests.train.made_reports import binary, ordinal, report_of, several


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(report_of(ordinal())))
    return path


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "dark"), (390, "light")])
def test_it_can_be_read_in_the_dark_and_on_a_telephone(report: Path, browser: Browser, width: int, scheme: str) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    shown.goto(report.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert _luminance(tuple(map(int, re.findall(r"\d+", background)))) < 0.02 or scheme == "light"  # type: ignore[arg-type]
    drawing = shown.locator("figure img").first.evaluate("each => getComputedStyle(each).backgroundColor")
    assert drawing == ("rgb(255, 255, 255)" if scheme == "dark" else "rgba(0, 0, 0, 0)")  # its letters are black
    faults = Axe().run(shown, options={"runOnly": ["color-contrast"]}).response["violations"]
    assert [fault["nodes"][0]["html"] for fault in faults] == []
    shown.close()


def test_an_error_has_another_colour_than_a_hit_however_seldom_it_is() -> None:
    seldom, hit, none = _cell(1, 100, False), _cell(1, 100, True), _cell(0, 100, False)
    assert (seldom.rgb, hit.rgb) == (ERROR, HIT)
    red, _, blue = seldom.ground
    assert red - blue > 40  # seen as orange
    assert hit.ground[2] > hit.ground[0]
    assert none.ground == (255, 255, 255)


@pytest.mark.parametrize("rgb", [HIT, ERROR])
def test_every_share_can_be_read_on_its_ground(rgb: tuple[int, int, int]) -> None:
    for strength in range(101):
        cell = Tinted(Html("1"), rgb, strength / 100)
        ground, ink = _luminance(cell.ground), {"#fff": 1.0, "#000": 0.0}[cell.ink]
        lighter, darker = max(ground, ink), min(ground, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_each_auc_has_one_name_on_the_page() -> None:
    two = page(report_of(binary()))
    assert "score AUC" not in two.lower()
    assert "macro AUC" not in two
    grades = page(report_of(ordinal()))
    assert "<li>Score AUC<b>" in grades
    assert ">macro AUC</th>" in grades
    labels = page(report_of(several()))
    assert re.search(r"macro AUC \d", labels)  # in the model card
    for html in (grades, labels):  # a plain one is of one class alone, and its table says so
        assert re.findall(r"(?<!macro )(?<!Score )\bAUC</th>", html) == ["AUC</th>"]
