"""What General MIDI instruments can play: sounding ranges, families, and which have frets.

Ranges are what orchestration books (Adler, *The Study of Orchestration*; Blatter, *Instrumentation and Orchestration*)
give for a professional player, rounded outwards; instruments without a natural range get the piano's.
"""

from __future__ import annotations

import numpy as np

from cadenza.score.model import STANDARD_TUNINGS, Track

PIANO_RANGE = (21, 108)
DRUM_KEYS = (27, 87)  # General MIDI 2 percussion keys

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
