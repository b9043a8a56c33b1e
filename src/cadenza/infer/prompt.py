"""A seed as the model reads it, and the model's bars as the seed's continuation.

The seed itself never passes through text: the model reads a view of its last bars on the model's grid, and what it
writes is put after the seed in the seed's own resolution, tracks, tunings and fingering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.corpus.excerpts import model_view
from cadenza.corpus.prompts import instruction
from cadenza.infer.constrain import Instrument
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import MAX_MODEL_TRACKS, MAX_STEP_TICKS, option
from cadenza.score import edit
from cadenza.score.fingering import finger, playable
from cadenza.score.instruments import implied_tuning, is_constant, range_of
from cadenza.score.model import NO_FRET, NO_STRING, BarMark, Metre, Score, Track
from cadenza.score.time import bar_table, bar_ticks, metre_at, rescaled


class Reader(Protocol):
    """What must be known of a model to tell it a seed; a :class:`~cadenza.infer.model.ComposerModel` has it."""

    @property
    def notation(self) -> SimplifiedMidi: ...
    @property
    def style(self) -> str: ...
    @property
    def prompts(self) -> Mapping[str, Any]: ...
    @property
    def sees_model_view(self) -> bool: ...
    @property
    def has_fields(self) -> bool: ...


@dataclass(frozen=True)
class Prompt:
    """What the model reads.

    Args:
        words: what stands before the music: the instruction that the model was trained with, or nothing.
        header: header line with its line break.
        bars: the seed's last bars, one text each.
        tracks: the seed's track for each track of the text.
        instruments: what each of them can play.
        metre: the metre of the text; its bars are ``split`` to one of the seed's.
        start_ticks: where in the seed's time the continuation begins.
        left_out: tracks of the seed that the text leaves out, by name.
    """

    words: str
    header: str
    bars: tuple[str, ...]
    tracks: tuple[int, ...]
    instruments: tuple[Instrument, ...]
    metre: Metre
    split: int
    start_ticks: int
    left_out: tuple[str, ...]


def read_seed(score: Score, model: Reader, max_bars: int = 64) -> Prompt:
    """The prompt of a seed: its last bars in one metre, in the model's notation and wording.

    Raises:
        RangeError: the seed has no notes, or its metre is beyond the model's notation.
    """
    if not score.n_notes:
        raise RangeError("a seed with notes", "none", hint="Continue a piece that has begun.")
    table = bar_table(score)
    last = metre_at(score, int(table.starts_ticks[-1]))
    notation = model.notation
    metre, split = _model_metre(
        last, _resolution(notation, score), longest=MAX_STEP_TICKS if model.has_fields else None
    )
    full = bar_ticks(last, score.ticks_per_quarter)
    start_ticks = int(table.starts_ticks[-1]) + full  # a last bar that was cut short is filled up with silence
    first = len(table) - 1
    while (
        first > 0
        and len(table) - first < max_bars
        and (table.metres[first - 1].numerator, table.metres[first - 1].denominator)
        == (last.numerator, last.denominator)
        and table.ends_ticks[first - 1] - table.starts_ticks[first - 1] == full
    ):
        first -= 1
    begin = int(table.starts_ticks[first])
    context = edit.select_ticks(begin, start_ticks).apply(replace(score, bars=()))
    context = replace(context, metres=(Metre(0, metre.numerator, metre.denominator),))
    # A seed whose last bars are silent on all tracks is told with the tracks that play anywhere.
    sounding = [i for i, t in enumerate(context.tracks) if len(t)] or [i for i, t in enumerate(score.tracks) if len(t)]
    chosen = sorted(sorted(sounding, key=lambda i: -len(score.tracks[i]))[:MAX_MODEL_TRACKS])
    view = edit.select_tracks(chosen).apply(context)
    if model.sees_model_view:
        view = model_view(view)
    text = notation.encode(view)
    header, _, body = text.partition("\n")
    bars = tuple(" |" + bar.rstrip() for bar in body.split("|")[1:])
    missing = [score.tracks[i].name or f"track {i + 1}" for i in range(len(score.tracks)) if i not in chosen]
    instruments = tuple(_instrument(score.tracks[i]) for i in chosen)
    words = instruction("continue", view, notation, model.prompts) + "\n" if model.style == "instruct" else ""
    return Prompt(words, header + "\n", bars, tuple(chosen), instruments, metre, split, start_ticks, tuple(missing))


def _resolution(notation: SimplifiedMidi, score: Score) -> int:
    """Ticks a quarter of the text."""
    kind, count = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    return count if kind == "grid" else score.ticks_per_quarter


def _model_metre(metre: Metre, ticks_per_quarter: int, longest: int | None) -> tuple[Metre, int]:
    """A metre whose bar the vocabulary can tell, and how many of its bars make one of ``metre``.

    Args:
        ticks_per_quarter: of the text.
        longest: ticks of the longest step that the vocabulary holds at 24 a quarter; None where it spells numbers.
    """
    for split in range(1, metre.numerator + 1):
        if metre.numerator % split:
            continue
        part = Metre(0, metre.numerator // split, metre.denominator)
        whole = ticks_per_quarter * 4 * part.numerator % part.denominator == 0
        if not whole or part.numerator > 16 or not 2 <= part.denominator <= 16:
            continue
        if longest is None or 24 * 4 * part.numerator / part.denominator <= longest:
            return part, split
    raise RangeError(
        "a metre over 2, 4, 8 or 16 with bars of up to eight quarters",
        f"{metre.numerator}/{metre.denominator}",
        hint="Write it as shorter bars.",
    )


def _instrument(track: Track) -> Instrument:
    low, high = range_of(track)
    tuning = implied_tuning(track)
    if tuning and not track.tuning and not _fits(track, tuning):
        tuning = ()
    if tuning:
        low, high = min(tuning) + track.capo_fret, max(tuning) + 24
    return Instrument(low, high, tuning, track.capo_fret, may_bend=bool(tuning))


def _fits(track: Track, tuning: tuple[int, ...]) -> bool:
    """Whether a track without strings could be played in ``tuning`` chord by chord."""
    bounds = np.flatnonzero(np.diff(track.notes["onset_ticks"])) + 1
    chords = np.split(track.notes["pitch"], bounds)
    return all(playable(tuple(np.unique(chord).tolist()), tuning, track.capo_fret) for chord in chords)


def append(seed: Score, prompt: Prompt, written: Score, bars: int) -> Score:
    """The seed with ``bars`` bars of ``written`` after it.

    Args:
        written: the model's bars alone, from time 0, on the model's grid.

    The seed's notes, maps and marks stay as they are. Notes that would ring beyond the last bar end with it. On a seed
    coarser than the model's grid onsets can fall together: what cannot be played then is left out.
    """
    fine, tpq = written.ticks_per_quarter, seed.ticks_per_quarter
    length = bars * bar_ticks(metre_at(seed, prompt.start_ticks), tpq)
    tracks = list(seed.tracks)
    for place, new in zip(prompt.tracks, written.tracks, strict=True):
        track = seed.tracks[place]
        notes, bends = new.notes.copy(), new.bends.copy()
        ends = np.array([rescaled(int(t), fine, tpq) for t in notes["onset_ticks"] + notes["duration_ticks"]], np.int64)
        notes["onset_ticks"] = [rescaled(int(t), fine, tpq) for t in notes["onset_ticks"]]
        notes["duration_ticks"] = np.maximum(np.minimum(ends, length) - notes["onset_ticks"], 1)
        if len(bends):
            bends["offset_ticks"] = [rescaled(int(t), fine, tpq) for t in bends["offset_ticks"]]
            bends = bends[bends["offset_ticks"] <= notes["duration_ticks"][bends["note"]]]
            again = (np.diff(bends["note"], append=-1) == 0) & (np.diff(bends["offset_ticks"], append=-1) == 0)
            bends = bends[~again]
        if len(track) and is_constant(track.notes["velocity"]):
            notes["velocity"] = track.notes["velocity"][0]
        notes["string"], notes["fret"] = NO_STRING, NO_FRET
        part = replace(track, notes=notes, bends=bends, controls=track.controls[:0]).keep(notes["onset_ticks"] < length)
        if part.tuning and not part.is_drums:
            part = finger(part, unplayable="drop")
        tracks[place] = _after(track, part, prompt.start_ticks)
    marks = seed.bars
    if bar_table(seed).ends_ticks[-1] != prompt.start_ticks:
        marks = (*marks, BarMark(prompt.start_ticks))
    return replace(seed, tracks=tuple(tracks), bars=marks, length_ticks=prompt.start_ticks + length)


def _after(track: Track, part: Track, start_ticks: int) -> Track:
    notes, bends = part.notes.copy(), part.bends.copy()
    notes["onset_ticks"] += start_ticks
    bends["note"] += len(track)
    return replace(track, notes=np.concatenate([track.notes, notes]), bends=np.concatenate([track.bends, bends]))
