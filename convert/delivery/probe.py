"""Looks at a device before anything is changed. Sent over SSH and run by whatever Python 3 is there: it imports nothing
of ours, and keeps to Python 3.6, so that an old device is told apart from a broken one. Prints one JSON object.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path


def pythons() -> "dict[str, list[object]]":
    """Path → version, and whether it can make environments."""
    found: dict[str, list[object]] = {}
    for name in ("python3.13", "python3.12", "python3.11", "python3.10", "python3"):
        path = shutil.which(name)
        if path is None:
            continue
        for code in ("import venv, ensurepip, sys", "import sys"):
            done = subprocess.run(
                [path, "-c", code + "; print('%d.%d' % sys.version_info[:2])"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                found[path] = [done.stdout.decode().strip(), "venv" in code]
                break
    return found


def main(root: str) -> None:
    """Print what is there."""
    place = Path(root)
    while not place.exists():
        place = place.parent
    found = {
        "user": os.geteuid(),
        "machine": platform.machine(),
        "system": platform.system(),
        "libc": " ".join(platform.libc_ver()),
        "pythons": pythons(),
        "jetson": Path("/etc/nv_tegra_release").exists(),
        "systemd": Path("/run/systemd/system").is_dir(),
        "free_bytes": shutil.disk_usage(str(place)).free,
        "time_s": time.time(),
        "ssh_keygen": shutil.which("ssh-keygen") is not None,
        "provisioned": Path(root, "opt/fieldlens/bin/fieldlens").exists(),
        "writable": os.access(str(place), os.W_OK),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
