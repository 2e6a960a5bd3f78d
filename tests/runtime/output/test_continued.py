"""A file of JSON lines goes on only where its lines have today's keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.output.sinks import JsonSink, Rotation
from fieldlens.runtime.prediction import ALWAYS, Failure, Notice, Prediction, Result, json_line
from tests.runtime.conftest import ORIGIN

FAILURE, NOTICE = Failure("caf\udce9.jpg", "no image"), Notice("v4l2://0", "lost", "no image for 2 s")


def answer() -> Prediction:
    return Prediction(
        "a.jpg", Outcome.REFER, {"clear": 0.25, "sign": 0.75}, 0.75, np.zeros(2, np.float32),
        np.zeros((2, 7, 7), np.float32), (), None, dict.fromkeys(ALWAYS, 1.0), ORIGIN,
    )  # fmt: skip


def appended(path: Path, *results: Result) -> None:
    sink = JsonSink(path, ORIGIN, Rotation(10**6))
    for result in results:
        sink.write(result)
    sink.close()


@pytest.mark.parametrize("first", [answer(), FAILURE, NOTICE], ids=["answer", "failure", "notice"])
def test_todays_lines_of_every_kind_are_gone_on_with(tmp_path: Path, first: Result) -> None:
    path = tmp_path / "r.jsonl"
    appended(path, first)
    appended(path, answer(), FAILURE, NOTICE)
    assert len(path.read_text().splitlines()) == 4
    assert list(tmp_path.iterdir()) == [path]


def without(key: str) -> str:
    value = answer().to_dict()
    del value[key]
    return json.dumps(value) + "\n"


OTHERS: dict[str, Callable[[], str]] = {
    "a key less": lambda: without("bundle_signed_by"),
    "a key more": lambda: json.dumps({**answer().to_dict(), "colour": "blue"}) + "\n",
    "behind a failure": lambda: json_line(FAILURE, ORIGIN) + without("ood_score"),
    "another file": lambda: "not JSON\n",
    "a list": lambda: "[1, 2]\n",
    "deep": lambda: "[" * 100_000 + "\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_lines_with_other_keys_are_put_aside_whole(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / "r.jsonl", OTHERS[name]()
    path.write_text(text)
    appended(path, answer())
    assert (tmp_path / "r.jsonl.1").read_text() == text
    found: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    assert [set(value) for value in found] == [set(answer().to_dict())]
