"""From a command line to the function behind it. What an installation lacks is said with the extra that brings it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.parser import Parser, Words

_DEVICE_LIBRARIES = ("numpy", "cv2", "simplejpeg")
_STATION_LIBRARIES = ("fastapi", "starlette", "uvicorn", "pydantic", "python_multipart", "jinja2")
_HOST_LIBRARIES = ("torch", "torchvision", "onnx", "onnxruntime", "sklearn", "scipy", "matplotlib", "PIL", "tqdm")


def run(parser: Parser, words: Words = None) -> int:
    """Parse, say what begins, import the command's module, call it; returns its exit code.

    Raises KitError: what the command itself raises, or a library that is not installed here.
    """
    arguments = parser.parse_args(words)
    if (begin := getattr(arguments, "begin", None)) is not None:
        line = begin(arguments)
        if not getattr(arguments, "quiet", False):
            beginning.say(line)
    try:
        commands: Mapping[str, Callable[[Any], int]] = importlib.import_module(arguments.module).COMMANDS
        return int(commands[arguments.command](arguments))
    except ModuleNotFoundError as error:
        raise _explained(error, arguments.typed) from error


def _explained(error: ModuleNotFoundError, command: str) -> Exception:
    """A KitError where installing helps; the error itself, a bug of ours, where it does not."""
    missing = error.name or ""
    top = missing.partition(".")[0]
    if top == "tomllib":
        return KitError(f"`{command}` needs Python 3.11 or later", "run it on the host, with a later Python")
    if top in _DEVICE_LIBRARIES:
        return KitError(f"`{command}` needs {missing}, which is not installed", _installing("device", "runtime/"))
    if top in _STATION_LIBRARIES:
        return KitError(
            f"`{command}` needs {missing}, which is not installed", _installing("station", "runtime/station/")
        )
    if top in _HOST_LIBRARIES or missing.startswith("fieldlens."):
        return KitError(
            f"`{command}` belongs to the host: {missing} is missing here",
            f"run it on the host, or {_installing('host', '')}",
        )
    return error


def _installing(extra: str, folder: str) -> str:
    jetson = "; on a Jetson the extra is jetson" if extra == "device" else ""
    return f"pip install 'fieldlens[{extra}]' (in a checkout: pip install -r {folder}requirements.txt{jetson})"
