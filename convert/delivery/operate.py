"""What is asked of a device that runs: back, status, self-test, report, logs, and taking the kit off again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from fieldlens.convert.delivery.environment import probe
from fieldlens.convert.delivery.keys import KeyFolder
from fieldlens.convert.delivery.remote import DeliveryFailed, Remote, RemoteResult
from fieldlens.runtime.bundle.signature import RELEASE_NAMESPACE, sign
from fieldlens.runtime.files import atomic
from fieldlens.runtime.updating.service import UNITS

_LONG_S = 1800.0


def rollback(remote: Remote, *, dry_run: bool = False) -> dict[str, Any]:
    """Serve the version before. Raises DeliveryFailed."""
    words = ["device", "rollback", "--json", "--root", remote.root, *(["--dry-run"] if dry_run else [])]
    return _answer(remote, remote.fieldlens(words, "going back", _LONG_S), "going back")


def rotate(remote: Remote, keys: KeyFolder, key: Path, *, dry_run: bool = False) -> dict[str, Any]:
    """Bring the lists of ``keys``, signed with ``key``, which the device knows. Raises KitError."""
    lists = keys.lists().data
    envelope = {"keys": lists.decode(), "signature": sign(lists, key, RELEASE_NAMESPACE).decode()}
    words = [remote.program, "device", "keys", "--json", "--root", remote.root, *(["--dry-run"] if dry_run else [])]
    step = "changing the keys"
    return _answer(remote, remote.run(remote.as_owner(words), step, json.dumps(envelope).encode(), _LONG_S), step)


def status(remote: Remote) -> dict[str, Any]:
    """What ``fieldlens device status --json`` says there. Raises DeliveryFailed."""
    done = remote.fieldlens(["device", "status", "--json", "--root", remote.root], "asking for the status", 120.0)
    if not done.reported:
        raise remote.failed("asking for the status", done)
    return done.reported


def selftest(remote: Remote) -> dict[str, Any]:
    """The golden images, now. Raises DeliveryFailed."""
    done = remote.fieldlens(["selftest", _current(remote), "--json", "--state", _state(remote)], "self-test", _LONG_S)
    if "passed" not in done.reported:
        raise remote.failed("self-test", done)
    return done.reported


def would(remote: Remote, *steps: str) -> list[str]:
    """``steps``, for a device that can be reached and has the kit; nothing is changed. Raises DeliveryFailed."""
    if not probe(remote).provisioned:
        raise DeliveryFailed(
            "not-provisioned", f"{remote.host} is no device yet", "run ./deploy.sh provision HOST first"
        )
    return list(steps)


def bench(remote: Remote, out: Path) -> None:
    """Answer the golden images one after the other for a minute, and fetch the report. Raises DeliveryFailed."""
    script = (
        'set -eu; d="$(mktemp -d)"; trap \'rm -rf "$d"\' EXIT\n'
        '"$1" classify "$2/golden" --bundle "$2" --state "$3" --mode single-stream --report "$d/r.html" >&2\n'
        'cat "$d/r.html"'
    )
    words = ["sh", "-c", script, "sh", remote.program, _current(remote), _state(remote)]
    done = remote.must(remote.as_owner(words), "measuring", timeout_s=_LONG_S)
    atomic.write_bytes(out, done.stdout, atomic.PUBLIC)


def logs(remote: Remote, count: int) -> list[str]:
    """The service's last lines. Raises DeliveryFailed."""
    done = remote.fieldlens(["device", "logs", "--lines", str(count), "--root", remote.root], "reading the logs")
    if done.code != 0:
        raise remote.failed("reading the logs", done)
    return done.stdout.decode(errors="replace").splitlines()


def remove(remote: Remote, *, records: bool = False, dry_run: bool = False) -> list[str]:
    """Stop the service, then remove what `provision` made. Results of patients go only where that is said."""
    root = remote.root.rstrip("/")
    folders = [
        f"{root}/opt/fieldlens",
        f"{root}/etc/fieldlens",
        f"{root}/var/lib/fieldlens/update",
        f"{root}/run/fieldlens",
    ]
    if records:
        folders += [f"{root}/var/lib/fieldlens", f"{root}/var/log/fieldlens"]
    steps = ["stop the service", *(f"remove {folder}" for folder in folders)]
    if not records:
        steps.append(f"leave the records in {root}/var/lib/fieldlens/station and {root}/var/lib/fieldlens/results")
    if dry_run:
        return would(remote, *steps)
    stop = (
        f"systemctl disable -q --now {' '.join(UNITS.values())} fieldlens-recover.timer || true; "
        "rm -f /etc/systemd/system/fieldlens-*; systemctl daemon-reload\n"
        if root == "" else ""
    )  # fmt: skip
    script = (
        f"if [ -x {shlex.quote(remote.program)} ]; then {shlex.quote(remote.program)} device stop --root "
        f"{shlex.quote(remote.root)} || true; fi\n"
        f"if [ -d /run/systemd/system ]; then :\n{stop}fi\n"
        f"rm -rf -- {' '.join(map(shlex.quote, folders))}"
    )
    remote.must(remote.as_owner(["sh", "-euc", script]), "removing")
    return steps


def _answer(remote: Remote, done: RemoteResult, step: str) -> dict[str, Any]:
    if done.code != 0 or not done.reported:
        raise remote.failed(step, done)
    return done.reported


def _current(remote: Remote) -> str:
    return f"{remote.root.rstrip('/')}/opt/fieldlens/bundles/current"


def _state(remote: Remote) -> str:
    return f"{remote.root.rstrip('/')}/var/lib/fieldlens/state"
