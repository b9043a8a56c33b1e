"""Whether a continuation belongs to its beginning: against the given bars, and against what really follows.

**Definitions** (ours; overlaps as histogram intersections, Swain & Ballard 1991).

- ``pitch_class_overlap_seed``, ``_ref``: Σ min of the two distributions of pitch classes, weighed by sounding time;
  1 = the same distribution. ``rhythm_overlap_…``: the same for onsets by place in the bar and time to the next onset of
  the track, both at 24 places a quarter, drums too.
- ``key_kept``: 1 where the best key (Krumhansl's profiles, :mod:`cadenza.score.key_finding`) of the continuation has
  the seed's signature or one fifth beside it, and ``key_distance`` the number of fifths between the signatures (0–6): a
  related key is no error, so the distance is counted in fifths and major and relative minor are one.
- ``tempo_kept``: the slower of the mean tempos / the faster.
- ``density_ratio``: notes a quarter, the smaller of both / the larger.

**Contract.** ``est`` and ``ref`` hold only what comes after the seed, from tick 0 on, with the same bars as the piece
would have there (``cadenza.score.edit.select_bars``). Without ``ref`` its columns are left out. The overlap with the
truth of human music itself is 1 by definition; that of human music with its own seed (``seed=…, est=ref``) is what a
model's overlap with the seed is to be held against.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import notes_of, on_grid, sounding_bars
from cadenza.score.key_finding import find_key, pitch_class_weights, signature_of
from cadenza.score.model import Score
from cadenza.score.time import ticks_to_seconds

RELATED_FIFTHS = 1


def compute(*, seed: Score, est: Score, ref: Score | None = None) -> dict[str, float]:
    """The columns of one continuation; see the module's prose."""
    values: dict[str, float | None] = {}
    for name, other in (("seed", seed), ("ref", ref)):
        if other is None:
            continue
        values[f"pitch_class_overlap_{name}"] = overlap(pitch_class_weights(other), pitch_class_weights(est))
        values[f"rhythm_overlap_{name}"] = _rhythm_overlap(other, est)
    distance = key_distance(seed, est)
    if distance is not None:
        values |= {"key_distance": float(distance), "key_kept": float(distance <= RELATED_FIFTHS)}
    values["tempo_kept"] = _ratio(_tempo(seed), _tempo(est))
    values["density_ratio"] = _ratio(_density(seed), _density(est))
    return defined(values)


def overlap(ref: NDArray[np.float64], est: NDArray[np.float64]) -> float | None:
    """Σ min of two sets of weights, each brought to a sum of 1; None where one has none."""
    if ref.sum() <= 0 or est.sum() <= 0:
        return None
    return float(np.minimum(ref / ref.sum(), est / est.sum()).sum())


def rhythm_words(score: Score) -> NDArray[np.int64]:
    """One number for each onset of each track: its place in the bar and the time to the track's next onset."""
    notes = notes_of(score).in_lines()
    first = np.ones(len(notes), bool)
    first[1:] = (np.diff(notes.onset) > 0) | (np.diff(notes.track) != 0)
    onset, track = notes.onset[first], notes.track[first]
    bars = sounding_bars(score)
    bar = bars.index_of(np.rint(onset * score.ticks_per_quarter))
    place = on_grid(onset - bars.starts_ticks[bar] / score.ticks_per_quarter)
    gap = np.append(np.diff(onset), 0.0)
    last = np.append(np.diff(track) != 0, True) if len(track) else np.zeros(0, bool)
    return place * 10_000 + np.where(last, 0, on_grid(gap).clip(0, 9_999))


def _rhythm_overlap(ref: Score, est: Score) -> float | None:
    a, b = rhythm_words(ref), rhythm_words(est)
    kinds, number = np.unique(np.concatenate([a, b]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(kinds)).astype(float) for part in (number[: len(a)], number[len(a) :])]
    return overlap(counts[0], counts[1])


def key_distance(ref: Score, est: Score) -> int | None:
    """Fifths between the signatures of the best keys, 0–6; None where nothing pitched sounds."""
    keys = find_key(ref), find_key(est)
    if keys[0] is None or keys[1] is None:
        return None
    apart = abs(signature_of(keys[0]) - signature_of(keys[1])) % 12
    return min(apart, 12 - apart)


def _tempo(score: Score) -> float:
    """Mean quarters a minute."""
    seconds = float(ticks_to_seconds(score, max(score.length_ticks, 1)))
    return 60 * max(score.length_ticks, 1) / score.ticks_per_quarter / seconds


def _density(score: Score) -> float:
    return score.n_notes * score.ticks_per_quarter / score.length_ticks if score.length_ticks else 0.0


def _ratio(a: float, b: float) -> float | None:
    return min(a, b) / max(a, b) if max(a, b) > 0 else None


METRIC = Metric(
    name="continuation",
    summary="What a continuation keeps of its seed, and shares with the true one.",
    source="ours; key profiles of Krumhansl & Kessler 1982",
    needs="seed+ref+est",
    compute=compute,
    columns=(
        Column("pitch_class_overlap_seed", 0, 1, "reference", "share", "Pitch classes shared with the seed."),
        Column("rhythm_overlap_seed", 0, 1, "reference", "share", "Onsets in the bar shared with the seed."),
        Column("pitch_class_overlap_ref", 0, 1, "higher", "share", "Pitch classes shared with the true continuation."),
        Column("rhythm_overlap_ref", 0, 1, "higher", "share", "Onsets in the bar shared with the true continuation."),
        Column("key_distance", 0, 6, "reference", "fifths", "Between the signatures of seed and continuation."),
        Column("key_kept", 0, 1, "reference", "share", "Whether that is at most one fifth."),
        Column("tempo_kept", 0, 1, "reference", "ratio", "Slower mean tempo / faster one."),
        Column("density_ratio", 0, 1, "reference", "ratio", "Sparser notes a quarter / denser ones."),
    ),
)
