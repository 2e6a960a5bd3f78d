"""The command ``fieldlens``, also as ``python -m fieldlens``."""

import sys

from fieldlens.cli import main as run_command
from fieldlens.runtime.boundary import run_cli


def main() -> int:
    """Run this process's command line; returns its exit code. The console script calls it."""
    return run_cli(run_command)


if __name__ == "__main__":
    sys.exit(main())
