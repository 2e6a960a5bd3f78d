"""`info` for people: tables, never Python's own spelling of a value."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.describe import describe
from fieldlens.runtime.bundle.find import find_bundle
from fieldlens.runtime.bundle.manifest import ClassInfo
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BundleError
from tests.runtime.conftest import build_bundle, tiny_manifest

PROVENANCE: dict[str, Any] = {
    "data": {"name": "ward", "n": {"train": 72, "val": 24}, "columns": [], "shareable": False},
    "recipe": {"preprocess": {"steps": [{"step": "orient"}, {"step": "resize", "size": 64}]}},
    "seed": 0,
    "trained_with": {"python": "3.11.7", "torch": "2.15.0"},
}
FIGURES = {
    "n": 24, "auc": 0.8432, "accuracy": 0.5833, "decisions_changed": 0.0417,
    "decision": {"sensitivity": 1.0, "specificity": 0.5556},
}  # fmt: skip


def shown(bundle: Bundle, **changes: Any) -> str:
    return describe(replace(bundle, manifest=replace(bundle.manifest, **changes)))


def test_no_value_is_spelled_as_python_spells_it(bundle: Bundle) -> None:
    text = shown(bundle, provenance=PROVENANCE, evaluation={"fp32": {"val": FIGURES}})
    assert not re.search(r"[{}\[\]']", text.replace("[N,64,64,3]", ""))
    for line in (
        "  data                  name: ward; shareable: no",
        "  data.n                train: 72; val: 24",
        "  recipe.preprocess     steps: orient → resize (size 64)",
        "  trained_with          python: 3.11.7; torch: 2.15.0",
    ):
        assert line in text.splitlines()


def test_every_precision_has_its_row(bundle: Bundle) -> None:
    lines = shown(bundle, evaluation={"fp32": {"val": FIGURES}, "int8-cpu": {"val": "by hand"}}).splitlines()
    head = next(line for line in lines if line.startswith("precision"))
    assert head.split()[:5] == ["precision", "MB", "images", "AUC", "accuracy"]
    rows = {line.split()[0]: line.split()[2:] for line in lines if line.startswith(("fp32", "int8-cpu"))}
    assert rows["fp32"] == ["24", "0.843", "58.3%", "100.0%", "55.6%", "4.2%"]
    assert set(rows["int8-cpu"]) == {"–"}
    assert len({len(line) for line in lines if line.startswith(("precision", "fp32"))}) == 1  # one under the other


def test_classes_say_where_they_refer(bundle: Bundle) -> None:
    classes = (ClassInfo("clear", "Nothing"), ClassInfo("polyp", "Polyp"), ClassInfo("ulcer", "Ulcer"))
    either = Decision("any", ("polyp", "ulcer"), {"polyp": 0.2, "ulcer": 0.9}, (0.0, 0.0), "sensitivity", {})
    text = shown(bundle, classes=classes, decision=either)
    assert re.search(r"^polyp +Polyp +0\.200$", text, flags=re.MULTILINE)
    assert re.search(r"^ulcer +Ulcer +0\.900$", text, flags=re.MULTILINE)
    assert re.search(r"^clear +Nothing$", text, flags=re.MULTILINE)
    assert "macro AUC" in text
    both = replace(either, rule="sum", thresholds={"polyp": 0.3, "ulcer": 0.3})
    assert re.search(r"^polyp +Polyp +0\.300 \(summed\)$", shown(bundle, classes=classes, decision=both), re.MULTILINE)


def test_long_values_are_broken_under_themselves_and_end(bundle: Bundle) -> None:
    lines = shown(bundle, provenance={"notes": "word " * 500}).splitlines()
    found = lines[lines.index("made from") + 1 :]
    assert 2 < len(found) < 10
    assert all(len(line) <= 110 for line in found)
    assert found[-1].endswith("…")
    assert all(line.startswith(" " * 24) for line in found[1:])


def test_each_auc_has_one_name() -> None:
    two, three = ("multiclass", 2), ("multiclass", 3)
    assert [area_name(*each) for each in (two, three, ("multilabel", 2))] == ["AUC", "macro AUC", "macro AUC"]
    assert [area_name(*each, of_score=True) for each in (two, three)] == ["AUC", "score AUC"]


def test_a_folder_that_holds_one_bundle_means_that_bundle(bundle_folder: Path, tmp_path: Path) -> None:
    inside = build_bundle(tmp_path / "demo/tiny.bundle", tiny_manifest())
    (tmp_path / "demo/run").mkdir()
    assert find_bundle(tmp_path / "demo") == inside
    assert find_bundle(bundle_folder) == bundle_folder
    assert find_bundle(tmp_path / "missing") == tmp_path / "missing"
    with pytest.raises(BundleError):
        open_bundle(find_bundle(tmp_path))  # two levels down is not looked for
    build_bundle(tmp_path / "demo/other.bundle", tiny_manifest())
    with pytest.raises(BundleError, match=r"holds 2: other\.bundle, tiny\.bundle"):
        find_bundle(tmp_path / "demo")
