"""Who is logged in: sessions in memory, so that a start ends them all, and the log-in itself."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.station.records import accounts
from fieldlens.runtime.station.records.accounts import Account
from fieldlens.runtime.station.records.store import Records

IDLE_S, LONGEST_S = 15 * 60.0, 12 * 3600.0
_MOST = 256


@dataclass(frozen=True)
class Session:
    """One log-in; ``csrf`` has to come with every request that changes something. Times are monotonic seconds."""

    account: Account
    csrf: str
    began_s: float
    seen_s: float


class Sessions:
    """``loopback``: only this machine can ask, so that without accounts everything is open, as it always was."""

    def __init__(
        self, records: Records, *, loopback: bool = True, monotonic: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._records, self._loopback, self._monotonic, self._now_s = records, loopback, monotonic, now_s
        self._lock, self._trying = threading.Lock(), threading.Lock()
        self._sessions: dict[str, Session] = {}

    def everything_is_open(self) -> bool:
        """Nobody has to log in: loopback only, and no accounts."""
        return self._loopback and not self._accounts()

    def log_in(self, name: str, secret: str, old: str = "") -> tuple[str, Session] | float:
        """A new cookie and its session; or how many seconds the account is locked (0: the secret is wrong).

        One attempt at a time, so that many at once cannot outrun the lock-out. ``old``: the cookie that came along;
        its session ends, and it never becomes the new one.
        """
        with self._trying:
            now_s = self._now_s()
            tried = self._records.change(lambda connection: accounts.attempt(connection, name, secret, now_s))
        self.end(old)
        if tried.account is None:
            detail = "locked" if tried.wait_s else "refused"
            self._records.audit(AuditEntry("login-refused", self._known(name), detail=detail))
            return tried.wait_s
        self._records.audit(AuditEntry("login", tried.account.name, detail=tried.account.role))
        cookie, now = secrets.token_urlsafe(32), self._monotonic()
        session = Session(tried.account, secrets.token_urlsafe(32), now, now)
        with self._lock:
            if len(self._sessions) >= _MOST:
                del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].seen_s)]
            self._sessions[_key(cookie)] = session
        return cookie, session

    def of_cookie(self, cookie: str, *, attended: bool = True) -> Session | None:
        """The session of a cookie, unless it ended: log-out, 15 idle minutes, 12 hours, a new secret or role.

        ``attended`` False: nobody is at the page, so the minutes go on.
        """
        now, key = self._monotonic(), _key(cookie)
        with self._lock:
            session = self._sessions.get(key)
        if session is None:
            return None
        late = now - session.seen_s > IDLE_S or now - session.began_s > LONGEST_S
        if late or session.account not in self._accounts():
            self.end(cookie)
            return None
        with self._lock:
            if attended and key in self._sessions:
                self._sessions[key] = replace(session, seen_s=now)
        return session

    def of_token(self, token: str) -> tuple[str, str] | None:
        """Name and role of a machine's token."""
        return self._records.quick(lambda connection: accounts.of_token(connection, token))

    def end(self, cookie: str) -> None:
        """Log out."""
        with self._lock:
            ended = self._sessions.pop(_key(cookie), None)
        if ended is not None:
            self._records.audit(AuditEntry("logout", ended.account.name))

    def _accounts(self) -> list[Account]:
        return self._records.quick(accounts.listed)

    def _known(self, name: str) -> str:
        """What somebody typed may be a passphrase in the wrong field: only names of accounts are logged."""
        return name if any(account.name == name for account in self._accounts()) else "unknown"


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
