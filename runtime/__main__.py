"""``python -m runtime``."""

from fieldlens.runtime import stopping
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.cli import main

if __name__ == "__main__":
    stopping.leave(run_cli(main))
