"""The station's certificate: the clinic's own, or one that openssl makes here. No library is added for it.

The command openssl is on every Debian and Jetson; the library cryptography would be 4 MB of compiled code more on the
device for one certificate in two years.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic

_DAYS = 825
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its key without a passphrase."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it."""
        first = self.certificate.read_text(encoding="ascii").partition("-----END CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(f"{first[0]}{first[1]}\n")
        return _pairs(hashlib.sha256(der).hexdigest())


def tls_in(data: Path) -> TlsFiles | None:
    """The files in a station's folder, or None."""
    files = TlsFiles(data / "tls.crt", data / "tls.key")
    return files if files.certificate.is_file() and files.key.is_file() else None


def take(data: Path, certificate: Path, key: Path) -> TlsFiles:
    """Copy the clinic's own. Raises KitError where they do not fit each other."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        pair = certificate.read_bytes(), key.read_bytes()
    except (OSError, ssl.SSLError, ValueError) as error:
        raise KitError(
            f"{certificate}, {key}: not a certificate and its key ({error})", "PEM files; the key has no passphrase"
        ) from error
    return _keep(data, *pair)


def make(data: Path, names: Sequence[str]) -> TlsFiles:
    """A self-signed certificate for ``names`` (host names and addresses), good for 825 days. Raises KitError."""
    alternatives = ",".join(_alternative(name) for name in names)
    with tempfile.TemporaryDirectory() as folder:
        made = TlsFiles(Path(folder, "tls.crt"), Path(folder, "tls.key"))
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256",
            "-days", str(_DAYS), "-subj", "/CN=Fieldlens station", "-addext", f"subjectAltName={alternatives}",
            "-keyout", str(made.key), "-out", str(made.certificate),
        ]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise KitError(f"openssl made no certificate ({said.strip()[-200:]})", "apt-get install openssl") from error
        return _keep(data, made.certificate.read_bytes(), made.key.read_bytes())


def check_name(name: str) -> str:
    """A host name or address for others to reach the station by. Raises KitError."""
    _alternative(name)
    return name.lower()


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        if _NAME.fullmatch(name) is None:
            raise KitError(f"{name}: not a host name or address", "station.clinic.example or 192.168.1.20") from None
        return f"DNS:{name.lower()}"


def _keep(data: Path, certificate: bytes, key: bytes) -> TlsFiles:
    files = TlsFiles(data / "tls.crt", data / "tls.key")
    try:
        atomic.write_bytes(files.key, key)
        atomic.write_bytes(files.certificate, certificate)
        files.key.chmod(atomic.PRIVATE)
    except OSError as error:
        raise KitError(f"{data}: cannot be written ({error.strerror})", "give another --data DIR") from error
    return files


def _pairs(digest: str) -> str:
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()
