"""Guitar Pro 3, 4 and 5: reads .gp3, .gp4 and .gp5, writes .gp5.

The bytes are parsed and written by PyGuitarPro; this package turns its beats into notes and notes into beats.

What a file says and a Score holds: notes with string, fret, velocity and voice; ties (one long note); tunings
and capo; tempo, metre and key changes; repeats and endings; section names; title and artist; bends; the
techniques of :mod:`cadenza.formats.guitarpro.techniques`; drums by General MIDI key; directions (coda, segno, da
capo); and as the written layer (:mod:`cadenza.score.written`) note values, rests and what stands at beats and notes:
raw bends, the tremolo bar, strokes, trills, grace notes' details, texts, chord names, fingering. What a file says
beyond that is not read: mix-table changes other than tempo, chord diagrams, lyrics, swing feel, page layout.

Times are 960 ticks to a quarter, from 0. Durations that 960 cannot hold (in 7-, 9-, 11- and 13-tuplets) lose their
fraction, as in other players of such files; the tuplet's last note takes what is left, so that nothing drifts: the
note after the tuplet is on its place.
"""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.formats.guitarpro.projection import PROJECTION
from cadenza.score.model import Score

WRITES = ("gp5",)

__all__ = ["PROJECTION", "TICKS_PER_QUARTER", "WRITES", "read", "write"]

TICKS_PER_QUARTER = 960


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a .gp3, .gp4 or .gp5 file (told apart by content), at 960 ticks a quarter.

    Raises:
        FormatError: it is not a Guitar Pro 3–5 file, or broken.
        LimitError: it passes ``limits``.
    """
    # PyGuitarPro is imported only when a file is read: listing formats stays fast.
    from cadenza.formats.guitarpro.reading import read_score

    return read_score(Path(path), limits)


def write(score: Score, path: Path | str) -> None:
    """Write ``score`` as .gp5, after the edits in :data:`PROJECTION`.

    Raises:
        FormatError: the suffix is .gp3 or .gp4, the score cannot be held, or the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() in (".gp3", ".gp4"):
        raise FormatError(
            "the suffix .gp5",
            f"{path.suffix}, an older format that holds less",
            where=str(path),
            hint=f"Write {path.with_suffix('.gp5').name}: Guitar Pro 5 and all later programs open it.",
        )
    from cadenza.formats.guitarpro.writing import write_score

    write_score(score, path)
