"""Hammer-ons and slides to the next note: techniques where such a note follows, else marks that the source writes them.

A source may write a hammer-on at the last note of a string. Nothing is hammered on there, so a Score says no such
technique of the note; that it is written is kept as a ``dangling`` mark.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cadenza.score.edit import Edit
from cadenza.score.model import NO_STRING, Score, Technique, Track
from cadenza.score.time import BarTable, bar_table
from cadenza.score.written import Mark

LEADING = Technique.HAMMER | Technique.SLIDE_SHIFT | Technique.SLIDE_LEGATO
BARS = 3  # so many bars later at most the next note follows, as other readers of tabs have it


def mark_dangling() -> Edit:
    """Techniques that lead to no note on their string and voice within three bars become marks."""

    def change(score: Score) -> Score:
        bits = np.uint64(int(LEADING))
        if not any((track.notes["techniques"] & bits).any() for track in score.tracks):
            return score
        table = bar_table(score)
        return score.map_tracks(lambda track: _marked(track, table))

    return Edit("hammer-ons and slides that lead to no note within three bars are none", change)


def _marked(track: Track, table: BarTable) -> Track:
    notes = track.notes
    leading = (notes["techniques"] & np.uint64(int(LEADING)) != 0) & (notes["string"] != NO_STRING)
    if not leading.any():
        return track
    onsets: dict[tuple[int, int], np.ndarray] = {}
    for voice, string in {(int(n["voice"]), int(n["string"])) for n in notes[leading]}:
        lane = (notes["voice"] == voice) & (notes["string"] == string)
        onsets[voice, string] = np.sort(notes["onset_ticks"][lane])
    changed, marks = notes.copy(), []
    for row in np.flatnonzero(leading):
        note = track[int(row)]
        lane = onsets[note.voice, note.string]
        place = int(np.searchsorted(lane, note.onset_ticks, side="right"))
        last = max(note.offset_ticks - 1, note.onset_ticks)
        if place < len(lane) and table.index_of(lane[place]) <= table.index_of(last) + BARS:
            continue
        lost = note.techniques & LEADING
        changed["techniques"][row] &= ~np.uint64(int(lost))
        marks.append(Mark(note.onset_ticks, "dangling", note.voice, note.string, -1, (int(lost),)))
    return replace(track.with_notes(changed), marks=(*track.marks, *marks)) if marks else track


def play_dangling() -> Edit:
    """Marks of hammer-ons and slides that lead nowhere become techniques of their notes again."""

    def change(track: Track) -> Track:
        said = {
            (m.onset_ticks, m.voice, m.string): m.values[0] & int(LEADING)
            for m in track.marks
            if m.kind == "dangling" and m.string and m.values
        }
        if not any(m.kind == "dangling" for m in track.marks):
            return track
        notes = track.notes.copy()
        for row in np.flatnonzero(np.isin(notes["onset_ticks"], [at for at, _, _ in said])):
            place = (int(notes["onset_ticks"][row]), int(notes["voice"][row]), int(notes["string"][row]))
            notes["techniques"][row] |= np.uint64(said.get(place, 0))
        kept = tuple(m for m in track.marks if m.kind != "dangling")
        return replace(track.with_notes(notes), marks=kept)

    return Edit("says hammer-ons and slides that lead to no note as techniques", lambda score: score.map_tracks(change))
