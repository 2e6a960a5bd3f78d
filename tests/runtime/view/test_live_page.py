"""The live view as a person sees it: a real Chromium, and the colours on its screen.

An answer is wrong here when it is on the screen although its image is not of now. Answers have a bar in the colour of
their outcome; a card is grey.
"""

from __future__ import annotations

import functools
import http.client
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from playwright.sync_api import Browser, Page

from fieldlens.runtime.pixels.preprocess import Pixels
from tests.processes import resident_mb
from tests.runtime.cameras import ROOT, camera, slowed
from tests.runtime.conftest import corrupt_middle, jpeg, scene
from tests.runtime.screen import Screen, an_answer, only_grey

LIMIT_S = 2.0
SLACK_S = 1.0
"""From a time to what is painted, on a machine that others use too."""
WAIT_S = 20.0
"""For what takes a moment on an idle machine."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 640, "height": 480})
    opened.set_default_timeout(20_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def screen(page: Page) -> Iterator[Screen]:
    made = Screen(page)
    yield made
    made.close()


@contextmanager
def viewed(basic: Sequence[object], *arguments: object, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running command with ``--stream``, and the address that it names."""
    words = slowed(5, "classify", *arguments, *basic, "--stream", port)
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("live view: "))
        try:
            yield process, line.removeprefix("live view: ").strip()
        finally:
            process.kill()
            process.stdout.read()


def until(page: Page, condition: Callable[[], bool], at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        page.wait_for_timeout(50)


def text(page: Page) -> str:
    return page.inner_text("main")


def no_broken_image(page: Page) -> bool:
    return bool(page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)"))


# ---------------------------------------------------------------- cameras

WAYS = pytest.mark.parametrize("path", ["", "stream.mjpg"], ids=["page", "bare stream"])


@WAYS
def test_a_stalled_camera_turns_grey_and_comes_back(
    basic: Sequence[object], page: Page, screen: Screen, path: str
) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        page.goto(url + path, wait_until="commit")
        screen.until(an_answer, WAIT_S)
        filmed.tell("silent")
        stalled = time.time()
        took_s = screen.first(only_grey, stalled, WAIT_S)
        print(f"\ngrey {took_s:.2f} s after the last image")
        assert LIMIT_S - 0.5 < took_s < LIMIT_S + SLACK_S
        filmed.tell("ok")
        screen.until(an_answer, WAIT_S)


def test_a_cut_camera_says_so_and_comes_back(basic: Sequence[object], page: Page, screen: Screen) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        page.goto(url)
        screen.until(an_answer, WAIT_S)
        filmed.tell("cut")
        until(page, lambda: "camera lost" in text(page), WAIT_S)
        cut = screen.until(only_grey, WAIT_S)
        assert re.search(r"Last image \d+ s ago", text(page))
        page.wait_for_timeout(1500)
        assert all(only_grey(pixels) for painted_at, pixels in screen.painted if painted_at > cut)
        filmed.tell("ok")
        screen.until(an_answer, WAIT_S)


def test_a_server_that_stops_or_dies_turns_grey_and_a_new_one_is_found(
    basic: Sequence[object], page: Page, screen: Screen
) -> None:
    with camera() as filmed:
        with viewed(basic, filmed.url, "--stale-after", 1) as (process, url):
            page.goto(url)
            screen.until(an_answer, WAIT_S)
            process.send_signal(signal.SIGSTOP)  # the connection stands, and nothing comes
            took_s = screen.first(only_grey, time.time(), WAIT_S)
            print(f"\nstopped: grey after {took_s:.2f} s")
            assert took_s < 1 + SLACK_S
            process.send_signal(signal.SIGCONT)
            screen.until(an_answer, WAIT_S)
            process.send_signal(signal.SIGKILL)
            took_s = screen.first(only_grey, time.time(), WAIT_S)
            print(f"killed: grey after {took_s:.2f} s")
            assert took_s < 1 + SLACK_S
            until(page, lambda: "does not answer" in text(page), WAIT_S)
            assert re.search(r"Last image \d+ s ago", text(page))
            assert only_grey(screen.painted[-1][1])
        with viewed(basic, filmed.url, port=int(url.rstrip("/").rpartition(":")[2])):
            screen.until(an_answer, WAIT_S)


_HIDE = """(state) => {
    Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_was_away_shows_nothing_old(basic: Sequence[object], page: Page, screen: Screen) -> None:
    """In the background (headless Chromium paints every tab, so the script is told), or with a script that hung."""
    with camera() as filmed, viewed(basic, filmed.url, "--stale-after", 0.7) as (_, url):
        page.goto(url)
        screen.until(an_answer, WAIT_S)
        page.evaluate(_HIDE, "hidden")
        hidden = screen.until(only_grey, WAIT_S)
        filmed.tell("cut")
        page.wait_for_timeout(1000)
        page.evaluate(_HIDE, "visible")
        page.wait_for_timeout(700)
        assert all(only_grey(pixels) for painted_at, pixels in screen.painted if painted_at > hidden)
        filmed.tell("ok")
        screen.until(an_answer, WAIT_S)
        filmed.tell("cut")
        page.evaluate("{ const end = Date.now() + 1200; while (Date.now() < end); }")
        hung = time.time()
        back = screen.first(only_grey, hung, WAIT_S)
        assert back < SLACK_S
        assert not any(an_answer(pixels) for painted_at, pixels in screen.painted if painted_at > hung + back)


def images_a_second(page: Page, seconds: float) -> float:
    page.evaluate("""() => { window.count = 0; window.counter?.disconnect();
        window.counter = new MutationObserver(() => { window.count += 1 });
        window.counter.observe(document.getElementById("image"), { childList: true }) }""")
    page.wait_for_timeout(1000 * seconds)
    return float(page.evaluate("window.count")) / seconds


def test_a_slow_viewer_slows_nobody_and_costs_no_memory(basic: Sequence[object], page: Page) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (process, url):
        page.goto(url)
        until(page, lambda: page.locator("#image img").count() > 0, WAIT_S)
        alone = images_a_second(page, 2)
        where = url.removeprefix("http://").rstrip("/")
        slow = []
        for path in ("/stream.mjpg", "/stream.mjpg", "/now?after="):
            raw = socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
            slow.append(raw)
        before = resident_mb(process.pid)
        beside = images_a_second(page, 3)
        print(f"\nimages a second: alone {alone:.1f}, beside three that do not read {beside:.1f}")
        assert beside > 0.5 * alone > 0
        assert resident_mb(process.pid) < before + 20
        for raw in slow:
            raw.close()


# ---------------------------------------------------------------- files


def plain(level: int) -> bytes:
    """A flat grey JPEG: its level tells which image it is."""
    return bytes(simplejpeg.encode_jpeg(np.full((120, 160, 3), level, np.uint8), 95))


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / f".{name}.part").write_bytes(data)
    (folder / f".{name}.part").rename(folder / name)


def shows(pixels: Pixels, wanted: int) -> bool:
    return an_answer(pixels) and abs(level(pixels) - wanted) < 8


def level(pixels: Pixels) -> int:
    """Of the image on the left half of the screen."""
    return int(pixels[150, 160].mean())


@WAYS
def test_a_watched_folder_shows_the_newest_image(
    basic: Sequence[object], page: Page, screen: Screen, path: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with viewed(basic, folder, "--watch") as (_, url):
        page.goto(url + path, wait_until="commit")
        if not path:
            until(page, lambda: "Waiting for the first image" in text(page), WAIT_S)
            assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        screen.until(only_grey, WAIT_S)
        for names in ("a", "bcd", "e"):
            for name in names:
                put(folder, f"{name}.jpg", plain(40 + 35 * "abcde".index(name)))
            wanted = 40 + 35 * "abcde".index(names[-1])
            screen.until(functools.partial(shows, wanted=wanted), WAIT_S)
            page.wait_for_timeout(700)
            assert abs(level(screen.painted[-1][1]) - wanted) < 8
            if not path:
                assert f"{names[-1]}.jpg" in text(page)
                assert re.search(r"Last image \d s ago", text(page))


def test_a_broken_file_takes_the_place_of_the_answer_before(
    basic: Sequence[object], page: Page, screen: Screen, tmp_path: Path
) -> None:
    put(tmp_path, "good.jpg", plain(90))
    with viewed(basic, tmp_path, "--watch") as (_, url):
        page.goto(url)
        screen.until(an_answer, WAIT_S)
        put(tmp_path, "bad.jpg", corrupt_middle(jpeg(scene(1))))
        screen.until(only_grey, WAIT_S)
        assert "bad.jpg" in text(page)


def test_the_last_answer_stays_until_somebody_ends_the_run(
    basic: Sequence[object], page: Page, screen: Screen, tmp_path: Path
) -> None:
    put(tmp_path, "one.jpg", plain(90))
    with viewed(basic, tmp_path / "one.jpg") as (process, url):
        assert process.stdout is not None
        assert any(line.startswith("the live view keeps the last answer at http") for line in process.stdout)
        page.goto(url)
        screen.until(an_answer, WAIT_S)
        assert "one.jpg" in text(page)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
        until(page, lambda: "The run has ended" in text(page), WAIT_S)
        assert re.search(r"Last image \d+ s ago", text(page))
        assert "one.jpg" in text(page)


@pytest.mark.parametrize("bound", [("--limit", 1), ("--duration", 1)], ids=["limit", "duration"])
def test_who_bounds_a_run_ends_its_view_too(basic: Sequence[object], tmp_path: Path, bound: tuple[str, int]) -> None:
    put(tmp_path, "one.jpg", plain(90))
    with viewed(basic, tmp_path / "one.jpg", *bound) as (process, _):
        assert process.wait(WAIT_S) == 0


# ---------------------------------------------------------------- the bytes


def test_each_boundary_and_header_follows_its_image_at_once(basic: Sequence[object], tmp_path: Path) -> None:
    """Chromium paints an image when the next part's header is there; a pause must not lie between them."""
    put(tmp_path, "one.jpg", plain(90))
    with viewed(basic, tmp_path, "--watch") as (_, url):
        connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
        connection.request("GET", "/stream.mjpg")
        answer = connection.getresponse()
        boundary = f"--{answer.headers.get_param('boundary')}".encode()
        data = b""
        while data.count(b"\xff\xd9") < 2:
            data += answer.read1(65_536)
        answer.close()
        connection.close()
    assert data.startswith(boundary + b"\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8")
    assert data.endswith(b"\xff\xd9\r\n" + boundary + b"\r\nContent-Type: image/jpeg\r\n\r\n")
    assert not re.search(rb"\xff\xd9(\r\n){2,}", data)
