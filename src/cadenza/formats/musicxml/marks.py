"""Marks that MusicXML has signs for: which are kept, in which form, and where they can stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.musicxml import layout, signs
from cadenza.score.model import BEND_DTYPE, Technique, Track
from cadenza.score.written import Mark, sorted_marks

DEFAULT_VELOCITY = 80
TREMOLO = int(Technique.TREMOLO_PICKING)
OCTAVE, LOWEST_WRITTEN = 12, 12  # C0, for octaves are numbered 0–9
#: kinds that stand at a moment of a voice, at a beat, at a note
AT_TIMES = frozenset({"text", "dynamic", "crescendo", "pedal", "chord"})
AT_BEATS = frozenset({"lyric", "fermata", "arpeggio"})
AT_NOTES = frozenset({"ornament", "slur", "fingering", "tremolo_picking", "staff"})
OF_TRACK = frozenset({"transposition", "staves"})
KEPT = AT_TIMES | AT_BEATS | AT_NOTES | OF_TRACK


def loudness(listed: Iterable[Mark], onsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The velocity that the dynamics among the marks ask for at each onset; shape (n,)."""
    levels = sorted(mark for mark in listed if mark.kind == "dynamic" and mark.text in signs.LOUDNESS)
    ticks = np.array([mark.onset_ticks for mark in levels], np.int64)
    values = np.array([DEFAULT_VELOCITY, *(signs.LOUDNESS[mark.text] for mark in levels)], np.int64)
    out: NDArray[np.int64] = values[np.searchsorted(ticks, onsets, side="right")]
    return out


def semitones(track: Track) -> int:
    """From the written to the sounding pitch."""
    return next((mark.values[0] for mark in track.marks if mark.kind == "transposition"), 0)


def _form(mark: Mark, clean: Callable[[str], str]) -> Mark | None:
    """The form in which a mark is read again; None where it cannot be said."""
    kind, values = mark.kind, mark.values
    text = clean(mark.text)
    first = values[0] if values else 0
    if kind in AT_NOTES:
        mark = replace(mark, pitch=-1) if mark.string else mark
        if not mark.string and mark.pitch < 0:
            return None
    else:
        mark = replace(mark, string=0, pitch=-1)
    if kind == "text":
        return replace(mark, values=(), text=text) if text and not signs.jump_of(text) else None
    if kind == "chord":
        name = chord_name(text)
        voice = mark.voice // layout.VOICES_PER_STAFF * layout.VOICES_PER_STAFF
        return replace(mark, values=(), text=name, voice=voice) if name else None
    if kind == "dynamic":
        return replace(mark, values=(), text=text) if text else None
    if kind == "lyric":
        verse = first if 1 <= first <= 1_000 else 1
        return replace(mark, values=(verse,), text=signs.syllable(text)) if text else None
    mark = replace(mark, text="")
    if kind == "crescendo":
        return replace(mark, values=(first,)) if values and first in (-1, 0, 1) else None
    if kind == "pedal":
        return replace(mark, values=(first,)) if values and first in (0, 1) else None
    if kind == "fermata":
        return replace(mark, values=())
    if kind == "arpeggio":
        return replace(mark, values=(first if first in (0, 1, 2) else 0,))
    if kind == "slur":
        held = len(values) == 2 and 1 <= first <= 16 and values[1] in (0, 1)
        return mark if held else None
    if kind == "fingering":
        left, right = (*values[:2], -2, -2)[:2]
        left, right = left if left in signs.FINGERS else -2, right if right in signs.PLUCKS else -2
        return replace(mark, values=(left, right)) if (left, right) != (-2, -2) else None
    if kind == "tremolo_picking":
        usual = first == signs.DEFAULT_TREMOLO  # what the technique says by itself
        return replace(mark, values=(first,)) if first in signs.TREMOLO_STROKES and not usual else None
    return mark if kind in ("staff", "transposition", "staves") else None


def chord_name(text: str) -> str:
    """A chord's name as it is read again."""
    found = signs.CHORD_NAME.fullmatch(text)
    if not found:
        return text
    root, sign, suffix, bass, bass_sign = (part or "" for part in found.groups())
    return root + sign + suffix.strip() + (f"/{bass}{bass_sign}" if bass else "")


def formed(track: Track, clean: Callable[[str], str]) -> tuple[Mark, ...]:
    """The marks of a track that can be written, in the form in which they are read again."""
    out = []
    for mark in track.marks:
        if mark.kind in KEPT:
            form = _form(replace(mark, text="") if mark.kind == "ornament" else mark, clean)
            if mark.kind == "ornament":
                has_place = mark.string or mark.pitch >= 0
                form = mark if mark.text in signs.ORNAMENTS and has_place else None
                form = replace(form, values=(), pitch=-1 if form.string else form.pitch) if form else None
            if form is not None:
                out.append(form)
    return tuple(out)


def settled(track: Track, beats: NDArray[np.void], graces: NDArray[np.bool_], length_ticks: int) -> tuple[Mark, ...]:
    """The marks (as :func:`formed` makes them) of a track that find their place.

    Its notes and ``beats`` are final; ``graces`` (shape (n,)): its grace notes.
    """
    out = _of_track(track, track.marks)
    if not track.marks:
        return tuple(out)
    n_staves = next((mark.values[0] for mark in out if mark.kind == "staves"), layout.asked_staves(track))
    places = _Places(track, beats, graces)
    single: dict[tuple[str, int, int, int, int], Mark] = {}  # what a note has one of: the first
    for mark in track.marks:
        if mark.kind in AT_TIMES:
            if mark.onset_ticks <= length_ticks:
                out.append(_on_staves(mark, n_staves))
        elif mark.kind in AT_BEATS:
            if (mark.voice, mark.onset_ticks) in (places.beats if mark.kind == "fermata" else places.notes):
                out.append(mark)
        elif mark.kind in ("tremolo_picking", "fingering"):
            if places.has_tremolo(mark) if mark.kind == "tremolo_picking" else places.has(mark):
                single.setdefault((mark.kind, mark.onset_ticks, mark.voice, mark.string, mark.pitch), mark)
        elif mark.kind in AT_NOTES and places.has(mark):
            out.append(mark)
    out += single.values()
    return sorted_marks(_valid_staffs(track, out, n_staves, places))


def _on_staves(mark: Mark, n_staves: int) -> Mark:
    """Chord symbols say a staff only."""
    if mark.kind != "chord":
        return mark
    return replace(mark, voice=(layout.staff_of(mark.voice, n_staves) - 1) * layout.VOICES_PER_STAFF)


def _of_track(track: Track, listed: Sequence[Mark]) -> list[Mark]:
    """The marks of the whole track, said once and only where they are not what holds unsaid."""
    said = {mark.kind: mark.values[0] for mark in reversed(listed) if mark.kind in OF_TRACK and _is_said(mark)}
    out = []
    shift = 0 if track.is_drums else said.get("transposition", 0)
    if len(track) and not track.is_drums:
        low, high = int(track.notes["pitch"].min()), int(track.notes["pitch"].max())
        if low - shift < LOWEST_WRITTEN and high <= 127 - OCTAVE:
            shift = -OCTAVE
    if shift:
        out.append(Mark(0, "transposition", values=(shift,)))
    staves = said.get("staves", 0)
    if staves and (staves != layout.asked_staves(track) or layout.needs_second_staff(track)):
        out.append(Mark(0, "staves", values=(staves,)))
    return out


def _is_said(mark: Mark) -> bool:
    low, high = (1, 16) if mark.kind == "staves" else (-36, 36)
    return mark.onset_ticks == 0 and len(mark.values) == 1 and low <= mark.values[0] <= high


def _valid_staffs(track: Track, listed: list[Mark], n_staves: int, places: _Places) -> list[Mark]:
    """Without marks that put a note on the staff of its voice, on none, or with it all notes of the voice."""
    crossing = [m for m in listed if m.kind == "staff"]
    if not crossing:
        return listed
    plain = [m for m in listed if m.kind != "staff"]
    if n_staves == 1 or track.is_drums:
        return plain
    valid: dict[tuple[int, int, int], Mark] = {}
    for mark in crossing:
        staff = mark.values[0] if len(mark.values) == 1 else 0
        is_away = 1 <= staff <= n_staves and staff != layout.staff_of(mark.voice, n_staves) and mark.pitch >= 0
        if is_away and mark.onset_ticks in places.onsets.get((mark.voice, mark.pitch), ()):
            valid.setdefault((mark.voice, mark.onset_ticks, mark.pitch), mark)
    for voice in {voice for voice, _, _ in valid}:
        mine = track.notes[track.notes["voice"] == voice]
        at_home = any(
            (voice, int(n["onset_ticks"]), int(n["pitch"])) not in valid for n in mine[["onset_ticks", "pitch"]]
        )
        if not at_home:
            valid = {key: mark for key, mark in valid.items() if key[0] != voice}
    return [*plain, *valid.values()]


class _Places:
    """Where marks can stand in a track."""

    def __init__(self, track: Track, beats: NDArray[np.void], graces: NDArray[np.bool_]) -> None:
        notes = track.notes
        plain = notes[~graces]
        self.notes = set(zip(plain["voice"].tolist(), plain["onset_ticks"].tolist(), strict=True))
        self.beats = self.notes | set(zip(beats["voice"].tolist(), beats["onset_ticks"].tolist(), strict=True))
        self.onsets: dict[tuple[int, int], set[int]] = {}
        self.spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.tremolos: set[tuple[int, int, int]] = set()  # voice, onset and key of notes played with tremolo
        columns = ("voice", "onset_ticks", "duration_ticks", "pitch", "string", "techniques")
        rows = zip(*(notes[name].tolist() for name in columns), graces.tolist(), strict=True)
        for voice, onset, length, pitch, string, techniques, is_grace in rows:
            key = (voice, -string if string else pitch)
            if techniques & TREMOLO:
                self.tremolos.add((voice, onset, key[1]))
            self.onsets.setdefault(key, set()).add(onset)
            if not is_grace:
                self.spans.setdefault(key, []).append((onset, onset + length))

    def has(self, mark: Mark) -> bool:
        """Whether the mark's note begins there, or sounds in a beat that does."""
        key = (mark.voice, -mark.string if mark.string else mark.pitch)
        if mark.onset_ticks in self.onsets.get(key, ()):
            return True
        if (mark.voice, mark.onset_ticks) not in self.beats or mark.kind == "staff":
            return False
        return any(low < mark.onset_ticks < high for low, high in self.spans.get(key, ()))

    def has_tremolo(self, mark: Mark) -> bool:
        """Whether a note of the mark's begins there that is played with tremolo."""
        return (mark.voice, mark.onset_ticks, -mark.string if mark.string else mark.pitch) in self.tremolos


def without_tab_doubles(track: Track, tab_staves: set[int], n_staves: int) -> Track:
    """Strings, frets and techniques of a tab staff's notes go to the same notes on the staff above; what is only on
    the tab staff stays."""
    notes = track.notes.copy()
    staff = np.minimum(notes["voice"] // layout.VOICES_PER_STAFF, n_staves - 1) + 1
    on_tab = np.isin(staff, list(tab_staves))
    if on_tab.all() or not on_tab.any():
        return track
    others: dict[tuple[int, int, int], list[int]] = {}
    for row in np.flatnonzero(~on_tab).tolist():
        key = (int(notes["onset_ticks"][row]), int(notes["duration_ticks"][row]), int(notes["pitch"][row]))
        others.setdefault(key, []).append(row)
    keep = np.ones(len(notes), bool)
    goes_to = np.arange(len(notes))
    for row in np.flatnonzero(on_tab).tolist():
        key = (int(notes["onset_ticks"][row]), int(notes["duration_ticks"][row]), int(notes["pitch"][row]))
        found = others.get(key)
        if found:
            other = found.pop(0)
            keep[row], goes_to[row] = False, other
            notes["string"][other], notes["fret"][other] = notes["string"][row], notes["fret"][row]
            notes["techniques"][other] |= notes["techniques"][row]
    bends = track.bends.copy()
    bends["note"] = goes_to[bends["note"]]
    places = bends[["note", "offset_ticks"]]
    bends = bends[np.unique(places, return_index=True)[1]]
    new_row = np.cumsum(keep) - 1
    bends["note"] = new_row[bends["note"]]
    gone = np.setdiff1d(notes["voice"][~keep], notes["voice"][keep])
    listed = tuple(mark for mark in track.marks if mark.voice not in gone.tolist())
    beats = track.beats[~np.isin(track.beats["voice"], gone)]
    return replace(track, notes=notes[keep], bends=np.array(bends, BEND_DTYPE), beats=beats, marks=listed)
