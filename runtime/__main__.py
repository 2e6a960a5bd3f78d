"""``python -m runtime``."""

from fieldlens.runtime import stopping
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.cli import main
from fieldlens.runtime.terminal.process import start

if __name__ == "__main__":
    start()
    stopping.leave(run_cli(main))
