"""The live view as a person sees it: a real Chromium, and the colours on its screen.

An answer is wrong here when it is on the screen although its image is not of now. Answers have a bar in the colour of
their outcome; a card is grey.
"""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from playwright.sync_api import Browser, Page, sync_playwright

from fieldlens.runtime.pixels.drawing import _COLOURS, _GREY
from tests.runtime.cameras import ROOT, Filmed, camera, slowed

LIMIT_S = 2.0
SLACK_S = 1.0
"""For a browser on a machine that others use too."""
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.set_default_timeout(10_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


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


def seen(page: Page) -> set[str]:
    """Which of the outcomes' colours, and ``grey``, fill at least 2% of the screen."""
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    pixels = shot.reshape(-1, 3)[:, ::-1].astype(int)
    colours = {name: colour for name, colour in _COLOURS.items() if name != "retake"} | {"grey": _GREY}
    near = {name: float((np.abs(pixels - colour).max(axis=1) <= 12).mean()) for name, colour in colours.items()}
    return {name for name, share in near.items() if share >= 0.02}


def an_answer(page: Page) -> bool:
    return bool(seen(page) - {"grey"})


def only_grey(page: Page) -> bool:
    return seen(page) == {"grey"}


def seconds_until(condition: Callable[[], bool], at_most_s: float) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < at_most_s, "waited too long"
        time.sleep(0.02)
    return time.monotonic() - start


def text(page: Page) -> str:
    return page.inner_text("main")


def no_broken_image(page: Page) -> bool:
    return bool(page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)"))


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    seconds_until(lambda: an_answer(page), 10)


# ---------------------------------------------------------------- cameras

WAYS = pytest.mark.parametrize("path", ["", "stream.mjpg"], ids=["page", "bare stream"])


@WAYS
def test_a_stalled_camera_turns_grey_and_comes_back(basic: Sequence[object], page: Page, path: str) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        page.goto(url + path, wait_until="commit")
        seconds_until(lambda: an_answer(page), 10)
        filmed.tell("silent")
        took_s = seconds_until(lambda: only_grey(page), LIMIT_S + SLACK_S)
        assert took_s > LIMIT_S - 0.5
        if not path:
            assert re.search(r"Last image \d+ s ago", text(page))
        filmed.tell("ok")
        seconds_until(lambda: an_answer(page), 10)


def test_a_cut_camera_says_so_and_comes_back(basic: Sequence[object], page: Page) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        open_page(page, url)
        filmed.tell("cut")
        seconds_until(lambda: only_grey(page), LIMIT_S + SLACK_S)
        seconds_until(lambda: "camera lost" in text(page), 3)
        filmed.tell("ok")
        seconds_until(lambda: an_answer(page), 10)


def test_a_killed_server_turns_grey_and_a_new_one_is_found(basic: Sequence[object], page: Page) -> None:
    with camera() as filmed:
        with viewed(basic, filmed.url) as (process, url):
            open_page(page, url)
            process.send_signal(signal.SIGKILL)
            seconds_until(lambda: only_grey(page), LIMIT_S + SLACK_S)
            assert "Last image" in text(page)
            seconds_until(lambda: "does not answer" in text(page), 2)
            process.wait(5)
        with viewed(basic, filmed.url, port=int(url.rstrip("/").rpartition(":")[2])):
            seconds_until(lambda: an_answer(page), 10)


def test_a_stopped_server_turns_grey(basic: Sequence[object], page: Page) -> None:
    """The connection stands, and nothing comes: a machine that swaps, or sleeps."""
    with camera() as filmed, viewed(basic, filmed.url) as (process, url):
        open_page(page, url)
        process.send_signal(signal.SIGSTOP)
        seconds_until(lambda: only_grey(page), LIMIT_S + SLACK_S)
        process.send_signal(signal.SIGCONT)
        seconds_until(lambda: an_answer(page), 10)


def test_a_tab_that_was_in_the_background_shows_nothing_old(basic: Sequence[object], page: Page) -> None:
    hide = """(state) => {
        Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        open_page(page, url)
        page.evaluate(hide, "hidden")
        assert only_grey(page)
        filmed.tell("silent")
        time.sleep(LIMIT_S + 0.2)
        page.evaluate(hide, "visible")
        for _ in range(5):
            assert only_grey(page)
            time.sleep(0.1)
        filmed.tell("ok")
        seconds_until(lambda: an_answer(page), 10)


def test_a_tab_that_was_frozen_shows_nothing_old(basic: Sequence[object], page: Page) -> None:
    """Its timers and answers stand still, and it is not asked before."""
    with camera() as filmed, viewed(basic, filmed.url) as (_, url):
        open_page(page, url)
        page.evaluate("{ const end = Date.now() + 3000; while (Date.now() < end); }")
        page.evaluate("look()")
        assert page.evaluate("shown.kind !== 'answer' || since(shown.sent) < shown.left || part('view').hidden")
        seconds_until(lambda: an_answer(page), 10)


def test_the_limit_can_be_set(basic: Sequence[object], page: Page) -> None:
    with camera() as filmed, viewed(basic, filmed.url, "--stale-after", 0.6) as (_, url):
        open_page(page, url)
        filmed.tell("silent")
        assert seconds_until(lambda: only_grey(page), 0.6 + SLACK_S) > 0.2


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def images_in(page: Page, filmed: Filmed, seconds: float) -> int:
    """How many different images the page shows in a time."""
    page.evaluate("""() => { window.count = 0; new MutationObserver(() => { window.count += 1 })
        .observe(document.getElementById("image"), { childList: true }) }""")
    time.sleep(seconds)
    return int(page.evaluate("window.count"))


def test_a_slow_viewer_slows_nobody_and_costs_no_memory(basic: Sequence[object], page: Page) -> None:
    with camera() as filmed, viewed(basic, filmed.url) as (process, url):
        open_page(page, url)
        alone = images_in(page, filmed, 2)
        where = url.removeprefix("http://").rstrip("/")
        slow = []
        for path in ("/stream.mjpg", "/stream.mjpg", "/now?after="):
            raw = socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
            slow.append(raw)
        before = resident_mb(process.pid)
        beside = images_in(page, filmed, 3)
        print(f"\nimages a second: alone {alone / 2:.1f}, beside three that do not read {beside / 3:.1f}")
        assert beside / 3 > 0.7 * alone / 2
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


def level_of(page: Page) -> int:
    """The level of the image that is painted, at its left half's middle."""
    shot = cv2.imdecode(np.frombuffer(page.locator("#image img, img").first.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    height, width = shot.shape[:2]
    return int(shot[int(height * 0.4), width // 4].mean())


@WAYS
def test_a_watched_folder_shows_the_newest_image(
    basic: Sequence[object], page: Page, path: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with viewed(basic, folder, "--watch") as (_, url):
        page.goto(url + path, wait_until="commit")
        if not path:
            seconds_until(lambda: "Waiting for the first image" in text(page), 5)
            assert no_broken_image(page)
            assert not an_answer(page)
        for names in (["a.jpg"], ["b.jpg", "c.jpg", "d.jpg"], ["e.jpg"]):
            for name in names:
                put(folder, name, plain(40 + 35 * "abcde".index(name[0])))
            newest = names[-1]
            wanted = 40 + 35 * "abcde".index(newest[0])
            seconds_until(lambda wanted=wanted: abs(level_of(page) - wanted) < 8, 5)
            time.sleep(1.2)
            assert abs(level_of(page) - wanted) < 8
            if not path:
                assert newest in text(page)
                assert re.search(r"Last image \d s ago", text(page))


def test_a_broken_file_takes_the_place_of_the_answer_before(
    basic: Sequence[object], page: Page, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder, "good.jpg", plain(90))
    with viewed(basic, folder, "--watch") as (_, url):
        open_page(page, url)
        put(folder, "bad.jpg", plain(90)[:-200] + bytes(200) + b"\xff\xd9")
        seconds_until(lambda: only_grey(page), 15)
        assert "bad.jpg" in text(page)


def test_the_last_answer_stays_until_somebody_ends_the_run(basic: Sequence[object], page: Page, tmp_path: Path) -> None:
    put(tmp_path, "one.jpg", plain(90))
    with viewed(basic, tmp_path / "one.jpg") as (process, url):
        assert process.stdout is not None
        assert any(line.startswith("the live view keeps the last answer at http") for line in process.stdout)
        open_page(page, url)
        assert "one.jpg" in text(page)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
        seconds_until(lambda: "The run has ended" in text(page), 5)
        assert "Last image" in text(page)
        assert "one.jpg" in text(page)


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
