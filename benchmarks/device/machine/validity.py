"""Whether a run may be quoted: VALID, or INVALID with every reason and an exit code of its own."""

from __future__ import annotations

from fieldlens.benchmarks.device.machine.quiet import Quiet
from fieldlens.runtime.errors import EXIT_INVALID_RUN, EXIT_OK


def verdict(quiet: Quiet) -> str:
    """VALID, or INVALID with every reason."""
    seen = (
        f"load average {quiet.load_1min:.2f}; others took {quiet.others:.1%} of the cores' time, the hypervisor "
        f"{quiet.steal:.1%}; the reference loop wandered {quiet.wander:.1%}"
    )
    if not quiet.doubts():
        return f"VALID: the machine was quiet ({seen})"
    reasons = "\n".join(f"  - {doubt}" for doubt in quiet.doubts())
    return f"INVALID: do not quote these figures, the machine was not quiet ({seen})\n{reasons}"


def exit_code(quiet: Quiet) -> int:
    """4 where the run is invalid."""
    return EXIT_INVALID_RUN if quiet.doubts() else EXIT_OK
