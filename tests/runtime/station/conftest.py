"""A station in this process, asked without a socket; and one in a process of its own, to be killed."""

from __future__ import annotations

import dataclasses
import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fieldlens.runtime.model import load
from fieldlens.runtime.station.app import build_app, own_hosts
from fieldlens.runtime.station.records import accounts
from fieldlens.runtime.station.station import Station, StationSettings
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest

HOST = "http://127.0.0.1:8080"
SECRETS = {"operator": "483920", "clinician": "correct horse battery", "admin": "purple monkey dishwasher"}
Opened = Callable[..., Station]


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A general bundle: four classes and no decision."""
    names = ("cat", "dog", "fox", "owl")
    first = tiny_manifest().classes[0]
    classes = tuple(dataclasses.replace(first, id=name, display=name.title()) for name in names)
    manifest = dataclasses.replace(tiny_manifest(), name="general", classes=classes, decision=None)
    return build_bundle(tmp_path_factory.mktemp("bundles") / "general.bundle", manifest)


@pytest.fixture
def opened(bundle_folder: Path, tmp_path: Path) -> Iterator[Opened]:
    """Makes stations with the fake backend; those still open are closed at the end."""
    stations: list[Station] = []

    def make(bundle: Path = bundle_folder, data: Path = tmp_path / "data", **options: object) -> Station:
        station = Station(
            StationSettings(data, **options),  # type: ignore[arg-type]
            lambda: load(bundle, backend="fake", state=tmp_path / "state"),
        )
        stations.append(station)
        return station

    yield make
    for station in stations:
        station.close()


@pytest.fixture
def station(opened: Opened) -> Station:
    return opened()


@functools.cache
def stored_secret(role: str) -> str:
    """scrypt takes its time: once for each role, not for each test."""
    return accounts.hashed(SECRETS[role])


def add_accounts(station: Station) -> None:
    """One for each role, named after it."""

    def work(connection: sqlite3.Connection) -> None:
        for number, role in enumerate(SECRETS):
            row = (role, role, stored_secret(role), number)
            connection.execute("INSERT INTO accounts (name, role, secret, changed) VALUES (?, ?, ?, ?)", row)

    station.records.change(work)


def client_of(station: Station) -> TestClient:
    """Asks a station as its own browser does."""
    return TestClient(build_app(station, own_hosts(8080)), base_url=HOST, raise_server_exceptions=False)


@pytest.fixture
def client(station: Station) -> TestClient:
    return client_of(station)


@pytest.fixture(scope="session")
def photo() -> bytes:
    return jpeg(scene(3))
