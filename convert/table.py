"""Plain-text tables and step lines for people."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from fieldlens.runtime.files.printable import printable


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart; the first to the left, the others to the right."""
    lines = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


@contextlib.contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """Say what is being done, and when it is done how long it took. An error ends the line and goes on up."""
    print(f"{name:<12}{what} …", end="", flush=True)
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        print(" stopped", flush=True)
        raise
    print(f" {time.perf_counter() - start:.1f} s", flush=True)
