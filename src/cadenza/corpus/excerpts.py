"""Scores → passages that a model can learn: one metre, whole bars, on the notation's grid, no doubled notes.

A passage is told as header text and one text a bar, so that a training row can start at any bar line and tokens never
straddle a cut. Nothing here knows token ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import MAX_MODEL_TRACKS, MAX_STEP_TICKS
from cadenza.score import edit
from cadenza.score.model import Score
from cadenza.score.time import bar_table

#: The form in which the first model reads and writes music; saved with the model, never retyped.
MODEL_NOTATION = SimplifiedMidi(
    bend="semitone", bend_step_cents=25, velocity="bins:8", resolution="grid:24", header="first", bars=True,
    compact=True, durations="table",
)  # fmt: skip


#: What the first model does not see, beyond what its notation drops: doubled notes, and the timing below a twelfth of a
#: quarter and the lengths of drum hits (a drum's length says nothing, and its micro-timing drowned everything else).
MODEL_VIEW = (edit.rescale(24, exact=False), edit.even_drums(step_ticks=2, duration_ticks=6), edit.drop_doubled())


@dataclass(frozen=True)
class Passage:
    """A passage in text: the header line (with its line break) and the text of each bar.

    Args:
        n_notes: notes in each bar.
        is_end: the piece ends with the last bar.
    """

    header: str
    bars: tuple[str, ...]
    n_notes: tuple[int, ...]
    is_end: bool


def passages(score: Score, notation: SimplifiedMidi, min_bars: int = 4) -> Iterator[Passage]:
    """The passages of ``score``: runs of at least ``min_bars`` full bars of one metre that the vocabulary holds."""
    for _, part, is_end in viewed(score):
        text = notation.encode(part)
        header, _, body = text.partition("\n")
        bars = tuple("|" + bar.rstrip() for bar in body.split("|")[1:])
        if len(bars) >= min_bars:
            yield Passage(header + "\n", bars, tuple(bar.count("p") for bar in bars), is_end)


def viewed(score: Score) -> Iterator[tuple[int, Score, bool]]:
    """(first bar, part, whether the piece ends with it): the runs of full bars of one metre as :func:`model_view` shows
    them, with the tracks that play in them (at most as many as the vocabulary has words for: the busiest)."""
    score = _within_reach(score)
    if not score.n_notes:
        return
    for bar, start, stop, is_end in _runs(score):
        part = edit.select_ticks(start, stop).apply(score)
        kept = [track for track in part.tracks if len(track)]
        if kept:
            yield bar, replace(part, tracks=tuple(kept), length_ticks=stop - start), is_end


def model_view(score: Score) -> Score:
    """``score`` as the model sees it before its notation: see :data:`MODEL_VIEW`."""
    return edit.project(score, MODEL_VIEW)


def _within_reach(score: Score) -> Score:
    most = sorted((i for i, t in enumerate(score.tracks) if len(t)), key=lambda i: -len(score.tracks[i]))
    chosen = edit.select_tracks(sorted(most[:MAX_MODEL_TRACKS])).apply(score)
    # No model's notation tells the written layer; without it cutting is several times as fast.
    return model_view(edit.drop_controls().apply(edit.drop_written().apply(chosen)))


def _runs(score: Score) -> Iterator[tuple[int, int, int, bool]]:
    """(first bar, first tick, last tick, is the piece's end) of runs of full bars in one metre."""
    table = bar_table(score)
    signature = [(m.numerator, m.denominator) for m in table.metres]
    nominal = np.array([score.ticks_per_quarter * 4 * n // d for n, d in signature])
    length = table.ends_ticks - table.starts_ticks
    good = (length == nominal) & (length <= MAX_STEP_TICKS) & np.array([n <= 16 and d <= 16 for n, d in signature])
    bar = 0
    while bar < len(table):
        stop = bar
        while stop < len(table) and good[stop] and signature[stop] == signature[bar]:
            stop += 1
        if stop > bar:
            yield bar, int(table.starts_ticks[bar]), int(table.ends_ticks[stop - 1]), stop == len(table)
        bar = max(stop, bar + 1)


def transposition_room(score: Score) -> tuple[int, int]:
    """How many semitones down and up the pitched tracks can move within 21–108 (or where they lie beyond, 0–127)."""
    pitches = [t.notes["pitch"] for t in score.tracks if not t.is_drums and len(t)]
    if not pitches:
        return 0, 0
    low, high = min(int(p.min()) for p in pitches), max(int(p.max()) for p in pitches)
    return max(0, low - 21), max(0, 108 - high)
