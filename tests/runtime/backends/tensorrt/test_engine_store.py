"""Plans on disk: whole, ours, and never overwritten."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from fieldlens.runtime.backends.tensorrt.engine_record import Device, EngineChoice, EngineRecord, Identity, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.files import atomic

DEVICE = Device("10.3.0", "Orin", "8.7")
BUNDLE = "ab" * 32


def record(plan: bytes, precision: str = "fp16", device: Device = DEVICE) -> EngineRecord:
    identity = Identity(BUNDLE, precision, "cd" * 32, precision, "strongly typed", device, "{}", 1)
    return EngineRecord(identity, hashlib.sha256(plan).hexdigest(), len(plan), "CUDA 12.6", "2026-01-01T00:00:00Z", 1.5)


def choice(plans: dict[str, str], device: Device = DEVICE, **changes: object) -> EngineChoice:
    made = EngineChoice(device, "CUDA 12.6", "auto", "{}", 1, next(iter(plans), ""), plans, {}, "because")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    made = EngineStore(tmp_path / "state", BUNDLE)
    with made.lock():
        made.prepare()
    return made


@pytest.fixture
def key(store: EngineStore) -> str:
    key = store.save(b"a plan", record(b"a plan"))
    store.choose(choice({"fp16": key}))
    return key


def test_what_is_saved_is_loaded(store: EngineStore, key: str) -> None:
    assert store.load(key) == (b"a plan", record(b"a plan"))
    assert store.choice(DEVICE) == choice({"fp16": key})
    assert store.choice(Device("11.4.0", "Orin", "8.7")) is None


def test_files_are_closed_to_others(store: EngineStore, key: str) -> None:
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folder / f"{key}.plan").stat().st_mode) == 0o600


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("plan", flip, "does not match its hash"),
        ("plan", lambda path: path.write_bytes(path.read_bytes()[:3]), r"truncated \(3 of 6 bytes\)"),
        ("plan", Path.unlink, "cannot be read"),
        ("plan", link, "cannot be read"),
        ("json", lambda path: path.write_text("{"), "damaged"),
        ("json", lambda path: path.write_text('{"format": 9}'), "damaged, or from another version"),
        ("json", flip, "damaged"),
        ("json", Path.unlink, "is missing"),
    ],
)  # fmt: skip
def test_a_damaged_plan_is_refused(store: EngineStore, key: str, name: str, damage: object, message: str) -> None:
    damage(store.folder / f"{key}.{name}")  # type: ignore[operator]
    with pytest.raises(PlanError, match=message) as raised:
        store.load(key)
    assert "convert engine --ensure" in raised.value.hint


def test_a_record_of_another_plan_is_refused(store: EngineStore, key: str) -> None:
    other = store.save(b"b plan", record(b"b plan"))
    (store.folder / f"{other}.json").replace(store.folder / f"{key}.json")
    with pytest.raises(PlanError, match="made from something else"):
        store.load(key)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("which", ["root", "folder"])
def test_a_folder_that_others_can_write_is_refused(store: EngineStore, key: str, mode: int, which: str) -> None:
    getattr(store, which).chmod(mode)
    for use in (lambda: store.load(key), lambda: store.choice(DEVICE), store.prepare):
        if not (mode & 0o022):
            continue
        with pytest.raises(PlanError, match="can be written by others"):
            use()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_refused(store: EngineStore, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(store.folder, 12345, 12345)
    with pytest.raises(PlanError, match="belongs to another user"):
        store.load(key)


def test_a_linked_folder_is_refused(store: EngineStore, key: str) -> None:
    store.folder.rename(store.root / "elsewhere")
    store.folder.symlink_to("elsewhere")
    with pytest.raises(PlanError, match="is not a folder"):
        store.load(key)


def test_a_full_disk_leaves_the_last_good_engine(store: EngineStore, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlanError, match="no space left for the plan"):
        store.save(b"b plan", record(b"b plan"))
    monkeypatch.undo()
    assert sorted(path.suffix for path in store.folder.iterdir()) == [".json", ".json", ".plan"]
    assert store.load(key)[0] == b"a plan"


def test_a_full_disk_while_choosing_leaves_the_last_choice(
    store: EngineStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = store.save(b"b plan", record(b"b plan"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "write_bytes", full)
    with pytest.raises(PlanError, match="no space left for the choice"):
        store.choose(choice({"fp16": new}))
    assert store.choice(DEVICE) == choice({"fp16": key})


def test_choosing_drops_what_no_choice_names(store: EngineStore, key: str) -> None:
    other_device = Device("11.4.0", "Orin", "8.7")
    kept = store.save(b"c plan", record(b"c plan", device=other_device))
    store.choose(choice({"fp16": kept}, other_device))
    new = store.save(b"b plan", record(b"b plan"))
    store.choose(choice({"fp16": new}))
    assert {path.stem for path in store.folder.glob("*.plan")} == {kept, new}


def test_what_a_killed_build_left_is_cleared(store: EngineStore, key: str) -> None:
    (store.folder / ".x.plan.abc.tmp").write_bytes(b"half")
    store.prepare()
    assert not list(store.folder.glob(".*"))


def test_one_builder_at_a_time(store: EngineStore) -> None:
    with store.lock(), pytest.raises(PlanError, match="another process is building"), store.lock():
        pass
    with store.lock():
        pass


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(PlanError, match="cannot be used"), EngineStore(tmp_path / "state", BUNDLE).lock():
        pass


def test_timings_are_kept_by_tensorrt_gpu_and_power_mode(store: EngineStore) -> None:
    store.save_timing_cache(DEVICE, "0", b"timings")
    assert store.timing_cache(DEVICE, "0") == b"timings"
    assert store.timing_cache(DEVICE, "2") == b""
    assert store.timing_cache(dataclasses.replace(DEVICE, tensorrt="10.7.0"), "0") == b""
    assert store.timing_cache(dataclasses.replace(DEVICE, gpu="Thor"), "0") == b""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"driver": "CUDA 12.8"}, "driver changed (CUDA 12.6 → CUDA 12.8)"),
        ({"asked": "fp32"}, "--precision changed (auto → fp32)"),
        ({"options": "{1}"}, "builder options changed ({} → {1})"),
        ({"code_version": 2}, "builder changed (1 → 2)"),
        ({"device": Device("10.7.0", "Orin", "8.7")}, "TensorRT 10.3.0 → 10.7.0"),
        ({"device": Device("10.3.0", "Orin", "8.7", "36.4.3")}, "Jetson Linux ? → 36.4.3"),
        ({"device": Device("10.3.0", "Thor", "11.0")}, "GPU Orin → Thor; compute capability 8.7 → 11.0"),
    ],
)
def test_it_says_why_something_is_to_be_done(
    store: EngineStore, key: str, change: dict[str, object], reason: str
) -> None:
    assert store.needed(dataclasses.replace(choice({}), **change)) == reason  # type: ignore[arg-type]


def test_nothing_at_all_and_damage_are_reasons(tmp_path: Path, store: EngineStore, key: str) -> None:
    assert EngineStore(tmp_path / "state", "ef" * 32).needed(choice({})) == "no engine for this GPU yet"
    (store.folder / f"{key}.plan").write_bytes(b"a")
    assert "truncated" in store.needed(choice({}))
