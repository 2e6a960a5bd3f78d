"""The container's files, linted: no image is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fieldlens.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE, COMPOSE = ROOT / "deploy/Dockerfile", ROOT / "deploy/compose.yaml"


def test_the_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here: ./deploy.sh setup installs it from the next lock on")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_container_is_nobody_special() -> None:
    """Not root, a health check, and libraries with hashes from a lock that is there."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert re.search(r"^USER 10001$", text, flags=re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert "--require-hashes" in text
    (lock,) = re.findall(r"-r (locks/\S+)", text)
    assert (ROOT / lock).is_file()


def test_its_command_is_one_of_ours() -> None:
    (line,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert build_parser().parse_args(re.findall(r'"([^"]+)"', line)).command == "serve"


def test_compose_gives_it_no_rights() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", ":/bundle:ro"):
        assert line in text
    command = text.partition("command:")[2].partition("network_mode")[0]
    words = re.findall(r"^ +- (.*)$", command, flags=re.MULTILINE)
    parsed = build_parser().parse_args(words)
    assert (parsed.command, str(parsed.bundle)) == ("serve", "/bundle")


@pytest.mark.skipif(
    subprocess.run("docker compose version", shell=True, capture_output=True, check=False).returncode != 0,
    reason="no docker compose on this machine",
)
def test_compose_takes_its_file() -> None:
    command = f"BUNDLE=/tmp docker compose -f {COMPOSE} config --quiet"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
