"""Fréchet music distance: how far the embeddings of two sets of pieces are apart.

**Whose definition.** Retkowski, Stępniak & Modrzejewski, "Frechet Music Distance: A Metric For Generative Symbolic
Music Evaluation", 2024, after Heusel et al. 2017 (FID): a normal distribution is fitted to each set's embeddings, and
the distance is ‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁ C₂)^½).

**How ours differs.** The embedding is given by the caller (``embed``: a Score to a vector of shape (D,)), so distances
of different embeddings do not compare; name it beside the figure. The root of the product is taken through
C₁^½ C₂ C₁^½, which is symmetric, instead of a general matrix root, which returns complex numbers when sets are smaller
than D. Covariances divide by n − 1 as there.

**Direction.** With n pieces the estimate is too large, by about a constant / n; below n ≈ D much so. Compare sets of
one size only, and put the distance between two halves of the human set beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadenza.base.errors import RangeError
from cadenza.metrics.base import Column, Metric
from cadenza.score.model import Score


def compute(*, ref: Sequence[Score], est: Sequence[Score], embed: Callable[[Score], ArrayLike]) -> dict[str, float]:
    """The distance of two sets; left out where one has fewer than two pieces."""
    if len(ref) < 2 or len(est) < 2:
        return {}
    a, b = (np.stack([np.asarray(embed(score), np.float64) for score in scores]) for scores in (ref, est))
    return {"frechet_music_distance": distance(a, b)}


def distance(ref: NDArray[np.float64], est: NDArray[np.float64]) -> float:
    """The Fréchet distance between normal distributions fitted to two sets of vectors, shapes (n, D) and (m, D).

    Raises:
        RangeError: shapes do not fit, or a set has fewer than two vectors.
    """
    if ref.ndim != 2 or est.ndim != 2 or ref.shape[1] != est.shape[1] or min(len(ref), len(est)) < 2:
        raise RangeError("two sets of at least two vectors of one length", f"{ref.shape} and {est.shape}")
    return between_normals(ref.mean(0), np.cov(ref.T).reshape(ref.shape[1], -1),
                           est.mean(0), np.cov(est.T).reshape(est.shape[1], -1))  # fmt: skip


def between_normals(
    mean_ref: NDArray[np.float64], cov_ref: NDArray[np.float64],
    mean_est: NDArray[np.float64], cov_est: NDArray[np.float64],
) -> float:  # fmt: skip
    """The distance between two normal distributions (Dowson & Landau 1982); means (D,), covariances (D, D)."""
    values, vectors = np.linalg.eigh(cov_ref)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_est @ root).clip(min=0)).sum()
    found = ((mean_ref - mean_est) ** 2).sum() + np.trace(cov_ref) + np.trace(cov_est) - 2 * cross
    return max(float(found), 0.0)


METRIC = Metric(
    name="frechet",
    summary="Distance of two sets of pieces in an embedding.",
    source="Retkowski, Stępniak & Modrzejewski, Frechet Music Distance, 2024; Heusel et al. 2017",
    needs="set+embed",
    compute=compute,
    columns=(
        Column("frechet_music_distance", 0, float("inf"), "lower", "", "Squared distance of two fitted normals."),
    ),
)
