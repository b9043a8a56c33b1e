"""Pieces to continue: what musicians bring, and what makes trouble."""

from __future__ import annotations

import random
from dataclasses import replace

from cadenza.score.model import (
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

GUITAR, BASS = STANDARD_TUNINGS["guitar"], STANDARD_TUNINGS["bass"]
DROP_C = (62, 57, 53, 48, 43, 36)


def riff(
    rng: random.Random, tuning: tuple[int, ...], step: int, n: int, capo: int = 0, chords: bool = False
) -> list[Note]:
    """``n`` onsets on a fretted instrument, with bends and techniques here and there."""
    out = []
    for i in range(n):
        fret = rng.randint(0, 7)
        strings = range(len(tuning) - 3, len(tuning)) if chords and not i % 4 else [rng.randrange(len(tuning))]
        for s in strings:
            bends = (Bend(0, 0), Bend(step, 100)) if fret and not i % 5 and not chords else ()
            technique = rng.choice((Technique.NONE, Technique.PALM_MUTE, Technique.VIBRATO))
            pitch = tuning[s] + capo + fret
            out.append(Note(i * step, step, pitch, rng.randint(40, 120), bends, s + 1, fret, technique))
    return out


def guitar(rng: random.Random, ticks_per_quarter: int = 480, metre: tuple[int, int] = (4, 4), bars: int = 4) -> Score:
    """One guitar, eighth notes."""
    bar = ticks_per_quarter * 4 * metre[0] // metre[1]
    step = max(1, ticks_per_quarter // 2)
    notes = riff(rng, GUITAR, step, bars * bar // step)
    lead = Track.of(notes, name="Lead", program=rng.randint(24, 31), tuning=GUITAR)
    return Score((lead,), ticks_per_quarter, (Tempo(0, 97.5),), (Metre(0, *metre),), length_ticks=bars * bar)


def band(rng: random.Random, n_guitars: int = 1, bars: int = 4) -> Score:
    """Guitars with chords, a bass, drums, an organ, markers and a change of tempo and key."""
    n = bars * 8
    tracks = [
        Track.of(riff(rng, DROP_C, 240, n, chords=True), name=f"Gtr {i}", program=30, tuning=DROP_C)
        for i in range(n_guitars)
    ]
    tracks.append(Track.of(riff(rng, BASS, 240, n), name="Bass", program=33, tuning=BASS))
    drums = [Note(240 * i, 30, rng.choice((36, 38, 42, 46, 49)), rng.randint(60, 127)) for i in range(n)]
    tracks.append(Track.of(drums, name="Drums", is_drums=True))
    organ = [Note(960 * i, 960, p, 70) for i in range(bars * 2) for p in (48, 55, 60, 64)]
    tracks.append(Track.of(organ, name="Orgel", program=18))
    return Score(
        tuple(tracks), 480, (Tempo(0, 140.0), Tempo(1920, 141.0)), (Metre(0, 4, 4),), (Key(0, -2, "minor"),),
        markers=(Marker(0, "Intro"),), title="Band", composer="Nobody", length_ticks=bars * 1920,
    )  # fmt: skip


def piano(rng: random.Random, metre: tuple[int, int] = (3, 4), bars: int = 4) -> Score:
    """Two hands on one track, no fixed grid."""
    bar = 480 * 4 * metre[0] // metre[1]
    notes = [
        Note(rng.randrange(bars * bar), rng.randint(1, 900), rng.randint(30, 95), rng.randint(20, 110))
        for _ in range(60)
    ]
    return Score((Track.of(notes, name="Piano"),), 480, (), (Metre(0, *metre),), length_ticks=bars * bar)


def all_seeds() -> dict[str, Score]:
    """By name, always the same."""
    rng = random.Random(7)
    base = guitar(rng)
    capo = Track.of(riff(rng, GUITAR, 240, 24, capo=3), program=25, tuning=GUITAR, capo_fret=3)
    drop = Track.of(riff(rng, DROP_C, 240, 24, chords=True), program=30, tuning=DROP_C)
    seven = (*DROP_C, 31)
    untuned = Track.of([Note(240 * i, 240, 40 + (7 * i) % 30) for i in range(24)], program=27)
    thick = Track.of([Note(480 * i, 480, 40 + p) for i in range(8) for p in range(0, 20, 2)], program=27)
    out = {
        "guitar": base,
        "band": band(rng),
        "twenty tracks": band(rng, 17, bars=2),
        "piano 3/4": piano(rng),
        "piano 4/4": piano(rng, (4, 4)),
        "one note": Score((Track.of([Note(0, 480, 60)]),)),
        "one note long ago": Score((Track.of([Note(0, 480, 60)]), Track(name="silent")), length_ticks=12 * 1920),
        "ends in silence": replace(base, length_ticks=base.length_ticks + 3 * 1920),
        "ends in mid-bar": replace(guitar(rng, bars=3), metres=(Metre(0, 7, 8),)),
        "pickup": replace(base, bars=(BarMark(480), BarMark(2400))),
        "repeats": replace(base, bars=(BarMark(0, True), BarMark(1920, endings=(1,)), BarMark(3840, False, 2, (2,)))),
        "change of metre": replace(base, metres=(Metre(0, 4, 4), Metre(3840, 3, 4))),
        "capo": Score((capo,)),
        "drop tuning": Score((drop,)),
        "seven strings": Score((Track.of(riff(rng, seven, 240, 24), program=30, tuning=seven),)),
        "ukulele": Score((Track.of(riff(rng, (69, 64, 60, 67), 240, 24), program=24, tuning=(69, 64, 60, 67)),)),
        "guitar without strings": Score((untuned,)),
        "chords that no guitar plays": Score((thick,)),
        "drums alone": Score((Track.of([Note(120 * i, 1, 35 + i % 3) for i in range(64)], is_drums=True),)),
        "doubled notes": Score((Track.of([Note(0, 480, 60), Note(0, 480, 60), Note(0, 240, 60)]),)),
        "very high": Score((Track.of([Note(0, 480, 127), Note(480, 480, 0)], program=9),)),
        "one velocity": Score((Track.of([Note(240 * i, 240, 60, 77) for i in range(16)]),)),
        "slow": replace(base, tempos=(Tempo(0, 7.0),)),
        "fast": replace(base, tempos=(Tempo(0, 900.0),)),
    }
    for metre in ((3, 4), (2, 4), (5, 4), (6, 8), (7, 8), (12, 8), (4, 2), (2, 2), (15, 16), (1, 4), (8, 4), (16, 4)):
        out[f"{metre[0]}/{metre[1]}"] = guitar(rng, metre=metre, bars=3)
    for resolution in (1, 2, 5, 24, 96, 100, 120, 220, 480, 960, 1024, 10_080, 32_767):
        out[f"{resolution} ticks"] = guitar(rng, resolution)
    return out
