"""The state folder: what lies in it decides what runs, so nobody else may have prepared it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.backends.tensorrt.engine_record import PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.files import kept
from fieldlens.runtime.machine.host import own_state_folder, state_folder
from fieldlens.runtime.quality.camera_limits import device_limits
from tests.runtime.bundle_damage import whole_bundle
from tests.runtime.test_classify import run


def _folder(mode: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


def _given(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def give(path: Path) -> None:
        make(path)
        os.lchown(path, 12345, 12345)

    return give


FORMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "writable by a group": (_folder(0o770), "can be written by others"),
    "writable by all": (_folder(0o777), "can be written by others"),
    "writable by all, sticky": (_folder(0o1777), "can be written by others"),
    "a file": (lambda path: path.write_text(""), "File exists"),
    "a FIFO": (os.mkfifo, "File exists"),
    "a link that leads nowhere": (lambda path: path.symlink_to("nowhere"), "File exists"),
    "a link to itself": (lambda path: path.symlink_to(path), "File exists"),
    "a link to a folder for all": (lambda path: path.symlink_to("/tmp"), "can be written by others"),
}
FOREIGN: dict[str, Callable[[Path], object]] = {
    "another user's": _given(Path.mkdir),
    "another user's link": _given(lambda path: path.symlink_to(path.parent)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_others_could_have_filled_is_refused(tmp_path: Path, form: str) -> None:
    make, words = FORMS[form]
    make(tmp_path / "state")
    with pytest.raises(KitError, match=words) as caught:
        own_state_folder(tmp_path / "state")
    assert "--state" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away (CI can)")
@pytest.mark.parametrize("form", FOREIGN)
def test_another_users_folder_is_refused(tmp_path: Path, form: str) -> None:
    FOREIGN[form](tmp_path / "state")
    with pytest.raises(KitError, match="belongs to another user"):
        own_state_folder(tmp_path / "state")


def test_a_new_folder_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = own_state_folder(tmp_path / "state")
    finally:
        os.umask(before)
    assert made.stat().st_mode & 0o777 == 0o700
    assert own_state_folder(made) == made


def test_a_link_of_ours_is_followed(tmp_path: Path) -> None:
    """As systemd makes it for a service with DynamicUser."""
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to("private")
    assert own_state_folder(tmp_path / "state") == tmp_path / "state"


def test_a_user_without_a_home_gets_a_place_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept there then, and that is said (test_read_only)."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert state_folder(None) == Path("/nonexistent/.local/state/fieldlens")


@pytest.mark.parametrize("command", ["selftest", "classify", "calibrate-camera"])
def test_every_command_that_uses_it_refuses(command: str, copy: Path, pictures: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    bundle = whole_bundle(tmp_path / "whole.bundle")
    words = [copy] if command == "selftest" else [*[pictures] * 3, "--bundle", bundle]
    done = run(command, *words, "--state", state)
    assert done.returncode == 2
    assert "can be written by others" in done.stderr
    assert list(state.iterdir()) == []


# ---------------------------------------------------------------- the camera's limits


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(whole_bundle(tmp_path_factory.mktemp("gated") / "whole.bundle"))


def put(state: Path, bundle: Bundle, text: str, made_for: str = "") -> Path:
    """Limits as they are kept, whole and of ours, whatever the text in them."""
    path = state / "camera" / f"{bundle.hash[:16]}.json"
    kept.save(path, {"kind": "camera limits", "bundle": made_for or bundle.hash}, text.encode())
    return path


def limits(**ranges: object) -> str:
    own = {"brightness": [5, 250], "sharpness": [1e-9, None], "appearance": [None, 1e6], "side": [32, None]}
    return json.dumps({**own, **ranges})


def test_limits_of_this_bundle_are_used(gated: Bundle, tmp_path: Path) -> None:
    put(tmp_path, gated, limits(brightness=[3, 250]))
    found = device_limits(tmp_path, gated)
    assert found is not None
    assert found.ranges["brightness"] == (3, 250)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"limits": {}}', '{"side": []}', "[" * 5000, '{"brightness": [NaN, 250]}', '{"side": [1, 2, 3]}'],
)
def test_limits_that_cannot_be_read_are_refused(gated: Bundle, tmp_path: Path, text: str) -> None:
    put(tmp_path, gated, text)
    with pytest.raises(BundleError, match="cannot be used"):
        device_limits(tmp_path, gated)


def test_limits_of_another_bundle_or_another_user_are_refused(gated: Bundle, bundle: Bundle, tmp_path: Path) -> None:
    path = put(tmp_path, gated, limits(), made_for=bundle.hash)
    with pytest.raises(BundleError, match="made from something else"):
        device_limits(tmp_path, gated)
    put(tmp_path, gated, limits()).chmod(0o666)
    with pytest.raises(BundleError, match="can be written by others"):
        device_limits(tmp_path, gated)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="FIFO"):
        device_limits(tmp_path, gated)


# ---------------------------------------------------------------- engines


def test_a_choice_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    from tests.runtime.backends.tensorrt.test_engine_store import DEVICE, choice

    store = EngineStore(tmp_path, "0" * 64)
    store.prepare()
    store.choose(choice({"fp32": "a-1"}))
    path = next(store.folder.glob("choice-*.json"))
    for key in ("../../elsewhere", 7, None):
        whole = kept.load_any(path)
        assert whole is not None
        identity, payload = whole
        value = {**json.loads(payload), "plans": {"fp32": key}}
        kept.save(path, identity, json.dumps(value).encode())
        with pytest.raises(PlanError, match="plans"):
            store.choice(DEVICE)
