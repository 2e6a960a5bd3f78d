"""The libraries on a device: an environment of their own for each set, from the registry or from a wheelhouse."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlens.convert.delivery.locks import DeviceLock
from fieldlens.convert.delivery.release import archive
from fieldlens.convert.delivery.remote import DeliveryFailed, Remote
from fieldlens.convert.delivery.wheelhouse import WheelTarget, make_wheelhouse

LEAST_PYTHON = (3, 10)
BUILDERS, LOCK = "build.txt", "lock.txt"
"""As the environment keeps them: what is installed first, to compile pycuda, and the rest."""


@dataclass(frozen=True)
class ProbedDevice:
    """What the probe found."""

    user: int
    machine: str
    system: str
    libc: str
    pythons: dict[str, list[Any]]
    jetson: bool
    systemd: bool
    free_bytes: int
    time_s: float
    ssh_keygen: bool
    provisioned: bool
    writable: bool


def probe(remote: Remote) -> ProbedDevice:
    """Look, and change nothing. Raises DeliveryFailed."""
    script = Path(__file__).with_name("probe.py").read_bytes()
    done = remote.must(["python3", "-", remote.root], "looking at the device", script, 60.0)
    if not done.reported:
        raise DeliveryFailed("device", f"{remote.host}: Python gave no answer", "apt install python3 on the device")
    return ProbedDevice(**done.reported)


class DeviceEnvironment:
    """The libraries on the device, in a folder of their own for each set of them."""

    def __init__(self, remote: Remote, device: ProbedDevice, python: str, offline: bool) -> None:
        self._remote, self._device, self._given, self._offline = remote, device, python, offline
        self.interpreter, self.version = (python, "") if python else self._choose()
        self.name = "given" if python else f"py{self.version}-{self._hash()}"

    @property
    def title(self) -> str:
        """For people."""
        if self._given:
            return f"those of {self._given}"
        where = "a wheelhouse made here" if self._offline else "the package registry, from the device"
        system = ", beside JetPack's own" if self._device.jetson else ""
        hashes = f"with the hashes of locks/{self._lock.name}" if self._lock.files else "without hashes: it has no lock"
        return f"Python {self.version}, from {where}, {hashes}{system}"

    def _choose(self) -> tuple[str, str]:
        for path, (version, whole) in self._device.pythons.items():
            if tuple(map(int, version.split("."))) >= LEAST_PYTHON and whole:
                return path, version
        names = ", ".join(f"{path} ({version})" for path, (version, _) in self._device.pythons.items()) or "none"
        raise DeliveryFailed(
            "no-python", f"{self._remote.host} has no Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or later with venv "
            f"(found: {names})", "there: apt install python3-venv; a Jetson needs JetPack 6",
        )  # fmt: skip

    @property
    def _lock(self) -> DeviceLock:
        return DeviceLock(self.version, self._device.jetson)

    def _requirements(self) -> dict[str, bytes]:
        """The hashed lock of this Python where there is one, with what compiles pycuda on a Jetson; else the ranges."""
        if not self._lock.files:
            return {f"ranges-{path.parent.name}.txt": path.read_bytes() for path in self._lock.sources}
        found = {LOCK: self._lock.files[0].read_bytes()}
        build = DeviceLock(self.version, jetson=True, build=True).files if self._device.jetson else []
        return {BUILDERS: build[0].read_bytes(), **found} if build else found

    def _hash(self) -> str:
        return hashlib.sha256(b"".join(self._requirements().values())).hexdigest()[:12]

    def is_there(self) -> bool:
        """Whether it lies whole on the device already. Raises DeliveryFailed."""
        place = shlex.quote(f"{self._remote.root.rstrip('/')}/opt/fieldlens/environments/{self.name}/ready")
        return (
            bool(self._given) or self._must(f"if [ -f {place} ]; then echo yes; fi", "looking at the libraries") != b""
        )

    def make(self) -> None:
        """Nothing where it is whole already."""
        place = f'"$R/opt/fieldlens/environments/{self.name}"'
        head = f"umask 022; R={shlex.quote(self._remote.root.rstrip('/'))}; E={place}\n"
        if self._given:
            given = shlex.quote(self._given)
            script = (
                f'test -x {given} || {{ echo "error: there is no {given} here" >&2; exit 2; }}\n'
                'mkdir -p "$E/bin"; printf "#!/bin/sh\\nexec %s \\"\\$@\\"\\n" '
                + shlex.quote(given)
                + ' >"$E/bin/python.new"\n'
                'chmod 755 "$E/bin/python.new"; mv -f "$E/bin/python.new" "$E/bin/python"'
            )
            self._remote.must(self._remote.as_owner(["sh", "-euc", head + script]), "naming the Python")
            return
        if self._offline:
            self._install_offline(head)
            return
        self._install(head, self._requirements())

    def _install_offline(self, head: str) -> None:
        """Only what is not there yet is sent, one file after the other."""
        libc = self._device.libc.rpartition(" ")[2]
        target = WheelTarget(self.version, self._device.machine, libc, self._device.jetson)
        house = make_wheelhouse(target, Path.home() / ".cache/fieldlens/wheels")
        place = f'W="${{E%/*}}/../wheels/{target.name}"; mkdir -p "$W"\n'
        listing = self._must(
            f"{head}{place}cd \"$W\"; ls -l | awk 'NR > 1 {{ print $9, $5 }}'", "looking at the wheels"
        )
        there = {tuple(line.split()) for line in listing.decode().splitlines()}
        for path in house.files:
            if (path.name, str(path.stat().st_size)) not in there:
                script = f'{head}{place}cat >"$W/.part"; mv -f "$W/.part" "$W/{path.name}"'
                self._must(script, f"sending {path.name}", path.read_bytes())
        files = {LOCK: house.requirements.read_bytes()}
        if house.builders.exists():
            files = {BUILDERS: house.builders.read_bytes(), **files}
        self._install(head + place, files, '--no-index --find-links "$W"')

    def _install(self, head: str, files: dict[str, bytes], options: str = "") -> None:
        """Locks with hashes, one after the other; ranges at once, where there is no lock."""
        pip = f'"$E/bin/python" -m pip install --quiet --disable-pip-version-check {options}'
        if LOCK in files:
            ready = "--no-build-isolation " if BUILDERS in files else ""  # else pip would fetch without hashes
            order = [f'--require-hashes {ready if name == LOCK else ""}-r "$E/{name}"' for name in files]
        else:
            order = [" ".join(f'-r "$E/{name}"' for name in files)]
        work = "\n".join(f"{pip} {each} >&2" for each in order)
        system = "--system-site-packages" if self._device.jetson else ""
        script = (
            'if [ -f "$E/ready" ]; then cat >/dev/null; exit 0; fi\n'
            f'rm -rf "$E"; mkdir -p "$E"; tar -xzf - -C "$E"; {shlex.quote(self.interpreter)} -m venv {system} "$E"\n'
            f"{work}\n"
            'sync; : >"$E/ready"'
        )
        self._must(head + script, "installing the libraries", archive(files))

    def _must(self, script: str, step: str, given: bytes = b"") -> bytes:
        return self._remote.must(self._remote.as_owner(["sh", "-euc", script]), step, given, 3600.0).stdout
