"""The room between training and the device: export, precisions, calibration, verification, engines.

Owns the graph of the model files, their quantisation, and the making of bundles. May import ``runtime`` and ``train``.
Hands on ``NAME.bundle`` folders and tables that say what each precision costs. A device gets the command line and
``engine/``, and these import neither torch nor onnx nor ``train``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fieldlens.convert.assembly import MadeBundle, bundle
    from fieldlens.convert.measure.verify import Verified, verify
    from fieldlens.convert.origin.origin import BundleOptions

__all__ = ["BundleOptions", "MadeBundle", "Verified", "bundle", "verify"]

_FACE = {
    **dict.fromkeys(("MadeBundle", "bundle"), "assembly"),
    **dict.fromkeys(("Verified", "verify"), "measure.verify"),
    "BundleOptions": "origin.origin",
}
"""Name → the module that defines it. Loaded when it is first used (PEP 562), so importing the room costs nothing."""


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fieldlens.convert.{_FACE[name]}"), name)
