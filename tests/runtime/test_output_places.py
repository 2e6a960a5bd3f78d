"""Every command of every room looks at the places of its results before its work, which may take hours."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, OutputError
from fieldlens.runtime.files import atomic, writable
from fieldlens.runtime.terminal import beginning
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest
from tests.runtime.privileges import without_privileges
from tests.runtime.test_classify import ROOT

FILE_OUTPUTS = [
    "benchmarks roofline --random resnet18 --json {}",
    "benchmarks training --json {}",
    "benchmarks conversion --json {}",
    "benchmarks compare --random resnet18 --json {}",
    "benchmarks agree RUN RUN --json {}",
    "benchmarks gate --bundle BUNDLE --images DATA --json {}",
    "benchmarks docs --out {}",
    "convert verify BUNDLE --json {}",
    "convert verify BUNDLE --data DATA --predictions {}",
    "train new-recipe DATA --no-positive --out {}",
    "runtime calibrate-site DATA --bundle BUNDLE --report {}",
]
FOLDER_OUTPUTS = [
    "benchmarks compare --random resnet18 --out {}",
    "benchmarks record --bundle BUNDLE --results {}",
    "convert bundle RUN --out {}",
    "convert slim BUNDLE --for cpu --out {}",
    "convert verify BUNDLE --data DATA --report {}",
    "train fit --recipe demo --data DATA --out {}",
    "train crossval --recipe demo --data DATA --out {}",
    "train evaluate RUN --out {}",
    "train export-images DATA --out {}",
    "train demo-data {}",
]
PLACES = {
    "ro/x": "Permission denied",
    "no/x": "Permission denied",
    "file/x": "",
    "link/x": "",
    "n" * 300: "File name too long",
}
CHILD = """
import contextlib, importlib, io, json, os, sys
for heavy in ("torch", "openvino", "onnxruntime", "cv2"):
    sys.modules[heavy] = None  # whoever comes so far has not looked at the place
from fieldlens.runtime.boundary import run_cli
for words in json.load(sys.stdin):
    main = importlib.import_module(f"fieldlens.{words[0]}.cli").main
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = run_cli(lambda: main(words[1:]))
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue()]))
"""


def cases() -> Iterator[tuple[str, str, str]]:
    for place, words in PLACES.items():
        for command in (*FILE_OUTPUTS, *FOLDER_OUTPUTS):
            yield command, place, words
    for command in FILE_OUTPUTS[:-2]:
        yield command, "folder", "Is a directory"


def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    bundle = build_bundle(tmp_path / "tiny.bundle", tiny_manifest())
    for name in ("data/a", "data/b", "run", "folder"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/a/1.jpg").write_bytes(jpeg(scene(1)))
    (tmp_path / "ro").mkdir(mode=0o555)
    (tmp_path / "no").mkdir(mode=0)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    told = {"BUNDLE": str(bundle), "DATA": str(tmp_path / "data"), "RUN": str(tmp_path / "run")}
    words = [
        [told.get(word, word.replace("{}", str(tmp_path / place))) for word in command.split()]
        for command, place, _ in cases()
    ]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(words),
        cwd=ROOT,
        preexec_fn=without_privileges,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [
        (command, place, said)
        for (command, place, reason), (code, said) in zip(cases(), answers, strict=True)
        if code != EXIT_REFUSED or f"cannot be written ({reason}" not in said or "hint: choose another" not in said
    ]
    assert wrong == []
    assert not (tmp_path / "nowhere").exists()


def test_a_look_makes_nothing_and_lets_pass_what_can_be_made(tmp_path: Path) -> None:
    beginning.outputs([tmp_path / "a/b/c.json", None], [tmp_path / "d/e"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("disk", "access", "reason"),
    [
        ({"f_bfree": 0}, True, "No space left on device"),
        ({"f_ffree": 0}, True, "No space left on device"),
        ({"f_flag": os.ST_RDONLY}, False, "Read-only file system"),
        ({}, False, "Permission denied"),
        ({"f_blocks": 0, "f_bfree": 0, "f_files": 0, "f_ffree": 0}, True, ""),  # a drive that counts nothing
    ],
)
def test_what_a_disk_says_of_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: dict[str, int], access: bool, reason: str
) -> None:
    fields = {"f_blocks": 9, "f_bfree": 9, "f_files": 9, "f_ffree": 9, "f_flag": 0, **disk}
    monkeypatch.setattr(os, "statvfs", lambda _: type("Disk", (), fields))
    monkeypatch.setattr(os, "access", lambda *_: access)
    if not reason:
        writable.check_file(tmp_path / "x")
        return
    with pytest.raises(OSError, match=reason):
        writable.check_file(tmp_path / "x")


def test_a_pipe_or_a_device_is_written_and_never_replaced(tmp_path: Path) -> None:
    atomic.write_json(Path("/dev/null"), {"a": 1})
    assert Path("/dev/null").is_char_device()
    read, write = os.pipe()
    with os.fdopen(read) as reader:
        atomic.write_json(Path(f"/dev/fd/{write}"), {"a": 1})
        os.close(write)
        assert json.load(reader) == {"a": 1}
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(OutputError, match="nobody reads it any more"):
        atomic.write_json(Path(f"/dev/fd/{write}"), {"a": 1})
    os.close(write)
    with (tmp_path / "log").open("a") as log:
        log.write("before\n")
        log.flush()
        atomic.write_json(Path(f"/dev/fd/{log.fileno()}"), {"a": 1})
    assert (tmp_path / "log").read_text().startswith("before\n{")


def test_figures_go_through_a_pipe_of_the_shell(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    python, results, page = (shlex.quote(str(path)) for path in (sys.executable, tmp_path, tmp_path / "page.md"))
    script = f"exec {python} -m benchmarks docs --results {results} --out >(cat > {page})"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_OK, done.stderr
