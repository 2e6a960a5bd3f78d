"""The one option that all tests share: long runs wait until somebody asks for them."""

from __future__ import annotations

import pytest


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
