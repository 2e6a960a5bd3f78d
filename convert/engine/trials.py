"""Which precision may run here: candidates are tried from the fastest on, judged, and the fastest has to be faster."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from fieldlens.convert.engine.acceptance import Acceptance, judge, race, table, too_slow
from fieldlens.convert.engine.candidates import EngineCandidate, Supply, Workbench, candidate
from fieldlens.runtime.errors import BackendError, KitError

_SAFER = {"int8": "fp16", "fp16": "fp32"}


@dataclass(frozen=True)
class Trial:
    """One precision: an accepted candidate, or why there is none. ``verdict`` is None where there was no engine."""

    precision: str
    candidate: EngineCandidate | None
    verdict: Acceptance | None
    refusal: str = ""


@dataclass(frozen=True)
class Accepted:
    """What came of all trials. ``race``: the figures of the fastest against the next, or empty."""

    chosen: str
    trials: tuple[Trial, ...]
    race: dict[str, Any]

    @property
    def candidates(self) -> dict[str, EngineCandidate]:
        """The accepted ones by precision; they are loaded."""
        return {trial.precision: trial.candidate for trial in self.trials if trial.candidate is not None}

    @property
    def refused(self) -> dict[str, str]:
        """Precision → why."""
        return _refused(self.trials)

    @property
    def verdicts(self) -> list[Acceptance]:
        """Of every engine that was there to be judged."""
        return _verdicts(self.trials)


def accept(bench: Workbench, asked: str, supply: Supply, opened: contextlib.ExitStack, *, last: str = "") -> Accepted:
    """Try what was ``asked`` for, and for ``auto`` and ``int8`` also the next safer one. ``opened`` closes all engines.

    Raises BackendError where nothing that was asked for is accepted; ``last``: the engine that then stays.
    """
    trials, figures = _raced(bench, _tried(bench, asked, supply, opened))
    if verdicts := _verdicts(trials):
        bench.reporter.say(table(verdicts))
    for precision, reason in _refused(trials).items():
        bench.reporter.say(f"{precision} is refused: {reason}")
    good = [trial.precision for trial in trials if trial.candidate is not None]
    chosen = next((name for name in good if asked in ("auto", name)), "")
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in _refused(trials).items())
        raise BackendError(f"no engine was accepted ({reasons})", _hint(asked, last))
    return Accepted(chosen, trials, figures)


def _tried(bench: Workbench, asked: str, supply: Supply, opened: contextlib.ExitStack) -> list[Trial]:
    """What was asked for, and what it is measured by, down to the first that is accepted."""
    wanted = "int8" if asked == "auto" else asked
    trials = [_trial(bench, wanted, supply, opened)]
    rival = _SAFER.get(wanted) if asked in ("auto", "int8") else None
    while rival is not None:
        trials.append(_trial(bench, rival, supply, opened))
        rival = None if trials[-1].candidate is not None else _SAFER.get(rival)
    return trials


def _trial(bench: Workbench, precision: str, supply: Supply, opened: contextlib.ExitStack) -> Trial:
    """Build or reuse, and judge."""
    try:
        made = candidate(bench, precision, supply, opened)
    except KitError as error:
        return Trial(precision, None, None, error.message)
    verdict = judge(bench.bundle, bench.golden, made.backend, made.record.identity.typing)
    trial = Trial(precision, made, verdict)
    return trial if verdict.passed else _refuse(trial, "; ".join(verdict.refusals))


def _raced(bench: Workbench, trials: list[Trial]) -> tuple[tuple[Trial, ...], dict[str, Any]]:
    """INT8 against the next accepted one; where it gains too little it is refused, by name and figure."""
    first, rival = trials[0], trials[-1]
    racing = first.precision == "int8" and rival is not first
    if not racing or first.candidate is None or first.verdict is None or rival.candidate is None:
        return tuple(trials), {}
    contest = race(first.candidate.backend, rival.candidate.backend, bench.golden)
    bench.reporter.say(
        f"race: {first.precision} {contest.fast_ms:.3f} ms, {rival.precision} {contest.slow_ms:.3f} ms "
        f"({contest.gain:+.1%})"
    )
    if slow := too_slow(contest, first.precision, rival.precision):
        first = _refuse(replace(first, verdict=replace(first.verdict, refusals=(slow,))), slow)
    return (first, *trials[1:]), {"against": rival.precision, **asdict(contest), "gain": contest.gain}


def _refuse(trial: Trial, reason: str) -> Trial:
    """Its memory is given back at once: the next one may need it."""
    if trial.candidate is not None:
        trial.candidate.backend.close()
    return replace(trial, candidate=None, refusal=reason)


def _refused(trials: tuple[Trial, ...]) -> dict[str, str]:
    return {trial.precision: trial.refusal for trial in trials if trial.candidate is None}


def _verdicts(trials: tuple[Trial, ...]) -> list[Acceptance]:
    return [trial.verdict for trial in trials if trial.verdict is not None]


def _hint(asked: str, last: str) -> str:
    stays = f"the engine accepted before ({last}) stays; " if last else ""
    return stays + ("the CPU backends still run" if asked == "auto" else "--precision auto takes the next safer one")
