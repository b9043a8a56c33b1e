"""Decisions of a notation program: staves, clefs, places of drums on the staff, accidentals, beams, brackets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cadenza.score.model import Track

VOICES_PER_STAFF = 4
MIDDLE_C = 60
#: Programs that are written on two staves where their notes ask for it: pianos, celesta, vibraphone and marimba,
#: organs and accordion, harp.
KEYBOARDS = frozenset((*range(0, 9), 11, 12, *range(16, 22), 46))
GUITARS, BASSES = range(24, 32), (*range(32, 40), 43)
STEPS = "FCGDAEB"  # the line of fifths from F
NATURAL_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
STEP_PLACE = {step: place for place, step in enumerate("CDEFGAB")}
ACCIDENTALS = {
    -3: "triple-flat", -2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp", 3: "triple-sharp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clef:
    """``octaves``: how many octaves higher it sounds than it stands (negative: lower)."""

    sign: str
    line: int
    octaves: int = 0


TREBLE, BASS, ALTO, TAB, PERCUSSION = Clef("G", 2), Clef("F", 4), Clef("C", 3), Clef("TAB", 5), Clef("percussion", 2)


def asked_staves(track: Track) -> int:
    """How many staves the notes ask for: two for keyboards that use voices of a second one, else one."""
    if track.is_drums or track.program not in KEYBOARDS or not len(track):
        return 1
    return 2 if int(track.notes["voice"].max()) >= VOICES_PER_STAFF else 1


def needs_second_staff(track: Track) -> bool:
    """Whether a keyboard's notes lie wide, but all in voices of one staff."""
    if track.is_drums or track.program not in KEYBOARDS or not len(track):
        return False
    pitches = track.notes["pitch"]
    return bool(track.notes["voice"].max() < VOICES_PER_STAFF and pitches.min() < 57 and pitches.max() > 64)


def said_staves(track: Track) -> int:
    """How many staves the track's marks say; 0 where they do not."""
    for mark in track.marks:
        if mark.kind == "staves" and mark.onset_ticks == 0 and len(mark.values) == 1 and 1 <= mark.values[0] <= 16:
            return mark.values[0]
    return 0


def staves(track: Track) -> int:
    """How many staves the track is written on: as many as it says, else as its notes ask for."""
    return said_staves(track) or asked_staves(track)


def staff_of(voice: int, n_staves: int) -> int:
    """The staff (from 1) of a voice: four voices a staff, the last staff takes the rest."""
    return min(voice // VOICES_PER_STAFF, n_staves - 1) + 1


def clef(track: Track, staff: int, n_staves: int, semitones: int) -> Clef:
    """The clef of a staff; ``semitones``: from the written to the sounding pitch."""
    if track.is_drums:
        return PERCUSSION
    if semitones in (0, -12) and n_staves == 1:
        # Both are written an octave above their sound: by the clef, or by the transposition that the track has.
        octaves = 0 if semitones else -1
        if track.program in GUITARS:
            return Clef("G", 2, octaves)
        if track.program in BASSES:
            return Clef("F", 4, octaves)
        if track.program == 41 and not semitones:
            return ALTO
    voices = np.minimum(track.notes["voice"] // VOICES_PER_STAFF, n_staves - 1)
    pitches = track.notes["pitch"][voices == staff - 1].astype(np.int64) - semitones
    if not len(pitches):
        return BASS if staff == n_staves > 1 else TREBLE
    low, middle, high = np.percentile(pitches, [5, 50, 95])
    if n_staves > 1:
        border = 53 if staff == 1 else 67
        return TREBLE if middle >= border else BASS
    if middle < 57 or (middle < 60 and low < 50):
        return BASS if high < 72 or middle < 55 else TREBLE
    return TREBLE


def spell(pitch: int, fifths: int) -> int:
    """Place on the line of fifths for a pitch in a key: from its minor third (in C: E flat) to its G sharp."""
    return (7 * pitch - fifths + 3) % 12 + fifths - 3


def written(pitch: int, spelling: int) -> tuple[str, int, int]:
    """(step, alteration, octave) of a pitch."""
    step, alter = STEPS[(spelling + 1) % 7], (spelling + 1) // 7
    return step, alter, (pitch - alter - NATURAL_SEMITONES[step]) // 12 - 1


def key_alteration(step: str, fifths: int) -> int:
    """What a key signature makes of a step: −1, 0 or 1."""
    place = STEPS.index(step)
    if fifths > 0:
        return (fifths - place + 6) // 7
    return -((-fifths - (6 - place) + 6) // 7)


def accidentals(placed: Sequence[tuple[int, str, int, int, bool]], fifths: int) -> list[int | None]:
    """Accidentals of one staff in one bar; ``placed``: (tick, step, octave, alteration, is tied from before).

    In the order of ``placed``; None where none is needed. A tied note needs none and sets none.
    """
    state: dict[tuple[str, int], int] = {}
    out: list[int | None] = [None] * len(placed)
    for index in sorted(range(len(placed)), key=lambda i: placed[i][0]):
        _, step, octave, alter, tied = placed[index]
        if tied:
            continue
        if state.get((step, octave), key_alteration(step, fifths)) != alter:
            out[index] = alter
        state[step, octave] = alter
    return out


def beams(pieces: Sequence[tuple[int, int, int, bool]], beat: int, bar_start: int) -> list[list[str]]:
    """Beams of one voice in one bar; ``pieces``: (start, stop, note value, is a rest). Joined within beats."""
    out: list[list[str]] = [[] for _ in pieces]
    levels = [0 if rest or value < 8 else value.bit_length() - 3 for _, _, value, rest in pieces]
    groups: list[list[int]] = []
    for index, (start, _, _, _) in enumerate(pieces):
        if not levels[index]:
            continue
        held = groups[-1] if groups else []
        joins = held and held[-1] == index - 1 and pieces[index - 1][1] == start
        if joins and (pieces[held[0]][0] - bar_start) // beat == (start - bar_start) // beat:
            held.append(index)
        else:
            groups.append([index])
    for group in groups:
        if len(group) < 2:
            continue
        for level in range(1, max(levels[i] for i in group) + 1):
            for place, index in enumerate(group):
                if levels[index] < level:
                    continue
                before = place > 0 and levels[group[place - 1]] >= level
                after = place + 1 < len(group) and levels[group[place + 1]] >= level
                hook = "forward hook" if place == 0 else "backward hook"
                said = "continue" if before and after else "end" if before else "begin" if after else hook
                out[index].append(said)
    return out


def tuplets(pieces: Sequence[tuple[int, int, int, int, int, int]]) -> list[str]:
    """Where tuplets begin and end in one voice of a bar: "", "start", "stop" or "both" for each piece.

    ``pieces``: (start, stop, note value, dots, enters, times).
    """
    out = [""] * len(pieces)
    index = 0
    while index < len(pieces):
        *_, enters, times = pieces[index]
        if enters == times:
            index += 1
            continue
        # a group closes when its length is whole tuplets of its shortest note
        length, shortest, last = 0, 1, index
        for at in range(index, len(pieces)):
            _, _, value, dots, *kind = pieces[at]
            if tuple(kind) != (enters, times) or (at > index and pieces[at - 1][1] != pieces[at][0]):
                break
            last, shortest = at, max(shortest, value << dots)
            length += (1024 // (value << dots)) * ((2 << dots) - 1)  # in 1024ths of a whole note
            if length % (1024 // shortest * enters) == 0:
                break
        if last > index:
            out[index], out[last] = "start", "stop"
        else:
            out[index] = "both"
        index = last + 1
    return out


#: GM percussion key → (display step, display octave, notehead); the places of Weinberg's recommended practice
#: (*Guidelines for Drumset Notation*, Percussive Notes 1994), where it names one.
_DRUMS = {
    35: ("F", 4, ""), 36: ("F", 4, ""), 37: ("C", 5, "x"), 38: ("C", 5, ""), 39: ("C", 5, "x"), 40: ("C", 5, ""),
    41: ("G", 4, ""), 42: ("G", 5, "x"), 43: ("A", 4, ""), 44: ("D", 4, "x"), 45: ("B", 4, ""),
    46: ("G", 5, "circle-x"),
    47: ("D", 5, ""), 48: ("D", 5, ""), 49: ("A", 5, "x"), 50: ("E", 5, ""), 51: ("F", 5, "x"), 52: ("B", 5, "x"),
    53: ("F", 5, "diamond"), 54: ("E", 5, "triangle"), 55: ("B", 5, "x"), 56: ("E", 5, "triangle"), 57: ("A", 5, "x"),
    59: ("F", 5, "x"),
}  # fmt: skip


def drum_place(key: int) -> tuple[str, int, str]:
    """(display step, display octave, notehead or "") of a General MIDI percussion key."""
    return _DRUMS.get(key, ("C", 5, "x" if key > 59 else ""))


_KEY_AT = {place: key for key, place in reversed(_DRUMS.items())}


def drum_at(step: str, octave: int, head: str) -> int | None:
    """The percussion key that is written at a place with a notehead, where there is one."""
    return _KEY_AT.get((step, octave, head if head != "normal" else ""))
