"""MusicXML (.musicxml, .xml, zipped .mxl): read and write."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from cadenza.base.errors import RangeError
from cadenza.base.files import write_atomically
from cadenza.formats.musicxml.projection import PROJECTION
from cadenza.formats.musicxml.reading import parse, read, read_with_report
from cadenza.formats.musicxml.writing import View, document
from cadenza.score.edit import project
from cadenza.score.model import Score

__all__ = ["PROJECTION", "encode", "parse", "read", "read_with_report", "write"]

VIEWS = ("score", "tab", "both")
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container><rootfiles><rootfile full-path="score.musicxml" media-type="application/vnd.recordare.musicxml+xml"/>
</rootfiles></container>
"""


def write(score: Score, path: Path | str, *, view: View = "tab") -> None:
    """Write the score as MusicXML 4.0 (zipped where the suffix is .mxl), after the edits in :data:`PROJECTION`.

    Args:
        view: how tracks with strings and frets are shown: {"score", "tab", "both"}.

    Raises:
        FormatError: the score cannot be held, or the disk refuses.
        RangeError: no such view.
    """
    path = Path(path)
    text = encode(score, view=view).encode()
    write_atomically(path, zipped(text) if path.suffix.lower() == ".mxl" else text)


def encode(score: Score, *, view: View = "tab") -> str:
    """The MusicXML text of the score, after the edits in :data:`PROJECTION`."""
    if view not in VIEWS:
        raise RangeError(f"a view out of {', '.join(VIEWS)}", repr(view))
    return document(project(score, PROJECTION), view)


def zipped(text: bytes) -> bytes:
    """The .mxl container around a MusicXML text; the same bytes for the same text."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("META-INF/container.xml", _CONTAINER.encode()), ("score.musicxml", text)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()
