"""The one table of precisions: each word, where it runs, the file it is made from, and the tolerance that binds it."""

from __future__ import annotations

from typing import NamedTuple

from fieldlens.runtime.errors import ConfigError


class PrecisionRow(NamedTuple):
    """One way to run a network.

    ``word`` is what people say, ``target`` where it runs, ``file`` what it is made from (``model.<file>.onnx``).
    ``tolerances``: by whose tolerance it is accepted, the first one that a bundle has.
    """

    word: str
    target: str
    file: str
    tolerances: tuple[str, ...]


TABLE = (
    PrecisionRow("fp32", "cpu", "fp32", ("fp32",)),
    PrecisionRow("fp32", "tensorrt10", "fp32", ("fp32",)),
    PrecisionRow("fp32", "tensorrt8", "fp32", ("fp32",)),
    PrecisionRow("fp16", "tensorrt10", "fp16", ("fp16", "int8-trt8")),
    PrecisionRow("fp16", "tensorrt8", "fp32", ("fp16", "int8-trt8")),  # by a builder flag; without a file of its own
    PrecisionRow("int8", "tensorrt10", "int8", ("int8",)),
    PrecisionRow("int8", "tensorrt8", "int8-trt8", ("int8-trt8",)),
    PrecisionRow("int8", "cpu", "int8-cpu", ("int8-cpu",)),
    PrecisionRow("bf16", "cpu", "fp32", ("int8-cpu",)),  # no tolerance of its own: the widest binds it
)
"""The order is that of every list of model files: the reference first."""

REFERENCE = "fp32"
MODEL_FILES = tuple(dict.fromkeys(row.file for row in TABLE))
"""Every model file that a bundle may hold: ``model.<name>.onnx``."""
WORDS = ("fp32", "bf16", "fp16", "int8")
"""What people call a precision, from the widest to the narrowest."""
TARGETS = ("cpu", "tensorrt10", "tensorrt8")


def targets_of(text: str, option: str = "--targets") -> tuple[str, ...]:
    """``cpu,tensorrt10`` → the targets in the kit's order. Raises ConfigError."""
    asked = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in asked if word not in TARGETS]
    if unknown or not asked:
        raise ConfigError(
            f"{option} {text!r}: {unknown[0] if unknown else 'nothing'} is no target",
            f"choose from {', '.join(TARGETS)}",
        )
    return tuple(target for target in TARGETS if target in asked)


def file_for(word: str, target: str) -> str:
    """The model file that ``word`` is made from on ``target``. Raises KeyError where it does not run there."""
    return {row.word: row.file for row in TABLE if row.target == target}[word]


def preferred_on(target: str) -> tuple[str, ...]:
    """The model files behind the precisions that ``auto`` prefers to FP32 on ``target``."""
    rows = (row for row in TABLE if row.target == target and row.word in ("fp16", "int8"))
    return tuple(dict.fromkeys(row.file for row in rows))


def model_file(name: str) -> str:
    """``model.int8-cpu.onnx`` of ``int8-cpu``."""
    return f"model.{name}.onnx"


def words_on(target: str) -> tuple[str, ...]:
    """The words that run on ``target``."""
    return tuple(word for word in WORDS if any((row.word, row.target) == (word, target) for row in TABLE))


def word_of(name: str) -> str:
    """The word of a model file or a tolerance: ``int8`` of ``int8-trt8``."""
    return next(row.word for row in TABLE if name == row.tolerances[0])


def tolerances_for(word: str, file: str) -> tuple[str, ...]:
    """By whose tolerance ``word`` is accepted when it was made from ``file``; ``file`` empty: on a CPU."""
    for row in TABLE:
        if row.word == word and (row.file == file and row.target != "cpu" if file else row.target == "cpu"):
            return row.tolerances
    return (file or word,)


def measured_for(target: str) -> tuple[str, ...]:
    """What a bundle for ``target`` is measured at, beside the reference."""
    names = (row.tolerances[0] for row in TABLE if row.target == target)
    return tuple(dict.fromkeys(name for name in names if name != REFERENCE))


RUN_ON_CPU = {row.file: row.word for row in TABLE if row.target == "cpu" and row.word != "bf16"}
"""Model file → word, for files that a CPU library runs."""
EMULATED = {row.file: row.word for row in TABLE if row.target != "cpu" and row.file != REFERENCE}
"""Model file → word, for files that only TensorRT runs: a host emulates them."""
