"""Sheet music and tablature: a Score engraved in .svg or .pdf (and .png by :mod:`cadenza.formats.picture`).

Verovio engraves the MusicXML that cadenza writes; typst turns its SVG into PDF and PNG. Both run in a process of their
own with limits (:mod:`.process`) and come with the extra ``cadenza[sheet]``. What tablature needs and the engraver has
no sign for is drawn here (:mod:`.tablature`). Played music is put on a grid first; that is a picture's business, the
score stays as it is.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, get_args

from cadenza.base.errors import RangeError
from cadenza.base.files import write_atomically
from cadenza.formats.coloured import Coloured
from cadenza.formats.sheet.process import DEFAULT_PROCESS_LIMITS, ProcessLimits, require, run
from cadenza.score.model import Score

WRITES = ("svg", "pdf")
PAGE_MM = (210.0, 297.0)  # A4
_UNITS = 10  # of the engraver's page to a millimetre
_MARGIN_MM = 12
VIEWS = ("score", "tab", "both")


def check_installed(suffix: str) -> None:
    """Raise where what writes files of this suffix is not installed.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    require("verovio", *([] if suffix == "svg" else ["typst"]))


def write(
    score: Score,
    path: Path | str,
    *,
    view: str = "both",
    colour_from_ticks: int | None = None,
    coloured: Coloured | None = None,
    width: int = 1600,
    limits: ProcessLimits = DEFAULT_PROCESS_LIMITS,
) -> list[Path]:
    """Engrave the score (repeats as written) into .svg, .pdf or .png, in that order of suffixes.

    Args:
        view: how tracks with strings and frets are shown: {"score", "tab", "both"}.
        colour_from_ticks: what starts there or later is printed in colour (a continuation).
        coloured: or what is, by ticks and tracks.
        width: of a .png in pixels.
        limits: what engraving may spend.

    Returns:
        The files written: a .pdf holds all pages; further pages of .svg and .png are ``name-2.svg``, ….

    Raises:
        MissingExtraError: verovio or typst is not installed.
        RangeError: no such view.
        LimitError: engraving passes ``limits``.
        FormatError: it fails, or ``path`` cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    check_installed(kind)
    pages = engrave(score, view=view, colour_from_ticks=colour_from_ticks, coloured=coloured, limits=limits)
    if kind == "svg":
        files = [page.svg.encode("utf-8") for page in pages]
    else:
        from cadenza.formats.musicxml.projection import clean

        listed = [{"svg": page.svg, "width": page.width_mm, "height": page.height_mm} for page in pages]
        job = {
            "verb": "paint", "kind": kind, "pages": listed, "ppi": width / (PAGE_MM[0] / 25.4),
            "title": clean(score.title), "author": clean(score.composer),
        }  # fmt: skip
        files = [base64.b64decode(data) for data in run(job, limits)["files"]]
    written = []
    for index, data in enumerate(files):
        target = path if index == 0 else path.with_stem(f"{path.stem}-{index + 1}")
        write_atomically(target, data)
        written.append(target)
    return written


def engrave(
    score: Score,
    *,
    view: str = "both",
    colour_from_ticks: int | None = None,
    coloured: Coloured | None = None,
    limits: ProcessLimits = DEFAULT_PROCESS_LIMITS,
) -> list[Any]:
    """The pages as :class:`~cadenza.formats.sheet.drawing.Page`; arguments and errors as :func:`write`."""
    if view not in VIEWS:
        raise RangeError(f"a view out of {', '.join(VIEWS)}", repr(view))
    require("verovio")
    from cadenza.formats.sheet.drawing import finish
    from cadenza.formats.sheet.prepare import View, prepare

    assert view in get_args(View)
    sheet, factor = prepare(score, view)  # type: ignore[arg-type]
    options = {
        "pageWidth": PAGE_MM[0] * _UNITS,
        "pageHeight": PAGE_MM[1] * _UNITS,
        "scale": 100,
        "unit": 7.0,
        **{f"pageMargin{side}": _MARGIN_MM * _UNITS for side in ("Top", "Bottom", "Left", "Right")},
        "footer": "none",
        "smuflTextFont": "none",
        "spacingStaff": 15 if any(t and not n for t, n in zip(sheet.is_tab, sheet.has_notation, strict=True)) else 10,
        "spacingSystem": 6,
        "bottomMarginHeader": 5.0 if sheet.score.composer else 2.0,
    }
    job = {"verb": "engrave", "musicxml": sheet.musicxml, "options": options, "max_pages": limits.pages, "crop": True}
    new = Coloured.of(coloured, colour_from_ticks)
    new = None if new is None else new.scaled(factor)
    svgs = run(job, limits)["pages"]
    return [finish(svg, sheet, new, PAGE_MM[0], index == 0) for index, svg in enumerate(svgs)]
