"""The page in a real Chromium: a station that listens in this process, and a browser that reaches loopback only."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, FilePayload, Page, Route

from fieldlens.runtime.model import load
from fieldlens.runtime.sources.cameras.address import parse_address
from fieldlens.runtime.station.app import build_app, own_hosts
from fieldlens.runtime.station.serving.server import listen, serve
from fieldlens.runtime.station.station import Station, StationSettings
from fieldlens.runtime.stopping import Stopper
from tests.runtime.cameras import Filmed, camera
from tests.runtime.conftest import build_bundle, jpeg, tiny_manifest
from tests.runtime.station.conftest import add_accounts

PHONE, DESKTOP = (390, 844), (1280, 800)
_LIMITS = {"limits": {"brightness": [40, 250]}, "bounds": {"brightness": [20, 255]}}


def image(red: int, green: int, blue: int, seed: int = 1) -> bytes:
    """A JPEG of about this colour. The fake backend refers what is greener than red."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 30, (6, 8, 1)) + np.array([red, green, blue])
    smooth = cv2.resize(coarse.astype(np.float32), (640, 480), interpolation=cv2.INTER_CUBIC)
    return jpeg(np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8))


SIGN, CLEAR, BETWEEN, DARK = image(90, 170, 110), image(190, 90, 90), image(126, 120, 120), image(8, 8, 8)


@dataclass
class Served:
    """A station and its address, without a slash at the end. ``stop`` ends the server, not the station."""

    station: Station
    url: str
    stop: Callable[[], None]


@pytest.fixture(scope="session")
def gated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, a decision, and a gate that refuses dark images."""
    manifest = dataclasses.replace(tiny_manifest(), quality=_LIMITS)
    return build_bundle(tmp_path_factory.mktemp("gated") / "gated.bundle", manifest)


@contextmanager
def serving_here(bundle: Path, place: Path, camera_url: str = "", port: int = 0, **options: Any) -> Iterator[Served]:
    """A station with the fake backend, listening in this process."""
    address = parse_address(camera_url) if camera_url else None
    settings = StationSettings(place / "data", **options)
    stopper = Stopper()
    with (
        contextlib.closing(
            Station(settings, lambda: load(bundle, backend="fake", state=place / "state"), address)
        ) as station,
        listen("127.0.0.1", port) as listener,
    ):
        own_port = listener.getsockname()[1]
        app = build_app(station, own_hosts(own_port))
        thread = threading.Thread(target=serve, args=(app, listener, settings.limits, stopper), daemon=True)
        thread.start()

        def stop() -> None:
            stopper.reason = "test"
            thread.join(10)

        try:
            yield Served(station, f"http://127.0.0.1:{own_port}", stop)
        finally:
            stop()


@pytest.fixture
def served(gated_folder: Path, tmp_path: Path) -> Iterator[Served]:
    with serving_here(gated_folder, tmp_path, site="North clinic") as served:
        yield served


@pytest.fixture
def manned(served: Served) -> Served:
    """The same station with an account for each role."""
    add_accounts(served.station)
    return served


@pytest.fixture(scope="module")
def filmed() -> Iterator[Filmed]:
    with camera(15) as filmed:
        yield filmed


@pytest.fixture
def served_live(gated_folder: Path, tmp_path: Path, filmed: Filmed) -> Iterator[Served]:
    filmed.tell("ok")
    with serving_here(gated_folder, tmp_path, filmed.url, site="North clinic") as served:
        yield served


@dataclass
class Visits:
    """Opens pages; what must never happen on any of them is collected in ``wrong``."""

    browser: Browser
    wrong: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, url: str, size: tuple[int, int] = DESKTOP, *, clock: bool = False, **options: Any) -> Page:
        """A page of its own browser profile, at ``size``. ``clock``: its time can be moved."""
        width, height = size
        options = {"locale": "en-GB", "timezone_id": "Europe/Madrid", "accept_downloads": True, **options}
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        self.contexts.append(context)
        context.set_default_timeout(15_000)
        context.route("**/*", self._only_loopback)
        page = context.new_page()
        if clock:
            page.clock.install()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._hear)
        page.goto(url)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if "Security Policy" in message.text:
            self.wrong.append(message.text)

    def _only_loopback(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            self.wrong.append(f"asked for {route.request.url}")
            route.abort()


@pytest.fixture
def visits(browser: Browser) -> Iterator[Visits]:
    visits = Visits(browser)
    yield visits
    for context in visits.contexts:
        context.close()
    assert not visits.wrong


def upload(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files as a person does."""
    payloads: list[FilePayload] = [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    page.set_input_files("#files", payloads)


def answered(page: Page, data: bytes, name: str = "a.jpg") -> Page:
    """Upload one image and wait for its result."""
    upload(page, (name, data))
    page.wait_for_url("**/results/*")
    page.wait_for_selector("#outcome")
    return page
