"""``python -m benchmarks``."""

import sys

from fieldlens.benchmarks.cli import main
from fieldlens.runtime.boundary import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
