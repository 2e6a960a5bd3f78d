"""``fieldlens update`` and ``fieldlens device``: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldlens.runtime.bundle.find import find_bundle
from fieldlens.runtime.bundle.signature import POLICY_VARIABLE
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError
from fieldlens.runtime.files import bounds, strictjson
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.updating import configuring, memory, power, receiving, releases, status, supervisor, trust
from fieldlens.runtime.updating.configuring import Configuration
from fieldlens.runtime.updating.layout import DeviceFolders, InstalledVersion, UpdateRefused
from fieldlens.runtime.updating.proof import Proof
from fieldlens.runtime.updating.recovery import before_start
from fieldlens.runtime.updating.releases import Adoption
from fieldlens.runtime.updating.service import log_lines, service_of
from fieldlens.runtime.updating.settings import read_setup, service_command
from fieldlens.runtime.updating.updater import Updater, refusal_of

_CLOCK = "this device's clock is not set (it shows a time before 2025): the update does not need it"


def device_of(arguments: argparse.Namespace) -> DeviceFolders:
    """The device's folders. Below a scratch root its own policy counts, for us and for every process that we start."""
    layout = DeviceFolders(arguments.root.absolute())
    if layout.root != Path("/") and layout.policy.exists():
        os.environ[POLICY_VARIABLE] = str(layout.policy)
    return layout


def updater_of(layout: DeviceFolders) -> Updater:
    """With this device's service and proof."""
    return Updater(layout, service_of(layout), Proof(layout))


@contextlib.contextmanager
def as_json(wanted: bool) -> Iterator[None]:
    """With ``--json``, a failure is an object with ``reason`` on standard output, beside the words for people."""
    try:
        yield
    except (KitError, OSError) as error:
        refusal = refusal_of(error) if isinstance(error, OSError) else error
        if wanted:
            reason = refusal.reason if isinstance(refusal, UpdateRefused) else "refused"
            print(json_text({"ok": False, "reason": reason, "message": refusal.message, "hint": refusal.hint}))
        raise refusal from error


def update(arguments: argparse.Namespace) -> int:
    """Install a bundle that lies in a folder."""
    layout = device_of(arguments)
    with as_json(arguments.json):
        source = find_bundle(arguments.bundle)
        if arguments.dry_run:
            steps = updater_of(layout).plan(source, allow_downgrade=arguments.allow_downgrade)
            _result(arguments, {"ok": True, "dry_run": True, "steps": steps}, steps)
            return EXIT_OK
        beginning.say("update: checking the bundle, then its golden images on this device …")
        version = updater_of(layout).install(source, allow_downgrade=arguments.allow_downgrade)
    _say_served(arguments, version)
    return EXIT_OK


def rollback(arguments: argparse.Namespace) -> int:
    """Serve the version before."""
    layout = device_of(arguments)
    with as_json(arguments.json):
        if arguments.dry_run:
            good = memory.load(memory.Good, layout.good)
            if good is None or good.before is None:
                raise UpdateRefused("no-version-before", "there is no earlier version to go back to", "install one")
            steps = [f"prove {good.before.title} on this device", f"switch from {good.version.title} to it"]
            _result(arguments, {"ok": True, "dry_run": True, "steps": steps}, steps)
            return EXIT_OK
        version = updater_of(layout).rollback()
    _say_served(arguments, version)
    return EXIT_OK


def _say_served(arguments: argparse.Namespace, version: InstalledVersion) -> None:
    clock_is_set = memory.clock_is_set()
    reported = {"ok": True, "version": asdict(version), "clock_is_set": clock_is_set}
    words = [f"{version.title} serves"]
    if not clock_is_set:
        words.append(f"note: {_CLOCK}")
    _result(arguments, reported, words)


def _result(arguments: argparse.Namespace, reported: dict[str, Any], words: list[str]) -> None:
    print(json_text(reported) if arguments.json else "\n".join(map(printable, words)))


def show_status(arguments: argparse.Namespace) -> int:
    """Exit code 2 where the service does not answer with what is installed."""
    found = status.status_of(device_of(arguments))
    if arguments.json:
        print(json_text(found))
    else:
        print("\n".join(status.lines(found)))
    return EXIT_OK if found["service"]["answers"] and found["service"].get("as_linked") else EXIT_REFUSED


def logs(arguments: argparse.Namespace) -> int:
    """What the service said."""
    print("\n".join(map(printable, log_lines(device_of(arguments), arguments.lines))))
    return EXIT_OK


def prepare(arguments: argparse.Namespace) -> int:
    """Before each start: end what was interrupted, and leave word which folder to serve."""
    layout = device_of(arguments)
    if words := trust.finish_before_start(layout):
        beginning.say(f"note: {words}")
    if (before := releases.end_interrupted(layout)) is not None:
        beginning.say(f"note: release {before} runs again: a new one was interrupted")
        os.execv(str(layout.root / "opt/fieldlens/bin/fieldlens"), _same_words(arguments))
    if configuring.end_interrupted(layout):
        beginning.say("note: the settings before are there again: a trial of new ones was interrupted")
    start = before_start(layout, Proof(layout))
    for note in start.notes:
        beginning.say(f"note: {note}")
    layout.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    (layout.run / "serve-from").write_text(str(start.folder), encoding="utf-8")
    _hold_clocks(layout)
    return EXIT_OK


def _hold_clocks(layout: DeviceFolders) -> None:
    """A restart of a Jetson lets its clocks go. They keep no service from starting."""
    try:
        power.apply(layout, None, read_setup(layout).jetson_clocks)
    except KitError as error:
        beginning.say(f"note: {error.message}")


def _same_words(arguments: argparse.Namespace) -> list[str]:
    """This command again, for another release's code."""
    prepared = ["--prepared"] if getattr(arguments, "prepared", False) else []
    return ["fieldlens", "device", arguments.command, "--root", str(arguments.root), *prepared]


def configure(arguments: argparse.Namespace) -> int:
    """New settings, as one JSON object on standard input."""
    layout = device_of(arguments)
    with as_json(arguments.json):
        given = strictjson.loads(sys.stdin.buffer.read(bounds.RECORD_BYTES + 1), bounds.RECORD_BYTES)
        if not isinstance(given, dict):
            raise UpdateRefused("usage", "the settings are not a JSON object", "give what station.json holds")
        work = Configuration(layout, service_of(layout))
        if arguments.dry_run:
            steps = work.plan(given)
            _result(arguments, {"ok": True, "dry_run": True, "steps": steps}, steps)
            return EXIT_OK
        notes = work.apply(given)
    _result(
        arguments, {"ok": True, "notes": notes}, ["the settings are in place", *(f"note: {note}" for note in notes)]
    )
    return EXIT_OK


def run_service(arguments: argparse.Namespace) -> int:
    """Become ``fieldlens serve``, or ``classify`` on a device without a page."""
    layout = device_of(arguments)
    if not arguments.prepared:
        prepare(arguments)
    folder = (layout.run / "serve-from").read_text(encoding="utf-8").strip()
    command = service_command(layout, folder)
    os.execv(sys.executable, command)


def recover(arguments: argparse.Namespace) -> int:
    """Nothing where nothing was interrupted; a living updater is left alone."""
    layout = device_of(arguments)
    try:
        done = updater_of(layout).recover()
    except UpdateRefused as error:
        if error.reason != "busy":
            raise
        return EXIT_OK
    if done is not None:
        beginning.say(f"note: {done.detail}")
    return EXIT_OK


def receive(arguments: argparse.Namespace) -> int:
    """One push, on standard input."""
    layout = device_of(arguments)
    return receiving.receive(layout, updater_of(layout))


def adopt(arguments: argparse.Namespace) -> int:
    """A release that lies here already."""
    layout = device_of(arguments)
    with as_json(arguments.json):
        name = Adoption(layout, service_of(layout)).adopt(arguments.release)
    _result(arguments, {"ok": True, "release": name}, [f"release {name} runs"])
    return EXIT_OK


def keys(arguments: argparse.Namespace) -> int:
    """New lists of signers, on standard input."""
    layout = device_of(arguments)
    with as_json(arguments.json):
        envelope = sys.stdin.buffer.read(trust.ENVELOPE_BYTES + 1)
        done = trust.take(layout, envelope, dry_run=arguments.dry_run)
    reported = {"ok": True, "dry_run": arguments.dry_run, **asdict(done)}
    words = [f"keys number {done.number} counted already"] if done.there else list(done.steps)
    _result(arguments, reported, [*words, *(f"note: {title} counts no more" for title in done.lost)])
    return EXIT_OK


def supervise(arguments: argparse.Namespace) -> int:
    """Until a signal comes."""
    return supervisor.supervise(device_of(arguments))


def stop(arguments: argparse.Namespace) -> int:
    """The supervisor and its service."""
    supervisor.stop(device_of(arguments))
    return EXIT_OK


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "update": update,
    "status": show_status,
    "rollback": rollback,
    "logs": logs,
    "prepare": prepare,
    "run": run_service,
    "recover": recover,
    "receive": receive,
    "adopt": adopt,
    "configure": configure,
    "keys": keys,
    "supervise": supervise,
    "stop": stop,
}
