"""``python -m convert``."""

import sys

from fieldlens.convert.cli import main
from fieldlens.runtime.boundary import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
