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

ALL_TECHNIQUES = Technique(sum(Technique))


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
    offsets = draw(st.lists(st.integers(0, duration_ticks), unique=True, min_size=1, max_size=6))
    cents = st.one_of(st.sampled_from([0, 100, 200, -100]), st.integers(-max_cents, max_cents))
    return tuple(Bend(offset, max(-max_cents, min(max_cents, draw(cents)))) for offset in sorted(offsets))


@st.composite
def notes(
    draw: st.DrawFn,
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
    onset = draw(st.one_of(st.integers(0, 12).map(lambda i: i * grid_ticks), st.integers(0, max_ticks)))
    short = [0] * zero_durations + [grid_ticks // 2 or 1, grid_ticks, 2 * grid_ticks]
    duration = draw(st.one_of(st.sampled_from(short), st.integers(1, max(1, max_ticks // 4))))
    pitch = draw(st.one_of(st.integers(58, 62), st.integers(0, 127)))
    string, fret = NO_STRING, NO_FRET
    if tuning and strings and draw(st.integers(0, 4)):
        string = draw(st.integers(1, len(tuning)))
        fret = draw(st.integers(0, 22))
        pitch = tuning[string - 1] + fret
    marks = Technique.NONE
    for technique in draw(st.lists(st.sampled_from(list(Technique)), max_size=3)):
        marks |= technique & techniques
    curve = draw(bend_points(duration, max_bend_cents)) if bends and draw(st.integers(0, 2)) == 0 else ()
    return Note(
        onset,
        duration,
        pitch,
        draw(st.integers(1, 127)),
        curve,
        string,
        fret,
        marks,
        draw(st.integers(0, max_voice)),
        draw(st.one_of(st.just(NO_SPELLING), st.integers(-15, 19))) if spelling else NO_SPELLING,
    )


@st.composite
def _on_one_wheel(draw: st.DrawFn, listed: list[Note], max_cents: int) -> list[Note]:
    """The notes with the curves that one wheel, jumping at a few ticks, would give them (as MIDI files have)."""
    ends = sorted({tick for note in listed for tick in (note.onset_ticks, note.offset_ticks)})
    ticks = st.one_of(st.sampled_from(ends), st.sampled_from(ends).map(lambda tick: tick + 1), st.integers(0, ends[-1]))
    wheel = draw(st.dictionaries(ticks, st.sampled_from([0, 50, min(200, max_cents), -max_cents]), max_size=8))
    out = []
    for note in listed:
        before = [cents for tick, cents in sorted(wheel.items()) if tick <= note.onset_ticks]
        points = {0: before[-1] if before else 0}
        # The jump at the very end may come before or after the note's end.
        last = note.offset_ticks - draw(st.sampled_from([0, 1]))
        for tick, cents in sorted(wheel.items()):
            if note.onset_ticks < tick <= last:
                points.setdefault(tick - note.onset_ticks - 1, list(points.values())[-1])
                points[tick - note.onset_ticks] = cents
        out.append(replace(note, bends=tuple(Bend(*point) for point in points.items())))
    return out


@st.composite
def written_beats(draw: st.DrawFn, max_ticks: int = 4_000, grid_ticks: int = 120, max_voice: int = 3) -> np.ndarray:
    """Beats of some voices, mostly one after another, as any source might claim them."""
    rows = []
    for voice in draw(st.lists(st.integers(0, max_voice), max_size=2, unique=True)):
        at = draw(st.sampled_from([0, 0, grid_ticks, 7]))
        for _ in range(draw(st.integers(0, 8))):
            value, dots = draw(st.sampled_from([1, 2, 4, 8, 16])), draw(st.sampled_from([0, 0, 1]))
            enters, times = draw(st.sampled_from([(1, 1), (1, 1), (3, 2), (5, 4)]))
            length = max(1, 16 * grid_ticks * times * (2 + dots) // (value * enters * 2))
            rows.append((at, draw(st.sampled_from([length, length, 5])), voice, value, dots, enters, times))
            at += length + draw(st.sampled_from([0, 0, 0, grid_ticks]))
    return np.array([row for row in rows if row[0] < max_ticks], BEAT_DTYPE)


@st.composite
def written_marks(draw: st.DrawFn, max_ticks: int = 4_000, texts: st.SearchStrategy[str] = TEXTS) -> Mark:
    """A mark of any kind, anywhere, with any values: what a source may say."""
    return Mark(
        draw(st.one_of(st.integers(0, 8).map(lambda i: i * 480), st.integers(0, max_ticks))),
        draw(st.sampled_from(sorted(MARK_KINDS))),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 7)),
        draw(st.one_of(st.just(-1), st.integers(0, 127))),
        tuple(draw(st.lists(st.integers(-300, 300), max_size=5))),
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
    """One track: pitched, fretted (six strings, four, or a tuning of its own) or drums."""
    kinds = ["pitched", *(["fretted"] if tunings else []), *(["drums"] if drums else [])]
    kind = draw(st.sampled_from(kinds))
    tuning: tuple[int, ...] = ()
    if kind == "fretted":
        own = st.lists(st.integers(28, 70), min_size=1, max_size=8).map(lambda open: tuple(sorted(open, reverse=True)))
        tuning = draw(st.one_of(st.sampled_from(sorted(STANDARD_TUNINGS.values())), own))
    one = notes(tuning=tuning, max_ticks=max_ticks, grid_ticks=grid_ticks, **note_options)  # type: ignore[arg-type]
    events = st.tuples(st.integers(0, 8).map(lambda i: 2 * i * grid_ticks), st.integers(0, 127), st.integers(0, 127))
    common = st.tuples(st.integers(0, max_ticks), st.sampled_from([0, 1, 7, 10, 11, 32, 64, 121]), st.integers(0, 127))
    n_notes = draw(st.integers(0, max_notes))  # lists of free length are mostly very short
    listed = draw(st.lists(one, min_size=n_notes, max_size=n_notes))
    if listed and note_options.get("bends", True) and draw(st.booleans()):
        listed = draw(_on_one_wheel(listed, note_options.get("max_bend_cents", 400)))  # type: ignore[arg-type]
    return Track.of(
        listed,
        name=draw(texts),
        program=draw(st.integers(0, 127)),
        is_drums=kind == "drums",
        tuning=tuning,
        capo_fret=draw(st.integers(0, 5)) if tuning else 0,
        controls=np.array(draw(st.lists(st.one_of(common, events), max_size=6)) if controls else [], CONTROL_DTYPE),
        beats=draw(written_beats(max_ticks, grid_ticks)) if written else np.zeros(0, BEAT_DTYPE),
        marks=tuple(draw(st.lists(written_marks(max_ticks, texts), max_size=4))) if written else (),
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
    """A score of up to ``max_tracks`` tracks. Further options go to :func:`tracks` and :func:`notes`."""
    ticks = st.one_of(st.integers(0, 8).map(lambda i: i * 480), st.integers(0, max_ticks))
    tempo = st.one_of(st.integers(40, 240), st.floats(4.0, 1_000.0, allow_nan=False))
    metre = st.tuples(st.integers(1, 17), st.sampled_from([1, 2, 4, 8, 16]))
    bar_mark = st.builds(
        BarMark,
        ticks,
        st.booleans(),
        st.integers(0, 3),
        st.sampled_from([(), (), (1,), (2,), (1, 3)]),
        st.lists(st.sampled_from(DIRECTIONS), max_size=2).map(tuple),
    )
    key = st.builds(Key, ticks, st.integers(-7, 7), st.sampled_from(["major", "minor"]))
    one = tracks(max_ticks=max_ticks, texts=texts, **track_options)  # type: ignore[arg-type]
    return Score(
        tracks=tuple(draw(st.lists(one, max_size=max_tracks))),
        ticks_per_quarter=draw(st.sampled_from(resolutions)),
        tempos=tuple(draw(st.lists(st.builds(Tempo, ticks, tempo), max_size=4))) if maps else (),
        metres=tuple(Metre(draw(ticks), *draw(metre)) for _ in range(draw(st.integers(0, 3)))) if maps else (),
        keys=tuple(draw(st.lists(key, max_size=3))) if maps else (),
        bars=tuple(draw(st.lists(bar_mark, max_size=4))) if bar_marks else (),
        markers=tuple(draw(st.lists(st.builds(Marker, ticks, texts), max_size=3))) if markers else (),
        title=draw(texts),
        composer=draw(texts),
        length_ticks=draw(st.integers(0, 2 * max_ticks)),
    )
