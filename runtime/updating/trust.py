"""Whose signatures count on this device, changed from afar: new lists, signed with a key that it knows already.

The key has to be one of ``release_signers``. Whoever may bring code, which runs as root, can change everything here
anyway; whoever may only sign bundles must not be able to make himself more. Nothing in the lists is parsed before their
signature counts. The lists are four files: they are written down as a whole first (``keys.json.new``), so that a power
cut between two of them is finished before the next start of the service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.open import read_manifest_bytes, read_signature
from fieldlens.runtime.bundle.signature import (
    NAMESPACE,
    RELEASE_NAMESPACE,
    SignatureRefused,
    check_signature,
    read_lists,
)
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic, bounds, records, strictjson
from fieldlens.runtime.updating import memory, store
from fieldlens.runtime.updating.keylists import (
    KEYS,
    KIND,
    PROVISION,
    RELEASE_SIGNERS,
    REVOKED,
    SIGNERS,
    KeyLists,
    fingerprint_of,
    is_revoked,
    keys_of,
    laid_out,
    policy_in,
    read_lists_file,
    titled,
    unfit,
)
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused
from fieldlens.runtime.updating.memory import Good
from fieldlens.runtime.updating.recovery import alone, is_updating
from fieldlens.runtime.updating.updater import refusal_of

ENVELOPE_BYTES = 4 * bounds.SIGNERS_BYTES


@dataclass(frozen=True)
class KeysTaken:
    """``there``: these lists counted already. ``signer``: of the lists. ``lost``: versions that count no more."""

    number: int
    there: bool
    signer: str = ""
    steps: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def take(layout: DeviceFolders, envelope: bytes, *, dry_run: bool = False) -> KeysTaken:
    """Check the lists in ``envelope`` and let them count. Raises UpdateRefused; the service is never touched.

    ``envelope``: JSON, ``{"keys": TEXT, "signature": TEXT}``.
    """
    if dry_run:
        return _checked(layout, *_opened(envelope))[1]
    with alone(layout), refusals_noted(layout):
        finish(layout)
        lists, done = _checked(layout, *_opened(envelope))
        if not done.there:
            words = f"number {done.number}, signed by {done.signer}: {'; '.join(done.steps)}"
            let_count(layout, lists, words)
        return done


def let_count(layout: DeviceFolders, lists: KeyLists, words: str) -> None:
    """Checked lists; ``words`` is for the events. The caller holds the lock. Raises OSError."""
    atomic.write_bytes(_fresh(layout), lists.data, atomic.PUBLIC)
    memory.note(layout, "keys", None, detail=words)
    _write(layout, lists)


@contextlib.contextmanager
def refusals_noted(layout: DeviceFolders) -> Iterator[None]:
    """Every refusal is an event, and says that the service was not touched."""
    try:
        yield
    except (KitError, OSError) as error:
        refusal = refusal_of(error)
        memory.attempt(lambda: memory.note(layout, "refused", None, refusal.reason, refusal.message))
        raise refusal from error


def finish(layout: DeviceFolders) -> bool:
    """Lists that were only half written when the power went; whether there were any. Raises KitError, OSError."""
    fresh = _fresh(layout)
    if not fresh.exists():
        return False
    try:
        lists = read_lists_file(fresh)
    except UpdateRefused:
        memory.set_aside(fresh)
        return False
    if lists.number <= number_of(layout):  # `provision` was here since
        memory.forget(fresh)
        return False
    memory.attempt(lambda: memory.note(layout, "keys", None, detail=f"number {lists.number}: interrupted, finished"))
    _write(layout, lists)
    return True


def finish_before_start(layout: DeviceFolders) -> str:
    """As :func:`finish`, for a service that has to start whatever happens; what to say, or empty."""
    try:
        finished = not is_updating(layout) and finish(layout)
        return "the change of the keys that count was interrupted, and is finished now" if finished else ""
    except (KitError, OSError) as error:
        return f"the keys that count are half changed: {error}"


def number_of(layout: DeviceFolders) -> int:
    """Of the lists that count; 0 where they never had one. Raises UpdateRefused for a damaged record."""
    place = layout.trust / KEYS
    return read_lists_file(place).number if place.exists() else 0


def check_known(layout: DeviceFolders, data: bytes, signature: bytes | None, what: str) -> str:
    """The name of the release signer who signed ``data``. Raises UpdateRefused."""
    try:
        return check_signature(data, signature, policy_in(layout.trust, RELEASE_SIGNERS), RELEASE_NAMESPACE)
    except SignatureRefused as error:
        message = error.message.replace("the bundle is", what)
        raise UpdateRefused("signature", message, "sign it with a key that the device knows: --key FILE") from error


# ---------------------------------------------------------------- checks, in their order


def _opened(envelope: bytes) -> tuple[bytes, bytes]:
    """The lists' bytes and their signature."""
    try:
        value = strictjson.loads(envelope, ENVELOPE_BYTES)
        return value["keys"].encode(), value["signature"].encode()
    except (strictjson.JsonError, KeyError, TypeError, AttributeError) as error:
        raise UpdateRefused(
            "damaged-transfer", "the keys did not arrive whole", "send them again; check the line"
        ) from error


def _checked(layout: DeviceFolders, data: bytes, signature: bytes) -> tuple[KeyLists, KeysTaken]:
    kept = layout.trust / KEYS
    if kept.exists() and kept.read_bytes() == data and _is_in_force(layout, lists := read_lists_file(kept)):
        return lists, KeysTaken(lists.number, there=True)
    if not (layout.trust / RELEASE_SIGNERS).exists():
        raise UpdateRefused("no-signers", "nobody may change the keys of this device: it knows none", PROVISION)
    signer = check_known(layout, data, signature, "the keys are")
    lists = _parsed(data)
    _check_order(layout, lists)
    with laid_out(lists) as folder:
        _check_lists(layout, folder)
        lost = _no_longer(layout, folder)
        steps = _changes(layout, folder)
    return lists, KeysTaken(lists.number, False, signer, steps, lost)


def _parsed(data: bytes) -> KeyLists:
    try:
        value = strictjson.loads(data, ENVELOPE_BYTES)
    except strictjson.JsonError as error:
        raise unfit(f"the keys are no JSON: {error}", "update the kit on both ends") from error
    lists = records.read(KeyLists, value, "the keys", unfit)
    if lists.kind != KIND:
        raise unfit(f"{lists.kind!r} are no keys", "update the kit on both ends")
    return lists


def _check_order(layout: DeviceFolders, lists: KeyLists) -> None:
    have = number_of(layout)
    if lists.number < have:
        raise UpdateRefused(
            "older", f"keys number {lists.number} are older than {have}, which this device has",
            f"use the folder of keys that was used last; {PROVISION}",
        )  # fmt: skip
    if lists.number == have and lists != read_lists_file(layout.trust / KEYS):
        raise UpdateRefused(
            "same-number", f"this device has other keys with the number {have}",
            f"two folders of keys are in use: take the one that was used last; {PROVISION}",
        )  # fmt: skip


def _check_lists(layout: DeviceFolders, folder: Path) -> None:
    """They can be read, name somebody who counts, and withdraw nothing of what was withdrawn."""
    for name, namespace in ((SIGNERS, NAMESPACE), (RELEASE_SIGNERS, RELEASE_NAMESPACE)):
        try:
            read_lists(policy_in(folder, name, guarded=False), namespace)
        except SignatureRefused as error:
            raise unfit(error.message.replace(f"{folder}/", ""), error.hint) from error
        keys = keys_of(folder / name)
        if all(is_revoked(key, folder / REVOKED) for key in keys):
            raise unfit(f"nobody in {name} would count any more", "`fieldlens keys new` makes a key")
        for key in {**keys, **keys_of(layout.trust / name)}:
            if is_revoked(key, layout.trust / REVOKED) and not is_revoked(key, folder / REVOKED):
                raise unfit(f"a revoked key would count again: {fingerprint_of(key)}", "make a new key instead")


def _no_longer(layout: DeviceFolders, folder: Path) -> tuple[str, ...]:
    """Installed versions that count now and would not then. Raises UpdateRefused where the one that serves is one."""
    serving = store.serving(layout)
    good, _ = memory.look(Good, layout.good)
    lost = []
    for version in dict.fromkeys((serving, good.before if good else None)):
        if version is None or store.fault(layout, version):
            continue
        place, policy = layout.bundles / version.place, policy_in(folder, SIGNERS, guarded=False)
        try:
            check_signature(read_manifest_bytes(place), read_signature(place), policy)
        except SignatureRefused as error:
            if version == serving:
                why = error.message.replace(f"{folder}/", "").replace("the bundle", "it")
                raise UpdateRefused(
                    "in-use", f"with these keys {version.title}, which serves, would not count any more: {why}",
                    "sign that bundle again with a key that stays, push it, and then bring the keys",
                ) from error  # fmt: skip
            lost.append(version.title)
    return tuple(lost)


def _changes(layout: DeviceFolders, folder: Path) -> tuple[str, ...]:
    """In words, for the events."""
    words = []
    for name, what in ((SIGNERS, "bundles"), (RELEASE_SIGNERS, "releases")):
        before, after = keys_of(layout.trust / name), keys_of(folder / name)
        words += [f"{titled(key, after)} may sign {what}" for key in after if key not in before]
        words += [f"{titled(key, before)} may not sign {what} any more" for key in before if key not in after]
    everybody = {**keys_of(layout.trust / SIGNERS), **keys_of(folder / SIGNERS), **keys_of(folder / RELEASE_SIGNERS)}
    for key in everybody:
        if is_revoked(key, folder / REVOKED) and not is_revoked(key, layout.trust / REVOKED):
            words.append(f"{titled(key, everybody)} is revoked")
    return tuple(words or ["no key comes or goes"])


# ---------------------------------------------------------------- files


def _write(layout: DeviceFolders, lists: KeyLists) -> None:
    """The rename is the last step: until then :func:`finish` does all of it again."""
    for name, data in lists.files.items():
        atomic.write_bytes(layout.trust / name, data, atomic.PUBLIC)
    with contextlib.suppress(FileNotFoundError):  # somebody else has finished it
        _fresh(layout).replace(layout.trust / KEYS)
    atomic.fsync_folder(layout.trust)


def _is_in_force(layout: DeviceFolders, lists: KeyLists) -> bool:
    places = ((layout.trust / name, data) for name, data in lists.files.items())
    return all(place.exists() and place.read_bytes() == data for place, data in places)


def _fresh(layout: DeviceFolders) -> Path:
    return layout.trust / f"{KEYS}.new"
