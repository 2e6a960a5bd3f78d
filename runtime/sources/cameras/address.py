"""What a camera is called: ``csi://0``, ``v4l2://0``, ``/dev/v4l/by-id/…``, ``rtsp://…``, ``http://…``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.fields import nearest

SCHEMES = ("csi", "v4l2", "rtsp", "http", "https")
_HARMLESS = re.compile(
    "audio|cam(era)?|ch(annel)?|codec|compression|fps|framerate|h|height|mode|profile|q|quality|res(olution)?|rotation|"
    "size|stream(type)?|subtype|user(name)?|usr|video(codec)?|w|width|x|y"
)
"""Settings whose values are shown; every other value after a question mark may be a secret."""
_SECRET = r"\w*(?:pass|pwd|psw|token|secret|auth|key)\w*"
_ESCAPED = "write special characters of a password as %XX: / is %2F, ? is %3F, # is %23, @ is %40, a space is %20"
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
    target: str = field(repr=False)
    width: int = 0
    height: int = 0
    fps: int = 0


def parse_address(name: str) -> Address | None:
    """The camera that ``name`` means; None where it is a file's or folder's name. Raises SourceError."""
    device = re.match(r"/dev/(video\d+|v4l/)", name)
    scheme, found, rest = name.partition("://")
    if not device and not found:
        return None
    if not name.isprintable() or (scheme in ("http", "https") and not name.isascii()):
        raise SourceError(f"{without_password(name)}: not an address (signs that none can hold)", _ESCAPED)
    if device:
        return Address(name, "v4l2", name)
    if scheme not in SCHEMES:
        known = "a file, a folder, " + ", ".join(f"{each}://" for each in SCHEMES)
        raise SourceError(f"{without_password(name)}: unknown kind of source {scheme!r}", f"known: {known}")
    shown = without_password(name)
    if scheme in ("rtsp", "http", "https"):
        return Address(shown, scheme, _checked_url(name))
    place, _, query = rest.partition("?")
    settings = _settings(shown, query)
    if scheme == "csi":
        if not place.isdecimal():
            raise SourceError(f"{shown}: a CSI camera is named by its number", "give csi://0 or csi://1")
        return Address(shown, "csi", place, **settings)
    return Address(shown, "v4l2", _device(shown, place), **settings)


def _device(name: str, place: str) -> str:
    if place.isdecimal():
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
        if not value.isdecimal() or not 0 < int(value) < 100_000:
            raise SourceError(f"{name}: {key} must be a positive whole number, not {value!r}", f"write {key}=1280")
        settings[key] = int(value)
    return settings


def _checked_url(name: str) -> str:
    shown = without_password(name)
    hint = f"write http://HOST:PORT/PATH or rtsp://HOST:PORT/PATH; {_ESCAPED}"
    try:
        parts = urlsplit(name)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words may hold a part of the password
        raise SourceError(f"{shown}: not an address (host or port)", hint) from None
    if not host or re.search(r"[\s\"'\\]", name):
        raise SourceError(f"{shown}: not an address", hint)
    return name


def without_password(name: str) -> str:
    """``rtsp://user:secret@host/`` → ``rtsp://user:…@host/``: names are printed, stored and sent to people.

    Rather too much is hidden than too little: up to the last @, because a password may hold any sign; a user's name
    without a password, because it may be a token; every value after a question mark but well-known settings, and what
    follows a #; and ``password=…`` in a path, where some cameras want it. A file's name has no scheme and stays.
    """
    found = re.match(r"(?s)([A-Za-z][\w+.-]+:/{1,3})(.*)", name)
    if found is None:
        return name
    scheme, rest = found.groups()
    login, at, rest = rest.rpartition("@") if _has_login(rest) else ("", "", rest)
    user = re.match(r"([^/:@?#]*):", login)
    login = f"{user[1]}:…" if user else "…" if at else ""
    rest, fragment, _ = rest.partition("#")
    path, mark, query = rest.partition("?")
    path = re.sub(rf"(?i)({_SECRET}=).*?(?=[_&;,][a-z]+=|/|$)", r"\1…", path)
    query = re.sub(r"[^&;]+", _hidden, query)
    return f"{scheme}{login}{at}{path}{mark}{query}{fragment and '#…'}"


def _has_login(rest: str) -> bool:
    """Whether what stands before an @ may be somebody's: not where a host, its path and a question mark come first."""
    before, at, _ = rest.rpartition("@")
    return bool(at) and (":" in before or "/" not in before)


def _hidden(setting: re.Match[str]) -> str:
    name, equals, _ = setting[0].partition("=")
    return setting[0] if _HARMLESS.fullmatch(name.lower()) else f"{name}=…" if equals else "…"


def looks_like_login(name: str) -> bool:
    """Whether a name may be a camera's address without its scheme: ``user:secret@host/path``."""
    return re.match(r"[^/\s:@]+:[^@\s]*@[^/\s]+", name) is not None


def stable_name(device: str, by_id: Path = _BY_ID) -> str | None:
    """The ``by-id`` link of a ``/dev/videoN``: unlike the number, it survives unplugging. None where there is none."""
    try:
        links = sorted(by_id.iterdir())
        return next((str(link) for link in links if link.resolve() == Path(device).resolve()), None)
    except OSError:
        return None
