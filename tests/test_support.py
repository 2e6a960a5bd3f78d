"""Where the kit cannot run it says so in one sentence, and the pages about support and licences match the files."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = [("sys.platform = 'win32'", "Windows"), ("sys.version_info = (3, 9, 18)", "3.9.18")]


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("pretend", "named"), ELSEWHERE)
def test_an_import_elsewhere_is_an_import_error(pretend: str, named: str) -> None:
    done = python(f"import sys; {pretend}\ntry: import fieldlens\nexcept ImportError as error: print(error)")
    assert done.returncode == 0, done.stderr
    assert named in done.stdout


@pytest.mark.parametrize(("pretend", "named"), ELSEWHERE)
@pytest.mark.parametrize("started", ["-m", "runtime/__main__.py", "bin/fieldlens"])
def test_a_command_elsewhere_ends_with_a_hint_and_without_a_traceback(pretend: str, named: str, started: str) -> None:
    done = python(f"import sys; {pretend}; sys.argv = [{started!r}]; import fieldlens")
    assert done.returncode == 2
    assert re.fullmatch(rf"error: .*{re.escape(named)}.*\nhint: .*\n", done.stderr)


def device_pins() -> dict[str, set[str]]:
    """Package → every version that a device's lock names."""
    pins: dict[str, set[str]] = {}
    for lock in ROOT.glob("locks/device-*.txt"):
        for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE):
            pins.setdefault(name, set()).add(version)
    return pins


def licence_rows() -> dict[str, tuple[str, str]]:
    """Package → (versions, licence), from the first table of docs/licences.md."""
    text = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    return {
        name: (versions, licence)
        for name, versions, licence in re.findall(
            r"^\| \[([a-z0-9-]+)\]\(\S+\) \| (.*?) \| (.*?) \|", text, re.MULTILINE
        )
    }


def test_the_licences_page_names_what_a_device_installs() -> None:
    pins = device_pins()
    assert pins
    assert {name: set(versions.split(", ")) for name, (versions, _) in licence_rows().items()} == pins


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower().replace("apache software license", "apache-2.0"))) - {
        "license",
        "and",
    }


@pytest.mark.parametrize("name", sorted(licence_rows()))
def test_a_licence_is_the_one_in_the_installed_metadata(name: str) -> None:
    found = metadata.metadata(name).json
    stated = str(found.get("license_expression") or found.get("license") or "")
    assert stated
    assert words(licence_rows()[name][1]) <= words(stated) | {"osi", "approved"}


def test_the_support_page_names_the_pythons_that_have_locks() -> None:
    text = (ROOT / "docs/support.md").read_text(encoding="utf-8")
    for lock in ROOT.glob("locks/*.txt"):
        found = re.fullmatch(r"(device|host|station|jetson)(?:-build)?-py([\d.]+)\.txt", lock.name)
        assert found, lock.name
        assert re.search(rf"^\| {re.escape(found[2])} \|.*{found[1]}", text, flags=re.MULTILINE | re.IGNORECASE), (
            lock.name
        )
