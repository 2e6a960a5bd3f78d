"""A device on this very machine: a private SSH server on loopback, and a folder that plays the root behind it.

Everything is as with a device far away: keys, provision, a signed push, the switch, the station's page. Nothing of the
machine itself is touched, and no port but loopback's is opened.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldlens.convert.delivery.keys import KeyFolder, run_keygen
from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.push import push
from fieldlens.convert.delivery.remote import DeliveryFailed, Remote
from fieldlens.convert.sign import sign_bundle
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.locks import taken
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.runtime.updating import supervisor
from fieldlens.runtime.updating.layout import DeviceFolders
from fieldlens.runtime.updating.settings import StationSetup

SIGNER = "rehearsal@loopback"
_STARTS_S = 10.0


@dataclass(frozen=True)
class Rehearsal:
    """A device that answers. ``url``: the station's page."""

    remote: Remote
    url: str


@contextlib.contextmanager
def rehearse(folder: Path, source: Path, port: int, reporter: Reporter = SILENT) -> Iterator[Rehearsal]:
    """Provision ``folder`` as a device, push ``source`` to it, and keep it answering while the block runs.

    Raises KitError.
    """
    layout = DeviceFolders(folder.absolute() / "root")
    layout.root.mkdir(parents=True, exist_ok=True)
    keys = KeyFolder(folder.absolute() / "keys")
    keys.new(SIGNER, passphrase=False)
    bundle = folder.absolute() / "signed.bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    shutil.copytree(source, bundle)
    sign_bundle_anyway(bundle, keys)
    with ssh_server(folder.absolute()) as config:
        remote = Remote("device", str(layout.root), config)
        try:
            setup = StationSetup(port=port, site="rehearsal")
            Provision(remote, keys, setup=setup, python=sys.executable, reporter=reporter).do()
            push(remote, bundle, allow_downgrade=True, reporter=reporter)
            yield Rehearsal(remote, setup.url)
        finally:
            _end_device(layout)


def _end_device(layout: DeviceFolders) -> None:
    """A push that was interrupted here goes on there, as it should on a device; here it must start nothing any more."""
    lock = layout.state / "incoming.lock"
    end = time.monotonic() + _STARTS_S
    while lock.exists() and time.monotonic() < end:
        try:
            os.close(taken(lock))
            break
        except BlockingIOError:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(lock.read_text()), signal.SIGTERM)
        time.sleep(0.1)
    supervisor.stop(layout)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM is an interruption like Ctrl-C: the server and the device behind it end with us."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def sign_bundle_anyway(bundle: Path, keys: KeyFolder) -> None:
    """A partial copy is signed here, too: it plays a bundle that its maker signed whole."""
    from fieldlens.runtime.bundle.open import SIGNATURE, open_bundle, read_manifest_bytes
    from fieldlens.runtime.bundle.signature import sign

    if open_bundle(bundle, allow_unsigned=True).absent:
        signature = sign(read_manifest_bytes(bundle), keys.folder / SIGNER)
        atomic.write_bytes(bundle / SIGNATURE, signature, atomic.PUBLIC)
    else:
        sign_bundle(bundle, keys.folder / SIGNER)


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Path]:
    """An OpenSSH server on loopback, for this user alone; the ssh_config that leads to it as ``device``.

    Raises DeliveryFailed where there is none on this machine.
    """
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise DeliveryFailed("no-sshd", "there is no OpenSSH server on this machine", "apt install openssh-server")
    atomic.make_folder(folder)
    for name in ("host-key", "user-key"):
        if not (folder / name).exists():
            run_keygen(["-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)])
    port = free_port()
    (folder / "sshd_config").write_text(
        f'Port {port}\nListenAddress 127.0.0.1\nHostKey "{folder / "host-key"}"\n'
        f'AuthorizedKeysFile "{folder / "user-key.pub"}"\nPidFile none\nStrictModes no\nUsePAM no\n'
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "MaxStartups 100\nPrintMotd no\n"
        "KexAlgorithms curve25519-sha256\n"  # a handshake in half the time: nobody records a loopback
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd parts its privileges
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _wait_for(port, folder)
        (folder / "known_hosts").unlink(missing_ok=True)
        config = folder / "ssh_config"
        config.write_text(
            f"Host device\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentitiesOnly yes\n"
            f'  IdentityFile "{folder / "user-key"}"\n  UserKnownHostsFile "{folder / "known_hosts"}"\n'
            "  StrictHostKeyChecking accept-new\n"
        )
        yield config
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, folder: Path) -> None:
    end = time.monotonic() + _STARTS_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if time.monotonic() > end:
            said = (folder / "sshd.log").read_text(errors="replace").strip().splitlines()
            raise DeliveryFailed("no-sshd", f"the SSH server does not start: {said[-1:]}", f"see {folder / 'sshd.log'}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
