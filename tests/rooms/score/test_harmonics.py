"""Harmonics sound above the note at their string and fret, and stay so when a score is edited."""

from __future__ import annotations

from cadenza.score import edit
from cadenza.score.fingering import finger
from cadenza.score.model import STANDARD_TUNINGS, Note, Score, Technique, Track

GUITAR = STANDARD_TUNINGS["guitar"]


def score(*notes: Note) -> Score:
    return Score((Track.of(notes, tuning=GUITAR),))


def test_transposing_keeps_the_interval_but_natural_harmonics_lose_their_place():
    pinched = Note(0, 480, 72, string=3, fret=5, techniques=Technique.HARMONIC_PINCH)
    natural = Note(480, 480, 67, string=3, fret=12, techniques=Technique.HARMONIC_NATURAL)
    up = edit.transpose(2).apply(score(pinched, natural)).tracks[0]
    assert [(n.pitch, n.string, n.fret) for n in up] == [(74, 3, 7), (69, 0, -1)]
    assert [n.techniques for n in up] == [pinched.techniques, natural.techniques]


def test_fingering_counts_frets_not_pitches_of_what_is_placed():
    # Sounding an octave higher, the harmonic's hand is at the fifth fret, so a hand at the first reaches both.
    harmonic = Note(0, 480, 72, string=3, fret=5, techniques=Technique.HARMONIC_PINCH)
    placed = finger(score(harmonic, Note(0, 480, 65)).tracks[0])
    assert [(n.pitch, n.string, n.fret) for n in placed] == [(65, 1, 1), (72, 3, 5)]
