"""Names of files that carry a patient, as they may be written down: the parts that do become a hash with a secret key.

DICOM archives name folders and files after patients, and after numbers by which others find them. The key is random and
stays in the state folder (0600), so that the same name is written alike from run to run on this machine, and nobody
without the key can try names until one fits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, keeping
from fieldlens.runtime.files.trusted import read_regular

KEY_FILE = "dicom-key"
_KEY_BYTES = 32
_HEX = 16
_SHORT = 4
"""Words of fewer letters count only where they stand alone: ``Li`` is in no ``line``."""
_MOST_KEPT = 10_000


class PrivateNames:
    """Turns names into what may be written down. Without a ``key``: one of this process only."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(_KEY_BYTES)
        self._hidden: dict[str, str] = {}
        self._words: dict[str, str] = {}  # and their letters

    def keep(self, folder: Path) -> None:
        """Put the key into a run's folder (0600). Raises OSError."""
        atomic.write_bytes(folder / KEY_FILE, self._key)

    def hashed(self, text: str) -> str:
        """16 hexadecimal digits of HMAC-SHA-256."""
        data = text.encode("utf-8", "surrogateescape")
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_HEX]

    def path(self, path: str, words: Iterable[str]) -> str:
        """The path with ``dicom-HASH`` for each part that carries one of the words, in whatever case and spelling."""
        wanted = tuple(words)
        if len(self._words) < _MOST_KEPT:
            self._words.update((word, _plain(word)) for word in wanted if len(word) >= _SHORT)
        parts = path.split("/")
        return "/".join(self._part(part) if carries(part, wanted) else part for part in parts)

    def known_path(self, path: str) -> str:
        """The path with the parts hidden that carry a word seen before: of a file that lies beside DICOM files."""
        if not self._words:
            return path
        letters = _plain(path)
        return self.path(path, tuple(word for word, plain in self._words.items() if plain in letters))

    def below(self, path: str, root: str = "") -> str:
        """The path with every part below ``root`` hidden: for a file of which nobody can read whose it is."""
        start = len(root.rstrip("/")) + 1 if root and path.startswith(f"{root.rstrip('/')}/") else path.rfind("/") + 1
        return path[:start] + self.whole(path[start:])

    def whole(self, path: str) -> str:
        """The path with every part hidden."""
        return "/".join(map(self._part, path.split("/")))

    def known_in(self, text: str) -> str:
        """A sentence with the parts of paths hidden that were hidden before, or that carry words seen before."""
        for part, shown in self._hidden.items():
            if part in text:
                name = re.escape(part)
                pattern = rf"(?<=/){name}(?=[/)'\":#,\s]|$)|(?<![^\s'\"(]){name}(?=/)"
                text = re.sub(pattern, shown, text)
        letters = _plain(text)
        if words := tuple(word for word, plain in self._words.items() if plain in letters):
            text = re.sub(r"[^\s()'\"/,:;]+", lambda m: self._part(m[0]) if carries(m[0], words) else m[0], text)
        return text

    def _part(self, part: str) -> str:
        if part in ("", ".", ".."):
            return part
        suffix = PurePath(part).suffix
        ending = suffix if re.fullmatch(r"\.[A-Za-z]{1,5}", suffix) else ""
        shown = f"dicom-{self.hashed(part)}{ending}"
        if len(self._hidden) < _MOST_KEPT and len(part) >= _SHORT:
            self._hidden[part] = shown
        return shown


def carries(part: str, words: Sequence[str]) -> bool:
    """Whether a part of a path holds one of the words, without regard to case, accents and separators."""
    letters = _plain(part)
    alone = set(re.findall(r"[^\W\d_]+|\d+", _folded(part)))
    for word in map(_plain, words):
        short = word.lstrip("0")
        if word and (word in alone or (len(word) >= _SHORT and word in letters)):
            return True
        if len(short) >= _SHORT and short.isdigit() and short in letters:
            return True
    return False


def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", _folded(text))


def kept_in(folder: Path) -> PrivateNames:
    """The names of this state folder; its key is made if there is none. Where it cannot be kept, that is noted
    (``keeping``), and the key is this process's. Raises UntrustedError: a key that others could have put there."""
    path = folder / KEY_FILE
    for _ in range(2):
        try:
            key = read_regular(path, _KEY_BYTES, private=True)
        except FileNotFoundError:
            key = b""
        except OSError as error:
            keeping.refused(folder, error)
            return PrivateNames()
        if len(key) == _KEY_BYTES:
            return PrivateNames(key)
        try:
            with atomic.alone(path):
                if not path.exists() or path.stat().st_size != _KEY_BYTES:
                    atomic.write_bytes(path, secrets.token_bytes(_KEY_BYTES))
        except OSError as error:
            keeping.refused(folder, error)
            return PrivateNames()
        except KitError as error:  # another process makes it at this moment, or the folder cannot be written
            keeping.refused(folder, error)
            return PrivateNames()
    return PrivateNames()


def of_run(folder: Path) -> PrivateNames | None:
    """The names of a run; None where it has no key. Raises UntrustedError: a key that others could have put there."""
    try:
        key = read_regular(folder / KEY_FILE, _KEY_BYTES, private=True)
    except OSError:
        return None
    return PrivateNames(key) if len(key) == _KEY_BYTES else None
