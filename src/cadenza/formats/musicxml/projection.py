"""What a MusicXML file does not hold of a Score, as Edits: ``read(write(s)) == project(s, PROJECTION)``.

Times are exact: divisions can say any tick. What is lost is what common notation has no sign for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import gcd, lcm

import numpy as np

from cadenza.base.limits import Limits
from cadenza.formats.musicxml import layout, marks
from cadenza.formats.musicxml.beats import is_grace, settled
from cadenza.score.edit import Edit, drop_controls, rescale
from cadenza.score.model import (
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    BarMark,
    Key,
    Marker,
    Metre,
    NoteArray,
    Score,
    Tempo,
    Track,
)
from cadenza.score.time import DEFAULT_METRE, bar_table, bar_ticks

BASE_RESOLUTION = 480
MAX_RESOLUTION = 65_535
MAX_TEMPO = 10_000.0
MAX_TEXT_CHARACTERS = 1_000
MAX_ENDING, MAX_REPEATS = 999, 100
MAX_STRINGS, MAX_CAPO = 100, 100
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """What XML can hold of a text, without white space around it."""
    return _NO_XML.sub("", text).strip()[:MAX_TEXT_CHARACTERS].strip()


def _texts(score: Score) -> Score:
    markers = tuple(Marker(m.onset_ticks, clean(m.text)) for m in score.markers)
    return replace(
        score,
        title=clean(score.title),
        composer=clean(score.composer),
        markers=tuple(m for m in markers if m.text),
        tracks=tuple(replace(t, name=clean(t.name)) for t in score.tracks),
    )


def needed_resolution(score: Score) -> int:
    """The least multiple of 480 ticks a quarter that holds every time exactly, where that is at most 65,535; else the
    least that does."""
    table = bar_table(score)
    columns = [table.starts_ticks, table.ends_ticks]
    for track in score.tracks:
        columns += [track.notes["onset_ticks"], track.notes["duration_ticks"], track.bends["offset_ticks"]]
        columns += [track.beats["onset_ticks"], track.beats["duration_ticks"]]
        columns.append(np.array([mark.onset_ticks for mark in track.marks], np.int64))
    for entries in (score.tempos, score.metres, score.keys, score.bars, score.markers):
        columns.append(np.array([entry.onset_ticks for entry in entries], np.int64))  # type: ignore[attr-defined]
    shared = gcd(
        score.ticks_per_quarter, score.length_ticks, *(int(np.gcd.reduce(column)) for column in columns if len(column))
    )
    needed = score.ticks_per_quarter // shared
    common = lcm(needed, BASE_RESOLUTION)
    return common if common <= MAX_RESOLUTION else needed


def _resolution(score: Score) -> Score:
    return rescale(needed_resolution(score)).apply(score)


def _bars(score: Score) -> Score:
    """Whole bars; map entries within them and each said once; a mark only where the bar line does not follow from the
    metre or there is something to say."""
    table = bar_table(score)
    end = int(table.ends_ticks[-1])
    bars: list[BarMark] = []
    metres: list[Metre] = []
    held, expected = DEFAULT_METRE, 0
    given = {metre.onset_ticks for metre in score.metres}
    for start, metre, mark in zip(table.starts_ticks.tolist(), table.metres, table.marks, strict=True):
        signature = (metre.numerator, metre.denominator)
        if start in given and (not metres or signature != held):
            metres.append(Metre(start, *signature))
            expected = start
        held = signature
        if mark is not None:
            endings = tuple(sorted({e for e in mark.endings if e <= MAX_ENDING}))
            close = min(mark.repeat_close, MAX_REPEATS) if mark.repeat_close > 1 else 0
            mark = BarMark(start, mark.repeat_open, close, endings, mark.directions)
        if start != expected or (mark is not None and mark != BarMark(start)):
            bars.append(mark or BarMark(start))
        expected = start + bar_ticks(metre, score.ticks_per_quarter)
    if end != expected:
        bars.append(BarMark(end))  # the last bar is a short one
    return replace(
        score,
        bars=tuple(bars),
        metres=tuple(metres),
        keys=_said_once(key for key in score.keys if key.onset_ticks < end),
        tempos=_said_once(
            tempo for tempo in score.tempos if tempo.onset_ticks < end and tempo.quarters_per_minute <= MAX_TEMPO
        ),
        markers=tuple(marker for marker in score.markers if marker.onset_ticks < end),
        length_ticks=end,
    )


def _said_once(entries):  # type: ignore[no-untyped-def]
    kept: list[Tempo | Key] = []
    for entry in entries:
        if not kept or replace(entry, onset_ticks=kept[-1].onset_ticks) != kept[-1]:
            kept.append(entry)
    return tuple(kept)


def _tracks(score: Score) -> Score:
    tracks = score.tracks or (Track(),)
    return score.with_tracks([_instrument(track, score) for track in tracks])


def _instrument(track: Track, score: Score) -> Track:
    notes = track.notes.copy()
    notes["duration_ticks"] = np.maximum(notes["duration_ticks"], 1)
    is_strung = bool(track.tuning) and not track.is_drums and len(track.tuning) <= MAX_STRINGS
    is_strung = is_strung and all(0 <= pitch <= 127 for pitch in track.tuning)
    placed = (notes["string"] != NO_STRING) & (notes["fret"] != NO_FRET) & is_strung
    notes["string"], notes["fret"] = (
        np.where(placed, notes["string"], NO_STRING),
        np.where(placed, notes["fret"], NO_FRET),
    )
    tuning = track.tuning if is_strung else ()
    capo = min(max(track.capo_fret, 0), MAX_CAPO) if is_strung else 0
    if track.is_drums:
        notes["spelling"] = NO_SPELLING
    else:
        _spell(notes, score)
    track = replace(track, notes=notes, tuning=tuning, capo_fret=capo, marks=marks.formed(track, clean))
    return track if layout.said_staves(track) else _on_two_staves(track)


def _spell(notes: NoteArray, score: Score) -> None:
    """Give notes without a spelling, or with one of another pitch, that of their key."""
    given = notes["spelling"].astype(np.int64)
    wrong = np.flatnonzero((given == NO_SPELLING) | ((7 * given - notes["pitch"]) % 12 != 0))
    changes = [key.onset_ticks for key in score.keys]
    fifths = np.array([0, *(key.fifths for key in score.keys)], np.int64)
    in_key = fifths[np.searchsorted(changes, notes["onset_ticks"][wrong], side="right")]
    notes["spelling"][wrong] = (7 * notes["pitch"][wrong].astype(np.int64) - in_key + 3) % 12 + in_key - 3


def _on_two_staves(track: Track) -> Track:
    """Keyboard tracks that use one staff only and need two: what lies below middle C goes to the second one."""
    if not layout.needs_second_staff(track):
        return track
    notes = track.notes.copy()
    notes["voice"] += layout.VOICES_PER_STAFF * (notes["pitch"] < layout.MIDDLE_C).astype(np.int8)
    return track.with_notes(notes)


def _written(score: Score) -> Score:
    table = bar_table(score)
    ticks = score.ticks_per_quarter

    def write(track: Track) -> Track:
        graces = is_grace(track, table, ticks)
        beats = settled(track, graces, table, ticks)
        found = marks.settled(track, beats, graces, score.length_ticks)
        is_same = found == track.marks and len(beats) == len(track.beats) and bool((beats == track.beats).all())
        return track if is_same else replace(track, beats=beats, marks=found)

    return score.map_tracks(write)


def settle(score: Score, limits: Limits) -> Score:
    """What the reader does to a score last, so that it is as it would be after the projection."""
    bar_table(score, max_bars=limits.bars)
    return _resolution(_written(_bars(score)))


PROJECTION: tuple[Edit, ...] = (
    drop_controls(),
    Edit("keeps what XML can hold of texts, without white space around them, up to 1,000 characters", _texts),
    Edit("takes the least multiple of 480 ticks a quarter that is exact", _resolution),
    Edit(
        "gives notes without length one tick, spells pitches that have no (or a wrong) spelling, puts what lies "
        "below middle C on a second staff where a keyboard's notes need one, drops strings of notes without a fret "
        "and of drums, and marks that MusicXML has no sign for (strokes, whammy bar, trill intervals …); what "
        "sounds below C0 is written an octave higher, as a transposing instrument",
        _tracks,
    ),
    Edit(
        "fills the last bar, says each tempo, key and metre once, drops what stands after the end, tempos above "
        "10,000, endings above 999 and repeats above 100",
        _bars,
    ),
    Edit(
        "writes note values and rests anew where the given ones do not fit the notes, keeps one fingering of a note, "
        "and drops marks that find no beat and no note, tremolo speeds those that find no tremolo",
        lambda score: _resolution(_written(score)),
    ),
)
