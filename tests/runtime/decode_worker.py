"""A process of its own that decodes files: what becomes of each, how long it takes, and the most memory of all.

``python decode_worker.py FOLDER [SECONDS]`` prints a JSON line for each file of the folder, in order, and one at the
end. :func:`decode_all` runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Decoded:
    """``error``: what was said of a file that was refused, or "" for one that gave pixels.

    ``seconds`` are of this process's processor time, because a neighbour on the machine takes what it likes of the
    clock's; the process that can be killed has a limit of its own.
    """

    name: str
    seconds: float
    error: str
    hint: str


@dataclass(frozen=True)
class Work:
    """All files, and the peak memory in MB of the process and of the one that it may have started."""

    files: tuple[Decoded, ...]
    peak_mb: float


def decode_all(folder: Path, seconds: float = 2.0) -> Work:
    """Fails where the process does not end well, or leaves out a file."""
    command = [sys.executable, "-W", "error", str(Path(__file__)), str(folder), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {lines[-1:]}: exit code {done.returncode}\n{done.stderr[-3000:]}"
    files = tuple(Decoded(**line) for line in lines[:-1])
    assert [file.name for file in files] == sorted(path.name for path in folder.iterdir())
    return Work(files, lines[-1]["peak_mb"])


def main() -> None:
    from fieldlens.runtime.errors import ImageError
    from fieldlens.runtime.pixels.decode_limits import DecodeLimits
    from fieldlens.runtime.pixels.preprocess import Preprocess
    from fieldlens.runtime.pixels.steps import Orient, Resize

    preprocess = Preprocess((Orient(), Resize(224)), DecodeLimits(seconds=float(sys.argv[2])))
    peak_mb = 0.0
    for path in sorted(Path(sys.argv[1]).iterdir()):
        data, said = path.read_bytes(), ("", "")
        start = time.process_time()
        try:
            preprocess.from_bytes(data, path.name)
        except ImageError as error:
            said = error.message, error.hint
        seconds = time.process_time() - start
        print(json.dumps({"name": path.name, "seconds": seconds, "error": said[0], "hint": said[1]}), flush=True)
        peak_mb = max(peak_mb, *(peak_of(who) for who in ("self", *children())))
    print(json.dumps({"peak_mb": peak_mb}))


def children() -> list[str]:
    """The process that can be killed, where there is one."""
    return Path("/proc/self/task", str(threading.get_native_id()), "children").read_text().split()


def peak_of(process: str) -> float:
    """MB. Not ``ru_maxrss``, which begins with what the process that started this one had."""
    status = Path("/proc", process, "status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
