"""A camera's password is printed, stored and handed on nowhere, wherever it came from."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import Address, looks_like_login, parse_address, without_password
from fieldlens.runtime.sources.cameras.capture import COMMAND, ProcessLink, order_for
from fieldlens.runtime.sources.cameras.capture_process import Spec
from tests.runtime.cameras import camera
from tests.runtime.hanging import deaf_server
from tests.runtime.test_classify import ROOT, command, lines

SECRET = "geheim"
ADDRESSES = [
    "rtsp://user:geheim@cam/1",
    "rtsp://user:a/geheim@cam/1",
    "rtsp://user:12/geheim@cam/1",
    "rtsp://user:a?geheim@cam/1",
    "rtsp://user:a#geheim@cam/1",
    "rtsp://user:a@geheim@cam/1",
    "rtsp://user:a:geheim@cam/1",
    "rtsp://user:%20geheim@cam:99999/1",
    "rtsp://user:geheim @cam/1",
    "rtsp://:geheim@cam/1",
    "rtsp://geheim@cam/1",
    "rtsp:/user:geheim@cam/1",
    "RTSP://user:geheim@cam/1",
    "rtmp://user:geheim@cam/1",
    "v4l2://user:geheim@cam",
    "csi://user:geheim@0",
    "http://cam/video?user=admin&pwd=geheim",
    "http://cam/video?channel=1;access_token=geheim",
    "http://cam/video?X-Signature=geheim&fps=5",
    "http://cam/video?geheim",
    "http://cam/video#geheim=geheim",
    "rtsp://cam:554/user=admin_password=a_geheim_channel=1_stream=0.sdp",
    "rtsp://cam/user=admin&passwd=geheim&channel=1",
    "http://user:geheim@cam/\n\x1b[2J",
]


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_name_and_no_error_holds_it(name: str) -> None:
    assert SECRET not in without_password(name)
    try:
        address = parse_address(name)
        reported = f"{address!r} {address.name}" if address else ""
    except SourceError as error:
        reported = f"{error.message} {error.hint} {error!r} {error.__cause__!r}"
    assert SECRET not in reported


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("http://cam/video?user=admin&pwd=1&x=1", "http://cam/video?user=admin&pwd=…&x=1"),
        ("rtsp://user:p%40ss@cam:554/h264?channel=1&subtype=0", "rtsp://user:…@cam:554/h264?channel=1&subtype=0"),
        ("rtsp://cam/user=admin_password=a_channel=1_stream=0.sdp", "rtsp://cam/user=admin_password=…_channel=1_stream=0.sdp"),
        ("csi://0?width=640&height=480&fps=30", "csi://0?width=640&height=480&fps=30"),
        ("http://cam/a@b", "http://cam/a@b"),
        ("/data/a:b@c.jpg", "/data/a:b@c.jpg"),
        ("day:1@noon.jpg", "day:1@noon.jpg"),
    ],
)  # fmt: skip
def test_the_rest_of_a_name_stays(name: str, shown: str) -> None:
    assert without_password(name) == shown


def test_what_looks_like_a_login() -> None:
    assert looks_like_login("user:geheim@192.168.1.5/stream")
    assert not looks_like_login("/tmp/a:b@c.jpg")
    assert not looks_like_login("a@b:c.jpg")


def test_a_list_may_end_with_a_camera_and_shows_no_password(basic: Sequence[object], tmp_path: Path) -> None:
    """Arguments are everybody's to see; standard input is not."""
    outputs = ("--json", tmp_path / "r.jsonl", "--csv", tmp_path / "r.csv", "--report", tmp_path / "r.html")
    with camera(30) as filmed:
        url = filmed.url.replace("//", "//user:geheim@")
        bad = ["rtmp://user:geheim@cam/x", "user:geheim@cam/x", "v4l2://a/geheim:geheim@b"]
        listed = "\n".join([*bad, url, "rtsp://user:geheim@cam/x", "image.jpg"])
        done = subprocess.run(
            command("classify", "-", *basic, *outputs, "--limit", 9),
            cwd=ROOT, input=listed, capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    found = lines(tmp_path / "r.jsonl")
    assert sum(each["error"] is None for each in found) == 4
    shown = url.replace("geheim", "…")
    assert found[-1]["source"].startswith(f"{shown}#")
    assert f"{shown}: " in done.stdout
    errors = [each["error"] for each in found if each["error"]]
    assert "unknown kind of source" in errors[0]
    assert "there is no such file" in errors[1]
    assert all("nothing can come after it" in error for error in errors[3:])
    for text in (done.stdout, done.stderr, *(path.read_text() for path in tmp_path.glob("r.*"))):
        assert SECRET not in text


@pytest.mark.parametrize("names", [("-", "http://cam/"), ("-", "folder")])
def test_a_camera_in_a_list_must_be_the_last_of_all(basic: Sequence[object], names: tuple[str, ...]) -> None:
    with deaf_server() as port:
        words = [name.replace("cam", f"127.0.0.1:{port}") for name in names]
        done = subprocess.run(
            command("classify", *words, *basic, "--limit", 1),
            cwd=ROOT, input="http://user:geheim@cam/", capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
    assert done.returncode == 2
    assert "nothing can come after it" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_the_process_that_reads_a_camera_does_not_show_it_either() -> None:
    with deaf_server() as port:
        target = f"rtsp://user:geheim@127.0.0.1:{port}/x"
        link = ProcessLink(Address("cam", "rtsp", target), COMMAND, order_for(Spec("ffmpeg", target)))
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                folder = Path(f"/proc/{link._process.pid}")
                shown = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                assert SECRET.encode() not in shown
                if b"capture_process" in shown:
                    break
            assert b"capture_process" in shown
        finally:
            link.close()
