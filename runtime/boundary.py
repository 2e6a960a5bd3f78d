"""The one boundary that turns what a command raises into words and an exit code."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable

from fieldlens.runtime import stopping
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError, OutputError
from fieldlens.runtime.files.printable import printable_lines
from fieldlens.runtime.output.linefile import LineStream


def run_cli(main: Callable[[], int]) -> int:
    """Run a room's ``main`` and map what it raises to an exit code.

    A KitError prints ``error:`` and ``hint:`` and gives 2. Ctrl-C gives 0 only where a command ended its own run
    cleanly; here, outside of one, it is the shell's 130. So is what the system refused (a full or read-only disk, no
    permission) and nobody named before. Anything else is our bug: Python prints the traceback, 1.
    """
    _say_everything()
    try:
        with stopping.remembering():
            code = main()
            if sys.stdout is not None:
                sys.stdout.flush()
        return code
    except (KitError, ImportError) as error:
        if stopping.interrupted():  # what an import made of the Ctrl-C
            return _interrupted()
        if not isinstance(error, KitError):
            raise
        _complain(error)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # The reader of our standard output went away (`… | head`): not an error. Point stdout at nothing, so that
        # the interpreter's own flush at exit stays quiet.
        _forget_output()
        return EXIT_OK
    except OSError as error:
        if error.errno is None:  # not the system's, but some library's own
            raise
        _complain(_of_the_system(error))
        _forget_output()
        return EXIT_REFUSED


def _interrupted() -> int:
    _write("interrupted\n")
    return 130


def _of_the_system(error: OSError) -> KitError:
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "standard output, or a file"
    hint = "check the disk's room and who may use it: df -h, ls -ld; or choose another place"
    return KitError(f"{place}: {error.strerror or error}", hint)


def _forget_output() -> None:
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_PLAINER = {"→": "->", "…": "...", "×": "x", "–": "-", "·": "-", "≥": ">=", "≤": "<=", "±": "+-", "µ": "u"}


def _plainer(error: UnicodeError) -> tuple[str | bytes, int]:
    """What an output cannot hold, in the letters that it has (a codec's error handler)."""
    assert isinstance(error, UnicodeEncodeError)
    sign = error.object[error.start]
    if sign in _PLAINER:
        return _PLAINER[sign], error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)


def _say_everything() -> None:
    """No character ends a command, whatever the locale is, and no byte of a file's name."""
    codecs.register_error("fieldlens.plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fieldlens.plainer")


def _complain(error: KitError) -> None:
    _write(f"error: {printable_lines(error.message)}\nhint: {printable_lines(error.hint)}\n")


def _write(text: str) -> None:
    """On standard error. Where that cannot be written, the exit code has to say it alone."""
    with contextlib.suppress(OutputError, BrokenPipeError):
        LineStream(sys.stderr).write(text)
