"""What a part's notes say of the instrument that plays it, in numbers.

Only onset, duration, pitch and velocity are looked at, and where the part stands among the other parts of the score:
no program, no name, no percussion flag, no strings, no techniques, no bends. Times are in seconds, so that neither
resolution nor notation matters; notes whose onsets follow each other within :data:`TOGETHER_SECONDS` count as struck
together, so that written and performed music give nearly the same figures.

What tells families apart, as orchestration books have it (Adler, *The Study of Orchestration*): compass and the lowest
note; how many notes at once and how far apart (a hand, two hands, six strings, a bow); steps and leaps of the line; how
long it goes on without room for a breath; which keys a drum kit uses, and that they are no scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cadenza.score.model import Score
from cadenza.score.time import ticks_to_seconds

TOGETHER_SECONDS = 0.03
BREATH_SECONDS = 0.12
MIN_SECONDS = 1e-3

Floats = NDArray[np.float64]
#: Keys that drum kits use most (General MIDI): kicks, snares, side stick, hats, crashes, rides, toms.
_KIT = np.isin(np.arange(128), [35, 36, 37, 38, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 55, 57, 59])
_CORE = np.isin(np.arange(128), [35, 36, 38, 42, 46, 49, 51])
_MAJOR = np.isin((np.arange(12)[None, :] - np.arange(12)[:, None]) % 12, [0, 2, 4, 5, 7, 9, 11])  # (12 tonics, 12)
#: Open strings: where a part touches its lowest notes, these are what an instrument has.
_OPEN = {
    "guitar": (40, 45, 50, 55, 59, 64),
    "bass": (28, 33, 38, 43),
    "violin": (55, 62, 69, 76),
    "cello": (36, 43, 50, 57),
}


@dataclass(frozen=True)
class Part:
    """The notes of one track as this module sees them, sorted by onset.

    Args:
        onset, duration: seconds, shape (n,).
        pitch, velocity: shape (n,).
    """

    onset: Floats
    duration: Floats
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.onset)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Row of the first note of each chord (a single note is a chord of one)."""
        return np.flatnonzero(np.diff(self.onset, prepend=-np.inf) > TOGETHER_SECONDS)

    @cached_property
    def own(self) -> dict[str, float]:
        """See :func:`own_features`."""
        return own_features(self)


def parts_of(score: Score) -> list[Part]:
    """The tracks of ``score``, in order; one without notes has a part of length 0."""
    out = []
    for track in score.tracks:
        notes = track.notes
        onset = ticks_to_seconds(score, notes["onset_ticks"])
        end = ticks_to_seconds(score, notes["onset_ticks"] + notes["duration_ticks"])
        duration = np.maximum(end - onset, MIN_SECONDS)
        out.append(Part(onset, duration, notes["pitch"].astype(np.int64), notes["velocity"].astype(np.int64)))
    return out


def features(parts: list[Part]) -> Floats:
    """Features of the parts that have notes; shape (parts with notes, :data:`N_FEATURES`), finite."""
    sounding = [part for part in parts if len(part)]
    rows = [
        [*part.own.values(), *_place(part, [other for other in sounding if other is not part]).values()]
        for part in sounding
    ]
    out = np.array(rows, np.float64).reshape(len(sounding), N_FEATURES)
    return np.clip(np.nan_to_num(out, nan=0.0, posinf=1e3, neginf=-1e3), -1e3, 1e3)


# ── a part for itself ────────────────────────────────────────────────────────────────────────────────────


def own_features(part: Part) -> dict[str, float]:
    """The part's own figures by name; ``part`` has at least one note."""
    return _pitches(part) | _lines(part) | _chords(part) | _times(part) | _loudness(part)


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _quantiles(values: NDArray[np.generic], *percents: int) -> Floats:
    """Values at these percents of the way through ``values`` in order, without interpolation."""
    places = (len(values) - 1) * np.array(percents) // 100
    return np.sort(values)[places].astype(np.float64)


def _pitches(part: Part) -> dict[str, float]:
    pitch, n = part.pitch, len(part)
    count = np.bincount(pitch, minlength=128)
    used = np.sort(count[count > 0])[::-1] / n
    by_class = np.bincount(pitch % 12, minlength=12) / n
    low, p10, p50, p90, high = _quantiles(pitch, 0, 10, 50, 90, 100)
    out = {
        "pitch_mean": _mean(pitch), "pitch_std": float(pitch.std()), "pitch_low": low, "pitch_p10": p10,
        "pitch_p50": p50, "pitch_p90": p90, "pitch_high": high, "pitch_range": high - low,
        "log_notes": float(np.log(n)), "log_pitches": float(np.log(len(used))), "pitches_per_note": len(used) / n,
        "pitch_entropy": float(-(used * np.log(used)).sum()), "top_pitch": float(used[0]),
        "top_three": float(used[:3].sum()), "used_of_range": len(used) / (high - low + 1),
        "in_scale": float((_MAJOR @ by_class).max()),
        "class_entropy": float(-(by_class * np.log(by_class + 1e-12)).sum()),
        "kit": _share(_KIT[pitch]), "kit_core": _share(_CORE[pitch]), "below_40": _share(pitch < 40),
        "below_52": _share(pitch < 52), "above_76": _share(pitch > 76), "above_88": _share(pitch > 88),
    }  # fmt: skip
    return out | {f"open_{name}": _share(np.isin(pitch, strings)) for name, strings in _OPEN.items()}


def _lines(part: Part) -> dict[str, float]:
    """Steps and leaps of the highest and of the lowest notes."""
    out: dict[str, float] = {}
    for name, line in (
        ("top", np.maximum.reduceat(part.pitch, part.starts)),
        ("low", np.minimum.reduceat(part.pitch, part.starts)),
    ):
        step = np.abs(np.diff(line))
        out |= {
            f"{name}_same": _share(step == 0), f"{name}_second": _share((step == 1) | (step == 2)),
            f"{name}_third": _share((step == 3) | (step == 4)), f"{name}_fourth": _share((step == 5) | (step == 7)),
            f"{name}_octave": _share(step == 12), f"{name}_far": _share(step > 12), f"{name}_step": _mean(step),
        }  # fmt: skip
        turn = np.diff(np.sign(np.diff(line)[step > 0])) if len(step) else step
        out[f"{name}_turns"] = _share(turn != 0)
    return out


def _chords(part: Part) -> dict[str, float]:
    order = np.lexsort([part.pitch, np.repeat(np.arange(len(part.starts)), np.diff([*part.starts, len(part)]))])
    pitch, size = part.pitch[order], np.diff([*part.starts, len(part)])
    many = size > 1
    first, last = part.starts[many], (part.starts + size - 1)[many]
    span = pitch[last] - pitch[first]
    inner = np.ones(len(part), bool)
    inner[part.starts] = False
    gap = np.diff(pitch, prepend=0)[inner]  # between neighbours of one chord
    bottom = pitch[first + 1] - pitch[first]
    # What still sounds when a chord is struck; the highest and lowest of it span what hands must hold.
    end = part.onset + part.duration
    at = part.onset[part.starts] + TOGETHER_SECONDS
    sounding = np.searchsorted(part.onset, at, "right") - np.searchsorted(np.sort(end), at, "right")
    held = sounding - size
    return {
        "chord_mean": _mean(size), "chord_1": _share(size == 1), "chord_2": _share(size == 2),
        "chord_3": _share(size == 3), "chord_4": _share(size == 4), "chord_5": _share((size == 5) | (size == 6)),
        "chord_7": _share(size > 6), "chord_max": float(min(size.max(), 20)), "span_mean": _mean(span),
        "span_max": float(span.max(initial=0)), "span_16": _share(span > 16), "span_24": _share(span > 24),
        "gap_mean": _mean(gap), "gap_0": _share(gap == 0), "gap_2": _share((gap > 0) & (gap < 3)),
        "gap_3": _share((gap == 3) | (gap == 4)), "gap_5": _share((gap == 5) | (gap == 7)),
        "gap_12": _share(gap == 12), "gap_far": _share(gap > 12), "bottom_5": _share(bottom == 5),
        "bottom_7": _share(bottom == 7), "bottom_12": _share(bottom == 12), "bottom_far": _share(bottom > 12),
        "sounding_mean": _mean(sounding), "sounding_p90": float(_quantiles(sounding, 90)[0]),
        "sounding_max": float(min(sounding.max(), 30)), "held": _share(held > 0), "held_2": _share(held > 1),
        "chord_sizes": len(np.unique(size)) / len(size),
    }  # fmt: skip


def _times(part: Part) -> dict[str, float]:
    at = part.onset[part.starts]
    step = np.diff(at)
    end = np.maximum.reduceat(part.onset + part.duration, part.starts)
    reach = np.maximum.accumulate(end)
    rest = at[1:] - reach[:-1]
    filled = np.minimum(part.duration[part.starts][:-1] / np.maximum(step, MIN_SECONDS), 8) if len(step) else step
    total = float(reach[-1] - at[0])
    breath = np.flatnonzero(rest > BREATH_SECONDS)
    edges = np.concatenate([at[:1], at[1:][breath]]), np.concatenate([reach[:-1][breath], reach[-1:]])
    phrase = edges[1] - edges[0]
    log_duration = np.log(part.duration)
    log_step = np.log(np.maximum(step, MIN_SECONDS)) if len(step) else np.zeros(1)
    quick = _quantiles(log_duration, 10, 50, 90)
    pace = _quantiles(log_step, 10, 50, 90)
    fill = _quantiles(filled, 10, 50, 90) if len(filled) else np.ones(3)
    return {
        "duration_p10": quick[0], "duration_p50": quick[1], "duration_p90": quick[2],
        "duration_std": float(log_duration.std()), "short": _share(part.duration < 0.1),
        "step_p10": pace[0], "step_p50": pace[1], "step_p90": pace[2], "step_std": float(log_step.std()),
        "fill_p10": fill[0], "fill_p50": fill[1], "fill_p90": fill[2], "fill_legato": _share(filled > 0.93),
        "fill_over": _share(filled > 1.1), "notes_per_second": len(part) / max(total, 0.1),
        "onsets_per_second": len(at) / max(total, 0.1), "silence": float(rest[rest > 0].sum()) / max(total, 0.1),
        "rests": _share(rest > BREATH_SECONDS), "phrase_mean": float(np.log(phrase.mean())),
        "phrase_max": float(np.log(phrase.max())), "phrase_p50": float(np.log(np.median(phrase))),
        "log_seconds": float(np.log(max(total, 0.1))),
    }  # fmt: skip


def _loudness(part: Part) -> dict[str, float]:
    velocity = part.velocity
    return {"velocity_std": float(velocity.std()), "velocities": len(np.unique(velocity)) / len(velocity)}


# ── a part among others ──────────────────────────────────────────────────────────────────────────────────


def _place(part: Part, others: list[Part]) -> dict[str, float]:
    """Where the part stands among ``others``; a part alone has the figures of one in the middle."""
    mean = part.own["pitch_mean"]
    means = np.array([other.own["pitch_mean"] for other in others])
    above, below = means[means > mean] - mean, mean - means[means <= mean]
    pace = np.array([other.own["onsets_per_second"] for other in others])
    chords = np.array([other.own["chord_mean"] for other in others])
    at = part.onset[part.starts]
    theirs = np.sort(np.concatenate([other.onset[other.starts] for other in others])) if others else np.zeros(0)
    near = np.searchsorted(theirs, at + TOGETHER_SECONDS, "right") - np.searchsorted(theirs, at - TOGETHER_SECONDS)
    return {
        "n_others": float(min(len(others), 12)), "rank": float((means < mean).mean()) if others else 0.5,
        "lowest": float(len(others) > 0 and not len(below)), "highest": float(len(others) > 0 and not len(above)),
        "to_above": float(above.min(initial=48)) if len(above) else 0.0,
        "to_below": float(below.min(initial=48)) if len(below) else 0.0,
        "to_mean": mean - _mean(means) if others else 0.0,
        "pace_to_others": float(np.log((part.own["onsets_per_second"] + 0.1) / (pace.mean() + 0.1))) if others else 0.0,
        "chords_to_others": part.own["chord_mean"] - _mean(chords) if others else 0.0,
        "others_chord": _mean(chords), "with_others": _share(near > 0), "with_how_many": _mean(near),
    }  # fmt: skip


_ONE = Part(np.zeros(1), np.ones(1), np.array([60]), np.array([80]))
OWN_NAMES = tuple(own_features(_ONE))
PLACE_NAMES = tuple(_place(_ONE, []))
NAMES = (*OWN_NAMES, *PLACE_NAMES)
N_FEATURES = len(NAMES)
