"""The preprocess steps of a manifest: what may be asked for, read and written as JSON.

Order is fixed by sense: ``orient``, ``crop`` and ``window`` work on the source, then one ``resize``, then ``clahe``,
``denoise`` and ``grey`` at the network's size. There they cost the same whatever the camera's resolution, and mean the
same whatever the reduction at which a JPEG was decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.fields import Fields, nearest


@dataclass(frozen=True)
class Orient:
    """Turn the image upright as its EXIF orientation says."""

    step: ClassVar[str] = "orient"


@dataclass(frozen=True)
class Crop:
    """Field of view, as fractions of the upright image's width and height."""

    step: ClassVar[str] = "crop"
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Window:
    """Grey-level window (CT): ``level - width/2`` becomes 0, ``level + width/2`` 255. Admits 16-bit files."""

    step: ClassVar[str] = "window"
    level: float
    width: float


@dataclass(frozen=True)
class Resize:
    """To ``size``×``size``: largest centred square (``crop``), black bars (``pad``), or distorted (``squash``).

    ``zoom`` > 1 keeps the central 1/zoom of what ``crop`` would keep.
    """

    step: ClassVar[str] = "resize"
    size: int
    mode: str = "crop"
    zoom: float = 1.0


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation of the lightness (CIE L*a*b*), on a ``grid``×``grid``."""

    step: ClassVar[str] = "clahe"
    clip_limit: float = 2.0
    grid: int = 8


@dataclass(frozen=True)
class Denoise:
    """``median`` (odd ``size`` 3 or 5) or ``gaussian``. Both take well under 1 ms at 224; non-local means does not."""

    step: ClassVar[str] = "denoise"
    method: str = "median"
    size: int = 3


@dataclass(frozen=True)
class Grey:
    """Luminance in all three channels, for sets whose colour carries the device and not the finding."""

    step: ClassVar[str] = "grey"


Step = Orient | Crop | Window | Resize | Clahe | Denoise | Grey

_ORDER: dict[str, int] = {"orient": 0, "crop": 1, "window": 2, "resize": 3, "clahe": 4, "denoise": 4, "grey": 4}


def _crop(fields: Fields) -> Step:
    step = Crop(*(fields.number(edge, 0.0, 1.0) for edge in ("left", "top", "right", "bottom")))
    if step.right - step.left < 0.05 or step.bottom - step.top < 0.05:
        raise fields.fail(f"the crop {step} keeps less than 5% of a side", "right > left and bottom > top")
    return step


def _resize(fields: Fields) -> Step:
    modes = ("crop", "pad", "squash")
    return Resize(
        fields.integer("size", 16, 1024), fields.choice("mode", modes, "crop"), fields.number("zoom", 1.0, 4.0, 1.0)
    )


def _denoise(fields: Fields) -> Step:
    size = fields.integer("size", 3, 5, 3)
    if size % 2 == 0:
        raise fields.fail("the denoise size must be odd", "3 or 5")
    return Denoise(fields.choice("method", ("median", "gaussian"), "median"), size)


_READERS: dict[str, Callable[[Fields], Step]] = {
    "orient": lambda fields: Orient(),
    "crop": _crop,
    "window": lambda fields: Window(fields.number("level", -65536, 65536), fields.number("width", 1, 65536)),
    "resize": _resize,
    "clahe": lambda fields: Clahe(fields.number("clip_limit", 0.1, 40, 2.0), fields.integer("grid", 1, 32, 8)),
    "denoise": _denoise,
    "grey": lambda fields: Grey(),
}


def steps_from_json(value: Any, error: Callable[[str, str], KitError] = ConfigError) -> tuple[Step, ...]:
    """Read the list of steps. Raises ``error`` for an unknown step or value, a wrong order, or no ``resize``."""
    if not isinstance(value, list):
        raise error("preprocess must be a list of steps", 'for example [{"step": "resize", "size": 224}]')
    steps: list[Step] = []
    for index, item in enumerate(value):
        fields = Fields(item, f"preprocess[{index}]", error)
        name = fields.take("step", str)
        if name not in _READERS:
            raise error(f"preprocess[{index}]: unknown step {name!r}", nearest(name, _READERS))
        steps.append(_READERS[name](fields))
        fields.done()
    names = [step.step for step in steps]
    if names.count("resize") != 1:
        raise error(f"preprocess needs exactly one resize step, not {names.count('resize')}", "add or remove one")
    if len(set(names)) != len(names):
        raise error("preprocess names a step twice", "once each")
    if [_ORDER[name] for name in names] != sorted(_ORDER[name] for name in names):
        raise error(f"preprocess steps are in an impossible order: {', '.join(names)}", "order: " + ", ".join(_ORDER))
    return tuple(steps)


def steps_to_json(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """The inverse of :func:`steps_from_json`."""
    return [{"step": step.step, **asdict(step)} for step in steps]


def with_size(steps: tuple[Step, ...], size: int) -> tuple[Step, ...]:
    """The same steps for another network size."""
    return tuple(replace(step, size=size) if isinstance(step, Resize) else step for step in steps)
