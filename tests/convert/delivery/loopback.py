"""A real OpenSSH server on loopback, with a scratch root behind it that plays a device, and a line that can be cut."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fieldlens.convert.delivery import operate
from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.push import Pushed, push
from fieldlens.convert.delivery.rehearsal import free_port, ssh_server
from fieldlens.convert.delivery.remote import Remote
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating import supervisor
from fieldlens.runtime.updating.asking import ReadyAnswer, ask
from fieldlens.runtime.updating.layout import DeviceFolders
from fieldlens.runtime.updating.settings import StationSetup
from tests.convert.delivery import shims

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
_WAIT_S = 60.0
_LOOK_EVERY_S = 0.2
"""A look starts programs, which the device would like to run itself."""


@dataclass
class Line:
    """A proxy between ssh and sshd.

    ``bytes_up``: what went to the device. ``cuts_at``: of these, where to cut. ``sessions``: of each, the
    bytes to the device. ``cut_in``: session (from 0 on) → where to cut it.
    """

    target: int
    bytes_up: int = 0
    cuts_at: list[int] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    cut_in: dict[int, int] = field(default_factory=dict)
    bits_per_s: float = 0.0
    port: int = 0
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _all: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def serve(self) -> None:
        """Listen, and carry every connection."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.port = listener.getsockname()[1]
        self._all.append(listener)
        self._start(self._accept, listener)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End every connection, and take no more."""
        for end in list(self._all):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in self._all:
            end.close()

    def cut(self) -> None:
        """Both ends see the connection go."""
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as ssh asks for, on its own sockets
                self._pairs.append((client, server))
                self._all += [client, server]
                self.sessions.append(0)
                number = len(self.sessions) - 1
                self._start(self._carry, client, server, number)
                self._start(self._carry, server, client, None)

    def _carry(self, source: socket.socket, sink: socket.socket, up: int | None) -> None:
        sessions = self.sessions  # of those that this one began among: a test may begin to count again
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if self.bits_per_s:
                    time.sleep(8 * len(data) / self.bits_per_s)
                sink.sendall(data)
                if up is not None:
                    self.bytes_up += len(data)
                    sessions[up] += len(data)
                    if sessions is self.sessions and sessions[up] >= self.cut_in.get(up, 1 << 60):
                        del self.cut_in[up]
                        self.cut()
                    if self.cuts_at and self.bytes_up >= self.cuts_at[0]:
                        self.cuts_at.pop(0)
                        self.cut()
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Loopback:
    """A device behind SSH, as the host sees it, and its folders, as only a test can."""

    remote: Remote
    layout: DeviceFolders
    keys: KeyFolder
    line: Line
    setup: StationSetup
    python: str = sys.executable

    def provision(self, **options: Any) -> None:
        """With this Python's libraries."""
        Provision(self.remote, self.keys, setup=self.setup, python=self.python, **options).do()

    def push(self, bundle: Path, **options: Any) -> Pushed:
        return push(self.remote, bundle, **options)

    def status(self) -> dict[str, Any]:
        return operate.status(self.remote)

    def answer(self) -> ReadyAnswer | None:
        return ask(self.setup.url)

    def wait(self, enough: Callable[[], bool], what: str) -> None:
        """Until it is so, or the test has failed."""
        end = time.monotonic() + _WAIT_S
        while not enough():
            if time.monotonic() > end:
                raise AssertionError(f"{what}\n{self.status()}\n{self.log()}")
            time.sleep(_LOOK_EVERY_S)

    def log(self) -> str:
        return self.layout.log.read_text(errors="replace")[-3000:] if self.layout.log.exists() else "no log"


def quick_python(folder: Path) -> Path:
    """This Python with the faults of :mod:`shims`. It keeps the bytecode of a device's kit: many starts are quick."""
    program, kept, own = folder / "python", shlex.quote(str(folder / "bytecode")), shlex.quote(str(folder))
    shims.install(folder)
    program.write_text(
        f"#!/bin/sh\nunset PYTHONDONTWRITEBYTECODE\nexport PYTHONPYCACHEPREFIX={kept}\n"
        f"export PYTHONPATH={own}${{PYTHONPATH:+:$PYTHONPATH}}\n"
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    program.chmod(0o755)
    return program


@contextlib.contextmanager
def loopback(folder: Path, python: str = sys.executable, of: Path | None = None) -> Iterator[Loopback]:
    """An SSH server, a line to it and an empty root, or a copy of the device in ``of``; all ends with the block."""
    layout = DeviceFolders(folder / "root")
    keys = KeyFolder(folder / "keys")
    setup = StationSetup(port=free_port(), backend="onnxruntime", precision="fp32")
    if of is None:
        layout.root.mkdir(parents=True)
        keys.new("maker@test", passphrase=False)
    else:
        for name in ("root", "keys"):
            shutil.copytree(of / name, folder / name, symlinks=True)
        atomic.write_json(layout.settings, asdict(setup), atomic.PUBLIC)
    with ssh_server(folder) as config:
        line = Line(int(re.findall(r"Port (\d+)", config.read_text())[0]))
        line.serve()
        config.write_text(config.read_text().replace(f"Port {line.target}", f"Port {line.port}"))
        remote = Remote("device", str(layout.root), config)
        try:
            yield Loopback(remote, layout, keys, line, setup, python)
        finally:
            supervisor.stop(layout)
            line.close()
