"""The page for everybody: axe-core, touch targets, both languages and schemes, phone and desktop, longer languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from fieldlens.runtime.station.page import routes
from tests.runtime.cameras import Filmed
from tests.runtime.station.page.conftest import DARK, DESKTOP, PHONE, SIGN, Served, Visits, answered, upload

SCREENS = """() => {
  const found = [];
  const shown = (it) => it.checkVisibility() && !it.closest(".unseen, .sprite, .skip");
  const name = (it) => `${it.tagName}#${it.id}.${it.className} ${(it.textContent || "").trim().slice(0, 40)}`;
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) found.push(`wider than the screen: ${wide}`);
  for (const it of document.querySelectorAll("body *")) {
    if (it.closest("svg") || !shown(it)) continue;
    const box = it.getBoundingClientRect();
    const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if ((own || it.matches("button, a.button")) && it.tagName !== "OPTION") {
      if (box.right > innerWidth + 1 || box.left < -1) found.push(`off the screen: ${name(it)}`);
      const block = getComputedStyle(it).display !== "inline";
      if (block && it.scrollWidth > it.clientWidth + 1) found.push(`cut off: ${name(it)}`);
    }
    const target = it.matches("button, a, input, select, textarea, summary, label.button");
    if (target && (box.height < 44 || box.width < 44)) {
      found.push(`small target ${box.width}x${box.height}: ${name(it)}`);
    }
  }
  return found;
}"""
UNTRANSLATED = """() => {
  const found = [];
  const whole = (text) => !/\\p{L}/u.test(text) || /^⟦[^]*⟧$/.test(text.trim());
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const ours = !node.parentElement.closest("script, noscript, [translate=no]");
    if (ours && !whole(node.textContent)) found.push(node.textContent.trim());
  }
  for (const it of document.querySelectorAll("body [aria-label], body [placeholder], body [alt], body [title]")) {
    for (const attribute of ["aria-label", "placeholder", "alt", "title"]) {
      if (!whole(it.getAttribute(attribute) || "")) found.push(`${attribute}: ${it.getAttribute(attribute)}`);
    }
  }
  return found;
}"""


def visited(page: Page, url: str) -> Iterator[str]:
    """Every screen of the page, one after the other."""
    page.goto(url)
    page.wait_for_selector(".viewer[data-state=live]")
    page.wait_for_selector("#bar-items li", state="attached")
    page.wait_for_selector("#banners form")
    page.wait_for_timeout(800)  # the hint waits for a moment
    yield "live"
    page.click("#person")
    yield "settings"
    page.keyboard.press("Escape")
    page.fill("#subject", "no good!")
    upload(page, ("a.txt", b"no image"))
    page.wait_for_selector("#subject-wrong:not([hidden])")
    page.fill("#subject", "A-17")
    upload(page, ("a.txt", b"no image"))
    page.wait_for_selector("#trouble .notice")
    yield "trouble"
    upload(page, ("left.jpg", SIGN), ("notes.txt", b"no image"), ("dark.jpg", DARK))
    page.wait_for_selector("#batch-done:not([disabled])")
    yield "batch"
    page.locator("#batch-items a").first.click()
    page.wait_for_selector("#outcome")
    page.click("#heat")
    page.click("#agree")
    page.fill("#note", "seen")
    page.locator("summary").click()
    yield "result"
    page.click(".review-fields button")
    page.wait_for_selector(".reviewed")
    yield "reviewed"
    page.goto(url)
    answered(page, DARK)
    yield "retake"
    page.goto(f"{url}history")
    page.wait_for_selector("#results li")
    page.click("#more-filters")
    yield "history"


@pytest.fixture
def with_banner(served_live: Served) -> Served:
    served_live.station.records.notify("changed-device", "A → B", "ask", "2026-11-27T00:00:00.000Z")
    return served_live


@pytest.mark.parametrize(
    ("language", "scheme", "size"),
    [("en", "light", PHONE), ("es", "dark", PHONE), ("en", "dark", DESKTOP), ("es", "light", DESKTOP)],
    ids=["en-light-390", "es-dark-390", "en-dark-1280", "es-light-1280"],
)
def test_axe_finds_nothing_serious(
    with_banner: Served, visits: Visits, language: str, scheme: Any, size: tuple[int, int]
) -> None:
    # Without motion: no colour is read half-way through a transition.
    page = visits.open(f"{with_banner.url}/?lang={language}", size, color_scheme=scheme, reduced_motion="reduce")
    found: dict[str, Any] = {}
    for screen in visited(page, f"{with_banner.url}/"):
        serious = [
            f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['any'][:1]}"
            for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")
        ]  # fmt: skip
        found[screen] = [*serious, *page.evaluate(SCREENS)]
    assert not {screen: wrong for screen, wrong in found.items() if wrong}


@pytest.fixture
def longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A language that is English in other letters, 40% longer, each text in brackets."""
    folder = tmp_path / "translations"
    folder.mkdir()
    letters = str.maketrans("aeiouyAEIOUnc", "áéíöüýÁÉÍÖÜñç")
    made = {}
    for key, text in routes.translation("en").items():
        parts = [part if part.startswith("{") else part.translate(letters) for part in split(text)]
        made[key] = f"⟦{''.join(parts)}{' öön' * round(len(text) * 0.4 / 4)}⟧"
    (folder / "xx.json").write_text(json.dumps(made), encoding="utf-8")
    (folder / "en.json").write_text(json.dumps(routes.translation("en")), encoding="utf-8")
    monkeypatch.setattr(routes, "TRANSLATIONS", folder)
    routes.languages.cache_clear()
    yield
    routes.languages.cache_clear()
    routes.translation.cache_clear()


def split(text: str) -> list[str]:
    """Words, and ``{name}`` apart from them."""
    return text.replace("{", "\0{").replace("}", "}\0").split("\0")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["390", "1280"])
def test_a_longer_language_is_whole_and_fits(
    longer: None, with_banner: Served, filmed: Filmed, visits: Visits, size: tuple[int, int]
) -> None:
    page = visits.open(f"{with_banner.url}/?lang=xx", size)
    found: dict[str, Any] = {}
    for screen in visited(page, f"{with_banner.url}/"):
        assert page.evaluate("document.documentElement.lang") == "xx"
        found[screen] = [*page.evaluate(UNTRANSLATED), *page.evaluate(SCREENS)]
    page.goto(with_banner.url)
    filmed.tell("silent")
    page.wait_for_selector(".viewer[data-state=stale]")
    page.wait_for_timeout(300)
    found["stale"] = [*page.evaluate(UNTRANSLATED), *page.evaluate(SCREENS)]
    with_banner.stop()
    page.wait_for_selector("#gone strong")
    found["gone"] = [*page.evaluate(UNTRANSLATED), *page.evaluate(SCREENS)]
    assert not {screen: wrong for screen, wrong in found.items() if wrong}
