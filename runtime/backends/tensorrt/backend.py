"""TensorRT with pycuda: a checked plan, page-locked memory, and one CUDA graph per batch size."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from fieldlens.runtime.backends.tensorrt.api import WORDS, TensorRt, tensorrt
from fieldlens.runtime.backends.tensorrt.cuda import Gpu, open_gpu
from fieldlens.runtime.backends.tensorrt.engine_record import Device, EngineChoice, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.backends.tensorrt.slot import Slot
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.machine.host import jetson_linux

_MEASURED_RUNS = 20


@dataclass(frozen=True)
class Engine:
    """A plan's bytes, checked, and what to say about it. ``file``: the model file whose tolerance binds it."""

    plan: bytes
    precision: str
    file: str
    notes: tuple[str, ...] = ()


class TensorRtBackend(Backend):
    """An engine on the GPU of this thread. Load, use and close it in one thread."""

    def __init__(self, library: TensorRt, gpu: Gpu, engine: Engine, manifest: Manifest, options: LoadOptions) -> None:
        """``options``: ``cuda_graph`` and ``memory`` count. Raises BackendError."""
        self._library = library
        self._slots: dict[int, Slot] = {}
        self._runtime: Any = None
        self._engine: Any = None
        self._stream: Any = None
        self._options = options
        self._shapes = interface(manifest)
        self.gpu_ms = 0.0
        """GPU time of the last ``infer`` from events: copies and network, without what the CPU did around them."""
        self.info = BackendInfo(
            "tensorrt", library.version, gpu.facts.name, engine.precision, 1, engine.notes, engine.file
        )
        self._gpu = gpu.share()
        self._open = True
        try:
            self._runtime, self._engine = library.load(engine.plan)
            library.check_interface(self._engine, self._shapes)
            self._batches = tuple(sorted(library.batches(self._engine)))
            self._profiles = {batch: index for index, batch in enumerate(library.batches(self._engine))}
            self._stream = self._gpu.stream()
            self._zero_copy = self._choose_memory()
            self._slot(self._batches[0])
        except BaseException as error:
            _let_go(error)
            self.close()
            raise

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes that the engine was built for, growing. Others are padded or split."""
        return self._batches

    @property
    def layers_json(self) -> str:
        """The inspector's information about the engine."""
        return self._library.layer_information(self._engine)

    def __enter__(self) -> TensorRtBackend:
        return self

    def infer(self, image: Image) -> Outputs:
        if not self._open:
            raise BackendError("the model is closed", "load it again")
        self._gpu.own()
        if image.shape[1:] != self._shapes["image"] or image.dtype != np.uint8:
            raise BackendError(
                f"the image is {image.dtype} {image.shape}, the engine takes uint8 [N, {self._shapes['image']}]",
                "prepare it with the bundle's own preprocess",
            )
        count, largest = len(image), self._batches[-1]
        if count <= largest:
            return self._run(image)
        parts = []
        gpu_ms = 0.0
        for start in range(0, count, largest):
            outputs = self._run(image[start : start + largest])
            parts.append([np.array(output) for output in outputs])
            gpu_ms += self.gpu_ms
        self.gpu_ms = gpu_ms
        return Outputs(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _run(self, image: Image) -> Outputs:
        count = len(image)
        slot = self._slot(next(batch for batch in self._batches if batch >= count))
        outputs = slot.run(image)
        self.gpu_ms = slot.gpu_ms
        self.measured_ms = {**slot.copies_ms, "enqueue": slot.enqueue_ms}
        return Outputs(*(outputs[name][:count] for name in ("logits", "cam", "features")))

    def _slot(self, batch: int) -> Slot:
        """The ready-made run of one batch size; made, warmed up and captured on first use."""
        if batch not in self._slots:
            slot = self._make(batch, self._zero_copy)
            self._slots[batch] = slot
            if slot.note and slot.note not in self.info.notes:
                self.info = replace(self.info, notes=(*self.info.notes, slot.note))
        return self._slots[batch]

    def _make(self, batch: int, zero_copy: bool) -> Slot:
        return Slot(
            self._gpu, self._engine, self._stream, self._profiles[batch], batch, self._shapes, zero_copy,
            self._options.cuda_graph,
        )  # fmt: skip

    def _choose_memory(self) -> bool:
        """Zero-copy or copies. Only an integrated GPU has the choice; there both are measured, taking turns."""
        asked = self._options.memory
        if asked != "auto" or not self._gpu.facts.integrated:
            return asked == "zero-copy"
        times: dict[bool, list[float]] = {False: [], True: []}
        for zero_copy in (False, True, False, True):
            slot = self._make(self._batches[0], zero_copy)
            try:
                times[zero_copy] += slot.measure(_MEASURED_RUNS)
            finally:
                slot.close()
        copies, mapped = (float(np.median(times[key])) for key in (False, True))
        winner = "zero-copy" if mapped < copies else "copies"
        note = f"memory: {winner} (measured here: zero-copy {mapped:.3f} ms, copies {copies:.3f} ms)"
        self.info = replace(self.info, notes=(*self.info.notes, note))
        return mapped < copies

    def close(self) -> None:
        """TensorRT's objects before the memory they use, all of it before the context."""
        if not self._open:
            return
        self._gpu.own()
        self._open = False
        for slot in self._slots.values():
            slot.close()
        self._slots = {}
        self._engine = self._runtime = self._stream = None
        self._gpu.close()


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that an error came through: their variables would keep TensorRT's objects past the context."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def interface(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Tensor name → shape without the batch, as the manifest has it."""
    tensors = manifest.tensors()
    return {
        name: tuple(int(size) for size in tensor["shape"][1:])
        for part in ("inputs", "outputs")
        for name, tensor in tensors[part].items()
    }


def this_device(library: TensorRt, gpu: Gpu) -> Device:
    """What a plan built here is bound to."""
    return Device(library.version, gpu.facts.name, gpu.facts.compute_capability, jetson_linux())


def load(bundle: Bundle, precision: str, options: LoadOptions) -> Backend:
    """Load the accepted plan of ``precision`` (or ``auto``) for this GPU.

    Raises BackendError: no TensorRT, no GPU, no plan for it, or none that is whole; the hint is the command that
    builds one. A plan accepted under another driver is tested on the golden images before it is handed out.
    """
    library = tensorrt()
    if precision not in ("auto", *WORDS):
        raise BackendError(f"TensorRT does not run {precision}", "choose " + ", ".join(WORDS) + " or auto")
    if options.state is None:
        raise BackendError("no state folder was given: it holds the plans", "give --state DIR")
    gpu = open_gpu()
    try:
        store = EngineStore(options.state, bundle.hash)
        choice = store.choice(this_device(library, gpu))
        if choice is None:
            raise BackendError(
                f"TensorRT {library.version} found, no plan for this GPU ({gpu.facts.name})", _command(bundle)
            )
        return _first_that_loads(bundle, library, gpu, store, choice, precision, options)
    finally:
        gpu.close()


def _first_that_loads(
    bundle: Bundle,
    library: TensorRt,
    gpu: Gpu,
    store: EngineStore,
    choice: EngineChoice,
    precision: str,
    options: LoadOptions,
) -> Backend:
    """The chosen plan; for ``auto``, where it is damaged, the other accepted ones."""
    wanted = [choice.chosen, *choice.plans] if precision == "auto" else [precision]
    failures: list[str] = []
    for name in dict.fromkeys(wanted):
        try:
            engine = _checked(store, choice, name)
            backend = TensorRtBackend(library, gpu, engine, bundle.manifest, options)
        except BackendError as error:
            failures.append(error.message)
            continue
        if failures:
            backend.info = replace(backend.info, notes=(*backend.info.notes, *failures))
        driver = gpu.facts.driver
        return backend if choice.driver == driver else _tested(bundle, backend, choice.driver, driver)
    raise PlanError("; ".join(failures), _command(bundle))


def _checked(store: EngineStore, choice: EngineChoice, precision: str) -> Engine:
    if precision not in choice.plans:
        why = choice.refused.get(precision, "it was not built")
        raise PlanError(f"no {precision} plan was accepted here ({why})", "build it, or use --precision auto")
    plan, record = store.load(choice.plans[precision])
    identity = record.identity
    if (identity.device, identity.precision) != (choice.device, precision):
        raise PlanError(
            f"{record.key}.plan was built for {identity.device.gpu}, {identity.precision}", "build it again"
        )
    return Engine(plan, precision, identity.file, record.notes)


def _tested(bundle: Bundle, backend: TensorRtBackend, before: str, now: str) -> Backend:
    """A new driver may compute something else: golden images first (design, decision 2)."""
    from fieldlens.runtime.backends.selftest import load_golden, run_selftest

    try:
        result = run_selftest(bundle, backend, load_golden(bundle))
        if not result.passed:
            raise PlanError(
                f"the plan fails its self-test since the driver changed ({before} → {now})", _command(bundle)
            )
    except BaseException:
        backend.close()
        raise
    note = f"the driver changed since the plan was accepted ({before} → {now}); it passed its self-test just now"
    backend.info = replace(backend.info, notes=(*backend.info.notes, note))
    return backend


def _command(bundle: Bundle) -> str:
    return f"run `fieldlens convert engine --ensure {bundle.path}`"
