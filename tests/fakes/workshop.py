"""``python -m convert engine`` in this process, and what it left."""

from __future__ import annotations

from pathlib import Path

from convert.__main__ import main
from runtime import kept
from runtime.backends.base import LoadOptions
from runtime.backends.select import choose_backend
from runtime.bundle import Bundle
from runtime.plan import PlanStore
from runtime.plan_record import Choice, parse_choice
from runtime.selftest import load_golden, run_selftest


def build_engine(bundle: Bundle, state: Path, *options: str) -> PlanStore:
    """Run the command; the store it wrote into."""
    assert main(["engine", str(bundle.path), "--state", str(state), *options]) == 0
    return PlanStore(state, bundle.hash)


def chosen(store: PlanStore) -> Choice:
    """The one choice in the store."""
    (path,) = store.folder.glob("choice-*.json")
    whole = kept.load_any(path)
    assert whole is not None
    return parse_choice(whole[1])


def precision_that_runs(bundle: Bundle, state: Path) -> str:
    """Load what was chosen, and let it answer."""
    with choose_backend(bundle, "tensorrt", "auto", LoadOptions(), state).backend as backend:
        assert run_selftest(bundle, backend, load_golden(bundle)).passed
        return backend.info.precision
