"""deploy.sh's way to a first answer without torch: ``try`` and ``ready-bundle``, and what ``demo`` says first."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deploy_kit import BASH, deploy, executable, make_ready


def lay_ready_bundle(kit: Path) -> None:
    (kit / "recipes/ready/demo.bundle").mkdir(parents=True)
    (kit / "recipes/ready/demo.bundle/manifest.json").write_text("{}", encoding="utf-8")


def test_try_uses_the_devices_environment_alone(kit: Path, tmp_path: Path) -> None:
    make_ready(kit, "device")
    lay_ready_bundle(kit)
    done = deploy(kit, "try", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    calls = (kit / "calls.txt").read_text(encoding="utf-8").splitlines()
    stages = ["runtime verify", "train demo-data", "runtime classify"]
    assert [" ".join(call.split()[:2]) for call in calls] == stages
    assert "ready: .venv-device, from locks/device-py" in done.stdout
    assert re.findall(r"^\[(\d)/4\] (?!done)", done.stdout, flags=re.MULTILINE) == list("1234")
    assert done.stdout.lstrip().startswith("takes about a minute and 0.5 GB of disk")
    assert f"report:    {kit / 'try/report.html'}" in done.stdout
    assert not (kit / ".venv").exists()


def test_try_says_how_the_bundle_is_made(kit: Path) -> None:
    make_ready(kit, "device")
    done = deploy(kit, "try")
    assert done.returncode == 2
    assert "error: there is no recipes/ready/demo.bundle\nhint: make it with ./deploy.sh ready-bundle" in done.stderr


def test_try_installs_a_devices_lock_with_its_hashes_and_no_torch(kit: Path, bare_path: Path) -> None:
    make_ready(kit, "device")
    lay_ready_bundle(kit)
    (kit / ".venv-device/fieldlens-ready").write_text("an older lock\n", encoding="utf-8")
    executable(bare_path / "uv", f'#!{BASH}\n[ "$1" = --version ] || echo "$@" >>uv-calls.txt\n')
    done = deploy(kit, "try", PATH=str(bare_path))
    assert done.returncode == 0, done.stderr
    (call,) = (kit / "uv-calls.txt").read_text(encoding="utf-8").splitlines()
    lock = kit / re.findall(r"-r (locks/device-py\S+)", call)[0]
    assert "--hash=sha256:" in lock.read_text(encoding="utf-8")
    assert not re.search(r"^(torch|onnx|scikit-learn)\b", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert "--editable" not in call


def test_a_device_without_uv_gets_its_packages_from_pip(kit: Path, bare_path: Path) -> None:
    make_ready(kit, "device")
    lay_ready_bundle(kit)
    (kit / ".venv-device/fieldlens-ready").write_text("an older lock\n", encoding="utf-8")
    done = deploy(kit, "try", PATH=str(bare_path))
    assert done.returncode == 0, done.stderr
    assert "pip install --disable-pip-version-check -r locks/device-py" in (kit / "calls.txt").read_text("utf-8")
    assert "getting uv" not in done.stdout


def test_ready_bundle_is_the_demo_slimmed_for_cpus(kit: Path) -> None:
    make_ready(kit)
    lay_ready_bundle(kit)
    (kit / "recipes/ready/demo.bundle/old").touch()
    done = deploy(kit, "ready-bundle")
    assert done.returncode == 0, done.stderr
    calls = (kit / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert calls[-1] == "convert slim demo/demo.bundle --for cpu --out demo/ready.bundle"
    assert sorted(path.name for path in (kit / "recipes/ready/demo.bundle").iterdir()) == ["manifest.json", "model"]
    assert "at most once a release" in done.stdout


def test_a_ready_bundle_that_is_too_large_is_not_put_into_the_repository(kit: Path) -> None:
    make_ready(kit)
    done = deploy(kit, "ready-bundle", SLIM_BYTES=str(15 << 20))
    assert done.returncode == 2
    assert "13671 are allowed" in done.stderr
    assert not (kit / "recipes").exists()


def test_demo_says_first_what_it_takes(kit: Path) -> None:
    make_ready(kit)
    first, second = deploy(kit, "demo").stdout.splitlines()[:2]
    assert "takes about 4 minutes on two cores" in first
    assert "takes 0.3 GB of disk in demo/" in second


def test_demo_refuses_a_disk_that_is_too_small_before_it_fills_it(kit: Path, bare_path: Path) -> None:
    executable(bare_path / "df", f"#!{BASH}\necho head; echo /dev/x 9 9 2048000 9% /\n")
    done = deploy(kit, "demo", PATH=str(bare_path))
    assert done.returncode == 2
    assert ".venv 6.4 GB" in done.stdout
    assert "error: the disk has 1 GB left, the demo takes 7" in done.stderr
    assert "./deploy.sh try" in done.stderr
    assert not (kit / ".venv").exists()


def test_clean_knows_what_try_made(kit: Path) -> None:
    make_ready(kit, "device")
    (kit / "try").mkdir()
    lay_ready_bundle(kit)
    done = deploy(kit, "clean")
    assert done.returncode == 0, done.stderr
    assert not (kit / "try").exists()
    assert not (kit / ".venv-device").exists()
    assert (kit / "recipes/ready/demo.bundle").exists()
