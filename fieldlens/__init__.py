"""Fieldlens: from labelled images to a verified model that answers offline on a small device.

The face of the kit. The four rooms lie at the top of the repository, where ``train`` and its siblings are links to
them, and are imported as ``fieldlens.train`` and so on: a user's own ``train.py`` neither hides them nor is hidden.
Names are loaded when they are first used (PEP 562), so importing this package takes no time.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fieldlens.runtime.bundle.decision import Outcome
    from fieldlens.runtime.bundle.open import open_bundle
    from fieldlens.runtime.errors import KitError
    from fieldlens.runtime.model import Model, load
    from fieldlens.runtime.prediction import Failure, Prediction

__version__ = "0.1.0"


def _refuse_elsewhere() -> None:
    """Stop on a Python or a system on which nothing of this would work (docs/support.md).

    ImportError for a program; for a command ``error:``, ``hint:`` and exit code 2, as for every known failure.
    """
    version, system = tuple(sys.version_info[:3]), str(sys.platform)
    if version < (3, 10):
        found = ".".join(map(str, version))
        problem, hint = f"Fieldlens needs Python 3.10 or later, this is {found}", "make an environment with a newer one"
    elif system == "win32":
        problem, hint = "Fieldlens does not run on Windows itself", "run it in WSL 2, in a container, or on Linux"
    else:
        return
    started = sys.argv[0].replace("\\", "/").rpartition("/")[2].partition(".")[0]
    if started not in ("-m", "__main__", "fieldlens"):
        raise ImportError(f"{problem}: {hint}")
    print(f"error: {problem}\nhint: {hint}", file=sys.stderr)
    raise SystemExit(2)


_refuse_elsewhere()

_FACE = {
    "Failure": "fieldlens.runtime.prediction",
    "KitError": "fieldlens.runtime.errors",
    "Model": "fieldlens.runtime.model",
    "Outcome": "fieldlens.runtime.bundle.decision",
    "Prediction": "fieldlens.runtime.prediction",
    "load": "fieldlens.runtime.model",
    "open_bundle": "fieldlens.runtime.bundle.open",
}
"""Name → the module that defines it."""

__all__ = ["Failure", "KitError", "Model", "Outcome", "Prediction", "__version__", "load", "open_bundle"]


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
