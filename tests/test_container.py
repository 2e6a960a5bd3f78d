"""The container's files, linted: no image is built here."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from fieldlens.cli import build_parser
from fieldlens.runtime.station.routes import operation

ROOT = Path(__file__).resolve().parent.parent
yaml: Any = importlib.import_module("yaml")  # its types would be one more package in every environment
DOCKERFILE, COMPOSE = ROOT / "deploy/Dockerfile", ROOT / "deploy/compose.yaml"


def test_the_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here: ./deploy.sh setup installs it from the next lock on")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each instruction of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def of(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def ignored() -> set[str]:
    return set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())


def service() -> dict[str, Any]:
    (found,) = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"].values()
    assert isinstance(found, dict)
    return found


def test_every_file_that_the_build_takes_is_there() -> None:
    """Copied with the context, and not left out by .dockerignore."""
    (context,) = [rest for rest in of("COPY") if not rest.startswith("--from=")]
    assert context == ". ."
    (build, *_) = of("RUN")
    locks = re.findall(r"-r (\S+)", build)
    assert [Path(lock).parent.name for lock in locks] == ["locks"]
    for path in (*locks, "pyproject.toml", "setup.py", "MANIFEST.in", "runtime", "fieldlens"):
        assert (ROOT / path).exists(), path
        assert not {path, path.split("/")[0]} & ignored(), path
    assert {".git", ".venv", "rehearsal"} <= ignored(), "no keys and no gigabytes in the context"


def test_stages_that_are_copied_from_exist() -> None:
    stages = {rest.rpartition(" AS ")[2] for rest in of("FROM") if " AS " in rest}
    copied = re.findall(r"--from=(\S+) (\S+) (\S+)", "\n".join(of("COPY")))
    assert {stage for stage, _, _ in copied} == stages
    (build,) = (rest for rest in of("RUN") if "venv" in rest)
    assert all(f"venv {source}" in build for _, source, _ in copied), "what is copied was made there"


def test_every_library_has_its_hash() -> None:
    (build, *_) = of("RUN")
    installs = [part for part in build.split("&&") if "pip install" in part]
    assert all(("--require-hashes" in part) != ("--no-deps ." in part) for part in installs), "all but our own code"
    version = re.search(r"python:(\d+\.\d+)", of("FROM")[0])
    assert version is not None
    assert f"locks/station-py{version[1]}.txt" in build


def test_the_container_is_nobody_special() -> None:
    """Not root, at the end and by number, so that a read-only machine needs no /etc/passwd of ours."""
    assert instructions()[-1][0] == "CMD"
    assert of("USER") == ["10001"]
    assert any("useradd --system --uid 10001" in rest for rest in of("RUN"))
    after = [name for name, _ in instructions()]
    assert "RUN" not in after[after.index("USER") :], "nothing is made as that user, and nothing as root after it"


def test_its_command_is_one_of_ours() -> None:
    (entry,), (command,) = of("ENTRYPOINT"), of("CMD")
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (program,) = json.loads(entry)
    assert re.search(rf"^{program} = ", scripts, flags=re.MULTILINE), "the wheel brings it"
    assert build_parser().parse_args(json.loads(command)).command == "serve"


def test_its_health_is_asked_where_it_answers() -> None:
    (health,) = of("HEALTHCHECK")
    program, option, code = json.loads(health.partition("CMD ")[2])
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", code)
    assert path is not None
    defaults = build_parser().parse_args(["serve", "--bundle", "b"])
    assert (defaults.host, str(defaults.port)) == ("127.0.0.1", path[1])
    assert path[2] in {route.path for route in operation.routes.router.routes if isinstance(route, APIRoute)}
    assert of("EXPOSE") == [path[1]]


def test_compose_gives_it_no_rights() -> None:
    found = service()
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in found
    assert "cap_add" not in found
    assert found["network_mode"] == "host", "the page listens on loopback"


def test_compose_builds_and_runs_what_is_here() -> None:
    found = service()
    build = found["build"]
    assert (COMPOSE.parent / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == DOCKERFILE
    parsed = build_parser().parse_args(found["command"])
    assert (parsed.command, str(parsed.bundle)) == ("serve", "/bundle")
    mounts = dict(reversed(mount.removesuffix(":ro").rsplit(":", 1)) for mount in found["volumes"])
    assert [mount for mount in found["volumes"] if mount.endswith("/bundle:ro")], "the bundle cannot be written"
    (volume,) = of("VOLUME")
    assert mounts[volume] in yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"]
    places = (parsed.data, parsed.state)
    assert all(Path(volume) in place.parents for place in places), "only there can a read-only container write"


@pytest.mark.skipif(
    subprocess.run("docker compose version", shell=True, capture_output=True, check=False).returncode != 0,
    reason="no docker compose on this machine",
)
def test_compose_takes_its_file() -> None:
    command = f"BUNDLE=/tmp docker compose -f {COMPOSE} config --quiet"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
