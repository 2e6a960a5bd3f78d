"""``fieldlens deploy`` and ``fieldlens keys``: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldlens.convert.delivery import operate
from fieldlens.convert.delivery.keys import KeyFolder, SignerKey, default_folder
from fieldlens.convert.delivery.provision import Provision
from fieldlens.convert.delivery.push import push
from fieldlens.convert.delivery.rehearsal import ended_by_sigterm, free_port, rehearse
from fieldlens.convert.delivery.remote import DeliveryFailed, Remote
from fieldlens.convert.delivery.stick import write_stick
from fieldlens.runtime.bundle.find import find_bundle
from fieldlens.runtime.bundle.precision import targets_of
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.stopping import Stop, Stopper
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.runtime.updating.arguments import RUNTIME, STATION
from fieldlens.runtime.updating.status import lines as status_lines

_CLOCK = "the device's clock is not set: the update does not need it, but its records carry no true time"


class ProgressLines(Lines):
    """Progress on standard error; standard output is for the result."""

    def say(self, text: str) -> None:
        """One line."""
        print(printable(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def failures_as_json(arguments: argparse.Namespace) -> Iterator[None]:
    """With ``--json``, a failure is an object with ``reason``, beside the words for people."""
    try:
        yield
    except KitError as error:
        if arguments.json:
            reason = getattr(error, "reason", "refused")
            print(json_text({"ok": False, "reason": reason, "message": error.message, "hint": error.hint}))
        raise


def say(arguments: argparse.Namespace, found: dict[str, Any], *words: str) -> int:
    """The result, for machines or for people."""
    print(json_text(found) if arguments.json else "\n".join(map(printable, words)))
    return EXIT_OK


def remote_of(arguments: argparse.Namespace) -> Remote:
    """The device that a command names."""
    return Remote(arguments.host, arguments.root, arguments.ssh_config)


def run_usb(arguments: argparse.Namespace) -> int:
    """``deploy usb``."""
    with failures_as_json(arguments):
        source = find_bundle(arguments.bundle)
        targets = targets_of(arguments.targets, "--for") if arguments.targets else None
        if arguments.dry_run:
            return say(arguments, {"ok": True, "dry_run": True}, f"would copy {source} to {arguments.stick}")
        made = write_stick(arguments.stick, source, targets)
    state = "lies there already, whole" if made.there else "written and read back"
    found = {
        "ok": True,
        "path": str(made.path),
        "bytes": made.size_bytes,
        "there": made.there,
        "signed": made.bundle.signed,
    }
    return say(
        arguments, found, f"{made.path}: {state}, {made.size_bytes / 1e6:.1f} MB; {made.bundle.signed}",
        f"on the station: fieldlens update /media/STICK/{made.path.name}",
    )  # fmt: skip


def run_provision(arguments: argparse.Namespace) -> int:
    """``deploy provision``."""
    with failures_as_json(arguments):
        given = settings_of(arguments)
        remote, keys = remote_of(arguments), keys_of(arguments)
        work = Provision(
            remote, keys, key=None if arguments.unsigned else _private_key(keys),
            setup=given,
            python=arguments.python, unsigned=arguments.unsigned, reporter=ProgressLines(),
            offline=arguments.offline,
        )  # fmt: skip
        plan = work.do(dry_run=arguments.dry_run)
    done = "would be provisioned" if arguments.dry_run else "is provisioned"
    return say(
        arguments, {"ok": True, "dry_run": arguments.dry_run, **asdict(plan)},
        f"{remote.host} {done}: release {plan.release}", f"next: ./deploy.sh push {remote.host} NAME.bundle",
    )  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given; a camera takes the place of a folder, and the other way round. Raises DeliveryFailed."""
    runs, pages = arguments.runs, [name for name in ("listen", "port", "site") if getattr(arguments, name) is not None]
    if runs == RUNTIME and pages:
        raise DeliveryFailed("usage", f"--{pages[0]} belongs to a page, which --runtime has not", "leave it out")
    if arguments.watch is not None and arguments.camera is not None:
        raise DeliveryFailed("usage", "--camera and --watch: a device without a page has one of them", "give one")
    if arguments.watch is not None and runs == STATION:
        raise DeliveryFailed("usage", "--watch belongs to --runtime", "a station's page takes files")
    given: dict[str, Any] = {
        "runs": runs, "host": arguments.listen, "port": arguments.port, "camera": arguments.camera,
        "folder": arguments.watch, "site": arguments.site, "power_mode": arguments.power_mode,
        "jetson_clocks": arguments.jetson_clocks,
    }  # fmt: skip
    if arguments.camera is not None or runs == STATION:
        given["folder"] = ""
    if arguments.watch is not None:
        given["camera"] = ""
    return {name: value for name, value in given.items() if value is not None}


def run_push(arguments: argparse.Namespace) -> int:
    """``deploy push``."""
    with failures_as_json(arguments):
        remote = remote_of(arguments)
        done = push(
            remote, find_bundle(arguments.bundle), allow_downgrade=arguments.allow_downgrade,
            dry_run=arguments.dry_run, reporter=ProgressLines(),
        )  # fmt: skip
    found = {**done.result, "sent_bytes": done.sent_bytes, "sessions": done.tries}
    if arguments.dry_run:
        return say(arguments, found, *done.result["steps"])
    version = done.result["version"]
    words = [f"{remote.host} serves {version['name']} version {version['number']}"]
    if not done.result["clock_is_set"]:
        words.append(f"note: {_CLOCK}")
    return say(arguments, found, *words)


def run_release(arguments: argparse.Namespace) -> int:
    """``deploy release``."""
    with failures_as_json(arguments):
        remote, keys = remote_of(arguments), keys_of(arguments)
        work = Provision(
            remote, keys, python=arguments.python, unsigned=arguments.unsigned, reporter=ProgressLines(),
            key=None if arguments.unsigned else arguments.key or _signing_key(keys),
        )  # fmt: skip
        plan = work.release(dry_run=arguments.dry_run)
    words = plan.steps if arguments.dry_run else [f"{remote.host} runs release {plan.release}"]
    return say(arguments, {"ok": True, "dry_run": arguments.dry_run, **asdict(plan)}, *words)


def run_rotate(arguments: argparse.Namespace) -> int:
    """``deploy rotate``."""
    with failures_as_json(arguments):
        remote, keys = remote_of(arguments), keys_of(arguments)
        if not keys.all():
            raise DeliveryFailed("no-key", f"there is no key in {keys.folder}", "`fieldlens keys new` makes one")
        found = operate.rotate(remote, keys, arguments.key or _signing_key(keys), dry_run=arguments.dry_run)
    words = [f"{remote.host}: keys number {found['number']}{' counted already' if found['there'] else ''}"]
    words += [f"{'would be: ' if arguments.dry_run else ''}{step}" for step in found["steps"]]
    words += [f"note: {title}, to which it could go back, counts no more there" for title in found["lost"]]
    return say(arguments, found, *words)


def run_rehearse(arguments: argparse.Namespace) -> int:
    """``deploy rehearse``."""
    port = arguments.port or free_port()
    source = find_bundle(arguments.bundle)
    with ended_by_sigterm(), rehearse(arguments.folder, source, port, ProgressLines()) as made:
        print("\n".join(map(printable, status_lines(operate.status(made.remote)))))
        print(f"page: {made.url}/")
        way = shlex.join(["--root", made.remote.root, "--ssh-config", str(made.remote.config)])
        print(f"from another terminal: fieldlens deploy status device {way}", flush=True)
        if not arguments.once:
            stopper = Stopper()
            with stopper.listening(), contextlib.suppress(Stop), stopper.waiting():
                while True:
                    time.sleep(1)
    return EXIT_OK


def _private_key(keys: KeyFolder) -> Path | None:
    return next((key.private for key in keys.all() if key.private and not key.revoked), None)


def _signing_key(keys: KeyFolder) -> Path:
    found = _private_key(keys)
    if found is None:
        raise DeliveryFailed(
            "no-key", f"there is no private key in {keys.folder}", "give --key FILE, or `fieldlens keys new`"
        )
    return found


def run_rollback(arguments: argparse.Namespace) -> int:
    """``deploy rollback``."""
    with failures_as_json(arguments):
        remote = remote_of(arguments)
        found = operate.rollback(remote, dry_run=arguments.dry_run)
    if arguments.dry_run:
        return say(arguments, found, *found["steps"])
    return say(
        arguments, found, f"{remote.host} serves {found['version']['name']} version {found['version']['number']}"
    )


def run_status(arguments: argparse.Namespace) -> int:
    """``deploy status``: 2 where the service does not answer with what is installed."""
    with failures_as_json(arguments):
        found = operate.status(remote_of(arguments))
    say(arguments, found, *status_lines(found))
    return EXIT_OK if found["service"]["answers"] and found["service"].get("as_linked") else EXIT_REFUSED


def run_selftest(arguments: argparse.Namespace) -> int:
    """``deploy selftest``."""
    with failures_as_json(arguments):
        remote = remote_of(arguments)
        if arguments.dry_run:
            steps = operate.would(remote, "answer the golden images of what it serves, beside its service")
            return say(arguments, {"ok": True, "dry_run": True, "steps": steps}, *steps)
        found = operate.selftest(remote)
    outcome = "passed" if found["passed"] else "FAILED"
    say(arguments, found, f"{outcome}: {found['images']} golden images on {found['backend']} {found['precision']}")
    return EXIT_OK if found["passed"] else EXIT_REFUSED


def run_bench(arguments: argparse.Namespace) -> int:
    """``deploy bench``."""
    with failures_as_json(arguments):
        remote = remote_of(arguments)
        out = arguments.out or Path(f"{remote.host.rpartition('@')[2]}-latency.html")
        if arguments.dry_run:
            steps = operate.would(remote, "answer the golden images one after the other", f"write the report to {out}")
            return say(arguments, {"ok": True, "dry_run": True, "steps": steps}, *steps)
        beginning.outputs([out])
        operate.bench(remote, out)
    return say(arguments, {"ok": True, "report": str(out)}, f"report: {out}")


def run_logs(arguments: argparse.Namespace) -> int:
    """``deploy logs``."""
    with failures_as_json(arguments):
        lines = operate.logs(remote_of(arguments), arguments.lines)
    return say(arguments, {"ok": True, "lines": lines}, *lines)


def run_remove(arguments: argparse.Namespace) -> int:
    """``deploy remove``."""
    with failures_as_json(arguments):
        remote = remote_of(arguments)
        steps = operate.remove(remote, records=arguments.with_records, dry_run=arguments.dry_run)
    return say(arguments, {"ok": True, "dry_run": arguments.dry_run, "steps": steps}, *steps)


def keys_of(arguments: argparse.Namespace) -> KeyFolder:
    """The folder that ``--keys`` names, or the user's."""
    return KeyFolder(arguments.keys or default_folder())


def run_new(arguments: argparse.Namespace) -> int:
    """``keys new``."""
    with failures_as_json(arguments):
        folder = keys_of(arguments)
        key = folder.new(arguments.name, existing=arguments.existing, passphrase=not arguments.no_passphrase)
    where = f"private key: {key.private}" if key.private else "its private half is not here"
    return say(
        arguments, {"ok": True, **_shown(key)}, f"{key.name}: {key.fingerprint}", where,
        f"sign with it: fieldlens convert sign NAME.bundle --key {key.private or 'FILE'}",
        f"devices learn of it by ./deploy.sh provision or rotate ({folder.signers})",
    )  # fmt: skip


def run_show(arguments: argparse.Namespace) -> int:
    """``keys show``."""
    with failures_as_json(arguments):
        folder = keys_of(arguments)
        keys = folder.all()
    words = [f"{key.name:<28}{key.fingerprint}  {'REVOKED' if key.revoked else 'counts'}" for key in keys]
    return say(
        arguments, {"ok": True, "folder": str(folder.folder), "keys": [_shown(key) for key in keys]},
        *(words or [f"no keys in {folder.folder}: make one with `fieldlens keys new NAME@PLACE`"]),
    )  # fmt: skip


def run_revoke(arguments: argparse.Namespace) -> int:
    """``keys revoke``."""
    with failures_as_json(arguments):
        folder = keys_of(arguments)
        key = folder.revoke(arguments.name)
        left = [each.name for each in folder.all() if not each.revoked]
    words = [
        f"{key.name}: {key.fingerprint} is revoked, in {folder.revoked}",
        "devices learn of it by ./deploy.sh provision or rotate",
    ]
    if not left:
        words.append("note: no key counts any more: make another one before you provision")
    return say(arguments, {"ok": True, **_shown(key), "left": left}, *words)


def _shown(key: SignerKey) -> dict[str, Any]:
    return {**asdict(key), "private": str(key.private) if key.private else None}


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "usb": run_usb, "provision": run_provision, "push": run_push,
    "release": run_release, "rotate": run_rotate, "rehearse": run_rehearse, "rollback": run_rollback,
    "status": run_status, "selftest": run_selftest, "bench": run_bench, "logs": run_logs, "remove": run_remove,
    "new": run_new, "show": run_show, "revoke": run_revoke,
}  # fmt: skip
