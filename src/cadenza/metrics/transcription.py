"""Transcription: which notes of the truth were found, in seconds, by mir_eval.

**Whose definitions.** mir_eval 0.8 (Raffel et al., "mir_eval: A Transparent Implementation of Common MIR Metrics",
ISMIR 2014) itself matches the notes; nothing of that is rewritten. A note is found if its onset is within 50 ms and its
pitch within a quarter tone; with offsets, also if its end is within 50 ms or a fifth of the true note's length,
whichever is more. F1 is the harmonic mean of precision and recall.

- ``onset_f1`` (with ``onset_precision``, ``onset_recall``), ``onset_offset_f1``: all pitched notes, instruments aside.
- ``frame_f1``: every 10 ms, the sounding pitches of both sides are compared (mir_eval.multipitch's precision and recall
  on one time base; computed here by counting, since mir_eval goes frame by frame, and tested to be equal).
- ``drum_f1``: hits of the same key within 50 ms.
- ``multi_instrument_f1``: as MT3 (Gardner et al., ICLR 2022): a note must also have the right instrument (General MIDI
  program), drums need no offset; found notes are summed over instruments before F1 is taken.

**Differences.** mir_eval refuses notes without length; here each lasts at least 1 ms. It gives 0 where either side is
empty; here a figure with both sides empty is left out, and with one empty it is 0. Pitch bends do not count: a note has
its written pitch.

**Direction.** Timing here is in seconds: a right answer with the wrong tempo scores near 0. For scores in beats see
:mod:`cadenza.metrics.score_quality`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined, measuring
from cadenza.score.model import NoteArray, Score
from cadenza.score.table import note_table

ONSET_SECONDS = 0.05
OFFSET_RATIO = 0.2
PITCH_CENTS = 50.0
FRAME_SECONDS = 0.01
MIN_SECONDS = 0.001
PART_NOTES = 200
DRUMS = 128


def compute(*, ref: Score, est: Score) -> dict[str, float]:
    """The columns of one answer against its truth; see the module's prose."""
    truth, answer = _Played.of(ref), _Played.of(est)
    a, b = truth.where(truth.program < DRUMS), answer.where(answer.program < DRUMS)
    onset = precision_recall_f1(a, b, offsets=False)
    both = precision_recall_f1(a, b, offsets=True)
    drums = precision_recall_f1(
        truth.where(truth.program == DRUMS), answer.where(answer.program == DRUMS), offsets=False
    )
    values: dict[str, float | None] = {}
    if onset is not None and both is not None:
        values |= {"onset_precision": onset[0], "onset_recall": onset[1], "onset_f1": onset[2]}
        values |= {"onset_offset_f1": both[2], "frame_f1": frame_f1(a, b)}
    values["drum_f1"] = None if drums is None else drums[2]
    values["multi_instrument_f1"] = multi_instrument_f1(truth, answer)
    return defined(values)


class _Played:
    """Notes in seconds: intervals (n, 2), pitch (n,), program (n,) with 128 for drums."""

    def __init__(self, intervals: NDArray[np.float64], pitch: NDArray[np.int64], program: NDArray[np.int64]) -> None:
        self.intervals, self.pitch, self.program = intervals, pitch, program

    @classmethod
    def of(cls, score: Score) -> _Played:
        table: NoteArray = note_table(score)
        programs = np.array([DRUMS if t.is_drums else t.program for t in score.tracks] or [0], np.int64)
        onset = table["onset_seconds"]
        end = onset + np.maximum(table["duration_seconds"], MIN_SECONDS)
        return cls(np.stack([onset, end], 1), table["pitch"].astype(np.int64), programs[table["track"]])

    def where(self, mask: NDArray[np.bool_]) -> _Played:
        return _Played(self.intervals[mask], self.pitch[mask], self.program[mask])

    def __len__(self) -> int:
        return len(self.pitch)

    @property
    def hertz(self) -> NDArray[np.float64]:
        return 440.0 * 2.0 ** ((self.pitch - 69) / 12)


def precision_recall_f1(ref: _Played, est: _Played, *, offsets: bool) -> tuple[float, float, float] | None:
    """Precision, recall and F1 of notes; None where both sides are empty."""
    if not len(ref) and not len(est):
        return None
    hits = n_matched(ref, est, offsets=offsets)
    precision, recall = (hits / len(side) if len(side) else 0.0 for side in (est, ref))
    return precision, recall, 2 * hits / (len(ref) + len(est))


def n_matched(ref: _Played, est: _Played, *, offsets: bool) -> int:
    """How many notes mir_eval matches: the size of the largest matching, pitch by pitch.

    Notes of different keys never match (a semitone is more than a quarter tone), nor do notes that a silence of more
    than 50 ms without onsets lies between, so mir_eval is asked about each such part alone; asked about a whole piece
    at once it needs time and memory with the square of the notes. The sum is the size that it finds for the whole.
    """
    if not len(ref) or not len(est):
        return 0
    transcription = measuring("mir_eval.transcription")
    hits = 0
    for pitch in np.intersect1d(ref.pitch, est.pitch):
        for a, b in _parts(ref.where(ref.pitch == pitch), est.where(est.pitch == pitch)):
            matching = transcription.match_notes(
                a.intervals, a.hertz, b.intervals, b.hertz,
                onset_tolerance=ONSET_SECONDS, pitch_tolerance=PITCH_CENTS,
                offset_ratio=OFFSET_RATIO if offsets else None, offset_min_tolerance=ONSET_SECONDS,
            )  # fmt: skip
            hits += len(matching)
    return hits


def _parts(ref: _Played, est: _Played) -> Iterator[tuple[_Played, _Played]]:
    """Both sides cut where no onset is within 60 ms, into parts of some hundred notes (those with notes in both)."""
    onsets = np.sort(np.concatenate([ref.intervals[:, 0], est.intervals[:, 0]]))
    cuts = onsets[1:][np.diff(onsets) > 1.2 * ONSET_SECONDS]
    at = np.searchsorted(onsets, cuts)
    kept = [float("-inf")]
    for cut, number in zip(cuts.tolist(), at.tolist(), strict=True):
        if number - np.searchsorted(onsets, kept[-1]) >= PART_NOTES:
            kept.append(cut)
    for low, high in pairwise([*kept, float("inf")]):
        sides = [side.where((side.intervals[:, 0] >= low) & (side.intervals[:, 0] < high)) for side in (ref, est)]
        if len(sides[0]) and len(sides[1]):
            yield sides[0], sides[1]


def multi_instrument_f1(ref: _Played, est: _Played) -> float | None:
    """F1 of notes with the right instrument; None where both sides are empty."""
    if not len(ref) and not len(est):
        return None
    hits = sum(
        n_matched(ref.where(ref.program == program), est.where(est.program == program), offsets=bool(program < DRUMS))
        for program in np.intersect1d(ref.program, est.program)
    )
    return 2 * hits / (len(ref) + len(est))


def frames(notes: _Played, n_frames: int) -> NDArray[np.bool_]:
    """Which pitches sound at each 10 ms, shape (128, n_frames)."""
    roll = np.zeros((128, n_frames), bool)
    edges = np.ceil(notes.intervals / FRAME_SECONDS - 1e-9).astype(np.int64)
    for (first, stop), pitch in zip(edges.tolist(), notes.pitch.tolist(), strict=True):
        roll[pitch, first:stop] = True
    return roll


def frame_f1(ref: _Played, est: _Played) -> float | None:
    """F1 of the pitches that sound at each 10 ms; None where both sides are silent."""
    end = max(float(notes.intervals.max(initial=0.0)) for notes in (ref, est))
    n_frames = int(np.ceil(end / FRAME_SECONDS)) + 1
    a, b = frames(ref, n_frames), frames(est, n_frames)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else None


METRIC = Metric(
    name="transcription",
    summary="Notes found, in seconds, as mir_eval counts them.",
    source="Raffel et al., mir_eval, ISMIR 2014; Gardner et al., MT3, ICLR 2022",
    needs="ref+est",
    compute=compute,
    columns=(
        Column("onset_precision", 0, 1, "higher", "share", "Answered notes that are true (pitch, onset within 50 ms)."),
        Column("onset_recall", 0, 1, "higher", "share", "True notes that are found."),
        Column("onset_f1", 0, 1, "higher", "share", "Harmonic mean of both."),
        Column("onset_offset_f1", 0, 1, "higher", "share", "The same with right ends."),
        Column("frame_f1", 0, 1, "higher", "share", "The same of pitches every 10 ms."),
        Column("drum_f1", 0, 1, "higher", "share", "The same of drum hits."),
        Column("multi_instrument_f1", 0, 1, "higher", "share", "With right ends and right instruments, drums too."),
    ),
)
