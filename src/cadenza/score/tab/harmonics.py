"""How far harmonics sound above the fretted note, and which intervals Guitar Pro can say.

A string touched at a node sounds the partial that has the node. A natural harmonic touches the open string at its
own fret, so its interval is fixed; pinched and semi harmonics are octaves; artificial and tapped ones have any of
``INTERVALS``.
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


#: semitones → (semitones, octaves) that name an artificial harmonic above its fret; the lower partials as they sound.
_NAMES = {12: (0, 1), 19: (7, 1), 24: (0, 2)}
_OCTAVES = {1: 12, 2: 24}
MAX_TOUCHED_FRET, MAX_OCTAVES = 127, 4


def artificial(semitones: int) -> tuple[int, int]:
    """(semitones, octaves) above the fret that name an artificial harmonic; higher partials by the touched place."""
    return _NAMES.get(semitones, (NODE_FOR[semitones], 0))


def artificial_interval(semitones: int, octaves: int) -> int:
    """How far the artificial harmonic sounds that is named so."""
    return partial(semitones + _OCTAVES.get(octaves, 0))


def tapped(semitones: int, fret: int) -> int:
    """The fret that is tapped for an interval: counted from the nut for the octave, else from the finger."""
    return fret + OCTAVE if semitones == OCTAVE else NODE_FOR[semitones]


def tapped_interval(touched_fret: int, fret: int) -> int:
    """How far the tapped harmonic sounds."""
    return OCTAVE if touched_fret == fret + OCTAVE else partial(touched_fret)


def named(kind: Technique, values: tuple[int, ...], fret: int, above: int) -> tuple[int, ...] | None:
    """``values`` of a ``harmonic`` mark if they name the interval ``above`` in another way than usual, else None."""
    if kind == Technique.HARMONIC_TAPPED and len(values) == 1:
        touched, rest = divmod(values[0], 100)
        if rest or not 0 <= touched <= MAX_TOUCHED_FRET or tapped_interval(touched, fret) != above:
            return None
        return values if touched != tapped(above, fret) else None
    if kind == Technique.HARMONIC_ARTIFICIAL and len(values) == 3 and values[0] == 0:
        _, step, octaves = values
        if not (0 <= step < OCTAVE and 0 <= octaves <= MAX_OCTAVES) or artificial_interval(step, octaves) != above:
            return None
        return values if (step, octaves) != artificial(above) else None
    return None
