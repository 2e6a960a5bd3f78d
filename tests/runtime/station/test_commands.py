"""``fieldlens serve`` and ``fieldlens station``: started, refused, ended; and every route says who may call it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from starlette.routing import Mount

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.app import build_service
from fieldlens.runtime.station.serving.access import AuditEvent, Role
from fieldlens.runtime.station.station import Station
from tests.runtime.conftest import jpeg, scene
from tests.runtime.station.serving_station import ROOT, serving

DOC = ROOT / "docs/station.md"


def kit(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, "-m", "runtime", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def said_by(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command prints, in this process."""
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--host", "0.0.0.0"), "no accounts yet"), (("--host", "clinic.example"), "no accounts yet"),
     (("--camera", "photo.jpg"), "not a camera's address"), (("--retention-days", "-1"), "not a number of days")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    bundle_folder: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = kit("serve", "--bundle", bundle_folder, "--data", tmp_path / "data", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_web_framework_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError(name='fastapi')\n")
    bundle = tmp_path / "a.bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("not opened")
    done = kit("serve", "--bundle", str(bundle), path=tmp_path)
    assert done.returncode == 2
    assert "pip install 'fieldlens[station]'" in done.stderr
    assert kit("--help", path=tmp_path).returncode == 0


def test_the_command_line_imports_no_web_framework() -> None:
    code = (
        "import sys\nfrom fieldlens.cli import build_parser\nimport fieldlens.runtime.commands\nbuild_parser()\n"
        "print([name for name in ('fastapi', 'starlette', 'uvicorn', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_station_from_its_start_to_its_end(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (tmp_path / "photo.jpg").write_bytes(jpeg(scene(1)))
    with serving(bundle_folder, tmp_path) as station:
        again = ["serve", "--bundle", str(bundle_folder), "--data", str(data), "--backend", "fake", "--port"]
        with pytest.raises(KitError, match="the port cannot be used"):
            main([*again, str(station.port)])
        with pytest.raises(KitError, match="another station is using it"):
            main([*again, "0"])
        _examples(station.url, tmp_path)
        assert "4 results and 0 images" in said_by(capsys, "station", "backup", tmp_path / "b.tar", "--data", data)
        began = time.monotonic()
        station.process.send_signal(signal.SIGTERM)
        assert station.process.wait(10) == 0
        assert time.monotonic() - began < 3
    assert said_by(capsys, "station", "export", tmp_path / "all.csv", "--data", data).startswith("4 results")
    new = ("station", "restore", tmp_path / "b.tar", "--data", tmp_path / "new")
    assert said_by(capsys, *new).startswith("4 results")
    with pytest.raises(KitError, match="not empty"):
        main([str(word) for word in new])


def _examples(url: str, place: Path) -> None:
    """The page's curl lines and its Python program, as they stand there, but for the address."""
    text = DOC.read_text(encoding="utf-8").replace("http://127.0.0.1:8080", url)
    for name in ("left.jpg", "right.jpg"):
        (place / name).write_bytes((place / "photo.jpg").read_bytes())
    for line in re.findall(r"^curl .*$", text, flags=re.MULTILINE):
        done = subprocess.run(["bash", "-c", f"{line} -fsS"], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert len((place / "results.csv").read_text().splitlines()) == 4
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) <= 36, "about thirty lines"
    done = subprocess.run(
        [sys.executable, "-c", code, "photo.jpg"], cwd=place, capture_output=True, text=True, check=False
    )
    assert re.fullmatch(r"photo\.jpg (refer|no-sign-found|uncertain)\n", done.stdout), done.stderr
    with urllib.request.urlopen(f"{url}/api/v1/results") as answer:
        assert json.load(answer)["total"] == 4


def test_every_route_says_who_may_call_it(station: Station) -> None:
    """One place: a route that was added past ``Routes`` fails here."""
    service = build_service(station)
    document = service.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["x-may"] in {role.name.lower() for role in Role}, (method, path)
            assert operation["x-audit"] in {event.value for event in AuditEvent}, (method, path)
            assert operation["description"], (method, path)
    static = [route for route in service.routes if isinstance(route, Mount)]
    assert [route.path for route in static] == ["/static"], "and only static files are mounted beside them"
