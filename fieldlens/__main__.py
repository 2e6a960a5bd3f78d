"""``python -m fieldlens``: the runtime's commands, as ``python -m runtime`` has them."""

import sys

from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(main))
