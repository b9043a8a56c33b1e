"""Guitar Pro 6, 7 and 8: reads .gpx and .gp, writes .gp (as Guitar Pro 7 has it).

Both hold one XML document (GPIF) in a container (:mod:`cadenza.formats.gpif.container`). Parsed by
:mod:`cadenza.formats.gpif.document`, timed by :mod:`cadenza.formats.gpif.reading`.

What is read: notes with string, fret, velocity, spelling and up to four voices a staff; ties (one long note); grace
notes; bends; the techniques of :class:`~cadenza.score.model.Technique`; drums by General MIDI key; tunings and capo;
tempo changes within bars, metres, keys, upbeats, repeats, endings, directions, section names; the sustain pedal; and,
as the written layer of a track (:mod:`cadenza.score.written`), note values, whammy bar, strokes, trills, tremolo
speeds, ottavas, texts, lyrics, chord names, fermatas, fingering and ornaments. A track of two staves is one Track:
voices 4–7 are the second staff's, and its notes have strings only where both staves are tuned alike.

What is not read: changes of sound within a track, volume and balance, partial capos, gradual tempo changes (the tempo
steps), chord diagrams, swing feel, simile marks, double bars, ottava clefs, page layout, sound banks, audio tracks.

Times are 960 ticks to a quarter, from 0. Durations that 960 cannot hold lose their fraction, as in
:mod:`cadenza.formats.guitarpro`.
"""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.score.model import Score

TICKS_PER_QUARTER = 960
WRITES = ("gp",)

__all__ = ["PROJECTION", "TICKS_PER_QUARTER", "WRITES", "read", "write"]


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a .gpx or .gp file (told apart by content), at 960 ticks a quarter.

    Raises:
        FormatError: it is not a Guitar Pro 6–8 file, or broken.
        LimitError: it passes ``limits``.
    """
    # The reader is imported only when a file is read: listing formats stays fast.
    from cadenza.formats.gpif.reading import read_score

    return read_score(Path(path), limits)


def write(score: Score, path: Path | str) -> None:
    """Write ``score`` as .gp, after the edits in :data:`PROJECTION`.

    Raises:
        FormatError: the suffix is .gpx, the score cannot be held, or the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() == ".gpx":
        raise FormatError(
            "the suffix .gp",
            ".gpx, an older format",
            where=str(path),
            hint=f"Write {path.with_suffix('.gp').name}: Guitar Pro 7 and all later programs open it.",
        )
    from cadenza.formats.gpif.writing import write_score

    write_score(score, path)


def __getattr__(name: str) -> object:
    if name == "PROJECTION":
        from cadenza.formats.gpif.projection import PROJECTION

        return PROJECTION
    raise AttributeError(name)
