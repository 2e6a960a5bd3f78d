"""One candidate: the engine of one precision, built by the first recipe that works here, or taken from the store."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TextIO

from fieldlens.convert.engine.history import BuildHistory
from fieldlens.convert.engine.progress import BuildProgress
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.selftest import Golden
from fieldlens.runtime.backends.tensorrt.api import CODE_VERSION, BuildOptions, Recipe, TensorRt
from fieldlens.runtime.backends.tensorrt.backend import Engine, TensorRtBackend
from fieldlens.runtime.backends.tensorrt.cuda import Gpu
from fieldlens.runtime.backends.tensorrt.engine_record import Device, EngineRecord, Identity
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.opened import COPY_WHOLE, Bundle
from fieldlens.runtime.bundle.precision import model_file
from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.machine.host import conditions, power_mode
from fieldlens.runtime.terminal.reporter import Reporter

_LEAST_WORKSPACE = 256 * 2**20
"""A limit, not a reservation. On a Jetson "free" leaves out what the page cache would give back."""


@dataclass(frozen=True)
class Workbench:
    """What every step needs and none changes. ``progress``: where a long build's progress is shown; None: nowhere."""

    bundle: Bundle
    library: TensorRt
    gpu: Gpu
    store: EngineStore
    options: BuildOptions
    device: Device
    golden: Golden
    reporter: Reporter
    progress: TextIO | None


@dataclass(frozen=True)
class Supply:
    """Where engines may come from: the stored ones, precision → key, and a new build unless ``build`` is False."""

    stored: Mapping[str, str]
    build: bool = True


@dataclass(frozen=True)
class EngineCandidate:
    """A loaded engine, and what will be stored of it if it is accepted."""

    backend: TensorRtBackend
    plan: bytes
    record: EngineRecord


def candidate(bench: Workbench, precision: str, supply: Supply, opened: contextlib.ExitStack) -> EngineCandidate:
    """The stored engine if it is what would be built now, else a new one; ``opened`` closes it.

    Raises KitError with the reasons of the last recipe, or with what is missing.
    """
    return _reused(bench, precision, supply, opened) or _built(bench, precision, supply, opened)


def _reused(bench: Workbench, precision: str, supply: Supply, opened: contextlib.ExitStack) -> EngineCandidate | None:
    if precision not in supply.stored:
        return None
    with contextlib.suppress(KitError):
        plan, record = bench.store.load(supply.stored[precision])
        if record.identity in [_identity(bench, recipe) for recipe in _recipes(bench, precision)]:
            return _loaded(bench, plan, record, opened)
    return None


def _recipes(bench: Workbench, precision: str) -> list[Recipe]:
    return [r for r in bench.library.recipes(precision) if r.file in bench.bundle.manifest.precisions]


def _built(bench: Workbench, precision: str, supply: Supply, opened: contextlib.ExitStack) -> EngineCandidate:
    """Build by the first recipe that works here."""
    listed = _recipes(bench, precision) if supply.build else []
    recipes = [recipe for recipe in listed if recipe.file in bench.bundle.precisions]
    if listed and not recipes:
        names = " or ".join(model_file(recipe.file) for recipe in listed)
        raise BackendError(bench.bundle.left_out(names), COPY_WHOLE)
    if not recipes:
        names = " or ".join(model_file(recipe.file) for recipe in bench.library.recipes(precision))
        why = f"the bundle has no {names}" if supply.build else "no stored engine"
        raise BackendError(why, "make the bundle with this TensorRT among its --targets")
    notes: tuple[str, ...] = ()
    for recipe in recipes:
        try:
            return _loaded(bench, *_build(bench, recipe, notes), opened)
        except BackendError as error:
            if recipe is recipes[-1]:
                raise
            bench.reporter.say(
                f"built {recipe.typing}, it failed: {error.message}\ntrying the way of TensorRT 8 instead"
            )
            notes = (f"{precision} {recipe.typing} failed here ({error.message.splitlines()[0]}); built with flags",)
    raise AssertionError("unreachable")


def _build(bench: Workbench, recipe: Recipe, notes: tuple[str, ...]) -> tuple[bytes, EngineRecord]:
    mode = power_mode()
    workspace = bench.options.workspace_mb * 2**20 or max(bench.gpu.free_bytes() // 2, _LEAST_WORKSPACE)
    cache = bench.store.timing_cache(bench.device, mode)
    what = f"building {recipe.precision} from {model_file(recipe.file)} ({recipe.typing})"
    history = BuildHistory(bench.store.root, bench.device)
    last_s = history.seconds(what)
    with history.building(what), BuildProgress(what, bench.progress, last_s=last_s) as progress:
        built = bench.library.build(
            bench.bundle.model(recipe.file), recipe, bench.options, bench.bundle.manifest.size, workspace, cache,
            progress,
        )  # fmt: skip
        seconds = progress.seconds
    history.took(what, seconds)
    bench.store.save_timing_cache(bench.device, mode, built.timing_cache)
    around = {**conditions(), "gpu": asdict(bench.gpu.facts), "power_mode": mode, "workspace_bytes": workspace}
    record = EngineRecord(
        identity=_identity(bench, recipe),
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_size=len(built.plan),
        driver=bench.gpu.facts.driver,
        built_utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        build_s=round(seconds, 3),
        notes=(*notes, *built.notes),
        conditions=around,
    )
    return built.plan, record


def _identity(bench: Workbench, recipe: Recipe) -> Identity:
    return Identity(
        bundle=bench.bundle.hash,
        file=recipe.file,
        file_sha256=bench.bundle.manifest.files[model_file(recipe.file)].sha256,
        precision=recipe.precision,
        typing=recipe.typing,
        device=bench.device,
        options=bench.options.text(),
        code_version=CODE_VERSION,
    )


def _loaded(bench: Workbench, plan: bytes, record: EngineRecord, opened: contextlib.ExitStack) -> EngineCandidate:
    engine = Engine(plan, record.identity.precision, record.identity.file, record.notes)
    backend = TensorRtBackend(bench.library, bench.gpu, engine, bench.bundle.manifest, LoadOptions())
    opened.callback(backend.close)
    return EngineCandidate(backend, plan, record)
