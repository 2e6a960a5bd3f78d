"""The language files: same keys, everything said, nothing left over; and no page asks for anything elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.quality import measures
from fieldlens.runtime.station import pins
from fieldlens.runtime.station.page import routes
from fieldlens.runtime.station.page.routes import DEFAULT, languages, translation
from fieldlens.runtime.station.serving.access import AuditEvent

PAGE = Path(routes.__file__).parent
SOURCES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted(PAGE.glob("[ts]*/*.[hjcs]*"))
    if path.suffix != ".json"
}
DYNAMIC = (
    "role_",
    "event_",
    "outcome_",
    "next_",
    "check_",
    "note_",
    "slip_next_",
    "problem_",
    "banner_",
    "bar_camera_",
)
FOR_MACHINES = {
    "bug", "csrf", "form", "host", "length", "no-banner", "no-images", "not-a-form", "not-allowed", "not-kept",
    "not-ready", "origin", "retake", "too-coarse",
}  # fmt: skip
"""Problems that no button of the page can bring about; the page has words for what it does not know, too."""


@pytest.mark.parametrize("language", sorted(languages()))
def test_each_language_says_the_same_things(language: str) -> None:
    texts, ours = translation(language), translation(DEFAULT)
    assert list(texts) == list(ours)
    for key, text in texts.items():
        assert text.strip() == text != ""
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", ours[key])), key
    if language != DEFAULT:
        same = {key for key, text in texts.items() if text == ours[key]}
        assert same <= {"image_caption", "latency_words", "slip_blank"}, "not translated"


def test_every_text_is_used_and_every_used_text_is_there() -> None:
    every = "".join(SOURCES.values())
    used = set(re.findall(r"\bt\.(\w+) ", every)) | set(re.findall(r'"([a-z][a-z_]+)"', every)) | {"language_name"}
    used |= set(re.findall(r"\bt\.(\w+)\b", "".join(text for name, text in SOURCES.items() if name.endswith("html"))))
    keys = set(translation(DEFAULT))
    assert {key for key in keys - used if not key.startswith(DYNAMIC)} == set()
    called = set(re.findall(r'\bt\("(\w+)"', every)) | set(re.findall(r"\{\{ t\.(\w+)", every))
    assert called - keys == set()


def test_everything_the_station_can_say_has_words() -> None:
    keys = set(translation(DEFAULT))
    for outcome in Outcome:
        assert {f"outcome_{outcome.value.replace('-', '_')}", f"next_{outcome.value.replace('-', '_')}"} <= keys
    assert {f"check_{check}_low" for check in measures._LOW} | {
        f"check_{check}_high" for check in measures._HIGH
    } <= keys
    for kind in [*(f"changed_{name}" for name in pins._WORDS), "clock", "image_quota"]:
        assert {f"banner_{kind}", f"banner_{kind}_hint"} <= keys
    code = "".join(path.read_text(encoding="utf-8") for path in PAGE.parent.rglob("*.py"))
    events = set(re.findall(r'AuditEntry\(\s*"([a-z-]+)"', code)) | {event.value for event in AuditEvent}
    assert len(events) > 10
    assert {f"event_{event.replace('-', '_')}" for event in events - {"none"}} <= keys
    kinds = set(re.findall(r'HttpProblem\(\s*\d+(?: if \w+ else \d+)?, "([a-z-]+)"', code)) - FOR_MACHINES
    assert len(kinds) > 8
    assert {f"problem_{kind.replace('-', '_')}" for kind in kinds} <= keys


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_nothing_comes_from_elsewhere_and_nothing_is_inline(name: str) -> None:
    text = SOURCES[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|\sstyle=|\son[a-z]+=", text)
    for tag in re.findall(r"<script[^>]*>", text):
        assert 'src="/static/' in tag or 'type="application/json"' in tag
