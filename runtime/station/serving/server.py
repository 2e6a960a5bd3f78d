"""uvicorn, ended by our signals and not its own, and hardened against visitors who never finish a request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.serving.certificate import TlsFiles
from fieldlens.runtime.station.serving.limits import RequestLimits
from fieldlens.runtime.stopping import Stopper

_END_S = 1


def _no_beat() -> None:
    """Without a watchdog."""


def listen(host: str, port: int) -> socket.socket:
    """The socket that the station answers on; port 0 takes a free one. Raises KitError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)  # Python's own text goes on about the address
        raise KitError(
            f"--port {port}: the port cannot be used ({os.strerror(number) if number else error})",
            f"see who has it: ss -ltnp 'sport = :{port}'; or choose another",
        ) from error
    # asyncio does this only for sockets that it makes itself. Without it the body of an answer waits 40 ms, until the
    # visitor has confirmed its head. Every connection inherits it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(
    app: ASGIApp, listener: socket.socket, limits: RequestLimits, stopper: Stopper, tls: TlsFiles | None = None,
    beat: Callable[[], None] = _no_beat,
) -> None:  # fmt: skip
    """Answer until a signal came. In the main thread. ``beat`` is called ten times a second as long as it answers."""
    config = uvicorn.Config(
        app, http=_protocol(limits), ws="none", lifespan="off", loop="asyncio", access_log=False, log_level="warning",
        server_header=False, proxy_headers=False, limit_concurrency=limits.connections, timeout_keep_alive=15,
        timeout_graceful_shutdown=_END_S, h11_max_incomplete_event_size=16_384,
        ssl_certfile=None if tls is None else tls.certificate, ssl_keyfile=None if tls is None else tls.key,
    )  # fmt: skip
    asyncio.run(_Server(config, stopper, beat).serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Signals are the Stopper's."""

    def __init__(self, config: uvicorn.Config, stopper: Stopper, beat: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopper, self._beat = stopper, beat

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        self._beat()
        return bool(self._stopper.reason) or await super().on_tick(counter)


def _protocol(limits: RequestLimits) -> type[asyncio.Protocol]:
    """uvicorn waits for ever for a request's head (slow-loris); this closes the connection after ``header_s``."""

    class Impatient(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._patience = self.loop.call_later(limits.header_s, self._give_up)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._calm()
            elif self._patience is None and (self.cycle is None or self.cycle.response_complete):
                self._patience = self.loop.call_later(limits.header_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            super().connection_lost(exc)

        def _calm(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            self._patience = None
            self.transport.close()

    return Impatient
