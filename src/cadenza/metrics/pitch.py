"""Which pitches, how many at once, and how a line moves: features of one piece.

**Whose definitions.** ``pitches_used``, ``pitch_classes_used``, ``pitch_range``, ``pitch_entropy``,
``pitch_class_entropy``, ``scale_consistency``, ``polyphony`` and ``polyphony_rate`` are MusPy's (Dong, Chen, McAuley &
Berg-Kirkpatrick, "MusPy: A Toolkit for Symbolic Music Generation", ISMIR 2020), which took them from MuseGAN (Dong et
al. 2018), C-RNN-GAN (Mogren 2016) and the Jazz Transformer (Wu & Yang 2020). Drums never count.

**How ours differs from MusPy 0.5.0.**

- ``pitch_range`` of a piece of drums alone is −127 there (lowest and highest start at 127 and 0); here it is left out.
- ``polyphony_rate`` counts moments of *more than* two pitches there, though it says "multiple": chords of two do not
  count. Here two are several, so ours is at least as high.
- Time is exact here: no piano roll of time steps, so resolution changes nothing. On a roll the figures are the same.

All others agree to rounding (tests/rooms/metrics/test_muspy.py, on 200 pieces).

**Ours.** MusPy's features look at all notes at once; what a single part does is invisible to them. ``track_polyphony``
is the polyphony of each track, averaged by its sounding time; ``melodic_interval`` the mean size of steps between
successive onsets of one track (its highest notes), ``leap_rate`` the share of those beyond an octave. Wrong octaves and
merged tracks show there (docs/damage.md).

None of them says that music is good: the best value is that of human music of the same kind. Longer pieces have more
pitches; compare equal lengths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import Notes, entropy_bits, notes_of
from cadenza.score.model import Score

LEAP_SEMITONES = 12
_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], bool)
_MINOR = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], bool)
_SCALES = np.array([np.roll(scale, root) for scale in (_MAJOR, _MINOR) for root in range(12)])


def compute(*, est: Score) -> dict[str, float]:
    """The columns of one piece; see the module's prose."""
    notes = notes_of(est).pitched
    if not len(notes):
        return {}
    pitches = np.bincount(notes.pitch, minlength=128)
    classes = np.bincount(notes.pitch % 12, minlength=12)
    spans, counts = sounding_together(notes)
    sounding = float(spans[counts > 0].sum())
    steps = line_steps(notes)
    sizes = np.abs(steps)
    return defined(
        {
            "pitches_used": float((pitches > 0).sum()),
            "pitch_classes_used": float((classes > 0).sum()),
            "pitch_range": float(notes.pitch.max() - notes.pitch.min()),
            "pitch_entropy": entropy_bits(pitches),
            "pitch_class_entropy": entropy_bits(classes),
            "scale_consistency": float((_SCALES @ classes).max() / classes.sum()),
            "polyphony": float(spans @ counts) / sounding if sounding else None,
            "polyphony_rate": float(spans[counts >= 2].sum()) / _length(est) if sounding else None,
            "track_polyphony": _track_polyphony(notes) if sounding else None,
            "melodic_interval": float(sizes.mean()) if len(sizes) else None,
            "leap_rate": float((sizes > LEAP_SEMITONES).mean()) if len(sizes) else None,
        }
    )


def _length(score: Score) -> float:
    """Quarters from the beginning to the end of the last note, drums too."""
    return max(track.end_ticks for track in score.tracks) / score.ticks_per_quarter


def sounding_together(notes: Notes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Stretches of time and how many different pitches sound in each, in order; both of shape (k,).

    A pitch that two notes sound at once counts once. Stretches without notes before the first note are left out.
    """
    order = np.lexsort([notes.onset, notes.pitch])
    onset, end, pitch = notes.onset[order], notes.end[order], notes.pitch[order]
    # Within a pitch, a note begins a new stretch where it begins after the end of all before it. An offset for each
    # pitch, larger than the piece, keeps pitches apart in one running maximum.
    shift = pitch * (end.max() + 1.0)
    reach = np.maximum.accumulate(end + shift)
    fresh = np.append(True, (onset + shift)[1:] > reach[:-1])
    first = np.flatnonzero(fresh)
    starts = onset[first]
    ends = (reach - shift)[np.append(first[1:], len(onset)) - 1]
    times = np.concatenate([starts, ends])
    change = np.concatenate([np.ones(len(starts), np.int64), -np.ones(len(ends), np.int64)])
    order = np.argsort(times, kind="stable")
    times, change = times[order], change[order]
    return np.diff(times), np.cumsum(change)[:-1]


def _track_polyphony(notes: Notes) -> float | None:
    total = sounding = 0.0
    for track in np.unique(notes.track):
        spans, counts = sounding_together(notes.where(notes.track == track))
        total += float(spans @ counts)
        sounding += float(spans[counts > 0].sum())
    return total / sounding if sounding else None


def line_steps(notes: Notes) -> NDArray[np.int64]:
    """Semitones from each onset's highest note to the next one's, within each track; all tracks, shape (k,)."""
    lines = notes.in_lines()
    last = np.append((np.diff(lines.track) != 0) | (np.diff(lines.onset) > 0), True)  # the highest of its onset
    track, pitch = lines.track[last], lines.pitch[last]
    return np.diff(pitch)[np.diff(track) == 0]


_UP = float("inf")
METRIC = Metric(
    name="pitch",
    summary="Pitches used, their entropy, scale, polyphony, and the steps of lines.",
    source="Dong, Chen, McAuley & Berg-Kirkpatrick, MusPy, ISMIR 2020; the last three are ours",
    needs="est",
    compute=compute,
    columns=(
        Column("pitches_used", 0, 128, "reference", "pitches", "Different pitches."),
        Column("pitch_classes_used", 0, 12, "reference", "pitch classes", "Different pitch classes."),
        Column("pitch_range", 0, 127, "reference", "semitones", "Highest minus lowest pitch."),
        Column("pitch_entropy", 0, 7, "reference", "bits", "Entropy of the pitches of notes."),
        Column("pitch_class_entropy", 0, float(np.log2(12)), "reference", "bits", "Entropy of their pitch classes."),
        Column("scale_consistency", 0, 1, "reference", "share", "Notes in the major or minor scale that holds most."),
        Column("polyphony", 1, 128, "reference", "pitches", "Mean number of pitches at once, where any sounds."),
        Column("polyphony_rate", 0, 1, "reference", "share", "Of the time, two pitches or more sound."),
        Column("track_polyphony", 1, 128, "reference", "pitches", "Polyphony within a track, by sounding time."),
        Column("melodic_interval", 0, 127, "reference", "semitones", "Mean step of a track's highest notes."),
        Column("leap_rate", 0, 1, "reference", "share", "Of these steps, those beyond an octave."),
    ),
)
