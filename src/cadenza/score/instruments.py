"""What General MIDI instruments can play: sounding ranges, families, and which have frets.

Ranges are what orchestration books (Adler, *The Study of Orchestration*; Blatter, *Instrumentation and Orchestration*)
give for a professional player, rounded outwards; instruments without a natural range get the piano's.
"""

from __future__ import annotations

import re

import numpy as np

from cadenza.score.model import STANDARD_TUNINGS, Track

PIANO_RANGE = (21, 108)
DRUM_KEYS = (27, 87)  # General MIDI 2 percussion keys
_PITCHES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

#: program → (lowest, highest) sounding pitch; programs not listed have the piano's range.
_RANGES = {
    8: (60, 108), 9: (72, 108), 10: (60, 101), 11: (53, 89), 12: (45, 101), 13: (65, 108), 14: (60, 91), 15: (48, 88),
    21: (41, 96), 22: (48, 96), 23: (41, 96),
    **dict.fromkeys(range(24, 32), (38, 88)),
    **dict.fromkeys(range(32, 40), (23, 67)),
    40: (55, 105), 41: (48, 93), 42: (36, 84), 43: (24, 67), 44: (28, 100), 45: (28, 100), 46: (23, 103), 47: (36, 60),
    **dict.fromkeys(range(48, 52), (24, 103)),
    **dict.fromkeys(range(52, 55), (36, 88)),
    56: (52, 89), 57: (34, 77), 58: (26, 65), 59: (52, 89), 60: (34, 79), 61: (34, 89),
    64: (56, 94), 65: (49, 87), 66: (44, 82), 67: (36, 75), 68: (58, 93), 69: (52, 84), 70: (34, 77), 71: (50, 94),
    72: (74, 108), 73: (59, 99), 74: (60, 99), 75: (60, 96), 76: (48, 96), 77: (50, 96), 78: (48, 96), 79: (60, 96),
    104: (36, 88), 105: (43, 91), 106: (48, 88), 107: (43, 88), 108: (55, 96),
}  # fmt: skip


def pitch_name(pitch: int) -> str:
    """A MIDI number as its usual name: 60 is C4."""
    return f"{_PITCHES[pitch % 12]}{pitch // 12 - 1}"


def range_of(track: Track) -> tuple[int, int]:
    """(lowest, highest) pitch of the track's instrument, widened to what the track itself already plays."""
    if track.is_drums:
        low, high = DRUM_KEYS
    elif track.tuning:
        low, high = min(track.tuning) + track.capo_fret, max(track.tuning) + 24
    else:
        low, high = _RANGES.get(track.program, PIANO_RANGE)
    if len(track) and not track.tuning:
        low, high = min(low, int(track.notes["pitch"].min())), max(high, int(track.notes["pitch"].max()))
    return low, high


def implied_tuning(track: Track) -> tuple[int, ...]:
    """The tuning to play ``track`` in: its own, or the standard one of a guitar or bass program; else empty."""
    if track.tuning or track.is_drums:
        return track.tuning
    if 24 <= track.program <= 31:
        return STANDARD_TUNINGS["guitar"]
    if 32 <= track.program <= 37:
        return STANDARD_TUNINGS["bass"]
    return ()


def is_constant(values: np.ndarray) -> bool:
    """Whether all values are the same (true for none)."""
    return len(values) == 0 or bool((values == values[0]).all())


# ── families ─────────────────────────────────────────────────────────────────────────────────────────────

FAMILIES = ("guitar", "bass", "drums", "keys", "bowed", "voice_wind", "other")
FRETTED_FAMILIES = ("guitar", "bass")
HIGHEST_BASS_STRING = 50  # of a six-string bass; every guitar's is higher

#: first program of a run → family of the run (General MIDI 1).
_PROGRAM_FAMILIES = (
    (0, "keys"), (8, "other"), (16, "keys"), (24, "guitar"), (32, "bass"), (40, "bowed"), (45, "bowed"), (46, "other"),
    (48, "bowed"), (52, "voice_wind"), (55, "other"), (56, "voice_wind"), (80, "other"), (104, "guitar"),
    (108, "other"), (109, "voice_wind"), (110, "bowed"), (111, "voice_wind"), (112, "other"),
)  # fmt: skip
#: Words of a track's name → family; looked for in this order, in several languages.
_NAME_FAMILIES = (
    ("drums", ("drum", "percussion", "kit", "schlagzeug", "batteria", "batterie", "bateria")),
    ("bass", ("bass guitar", "electric bass", "e-bass", "fretless", "slap bass", "bass")),
    ("guitar", ("guitar", "gitarre", "guitare", "chitarra", "guitarra", "banjo", "ukulele", "lute", "vihuela")),
    ("keys", ("piano", "keyboard", "organ", "harpsichord", "cembalo", "clav", "klavier", "orgel")),
    ("bowed", ("violin", "viola", "cello", "fiddle", "contrabass", "double bass", "strings", "geige", "bratsche")),
    (
        "voice_wind",
        ("voice", "vocal", "soprano", "alto", "tenor", "baritone", "choir", "sing", "flute", "oboe", "clarinet", "horn",
         "bassoon", "trumpet", "trombone", "sax", "recorder", "tuba"),
    ),
)  # fmt: skip
#: Words that count only where a word begins: a flute is no lute, and no blessing sings.
_AT_A_START = ("lute", "sing", "kit")
_NAME_PATTERNS = tuple(
    (family, re.compile("|".join((r"(?<![^\W\d_])" if word in _AT_A_START else "") + re.escape(word) for word in said)))
    for family, said in _NAME_FAMILIES
)


def family_of(track: Track) -> str:
    """The family of the track's instrument, by what the track says of itself: drums, strings, program, name.

    Program 0 is what sources write that say nothing; there the name decides first.
    """
    if track.is_drums:
        return "drums"
    if track.tuning:
        return "bass" if max(track.tuning) <= HIGHEST_BASS_STRING else "guitar"
    if track.program == 0:
        return family_of_name(track.name) or "keys"
    return next(family for first, family in reversed(_PROGRAM_FAMILIES) if first <= track.program)


def family_of_name(name: str) -> str:
    """The family that a track's name says; empty where it says none."""
    words = name.lower()
    if "double bass" in words or "contrabass" in words or "kontrabass" in words:
        return "bowed"
    if "bass clarinet" in words or words.strip() in ("bass", "basso") or "bass voice" in words:
        return "voice_wind" if "clarinet" in words or "voice" in words else "bass"
    return next((family for family, said in _NAME_PATTERNS if said.search(words)), "")


def says_family(track: Track) -> bool:
    """Whether the track says its family at all: drums, strings, a program other than 0, or a name that tells."""
    return track.is_drums or bool(track.tuning) or track.program != 0 or bool(family_of_name(track.name))


def program_name(program: int) -> str:
    """General MIDI's name of a program, 0–127."""
    return _PROGRAM_NAMES[program]


_PROGRAM_NAMES = [
    name.strip()
    for name in """
Acoustic Grand Piano; Bright Acoustic Piano; Electric Grand Piano; Honky-tonk Piano; Electric Piano 1; Electric
Piano 2; Harpsichord; Clavinet; Celesta; Glockenspiel; Music Box; Vibraphone; Marimba; Xylophone; Tubular Bells;
Dulcimer; Drawbar Organ; Percussive Organ; Rock Organ; Church Organ; Reed Organ; Accordion; Harmonica; Tango
Accordion; Acoustic Guitar (nylon); Acoustic Guitar (steel); Electric Guitar (jazz); Electric Guitar (clean);
Electric Guitar (muted); Overdriven Guitar; Distortion Guitar; Guitar Harmonics; Acoustic Bass; Electric Bass
(finger); Electric Bass (pick); Fretless Bass; Slap Bass 1; Slap Bass 2; Synth Bass 1; Synth Bass 2; Violin; Viola;
Cello; Contrabass; Tremolo Strings; Pizzicato Strings; Orchestral Harp; Timpani; String Ensemble 1; String Ensemble
2; Synth Strings 1; Synth Strings 2; Choir Aahs; Voice Oohs; Synth Voice; Orchestra Hit; Trumpet; Trombone; Tuba;
Muted Trumpet; French Horn; Brass Section; Synth Brass 1; Synth Brass 2; Soprano Sax; Alto Sax; Tenor Sax; Baritone
Sax; Oboe; English Horn; Bassoon; Clarinet; Piccolo; Flute; Recorder; Pan Flute; Blown Bottle; Shakuhachi; Whistle;
Ocarina; Lead 1 (square); Lead 2 (sawtooth); Lead 3 (calliope); Lead 4 (chiff); Lead 5 (charang); Lead 6 (voice);
Lead 7 (fifths); Lead 8 (bass + lead); Pad 1 (new age); Pad 2 (warm); Pad 3 (polysynth); Pad 4 (choir); Pad 5
(bowed); Pad 6 (metallic); Pad 7 (halo); Pad 8 (sweep); FX 1 (rain); FX 2 (soundtrack); FX 3 (crystal); FX 4
(atmosphere); FX 5 (brightness); FX 6 (goblins); FX 7 (echoes); FX 8 (sci-fi); Sitar; Banjo; Shamisen; Koto;
Kalimba; Bagpipe; Fiddle; Shanai; Tinkle Bell; Agogo; Steel Drums; Woodblock; Taiko Drum; Melodic Tom; Synth Drum;
Reverse Cymbal; Guitar Fret Noise; Breath Noise; Seashore; Bird Tweet; Telephone Ring; Helicopter; Applause; Gunshot
""".replace("\n", " ").split(";")
]
