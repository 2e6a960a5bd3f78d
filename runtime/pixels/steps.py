"""The preprocess steps of a manifest: what may be asked for, read and written as JSON.

Order is fixed by sense: ``orient``, ``crop`` and ``window`` work on the source, then one ``resize``, then ``clahe``,
``denoise`` and ``grey`` at the network's size. There they cost the same whatever the camera's resolution, and mean the
same whatever the reduction at which a JPEG was decoded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

from fieldlens.runtime.fields import EXACT, Between, OneOf, Tagged, Unfit

_Fraction = Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class Orient:
    """Turn the image upright as its EXIF orientation says."""

    step: ClassVar[str] = "orient"


@dataclass(frozen=True)
class Crop:
    """Field of view, as fractions of the upright image's width and height."""

    step: ClassVar[str] = "crop"
    left: _Fraction
    top: _Fraction
    right: _Fraction
    bottom: _Fraction

    def __post_init__(self) -> None:
        if self.right - self.left < 0.05 or self.bottom - self.top < 0.05:
            raise Unfit(f"the crop {self} keeps less than 5% of a side", "right > left and bottom > top")


@dataclass(frozen=True)
class Window:
    """Grey-level window (CT): ``level - width/2`` becomes 0, ``level + width/2`` 255. Admits 16-bit files."""

    step: ClassVar[str] = "window"
    level: Annotated[float, Between(-65536, 65536)]
    width: Annotated[float, Between(1, 65536)]


@dataclass(frozen=True)
class Resize:
    """To ``size``×``size``: largest centred square (``crop``), black bars (``pad``), or distorted (``squash``).

    ``zoom`` > 1 keeps the central 1/zoom of what ``crop`` would keep.
    """

    step: ClassVar[str] = "resize"
    size: Annotated[int, Between(16, 1024)]
    mode: Annotated[str, OneOf(("crop", "pad", "squash"))] = "crop"
    zoom: Annotated[float, Between(1, 4)] = 1.0


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation of the lightness (CIE L*a*b*), on a ``grid``×``grid``."""

    step: ClassVar[str] = "clahe"
    clip_limit: Annotated[float, Between(0.1, 40)] = 2.0
    grid: Annotated[int, Between(1, 32)] = 8


@dataclass(frozen=True)
class Denoise:
    """``median`` (odd ``size`` 3 or 5) or ``gaussian``. Both take well under 1 ms at 224; non-local means does not."""

    step: ClassVar[str] = "denoise"
    method: Annotated[str, OneOf(("median", "gaussian"))] = "median"
    size: Annotated[int, Between(3, 5)] = 3

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise Unfit("the denoise size must be odd", "3 or 5")


@dataclass(frozen=True)
class Grey:
    """Luminance in all three channels, for sets whose colour carries the device and not the finding."""

    step: ClassVar[str] = "grey"


Step = Orient | Crop | Window | Resize | Clahe | Denoise | Grey

_ORDER: dict[str, int] = {"orient": 0, "crop": 1, "window": 2, "resize": 3, "clahe": 4, "denoise": 4, "grey": 4}


def check_order(steps: tuple[Step, ...]) -> None:
    """A rule for a list of steps: one ``resize``, none twice, in the order that makes sense. Raises Unfit."""
    names = [step.step for step in steps]
    if names.count("resize") != 1:
        raise Unfit(f"needs exactly one resize step, not {names.count('resize')}", "add or remove one")
    if len(set(names)) != len(names):
        raise Unfit("names a step twice", "once each")
    if [_ORDER[name] for name in names] != sorted(_ORDER[name] for name in names):
        raise Unfit(f"steps are in an impossible order: {', '.join(names)}", "order: " + ", ".join(_ORDER))


Steps = Annotated[tuple[Annotated[Step, Tagged("step")], ...], check_order, EXACT]
"""A field of a record that holds the list of steps."""


def steps_to_json(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """What a field of type ``Steps`` is read from."""
    return [{"step": step.step, **asdict(step)} for step in steps]


def with_size(steps: tuple[Step, ...], size: int) -> tuple[Step, ...]:
    """The same steps for another network size."""
    return tuple(replace(step, size=size) if isinstance(step, Resize) else step for step in steps)
