"""How far harmonics sound above the fretted note, and which intervals Guitar Pro can say.

A string touched at a node sounds the partial that has the node. A natural harmonic touches the open string at its
own fret, so its interval is fixed; pinched and semi harmonics are octaves; artificial and tapped ones have any of
``INTERVALS``. How a file says which is in :mod:`cadenza.formats.guitarpro.techniques`.
"""

from __future__ import annotations

from cadenza.score.model import HARMONICS, Technique

OCTAVE = 12
HIGHEST_PITCH = 127
# fret of a node above the open string (or the fretting finger) → semitones up to the partial that it gives
NODES = {
    2: 36, 3: 31, 4: 28, 5: 24, 7: 19, 8: 36, 9: 28, 10: 34, 12: 12, 14: 34, 15: 34, 16: 28, 17: 36, 19: 19, 21: 36,
    22: 36, 24: 24,
}  # fmt: skip
NODE_FOR = {12: 12, 19: 7, 24: 5, 28: 4, 31: 3, 34: 10, 36: 2}
INTERVALS = tuple(NODE_FOR)


def partial(fret: int) -> int:
    """Semitones from the open string to what it sounds when touched at ``fret``; no node counts as the octave's."""
    return NODES.get(fret, OCTAVE)


def natural(fret: int) -> int:
    """Semitones from the note fretted at ``fret`` to the natural harmonic there."""
    return partial(fret) - fret


def nearest(kind: Technique, fret: int, fretted_pitch: int, pitch: int) -> int | None:
    """The interval, of those that the file can say for this kind of harmonic, that comes nearest to ``pitch``.

    None where all would sound above MIDI's last pitch, or where ``pitch`` is no higher than the fretted note's:
    such a note is no harmonic (natural ones on some nodes aside).
    """
    wanted = pitch - fretted_pitch
    kind &= HARMONICS
    if kind == Technique.HARMONIC_NATURAL:
        options: tuple[int, ...] = (natural(fret),)
    else:
        options = (OCTAVE,) if kind in (Technique.HARMONIC_PINCH, Technique.HARMONIC_SEMI) else INTERVALS
    options = tuple(option for option in options if fretted_pitch + option <= HIGHEST_PITCH)
    if not options or (wanted <= 0 and wanted not in options):
        return None
    return min(options, key=lambda option: abs(option - wanted))
