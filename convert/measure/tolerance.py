"""How much a precision may lose, and whether it did."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from fieldlens.convert.measure.answer import Logits
from fieldlens.convert.measure.evaluate import Figures
from fieldlens.runtime.bundle.manifest import Tolerance
from fieldlens.runtime.bundle.precision import REFERENCE, word_of

FP32 = Tolerance(auc_loss=0.0, accuracy_loss=0.0, decisions_changed=0.0, logit=1e-3)
"""Another library, the same arithmetic."""

LOGIT_SHARE = {"fp16": (0.01, 0.05), "int8": (0.05, 0.10)}
"""The largest logit difference may be twice what the host measured on validation, but at least and at most these
shares of FP32's largest logit. Measured for INT8: 0.02 on PneumoniaMNIST, 0.016 on a small synthetic set; a network
calibrated with 32 images only 0.07; images unlike any of the training 0.56. For FP16: 0.001."""

_LOSSES = {"fp16": (0.0005, 0.005, 0.01), "int8": (0.002, 0.01, 0.02)}
"""AUC, accuracy and decisions; INT8's for every file that is INT8."""

FP16_LIMIT = 32_000.0
"""Half of FP16's range: other images may reach further than those at hand."""

STRICT_FROM = 500
"""From so many images on, 2% of them is a count that can be judged as it stands."""


def allowed(precision: str, reference: Logits, measured: float) -> Tolerance:
    """The tolerance of a precision: losses are absolute, logits move on the model's own scale.

    ``reference``: FP32's validation logits ``[n,C]``; ``measured``: this precision's largest difference from them.
    """
    if precision == REFERENCE:
        return FP32
    kind = word_of(precision)
    least, most = (share * float(np.abs(reference).max()) for share in LOGIT_SHARE[kind])
    return Tolerance(*_LOSSES[kind], logit=round(float(np.clip(2.0 * measured, least, most)), 4))


def broken(figures: Figures, tolerance: Tolerance) -> list[str]:
    """Which tolerances ``figures`` break, as sentences with both numbers; empty where none.

    On fewer than STRICT_FROM images chance is allowed for: shares up to what 95 of 100 such samples would show if the
    true share were the tolerance, and an AUC whose loss is above the tolerance for sure (all of its paired interval).
    """
    lost = -(figures.auc_delta or 0.0)
    if figures.n < STRICT_FROM and tolerance.auc_loss > 0 and figures.auc_delta_interval is not None:
        lost = -figures.auc_delta_interval[1]
    checks = (
        ("AUC lost", lost, tolerance.auc_loss),
        ("accuracy lost", -(figures.accuracy_delta or 0.0), _share(tolerance.accuracy_loss, figures.n)),
        ("decisions changed", figures.decisions_changed, _share(tolerance.decisions_changed, figures.n)),
        ("largest logit difference", figures.max_logit_difference, tolerance.logit),
    )
    found = [
        f"{figures.precision}: {name} {value:.4f}, allowed {limit:.4f} (n = {figures.n})"
        for name, value, limit in checks
        if not -math.inf < value <= limit + 1e-12
    ]
    return found + overflow(figures)


def overflow(figures: Figures) -> list[str]:
    """A sentence if an activation comes near the end of FP16, where TensorRT may compute in it."""
    if figures.peak is None or figures.peak < FP16_LIMIT:
        return []
    return [
        f"{figures.precision}: {figures.peak_at} reaches {figures.peak:.0f}; FP16 ends at 65504, and to be safe every "
        f"activation has to stay below {FP16_LIMIT:.0f} (n = {figures.n})"
    ]


def _share(limit: float, n: int) -> float:
    """``limit``, or on a small set the share that chance alone reaches in 95 of 100 samples of ``n``."""
    if n >= STRICT_FROM:
        return limit
    by_chance = next(count for count in range(n + 1) if special.bdtr(count, n, limit) >= 0.95)
    return max(limit, by_chance / n)
