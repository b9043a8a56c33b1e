"""Pictures (.png): a piano roll, or the sheet music and tablature of :mod:`cadenza.formats.sheet`."""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import RangeError
from cadenza.formats import piano_roll
from cadenza.formats.coloured import Coloured
from cadenza.score.model import Score

VIEWS = ("roll", "score", "tab", "both")


def write(
    score: Score,
    path: Path | str,
    *,
    view: str = "roll",
    width: int = 1600,
    colour_from_ticks: int | None = None,
    coloured: Coloured | None = None,
) -> list[Path]:
    """Draw the score (repeats as written) into a .png.

    Args:
        view: "roll" draws a piano roll; "score", "tab" and "both" engrave (needs ``cadenza[sheet]``).
        width: in pixels, 400–6,000.
        colour_from_ticks: where a continuation begins: it stands out.
        coloured: or what stands out, by ticks and tracks.

    Returns:
        The files written; further pages of an engraved piece are ``name-2.png``, ….

    Raises:
        RangeError: no such view, or ``width`` is out of range.
        MissingExtraError: an engraver is not installed.
        LimitError: the piece is too long to draw.
        FormatError: ``path`` cannot be written.
    """
    if view not in VIEWS:
        raise RangeError(f"a view out of {', '.join(VIEWS)}", repr(view))
    if view == "roll":
        piano_roll.write(score, path, highlight=Coloured.of(coloured, colour_from_ticks), width=width)
        return [Path(path)]
    piano_roll.check_width(width)
    from cadenza.formats import sheet

    return sheet.write(score, path, view=view, width=width, colour_from_ticks=colour_from_ticks, coloured=coloured)
