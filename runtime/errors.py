"""The one exception family, and the one boundary that turns it into an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from fieldlens.runtime.files.printable import printable_lines

EXIT_OK = 0
EXIT_BUG = 1
EXIT_REFUSED = 2
EXIT_SOME_INPUTS_BAD = 3
EXIT_INVALID_RUN = 4


class KitError(Exception):
    """A failure that a person can mend: what happened, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BundleError(KitError):
    """A bundle that is incomplete, altered, or of a format that this version does not read."""


class ImageError(KitError):
    """One input that is not a whole, sane image. The run goes on without it."""


class AnswerError(KitError):
    """An image for which the network, the calibration, the quality gate or the score gave no number."""


class SourceError(KitError):
    """A source (folder, video, camera) that cannot be opened or stopped delivering."""


class OutputError(KitError):
    """A result that could not be written: the disk is full, or the place is gone. The run ends with its report."""


class BackendError(KitError):
    """An inference backend that is missing, or that refused the model."""


class ConfigError(KitError):
    """A recipe, option or manifest value that is unknown or out of range."""


def run_cli(main: Callable[[], int]) -> int:
    """Run a room's ``main`` and map what it raises to an exit code.

    A KitError prints ``error:`` and ``hint:`` and gives 2. Ctrl-C gives 0 only where a command ended its own run
    cleanly; here, outside of one, it is the shell's 130. Anything else is our bug: Python prints the traceback, 1.
    """
    try:
        return main()
    except KitError as error:
        _complain(f"error: {printable_lines(error.message)}\nhint: {printable_lines(error.hint)}\n")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        _complain("interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of our standard output went away (`… | head`): not an error. Point stdout at nothing, so that
        # the interpreter's own flush at exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _complain(text: str) -> None:
    """On standard error. Where that cannot be written, the exit code has to say it alone."""
    from fieldlens.runtime.output.linefile import LineStream  # here: it raises this module's errors

    with contextlib.suppress(OutputError, BrokenPipeError):
        LineStream(sys.stderr).write(text)
