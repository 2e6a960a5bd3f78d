"""The one exception family, and the exit codes."""

from __future__ import annotations

EXIT_OK = 0
EXIT_BUG = 1
EXIT_REFUSED = 2
EXIT_SOME_INPUTS_BAD = 3
EXIT_INVALID_RUN = 4


class KitError(Exception):
    """A failure that a person can fix: what happened, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BundleError(KitError):
    """A bundle that is incomplete, altered, or of a format that this version does not read."""


class ImageError(KitError):
    """One input that is not a whole, sane image. The run goes on without it."""


class AnswerError(KitError):
    """An image for which the network, the calibration, the quality gate or the score gave no number."""


class SourceError(KitError):
    """A source (folder, video, camera) that cannot be opened or stopped delivering."""


class OutputError(KitError):
    """A result that could not be written: the disk is full, or the place is gone. The run ends with its report."""


class BackendError(KitError):
    """An inference backend that is missing, or that refused the model."""


class ConfigError(KitError):
    """A recipe, option or manifest value that is unknown or out of range."""
