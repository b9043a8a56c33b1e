"""A transcription as a score, in beats: pitches, voices, metre, note values, harmony; and the rate of errors.

**Whose definitions.** The five parts and their mean follow MV2H (McLeod & Steedman, "Evaluating Automatic Polyphonic
Music Transcription", ISMIR 2018); the error rate follows Nakamura, Benetos, Yoshii & Dixon, "Towards Complete
Polyphonic Music Transcription", ICASSP 2018. ``mv2h_like`` is *not* MV2H and does not compare with published figures:

- Time is in quarter notes from the beginning, not in seconds, and the two scores are not aligned by dynamic programming
  (McLeod's later version does): an answer that is late by a beat is wrong throughout, so ours is lower or equal.
- ``mv_pitch``: F1 of notes; a pair has the same pitch and onsets within a 12th of a quarter (MV2H: 50 ms).
- ``mv_voice``: F1 of links, a link being two successive notes of one voice (chords: from each note to each of the next
  onset), among matched notes. MV2H weighs links of chords by their number; ours counts each.
- ``mv_metre``: F1 of groupings, a grouping being a bar or a beat with its place and length; MV2H has sub-beats, too.
- ``mv_value``: mean over matched notes of 1 − |difference in length| / true length, at least 0. MV2H's, but over all
  matched notes, not those alone whose voice goes on rightly.
- ``mv_harmony``: keys, by time: same 1, a fifth apart 0.5, relative 0.3, parallel 0.2 (MIREX key weights, as in MV2H),
  from the signatures, or, where a score has none, the best key of its notes. MV2H averages it with chord symbols, which
  scores do not carry. Left out where neither side has anything pitched.

``note_error_rate`` is (missing + extra + wrong pitch + wrong place + wrong length) / true notes, by the pairing of
:mod:`cadenza.score.matching`: same place and pitch first, then the nearest pitch within an octave at the same place,
then the same pitch within a quarter note. One note counts once, by the first of pitch, place and length that is wrong.
It can exceed 1. ``…_rate`` are its parts.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import Notes, notes_of
from cadenza.score.key_finding import find_key
from cadenza.score.matching import DURATION, ONSET, PITCH, pair_by_time, pair_notes
from cadenza.score.model import Key, Score
from cadenza.score.time import bar_table

STEPS = 480  # places a quarter in which times are compared
NEAR_STEPS = STEPS // 12
PARTS = ("mv_pitch", "mv_voice", "mv_metre", "mv_value", "mv_harmony")


def compute(*, ref: Score, est: Score) -> dict[str, float]:
    """The columns of one answer against its truth; see the module's prose."""
    truth, answer = _Timed.of(ref), _Timed.of(est)
    if len(truth) and not len(answer):  # an answer without notes is wrong, whatever it says of metre and key
        return dict.fromkeys((*PARTS, "mv2h_like"), 0.0) | defined(error_rates(truth, answer))
    pairs = truth.matched(answer)
    values: dict[str, float | None] = {
        "mv_pitch": _f1(len(pairs), len(truth), len(answer)),
        "mv_voice": _voice(truth, answer, pairs),
        "mv_metre": _metre(ref, est),
        "mv_value": _value(truth, answer, pairs) if len(truth) else None,
        "mv_harmony": harmony(ref, est),
    }
    found = [values[name] for name in PARTS]
    known = [value for value in found if value is not None]
    if len(truth) or len(answer):
        values["mv2h_like"] = float(np.mean(known))
    return defined(values | error_rates(truth, answer))


class _Timed:
    """Notes in whole steps; ``rows`` shape (n, 10) as :mod:`cadenza.score.matching` takes them; ``voice`` (n,)."""

    def __init__(self, notes: Notes, voice: NDArray[np.int64]) -> None:
        self.rows = np.zeros((len(notes), 10), np.int64)
        self.rows[:, ONSET] = np.rint(notes.onset * STEPS)
        self.rows[:, DURATION] = np.rint(notes.duration * STEPS)
        # Drums lie apart from pitches: key 36 is no C.
        self.rows[:, PITCH] = notes.pitch + 1000 * notes.is_drums
        self.voice = voice

    @classmethod
    def of(cls, score: Score) -> _Timed:
        notes = notes_of(score)
        order = np.lexsort([notes.pitch + 1000 * notes.is_drums, notes.onset])
        onset, pitch, duration = notes.onset[order], notes.pitch[order], notes.duration[order]
        whole = Notes(onset, duration, pitch, notes.track[order], notes.is_drums[order])
        return cls(whole, _voices(score)[order])

    def __len__(self) -> int:
        return len(self.rows)

    def matched(self, other: _Timed) -> list[tuple[int, int]]:
        """Pairs of one pitch within a 12th of a quarter, as many as can be, in order of time."""
        a, b = self.rows, other.rows
        pitches = [rows[:, PITCH].tolist() for rows in (a, b)]
        times = [rows[:, ONSET].tolist() for rows in (a, b)]
        keys = pitches[0].__getitem__, pitches[1].__getitem__
        return pair_by_time(range(len(a)), range(len(b)), *keys, times[0], times[1], NEAR_STEPS)


def _voices(score: Score) -> NDArray[np.int64]:
    """The voice (track and voice) of each note in the order of :func:`notes_of`."""
    if not score.tracks:
        return np.zeros(0, np.int64)
    voice = np.concatenate([t.notes["voice"].astype(np.int64) + 128 * i for i, t in enumerate(score.tracks)])
    onset = np.concatenate([t.notes["onset_ticks"] for t in score.tracks])
    pitch = np.concatenate([t.notes["pitch"] for t in score.tracks])
    return voice[np.lexsort([pitch, voice // 128, onset])]


def _f1(hits: int, n_ref: int, n_est: int) -> float | None:
    return 2 * hits / (n_ref + n_est) if n_ref + n_est else None


def _links(notes: _Timed, kept: dict[int, int]) -> set[tuple[int, int]]:
    """Pairs of successive notes of a voice, by the names in ``kept`` (row → name); others are left out."""
    found: set[tuple[int, int]] = set()
    by_voice: dict[int, list[int]] = defaultdict(list)
    for row in kept:
        by_voice[int(notes.voice[row])].append(row)
    onset = notes.rows[:, ONSET].tolist()
    for rows in by_voice.values():
        rows.sort(key=onset.__getitem__)
        before: list[int] = []
        at = 0
        while at < len(rows):
            stop = at
            while stop < len(rows) and onset[rows[stop]] == onset[rows[at]]:
                stop += 1
            found.update((kept[i], kept[j]) for i in before for j in rows[at:stop])
            before, at = rows[at:stop], stop
    return found


def _voice(ref: _Timed, est: _Timed, pairs: list[tuple[int, int]]) -> float | None:
    a = _links(ref, {i: n for n, (i, _) in enumerate(pairs)})
    b = _links(est, {j: n for n, (_, j) in enumerate(pairs)})
    if not pairs:
        return 0.0 if len(ref) and len(est) else None
    return _f1(len(a & b), len(a), len(b))


def _groupings(score: Score) -> set[tuple[int, int, int]]:
    """(level, start, length) of bars and beats, in steps."""
    table = bar_table(score)
    found: set[tuple[int, int, int]] = set()
    quarter = score.ticks_per_quarter
    for start, end, metre in zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), table.metres, strict=True):
        compound = metre.numerator % 3 == 0 and metre.numerator > 3 and metre.denominator >= 8
        beat = quarter * 4 * (3 if compound else 1) / metre.denominator
        found.add((0, round(start * STEPS / quarter), round((end - start) * STEPS / quarter)))
        n_beats = max(1, round((end - start) / beat))
        found |= {
            (1, round((start + i * beat) * STEPS / quarter), round(beat * STEPS / quarter)) for i in range(n_beats)
        }
    return found


def _metre(ref: Score, est: Score) -> float | None:
    a, b = _groupings(ref), _groupings(est)
    return _f1(len(a & b), len(a), len(b))


def _value(ref: _Timed, est: _Timed, pairs: list[tuple[int, int]]) -> float:
    if not pairs:
        return 0.0
    rows = np.array(pairs)
    a, b = ref.rows[rows[:, 0], DURATION], est.rows[rows[:, 1], DURATION]
    return float(np.clip(1 - np.abs(a - b) / np.maximum(a, 1), 0, None).mean())


def _keys(score: Score) -> list[tuple[float, int, bool]]:
    """(onset in quarters, tonic, is minor) of each signature; of the notes where there is none."""
    if score.keys:
        return [(key.onset_ticks / score.ticks_per_quarter, *key_of(key)) for key in score.keys]
    found = find_key(score)
    return [] if found is None else [(0.0, found % 12, found >= 12)]


def key_credit(ref: tuple[int, bool], est: tuple[int, bool]) -> float:
    """MIREX credit for a key (tonic, is minor): same 1, fifth 0.5, relative 0.3, parallel 0.2."""
    (tonic, minor), (other, other_minor) = ref, est
    if minor == other_minor:
        return {0: 1.0, 5: 0.5, 7: 0.5}.get((other - tonic) % 12, 0.0)
    relative = (tonic + 3) % 12 if minor else (tonic + 9) % 12
    return 0.3 if other == relative else 0.2 if other == tonic else 0.0


def harmony(ref: Score, est: Score) -> float | None:
    """Key credit averaged over the time of ``ref``; None where neither side has a key, 0 where one has none."""
    a, b = _keys(ref), _keys(est)
    if not a or not b:
        return 0.0 if a or b else None
    end = max(ref.length_ticks, 1) / ref.ticks_per_quarter
    edges = sorted({0.0, end, *(t for t, *_ in (*a, *b) if 0 < t < end)})
    total = 0.0
    for low, high in pairwise(edges):
        held = [next((key for key in reversed(keys) if key[0] <= low), keys[0]) for keys in (a, b)]
        total += (high - low) * key_credit(held[0][1:], held[1][1:])
    return total / end


def error_rates(ref: _Timed, est: _Timed) -> dict[str, float | None]:
    """Errors / true notes by kind; nothing where there are no true notes."""
    if not len(ref):
        return {}
    rows = pair_notes(ref.rows, est.rows, NEAR_STEPS // 2, STEPS)
    a, b = ref.rows[rows[:, 0]], est.rows[rows[:, 1]]
    pitch = a[:, PITCH] != b[:, PITCH]
    place = ~pitch & (np.abs(a[:, ONSET] - b[:, ONSET]) > NEAR_STEPS)
    length = ~pitch & ~place & (np.abs(a[:, DURATION] - b[:, DURATION]) > np.maximum(NEAR_STEPS, a[:, DURATION] // 5))
    counts = {
        "missing": len(ref) - len(rows), "extra": len(est) - len(rows), "wrong_pitch": int(pitch.sum()),
        "wrong_place": int(place.sum()), "wrong_length": int(length.sum()),
    }  # fmt: skip
    rates: dict[str, float | None] = {f"{name}_rate": count / len(ref) for name, count in counts.items()}
    return rates | {"note_error_rate": sum(counts.values()) / len(ref)}


def key_of(key: Key) -> tuple[int, bool]:
    """(tonic, is minor) of a signature."""
    return (7 * key.fifths + (9 if key.mode == "minor" else 0)) % 12, key.mode == "minor"


_NO_END = float("inf")
METRIC = Metric(
    name="score-quality",
    summary="Pitches, voices, metre, note values and keys in beats, and the rate of note errors.",
    source="after McLeod & Steedman, MV2H, ISMIR 2018; Nakamura et al., ICASSP 2018; not comparable with either",
    needs="ref+est",
    compute=compute,
    columns=(
        Column("mv_pitch", 0, 1, "higher", "share", "F1 of notes by pitch and place in beats."),
        Column("mv_voice", 0, 1, "higher", "share", "F1 of successions within voices."),
        Column("mv_metre", 0, 1, "higher", "share", "F1 of bars and beats."),
        Column("mv_value", 0, 1, "higher", "share", "Likeness of lengths of matched notes."),
        Column("mv_harmony", 0, 1, "higher", "share", "Credit for keys."),
        Column("mv2h_like", 0, 1, "higher", "share", "Mean of the five that are defined."),
        Column("missing_rate", 0, 1, "lower", "share", "True notes without a pair / true notes."),
        Column("extra_rate", 0, _NO_END, "lower", "ratio", "Answered notes without a pair / true notes."),
        Column("wrong_pitch_rate", 0, 1, "lower", "share", "Pairs of different pitch / true notes."),
        Column("wrong_place_rate", 0, 1, "lower", "share", "Pairs of different place / true notes."),
        Column("wrong_length_rate", 0, 1, "lower", "share", "Pairs of different length / true notes."),
        Column("note_error_rate", 0, _NO_END, "lower", "ratio", "All of these together."),
    ),
)
