"""``fieldlens convert engine`` in this process, and what it left."""

from __future__ import annotations

import shutil
from pathlib import Path

from fieldlens.convert.cli import main
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.selftest import load_golden, run_selftest
from fieldlens.runtime.backends.tensorrt.engine_record import EngineChoice, parse_choice
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.files import kept


def build_engine(bundle: Bundle, state: Path, *options: str) -> EngineStore:
    """Run the command; the store it wrote into."""
    assert main(["engine", str(bundle.path), "--state", str(state), *options]) == 0
    return EngineStore(state, bundle.hash)


def chosen(store: EngineStore) -> EngineChoice:
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


class SharedEngines:
    """Each engine built once for all tests of a session: on a GPU a build takes most of a minute, and loading it none.

    All are built in one state, so that ``auto`` finds the FP16 engine of before, and every build the timings of the
    last one. A test gets a copy of what the state was after its precision, and may do with it what it likes.
    """

    def __init__(self, bundle: Bundle, folder: Path, *options: str) -> None:
        self.bundle = bundle
        self._folder, self._options = folder, options
        self._state = folder / "state"

    def state(self, precision: str, copy: Path) -> Path:
        """A state folder with the engine of ``precision`` chosen, at ``copy``, which is not there yet."""
        kept = self._folder / precision
        if not kept.exists():
            build_engine(self.bundle, self._state, "--ensure", "--precision", precision, *self._options)
            shutil.copytree(self._state, kept)
        return Path(shutil.copytree(kept, copy))
