"""Which heat maps of an evaluation are judged by the marks beside the data: those that a person would look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.train import metrics
from fieldlens.train.data.marked_areas import MarkedAreas, areas_of
from fieldlens.train.decide.operating_point import Bools
from fieldlens.train.scoring.answers import Answers
from fieldlens.train.scoring.evaluated_model import EvaluatedModel
from fieldlens.train.scoring.evaluation_set import EvaluationSet
from fieldlens.train.scoring.pointing import SIDE, Pointing, pointing
from fieldlens.train.scoring.scored_predictions import ScoredPredictions


def pointing_of(
    who: EvaluatedModel,
    part: EvaluationSet,
    answers: Mapping[str, Answers],
    results: Mapping[str, ScoredPredictions],
    marks: MarkedAreas,
) -> dict[str, Pointing]:
    """Each precision's maps over the images whose map a person looks at, and a run's by Grad-CAM++."""
    steps, found = who.config.preprocess.steps, dict[str, Pointing]()
    for precision, one in answers.items():
        if one.maps is None:
            continue
        rows = np.flatnonzero(_looked_at(results[precision], one))
        samples = [part.samples[row] for row in rows]
        named = [who.class_ids[one.explained[row]] for row in rows]
        areas = areas_of(marks, part.data, samples, named, steps, SIDE)
        groups = [results[precision].groups[row] for row in rows]
        preprocess = Preprocess(steps)
        blank = np.zeros((preprocess.size, preprocess.size, 3), np.uint8)
        seen = (blank if a is None else part.data.tensor(s, preprocess) for s, a in zip(samples, areas, strict=True))
        images = np.stack([*seen]) if samples else None
        for name, maps in ((precision, one.maps), (f"{precision}, Grad-CAM++", one.rival_maps)):
            if maps is not None and (judged := pointing(maps[rows], areas, groups, images)):
                found[name] = judged
    return found


def _looked_at(result: ScoredPredictions, one: Answers) -> Bools:
    """Referred and not to be taken again; without a decision: rightly judged."""
    if result.decided:
        chosen = np.array([outcome == "refer" for outcome in result.decided.outcomes], bool)
    else:
        chosen = np.asarray(metrics.correct(result.probabilities, result.labels) == 1, bool)
    return chosen if one.readable is None else chosen & one.readable
