"""A piece as the model reads it, for each task, and the model's bars as part of the piece.

The piece itself never passes through text: the model reads a view of some bars on the model's grid, and what it writes
is put into the piece in the piece's own resolution, tracks, tunings and fingering. So what is not to be written stays
note for note.

The texts are those that a model was trained on (:mod:`cadenza.corpus.task`). A model that was taught only to continue
is asked in another way, which needs no training: it goes on from the bars before, and the notes that stand already are
told between its own (:mod:`cadenza.infer.given`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cadenza.base.errors import ModelError, RangeError
from cadenza.corpus.excerpts import model_view
from cadenza.corpus.prompts import instruction
from cadenza.corpus.task import accompany_text, infill_text
from cadenza.infer.constrain import Instrument
from cadenza.infer.given import Given
from cadenza.infer.model import ComposerModel, is_barwise
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import MAX_MODEL_TRACKS, MAX_STEP_TICKS, option
from cadenza.score import edit
from cadenza.score.fingering import finger, playable, with_playable_places
from cadenza.score.instruments import family_of, implied_tuning, is_constant, range_of
from cadenza.score.model import NO_FRET, NO_STRING, BarMark, Metre, Score, Track
from cadenza.score.time import BarTable, bar_table, bar_ticks, metre_at, rescaled
from cadenza.score.written import Mark

MAX_CONTEXT_BARS = 64
PASSAGE_BARS = 16  # of the passages on which filling in and accompanying are trained
MAX_GAP_BARS = PASSAGE_BARS // 2
_OF_TRACKS = ("transposition", "staves", "source")  # marks of a track as a whole, which stand at tick 0


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
    @property
    def tasks(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and where its bars belong.

    Args:
        words: what stands before the music: the instruction that the model was trained with, or nothing.
        opening: what a task gives before the header of what is to be written; empty for ``continue``.
        header: header line with its line break.
        bars: the bars that stand after the header already, one text each.
        tracks: the piece's track for each track of the text.
        instruments: what each of them can play.
        metre: the metre of the text; its bars are ``split`` to one of the piece's.
        start_ticks, stop_ticks: where in the piece's time the bars to be written belong.
        given: the tracks that are not to be written, with their notes; None where all are.
        left_out: tracks of the piece that the text leaves out, by name.
        beside: what stands beside the bars to be written, one text each.
        remarks: what the model does not see.
    """

    words: str
    header: str
    bars: tuple[str, ...]
    tracks: tuple[int, ...]
    instruments: tuple[Instrument, ...]
    metre: Metre
    split: int
    start_ticks: int
    stop_ticks: int
    left_out: tuple[str, ...] = ()
    opening: str = ""
    given: Given | None = None
    beside: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def n_bars(self, ticks_per_quarter: int) -> int:
        """Bars of the text to be written, in a piece of this resolution."""
        return (self.stop_ticks - self.start_ticks) // bar_ticks(self.metre, ticks_per_quarter)

    @property
    def free(self) -> tuple[int, ...]:
        """Tracks of the text that are written."""
        fixed = self.given.tracks if self.given else frozenset()
        return tuple(track for track in range(len(self.tracks)) if track not in fixed)


# ── the tasks ────────────────────────────────────────────────────────────────────────────────────────────


def read_seed(
    score: Score,
    model: Reader,
    *,
    bars: int = 1,
    metre: Metre | None = None,
    only: Sequence[int] | None = None,
    max_bars: int = MAX_CONTEXT_BARS,
) -> Prompt:
    """The prompt to continue a piece: its last bars in one metre, in the model's notation and wording.

    Args:
        bars: how many to write.
        metre: of these, where it is to change; the seed is told in it, too.
        only: the tracks that go on; the others rest.

    Raises:
        RangeError: the piece has no notes, or the metre is beyond the model's notation.
    """
    if not score.n_notes:
        raise RangeError("a seed with notes", "none", hint="Continue a piece that has begun, or compose a new one.")
    table = bar_table(score)
    last = metre_at(score, int(table.starts_ticks[-1]))
    start_ticks = int(table.starts_ticks[-1]) + bar_ticks(last, score.ticks_per_quarter)
    first = run_before(table, len(table) - 1, last, score.ticks_per_quarter, max_bars - 1)
    begin = int(table.starts_ticks[first])
    told = metre or last
    if metre is not None:  # as many bars of the new metre as the old bars hold, counted from the end
        begin += (start_ticks - begin) % bar_ticks(metre, score.ticks_per_quarter)
    frame = _Frame.of(score, model, begin, start_ticks, told, must=())
    header, texts = frame.text(0, None)
    if not texts:
        raise RangeError("a seed of at least one bar of the new metre", "a shorter one")
    given = None
    if only is not None:
        resting = [place for place, index in enumerate(frame.tracks) if index not in only]
        given = Given(frozenset(resting), {})
        if len(resting) == len(frame.tracks):
            raise RangeError("tracks that play in the last bars", "none of those named")
    length = bar_ticks(told, score.ticks_per_quarter)
    return frame.prompt("continue", header, start_ticks, start_ticks + bars * length, bars=texts, given=given)


def read_gap(
    score: Score,
    model: ComposerModel,
    first: int,
    stop: int,
    only: Sequence[int] | None = None,
    ahead: bool = True,
) -> Prompt:
    """The prompt to fill in bars ``first`` … ``stop`` − 1 (counted from 0) of all tracks, or of ``only`` these.

    Args:
        ahead: what stands after the bars is read, where the model was taught to.

    Raises:
        RangeError: no such bars, bars of several metres or lengths, or a metre beyond the model's notation.
    """
    table = bar_table(score)
    if not 0 <= first < stop <= len(table):
        raise RangeError(f"bars within 1–{len(table)}", f"{first + 1}–{stop}")
    if not score.n_notes:
        raise RangeError("a piece with notes", "none", hint="Compose a new one.")
    metre, tpq = table.metres[first], score.ticks_per_quarter
    if run_before(table, stop - 1, metre, tpq, stop - 1 - first) > first or not _is_full(table, stop - 1, metre, tpq):
        hint = "Fill in bar by bar."
        raise RangeError("full bars of one metre", "others among them", where=f"bars {first + 1}–{stop}", hint=hint)
    targets = tuple(range(len(score.tracks))) if only is None else tuple(only)
    taught = "infill" in model.tasks
    knows = taught and ahead
    room = PASSAGE_BARS - (stop - first) if knows else MAX_CONTEXT_BARS
    n_after = 0
    while stop + n_after < len(table) and n_after < max(room // 2, 2) and _is_full(table, stop + n_after, metre, tpq):
        n_after += 1
    n_after = n_after if knows else 0
    n_before = first - run_before(table, first, metre, tpq, max(room - n_after, 2)) if first else 0
    start, end = int(table.starts_ticks[first]), int(table.ends_ticks[stop - 1])
    while True:
        begin = int(table.starts_ticks[first - n_before])
        frame = _Frame.of(score, model, begin, int(table.ends_ticks[stop + n_after - 1]), metre, must=only or ())
        split, n_gap = frame.split, (stop - first) * frame.split
        middle = n_before * split
        header, told = frame.text(middle, middle + n_gap, without=targets)
        fixed = [place for place, index in enumerate(frame.tracks) if index not in targets]
        if not knows:
            whole, bars = frame.text(0, middle + n_gap, without_in_gap=(targets, middle))
            given = Given.of(model.notation.decode(whole + " ".join(bar.strip() for bar in bars)), fixed)
            here = tuple(bars[:middle])
            remarks = (
                () if taught else ("the model was taught only to continue: it does not read what follows the bars",)
            )
            return frame.prompt(
                "continue", whole, start, end, bars=here, given=given if fixed else None, beside=told, remarks=remarks
            )
        before, after = (frame.joined(0, middle), frame.joined(middle + n_gap, None))
        opening = infill_text(before, after, n_gap)
        if len(model.vocabulary.tokenize(opening)) > model.context_tokens * 5 // 8 and n_before + n_after > 2:
            n_before, n_after = max(n_before * 2 // 3, min(n_before, 1)), max(n_after * 2 // 3, min(n_after, 1))
            continue
        given = Given.of(model.notation.decode(header + " ".join(bar.strip() for bar in told)), fixed)
        given_or_none = given if fixed else None
        return frame.prompt("infill", header, start, end, opening=opening, given=given_or_none, beside=told)


def read_others(score: Score, model: Reader, first: int, stop: int, track: int, standing: int = 0) -> Prompt:
    """The prompt to write bars ``first`` … ``stop`` − 1 of one track beside the others.

    Args:
        standing: how many of these bars the track has already.

    Raises:
        RangeError: a metre beyond the model's notation, or bars in which nothing else plays.
    """
    table = bar_table(score)
    metre = table.metres[first]
    frame = _Frame.of(
        score, model, int(table.starts_ticks[first]), int(table.ends_ticks[stop - 1]), metre, must=(track,)
    )
    start, end = int(table.starts_ticks[first + standing]), int(table.ends_ticks[stop - 1])
    mine = frame.tracks.index(track)
    others = [place for place in range(len(frame.tracks)) if place != mine]
    if not others:
        raise RangeError("tracks to play with", "none that sound", where=f"bars {first + 1}–{stop}")
    there = standing * frame.split
    if "accompany" not in model.tasks:
        header, bars = frame.text(0, None, without_in_gap=((track,), there))
        given = Given.of(model.notation.decode(header + " ".join(bar.strip() for bar in bars)), others)
        remarks = ("the model was taught only to continue: of the others it reads what has sounded, not what comes",)
        beside = frame.text(there, None, keep=others)[1]
        return frame.prompt(
            "continue", header, start, end, bars=bars[:there], given=given, beside=beside, remarks=remarks
        )
    opening = accompany_text(frame.joined(0, None, keep=others), family_of(score.tracks[track]))
    header, bars = frame.text(0, None, keep=[mine])
    alone = replace(
        frame, tracks=(track,), instruments=(frame.instruments[mine],), view=edit.select_tracks([mine])(frame.view)
    )
    beside = frame.text(there, None, keep=others)[1]
    return alone.prompt("accompany", header, start, end, opening=opening, bars=bars[:there], beside=beside)


def read_nothing(score: Score, model: Reader, bars: int) -> Prompt:
    """The prompt to begin a piece: ``score`` has tracks, a tempo and a metre, and no notes.

    Raises:
        RangeError: no tracks or too many, or a metre beyond the model's notation.
    """
    if not 1 <= len(score.tracks) <= MAX_MODEL_TRACKS:
        raise RangeError(f"1 to {MAX_MODEL_TRACKS} tracks", str(len(score.tracks)))
    metre = metre_at(score, 0)
    stop = bars * bar_ticks(metre, score.ticks_per_quarter)
    frame = _Frame.of(score, model, 0, stop, metre, must=tuple(range(len(score.tracks))))
    header, _ = frame.text(0, 1)
    return frame.prompt("continue", header, 0, stop)


# ── the view ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Frame:
    """Some bars of a piece as the model sees them.

    Args:
        view: these bars alone, from time 0.
        tracks: the piece's track for each of the view's.
    """

    model: Reader
    view: Score
    tracks: tuple[int, ...]
    instruments: tuple[Instrument, ...]
    metre: Metre
    split: int
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, score: Score, model: Reader, begin: int, stop: int, metre: Metre, must: Sequence[int]) -> _Frame:
        """Ticks ``begin`` … ``stop`` of ``score``, full bars of ``metre``; the tracks that sound there and ``must``."""
        if not is_barwise(model.notation):
            raise ModelError("a model of simplified-midi with bar words on one time line", model.notation.name)
        longest = MAX_STEP_TICKS if model.has_fields else None
        part, split = metre_of_model(metre, resolution_of(model.notation, score), longest)
        context = edit.select_ticks(begin, stop).apply(replace(score, bars=()))
        context = replace(context, metres=(Metre(0, part.numerator, part.denominator),))
        sounding = [i for i, t in enumerate(context.tracks) if len(t)]
        if not sounding and not must:  # a piece that is silent there is told with the tracks that play anywhere
            sounding = [i for i, t in enumerate(score.tracks) if len(t)]
        by_notes = sorted((i for i in sounding if i not in must), key=lambda i: -len(score.tracks[i]))
        chosen = sorted([*must[:MAX_MODEL_TRACKS], *by_notes][:MAX_MODEL_TRACKS])
        view = edit.select_tracks(chosen).apply(context)
        if model.sees_model_view:
            view = model_view(view)
        missing = tuple(score.tracks[i].name or f"track {i + 1}" for i in range(len(score.tracks)) if i not in chosen)
        instruments = tuple(instrument_of(score.tracks[i]) for i in chosen)
        return cls(model, view, tuple(chosen), instruments, part, split, missing)

    def text(
        self,
        first: int,
        stop: int | None,
        *,
        keep: Sequence[int] | None = None,
        without: Sequence[int] = (),
        without_in_gap: tuple[Sequence[int], int] = ((), 0),
    ) -> tuple[str, tuple[str, ...]]:
        """Header (with its line break) and bars (each with a blank before it) of the view's bars ``first`` … ``stop``.

        Args:
            keep: only these of the view's tracks.
            without: tracks of the piece that are told without notes.
            without_in_gap: the same from a bar on: the tracks, and the bar.
        """
        length = bar_ticks(self.metre, self.view.ticks_per_quarter)
        end = self.view.length_ticks if stop is None else stop * length
        gone, from_bar = without_in_gap
        tracks = []
        for index, track in zip(self.tracks, self.view.tracks, strict=True):
            if index in without:
                track = track.keep(np.zeros(len(track), bool))
            elif index in gone:
                track = track.keep(track.notes["onset_ticks"] < from_bar * length)
            tracks.append(track)
        part = self.view.with_tracks(tracks if keep is None else [tracks[place] for place in keep])
        if end == first * length:
            empty = replace(part, tracks=_emptied(part), length_ticks=length)
            return self.model.notation.encode(empty).split("\n")[0] + "\n", ()
        header, _, body = self.model.notation.encode(edit.select_ticks(first * length, end)(part)).partition("\n")
        return header + "\n", tuple(" |" + bar.rstrip() for bar in body.split("|")[1:])

    def joined(self, first: int, stop: int | None, keep: Sequence[int] | None = None) -> str:
        """The same as one text; no bars are told as one that is empty."""
        header, bars = self.text(first, stop, keep=keep)
        return header + ("".join(bars).strip() or "|")

    def prompt(
        self,
        task: str,
        header: str,
        start: int,
        stop: int,
        *,
        opening: str = "",
        bars: Sequence[str] = (),
        given: Given | None = None,
        beside: Sequence[str] = (),
        remarks: tuple[str, ...] = (),
    ) -> Prompt:
        """The prompt of a task."""
        model = self.model
        wants_words = model.style == "instruct"
        words = instruction(task, self.view, model.notation, model.prompts) + "\n" if wants_words else ""
        return Prompt(
            words, header, tuple(bars), self.tracks, self.instruments, self.metre, self.split, start, stop,
            self.left_out, opening, given, tuple(beside), remarks,
        )  # fmt: skip


def _emptied(score: Score) -> tuple[Track, ...]:
    return tuple(track.keep(np.zeros(len(track), bool)) for track in score.tracks)


def _is_full(table: BarTable, bar: int, metre: Metre, ticks_per_quarter: int) -> bool:
    here = table.metres[bar]
    same = (here.numerator, here.denominator) == (metre.numerator, metre.denominator)
    return same and table.ends_ticks[bar] - table.starts_ticks[bar] == bar_ticks(metre, ticks_per_quarter)


def run_before(table: BarTable, bar: int, metre: Metre, ticks_per_quarter: int, most: int) -> int:
    """The first of at most ``most`` full bars of ``metre`` that lead to ``bar``."""
    first = bar
    while first > 0 and bar - first < most and _is_full(table, first - 1, metre, ticks_per_quarter):
        first -= 1
    return first


def full_runs(score: Score) -> list[tuple[int, int]]:
    """(first, stop) of the runs of full bars in one metre."""
    table, out, bar = bar_table(score), [], 0
    while bar < len(table):
        stop = bar
        while stop < len(table) and _is_full(table, stop, table.metres[bar], score.ticks_per_quarter):
            stop += 1
        if stop > bar:
            out.append((bar, stop))
        bar = max(stop, bar + 1)
    return out


def resolution_of(notation: SimplifiedMidi, score: Score) -> int:
    """Ticks a quarter of the text."""
    kind, count = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    return count if kind == "grid" else score.ticks_per_quarter


def metre_of_model(metre: Metre, ticks_per_quarter: int, longest: int | None) -> tuple[Metre, int]:
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


def instrument_of(track: Track) -> Instrument:
    """What a track can play: its range, strings and frets where it has or implies them and its notes fit."""
    low, high = range_of(track)
    tuning = implied_tuning(track)
    if tuning and not track.tuning and not _fits(track, tuning):
        tuning = ()
    if tuning:
        low, high = min(tuning) + track.capo_fret, max(tuning) + 24
    return Instrument(low, high, tuning, track.capo_fret, may_bend=bool(tuning), is_drums=track.is_drums)


def _fits(track: Track, tuning: tuple[int, ...]) -> bool:
    """Whether a track without strings could be played in ``tuning`` chord by chord."""
    bounds = np.flatnonzero(np.diff(track.notes["onset_ticks"])) + 1
    chords = np.split(track.notes["pitch"], bounds)
    return all(playable(tuple(np.unique(chord).tolist()), tuning, track.capo_fret) for chord in chords)


# ── back into the piece ──────────────────────────────────────────────────────────────────────────────────


class Placed(Protocol):
    """Where in a piece what is written belongs; see :class:`Prompt`."""

    @property
    def tracks(self) -> tuple[int, ...]: ...
    @property
    def free(self) -> tuple[int, ...]: ...
    @property
    def start_ticks(self) -> int: ...
    @property
    def stop_ticks(self) -> int: ...


def put(score: Score, prompt: Placed, written: Score, keeps_frets: bool = False) -> Score:
    """The piece with what was written in its place.

    Args:
        keeps_frets: strings and frets are as written (of the track's own tuning), where a hand can play them.
        written: the model's bars alone, from time 0, on the model's grid, with all tracks of the text.

    Everything else stays as it is: other tracks, notes that start elsewhere, maps and marks. Notes that would ring
    beyond the last bar written end with it. On a piece coarser than the model's grid onsets can fall together: what
    cannot be played then is left out.
    """
    fine, tpq = written.ticks_per_quarter, score.ticks_per_quarter
    length = prompt.stop_ticks - prompt.start_ticks
    tracks = list(score.tracks)
    for place in prompt.free:
        index, new = prompt.tracks[place], written.tracks[place]
        track = score.tracks[index]
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
        if not keeps_frets or not track.tuning:
            notes["string"], notes["fret"] = NO_STRING, NO_FRET
        part = replace(track, notes=notes, bends=bends, controls=track.controls[:0], beats=track.beats[:0], marks=())
        part = part.keep(notes["onset_ticks"] < length)
        if part.tuning and not part.is_drums:
            part = with_playable_places(part) if keeps_frets else part
            part = finger(part, unplayable="drop")
        tracks[index] = _with_part(_cleared(track, prompt.start_ticks, prompt.stop_ticks), part, prompt.start_ticks)
    marks = score.bars
    goes_on = score.n_notes and prompt.start_ticks >= score.length_ticks
    if goes_on and bar_table(score).ends_ticks[-1] != prompt.start_ticks:
        marks = (*marks, BarMark(prompt.start_ticks))
    length_ticks = max(score.length_ticks, prompt.stop_ticks)
    return replace(score, tracks=tuple(tracks), bars=marks, length_ticks=length_ticks)


def _cleared(track: Track, start: int, stop: int) -> Track:
    """The track without the notes that start in [start, stop), and without what is written about them."""
    onset = track.notes["onset_ticks"]
    inside = (onset >= start) & (onset < stop)
    kept = track.keep(~inside) if inside.any() else track
    at = kept.beats["onset_ticks"]
    overlaps = (at < stop) & (at + kept.beats["duration_ticks"] > start)

    def stays(mark: Mark) -> bool:
        return mark.kind in _OF_TRACKS or not start <= mark.onset_ticks < stop

    if not overlaps.any() and all(map(stays, kept.marks)):
        return kept
    return replace(kept, beats=kept.beats[~overlaps], marks=tuple(mark for mark in kept.marks if stays(mark)))


def _with_part(track: Track, part: Track, start_ticks: int) -> Track:
    notes, bends = part.notes.copy(), part.bends.copy()
    notes["onset_ticks"] += start_ticks
    bends["note"] += len(track)
    return replace(track, notes=np.concatenate([track.notes, notes]), bends=np.concatenate([track.bends, bends]))
