"""A copy of deploy.sh with a pretended environment, for the tests that run it from the outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASH = shutil.which("bash") or "bash"
# What the script may call before it has a Python.
COREUTILS = ("awk", "bash", "cat", "cut", "df", "du", "env", "flock", "grep", "mkdir", "mv", "rm")

# Stands in for .venv/bin/python: answers the script's own small questions with the real interpreter,
# and for `-m ROOM …` writes down the call and leaves the files that stage would leave.
FAKE_PYTHON = """#!{bash}
if [ "$1" != -m ]; then exec {python} "$@"; fi
shift
printf '%s\\n' "$*" >>calls.txt
case "$1 $2" in
  "train demo-data") mkdir -p demo/data && echo image,label >demo/data/labels.csv ;;
  "train fit") mkdir -p demo/run && echo '{{}}' >demo/run/operating-point.json &&
    printf 'image,label,split\\nimages/a.png,0,train\\nimages/b.png,1,test\\n' >demo/run/split.csv ;;
  "convert bundle") mkdir -p demo/demo.bundle && echo '{{}}' >demo/demo.bundle/manifest.json ;;
  "convert verify") exit "${{VERIFY_EXIT:-0}}" ;;
  "convert slim") mkdir -p demo/ready.bundle && echo '{{}}' >demo/ready.bundle/manifest.json &&
    head -c "${{SLIM_BYTES:-1000}}" /dev/zero >demo/ready.bundle/model ;;
  "runtime verify") exit 0 ;;
  "runtime classify") [ "$3" != - ] || cat >fed.txt; mkdir -p demo/overlays && echo >demo/overlays/b.png ;;
esac
"""


def copy_of_kit(tmp_path: Path) -> Path:
    """A copy of deploy.sh and what it reads, in a folder with a space in its name."""
    folder = tmp_path / "a b"
    folder.mkdir()
    for name in ("deploy.sh", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "locks", folder / "locks")
    return folder


def path_without_python(tmp_path: Path) -> Path:
    """A PATH with the usual small tools and no Python that runs: the one there is a version manager's empty shim."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COREUTILS:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    executable(folder / "python3", f"#!{BASH}\necho 'python3: command not found in any version' >&2\nexit 127\n")
    return folder


def executable(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # a link here leads to the system's own program, which must not be written over
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def deploy(folder: Path, *arguments: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the copy in `folder`, never the repository's own: a test must not touch the developer's .venv."""
    surroundings = {key: value for key, value in os.environ.items() if key != "FIELDLENS_PYTHON"} | extra
    command = [BASH, str(folder / "deploy.sh"), *arguments]
    return subprocess.run(
        command, cwd=cwd or folder, env=surroundings, capture_output=True, text=True, check=False, timeout=120
    )


def make_ready(kit: Path, kind: str = "host") -> None:
    """Give the copy an environment that looks installed: the fake Python and the stamp that belongs to its lock."""
    venv = kit / {"host": ".venv", "device": ".venv-device"}[kind]
    (venv / "bin").mkdir(parents=True)
    executable(venv / "bin/python", FAKE_PYTHON.format(bash=BASH, python=f"'{sys.executable}'"))
    (venv / "fieldlens-made").touch()
    (venv / "fieldlens-ready").write_text(f"{identity(kit, kind)}\n", encoding="utf-8")


def identity(kit: Path, kind: str) -> str:
    """What the script itself would write into the stamp."""
    ending = f"\nuse_environment {kind}; identity\n"
    script = (kit / "deploy.sh").read_text(encoding="utf-8").replace('\nmain "$@"\n', ending)
    (kit / "identity.sh").write_text(script, encoding="utf-8")
    return subprocess.check_output([BASH, str(kit / "identity.sh")], text=True).strip()
