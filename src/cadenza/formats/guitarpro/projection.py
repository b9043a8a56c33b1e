"""What a .gp5 file cannot hold of a Score, as Edits: ``read(write(s)) == project(s, PROJECTION)``.

Nothing of a score that came from a Guitar Pro file is touched, except where the file itself overlaps two notes
on one string of one voice, or a bar holds more than its metre.
"""

from __future__ import annotations

from dataclasses import replace

from cadenza.score.edit import Edit, drop_controls, drop_marks, drop_spelling, map_column, project, rescale
from cadenza.score.leading import mark_dangling, play_dangling
from cadenza.score.model import Marker, Score, Track
from cadenza.score.tab import effects
from cadenza.score.tab.fit import (
    TICKS_PER_QUARTER,
    arranged,
    bars_on_64ths,
    eight_dynamics,
    one_harmonic,
    playable,
    settled,
    whole_tempos,
)
from cadenza.score.written import MARK_KINDS

ENCODING = "cp1252"
NAME_BYTES, TEXT_BYTES, CHORD_BYTES = 40, 255, 22
LEFT_OUT = tuple(kind for kind in MARK_KINDS if kind not in {*effects.BEAT_KINDS, *effects.NOTE_KINDS})


def _text(text: str, n_bytes: int) -> str:
    return text.encode(ENCODING, "replace")[:n_bytes].decode(ENCODING)


def _texts(score: Score) -> Score:
    def of_track(track: Track) -> Track:
        marks = tuple(
            replace(mark, text=_text(mark.text, CHORD_BYTES if mark.kind == "chord" else TEXT_BYTES))
            for mark in track.marks
        )
        return replace(track, name=_text(track.name, NAME_BYTES), marks=marks)

    return replace(
        score,
        title=_text(score.title, TEXT_BYTES),
        composer=_text(score.composer, TEXT_BYTES),
        markers=tuple(Marker(m.onset_ticks, _text(m.text, TEXT_BYTES)) for m in score.markers),
        tracks=tuple(of_track(track) for track in score.tracks),
    )


def _section_names(score: Score) -> Score:
    return replace(score, markers=tuple(Marker(m.onset_ticks, _text(m.text, TEXT_BYTES)) for m in score.markers))


BEFORE_BEATS: tuple[Edit, ...] = (
    play_dangling(),
    Edit("re-times to 960 ticks a quarter, rounding", rescale(TICKS_PER_QUARTER, exact=False).apply),
    drop_marks(LEFT_OUT),
    Edit("keeps texts in Windows-1252, names to 40 bytes, chord names to 22 and others to 255", _texts),
    Edit(
        "moves bar lines to 64ths, gives short bars a metre of their own, fills the last bar, moves keys and section "
        "names to starts of bars, keeps endings 1–8 and up to 127 repeats, leaves C major unsaid at the start, keeps "
        "each direction (segno, coda, da capo) at its first bar, one place and one jump a bar",
        lambda score: _section_names(bars_on_64ths(score)),
    ),
    Edit("rounds tempos to whole quarter notes a minute", whole_tempos),
    map_column("keeps eight dynamics (velocities 15, 31 … 127)", "velocity", eight_dynamics),
    map_column("keeps one kind of harmonic a note", "techniques", one_harmonic),
    drop_spelling(),
    drop_controls(),
    Edit(
        "plays every track but drums on up to seven strings: notes without a place get a playable one, and what no "
        "hand can play is left out; drum keys above 99 too. Harmonics sound the interval that the file can say for "
        "their place and kind (the nearest); grace notes, notes without a place and those that sound no higher than "
        "their fret (some natural ones aside) are none",
        playable,
    ),
)
PROJECTION: tuple[Edit, ...] = (
    *BEFORE_BEATS,
    Edit(
        "writes notes as beats (the written ones of a bar where they fit it): keeps two voices a track and one note a "
        "string in each (the longer of two, the "
        "earlier up to the later), moves times that no duration can meet to the nearest of 24, 16 or 20 a quarter and "
        "those of 7-, 9-, 11- and 13-tuplets to durations without fractions, "
        "gives grace notes up to 1/32 before their note, bend points to sixtieths of their note and quarter-tones, "
        "a tap, slap or pop to all notes of its beat; keeps marks that stand at a beat or note of theirs and agree "
        "with it (ties of two drum notes of one key say nothing of their own), and says by marks what is written "
        "without one",
        lambda score: settled(score, arranged(score)),
    ),
    mark_dangling(),
)


def prepared(score: Score) -> Score:
    """The score after all edits but the last."""
    return project(score, BEFORE_BEATS)
