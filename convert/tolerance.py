"""How much a precision may lose, and whether it did."""

from __future__ import annotations

import numpy as np
from scipy import stats

from convert.evaluate import REFERENCE, Figures, Logits
from runtime.manifest import Tolerance

FP32 = Tolerance(auc_loss=0.0, accuracy_loss=0.0, decisions_changed=0.0, logit=1e-3)
"""Another library, the same arithmetic."""

LOGIT_SHARE = (0.05, 0.10)
"""INT8's largest logit difference may be twice what the host measured on validation, but at least and at most these
shares of FP32's largest logit. Measured: 0.02 on PneumoniaMNIST, 0.016 on a small synthetic set; a network calibrated
with 32 images only 0.07; pictures unlike any of the training 0.56."""

STRICT_FROM = 500
"""From so many images on, 2% of them is a count that can be judged as it stands."""


def allowed(precision: str, reference: Logits, measured: float) -> Tolerance:
    """The tolerance of a precision: losses are absolute, logits move on the model's own scale.

    ``reference``: FP32's validation logits ``[n,C]``; ``measured``: this precision's largest difference from them.
    """
    if precision == REFERENCE:
        return FP32
    scale = float(np.abs(reference).max())
    logit = float(np.clip(2.0 * measured, LOGIT_SHARE[0] * scale, LOGIT_SHARE[1] * scale))
    return Tolerance(auc_loss=0.002, accuracy_loss=0.01, decisions_changed=0.02, logit=round(logit, 4))


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
    return [
        f"{figures.precision}: {name} {value:.4f}, allowed {limit:.4f} (n = {figures.n})"
        for name, value, limit in checks
        if not value <= limit + 1e-12
    ]


def _share(limit: float, n: int) -> float:
    """``limit``, or on a small set the share that chance alone reaches in 95 of 100 samples of ``n``."""
    return limit if n >= STRICT_FROM else max(limit, float(stats.binom.ppf(0.95, n, limit)) / n)
