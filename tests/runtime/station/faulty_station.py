"""Records on a disk that refuses, in a process with disk_faults.c preloaded: ``python faulty_station.py DATA``.

Prints a JSON object: what was acknowledged, how often the disk refused, and what went wrong otherwise.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import sys
from pathlib import Path

from fieldlens.runtime.station.records.database import RecordsError
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import made

KINDS = {"write": 1, "fsync": 2, "rename": 4}
CODES = (errno.ENOSPC, errno.EIO)
PLACES = 14
"""Which call of its kind is the first to fail: a result with two images makes fewer than that."""
COUNTS = (1, 1000)
"""Once, or until there is room again."""


def main() -> None:
    """Every fault in turn, each followed by a result that must be stored; the process ends without closing."""
    data, shim = Path(sys.argv[1]).resolve(), ctypes.CDLL(None)
    records = Records(data)
    acknowledged, refusals, wrong = [], 0, []
    for (name, kind), code, count, after in itertools.product(KINDS.items(), CODES, COUNTS, range(PLACES)):
        shim.disk_faults_arm(os.fsencode(data), kind, code, after, count)
        row = made(f"{name}-{after}")
        try:
            acknowledged.append(records.add(row, [("image", b"one" * 3000), ("view", b"two")]).id)
        except RecordsError:
            pass  # said so, and that is all that can be done
        except Exception as error:  # noqa: BLE001  (the parent reads it)
            wrong.append(f"{name} {code} {after}: {error!r}")
        refusals += shim.disk_faults_disarm()
        try:
            acknowledged.append(records.add(made("after"), [("image", b"three")]).id)
        except Exception as error:  # noqa: BLE001  (the parent reads it)
            wrong.append(f"after {name} {code} {after}: {error!r}")
    print(json.dumps({"acknowledged": acknowledged, "refusals": refusals, "wrong": wrong}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
