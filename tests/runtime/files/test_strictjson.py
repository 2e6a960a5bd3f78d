"""JSON from outside: one meaning, and limits."""

from __future__ import annotations

import json
import time

import pytest

from fieldlens.runtime.files.strictjson import DEPTH, JsonError, loads

REFUSED = {
    "nothing": (b"", "not JSON"),
    "two values": (b"{}{}", "not JSON"),
    "a trailing zero byte": (b"{}\0", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "not JSON"),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8"),
    "overlong UTF-8": (b'"\xc0\xaf"', "not UTF-8"),
    "a raw control character": (b'"a\x01"', "not JSON"),
    "a surrogate": (b'["\\ud800"]', "surrogate"),
    "a surrogate in a key": (b'{"\\udc00": 1}', "surrogate"),
    "a key twice": (b'[{"a": 1, "b": 2, "a": 1}]', "'a' is there twice"),
    "a key twice, spelt differently": (b'{"a": 1, "\\u0061": 1}', "'a' is there twice"),
    "NaN": (b"[NaN]", "NaN"),
    "infinity": (b"[-Infinity]", "-Infinity"),
    "overflow": (b"1e999", "beyond"),
    "many digits": (b"1" * 5000, "5000 characters"),
    "many decimals": (b"0." + b"1" * 100, "102 characters"),
    "deep lists": (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "deep"),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "deep"),
    "too long": (b" " * 2001 + b"1", "bytes; 2000 are allowed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_readers_could_read_differently_is_refused(name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(JsonError, match=words):
        loads(data, 2000 if name == "too long" else 10**6)


@pytest.mark.parametrize(
    "value",
    [None, True, "", "a\\\"[{", "😀 ü", [1, -2.5, 1e-300], {"a": {"b": []}}, ["[" * 1000, "\\" * 999], 10**39],
    ids=str,
)  # fmt: skip
def test_what_is_sound_comes_back(value: object) -> None:
    assert loads(json.dumps(value).encode(), 10**6) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode(), 10**6) == value


def test_as_deep_as_allowed() -> None:
    value = loads(b"[" * DEPTH + b"]" * DEPTH, 1000)
    for _ in range(DEPTH - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize("data", [b"[]," * 300_000, b'"' * 999_999, b"\\" * 10**6, b'["' + b'\\"' * 400_000])
def test_nothing_takes_long(data: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(JsonError):
        loads(data, 10**6)
    assert time.perf_counter() - began < 2
