"""What an AUC is called wherever one is printed, because there are two that differ."""

from __future__ import annotations

SCORE_AUC = "score AUC"
"""Of the decision's score: the positive classes together against all others."""
MACRO_AUC = "macro AUC"
"""Mean over the classes, each against all others; the decision plays no part in it."""


def area_name(task: str, classes: int, *, of_score: bool = False) -> str:
    """The name of an AUC. Of two classes that exclude each other there is only one: either class, or the score."""
    if task == "multiclass" and classes <= 2:
        return "AUC"
    return SCORE_AUC if of_score else MACRO_AUC
