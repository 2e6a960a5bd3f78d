"""The doctor's look at the engine of a bundle: is one accepted for this GPU, and is it whole?"""

from __future__ import annotations

from pathlib import Path

from fieldlens.runtime.backends.tensorrt.api import tensorrt
from fieldlens.runtime.backends.tensorrt.backend import this_device
from fieldlens.runtime.backends.tensorrt.cuda import open_gpu
from fieldlens.runtime.backends.tensorrt.engine_record import Device, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.doctor.machine_checks import FAIL, OK, WARN, Check
from fieldlens.runtime.errors import KitError

_NAME = "plan"


def plan(path: Path, state: Path) -> Check:
    """Read every accepted plan and compare it with its hash. Nothing is loaded into TensorRT."""
    build = f"fieldlens convert engine --ensure {path}"
    try:
        bundle = open_bundle(path, check_files=False)
        gpu = open_gpu()
        try:
            device = this_device(tensorrt(), gpu)
            driver = gpu.facts.driver
        finally:
            gpu.close()
    except KitError as error:
        return Check(_NAME, WARN, f"not looked at: {error.message}", error.hint)
    store = EngineStore(state, bundle.hash)
    try:
        return _judge(store, device, driver, build)
    except PlanError as error:
        return Check(_NAME, FAIL, error.message, build)


def _judge(store: EngineStore, device: Device, driver: str, build: str) -> Check:
    choice = store.choice(device)
    if choice is None:
        others = store.other_choices(device)
        why = f" ({', '.join(device.differences(others[0].device))})" if others else ""
        return Check(_NAME, WARN, f"none for {device.gpu} with TensorRT {device.tensorrt}{why}", build)
    size = sum(len(store.load(key)[0]) for key in choice.plans.values())
    words = f"{choice.chosen} chosen of {', '.join(choice.plans)}, {size / 2**20:.0f} MB, whole"
    if choice.driver != driver:
        return Check(_NAME, WARN, f"{words}; accepted under another driver ({choice.driver})", build)
    return Check(_NAME, OK, words)
