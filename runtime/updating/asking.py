"""How a service is asked whether it lives: over HTTP or TLS on this machine, or by the signs of life that it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.running.heartbeat import HeartbeatRecord, boot_s, read_heartbeat

_PATIENCE_S = 5.0
STILL_S = 60.0
"""Without a sign of life for longer, a run is dead: systemd's watchdog waits as long."""


@dataclass(frozen=True)
class ReadyAnswer:
    """What a service says. ``ready`` False: ``words`` says why it answers no image. ``began_s``: of a run without a
    page, in seconds since the machine started."""

    ready: bool
    bundle_hash: str = ""
    camera: str = ""
    words: str = ""
    began_s: float = 0.0


class WrongCertificate(OSError):
    """Another certificate than the station's own file: another program, or a station from before a renewal."""


def fetch(url: str, path: str, most_bytes: int, certificate: Path | None = None) -> tuple[int, bytes]:
    """Status and body of ``url``/``path``, never through a proxy. Raises OSError and http.client.HTTPException.

    With ``https`` the other side has to prove that it holds the key of the first certificate in the file
    ``certificate``: that very one, whatever names are in it and whatever this device's clock says.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = _pinned(host, port, certificate)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": f"127.0.0.1:{port}", "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(most_bytes)


def _pinned(host: str, port: int | None, certificate: Path | None) -> http.client.HTTPSConnection:
    if certificate is None:
        raise WrongCertificate("no certificate to compare with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # compared below, byte by byte
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=context)
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
        if hashlib.sha256(shown).digest() != hashlib.sha256(_first(certificate)).digest():
            raise WrongCertificate(f"it shows another certificate than {certificate}")
    except BaseException:
        connection.close()
        raise
    return connection


def _first(certificate: Path) -> bytes:
    begin, _, _ = certificate.read_text(encoding="ascii").partition("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(f"{begin}-----END CERTIFICATE-----\n")


def ask(url: str, certificate: Path | None = None) -> ReadyAnswer | None:
    """What the service at ``url`` answers now; None where nobody answers."""
    try:
        status, body = fetch(url, "/readyz", 100_000, certificate)
    except WrongCertificate as error:
        return ReadyAnswer(False, words=f"{error}; if it was renewed, restart the service")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    found = _parsed(body)
    if status != http.client.OK:
        words = str(found.get("detail") or found.get("title") or f"it answers with {status}")
        return ReadyAnswer(False, words=words)
    if not found:  # another program on our port
        return None
    return ReadyAnswer(True, str(found.get("bundle_hash", "")), str(found.get("camera", "")))


def _parsed(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def feel(path: Path) -> tuple[ReadyAnswer | None, HeartbeatRecord | None]:
    """The same of a run without a page, from the file where it leaves its signs of life; and what is in that file."""
    try:
        record = read_heartbeat(path)
    except KitError as error:
        return ReadyAnswer(False, words=f"{error.message}; {error.hint}"), None
    if record is None:
        return None, None
    still_s = boot_s() - record.beat_s
    if not 0 <= still_s <= STILL_S:  # a larger one is from before the machine was started again
        words = f"no sign of life for {still_s:.0f} s" if still_s > 0 else "no sign of life since the machine started"
        return ReadyAnswer(False, words=words), record
    return ReadyAnswer(True, record.bundle_hash, record.camera, began_s=record.began_s), record
