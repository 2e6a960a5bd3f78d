"""What people call the parts of a data set: ``Training Set``, ``validate``, ``xray_test``."""

from __future__ import annotations

import functools
import re

_WORDS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train", "learn": "train", "learning": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "validating": "val", "dev": "val",
    "devel": "val", "development": "val", "tuning": "val", "tune": "val",
    "test": "test", "testing": "test", "tst": "test", "ts": "test",
}  # fmt: skip
_MAYBE = frozenset(
    {
        "eval", "evaluation", "evaluate", "holdout", "heldout",  # some people's validation, and others' test
        "labeled", "labelled", "unlabeled", "unlabelled", "annotated", "unannotated",
    }
)  # fmt: skip
"""Parts for which the kit has no one name."""
_FILLERS = frozenset(
    {
        "set", "sets", "data", "dataset", "datasets", "image", "images", "img", "imgs", "photo", "photos", "split",
        "splits", "part", "partition", "file", "files", "folder", "subset", "sample", "samples",
    }
)  # fmt: skip
_TOGETHER = frozenset({"train_and_validation_sets"})
"""LIMUC's: validation is taken from it."""


@functools.lru_cache(maxsize=4096)
def part_named(word: str) -> str | None:
    """``Validation`` → ``val``; None for a word that names no part, or that may name two."""
    if word.strip().lower() in _TOGETHER:
        return "train"
    tokens = [token for token in _tokens(word) if token not in _FILLERS and not token.isdigit()]
    parts = {_WORDS.get(token) for token in tokens}
    return parts.pop() if len(parts) == 1 else None


def looks_like_part(word: str) -> bool:
    """Whether a part's name is in it: ``trainA``, ``xray_test``, ``eval``."""
    return part_named(word) is not None or any(
        token in _MAYBE or (token in _WORDS and len(token) > 2) for token in _tokens(word)
    )


def only_fillers(word: str) -> bool:
    """``images``, ``data set``: says nothing about what is in it."""
    return all(token in _FILLERS or token.isdigit() for token in _tokens(word))


def _tokens(word: str) -> list[str]:
    """``trainingSet-1`` → training, set, 1; ``hold-out`` is one."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])", " ", word.strip())
    tokens = re.findall(r"[a-z]+|[0-9]+", apart.lower().replace("hold-out", "holdout").replace("hold_out", "holdout"))
    return [part for token in tokens for part in _unglued(token)]


def _unglued(token: str) -> list[str]:
    """``trainset`` and ``testdata`` → their two words."""
    for filler in ("set", "sets", "data", "images", "dataset"):
        stem = token.removesuffix(filler)
        if stem != token and stem in _WORDS:
            return [stem, filler]
    return [token]
