"""``convert engine``: build a TensorRT engine on the device that runs it, and let it prove itself.

Four steps: decide what is needed, build, accept, settle. Torch-free: a device has this folder. What building and
running share is in ``runtime/backends/tensorrt``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from fieldlens.convert.engine import memory
from fieldlens.convert.engine.arguments import TACTIC_SOURCES
from fieldlens.convert.engine.candidates import Supply, Workbench
from fieldlens.convert.engine.history import BuildHistory
from fieldlens.convert.engine.trials import Accepted, accept
from fieldlens.runtime.backends.selftest import load_golden
from fieldlens.runtime.backends.tensorrt.api import CODE_VERSION, BuildOptions, tensorrt
from fieldlens.runtime.backends.tensorrt.backend import this_device
from fieldlens.runtime.backends.tensorrt.cuda import open_gpu
from fieldlens.runtime.backends.tensorrt.engine_record import EngineChoice, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import EXIT_OK, ConfigError, KitError
from fieldlens.runtime.machine.host import own_state_folder
from fieldlens.runtime.terminal.reporter import SILENT, Lines, Reporter

_MAX_BATCH = 256


@dataclass(frozen=True)
class Nothing:
    """A valid engine for exactly this device exists."""

    choice: EngineChoice


@dataclass(frozen=True)
class AcceptAgain:
    """Only the driver changed: the stored engines have to be accepted again, and if they are not, built."""

    why: str
    before: EngineChoice


@dataclass(frozen=True)
class Build:
    """Build what is asked for; stored engines that are what would be built now are taken from ``supply``."""

    why: str
    before: EngineChoice | None
    supply: Supply


Needed = Nothing | AcceptAgain | Build


@dataclass(frozen=True)
class EngineResult:
    """What this device runs now. ``changed``: something was built or accepted; else it was good already."""

    choice: EngineChoice
    path: Path
    changed: bool


def run(arguments: argparse.Namespace) -> int:
    """The command. Raises KitError for whatever keeps this device from having an engine."""
    options = _options(arguments)
    bundle, reporter = open_bundle(arguments.bundle), Lines()
    if bundle.absent:
        reporter.say(f"{bundle.title}: {bundle.partial}")
    build_engine(
        bundle, own_state_folder(arguments.state), options, asked=arguments.precision, ensure=arguments.ensure,
        reporter=reporter, progress=sys.stderr,
    )  # fmt: skip
    return EXIT_OK


def _options(arguments: argparse.Namespace) -> BuildOptions:
    try:
        batches = tuple(sorted({int(word) for word in arguments.batch.split(",")}))
    except ValueError:
        batches = (0,)
    if not 1 <= batches[0] <= batches[-1] <= _MAX_BATCH:
        raise ConfigError(f"--batch {arguments.batch} is not a list of batch sizes", "give e.g. --batch 1,4,8")
    if arguments.workspace < 0:
        raise ConfigError(f"--workspace {arguments.workspace} is negative", "give MiB, or leave it out")
    given = os.environ.get(TACTIC_SOURCES, "") if arguments.tactic_sources is None else arguments.tactic_sources
    sources = tuple(sorted({word.strip() for word in given.split(",") if word.strip()}))
    return BuildOptions(batches, arguments.optimization_level, arguments.workspace, sources)


def build_engine(
    bundle: Bundle,
    state: Path,
    options: BuildOptions,
    *,
    asked: str = "auto",
    ensure: bool = False,
    reporter: Reporter = SILENT,
    progress: TextIO | None = None,
) -> EngineResult:
    """Have an accepted engine of ``bundle`` in the ``state`` folder of this device.

    ``asked``: a precision, or ``auto`` for the fastest that is accepted. ``ensure``: do nothing where a valid engine
    for exactly this device exists. ``progress``: where a long build shows how far it is, such as ``sys.stderr``.
    Raises KitError for whatever keeps this device from having an engine; the one it had before stays.
    """
    with _workbench(bundle, state, options, reporter, progress) as bench:
        facts = bench.gpu.facts
        reporter.say(
            f"TensorRT {bench.device.tensorrt} on {facts.name} ({facts.compute_capability}), driver {facts.driver}"
        )
        if killed := BuildHistory(bench.store.root, bench.device).killed():
            reporter.say(
                f"the last build here was killed ({killed}), most likely by the kernel for want of memory: "
                "see `sudo dmesg | grep -i oom`. The engine accepted before it, if any, stayed"
            )
        needed = decide(bench, asked, ensure=ensure)
        if isinstance(needed, Nothing):
            reporter.say("nothing to do: a valid engine for exactly this device exists")
            return _result(bench, needed.choice, changed=False)
        if needed.why:
            reporter.say(f"needed: {needed.why}")
        again = _accepted_again(bench, needed.before) if isinstance(needed, AcceptAgain) else None
        return _result(bench, again or _built(bench, asked, needed), changed=True)


@contextlib.contextmanager
def _workbench(
    bundle: Bundle, state: Path, options: BuildOptions, reporter: Reporter, progress: TextIO | None
) -> Iterator[Workbench]:
    """The library, the GPU and the locked store, given back at the end."""
    library = tensorrt()
    gpu = open_gpu()
    try:
        store = EngineStore(state, bundle.hash)
        with store.lock():
            store.prepare()
            device, golden = this_device(library, gpu), load_golden(bundle)
            yield Workbench(bundle, library, gpu, store, options, device, golden, reporter, progress)
    finally:
        gpu.close()


def decide(bench: Workbench, asked: str, *, ensure: bool) -> Needed:
    """What has to be done so that this device has the engine that was ``asked`` for."""
    before, unreadable = None, ""
    try:
        before = bench.store.choice(bench.device)
    except PlanError as error:
        unreadable = error.message
    if not ensure:
        return Build("", before, Supply({}))
    goal = _choice(bench, asked, "", {}, {})
    why = unreadable or bench.store.needed(goal)
    if before is None:
        return Build(why, None, Supply({}))
    if not why:
        return Nothing(before)
    if not bench.store.needed(replace(goal, driver=before.driver)):
        return AcceptAgain(why, before)
    return Build(why, before, Supply(before.plans))


def _accepted_again(bench: Workbench, before: EngineChoice) -> EngineChoice | None:
    """Accept the stored engines for a new driver, without building. None if the chosen one is no longer good."""
    with contextlib.ExitStack() as opened:
        asked = "auto" if before.chosen == "int8" else before.chosen
        try:
            accepted = accept(bench, asked, Supply(before.plans, build=False), opened)
        except KitError as error:
            bench.reporter.say(f"the stored engines do not pass any more: {error.message}")
            return None
        if accepted.chosen != before.chosen:
            return None
        return settle(bench, before.asked, accepted, before.refused)


def _built(bench: Workbench, asked: str, needed: AcceptAgain | Build) -> EngineChoice:
    supply = needed.supply if isinstance(needed, Build) else Supply({})
    if short := memory.warning():
        bench.reporter.say(f"warning: {short}")
    with contextlib.ExitStack() as opened:
        last = needed.before.chosen if needed.before else ""
        accepted = accept(bench, asked, supply, opened, last=last)
        return settle(bench, asked, accepted, accepted.refused)


def settle(bench: Workbench, asked: str, accepted: Accepted, refused: dict[str, str]) -> EngineChoice:
    """Store what was accepted; the choice last, so that a kill before it changes nothing."""
    gate = {"engines": [verdict.to_json() for verdict in accepted.verdicts], "race": accepted.race}
    keys = {
        name: bench.store.save(each.plan, replace(each.record, gate=gate, driver=bench.gpu.facts.driver))
        for name, each in accepted.candidates.items()
    }
    choice = _choice(bench, asked, accepted.chosen, keys, refused)
    bench.store.choose(choice)
    bench.reporter.say(f"engine: {choice.chosen}, {_path(bench, choice)}")
    for note in accepted.candidates[choice.chosen].backend.info.notes:
        bench.reporter.say(f"note: {note}")
    return choice


def _choice(bench: Workbench, asked: str, chosen: str, plans: dict[str, str], refused: dict[str, str]) -> EngineChoice:
    reason = "; ".join(f"{name} refused: {why}" for name, why in refused.items())
    return EngineChoice(
        device=bench.device,
        driver=bench.gpu.facts.driver,
        asked=asked,
        options=bench.options.text(),
        code_version=CODE_VERSION,
        chosen=chosen,
        plans=plans,
        refused=refused,
        reason=reason or "the fastest, and it passes",
    )


def _path(bench: Workbench, choice: EngineChoice) -> Path:
    return bench.store.folder / f"{choice.plans[choice.chosen]}.plan"


def _result(bench: Workbench, choice: EngineChoice, *, changed: bool) -> EngineResult:
    return EngineResult(choice, _path(bench, choice), changed)
