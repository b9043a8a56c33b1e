"""Tunings: strings and frets of tokens against those of tracks.

Guitars (and everything else but basses and drums) are told as seven-stringed ones in E, basses as six-stringed ones,
both lowered by ``downtune`` semitones; the frets −1 and −2 of the two lowest strings are those of drop tunings. A capo
counts as a shorter neck: frets are told from the nut. What fits none of this names its strings in the header
(``clean0:tuning:62:57:55:50:45:38``), and its strings and frets are its own: an extension, as is
``bass:downtune:-4`` for an instrument that is lowered otherwise than the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from cadenza.notation.dadagp.tables import BASS, DROP, DROP_STRINGS, GUITAR, HIGHEST_DOWNTUNE, LOWEST_DOWNTUNE
from cadenza.score.model import Track

_PLAIN = {6: (-5, -4, -5, -5, -5), 7: (-5, -4, -5, -5, -5, -5)}
_DROPPED = {6: (-5, -4, -5, -5, -7), 7: (-5, -4, -5, -5, -7, -5)}
_BASS_PLAIN = {4: (-5, -5, -5), 5: (-5, -5, -5, -5), 6: (-5, -5, -5, -5, -5)}
_BASS_DROPPED = {4: (-5, -5, -7), 5: (-5, -5, -7, -5), 6: (-5, -5, -5, -7, -5)}


@dataclass(frozen=True)
class Tuning:
    """How an instrument's strings are told: lowered by ``downtune``, or as ``strings`` says (highest first)."""

    kind: str  # guitar, bass
    downtune: int = 0
    strings: tuple[int, ...] = ()

    def open_pitch(self, string: int) -> int:
        """Pitch of fret 0 of a told string."""
        if self.strings:
            return self.strings[string - 1]
        return (GUITAR if self.kind == "guitar" else BASS)[string - 1] + self.downtune

    @property
    def n_strings(self) -> int:
        """Strings that may be told."""
        return len(self.strings) or len(GUITAR if self.kind == "guitar" else BASS)

    def lowest_fret(self, string: int) -> int:
        """−2 on strings that may be dropped."""
        return -DROP if not self.strings and string in DROP_STRINGS[self.kind] else 0


@dataclass(frozen=True)
class Neck:
    """A track's own strings and frets → told ones: ``string + n``, ``fret + shift of the string``."""

    tuning: Tuning
    first: int
    shifts: tuple[int, ...]

    def told(self, string: int, fret: int) -> tuple[int, int]:
        """String and fret as they are told."""
        return string + self.first, fret + self.shifts[string - 1]


def neck_of(track: Track, is_bass: bool) -> Neck:
    """How a fretted track is told."""
    strings, capo = track.tuning, track.capo_fret
    steps = tuple(low - high for high, low in pairwise(strings))
    n = len(strings)
    plain, dropped = (_BASS_PLAIN, _BASS_DROPPED) if is_bass else (_PLAIN, _DROPPED)
    kind = "bass" if is_bass else "guitar"
    if is_bass and n in plain:
        downtune = strings[1] - BASS[1] if n == 6 else strings[0] - BASS[1]
    else:
        downtune = strings[0] - GUITAR[0]
    if n in plain and steps in (plain[n], dropped[n]) and LOWEST_DOWNTUNE <= downtune <= HIGHEST_DOWNTUNE:
        first = 1 if is_bass and n < len(BASS) else 0
        low = DROP if steps == dropped[n] else 0
        drop_strings = DROP_STRINGS[kind]
        shifts = tuple(capo - (low if string + first in drop_strings else 0) for string in range(1, n + 1))
        return Neck(Tuning(kind, downtune), first, shifts)
    return Neck(Tuning(kind, 0, strings), 0, (capo,) * n)


def strings_of(tuning: Tuning, told: set[int], is_dropped: bool) -> tuple[tuple[int, ...], int]:
    """The open strings of a decoded track, and how many told strings lie above its first.

    Args:
        told: the strings that its notes name.
        is_dropped: whether a note has a fret below 0.
    """
    if tuning.strings:
        return tuning.strings, 0
    if tuning.kind == "bass":
        first = 0 if 1 in told else 1
        last = 6 if 1 in told or 6 in told else 5
    else:
        first, last = 0, 7 if 7 in told else 6
    low = DROP if is_dropped else 0
    drop_strings = DROP_STRINGS[tuning.kind]
    return tuple(
        tuning.open_pitch(string) - (low if string in drop_strings else 0) for string in range(first + 1, last + 1)
    ), first
