"""The one reader of records: what it takes, what it refuses, and the place that it names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import pytest

from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.fields import EXACT, Between, Count, Matching, OneOf, Tagged, Unfit
from fieldlens.runtime.files import records


@dataclass(frozen=True)
class Cut:
    kind: ClassVar[str] = "cut"
    width: Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class Turn:
    kind: ClassVar[str] = "turn"
    degrees: int = 90

    def __post_init__(self) -> None:
        if self.degrees % 90:
            raise Unfit("turns by right angles only", "90, 180 or 270")


@dataclass(frozen=True)
class Part:
    name: Annotated[str, Matching("[a-z]+", "small letters")]
    share: Annotated[float, Between(0, 1)] = 0.5


def rising(pair: tuple[float, float]) -> None:
    if pair[0] > pair[1]:
        raise Unfit("falls")


@dataclass(frozen=True)
class Whole:
    count: int
    word: Annotated[str, OneOf(("red", "green"))]
    parts: Annotated[tuple[Part, ...], Count(1, 3)] = (Part("a"),)
    pair: Annotated[tuple[float, float], rising] = (0.0, 1.0)
    by_name: dict[str, Part] = field(default_factory=dict)
    limit: Annotated[float, Between(0, 9)] | dict[str, float] | None = None
    steps: Annotated[tuple[Annotated[Cut | Turn, Tagged("kind")], ...], EXACT] = ()
    free: Any = None
    flag: bool = False


GOOD: dict[str, Any] = {"count": 1, "word": "red"}


def read(**changes: Any) -> Whole:
    return records.read(Whole, {**GOOD, **changes}, "file.json", ConfigError)


def test_everything_that_a_field_may_be() -> None:
    found = read(
        parts=[{"name": "b", "share": 1}], pair=[1, 2], by_name={"x y": {"name": "c"}}, limit={"a": 3},
        steps=[{"kind": "turn"}, {"kind": "cut", "width": 0.5}], free=[{"any": None}], flag=True,
    )  # fmt: skip
    assert found == Whole(
        1, "red", (Part("b", 1.0),), (1.0, 2.0), {"x y": Part("c")}, {"a": 3.0}, (Turn(), Cut(0.5)), [{"any": None}],
        True,
    )  # fmt: skip
    assert [type(found.parts[0].share), type(found.pair[0])] == [float, float]
    assert read(limit=4).limit == 4.0
    assert read(limit=None) == Whole(1, "red")


def test_what_is_read_is_what_asdict_writes() -> None:
    made = Whole(2, "green", (Part("x"), Part("y")), (0.0, 0.5), {"z": Part("z")}, 3.0)
    value = dataclasses.asdict(made)
    assert records.read(Whole, value, "", ConfigError) == made


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"cuont": 1}, "file.json: unknown key 'cuont'", "did you mean 'count'?"),
    ({"count": True}, "file.json: 'count' must be int, not True", ""),
    ({"count": 1.0}, "file.json: 'count' must be int, not 1.0", ""),
    ({"flag": 1}, "file.json: 'flag' must be bool, not 1", ""),
    ({"word": "rde"}, "file.json: 'word' is 'rde'", "did you mean 'red'?"),
    ({"word": None}, "file.json: 'word' must be str, not None", ""),
    ({"parts": {}}, "file.json: 'parts' must be a list, not {}", ""),
    ({"parts": []}, "file.json: 'parts' must have 1 to 3 items, not 0", ""),
    ({"parts": [0] * 4}, "file.json: 'parts' must have 1 to 3 items, not 4", ""),
    ({"parts": [{"name": "a"}, 7]}, "file.json.parts[1] must be an object, not 7", ""),
    ({"parts": [{"name": "A"}]}, "file.json.parts[0]: 'name' must be small letters, not 'A'", ""),
    ({"parts": [{"nam": "a"}]}, "file.json.parts[0]: unknown key 'nam'", "did you mean 'name'?"),
    ({"parts": [{}]}, "file.json.parts[0]: 'name' is missing", ""),
    ({"pair": [1]}, "file.json: 'pair' must have 2 items, not 1", ""),
    ({"pair": [1, "2"]}, "file.json.pair[1] must be float, not '2'", ""),
    ({"pair": [2, 1]}, "file.json: 'pair' falls", ""),
    ({"pair": [0, float("nan")]}, "file.json.pair[1] must be finite, not nan", ""),
    ({"pair": [0, 10**400]}, "file.json.pair[1] is a number of 1329 bits", ""),
    ({"by_name": {"x": {"name": "a", "share": 2}}}, "file.json.by_name.x: 'share' must be between 0 and 1, not 2.0",
     ""),
    ({"by_name": {"x-y": 1}}, "file.json.by_name['x-y'] must be an object, not 1", ""),
    ({"limit": 10}, "file.json: 'limit' must be between 0 and 9, not 10.0", ""),
    ({"limit": "a"}, "file.json: 'limit' must be float or an object or null, not 'a'", ""),
    ({"limit": {"a": False}}, "file.json.limit.a must be float, not False", ""),
    ({"steps": [{"kind": "trun"}]}, "file.json.steps[0]: unknown kind 'trun'", "did you mean 'turn'?"),
    ({"steps": [{"width": 1}]}, "file.json.steps[0] must be an object with a 'kind', not {'width': 1}", ""),
    ({"steps": [{"kind": []}]}, "file.json.steps[0] must be an object with a 'kind', not {'kind': []}", ""),
    ({"steps": [{"kind": "turn", "degrees": 45}]}, "file.json.steps[0]: turns by right angles only", "90, 180 or 270"),
    ({"steps": [{"kind": "cut", "width": 2}]}, "file.json.steps[0]: 'width' must be between 0 and 1, not 2.0", ""),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message", "hint"), MISTAKES, ids=[message for _, message, _ in MISTAKES])
def test_a_mistake_is_named_with_its_place(changes: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**changes)
    assert caught.value.message == message
    assert hint in caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_no_object(value: Any) -> None:
    with pytest.raises(ConfigError, match="must be an object"):
        records.read(Whole, value, "file.json", ConfigError)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{"x" * 10_000: 1, "word": "y" * 10_000})
    assert len(caught.value.message) < 200


def test_what_the_kit_wrote_itself_is_renewed_by_a_command() -> None:
    for changes, suggestion in (({"cuont": 1}, "(did you mean 'count'?)"), ({"count": "1"}, "")):
        with pytest.raises(ConfigError) as caught:
            records.read(Whole, {**GOOD, **changes}, "file.json", ConfigError, renew="run `make it`")
        assert caught.value.hint == "run `make it`"
        assert suggestion in caught.value.message


def test_unknown_keys_are_noted_where_they_may_be_there_but_never_below_exact() -> None:
    noted: list[str] = []
    value = {**GOOD, "new": 1, "parts": [{"name": "a", "more": 2}]}
    assert records.read(Whole, value, "file.json", ConfigError, noted=noted) == Whole(1, "red", (Part("a"),))
    assert noted == ["file.json.new", "file.json.parts[0].more"]
    with pytest.raises(ConfigError, match="unknown key 'by'"):
        records.read(Whole, {**GOOD, "steps": [{"kind": "turn", "by": 2}]}, "file.json", ConfigError, noted=noted)


def test_a_field_that_the_caller_gives_must_not_be_there() -> None:
    assert records.read(Whole, {"word": "red"}, "", ConfigError, given={"count": 5}).count == 5
    with pytest.raises(ConfigError, match="unknown key 'count'"):
        records.read(Whole, GOOD, "", ConfigError, given={"count": 5})


def test_rules_hold_for_a_record_that_was_made() -> None:
    records.check(Whole(1, "red"), "whole", ConfigError)
    with pytest.raises(KitError, match="whole: 'word' is 'blue'"):
        records.check(Whole(1, "blue"), "whole", ConfigError)
