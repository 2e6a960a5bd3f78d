"""The trainer's members of the kit's one exception family; those of data come from where tables are read."""

from __future__ import annotations

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.tables.problems import DataError as DataError
from fieldlens.runtime.tables.problems import Problem as Problem
from fieldlens.runtime.tables.problems import all_at_once as all_at_once
from fieldlens.runtime.tables.problems import listing as listing


class RunError(KitError):
    """A run folder that is incomplete, altered, or already in use."""


class FitError(KitError):
    """Training that cannot go on: a loss that is not finite, weights that do not fit."""
