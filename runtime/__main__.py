"""``python -m runtime``: parse, call, map errors to exit codes."""

from fieldlens.runtime import stopping
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.cli import build_parser


def main() -> int:
    """Run one command."""
    arguments = build_parser().parse_args()
    from fieldlens.runtime import commands  # here: it imports numpy and OpenCV, for which --help need not wait

    return commands.COMMANDS[arguments.command](arguments)


if __name__ == "__main__":
    stopping.leave(run_cli(main))
