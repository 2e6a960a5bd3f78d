"""Releases of the kit's code on a device: two stay, with the libraries that they need."""

from __future__ import annotations

from fieldlens.runtime.updating import releases
from fieldlens.runtime.updating.layout import DeviceFolders


def lay(layout: DeviceFolders, name: str, environment: str) -> None:
    (layout.releases / name / "lib").mkdir(parents=True)
    (layout.releases / name / "environment").write_text(f"{environment}\n")
    (layout.root / "opt/fieldlens/environments" / environment / "bin").mkdir(parents=True, exist_ok=True)


def there(layout: DeviceFolders) -> tuple[list[str], list[str]]:
    parents = layout.releases, layout.root / "opt/fieldlens/environments"
    first, second = (sorted(path.name for path in parent.iterdir()) for parent in parents)
    return first, second


def test_the_release_that_runs_and_the_one_before_stay(layout: DeviceFolders) -> None:
    for name, environment in (("1", "old"), ("2", "old"), ("3", "new")):
        lay(layout, name, environment)
    assert releases.prune(layout, {"3", "2"}) == ["releases/1"]
    assert there(layout) == (["2", "3"], ["new", "old"]), "the one before keeps its libraries"
    lay(layout, "4", "new")
    (layout.releases / "5.part").mkdir()
    assert releases.prune(layout, {"4", "3"}) == ["releases/2", "releases/5.part", "environments/old"]
    assert there(layout) == (["3", "4"], ["new"])


def test_nothing_to_remove(layout: DeviceFolders) -> None:
    assert releases.prune(layout, {"1"}) == []
