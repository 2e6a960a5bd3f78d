"""What Chromium paints, frame by frame, and which answers can be seen on it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Page

from fieldlens.runtime.pixels.drawing import _COLOURS, _GREY
from fieldlens.runtime.pixels.preprocess import Pixels


class Screen:
    """Everything that Chromium paints, with the second (since 1970) of its painting."""

    def __init__(self, page: Page) -> None:
        self.painted: list[tuple[float, Pixels]] = []
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._session.on("Page.screencastFrame", self._take)
        self._session.send("Page.startScreencast", {"format": "jpeg", "quality": 90, "everyNthFrame": 1})

    def _take(self, frame: dict[str, Any]) -> None:
        self._session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})
        shot = cv2.imdecode(np.frombuffer(base64.b64decode(frame["data"]), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        self.painted.append((frame["metadata"]["timestamp"], shot[..., ::-1]))

    def until(self, condition: Callable[[Pixels], bool], at_most_s: float) -> float:
        """Wait until what is painted now is so; when it was painted."""
        end = time.monotonic() + at_most_s
        while not (self.painted and condition(self.painted[-1][1])):
            assert time.monotonic() < end, "waited too long"
            self._page.wait_for_timeout(20)
        return self.painted[-1][0]

    def first(self, condition: Callable[[Pixels], bool], after: float, at_most_s: float) -> float:
        """How many seconds ``after`` a time something was painted that is so, whatever came then."""
        end = time.monotonic() + at_most_s
        while time.monotonic() < end:
            for painted_at, pixels in self.painted:
                if painted_at >= after and condition(pixels):
                    return painted_at - after
            self._page.wait_for_timeout(50)
        raise AssertionError("waited too long")

    def close(self) -> None:
        self._session.remove_listener("Page.screencastFrame", self._take)
        self._session.send("Page.stopScreencast")
        self._session.detach()


def colours(pixels: Pixels) -> set[str]:
    """Which of the outcomes' colours, and ``grey``, fill at least 2% of the screen."""
    known = {name: colour for name, colour in _COLOURS.items() if name != "retake"} | {"grey": _GREY}
    flat = pixels.reshape(-1, 3).astype(np.int16)
    return {name for name, colour in known.items() if (np.abs(flat - colour).max(axis=1) <= 12).mean() >= 0.02}


def an_answer(pixels: Pixels) -> bool:
    return bool(colours(pixels) - {"grey"})


def only_grey(pixels: Pixels) -> bool:
    return colours(pixels) == {"grey"}
