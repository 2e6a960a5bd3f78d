"""No place, no name and no EXIF in any byte that leaves a station: it is searched for in all of them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from fieldlens.runtime.station.housekeeping import KeepingRules
from fieldlens.runtime.station.records import backup
from fieldlens.runtime.station.sending.package import package_of
from fieldlens.runtime.station.station import Station
from tests.runtime.conftest import scene
from tests.runtime.station.conftest import Opened, client_of

NAME, CAMERA = "Jane Q. Doe-Patient", "SERIAL-0815-4711"
LATITUDE = ((4711, 1), (1147, 1), (82, 1))
"""No place on earth, so that its bytes mean nothing else."""
PLACES = [b"".join(struct.pack(f"{order}II", *pair) for pair in LATITUDE) for order in "<>"]
NEEDLES = [NAME.encode(), NAME.encode("utf-16-le"), CAMERA.encode(), b"Doe-Patient", b"4711.19",
           b"Exif\0", b"http://ns.adobe.com", b"exif:", b"Photoshop", *PLACES]  # fmt: skip
XMP = f'<x:xmpmeta xmlns:exif="http://ns.adobe.com/exif/1.0/"><a exif:GPSLatitude="4711.19">{NAME}</a></x:xmpmeta>'


def exif(orientation: int) -> Image.Exif:
    """What a telephone writes, and a person's name."""
    made = Image.Exif()
    made[0x0112], made[0x013B], made[0x8298], made[0x010E] = orientation, NAME, NAME, f"{NAME} {XMP}"
    made.get_ifd(0x8769)[0xA431] = CAMERA
    gps = made.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", tuple(a / b for a, b in LATITUDE), "E", tuple(a / b for a, b in LATITUDE)
    return made


def telling() -> dict[str, bytes]:
    """Images that say where and of whom they are, in each way that a format has."""
    image = Image.fromarray(np.ascontiguousarray(scene(4)))
    texts = PngInfo()
    texts.add_text("Author", NAME)
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    forms: dict[str, dict[str, Any]] = {
        f"{NAME}.jpg": {"format": "JPEG", "exif": exif(6), "comment": NAME.encode(), "xmp": XMP.encode()},
        f"{NAME}.png": {"format": "PNG", "exif": exif(1), "pnginfo": texts},
        f"{NAME}.webp": {"format": "WEBP", "exif": exif(1), "xmp": XMP.encode()},
        f"{NAME}.tif": {"format": "TIFF", "exif": exif(1), "description": NAME, "artist": NAME},
    }
    made = {}
    for name, options in forms.items():
        stream = io.BytesIO()
        image.save(stream, **options)
        made[name] = stream.getvalue()
    return made


@pytest.fixture
def used(opened: Opened) -> tuple[Station, TestClient, list[str]]:
    """A station that has answered all of them and kept the images; and the results' ids."""
    station = opened(rules=KeepingRules(images=True))
    client = client_of(station)
    ids = []
    for name, data in telling().items():
        answer = client.post("/api/v1/predict", files=[("images", (name, data))], data={"subject": "A-17"})
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["items"][0]["result"]["id"])
    return station, client, ids


def leaks(data: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in data]


def test_the_images_tell_before(photo: bytes) -> None:
    for name, data in telling().items():
        found = leaks(data)
        assert NAME.encode() in found, name
        assert name.endswith(".tif") or any(place in found for place in PLACES), name
    assert leaks(photo) == []


def test_nothing_tells_where_and_who(used: tuple[Station, TestClient, list[str]], tmp_path: Path) -> None:
    station, client, ids = used
    one = [f"results/{id}{part}" for id in ids for part in ("", "/image", "/image?kind=image", "/heatmap")]
    for path in [*one, "results", "export.csv", "audit", "status", "banners"]:
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, path
        assert leaks(answer.content) == [], path
    for path in ("/metrics", f"/results/{ids[0]}", "/history"):
        assert leaks(client.get(path).content) == [], path
    for id in ids:
        row = station.records.one(id)
        assert row is not None
        package = package_of(row, station.records.files)
        assert len(package.data) > 10_000
        assert leaks(package.data) == [], "what is sent later"
    backup.make(station.records.folder, tmp_path / "out" / "b.tar")
    backup.export_table(station.records.folder, tmp_path / "out" / "r.csv")
    files = [path for folder in ("data", "out") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"records.db", "b.tar", "r.csv"}
    assert len([path for path in files if path.suffix == ".jpg"]) == 2 * len(ids)
    assert not {str(path): found for path in files if (found := leaks(path.read_bytes()))}


def test_what_is_kept_is_pixels_alone(used: tuple[Station, TestClient, list[str]]) -> None:
    _, client, ids = used
    for id in ids:
        for path in ("image", "image?kind=image", "heatmap"):
            assert segments(client.get(f"/api/v1/results/{id}/{path}").content) <= {"APP0", "other"}
    height, width = scene(4).shape[:2]
    turned = simplejpeg.decode_jpeg_header(client.get(f"/api/v1/results/{ids[0]}/image?kind=image").content)[:2]
    assert turned == (width, height), "EXIF's turn was applied before it was dropped"


def segments(jpeg: bytes) -> set[str]:
    """Which kinds of segments stand before the pixels; all but tables and frames by their names."""
    found, at = set(), 2
    while jpeg[at + 1] != 0xDA:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.add(f"APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else "COM" if marker == 0xFE else "other")
        at += 2 + length
    return found
