"""A station in a process of its own, as a clinic starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass
class Serving:
    """``url`` without a slash at the end."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(bundle: Path, place: Path, *options: object, backend: str = "fake") -> Iterator[Serving]:
    """``fieldlens serve`` on a free port, its records in ``place/data``."""
    command = [
        sys.executable, "-m", "runtime", "serve", "--bundle", bundle, "--data", place / "data", "--state",
        place / "state", "--port", 0, "--backend", backend, *options,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.match(r"page: (https?://\S+)/$", line.strip()):
                    yield Serving(process, found[1])
                    return
            raise AssertionError(f"the station did not start: {''.join(lines)}")
        finally:
            process.kill()
