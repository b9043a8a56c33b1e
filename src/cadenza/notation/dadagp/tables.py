"""What DadaGP's tokens stand for: instruments by General MIDI program, tunings, waits.

Source: the encoder of the data set, version 1.1 (Sarmento et al., DadaGP: a Dataset of Tokenized GuitarPro Songs for
Sequence Models, ISMIR 2021; github.com/dada-bots/dadaGP).
"""

from __future__ import annotations

from collections.abc import Mapping

QUARTER_TICKS = 960
WHOLE_TICKS = 4 * QUARTER_TICKS
FAMILIES = ("distorted", "clean", "bass", "leads", "pads", "drums")
NUMBERED = ("distorted", "clean")  # from 0; of the others the first has no number
MAX_OF_A_FAMILY = 16
DROPPED = "remove"  # sound effects


def _family(program: int) -> str:
    if 24 <= program <= 28 or 104 <= program <= 107:  # guitars without distortion, sitar, banjo, shamisen, koto
        return "clean"
    if 29 <= program <= 31:
        return "distorted"
    if 32 <= program <= 39:
        return "bass"
    if 48 <= program <= 55 or 88 <= program <= 95 or program in (97, 100, 101, 102, 103):
        return "pads"
    return DROPPED if program >= 120 else "leads"


#: General MIDI program → family; :data:`DROPPED` for sound effects.
FAMILY_OF_PROGRAM: tuple[str, ...] = tuple(_family(program) for program in range(128))
#: What a decoded instrument plays, and is called.
PROGRAMS: Mapping[str, int] = {"distorted": 30, "clean": 27, "bass": 34, "leads": 0, "pads": 48, "drums": 0}
TITLES: Mapping[str, str] = {
    "distorted": "Guitar",
    "clean": "Clean Guitar",
    "bass": "Bass",
    "leads": "Piano",
    "pads": "Ensemble",
    "drums": "Drums",
}
JAZZ_GUITAR = 26  # of the second clean one

GUITAR = (64, 59, 55, 50, 45, 40, 35)
BASS = (48, 43, 38, 33, 28, 23)
DROP = 2  # semitones by which the two lowest of all strings are lower in a drop tuning
DROP_STRINGS: Mapping[str, tuple[int, int]] = {"guitar": (6, 7), "bass": (5, 6)}
LOWEST_DOWNTUNE, HIGHEST_DOWNTUNE = -20, 40

#: Waits that are one token; others are told as powers of two, largest first.
WAITS = frozenset(
    {1, 2, 4, 8, 16, 32, 40, 60, 64, 80, 120, 128, 160, 180, 192, 240, 256, 320, 360, 480, 512, 640, 720, 960, 1024}
    | {1440, 1920, 2048, 2880, 3840, 4096, 8192, 16384}
)
LARGEST_WAIT_BIT = 18
WAIT_VALUES = tuple(sorted(WAITS | {1 << bit for bit in range(LARGEST_WAIT_BIT + 1)}))
POSITIONS = 12  # of a bend's point over its note
MAX_FRET = 99
MAX_DRUM_KEY = 99


def waits(ticks: int) -> list[str]:
    """The tokens that wait ``ticks``."""
    if ticks in WAITS:
        return [f"wait:{ticks}"]
    out = []
    for bit in range(LARGEST_WAIT_BIT, -1, -1):
        while ticks >= 1 << bit:
            out.append(f"wait:{1 << bit}")
            ticks -= 1 << bit
    return out


def round_tempo(quarters_per_minute: float) -> int:
    """To tens, halves to even ones, at least 10."""
    return max(10, round(quarters_per_minute / 10) * 10)


def family(name: str) -> str:
    """``clean1`` → ``clean``."""
    return name.rstrip("0123456789")


def instrument(family: str, number: int) -> str:
    """The name of the ``number``-th (from 0) instrument of a family."""
    return f"{family}{number}" if number or family in NUMBERED else family


def instruments() -> tuple[str, ...]:
    """All names of instruments."""
    return tuple(
        instrument(name, number) for name in FAMILIES for number in range(1 if name == "drums" else MAX_OF_A_FAMILY)
    )


def program_of(name: str) -> int:
    """The program that a decoded instrument plays."""
    return JAZZ_GUITAR if name == "clean1" else PROGRAMS[family(name)]


def title_of(name: str) -> str:
    """What a decoded instrument is called: Guitar, Guitar 2 …"""
    digits = name[len(family(name)) :]
    number = int(digits or 0)
    return TITLES[family(name)] + (f" {number + 1}" if number else "")
