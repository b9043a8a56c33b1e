"""Two sets of pieces as distributions: nine features, how far pieces differ within and between sets (MGEval).

**Whose definition.** Yang & Lerch, "On the Evaluation of Generative Models in Music", Neural Computing and Applications
2020 (their code: mgeval). Each piece has nine features (:data:`FEATURES`). For each feature the distances between all
pairs of human pieces (intra, ``ref``) and between all human and judged pieces (inter) are smoothed to densities;
``overlap_…`` is the area under both, ``kl_…`` the divergence KL(intra ∥ inter) in nats. A judged set like the human one
has overlap near 1 and KL near 0. ``mean_overlap`` and ``mean_kl`` are means over the features. ``spread_…`` is the
mean distance within the judged set / that within the human set: below 1 a model's pieces are more alike than human
ones.

**Known faults of the reference code, and what is done here.**

- Its ``kl_dist`` evaluates each density on a grid of its own (the range of its own sample), so it compares shapes and
  not places: 0.03 for N(0,1) against N(5,1), where 12.5 is true. Here both are evaluated on one grid that covers both
  samples by three bandwidths. Ours is larger where sets differ.
- Its ``overlap_area`` integrates with ``scipy.integrate.quad`` over densities that return arrays, which current SciPy
  refuses. Here it is a sum over the same grid.
- In equal sets each piece meets itself at distance 0, which no intra-set distance does, and there are twice as many
  inter-set distances, which narrows their kernels. Here pairs of equal pieces are left out of the inter-set distances,
  and both densities take the kernels of the smaller sample, so a set compared with itself has overlap 1.

**Other differences.** Features of the reference are those of one melody read by pretty_midi with times in seconds; here
successions are within tracks (chords from the lowest note up), times in quarter notes, drums left out, all parts of one
piece put together. Bandwidths are Scott's, as those of SciPy's ``gaussian_kde``; densities are computed from 2,048
linear bins (equal to SciPy's to 1 % of the peak, tested), and never taken as less than 1e-12 of their peak, which
bounds KL. A feature that is constant in a set has a density of one grid step.

**Direction and use.** Counts of pitches and notes grow with length: compare pieces of equal length. Two halves of one
human corpus do not overlap wholly; put that figure beside. At least 30 pieces a set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import notes_of
from cadenza.score.model import Score

N_GRID = 2048
FLOOR = 1e-12  # of a density's peak
FEATURES = (
    "pitch_count", "pitch_class_histogram", "pitch_class_transitions", "pitch_range", "interval", "note_count",
    "onset_interval", "note_length_histogram", "note_length_transitions",
)  # fmt: skip
#: Lengths in quarters: whole, half, quarter, 8th, 16th; dotted half … 16th; triplet half, quarter, 8th.
LENGTHS = np.array([4, 2, 1, 0.5, 0.25, 3, 1.5, 0.75, 0.375, 4 / 3, 2 / 3, 1 / 3])


def features(score: Score) -> dict[str, NDArray[np.float64]]:
    """The nine features of one piece, each a vector; empty where the piece has no pitched notes.

    Histograms and transition matrices sum to 1 (transitions: all zero where nothing follows anything).
    """
    notes = notes_of(score).pitched.in_lines()
    if not len(notes):
        return {}
    follows = np.diff(notes.track) == 0
    pitch_class = notes.pitch % 12
    length = np.abs(notes.duration[:, None] - LENGTHS).argmin(1)
    steps = np.abs(np.diff(notes.pitch))[follows]
    gaps = np.diff(notes.onset)[follows]
    return {
        "pitch_count": np.array([float(len(np.unique(notes.pitch)))]),
        "pitch_class_histogram": _shares(pitch_class, 12),
        "pitch_class_transitions": _shares((pitch_class[:-1] * 12 + pitch_class[1:])[follows], 144),
        "pitch_range": np.array([float(np.ptp(notes.pitch))]),
        "interval": np.array([float(steps.mean()) if len(steps) else 0.0]),
        "note_count": np.array([float(len(notes))]),
        "onset_interval": np.array([float(gaps.mean()) if len(gaps) else 0.0]),
        "note_length_histogram": _shares(length, len(LENGTHS)),
        "note_length_transitions": _shares((length[:-1] * len(LENGTHS) + length[1:])[follows], len(LENGTHS) ** 2),
    }


def _shares(values: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    counts = np.bincount(values, minlength=n).astype(float)
    return counts / counts.sum() if counts.any() else counts


def compute(*, ref: Sequence[Score], est: Sequence[Score]) -> dict[str, float]:
    """The columns of two sets; pieces without pitched notes are left out, sets of fewer than two have none."""
    humans = [score for score in ref if any(len(t) and not t.is_drums for t in score.tracks)]
    judged = [score for score in est if any(len(t) and not t.is_drums for t in score.tracks)]
    if len(humans) < 2 or len(judged) < 2:
        return {}
    same = np.array([hash(score) for score in humans])[:, None] == np.array([hash(score) for score in judged])
    return from_features([features(s) for s in humans], [features(s) for s in judged], same)


def from_features(
    ref: Sequence[dict[str, NDArray[np.float64]]],
    est: Sequence[dict[str, NDArray[np.float64]]],
    same: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """The columns from features as :func:`features` gives them (for bootstraps, which draw pieces again and again).

    Args:
        same: whether a ref and an est are one piece, shape (n, m); those pairs do not count.
    """
    values: dict[str, float | None] = {}
    overlaps, divergences = [], []
    for name in FEATURES:
        a, b = (np.stack([piece[name] for piece in pieces]) for pieces in (ref, est))
        within, within_est = (distances(x, x)[np.triu_indices(len(x), 1)] for x in (a, b))
        between = distances(a, b)
        between = between.ravel() if same is None else between[~same]
        values[f"spread_{name}"] = float(within_est.mean() / within.mean()) if within.mean() > 0 else None
        if not len(between):
            continue
        grid = common_grid(within, between)
        n = min(len(within), len(between))
        p, q = density(within, grid, n), density(between, grid, n)
        overlaps.append(overlap_area(p, q, grid))
        divergences.append(kl_divergence(p, q, grid))
        values |= {f"overlap_{name}": overlaps[-1], f"kl_{name}": divergences[-1]}
    if overlaps:
        values |= {"mean_overlap": float(np.mean(overlaps)), "mean_kl": float(np.mean(divergences))}
    return defined(values)


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances, shapes (n, d) and (m, d) → (n, m)."""
    if a.shape[1] == 1:
        return np.abs(a - b.T)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(squares.clip(min=0) * (squares > 1e-14))  # type: ignore[no-any-return]


def bandwidth(sample: NDArray[np.float64], n: int | None = None) -> float:
    """Scott's: standard deviation · n^(−1/5), n the sample's size unless another is given."""
    return float(sample.std(ddof=1)) * (n or len(sample)) ** -0.2 if len(sample) > 1 else 0.0


def common_grid(*samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenly spaced places that cover every sample by three of the larger bandwidth; shape (N_GRID,)."""
    margin = 3 * max(bandwidth(sample) for sample in samples)
    low, high = (float(f([f(sample) for sample in samples])) for f in (np.min, np.max))  # type: ignore[operator]
    margin = max(margin, 1e-6 * max(abs(low), abs(high), 1.0))
    return np.linspace(low - margin, high + margin, N_GRID)


def density(sample: NDArray[np.float64], grid: NDArray[np.float64], n: int | None = None) -> NDArray[np.float64]:
    """A Gaussian kernel density on an even grid, from linearly binned data; shape (len(grid),), of area 1.

    The bandwidth is Scott's (for a sample of ``n``), at least one grid step.
    """
    step = float(grid[1] - grid[0])
    at = (sample - grid[0]) / step
    low = np.floor(at).astype(np.int64).clip(0, len(grid) - 2)
    part = at - low
    binned = np.bincount(low, 1 - part, len(grid)) + np.bincount(low + 1, part, len(grid))
    width = max(bandwidth(sample, n), step)
    reach = min(int(np.ceil(9 * width / step)), len(grid) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = np.convolve(binned, kernel)[reach : reach + len(grid)]
    return smooth / (smooth.sum() * step)  # type: ignore[no-any-return]


def overlap_area(p: NDArray[np.float64], q: NDArray[np.float64], grid: NDArray[np.float64]) -> float:
    """∫ min(p, q) of two densities on one even grid."""
    return min(float(np.minimum(p, q).sum() * (grid[1] - grid[0])), 1.0)


def kl_divergence(p: NDArray[np.float64], q: NDArray[np.float64], grid: NDArray[np.float64]) -> float:
    """∫ p ln(p / q) of two densities on one even grid, in nats; q is never taken as less than FLOOR of its peak.

    Densities that are 0 nowhere on the grid (analytic ones) are taken as they are.
    """
    if (q <= 0).any():
        q = np.maximum(q, FLOOR * q.max())
    inside = p > 0
    step = float(grid[1] - grid[0])
    return max(float((p[inside] * np.log(p[inside] / q[inside])).sum() * step), 0.0)


_WHAT = {name: name.replace("_", " ") for name in FEATURES}
METRIC = Metric(
    name="distribution",
    summary="Nine features of two sets of pieces: overlap and divergence of distances within and between sets.",
    source="Yang & Lerch, On the Evaluation of Generative Models in Music, 2020",
    needs="set",
    compute=compute,
    columns=(
        Column("mean_overlap", 0, 1, "higher", "share", "Mean of the nine overlaps."),
        Column("mean_kl", 0, float("inf"), "lower", "nats", "Mean of the nine divergences."),
        *(Column(f"overlap_{n}", 0, 1, "higher", "share", f"Overlap of distances of {_WHAT[n]}.") for n in FEATURES),
        *(
            Column(f"kl_{n}", 0, float("inf"), "lower", "nats", f"Divergence of distances of {_WHAT[n]}.")
            for n in FEATURES
        ),
        *(
            Column(
                f"spread_{n}", 0, float("inf"), "reference", "ratio", f"Variety of {_WHAT[n]} / that of human pieces."
            )
            for n in FEATURES
        ),
    ),
)
