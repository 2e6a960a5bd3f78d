"""What a camera is called: ``csi://0``, ``v4l2://0``, ``/dev/v4l/by-id/…``, ``rtsp://…``, ``http://…``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.fields import nearest

SCHEMES = ("csi", "v4l2", "rtsp", "http", "https")
_BY_ID = Path("/dev/v4l/by-id")
_SETTINGS = ("width", "height", "fps")


@dataclass(frozen=True)
class Address:
    """A camera. ``name`` is for people and records: it never shows a password.

    ``target`` is the sensor's number, the device's path or the whole URL. ``width`` and ``height`` are pixels, ``fps``
    frames a second; 0 leaves the choice to the camera.
    """

    name: str
    kind: str
    target: str
    width: int = 0
    height: int = 0
    fps: int = 0


def parse_address(name: str) -> Address | None:
    """The camera that ``name`` means; None where it is a file's or folder's name. Raises SourceError."""
    if re.match(r"/dev/(video\d+|v4l/)", name):
        return Address(name, "v4l2", name)
    scheme, found, rest = name.partition("://")
    if not found:
        return None
    if scheme not in SCHEMES:
        known = "a file, a folder, " + ", ".join(f"{each}://" for each in SCHEMES)
        raise SourceError(f"{without_password(name)}: unknown kind of source {scheme!r}", f"known: {known}")
    if scheme in ("rtsp", "http", "https"):
        return Address(without_password(name), scheme, _checked_url(name))
    place, _, query = rest.partition("?")
    settings = _settings(name, query)
    if scheme == "csi":
        if not place.isdigit():
            raise SourceError(f"{name}: a CSI camera is named by its number", "give csi://0 or csi://1")
        return Address(name, "csi", place, **settings)
    return Address(name, "v4l2", _device(name, place), **settings)


def _device(name: str, place: str) -> str:
    if place.isdigit():
        return f"/dev/video{place}"
    if place.startswith("/dev/"):
        return place
    if place and "/" not in place:
        return str(_BY_ID / place)
    raise SourceError(f"{name}: not a V4L2 camera", "give v4l2://0, or v4l2://NAME with a name from: ls /dev/v4l/by-id")


def _settings(name: str, query: str) -> dict[str, int]:
    settings = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _SETTINGS:
            raise SourceError(f"{name}: unknown setting {key!r}", nearest(key, _SETTINGS))
        if not value.isdigit() or not 0 < int(value) < 100_000:
            raise SourceError(f"{name}: {key} must be a positive whole number, not {value!r}", f"write {key}=1280")
        settings[key] = int(value)
    return settings


def _checked_url(name: str) -> str:
    shown = without_password(name)
    try:
        parts = urlsplit(name)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(f"{shown}: not an address ({error})", "write http://HOST:PORT/PATH") from error
    if not host or re.search(r"[\s\"'\\]", name):
        raise SourceError(f"{shown}: not an address", "write http://HOST:PORT/PATH or rtsp://HOST:PORT/PATH")
    return name


def without_password(name: str) -> str:
    """``rtsp://user:secret@host/`` → ``rtsp://user:…@host/``: names are printed, stored and sent to people."""
    shown = re.sub(r"(://[^/@:]*):[^/]*@", r"\1:…@", name)
    return re.sub(r"([?&](?:pwd|pass\w*|psw|token|key|auth|secret)=)[^&]*", r"\1…", shown, flags=re.IGNORECASE)


def stable_name(device: str, by_id: Path = _BY_ID) -> str | None:
    """The ``by-id`` link of a ``/dev/videoN``: unlike the number, it survives unplugging. None where there is none."""
    try:
        links = sorted(by_id.iterdir())
        return next((str(link) for link in links if link.resolve() == Path(device).resolve()), None)
    except OSError:
        return None
