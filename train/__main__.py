"""``python -m train``."""

import sys

from fieldlens.runtime.boundary import run_cli
from fieldlens.train.cli import main

if __name__ == "__main__":
    sys.exit(run_cli(main))
