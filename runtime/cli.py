"""The command line of the device. Nothing heavy is imported here; ``commands`` holds what each command does."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.options.backend import add_backend
from fieldlens.runtime.options.station import add_serve, add_station
from fieldlens.runtime.options.values import count, port, positive, rate, seconds, size
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser, Words
from fieldlens.runtime.updating import arguments as updating

MODULE = "fieldlens.runtime.commands"
SOURCE_HELP = (
    "image, folder (recursive), glob, video, - for a list of paths on standard input; as the last one a camera: "
    "csi://N, v4l2://N, /dev/v4l/by-id/NAME, rtsp://HOST/PATH, http://HOST/PATH (MJPEG)"
)


def build_parser() -> Parser:
    """``python -m runtime``."""
    parser = Parser(prog="python -m runtime", description="Classify images, and say how long each took.")
    add_commands(Commands(parser, MODULE))
    return parser


def main(words: Words = None) -> int:
    """Run one command; returns its exit code. Raises KitError."""
    return run(build_parser(), words)


def add_commands(commands: Commands) -> None:
    """All commands of a device."""
    _add_classify(commands)
    _add_calibrate_camera(commands)
    _add_calibrate_site(commands)
    _add_verify(commands)
    _add_info(commands)
    _add_doctor(commands)
    _add_selftest(commands)
    add_serve(commands)
    add_station(commands)
    updating.add_commands(commands)


def _add_classify(commands: Commands) -> None:
    parser = commands.add(
        "classify", "classify files, folders, videos or a camera",
        "One line for each image, then three lines about the run.",
        example="photos/ --bundle demo.bundle", begin=_begin_classify,
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder NAME.bundle")
    add_backend(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON object a line; - for standard output")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row per input")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="report of the run; also writes FILE.json")
    parser.add_argument(
        "--with-images", action="store_true", help="show images with heat maps in the report, 200 at most"
    )
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="an image with its heat map per input")
    parser.add_argument(
        "--top-k", type=positive, default=0, metavar="K", help="also name the K likeliest classes in each line"
    )
    _add_words(parser)
    parser.add_argument("--watch", action="store_true", help="go on with the images that come into the folder")
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="threads that work ahead on files and videos (default: as many as pay; 0: one image after the other)",
    )
    parser.add_argument(
        "--decode-seconds", type=seconds, metavar="S", help="refuse an image that takes longer to decode (default 2)"
    )
    parser.add_argument(
        "--decode-memory", type=positive, metavar="MB", help="refuse an image that takes more memory (default 600)"
    )
    parser.add_argument("--show", action="store_true", help="the annotated image in a window; q ends the run")
    parser.add_argument(
        "--stream", type=port, metavar="PORT", help="the same in this machine's browser, at http://127.0.0.1:PORT/"
    )
    parser.add_argument(
        "--stale-after", type=seconds, default=2.0, metavar="S",
        help="of --show and --stream: no answer to a camera's image that is older than S seconds (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--rotate", type=size, metavar="SIZE", help="continue --json and --csv, and start again at this size (10M)"
    )
    parser.add_argument(
        "--keep", type=positive, default=10, metavar="N", help="how many old files --rotate leaves (default 10)"
    )
    parser.add_argument(
        "--heartbeat", type=Path, metavar="FILE", help="a small JSON file, written every second while the run is alive"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N inputs")
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after S seconds")
    parser.add_argument(
        "--golden-every", type=seconds, default=3600.0, metavar="S",
        help="answer golden images again every S seconds, and stop if they fail (default 3600)",
    )  # fmt: skip
    parser.add_argument(
        "--percentile",
        type=float,
        choices=(50.0, 90.0, 95.0, 99.0, 99.9),
        default=99.0,
        help="the one that the report must be able to answer for (default 99)",
    )
    parser.add_argument(
        "--mode",
        choices=("run", "single-stream", "fixed-rate"),
        default="run",
        help="a benchmark, VALID or INVALID by MLPerf-style rules (not an official result): single-stream asks as "
        "fast as it is answered, fixed-rate has images arrive by the clock",
    )
    parser.add_argument(
        "--seconds", type=seconds, metavar="S", help="of a benchmark: 60 (default), or 600 to compare with others"
    )
    parser.add_argument("--rate", type=rate, metavar="N", help="of fixed-rate: images a second (default 30)")
    parser.add_argument(
        "--late", choices=("drop", "queue"),
        help="of fixed-rate: while an image is answered, only the newest waits, as with a camera (drop, default), or "
        "all wait in order (queue)",
    )  # fmt: skip


def _add_words(parser: argparse.ArgumentParser) -> None:
    """How much a run says."""
    parser.add_argument(
        "--latency", action="store_true", help="the latency table at the end, however few images there were"
    )
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_true", help="say only what went wrong")
    level.add_argument("--verbose", action="store_true", help="classes, measures and times of each image; all notes")


def _add_calibrate_camera(commands: Commands) -> None:
    parser = commands.add(
        "calibrate-camera", "fit the quality gate to this device's camera",
        "Measures twenty or more good images of this device's own camera and moves the gate's limits.",
        example="v4l2://0 --bundle demo.bundle", begin=_begin_classify,
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder NAME.bundle")
    parser.add_argument("--images", type=positive, default=20, metavar="N", help="how many to take (default 20)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps its limits")


def _add_calibrate_site(commands: Commands) -> None:
    parser = commands.add(
        "calibrate-site", "what each threshold does on a clinic's own cases, and keep an approved one",
        "LOCAL is a folder of images with labels.csv: columns image, label and, for several images a person, group.",
        example="cases/ --bundle demo.bundle --prevalence 0.05 --report site.html", begin=_begin_site,
    )  # fmt: skip
    parser.add_argument("local", type=Path, metavar="LOCAL", help="the folder of this clinic's labelled images")
    parser.add_argument("--bundle", type=Path, required=True, help="the folder NAME.bundle")
    parser.add_argument("--prevalence", type=_share, metavar="P", help="share of people who have it (default: as here)")
    parser.add_argument("--cost-miss", type=_cost, metavar="C", help="of one missed person, in any unit")
    parser.add_argument("--cost-referral", type=_cost, metavar="C", help="of one referral, in the same unit")
    parser.add_argument("--approved-by", metavar="NAME", help="keep the proposed threshold on this device; who says so")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="the table and its plots on one page")
    add_backend(parser)


def _begin_site(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    beginning.outputs([arguments.report])
    return f"{arguments.command}: {arguments.local} with {arguments.bundle} …"


def _cost(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _add_verify(commands: Commands) -> None:
    parser = commands.add(
        "verify", "check a bundle's files and its signature", "How accurate it is, `convert verify` says.",
        example="demo.bundle --allowed-signers /etc/fieldlens/allowed_signers", begin=_begin_reading,
    )  # fmt: skip
    parser.add_argument("bundle", type=Path, help="the folder NAME.bundle")
    parser.add_argument(
        "--allowed-signers", type=Path, metavar="FILE", help="whose signatures count (default: this device's policy)"
    )


def _add_info(commands: Commands) -> None:
    parser = commands.add("info", "what a bundle is, for people", example="demo.bundle", begin=_begin_reading)
    parser.add_argument("bundle", type=Path, help="the folder NAME.bundle")
    parser.add_argument("--json", action="store_true", help="the manifest itself")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps caches and self-tests")


def _add_doctor(commands: Commands) -> None:
    parser = commands.add(
        "doctor", "check this device, and say how to fix what is wrong",
        "One line for each thing that a station needs, with the command that fixes what is wrong.",
        example="--bundle demo.bundle", begin=lambda _: "looking at this device …",
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="also check this bundle, its signature and plan")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps caches and plans")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def _add_selftest(commands: Commands) -> None:
    parser = commands.add(
        "selftest", "run a bundle's golden images on this machine", example="demo.bundle", begin=_begin_reading
    )
    parser.add_argument("bundle", type=Path, help="the folder NAME.bundle")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    add_backend(parser)


def _begin_classify(arguments: argparse.Namespace) -> str:
    from fieldlens.runtime.sources.cameras.address import without_password
    from fieldlens.runtime.sources.dicom_peek import holds_dicom

    beginning.bundle(arguments.bundle)
    if not any(getattr(arguments, name, None) for name in ("json", "csv", "report", "watch")):  # these say what failed
        beginning.sources(arguments.sources)
    more = f" and {len(arguments.sources) - 1} more" if len(arguments.sources) > 1 else ""
    first = arguments.sources[0]
    shown = "a DICOM file" if holds_dicom(first.rpartition("#")[0] or first) or holds_dicom(first) else first
    return f"{arguments.command}: {without_password(shown)}{more} with {arguments.bundle} …"


def _begin_reading(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    return f"{arguments.command}: reading {arguments.bundle} …"
