"""``python -m benchmarks``."""

import sys

from benchmarks.cli import main
from runtime.errors import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
