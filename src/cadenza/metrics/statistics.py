"""What can be concluded from figures of a sample of pieces: intervals, paired tests, corrections, what was detectable.

A metric gives one number a piece; a claim is about music in general, so pieces are the units that are drawn again.
Everything here is plain NumPy, seeded, and compared with scipy.stats in its tests.

- :func:`bootstrap`: percentile and BCa intervals of any statistic (Efron 1987; Efron & Tibshirani 1993, ch. 13–14).
- :func:`sign_flip` and :func:`wilcoxon`: two systems on the same pieces. The first tests the mean of the differences,
  under the assumption that, were there no difference, each could as well have the other sign (Fisher 1935); the second
  their ranks (Wilcoxon 1945; zeros left out, midranks for ties).
- :func:`holm` (Holm 1979) bounds the probability of any false claim in a table; :func:`benjamini_hochberg` (1995) the
  share of false claims among those that are made.
- :func:`standardised` (Cohen's d of paired differences, d_z) and :func:`cliffs_delta` (Cliff 1993) say how much.
- :func:`detectable`: the smallest mean difference that as many pieces would have shown, with a given probability.
- :func:`binomial_test` and :func:`binomial_interval` (Clopper & Pearson 1934): counts of right answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadenza.base.errors import ConfigError, RangeError, did_you_mean

Floats = NDArray[np.float64]
Statistic = Callable[..., Any]
METHODS = ("percentile", "bca")
ALTERNATIVES = ("two-sided", "greater", "less")
EXACT_SIGNS = 14  # up to so many differences all sign patterns are counted (16,384)
EXACT_RANKS = 50  # up to so many untied differences the ranks' distribution is exact, as in scipy
_BLOCK = 1 << 22  # numbers resampled at once
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A figure and how far it can be trusted: ``low`` and ``high`` bound it at the level that was asked for."""

    value: float
    low: float
    high: float

    def record(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean(values: Floats, axis: int = -1) -> Any:
    """The mean; a statistic for :func:`bootstrap`."""
    return values.mean(axis=axis)


def ratio(numerator: Floats, denominator: Floats, axis: int = -1) -> Any:
    """Sum over sum (bits over notes, a rate over the corpus's rate); a statistic of two columns."""
    below = denominator.sum(axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below != 0, numerator.sum(axis=axis) / below, np.nan)


def bootstrap(
    *columns: ArrayLike,
    statistic: Statistic = mean,
    n_resamples: int = 10_000,
    level: float = 0.95,
    method: str = "bca",
    seed: int = 0,
) -> Interval:
    """The interval of ``statistic`` by drawing pieces anew.

    Args:
        columns: each of shape (n,), one value a piece; all are drawn together, so that they stay paired.
        statistic: called as ``statistic(*columns, axis=-1)`` on arrays of shape (n,) and (m, n).
        level: of confidence, between 0 and 1.
        method: "bca" corrects the percentiles for bias and skewness; where the statistic does not vary from piece to
            piece it is undefined, and the percentiles stand.

    Returns:
        The statistic with its bounds; of one piece, or of none that is finite, bounds that are nan.

    Raises:
        RangeError: no pieces, or columns of different lengths.
        ConfigError: an unknown method or level.
    """
    if method not in METHODS:
        raise ConfigError("a bootstrap of a known method", repr(method), hint=did_you_mean(method, METHODS))
    if not 0 < level < 1 or n_resamples < 1:
        raise ConfigError("a level within 0–1 and at least one resample", f"{level}, {n_resamples}")
    data = [np.asarray(column, np.float64) for column in columns]
    n_pieces = len(data[0]) if data else 0
    if not n_pieces or any(column.shape != (n_pieces,) for column in data):
        raise RangeError("columns of one length, one value a piece", str([column.shape for column in data]))
    value = float(statistic(*data, axis=-1))
    if n_pieces == 1:
        return Interval(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = np.empty(n_resamples)
    rows = max(1, _BLOCK // n_pieces)
    for start in range(0, n_resamples, rows):
        index = rng.integers(0, n_pieces, (min(rows, n_resamples - start), n_pieces))
        drawn[start : start + rows] = statistic(*(column[index] for column in data), axis=-1)
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(value, math.nan, math.nan)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _corrected(tails, value, finite, data, statistic)
    low, high = np.quantile(finite, tails)
    return Interval(value, float(low), float(high))


def _corrected(tails: Floats, value: float, drawn: Floats, data: Sequence[Floats], statistic: Statistic) -> Floats:
    """The percentiles of BCa: Efron & Tibshirani 1993, eq. 14.9–14.15, ties counted by half."""
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    if not 0 < below < 1:
        return tails
    n_pieces = len(data[0])
    left_out = np.broadcast_to(np.arange(n_pieces), (n_pieces, n_pieces))[~np.eye(n_pieces, dtype=bool)]
    index = left_out.reshape(n_pieces, n_pieces - 1)
    jackknife = np.asarray(statistic(*(column[index] for column in data), axis=-1))
    away = jackknife.mean() - jackknife
    spread = float((away**2).sum())
    if not np.isfinite(spread) or spread <= 0:
        return tails
    skew = float((away**3).sum()) / (6 * spread**1.5)
    bias = _NORMAL.inv_cdf(below)
    shifted = [bias + _NORMAL.inv_cdf(float(tail)) for tail in tails]
    return np.array([_NORMAL.cdf(bias + z / (1 - skew * z)) for z in shifted])


def sign_flip(differences: ArrayLike, *, n_resamples: int = 20_000, seed: int = 0) -> Any:
    """Two-sided p of "the mean difference is 0", by flipping signs.

    Up to :data:`EXACT_SIGNS` differences every pattern is counted; beyond, a random sample with the one observed, so
    that p is never 0 (Phipson & Smyth 2010).

    Args:
        differences: shape (n,), system minus system on the same pieces; or (n, k), several figures of the same pieces,
            whose signs are then flipped together. A 0 has no sign: it may stand for a figure that a piece lacks.

    Returns:
        p, or of shape (k,).
    """
    values = np.asarray(differences, np.float64)
    single = values.ndim == 1
    values = values[:, None] if single else values
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise RangeError("finite numbers, one row a piece", f"shape {values.shape}")
    n = len(values)
    # Patterns that differ by rounding only are as extreme as the observed one.
    bar = np.abs(values.sum(0)) - 1e-12 * np.maximum(1.0, np.abs(values).sum(0))
    if n <= EXACT_SIGNS:
        bits = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
        p = np.mean(np.abs((1 - 2.0 * bits) @ values) >= bar, axis=0)
    else:
        rng = np.random.default_rng(seed)
        extreme, rows = np.zeros(values.shape[1]), max(1, _BLOCK // n)
        for start in range(0, n_resamples, rows):
            signs = rng.integers(0, 2, (min(rows, n_resamples - start), n), np.int8)
            extreme += np.count_nonzero(np.abs((1 - 2.0 * signs) @ values) >= bar, axis=0)
        p = (extreme + 1) / (n_resamples + 1)
    return float(p[0]) if single else p


def wilcoxon(differences: ArrayLike) -> float:
    """Two-sided p of the signed-rank test; 1 where no difference is left after the zeros.

    Exact up to :data:`EXACT_RANKS` differences without ties or zeros, else by the normal approximation with the
    correction for ties and without one for continuity, as ``scipy.stats.wilcoxon`` has it.
    """
    values = _finite(differences)
    nonzero = values[values != 0]
    n = len(nonzero)
    if not n:
        return 1.0
    size = np.abs(nonzero)
    different, place, count = np.unique(size, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = float(ranks[nonzero > 0].sum())
    if n <= EXACT_RANKS and len(different) == n == len(values):
        ways = np.zeros(n * (n + 1) // 2 + 1)
        ways[0] = 1
        for rank in range(1, n + 1):
            ways[rank:] = ways[rank:] + ways[:-rank]
        least = int(min(positive, n * (n + 1) / 2 - positive))
        return float(min(1.0, 2 * ways[: least + 1].sum() / 2.0**n))
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((count.astype(float) ** 3 - count).sum()) / 48
    return _two_sided(abs(positive - n * (n + 1) / 4) / math.sqrt(variance))


def holm(p_values: ArrayLike) -> Floats:
    """p values adjusted so that their smallest bounds the probability of any false claim; shape (m,)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _placed(np.minimum(adjusted, 1), order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """p values adjusted so that claims at q hold a share of at most q false ones in the mean; shape (m,)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1]
    return _placed(np.minimum(adjusted, 1), order)


def standardised(differences: ArrayLike) -> float:
    """Mean of the paired differences in their own standard deviations (d_z); 0 where all are 0."""
    values = _finite(differences)
    centre = float(values.mean())
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if spread <= 1e-12 * abs(centre) or spread == 0:
        return 0.0 if centre == 0 else math.copysign(math.inf, centre)
    return centre / spread


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> float:
    """P(a > b) − P(a < b) over all pairs of two samples: −1 … 1, 0 where neither tends to be larger."""
    first, second = _finite(a), np.sort(_finite(b))
    above = np.searchsorted(second, first, side="left").sum()
    not_below = np.searchsorted(second, first, side="right").sum()
    below = len(first) * len(second) - not_below
    return float(above - below) / (len(first) * len(second))


def detectable(differences: ArrayLike, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest mean difference that a two-sided paired test at ``alpha`` finds with probability ``power``.

    (z₁₋α⸝₂ + z_power) · sd / √n, with the standard deviation of the differences at hand: what the number of pieces can
    show, whatever it did show. Below about 20 pieces the normal quantiles say somewhat too little.
    """
    values = _finite(differences)
    if len(values) < 2:
        return math.inf
    return _quantiles(power, alpha) * float(values.std(ddof=1)) / math.sqrt(len(values))


def pieces_needed(differences: ArrayLike, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many pieces :func:`detectable` would need for ``difference``, with the spread at hand."""
    if difference == 0:
        raise RangeError("a difference other than 0", "0")
    spread = float(_finite(differences).std(ddof=1))
    return max(2, math.ceil((_quantiles(power, alpha) * spread / difference) ** 2))


def _quantiles(power: float, alpha: float) -> float:
    return _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)


def binomial_test(n_right: int, n: int, p: float = 0.5, alternative: str = "two-sided") -> float:
    """Exact p of ``n_right`` of ``n`` under chance ``p``.

    Two-sided: the probability of all counts that are at most as likely as the one observed, as
    ``scipy.stats.binomtest`` has it.

    Raises:
        RangeError: counts or chance out of range.
        ConfigError: an unknown alternative.
    """
    if alternative not in ALTERNATIVES:
        raise ConfigError("a known alternative", repr(alternative), hint=did_you_mean(alternative, ALTERNATIVES))
    if not (0 <= n_right <= n and 0 < p < 1):
        raise RangeError("0 ≤ right ≤ all and a chance within 0–1", f"{n_right} of {n}, {p}")
    chance = _binomial(n, p)
    if alternative == "greater":
        return float(min(1.0, chance[n_right:].sum()))
    if alternative == "less":
        return float(min(1.0, chance[: n_right + 1].sum()))
    return float(min(1.0, chance[chance <= chance[n_right] * (1 + 1e-7)].sum()))


def binomial_interval(n_right: int, n: int, level: float = 0.95) -> Interval:
    """The share of right answers with its exact interval (Clopper & Pearson 1934), by halving.

    Raises:
        RangeError: counts out of range, or none.
    """
    if not 0 <= n_right <= n or n < 1:
        raise RangeError("0 ≤ right ≤ all, at least one", f"{n_right} of {n}")
    tail = (1 - level) / 2
    low = 0.0 if n_right == 0 else _halved(lambda p: binomial_test(n_right, n, p, "greater") - tail)
    high = 1.0 if n_right == n else _halved(lambda p: tail - binomial_test(n_right, n, p, "less"))
    return Interval(n_right / n, low, high)


def _binomial(n: int, p: float) -> Floats:
    """The probability of 0 … n, shape (n + 1,)."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    return np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(p) + (n - k) * math.log1p(-p))


def _halved(rising: Callable[[float], float]) -> float:
    """Where a rising function of 0–1 is 0."""
    low, high = 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))


def _placed(values: Floats, order: NDArray[np.intp]) -> Floats:
    out = np.empty_like(values)
    out[order] = values
    return out


def _finite(values: ArrayLike) -> Floats:
    out = np.asarray(values, np.float64)
    if out.ndim != 1 or not len(out) or not np.isfinite(out).all():
        raise RangeError("finite numbers, one a piece", f"shape {out.shape}")
    return out
