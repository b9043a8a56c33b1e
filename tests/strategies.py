"""Hypothesis strategies for scores, for the laws of all notations and formats.

:func:`scores` draws everything that a Score can hold, with a taste for trouble: notes that overlap, nest and
coincide at equal pitch, notes without duration, bends that reach the note's end, controllers at one tick. A
format that refuses some of it narrows it by options (``scores(drums=False, max_bend_cents=200)``).
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from cadenza.score.model import (
    CONTROL_DTYPE,
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.written import BEAT_DTYPE, DIRECTIONS, MARK_KINDS, Mark
from tests.tape import Tape

ALL_TECHNIQUES = Technique(sum(Technique))
EACH_TECHNIQUE, EACH_MARK, EACH_TUNING = list(Technique), sorted(MARK_KINDS), sorted(STANDARD_TUNINGS.values())


def examples(few: int) -> int:
    """How many examples a law draws: ``few``, or as many as the environment variable CADENZA_EXAMPLES asks for."""
    return int(os.environ.get("CADENZA_EXAMPLES", few))


# No unpaired surrogates: they are no text.
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12), st.sampled_from(["", "Guitar", "Сюита", "é", "旋律", "a:b c"])
)


@st.composite
def bend_points(draw: st.DrawFn, duration_ticks: int, max_cents: int = 400) -> tuple[Bend, ...]:
    """Points of one note's curve, from one to six, within its duration."""
    return _curve(Tape(draw), duration_ticks, max_cents)


def _curve(tape: Tape, duration_ticks: int, max_cents: int) -> tuple[Bend, ...]:
    offsets = {tape.between(0, duration_ticks) for _ in range(1 + tape.below(6))}
    points = []
    for offset in sorted(offsets):
        cents = tape.pick([0, 100, 200, -100]) if tape.one_in(2) else tape.between(-max_cents, max_cents)
        points.append(Bend(offset, max(-max_cents, min(max_cents, cents))))
    return tuple(points)


def _note(
    tape: Tape,
    tuning: tuple[int, ...] = (),
    max_ticks: int = 4_000,
    grid_ticks: int = 120,
    bends: bool = True,
    max_bend_cents: int = 400,
    techniques: Technique = ALL_TECHNIQUES,
    zero_durations: bool = True,
    max_voice: int = 3,
    spelling: bool = True,
    strings: bool = True,
) -> Note:
    """One note; on a track with a ``tuning`` mostly with a string and a fret that sound its pitch."""
    # Few onsets and few pitches, so that notes meet.
    onset = tape.between(0, max_ticks) if tape.one_in(2) else grid_ticks * tape.below(13)
    short = [0] * zero_durations + [grid_ticks // 2 or 1, grid_ticks, 2 * grid_ticks]
    duration = tape.between(1, max(1, max_ticks // 4)) if tape.one_in(2) else tape.pick(short)
    pitch = tape.between(0, 127) if tape.one_in(2) else tape.between(58, 62)
    string, fret = NO_STRING, NO_FRET
    if tuning and strings and tape.below(5):
        string, fret = tape.between(1, len(tuning)), tape.between(0, 22)
        pitch = tuning[string - 1] + fret
    marks = Technique.NONE
    for technique in tape.some(3, lambda: tape.pick(EACH_TECHNIQUE)):
        marks |= technique & techniques
    velocity, voice = tape.between(1, 127), tape.between(0, max_voice)
    spelled = tape.between(-15, 19) if spelling and tape.one_in(2) else NO_SPELLING
    curve = _curve(tape, duration, max_bend_cents) if bends and tape.one_in(3) else ()
    return Note(onset, duration, pitch, velocity, curve, string, fret, marks, voice, spelled)


def _on_one_wheel(tape: Tape, listed: list[Note], max_cents: int) -> list[Note]:
    """The notes with the curves that one wheel, jumping at a few ticks, would give them (as MIDI files have)."""
    ends = sorted({tick for note in listed for tick in (note.onset_ticks, note.offset_ticks)})

    def jump() -> tuple[int, int]:
        at = tape.between(0, ends[-1]) if tape.one_in(3) else tape.pick(ends) + tape.below(2)
        return at, tape.pick([0, 50, min(200, max_cents), -max_cents])

    wheel = sorted(dict(tape.some(8, jump)).items())
    out = []
    for note in listed:
        before = [cents for tick, cents in wheel if tick <= note.onset_ticks]
        points = {0: before[-1] if before else 0}
        # The jump at the very end may come before or after the note's end.
        last = note.offset_ticks - tape.below(2)
        for tick, cents in wheel:
            if note.onset_ticks < tick <= last:
                points.setdefault(tick - note.onset_ticks - 1, list(points.values())[-1])
                points[tick - note.onset_ticks] = cents
        out.append(replace(note, bends=tuple(Bend(*point) for point in points.items())))
    return out


def _written_beats(tape: Tape, max_ticks: int, grid_ticks: int) -> np.ndarray:
    """Beats of some voices, mostly one after another, as any source might claim them."""
    rows = []
    for voice in dict.fromkeys(tape.some(2, lambda: tape.below(4))):
        at = tape.pick([0, 0, grid_ticks, 7])
        for _ in range(tape.below(9)):
            value, dots = tape.pick([1, 2, 4, 8, 16]), tape.pick([0, 0, 1])
            enters, times = tape.pick([(1, 1), (1, 1), (3, 2), (5, 4)])
            length = max(1, 16 * grid_ticks * times * (2 + dots) // (value * enters * 2))
            rows.append((at, tape.pick([length, length, 5]), voice, value, dots, enters, times))
            at += length + tape.pick([0, 0, 0, grid_ticks])
    return np.array([row for row in rows if row[0] < max_ticks], BEAT_DTYPE)


def _somewhere(tape: Tape, max_ticks: int) -> int:
    """A tick, often one at which other things are too."""
    return tape.between(0, max_ticks) if tape.one_in(2) else 480 * tape.below(9)


def _written_mark(draw: st.DrawFn, max_ticks: int, texts: st.SearchStrategy[str]) -> Mark:
    """A mark of any kind, anywhere, with any values: what a source may say."""
    tape = Tape(draw)
    return Mark(
        _somewhere(tape, max_ticks),
        tape.pick(EACH_MARK),
        tape.between(0, 3),
        tape.between(0, 7),
        tape.between(0, 127) if tape.one_in(2) else -1,
        tuple(tape.some(5, lambda: tape.between(-300, 300))),
        draw(texts),
    )


@st.composite
def tracks(
    draw: st.DrawFn,
    max_notes: int = 20,
    drums: bool = True,
    tunings: bool = True,
    controls: bool = True,
    written: bool = True,
    max_ticks: int = 4_000,
    grid_ticks: int = 120,
    texts: st.SearchStrategy[str] = TEXTS,
    **note_options: object,
) -> Track:
    """One track: pitched, fretted (six strings, four, or a tuning of its own) or drums.

    The ``note_options`` are those of :func:`_note`.
    """
    tape = Tape(draw)
    kind = tape.pick(["pitched", *(["fretted"] if tunings else []), *(["drums"] if drums else [])])
    tuning: tuple[int, ...] = ()
    if kind == "fretted":
        own = tape.one_in(2)
        opened = [tape.between(28, 70) for _ in range(1 + tape.below(8))] if own else tape.pick(EACH_TUNING)
        tuning = tuple(sorted(opened, reverse=True)) if own else tuple(opened)
    program, capo = tape.between(0, 127), tape.between(0, 5)
    bends, max_cents = note_options.get("bends", True), note_options.get("max_bend_cents", 400)

    def control() -> tuple[int, int, int]:
        if tape.one_in(2):
            return 2 * grid_ticks * tape.below(9), tape.between(0, 127), tape.between(0, 127)
        return tape.between(0, max_ticks), tape.pick([0, 1, 7, 10, 11, 32, 64, 121]), tape.between(0, 127)

    # The numbers of notes and marks are draws of their own: shrinking lowers them and drops what they counted.
    listed = [
        _note(Tape(draw), tuning, max_ticks, grid_ticks, **note_options)  # type: ignore[arg-type]
        for _ in range(draw(st.integers(0, max_notes)))
    ]
    if listed and bends and tape.one_in(2):
        listed = _on_one_wheel(Tape(draw), listed, max_cents)  # type: ignore[arg-type]
    return Track.of(
        listed,
        name=draw(texts),
        program=program,
        is_drums=kind == "drums",
        tuning=tuning,
        capo_fret=capo if tuning else 0,
        controls=np.array(tape.some(6, control) if controls else [], CONTROL_DTYPE),
        beats=_written_beats(Tape(draw), max_ticks, grid_ticks) if written else np.zeros(0, BEAT_DTYPE),
        marks=tuple(_written_mark(draw, max_ticks, texts) for _ in range(draw(st.integers(0, 4)))) if written else (),
    )


@st.composite
def scores(
    draw: st.DrawFn,
    max_tracks: int = 6,
    resolutions: tuple[int, ...] = (1, 24, 96, 480, 960, 32_767),
    maps: bool = True,
    bar_marks: bool = True,
    markers: bool = True,
    max_ticks: int = 4_000,
    texts: st.SearchStrategy[str] = TEXTS,
    **track_options: object,
) -> Score:
    """A score of up to ``max_tracks`` tracks. Further options go to :func:`tracks` and :func:`_note`."""
    tape = Tape(draw)
    ticks_per_quarter = tape.pick(resolutions)
    if ticks_per_quarter == 1 and not tape.one_in(8):
        max_ticks = min(max_ticks, 400)  # hours of empty bars take seconds to write: drawn, but seldom
    one = tracks(max_ticks=max_ticks, texts=texts, **track_options)  # type: ignore[arg-type]
    listed = tuple(draw(st.lists(one, max_size=max_tracks)))

    def tick() -> int:
        return _somewhere(tape, max_ticks)

    def tempo() -> Tempo:
        odd = tape.one_in(2)
        return Tempo(tick(), draw(st.floats(4.0, 1_000.0)) if odd else tape.between(40, 240))

    def metre() -> Metre:
        return Metre(tick(), tape.between(1, 17), tape.pick([1, 2, 4, 8, 16]))

    def key() -> Key:
        return Key(tick(), tape.between(-7, 7), tape.pick(["major", "minor"]))

    def bar() -> BarMark:
        endings = tape.pick([(), (), (1,), (2,), (1, 3)])
        directions = tuple(tape.some(2, lambda: tape.pick(DIRECTIONS)))
        return BarMark(tick(), tape.one_in(2), tape.between(0, 3), endings, directions)

    return Score(
        tracks=listed,
        ticks_per_quarter=ticks_per_quarter,
        length_ticks=tape.between(0, 2 * max_ticks),
        tempos=tuple(tape.some(4, tempo)) if maps else (),
        metres=tuple(tape.some(3, metre)) if maps else (),
        keys=tuple(tape.some(3, key)) if maps else (),
        bars=tuple(tape.some(4, bar)) if bar_marks else (),
        markers=tuple(Marker(tick(), draw(texts)) for _ in range(tape.below(4))) if markers else (),
        title=draw(texts),
        composer=draw(texts),
    )
