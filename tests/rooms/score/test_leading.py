"""Hammer-ons and slides that lead to no note are marks, and come back as techniques where a file is to say them."""

from __future__ import annotations

from cadenza.score.leading import mark_dangling, play_dangling
from cadenza.score.model import STANDARD_TUNINGS, Note, Score, Technique, Track

GUITAR = STANDARD_TUNINGS["guitar"]


def hammers(*places: tuple[int, int]) -> Score:
    notes = [Note(at, 960, 60, string=string, fret=0, techniques=Technique.HAMMER) for at, string in places]
    return Score((Track.of(notes, tuning=GUITAR),), 960)


def test_only_what_leads_to_a_note_is_a_technique() -> None:
    score = hammers((0, 1), (0, 2), (960, 1), (5 * 3840, 2))
    (track,) = mark_dangling().apply(score).tracks
    kept = [(n.onset_ticks, n.string) for n in track if n.techniques & Technique.HAMMER]
    assert kept == [(0, 1)]  # on string 1 a note follows, on string 2 only five bars later
    assert {(m.onset_ticks, m.string) for m in track.marks} == {(0, 2), (960, 1), (5 * 3840, 2)}


def test_marks_become_techniques_again() -> None:
    score = hammers((0, 1), (0, 2), (960, 1))
    assert play_dangling().apply(mark_dangling().apply(score)) == score
