"""Our own example pieces, written note by note, and the files that hold them.

    python examples/make_examples.py [FOLDER]

``riff.gp5``     eight bars of metal in drop D: lead and rhythm guitar, bass, drums
``chorale.mid``  ten bars for four voices
``waltz.mid``    sixteen bars for the piano

They are composed for cadenza and under its licence. Times are written in quarter notes.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from cadenza import formats
from cadenza.score.model import CONTROL_DTYPE, Bend, Key, Marker, Metre, Note, Score, Technique, Tempo, Track

Q = 480  # ticks a quarter
E, S = Fraction(1, 2), Fraction(1, 4)  # an eighth, a sixteenth

PM, DEAD, HAMMER, VIBRATO, RING = (
    Technique.PALM_MUTE,
    Technique.DEAD,
    Technique.HAMMER,
    Technique.VIBRATO,
    Technique.LET_RING,
)
SLIDE, ACCENT = Technique.SLIDE_SHIFT, Technique.ACCENT


def ticks(quarters: Fraction | float | int) -> int:
    """Quarter notes as ticks, which must come out even."""
    value = Fraction(quarters) * Q
    assert value.denominator == 1, quarters
    return int(value)


# ── riff.gp5 ─────────────────────────────────────────────────────────────────────────────────────────────

GUITAR = (64, 59, 55, 50, 45, 38)  # drop D
BASS = (43, 38, 33, 26)


class Hand:
    """Writes one fretted part from left to right; ``at`` is the place in quarters."""

    def __init__(self, tuning: tuple[int, ...]) -> None:
        self.tuning, self.notes, self.at = tuning, [], Fraction(0)

    def rest(self, quarters: Fraction | int) -> None:
        """Silence."""
        self.at += quarters

    def play(
        self,
        quarters: Fraction | int,
        *places: tuple[int, int],
        velocity: int = 95,
        techniques: Technique = Technique.NONE,
        bend: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """The (string, fret) ``places`` together; ``bend`` is in twelfths of the note and cents."""
        length = ticks(quarters)
        for string, fret in places:
            self.notes.append(
                Note(
                    ticks(self.at),
                    length,
                    self.tuning[string - 1] + fret,
                    velocity,
                    tuple(Bend(length * twelfth // 12, cents) for twelfth, cents in bend),
                    string,
                    fret,
                    techniques,
                )
            )
        self.at += quarters


def power(fret: int) -> tuple[tuple[int, int], ...]:
    """A power chord under one finger, as drop D allows."""
    return (6, fret), (5, fret), (4, fret)


def rhythm_guitar() -> list[Note]:
    """The riff: a galloping low D, chords on F, G and the flat fifth, and a broad middle."""
    hand = Hand(GUITAR)

    def chug(*lengths: Fraction, fret: int = 0) -> None:
        for n, length in enumerate(lengths):
            hand.play(length, (6, fret), velocity=88 if n == 0 else 78, techniques=PM)

    def chord(quarters: Fraction | int, fret: int, velocity: int = 108, techniques: Technique = Technique.NONE) -> None:
        hand.play(quarters, *power(fret), velocity=velocity, techniques=techniques)

    def riff(*ending: int) -> None:
        chord(E, 0, 112)
        chug(S, S)
        chug(E)
        chord(E, 3)
        chug(S, S, E)
        for fret in ending:
            chord(E, fret, 106)

    riff(5, 3)
    riff(6, 5)
    riff(5, 3)
    # Bar 4: two broad chords, then a run that falls back to the open string.
    chord(1, 8, 110)
    chord(1, 10, 110)
    hand.play(S, (6, 6), velocity=96)
    hand.play(S, (6, 5), velocity=92)
    chug(S, S)
    hand.play(S, (6, 5), velocity=96)
    hand.play(S, (6, 3), velocity=92, techniques=HAMMER)
    chug(S, S)
    # Bars 5 and 6: the broad middle, two chords a bar, each rung and then driven on.
    for fret, tail in ((8, 8), (10, 10)):
        chord(1, fret, 110)
        chug(E, S, S, fret=tail)
    chord(1, 0, 110)
    chug(E, S, S)
    chord(1, 7, 110)
    hand.play(E, (6, 7), velocity=84, techniques=PM)
    hand.play(S, (6, 7), velocity=80, techniques=DEAD)
    hand.play(S, (6, 7), velocity=80, techniques=DEAD)
    # Bar 7: the riff again; bar 8: two stops and a climb to the dominant, open at its end.
    riff(5, 6)
    chord(E, 0, 116, Technique.STACCATO)
    hand.rest(E)
    chord(E, 0, 116, Technique.STACCATO)
    hand.rest(E)
    for fret, velocity in ((3, 104), (5, 107), (6, 110), (7, 114)):
        chord(E, fret, velocity)
    return hand.notes


def lead_guitar() -> list[Note]:
    """A singing line around the tenth fret that answers the riff, and joins it in the last two beats."""
    hand = Hand(GUITAR)
    full = ((0, 0), (4, 200), (12, 200))
    up_down = ((0, 0), (3, 200), (6, 200), (9, 0), (12, 0))
    # Bars 1 and 2: pick-up, the long D, and a bend let down again.
    hand.rest(2)
    hand.play(1, (3, 12), velocity=100, bend=full, techniques=VIBRATO)
    hand.play(E, (2, 10), velocity=92)
    hand.play(E, (2, 13), velocity=98)
    hand.play(Fraction(3, 2), (1, 10), velocity=106, techniques=VIBRATO)
    hand.play(E, (2, 13), velocity=94, techniques=HAMMER)
    hand.play(E, (2, 10), velocity=84)
    hand.play(1, (3, 12), velocity=98, bend=up_down)
    hand.play(E, (3, 10), velocity=88)
    # Bars 3 and 4: the answer from below, slid up to the octave; a run across the strings.
    hand.play(1, (4, 12), velocity=100, techniques=VIBRATO)
    hand.rest(E)
    hand.play(E, (3, 10), velocity=90, techniques=HAMMER)
    hand.play(E, (3, 12), velocity=82)
    hand.play(E, (2, 10), velocity=92)
    hand.play(E, (2, 13), velocity=96, techniques=SLIDE)
    hand.play(E, (2, 15), velocity=104)
    hand.play(1, (1, 13), velocity=108, techniques=VIBRATO)
    hand.play(1, (1, 12), velocity=104, techniques=VIBRATO)
    for string, high, low in ((1, 13, 10), (2, 13, 10), (3, 12, 10), (4, 12, 10)):
        hand.play(S, (string, high), velocity=98, techniques=HAMMER)
        hand.play(S, (string, low), velocity=84)
    # Bars 5 and 6: long notes over the broad chords; the C sharp pulls home.
    hand.play(Fraction(3, 2), (1, 13), velocity=110, bend=((0, 0), (3, 200), (8, 200), (10, 0), (12, 0)))
    hand.play(E, (1, 10), velocity=96)
    hand.play(Fraction(3, 2), (1, 12), velocity=106, techniques=VIBRATO)
    hand.play(E, (1, 10), velocity=94)
    hand.play(1, (2, 10), velocity=100)
    hand.play(E, (2, 13), velocity=96)
    hand.play(E, (1, 10), velocity=100)
    hand.play(1, (1, 12), velocity=106)
    hand.play(1, (2, 14), velocity=108, techniques=VIBRATO)
    # Bar 7: three eighths against the riff's four.
    for _ in range(2):
        hand.play(E, (3, 12), velocity=104, bend=((0, 0), (4, 200), (12, 200)))
        hand.play(E, (2, 13), velocity=98)
        hand.play(E, (2, 10), velocity=92)
    hand.play(E, (1, 10), velocity=100)
    hand.play(E, (1, 13), velocity=106)
    # Bar 8: a held bend over the stops, then in unison with the climb.
    hand.play(2, (2, 13), velocity=112, bend=((0, 0), (2, 200), (12, 200)), techniques=VIBRATO)
    hand.play(E, (3, 10), velocity=102)
    hand.play(E, (3, 12), velocity=104)
    hand.play(E, (3, 13), velocity=106, techniques=SLIDE)
    hand.play(E, (3, 14), velocity=110)
    return hand.notes


def bass_guitar() -> list[Note]:
    """Locks with the riff, walks through the middle."""
    hand = Hand(BASS)

    def riff(*ending: int) -> None:
        for length, fret, velocity in (
            (E, 0, 108), (S, 0, 92), (S, 0, 90), (E, 0, 96), (E, 3, 102), (S, 0, 92), (S, 0, 90), (E, 0, 96),
        ):  # fmt: skip
            hand.play(length, (4, fret), velocity=velocity)
        for fret in ending:
            hand.play(E, (4, fret), velocity=102)

    riff(5, 3)
    riff(6, 5)
    riff(5, 3)
    hand.play(1, (3, 1), velocity=106)
    hand.play(1, (3, 3), velocity=106)
    for string, fret in ((4, 6), (4, 5), (4, 0), (4, 0), (4, 5), (4, 3), (4, 0), (4, 0)):
        hand.play(S, (string, fret), velocity=98)
    # B flat, C, D, A: the root with its fifth or octave above; over A the C sharp leads home.
    for half in (
        ((3, 1), (3, 1), (2, 3), (3, 1)),
        ((3, 3), (3, 3), (2, 5), (3, 3)),
        ((3, 5), (3, 5), (2, 7), (3, 5)),
        ((4, 7), (4, 7), (3, 7), (3, 4)),
    ):
        for n, place in enumerate(half):
            hand.play(E, place, velocity=104 if n == 0 else 92)
    riff(5, 6)
    for fret in (0, 0):
        hand.play(E, (4, fret), velocity=112, techniques=Technique.STACCATO)
        hand.rest(E)
    for fret in (3, 5, 6, 7):
        hand.play(E, (4, fret), velocity=104)
    return hand.notes


KICK, SNARE, HAT, OPEN_HAT, PEDAL_HAT, RIDE, BELL = 36, 38, 42, 46, 44, 51, 53
CRASH, CRASH_RIGHT, CHINA, HIGH_TOM, MID_TOM, LOW_TOM = 49, 57, 52, 48, 45, 41


def drum_kit() -> list[Note]:
    """A gallop under the riff, half time in the middle, fills into each section."""
    grid: dict[tuple[int, int], int] = {}  # (sixteenth from the start, key) → velocity

    def hit(bar: int, key: int, velocity: int, *sixteenths: int) -> None:
        for place in sixteenths:
            grid[16 * (bar - 1) + place, key] = velocity

    for bar in (1, 2, 3, 7):
        hit(bar, KICK, 108, 0, 8)
        hit(bar, KICK, 94, 2, 3, 6, 9, 10)
        hit(bar, SNARE, 112, 4, 12)
        hit(bar, HAT, 92, 0, 4, 8, 12)
        hit(bar, HAT, 70, 2, 6, 10, 14)
        hit(bar, KICK, 100, 14)
    hit(2, SNARE, 44, 7, 15)
    hit(2, OPEN_HAT, 88, 14)
    grid.pop((16 + 14, HAT))
    for bar in (1, 7):
        hit(bar, CRASH, 110, 0)
        grid.pop((16 * (bar - 1), HAT))
    # Bar 4: with the chords, then down the toms.
    hit(4, KICK, 112, 0, 4)
    hit(4, CRASH, 110, 0)
    hit(4, CRASH_RIGHT, 110, 4)
    hit(4, SNARE, 104, 8, 9)
    hit(4, KICK, 98, 10, 11, 14, 15)
    hit(4, HIGH_TOM, 102, 10, 11)
    hit(4, MID_TOM, 104, 12, 13)
    hit(4, LOW_TOM, 108, 14, 15)
    # Bars 5 and 6: half time, cymbals on the quarters.
    for bar in (5, 6):
        hit(bar, CHINA if bar == 5 else CRASH_RIGHT, 112, 0)
        hit(bar, RIDE, 94, 4, 8, 12)
        hit(bar, BELL, 74, 2, 6, 10, 14)
        hit(bar, KICK, 110, 0)
        hit(bar, KICK, 98, 3, 6, 10, 11)
        hit(bar, SNARE, 116, 8)
    for place, velocity in zip(range(12, 16), (78, 90, 102, 114), strict=True):
        hit(6, SNARE, velocity, place)
        grid.pop((16 * 5 + place, BELL), None)
        grid.pop((16 * 5 + place, RIDE), None)
    hit(6, KICK, 100, 12, 14)
    # Bar 8: the stops, then a climb with both hands.
    hit(8, KICK, 114, 0, 4)
    hit(8, CRASH, 114, 0)
    hit(8, CRASH_RIGHT, 114, 4)
    hit(8, SNARE, 108, 0, 4)
    hit(8, PEDAL_HAT, 70, 2, 6)
    hit(8, SNARE, 106, 8, 9, 15)
    hit(8, HIGH_TOM, 104, 10, 11)
    hit(8, MID_TOM, 106, 12, 13)
    hit(8, LOW_TOM, 110, 14)
    hit(8, KICK, 104, 8, 10, 12, 14)
    return [Note(ticks(place * S), ticks(S), key, velocity) for (place, key), velocity in sorted(grid.items())]


def riff() -> Score:
    """Eight bars for two guitars, bass and drums in D minor, drop D, 140 quarter notes a minute."""
    return Score(
        (
            Track.of(lead_guitar(), name="Lead guitar", program=29, tuning=GUITAR),
            Track.of(rhythm_guitar(), name="Rhythm guitar", program=30, tuning=GUITAR),
            Track.of(bass_guitar(), name="Bass", program=34, tuning=BASS),
            Track.of(drum_kit(), name="Drums", is_drums=True),
        ),
        ticks_per_quarter=Q,
        tempos=(Tempo(0, 140.0),),
        metres=(Metre(0, 4, 4),),
        keys=(Key(0, -1, "minor"),),
        markers=(Marker(0, "Riff"), Marker(16 * Q, "Middle"), Marker(24 * Q, "Riff")),
        title="Iron Gate",
        composer="The cadenza authors",
        length_ticks=32 * Q,
    )


# ── chorale.mid ──────────────────────────────────────────────────────────────────────────────────────────

# Bass, tenor, alto, soprano: one string of words a voice, a bar between strokes. A word is a note of one quarter;
# ":" doubles it, "." halves it, and three halves are ":." (not needed here).
CHORALE = {
    "Soprano": (
        "B4 A4 B4 C5 | D5. C5. B4 A4: | A4 B4 C5 A4 | B4 A4 G4: | B4 B4 C5 B4 | A4 G4 F#4: |"
        " G4 A4 B4 C5 | D5 C5 B4: | D5 E5 D5 C5 | B4 A4 G4: "
    ),
    "Alto": (
        "G4 A4 G4 G4 | G4 G4 F#4: | D4 G4 A4. G4. F#4 | G4 F#4 D4: | G4 G4 A4 E4 | D#4 E4 D#4: |"
        " E4 D4 G4 G4 | G4 F#4 G4: | G4 G4 D4 E4 | D4 C4: B3 "
    ),
    "Tenor": (
        "D4 D4 D4 E4 | D4 D4 D4: | A3 D4 E4 D4 | D4 C4 B3: | D4 E4 E4 B3 | B3 B3 B3: |"
        " B3 A3 D4 E4 | D4 D4 D4: | B3 G3 G3 E3. F#3. | G3 F#3 G3: "
    ),
    "Bass": (
        "G3 F#3 G3. F#3. E3 | B2 D3 D3: | F#3 G3 C3 D3 | B2 D3 G2: | G3. F#3. E3 A3 G3 | F#3 E3 B2: |"
        " E3 F#3 G3 C3 | B2 A2 G2: | G2 C3 B2 A2 | D3 D3 G2: "
    ),
}
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}


def pitch_of(word: str) -> tuple[int, int]:
    """("C#5") → (MIDI number, place on the line of fifths)."""
    sharp = word.count("#") - word.count("b")
    return _STEPS[word[0]] + sharp + 12 * (int(word[-1]) + 1), _FIFTHS[word[0]] + 7 * sharp


def voice(words: str, dynamics: list[int]) -> list[Note]:
    """The notes of one voice; ``dynamics`` holds a velocity for each bar."""
    notes, at = [], Fraction(0)
    for word in words.replace("|", " ").split():
        length = Fraction(2) ** (word.count(":") - word.count("."))
        pitch, spelling = pitch_of(word.strip(":."))
        bar = int(at // 4)
        notes.append(Note(ticks(at), ticks(length), pitch, dynamics[bar], spelling=spelling))
        at += length
    assert at == 40, at
    return notes


def chorale() -> Score:
    """Ten bars for four voices in G major, with a phrase in E minor; the last cadence has a 4–3 suspension."""
    dynamics = [70, 74, 76, 70, 64, 60, 70, 80, 88, 74]
    louder = {"Soprano": 6, "Alto": 0, "Tenor": 0, "Bass": 3}
    return Score(
        tuple(
            Track.of(voice(words, [d + louder[name] for d in dynamics]), name=name, program=52)
            for name, words in CHORALE.items()
        ),
        ticks_per_quarter=Q,
        tempos=(Tempo(0, 84.0), Tempo(37 * Q, 76.0), Tempo(38 * Q, 66.0)),
        metres=(Metre(0, 4, 4),),
        keys=(Key(0, 1, "major"),),
        title="Chorale in G",
        composer="The cadenza authors",
        length_ticks=40 * Q,
    )


# ── waltz.mid ────────────────────────────────────────────────────────────────────────────────────────────

# One bar a line: velocity of the melody; melody as "note length" in quarters; left hand: bass, then the chord of
# beats two and three.
WALTZ: tuple[tuple[int, str, str, str], ...] = (
    (66, "E5 2  A5 1", "A2", "A3 C4 E4"),
    (70, "A5 1.5  G5 .5  F5 1", "F2", "A3 C4 F4"),
    (68, "F5 2  D5 1", "D3", "A3 D4 F4"),
    (64, "D5 1.5  C5 .5  B4 1", "E2", "G#3 B3 D4"),
    (66, "C5 2  E5 1", "A2", "A3 C4 E4"),
    (72, "G5 1.5  F5 .5  E5 1", "G2", "G3 C4 E4"),
    (78, "F5 1  A5 1  C6 1", "F2", "A3 C4 F4"),
    (76, "B5+D5 2  G#5 1", "E2", "G#3 B3 E4"),
    (74, "A5+C5 1.5  B5 .5  C6 1", "A2", "A3 C4 E4"),
    (86, "E6+G5 2  C#6 1", "C#3", "G3 A3 E4"),
    (92, "D6+F5 1.5  E6 .5  F6 1", "D3", "A3 D4 F4"),
    (86, "F6+B5 1  D6 1  B5 1", "G2", "F3 B3 D4"),
    (82, "E6+G5 1.5  D6 .5  C6 1", "C3", "G3 C4 E4"),
    (76, "D6 1  A5 1  F5 1", "F2", "A3 D4 F4"),
    (68, "E5 1  G#5 1  B5 .5  D6 .5", "E2", "G#3 B3 D4"),
    (60, "C6+E5 1  A5 2", "A2", "A3 C4 E4"),
)


def waltz() -> Score:
    """Sixteen bars for the piano in A minor, 3/4, with pedal, dynamics and a slowing at both cadences."""
    right, left, pedal = [], [], []
    for bar, (velocity, melody, bass, chord) in enumerate(WALTZ):
        start, at = 3 * bar, Fraction(3 * bar)
        words = melody.split()
        for group, length in zip(words[::2], words[1::2], strict=True):
            for n, word in enumerate(group.split("+")):
                pitch, spelling = pitch_of(word)
                # The upper note sings, what lies below it is softer; a bar's last note leads nowhere loudly.
                loud = velocity + 10 - (18 if n else 0) - (4 if at > start else 0)
                right.append(Note(ticks(at), ticks(Fraction(length)), pitch, loud, spelling=spelling))
            at += Fraction(length)
        assert at == start + 3, (bar, at)
        last = bar == len(WALTZ) - 1
        pitch, spelling = pitch_of(bass)
        left.append(Note(ticks(start), ticks(3 if last else 1), pitch, velocity - 12, spelling=spelling))
        for beat in (1,) if last else (1, 2):
            for word in chord.split():
                pitch, spelling = pitch_of(word)
                length = 2 if last else Fraction(3, 4)
                soft = velocity - (24 if beat == 1 else 28)
                left.append(Note(ticks(start + beat), ticks(length), pitch, soft, spelling=spelling))
        pedal += [(ticks(start) + 30, 64, 127), (ticks(start + 3) - (0 if last else 30), 64, 0)]
    controls = np.array(pedal, CONTROL_DTYPE)
    return Score(
        (
            Track.of(right, name="Right hand", program=0, controls=controls),
            Track.of(left, name="Left hand", program=0, controls=controls),
        ),
        ticks_per_quarter=Q,
        tempos=(
            Tempo(0, 156.0),
            Tempo(21 * Q, 148.0),
            Tempo(23 * Q, 136.0),
            Tempo(24 * Q, 156.0),
            Tempo(42 * Q, 144.0),
            Tempo(44 * Q, 126.0),
            Tempo(45 * Q, 110.0),
        ),
        metres=(Metre(0, 3, 4),),
        keys=(Key(0, 0, "minor"),),
        title="Waltz in A minor",
        composer="The cadenza authors",
        length_ticks=48 * Q,
    )


PIECES = {"riff.gp5": riff, "chorale.mid": chorale, "waltz.mid": waltz}


def main() -> None:
    """Write every piece into the folder named on the command line, by default this script's own."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, make in PIECES.items():
        formats.write(make(), folder / name)
        print(folder / name)


if __name__ == "__main__":
    main()
