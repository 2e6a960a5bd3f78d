"""What all tests share: the option for long runs, and a copy of deploy.sh to run."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.deploy_kit import copy_of_kit, path_without_python

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell that starts the checks in the background (`&`) hides Ctrl-C from them, and from what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`./deploy.sh test --full` hands its arguments on to pytest."""
    parser.addoption("--full", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip visibly instead of deselecting, so that the report says what was not checked."""
    if config.getoption("--full"):
        return
    long_run = pytest.mark.skip(reason="long run: ./deploy.sh test --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(long_run)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A copy of deploy.sh and what it reads, in a folder with a space in its name."""
    return copy_of_kit(tmp_path)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the usual small tools and no Python that runs."""
    return path_without_python(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's own Chromium, which reaches this machine and nothing else. Two cannot run at a time."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here: apt install chromium")
    only_here = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", only_here])
        yield launched
        launched.close()
