"""``python -m convert engine``: build a TensorRT engine on the device that runs it, and let it prove itself.

Torch-free: a device has this folder. What building and running share is in ``runtime/backends/tensorrt``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from fieldlens.convert.engine.acceptance import Acceptance, judge, race, table, too_slow
from fieldlens.convert.engine.arguments import TACTIC_SOURCES
from fieldlens.convert.engine.progress import BuildProgress
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.selftest import load_golden
from fieldlens.runtime.backends.tensorrt.api import CODE_VERSION, BuildOptions, Built, Recipe, TensorRt, tensorrt
from fieldlens.runtime.backends.tensorrt.backend import Engine, TensorRtBackend, this_device
from fieldlens.runtime.backends.tensorrt.cuda import Gpu, open_gpu
from fieldlens.runtime.backends.tensorrt.engine_record import EngineChoice, EngineRecord, Identity, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import EXIT_OK, BackendError, ConfigError, KitError
from fieldlens.runtime.machine.host import conditions, own_state_folder, power_mode

_SAFER = {"int8": "fp16", "fp16": "fp32"}
_MAX_BATCH = 256
_LEAST_WORKSPACE = 256 * 2**20
"""A limit, not a reservation. On a Jetson "free" leaves out what the page cache would give back."""


def run(arguments: argparse.Namespace) -> int:
    """Build, gate, store. Raises KitError for whatever keeps this device from having an engine."""
    options = _options(arguments)
    bundle = open_bundle(arguments.bundle)
    library = tensorrt()
    gpu = open_gpu()
    try:
        store = EngineStore(own_state_folder(arguments.state), bundle.hash)
        with store.lock():
            store.prepare()
            with Workshop(bundle, library, gpu, store, options) as workshop:
                workshop.work(arguments.precision, arguments.ensure)
    finally:
        gpu.close()
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


@dataclass(frozen=True)
class EngineCandidate:
    """A loaded engine, and what will be stored of it if it is accepted."""

    backend: TensorRtBackend
    plan: bytes
    record: EngineRecord


class Workshop:
    """One bundle's engines in the making. Keeps the candidates loaded until the ``with`` ends: they race each other."""

    def __init__(self, bundle: Bundle, library: TensorRt, gpu: Gpu, store: EngineStore, options: BuildOptions) -> None:
        self._bundle, self._library, self._gpu, self._store, self._options = bundle, library, gpu, store, options
        self._device = this_device(library, gpu)
        self._golden = load_golden(bundle)
        self._candidates: dict[str, EngineCandidate] = {}
        self._refused: dict[str, str] = {}
        self._verdicts: list[Acceptance] = []
        self._reuse: dict[str, str] = {}
        self._may_build = True
        self._unreadable = ""
        self._race: dict[str, Any] = {}

    def work(self, asked: str, ensure: bool) -> None:
        """The whole command."""
        facts = self._gpu.facts
        print(f"TensorRT {self._device.tensorrt} on {facts.name} ({facts.compute_capability}), driver {facts.driver}")
        before = self._previous()
        if not ensure:
            self._settle(asked, self._decide(asked, before))
            return
        goal = self._goal(asked, "", {})
        why = self._unreadable or self._store.needed(goal)
        if not why:
            print("nothing to do: a valid engine for exactly this device exists")
            return
        print(f"needed: {why}")
        self._reuse = dict(before.plans) if before else {}
        driver_only = before and not self._store.needed(replace(goal, driver=before.driver))
        if not (before and driver_only and self._regate(before)):
            self._settle(asked, self._decide(asked, before))

    def _previous(self) -> EngineChoice | None:
        try:
            return self._store.choice(self._device)
        except PlanError as error:
            self._unreadable = error.message
            return None

    def _regate(self, before: EngineChoice) -> bool:
        """Put the stored plans before the gate again, without building. False if the chosen one is no longer good."""
        self._may_build = False
        try:
            chosen = self._decide(before.chosen if before.chosen != "int8" else "auto", None)
        except KitError as error:
            print(f"the stored engines do not pass any more: {error.message}")
            chosen = ""
        self._may_build = True
        if chosen != before.chosen:
            self.close()
            self._reuse = {}
            return False
        self._refused = {**before.refused}
        self._settle(before.asked, chosen)
        return True

    def _decide(self, asked: str, before: EngineChoice | None) -> str:
        """The precision to run. Raises KitError where nothing that was asked for is accepted."""
        wanted = "int8" if asked == "auto" else asked
        chosen = wanted if self._try(wanted) else ""
        rival = _SAFER.get(wanted, "") if asked in ("auto", "int8") else ""
        while rival and not self._try(rival):
            rival = _SAFER.get(rival, "")
        if chosen == "int8" and rival and not self._wins(chosen, rival):
            chosen = ""
        if self._verdicts:
            print(table(self._verdicts))
        for precision, reason in self._refused.items():
            print(f"{precision} is refused: {reason}")
        chosen = chosen or (rival if asked == "auto" else "")
        if not chosen:
            reasons = "; ".join(f"{name}: {why}" for name, why in self._refused.items())
            raise BackendError(f"no engine was accepted ({reasons})", self._hint(asked, before))
        return chosen

    def _wins(self, precision: str, rival: str) -> bool:
        """Race two accepted candidates; the one that gains too little is refused, by name and figure."""
        contest = race(self._candidates[precision].backend, self._candidates[rival].backend, self._golden)
        self._race = {"against": rival, **asdict(contest), "gain": contest.gain}
        slow = too_slow(contest, precision, rival)
        print(f"race: {precision} {contest.fast_ms:.3f} ms, {rival} {contest.slow_ms:.3f} ms ({contest.gain:+.1%})")
        if slow:
            self._verdicts = [replace(v, refusals=(slow,)) if v.precision == precision else v for v in self._verdicts]
            self._refuse(precision, slow)
        return not slow

    def _hint(self, asked: str, before: EngineChoice | None) -> str:
        last = f"the engine accepted before ({before.chosen}) stays; " if before else ""
        return last + ("the CPU backends still run" if asked == "auto" else "--precision auto takes the next safer one")

    def _try(self, precision: str) -> bool:
        """Build (or reuse) and judge one precision; what fails is kept as the reason of its refusal."""
        if precision in self._candidates or precision in self._refused:
            return precision in self._candidates
        try:
            candidate = self._reused(precision) or self._built(precision)
        except KitError as error:
            self._refused[precision] = error.message
            return False
        self._candidates[precision] = candidate
        verdict = judge(self._bundle, self._golden, candidate.backend, candidate.record.identity.typing)
        self._verdicts.append(verdict)
        if not verdict.passed:
            self._refuse(precision, "; ".join(verdict.refusals))
        return verdict.passed

    def _refuse(self, precision: str, reason: str) -> None:
        self._refused[precision] = reason
        self._candidates.pop(precision).backend.close()

    def _reused(self, precision: str) -> EngineCandidate | None:
        """The stored plan, if it is what would be built now."""
        if precision not in self._reuse:
            return None
        with contextlib.suppress(KitError):
            plan, record = self._store.load(self._reuse[precision])
            if record.identity in [self._identity(recipe) for recipe in self._recipes(precision)]:
                return self._loaded(plan, record)
        return None

    def _recipes(self, precision: str) -> list[Recipe]:
        return [r for r in self._library.recipes(precision) if r.file in self._bundle.manifest.precisions]

    def _built(self, precision: str) -> EngineCandidate:
        """Build by the first recipe that works here. Raises KitError with the last one's reasons."""
        recipes = self._recipes(precision) if self._may_build else []
        if not recipes:
            names = " or ".join(f"model.{recipe.file}.onnx" for recipe in self._library.recipes(precision))
            why = f"the bundle has no {names}" if self._may_build else "no stored plan"
            raise BackendError(why, "make the bundle with this TensorRT among its --targets")
        notes: tuple[str, ...] = ()
        for recipe in recipes:
            try:
                return self._loaded(*self._build(recipe, notes))
            except BackendError as error:
                if recipe is recipes[-1]:
                    raise
                print(f"built {recipe.typing}, it failed: {error.message}\ntrying the way of TensorRT 8 instead")
                notes = (
                    f"{precision} {recipe.typing} failed here ({error.message.splitlines()[0]}); built with flags",
                )
        raise AssertionError("unreachable")

    def _build(self, recipe: Recipe, notes: tuple[str, ...]) -> tuple[bytes, EngineRecord]:
        mode = power_mode()
        workspace = self._options.workspace_mb * 2**20 or max(self._gpu.free_bytes() // 2, _LEAST_WORKSPACE)
        cache = self._store.timing_cache(self._device, mode)
        with BuildProgress(f"building {recipe.precision} from model.{recipe.file}.onnx ({recipe.typing})") as progress:
            built: Built = self._library.build(
                self._bundle.model(recipe.file), recipe, self._options, self._bundle.manifest.size, workspace, cache,
                progress,
            )  # fmt: skip
            seconds = progress.seconds
        self._store.save_timing_cache(self._device, mode, built.timing_cache)
        around = {**conditions(), "gpu": asdict(self._gpu.facts), "power_mode": mode, "workspace_bytes": workspace}
        return built.plan, EngineRecord(
            self._identity(recipe),
            hashlib.sha256(built.plan).hexdigest(),
            len(built.plan),
            self._gpu.facts.driver,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            round(seconds, 3),
            (*notes, *built.notes),
            conditions=around,
        )

    def _identity(self, recipe: Recipe) -> Identity:
        file = self._bundle.manifest.files[f"model.{recipe.file}.onnx"]
        return Identity(
            self._bundle.hash, recipe.file, file.sha256, recipe.precision, recipe.typing, self._device,
            self._options.text(), CODE_VERSION,
        )  # fmt: skip

    def _loaded(self, plan: bytes, record: EngineRecord) -> EngineCandidate:
        engine = Engine(plan, record.identity.precision, record.identity.file, record.notes)
        return EngineCandidate(
            TensorRtBackend(self._library, self._gpu, engine, self._bundle.manifest, LoadOptions()), plan, record
        )

    def _goal(self, asked: str, chosen: str, plans: dict[str, str]) -> EngineChoice:
        """What is to hold here when this command has ended."""
        reason = "; ".join(f"{name} refused: {why}" for name, why in self._refused.items())
        return EngineChoice(
            self._device, self._gpu.facts.driver, asked, self._options.text(), CODE_VERSION, chosen, plans,
            self._refused, reason or "the fastest, and it passes",
        )  # fmt: skip

    def _settle(self, asked: str, chosen: str) -> None:
        """Store what was accepted; the choice last, so that a kill before it changes nothing."""
        gate = {"engines": [verdict.to_json() for verdict in self._verdicts], "race": self._race}
        keys = {
            name: self._store.save(each.plan, replace(each.record, gate=gate, driver=self._gpu.facts.driver))
            for name, each in self._candidates.items()
        }
        self._store.choose(self._goal(asked, chosen, keys))
        print(f"engine: {chosen}, {self._store.folder / (keys[chosen] + '.plan')}")
        for note in self._candidates[chosen].backend.info.notes:
            print(f"note: {note}")

    def close(self) -> None:
        """Close all candidates."""
        for candidate in self._candidates.values():
            candidate.backend.close()
        self._candidates, self._refused, self._verdicts, self._race = {}, {}, [], {}

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
