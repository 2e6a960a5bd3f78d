"""The command ``fieldlens``, also as ``python -m fieldlens``."""

from typing import NoReturn

from fieldlens.cli import main as run_command
from fieldlens.runtime import stopping
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.terminal.process import start


def main() -> NoReturn:
    """Run this process's command line and end the process, after a signal at once. The console script calls it."""
    start()
    stopping.leave(run_cli(run_command))


if __name__ == "__main__":
    main()
