"""The trainer (host only): data, splits, augmentation, network, fitting, operating point, evaluation.

Imports ``runtime`` (errors, atomic files, the preprocess, the decision) and nothing else of ours. Hands on a run folder
that ``convert`` reads: the resolved configuration, the split, the best checkpoint, curves, the operating point and,
after ``evaluate``, the metrics. ``fieldlens train --help`` lists the commands; ``docs/training.md`` explains them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fieldlens.train.evaluation.crossval import CrossvalReport, crossval
    from fieldlens.train.evaluation.evaluate import EvaluationOptions, Report, evaluate
    from fieldlens.train.fitting.fit import fit
    from fieldlens.train.recipe import load_recipe

__all__ = ["CrossvalReport", "EvaluationOptions", "Report", "crossval", "evaluate", "fit", "load_recipe"]

_FACE = {
    "fit": "fitting.fit",
    "load_recipe": "recipe",
    **dict.fromkeys(("EvaluationOptions", "Report", "evaluate"), "evaluation.evaluate"),
    **dict.fromkeys(("CrossvalReport", "crossval"), "evaluation.crossval"),
}
"""Name → the module that defines it. Loaded when it is first used (PEP 562), so importing the room costs nothing."""


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fieldlens.train.{_FACE[name]}"), name)
