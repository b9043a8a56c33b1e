"""Works for the notator: passages with one marked tempo and one metre, played by hand or misheard, and their bars.

Taken are pitched works of the shared music data that say exactly one tempo and one metre throughout; Mutopia's at 60
quarters a minute are left out, because that is what LilyPond writes where nothing is marked. A passage is the first
bars of a work, at most :data:`SECONDS` long and without repeats; to learn from, those that follow too. Splits are
those of the ear's data (:func:`cadenza.corpus.split.assign`). Bars of Mutopia's MIDI files do not say their upbeats, so
where a bar begins is not asked of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cadenza.corpus.hearing import Errors
from cadenza.corpus.humanise import HIGHEST_PITCH, LOWEST_PITCH, Part, humanised, one_sounding_note_a_pitch, rubato
from cadenza.corpus.sources import pieces
from cadenza.corpus.split import assign
from cadenza.corpus.store import Piece, load_pieces
from cadenza.score.edit import select_ticks
from cadenza.score.model import NO_FRET, NO_SPELLING, NOTE_DTYPE, Score, Tempo, Track
from cadenza.score.time import bar_table, ticks_to_seconds

SECONDS, LEAST_SECONDS, LEAST_NOTES = 60.0, 10.0, 40
CUT_SECONDS, LEAST_CUT_NOTES = (3.0, 40.0), 6
UNMARKED_LILYPOND = 60.0
TICKS_PER_QUARTER, QUARTERS_PER_MINUTE = 500, 120.0  # a tick is a millisecond
NOISY = Errors(missing=0.05, invented=0.05, octave=0.02)
NOISY_SHIFT_SECONDS = 0.02


@dataclass(frozen=True)
class Work:
    """A passage as it is written.

    Args:
        number: which of its work's.
        says_bars: whether the source knows its upbeat.
    """

    name: str
    split: str
    source: str
    score: Score
    number: int = 0

    @property
    def says_bars(self) -> bool:
        return self.source != "mutopia"

    @property
    def tempo(self) -> float:
        return self.score.tempos[0].quarters_per_minute

    @property
    def metre(self) -> tuple[int, int]:
        return self.score.metres[0].numerator, self.score.metres[0].denominator


@dataclass(frozen=True)
class Played:
    """A passage as it was played: notes in milliseconds, and where its bars came to lie.

    Args:
        bars_seconds: the bar lines.
        quarters_a_minute: the tempo that the performance has over all.
    """

    performance: Score
    bars_seconds: np.ndarray
    quarters_a_minute: float


def works(data: Path | None, store: Path | None, splits: Sequence[str], most: int = 1) -> list[Work]:
    """Passages of all works of some splits, ``most`` of each at most, in a fixed order."""
    found = load_pieces(store) if store else assign(list(pieces(data or Path())))
    return [work for piece in found if piece.split in splits for work in _passages(piece, most)]


def _passages(piece: Piece, most: int) -> Iterator[Work]:
    score = piece.score
    tempos = {round(tempo.quarters_per_minute, 2) for tempo in score.tempos}
    metres = {(metre.numerator, metre.denominator) for metre in score.metres}
    if len(tempos) != 1 or len(metres) != 1 or score.tempos[0].onset_ticks or score.metres[0].onset_ticks:
        return
    if piece.source == "mutopia" and tempos == {UNMARKED_LILYPOND}:
        return
    tracks = [track for track in score.tracks if len(track) and not track.is_drums]
    if not tracks:
        return
    bars = tuple(replace(mark, repeat_open=False, repeat_close=0, endings=(), directions=()) for mark in score.bars)
    score = replace(score, tracks=tuple(tracks), tempos=score.tempos[:1], metres=score.metres[:1], bars=bars)
    bars_at = bar_table(score)
    first = min(int(track.notes["onset_ticks"].min()) for track in tracks)
    start = int(bars_at.starts_ticks[int(bars_at.index_of(first))])
    for number in range(most):
        ends = bars_at.ends_ticks[ticks_to_seconds(score, bars_at.ends_ticks - start) <= SECONDS]
        if not len(ends) or ends[-1] <= start:
            return
        part = select_ticks(start, int(ends[-1])).apply(score)
        part = part.with_tracks(track for track in part.tracks if len(track))
        start = int(ends[-1])
        if float(ticks_to_seconds(part, part.length_ticks)) >= LEAST_SECONDS and part.n_notes >= LEAST_NOTES:
            yield Work(piece.path, piece.split, piece.source, part, number)


def cut(work: Work, rng: np.random.Generator) -> Work:
    """Some whole bars of a passage, of a length as recordings of examples and ideas have (:data:`CUT_SECONDS`)."""
    bars = bar_table(work.score)
    total = len(bars.starts_ticks)
    bar_seconds = float(ticks_to_seconds(work.score, bars.ends_ticks[-1])) / total
    n = max(1, round(float(np.exp(rng.uniform(*np.log(CUT_SECONDS)))) / bar_seconds))
    first = int(rng.integers(max(1, total - n + 1)))
    score = select_ticks(int(bars.starts_ticks[first]), int(bars.ends_ticks[min(first + n, total) - 1])).apply(
        work.score
    )
    return replace(work, score=score.with_tracks(track for track in score.tracks if len(track)))


def played(work: Work, rng: np.random.Generator, errors: Errors, shift_seconds: float, free: bool = True) -> Played:
    """A performance of the passage with a listener's errors.

    Args:
        shift_seconds: standard deviation by which onsets are misplaced, beside how people play.
        free: whether the tempo sways (:func:`cadenza.corpus.humanise.rubato`).
    """
    score = work.score
    seconds = float(ticks_to_seconds(score, score.length_ticks))
    parts = [_part(score, track) for track in score.tracks]
    table = bar_table(score)
    lines = ticks_to_seconds(score, np.append(table.starts_ticks, table.ends_ticks[-1]))
    line = Part(lines, lines.copy(), np.zeros(len(lines), int), np.ones(len(lines), int), 0)
    if free:
        rubato(rng, [*parts, line], seconds + 1)
    jitter, legato = float(rng.choice([0.003, 0.008, 0.015])), rng.uniform(0.55, 1.08)
    out = []
    for part in parts:
        heard = humanised(rng, part, "ensemble", jitter, legato, 1.4 * seconds + 1)
        heard = _misheard(rng, heard, errors)
        moved = rng.normal(0, shift_seconds, len(heard.onset)) if shift_seconds else np.zeros(len(heard.onset))
        heard.onset = np.maximum(heard.onset + moved, 0)
        heard.end = np.maximum(heard.end, heard.onset + 0.03)
        out.append(one_sounding_note_a_pitch([heard])[0])
    tracks = [_track(part, track) for part, track in zip(out, score.tracks, strict=True) if len(part.onset)]
    performance = Score(tuple(tracks), TICKS_PER_QUARTER, tempos=(Tempo(0, QUARTERS_PER_MINUTE),))
    quarters = float(table.ends_ticks[-1]) / score.ticks_per_quarter
    bars = line.onset + 0.05  # humanised delays everything by so much
    return Played(performance, bars, 60 * quarters / float(bars[-1] - bars[0]))


def _part(score: Score, track: Track) -> Part:
    notes = track.notes
    onset = ticks_to_seconds(score, notes["onset_ticks"])
    end = ticks_to_seconds(score, notes["onset_ticks"] + notes["duration_ticks"])
    return Part(onset, end, notes["pitch"].astype(np.int64), notes["velocity"].astype(np.int64), track.program)


def _misheard(rng: np.random.Generator, part: Part, errors: Errors) -> Part:
    """Notes missing, an octave off, and inserted: half of these as partials, half anywhere."""
    part = part.keep(rng.random(len(part.onset)) >= errors.missing)
    n = len(part.onset)
    if not n:
        return part
    octave = np.where(rng.random(n) < errors.octave, rng.choice([-12, 12], n), 0)
    part.pitch = np.clip(part.pitch + octave, LOWEST_PITCH, HIGHEST_PITCH)
    rows = np.flatnonzero(rng.random(n) < errors.invented)
    anywhere = rng.random(len(rows)) < 0.5
    onset = np.where(anywhere, rng.uniform(0, part.onset.max(), len(rows)), part.onset[rows])
    pitch = np.clip(part.pitch[rows] + rng.choice([12, 19, -12, 24, 7], len(rows)), LOWEST_PITCH, HIGHEST_PITCH)
    length = rng.uniform(0.05, 0.4, len(rows))
    velocity = np.maximum(part.velocity[rows] // 2, 1)
    columns = [(part.onset, onset), (part.end, onset + length), (part.pitch, pitch), (part.velocity, velocity)]
    return Part(*(np.concatenate(pair) for pair in columns), part.program)


def _track(part: Part, written: Track) -> Track:
    notes = np.zeros(len(part.onset), NOTE_DTYPE)
    onset = np.rint(1000 * part.onset)
    notes["onset_ticks"] = onset
    notes["duration_ticks"] = np.maximum(np.rint(1000 * part.end) - onset, 1)
    notes["pitch"], notes["velocity"] = part.pitch, np.clip(part.velocity, 1, 127)
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    return Track(written.name, written.program, notes=notes)
