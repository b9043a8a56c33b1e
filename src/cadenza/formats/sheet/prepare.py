"""A Score → the MusicXML that is engraved, and what each of its notes is.

What is written for a reader of files and what an engraver draws well differ a little: a fretted track shown both ways
becomes two parts, played time is put on a grid, and every note gets an identity, so that what the engraver has no
sign for can be drawn at its place afterwards, and the generated part can be coloured.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from cadenza.formats import musicxml
from cadenza.formats.sheet.played import as_written
from cadenza.score import edit
from cadenza.score.fingering import finger, tuning_for
from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_STRING, Score, Track
from cadenza.score.time import BarTable, bar_table
from cadenza.score.written import NO_BEATS, Mark

View = Literal["score", "tab", "both"]
_FAMILIES = (
    "Piano", "Chimes", "Organ", "Guitar", "Bass", "Strings", "Ensemble", "Brass",
    "Reeds", "Pipes", "Synth lead", "Synth pad", "Synth", "World", "Percussion", "Effects",
)  # fmt: skip
_NAMES = {
    6: "Harpsichord", 40: "Violin", 41: "Viola", 42: "Cello", 43: "Double bass", 46: "Harp", 47: "Timpani",
    48: "Strings", 49: "Strings", 52: "Voice", 53: "Voice", 54: "Voice", 56: "Trumpet", 57: "Trombone", 58: "Tuba",
    60: "Horn", 65: "Saxophone", 66: "Saxophone", 68: "Oboe", 70: "Bassoon", 71: "Clarinet", 72: "Piccolo", 73: "Flute",
    74: "Recorder", 105: "Banjo",
}  # fmt: skip
HANDS = frozenset({"stroke", "pick_stroke", "tremolo_bar"})  # kinds of marks that are drawn over tablatures
_DRUM_VALUES = ((1, 12), (1, 8), (1, 6), (1, 4), (1, 3), (1, 2), (2, 3), (3, 4), (1, 1))  # quarters, rising
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_VALUES = {
    "long": 0, "breve": 0, "whole": 1, "half": 2, "quarter": 4, "eighth": 8, "16th": 16, "32nd": 32, "64th": 64,
    "128th": 128, "256th": 256,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One drawn note.

    Args:
        part: index of the part on the sheet.
        row: of the note in ``Sheet.score.tracks[part]``; −1 where it is not known.
        start_ticks: where this piece of it begins (a note tied over a bar line is drawn again).
        is_tied: it continues a note that was drawn before.
    """

    part: int
    row: int
    start_ticks: int
    is_tied: bool


@dataclass(slots=True)
class Chord:
    """What starts together in one voice: drawn notes (none: a rest) and their note value (0: unknown)."""

    start_ticks: int
    stop_ticks: int
    value: int
    dots: int
    enters: int
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sheet:
    """What goes to the engraver, and the key to what comes back.

    Args:
        score: the parts as they are drawn.
        is_tab: for each part, whether it is a tablature.
        has_notation: for each part, whether a staff above says its rhythm.
        places: identity of a drawn note → what it is; rests: the same of rests.
        bars: (part, bar) → voices → chords in order of time.
        track_of: for each part the index of its track in the score.
        hands: for each part its marks of :data:`HANDS`, which MusicXML does not hold.
    """

    musicxml: str
    score: Score
    table: BarTable
    is_tab: tuple[bool, ...]
    has_notation: tuple[bool, ...]
    places: dict[str, Place]
    rests: dict[str, Place]
    bars: dict[tuple[int, int], dict[int, list[Chord]]]
    hands: tuple[tuple[Mark, ...], ...]
    track_of: tuple[int, ...]


def prepare(score: Score, view: View) -> tuple[Sheet, float]:
    """The sheet of a score, and the ticks of it that one tick of ``score`` is."""
    ticks = score.ticks_per_quarter
    parts, is_tab, has_notation, track_of = [], [], [], []
    placed = as_written(score)
    for index, track in enumerate(placed.tracks):
        track = track if track.name.strip() else replace(track, name=_name(track))
        if track.is_drums:
            track = _long_drums(track, placed)
        if view == "tab" or (track.notes["string"] > 0).any():
            track = _fingered(track)
        has_places = bool((track.notes["string"] > 0).any()) or (view == "tab" and not len(track))
        fretted = bool(track.tuning) and has_places
        if not fretted or view != "tab":
            parts.append(_without_strings(track) if track.tuning else track)
            is_tab.append(False)
            has_notation.append(False)
            track_of.append(index)
        if fretted and view != "score":
            parts.append(track if view == "tab" else replace(track, name=" ", marks=_of_hands(track)))
            is_tab.append(True)
            has_notation.append(view == "both")
            track_of.append(index)
    drawn = edit.project(placed.with_tracks(parts), musicxml.PROJECTION)
    # A sheet has a staff even where the score has no track.
    is_tab += [False] * (len(drawn.tracks) - len(is_tab))
    has_notation += [False] * (len(drawn.tracks) - len(has_notation))
    track_of += [0] * (len(drawn.tracks) - len(track_of))
    factor = drawn.ticks_per_quarter / placed.ticks_per_quarter
    hands = tuple(
        tuple(replace(m, onset_ticks=round(m.onset_ticks * factor)) for m in part.marks if m.kind in HANDS)
        for part in parts
    )
    text = musicxml.encode(drawn, view="tab")
    places, rests, bars, text = _named(text, drawn, is_tab)
    sheet = Sheet(
        text, drawn, bar_table(drawn), tuple(is_tab), tuple(has_notation), places, rests, bars, hands, tuple(track_of)
    )  # fmt: skip
    return sheet, drawn.ticks_per_quarter / ticks


def _name(track: Track) -> str:
    return "Drums" if track.is_drums else _NAMES.get(track.program, _FAMILIES[track.program // 8])


def _of_hands(track: Track) -> tuple[Mark, ...]:
    """The marks that a tablature has below a staff of notation, which says the rest."""
    return tuple(mark for mark in track.marks if mark.kind in HANDS or mark.kind == "transposition")


def _without_strings(track: Track) -> Track:
    notes = track.notes.copy()
    notes["string"], notes["fret"] = NO_STRING, NO_FRET
    return track.with_notes(notes, tuning=(), capo_fret=0)


def _fingered(track: Track) -> Track:
    """A guitar's or bass's notes all with strings and frets; another track, and what no hand can play, as it is."""
    tuning = track.tuning or (tuning_for(track) if 24 <= track.program <= 37 and not track.is_drums else ())
    if not tuning or ((track.notes["string"] > 0) & (track.notes["fret"] >= 0)).all():
        return track
    return finger(replace(track, tuning=tuning), unplayable="drop")


def _long_drums(track: Track, score: Score) -> Track:
    """Hits that last to the next one of their voice, at most to the end of the beat: a drum has no length to show."""
    notes, ticks = track.notes.copy(), score.ticks_per_quarter
    values = np.array([ticks * enters // divided for enters, divided in _DRUM_VALUES if ticks * enters % divided == 0])
    for voice in np.unique(notes["voice"]):
        mine = notes["voice"] == voice
        onsets = notes["onset_ticks"][mine]
        every = np.unique(onsets)
        after = np.append(every, every[-1] + ticks)[np.searchsorted(every, onsets) + 1]
        room = np.minimum(after, (onsets // ticks + 1) * ticks) - onsets
        table = bar_table(score)
        ends = table.ends_ticks[np.clip(table.index_of(onsets), 0, len(table) - 1)]
        room = np.minimum(room, ends - onsets)
        # The longest single note value that fits: a tied drum is never written.
        place = np.searchsorted(values, room, side="right") - 1
        notes["duration_ticks"][mine] = np.where(place >= 0, values[np.maximum(place, 0)], np.maximum(1, room))
    return track.with_notes(notes, np.zeros(0, BEND_DTYPE), beats=NO_BEATS)


# ── identities ───────────────────────────────────────────────────────────────────────────────────────────


def _named(
    text: str, score: Score, is_tab: list[bool]
) -> tuple[dict[str, Place], dict[str, Place], dict[tuple[int, int], dict[int, list[Chord]]], str]:
    """Notes, rests, bars, and the text with an ``id`` at every note and rest."""
    head, _, body = text.partition("<score-partwise")
    root = ElementTree.fromstring("<score-partwise" + body)
    places: dict[str, Place] = {}
    rests: dict[str, Place] = {}
    bars: dict[tuple[int, int], dict[int, list[Chord]]] = {}
    starts = bar_table(score).starts_ticks.tolist()
    for part, element in enumerate(root.iter("part")):
        track = score.tracks[part]
        finder = _Finder(track)
        if track.is_drums:
            for key in list(element.iter("attributes")):
                for signature in key.findall("key"):
                    key.remove(signature)
        for bar, measure in enumerate(element.iter("measure")):
            for name, note, start, voice, is_chord in _walk(measure, starts[bar], f"n{part}-{bar}-"):
                note.set("id", name)
                if is_tab[part]:
                    _bare(note)
                is_grace = note.find("grace") is not None
                tied = any(tie.get("type") == "stop" for tie in note.findall("tie"))
                if note.find("rest") is None:
                    row = finder.row(note, start, voice, is_grace)
                    places[name] = Place(part, row, start, tied)
                else:
                    rests[name] = Place(part, -1, start, False)
                if is_grace:
                    continue
                chords = bars.setdefault((part, bar), {}).setdefault(voice, [])
                if not is_chord:
                    chords.append(_chord(note, start))
                if note.find("rest") is None and chords:
                    chords[-1].names.append(name)
    return places, rests, bars, head + ElementTree.tostring(root, "unicode")


def _bare(note: ElementTree.Element) -> None:
    """A note of a tablature without the signs that are drawn afterwards."""
    for notations in note.findall("notations"):
        for sign in list(notations):
            if sign.tag == "technical":
                for detail in [one for one in sign if one.tag not in ("string", "fret")]:
                    sign.remove(detail)
            elif sign.tag not in ("tied", "tuplet"):
                notations.remove(sign)


def _walk(
    measure: ElementTree.Element, start: int, prefix: str
) -> Iterator[tuple[str, ElementTree.Element, int, int, bool]]:
    """Every note: its identity, itself, its tick, its voice, whether it joins the one before."""
    cursor = last = start
    for index, element in enumerate(measure):
        length = int(element.findtext("duration") or 0)
        if element.tag == "backup":
            cursor -= length
        elif element.tag == "forward":
            cursor += length
        elif element.tag == "note":
            joins = element.find("chord") is not None
            at = last if joins else cursor
            yield f"{prefix}{index}", element, at, int(element.findtext("voice") or 1) - 1, joins
            if not joins:
                last, cursor = cursor, cursor + length


def _chord(note: ElementTree.Element, start: int) -> Chord:
    value = _VALUES.get(note.findtext("type") or "", 0)
    enters = int(note.findtext("time-modification/actual-notes") or 1)
    length = int(note.findtext("duration") or 0)
    return Chord(start, start + length, value, len(note.findall("dot")), enters)


class _Finder:
    """Finds the row of a drawn note by what it sounds and where."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.semitones = next((m.values[0] for m in track.marks if m.kind == "transposition" and m.values), 0)
        self.rows: dict[tuple[int, int], list[int]] = {}
        notes = track.notes
        keys = notes["pitch"]
        self.onset = notes["onset_ticks"].tolist()
        self.stop = (notes["onset_ticks"] + notes["duration_ticks"]).tolist()
        for row, (pitch, voice) in enumerate(zip(keys.tolist(), notes["voice"].tolist(), strict=True)):
            self.rows.setdefault((pitch, voice), []).append(row)

    def row(self, note: ElementTree.Element, start: int, voice: int, is_grace: bool) -> int:
        """The row, or −1."""
        pitch = self._pitch(note)
        string = int(note.findtext("notations/technical/string") or 0)
        listed = self.rows.get((pitch, voice)) or []
        found = -1
        for row in listed:
            if self.onset[row] > start:
                break
            sounds = start < self.stop[row] or self.onset[row] == start
            if sounds and (not string or int(self.track.notes["string"][row]) == string):
                found = row
        return found

    def _pitch(self, note: ElementTree.Element) -> int:
        if self.track.is_drums:
            instrument = note.find("instrument")
            key = re.search(r"-I(\d+)$", instrument.get("id", "") if instrument is not None else "")
            return int(key[1]) if key else -1
        step, octave = note.findtext("pitch/step"), note.findtext("pitch/octave")
        if step is None or octave is None:
            return -1
        alter = round(float(note.findtext("pitch/alter") or 0))
        return 12 * (int(octave) + 1) + _STEPS[step] + alter + self.semitones
