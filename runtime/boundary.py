"""The one boundary that turns what a command raises into words and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError, OutputError
from fieldlens.runtime.files.printable import printable_lines
from fieldlens.runtime.output.linefile import LineStream


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
    with contextlib.suppress(OutputError, BrokenPipeError):
        LineStream(sys.stderr).write(text)
