"""A piece as a model of any notation reads it, and where what it writes belongs.

The counterpart of :class:`~cadenza.infer.prompt.Prompt` for notations other than bar words on one time line. A
:class:`Sheet` has the text that stands, part by part; makes the :class:`~cadenza.infer.players.Player` that writes on;
and reads the finished text back as the new bars alone, track for track. The notations' own are in
:mod:`cadenza.infer.sheets`; here is what they share. The piece itself never passes through text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import RangeError
from cadenza.corpus.excerpts import model_view
from cadenza.corpus.prompts import instruction
from cadenza.infer.constrain import Instrument
from cadenza.infer.model import ComposerModel
from cadenza.infer.players import Player
from cadenza.infer.prompt import instrument_of, metre_of_model, run_before
from cadenza.notation.simplified.projection import MAX_MODEL_TRACKS
from cadenza.score import edit
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from cadenza.score.time import bar_table, bar_ticks, metre_at, seconds_to_ticks, tempo_at, ticks_to_seconds

MAX_SHEET_BARS = 32
KEY_TICKS = 840  # a quarter, in scores that originality is asked of


@dataclass(frozen=True)
class Part:
    """What stands of a text up to where bars are written, and how many these are."""

    given: str
    n_bars: int


@dataclass(frozen=True)
class Told:
    """What a notation makes of a view.

    Args:
        header: text that always stands first.
        parts: the rest.
        player: makes the player before the first field, of what the tracks can play.
        read: the finished text → the new bars alone, from time 0, a track for each of the view's.
        bar_units: length of a bar in the units of the player's keys.
        n_standing: bars that stand.
        silent: tracks of the view that the text cannot tell apart from others, or at all.
    """

    header: str
    parts: tuple[Part, ...]
    player: Callable[[Sequence[Instrument]], Player]
    read: Callable[[str], Score]
    bar_units: int
    n_standing: int
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True)
class View:
    """Some bars of a piece, and how many are to follow.

    Args:
        score: these bars alone, from time 0; the last ones that are silent may be left out.
        instruments: what each track can play.
        free: the tracks that are written.
        metre: of all bars.
        n_standing: bars of ``score``.
        n_bars: bars to be written.
        clock: a score without notes whose time runs as the piece's does from the first bar on.
        start_ticks: where the new bars begin, on the clock.
    """

    score: Score
    instruments: tuple[Instrument, ...]
    free: tuple[int, ...]
    metre: Metre
    n_standing: int
    n_bars: int
    clock: Score = field(repr=False)
    start_ticks: int

    @property
    def bar_ticks(self) -> int:
        """Length of a bar, in the piece's ticks."""
        return bar_ticks(self.metre, self.score.ticks_per_quarter)

    def sounding_end(self) -> View:
        """Without the bars at the end in which no note begins; at least one stays."""
        onsets = [int(t.notes["onset_ticks"][-1]) for t in self.score.tracks if len(t)]
        n = max(onsets, default=0) // self.bar_ticks + 1
        if n >= self.n_standing:
            return self
        return replace(self, score=edit.select_ticks(0, n * self.bar_ticks)(self.score), n_standing=n)

    def border_seconds(self) -> NDArray[np.float64]:
        """When each bar begins, and the last one to be written ends, in the view's time; shape (bars + 1,)."""
        length = self.bar_ticks
        before = ticks_to_seconds(self.score, np.arange(self.n_standing + 1) * length)
        new = ticks_to_seconds(self.clock, self.start_ticks + np.arange(1, self.n_bars + 1) * length)
        return np.concatenate([before, new - ticks_to_seconds(self.clock, self.start_ticks) + before[-1]])

    def from_seconds(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Times within the new bars, in the piece's ticks from their beginning."""
        begin = self.border_seconds()[self.n_standing]
        at = seconds - begin + ticks_to_seconds(self.clock, self.start_ticks)
        return np.rint(seconds_to_ticks(self.clock, at)).astype(np.int64) - self.start_ticks

    def new_bars(self, tracks: Sequence[Track | None], ticks_per_quarter: int) -> Score:
        """Of tracks that a text was read to (its ticks from the first bar on), the new bars alone."""
        fine = lcm(ticks_per_quarter, 4)
        whole = Score(tuple(one or Track() for one in tracks), ticks_per_quarter)
        whole = edit.rescale(fine).apply(whole)
        length = bar_ticks(self.metre, fine)
        start = self.n_standing * length
        return edit.select_ticks(start, start + self.n_bars * length)(whole)

    def new_bars_in_seconds(self, tracks: Sequence[Track | None], per_second: float) -> Score:
        """The same of tracks in real time, ``per_second`` ticks a second."""
        out = []
        stop = self.n_bars * self.bar_ticks
        for track in tracks:
            notes = (track or Track()).notes.copy()
            ends = self.from_seconds((notes["onset_ticks"] + notes["duration_ticks"]) / per_second)
            onsets = self.from_seconds(notes["onset_ticks"] / per_second)
            begun = notes["onset_ticks"] / per_second >= self.border_seconds()[self.n_standing] - 0.5 / per_second
            notes["onset_ticks"] = np.clip(onsets, 0, stop - 1)
            notes["duration_ticks"] = np.maximum(ends - notes["onset_ticks"], 1)
            inside = begun & (onsets < stop)
            out.append(replace(track or Track(), notes=notes, bends=(track or Track()).bends[:0]).keep(inside))
        return edit.select_ticks(0, stop)(Score(tuple(out), self.score.ticks_per_quarter))


@dataclass(frozen=True)
class Sheet:
    """What a model reads, and where its bars belong.

    Args:
        words: what stands before the music.
        header, parts, player, read, bar_units: see :class:`Told`.
        tracks: the piece's track for each track of the text.
        free: tracks of the text that are written.
        metre: of the text; its bars are ``split`` to one of the piece's.
        start_ticks, stop_ticks: where in the piece's time the bars to be written belong.
        n_standing: bars that stand.
        left_out: tracks of the piece that the text leaves out, by name.
        remarks: what the model does not see or do.
    """

    words: str
    header: str
    parts: tuple[Part, ...]
    player: Callable[[Sequence[Instrument]], Player]
    read: Callable[[str], Score]
    bar_units: int
    tracks: tuple[int, ...]
    instruments: tuple[Instrument, ...]
    free: tuple[int, ...]
    metre: Metre
    split: int
    start_ticks: int
    stop_ticks: int
    n_standing: int
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def told(self, keys: Sequence[str]) -> Score:
        """Onsets and pitches of bars, from what they say."""
        notes: list[list[Note]] = [[] for _ in self.tracks]
        length = bar_ticks(self.metre, KEY_TICKS)
        for number, key in enumerate(keys):
            for word in key.split():
                onset, track, pitch = word.split(":")
                at = number * length + round(Fraction(onset) * length / self.bar_units)
                notes[int(track)].append(Note(at, 1, int(pitch)))
        tracks = (Track.of(part, is_drums=one.is_drums) for part, one in zip(notes, self.instruments, strict=True))
        return Score(tuple(tracks), KEY_TICKS, length_ticks=len(keys) * length)


def read_sheet(
    score: Score,
    model: ComposerModel,
    *,
    bars: int,
    metre: Metre | None = None,
    only: Sequence[int] | None = None,
) -> Sheet:
    """The sheet to continue a piece.

    Args:
        bars: how many to write.
        metre: of these, where it is to change; the bars that stand are told in it, too.
        only: the tracks that go on; the others rest.

    Raises:
        RangeError: the piece has no notes, or the notation cannot tell it.
    """
    if not score.n_notes:
        raise RangeError("a seed with notes", "none", hint="Continue a piece that has begun, or compose a new one.")
    table = bar_table(score)
    last = metre_at(score, int(table.starts_ticks[-1]))
    tpq = score.ticks_per_quarter
    start = int(table.starts_ticks[-1]) + bar_ticks(last, tpq)
    begin = int(table.starts_ticks[run_before(table, len(table) - 1, last, tpq, MAX_SHEET_BARS - 1)])
    if metre is not None:
        begin += (start - begin) % bar_ticks(metre, tpq)
    if begin >= start:
        raise RangeError("a seed of at least one bar of the new metre", "a shorter one")
    stop = start + bars * bar_ticks(metre or last, tpq)
    return _sheet(score, model, begin, start, stop, metre or last, only)


def new_sheet(score: Score, model: ComposerModel, bars: int) -> Sheet:
    """The sheet to begin a piece: ``score`` has tracks, a tempo and a metre, and no notes.

    Raises:
        RangeError: no tracks or too many, or the notation cannot tell them.
    """
    from cadenza.infer import sheets

    if not 1 <= len(score.tracks) <= MAX_MODEL_TRACKS:
        raise RangeError(f"1 to {MAX_MODEL_TRACKS} tracks", str(len(score.tracks)))
    most = sheets.most_tracks(model.notation)
    if len(score.tracks) > most:
        hint = "Its texts do not say which notes are whose."
        raise RangeError(f"{most} track in this form of {model.notation.name}", str(len(score.tracks)), hint=hint)
    metre = metre_at(score, 0)
    stop = bars * bar_ticks(metre, score.ticks_per_quarter)
    return _sheet(score, model, 0, 0, stop, metre, None)


def _sheet(
    score: Score,
    model: ComposerModel,
    begin: int,
    start: int,
    stop: int,
    metre: Metre,
    only: Sequence[int] | None,
) -> Sheet:
    from cadenza.infer import sheets

    notation, tpq = model.notation, score.ticks_per_quarter
    part, split = metre_of_model(metre, *sheets.grid_of(model, score))
    context = edit.select_ticks(begin, start).apply(replace(score, bars=())) if start > begin else score
    sounding = [i for i, t in enumerate(context.tracks) if len(t)] or [i for i, t in enumerate(score.tracks) if len(t)]
    if start == begin:
        sounding = list(range(len(score.tracks)))
    wanted = [i for i in sounding if only is None or i in only]
    if not wanted:
        raise RangeError("tracks that play in the last bars", "none of those named")
    most = sheets.most_tracks(notation)
    by_notes = sorted(sounding, key=lambda i: (i not in wanted, -len(context.tracks[i])))
    chosen = sorted(by_notes[:most])
    view = replace(edit.select_tracks(chosen)(context), metres=(Metre(0, part.numerator, part.denominator),))
    if model.sees_model_view:
        view = model_view(view)
    instruments = tuple(instrument_of(score.tracks[i]) for i in chosen)
    length = bar_ticks(part, tpq)
    tempos = [Tempo(0, tempo_at(score, begin).quarters_per_minute)]
    tempos += [Tempo(t.onset_ticks - begin, t.quarters_per_minute) for t in score.tempos if t.onset_ticks > begin]
    free = tuple(place for place, i in enumerate(chosen) if i in wanted)
    told_view = View(
        view, instruments, free, part, (start - begin) // length, (stop - start) // length,
        Score((), tpq, tuple(tempos)), start - begin,
    )  # fmt: skip
    told = sheets.told(model, told_view)
    free = tuple(place for place in free if place not in told.silent)
    if not free:
        raise RangeError(
            f"tracks that {notation.name} can tell", ", ".join(score.tracks[i].name for i in chosen) or "none"
        )
    names = [score.tracks[i].name or f"track {i + 1}" for i in range(len(score.tracks))]
    left_out = [names[i] for i in range(len(names)) if i not in chosen]
    merged = [names[chosen[place]] for place in sorted(told.silent)]
    remarks = (f"{notation.name} tells these within other tracks, so they rest: {', '.join(merged)}",) if merged else ()
    words = instruction("continue", view, notation, model.prompts) + "\n" if model.style == "instruct" else ""
    return Sheet(
        words, told.header, told.parts, told.player, told.read, told.bar_units, tuple(chosen), instruments, free,
        part, split, start, stop, told.n_standing, tuple(left_out), remarks,
    )  # fmt: skip


def matched(view: Score, read: Score) -> list[int | None]:
    """For each track that was read, the view's that it tells: the one with most notes in common; None for none."""

    def notes(track: Track, ticks_per_quarter: int) -> set[tuple[int, int]]:
        at = np.rint(track.notes["onset_ticks"] * (24 / ticks_per_quarter)).astype(int)
        return set(zip(at.tolist(), track.notes["pitch"].tolist(), strict=True))

    mine = [notes(track, view.ticks_per_quarter) for track in view.tracks]
    theirs = [notes(track, read.ticks_per_quarter) for track in read.tracks]
    pairs = sorted(
        (-len(a & b), place, number)
        for number, b in enumerate(theirs)
        for place, a in enumerate(mine)
        if a & b and view.tracks[place].is_drums == read.tracks[number].is_drums
    )
    out: list[int | None] = [None] * len(theirs)
    for _, place, number in pairs:
        if out[number] is None and place not in out:
            out[number] = place
    return out
