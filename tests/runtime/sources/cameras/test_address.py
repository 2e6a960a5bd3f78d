"""Names of cameras."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import Address, parse_address, stable_name, without_password


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("csi://0", Address("csi://0", "csi", "0")),
        (
            "csi://1?width=640&height=480&fps=60",
            Address("csi://1?width=640&height=480&fps=60", "csi", "1", 640, 480, 60),
        ),
        ("v4l2://2", Address("v4l2://2", "v4l2", "/dev/video2")),
        ("/dev/video3", Address("/dev/video3", "v4l2", "/dev/video3")),
        ("v4l2:///dev/v4l/by-id/usb-A", Address("v4l2:///dev/v4l/by-id/usb-A", "v4l2", "/dev/v4l/by-id/usb-A")),
        ("v4l2://usb-A?fps=15", Address("v4l2://usb-A?fps=15", "v4l2", "/dev/v4l/by-id/usb-A", 0, 0, 15)),
        ("http://cam:81/video", Address("http://cam:81/video", "http", "http://cam:81/video")),
        ("rtsp://u:geheim@cam/1", Address("rtsp://u:…@cam/1", "rtsp", "rtsp://u:geheim@cam/1")),
        ("folder/image.jpg", None),
        ("-", None),
    ],
)
def test_what_a_name_means(name: str, address: Address | None) -> None:
    assert parse_address(name) == address


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("ftp://camera", "unknown kind of source 'ftp'", "rtsp://"),
        ("csi://front", "named by its number", "csi://0"),
        ("csi://0?widht=640", "unknown setting 'widht'", "'width'"),
        ("v4l2://0?fps=fast", "fps must be a positive whole number", "write fps="),
        ("v4l2://a/b", "not a V4L2 camera", "ls /dev/v4l/by-id"),
        ("http://", "not an address", "http://HOST"),
        ("rtsp://cam:99999/", "not an address", "HOST:PORT"),
        ('rtsp://cam/" ! filesink', "not an address", "rtsp://HOST"),
    ],
)
def test_a_name_that_cannot_be_meant_says_why(name: str, words: str, hint: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        parse_address(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http://u:p@ss@cam/x", "http://u:…@cam/x"),
        ("http://cam:8080/x@y", "http://cam:…@y"),
        ("http://cam/v?user=admin&pwd=888888&x=1", "http://cam/v?user=admin&pwd=…&x=1"),
        ("/tmp/a:b@c.jpg", "/tmp/a:b@c.jpg"),
    ],
)
def test_passwords_are_never_shown(name: str, shown: str) -> None:
    assert without_password(name) == shown


def test_the_name_that_survives_unplugging(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-Maker_Camera_123-video-index0").symlink_to("../video0")
    found = stable_name(str(tmp_path / "video0"), tmp_path / "by-id")
    assert found == str(tmp_path / "by-id" / "usb-Maker_Camera_123-video-index0")
    assert stable_name(str(tmp_path / "video1"), tmp_path / "by-id") is None
    assert stable_name("/dev/video0", tmp_path / "none") is None
