"""Out-of-distribution score: the squared Mahalanobis distance of the features to the nearest class mean.

Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018: class means, one shared
covariance; here with Ledoit–Wolf shrinkage, fitted on the host.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.bundle import Bundle
from runtime.errors import BundleError

FILE = "ood.npz"


@dataclass(frozen=True)
class OodModel:
    """``whitener`` W with ``W·Wᵀ`` = the shared precision, ``means`` already multiplied by it; float32."""

    means_white: npt.NDArray[np.float32]
    whitener: npt.NDArray[np.float32]
    threshold: float

    def score(self, features: npt.NDArray[np.float32]) -> float:
        """Features ``[F]`` → squared distance to the nearest class, per dimension (about 1 for known pictures)."""
        difference = self.means_white - features @ self.whitener
        return float(np.einsum("cf,cf->c", difference, difference).min() / features.shape[0])


def load_ood(bundle: Bundle) -> OodModel | None:
    """The bundle's model, or None where the manifest has none. Raises BundleError."""
    if bundle.manifest.ood is None:
        return None
    with np.load(io.BytesIO(bundle.read(FILE)), allow_pickle=False) as arrays:
        try:
            means, precision = arrays["means"].astype(np.float64), arrays["precision"].astype(np.float64)
            threshold = float(bundle.manifest.ood["threshold"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{FILE} or the manifest's ood is incomplete ({error})", "make the bundle anew"
            ) from error
    whitener = np.linalg.cholesky(precision)
    return OodModel((means @ whitener).astype(np.float32), whitener.astype(np.float32), threshold)
