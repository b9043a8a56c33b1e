"""MusicXML (.musicxml, .xml, zipped .mxl): read and write.

Reading takes partwise and timewise scores of all versions; writing makes MusicXML 4.0 partwise. What a Score keeps:

- One Track per part, however many staves. A voice is (staff − 1) · 4 + its number on the staff; a note on another staff
  than its voice's has the mark "staff". Unpitched notes go to a drum track, by ``midi-unpitched`` or by their place.
- Pitches as they sound: ``transpose`` is applied to pitch, spelling and key; the mark "transposition" lets the writer
  take it back. An alteration of less than half a semitone is a bend of one point; bend elements are curves, whose
  positions (``first-beat``, ``last-beat``) are percent of the note.
- Ties are merged into one note. Cue notes are silent by definition and left out; their time passes.
- A grace note lasts a 32nd, with ``Technique.GRACE``; a group of them ends where the next written note begins (begins
  with the piece where there is no room). A note of another length with that technique is written in small print.
- Strings, frets, tuning and capo of tablature; a tab staff that repeats another staff is not read twice.
- A bar lasts as long as its longest part. Bars that do not fall on the metre's grid have a BarMark, so have repeats,
  endings and directions (segno, coda, fine and the jumps to them, by their words or ``sound``).
- Velocity is ``dynamics`` of the note, else the last dynamic of the part (p = 49, mf = 80, f = 96 …). The writer gives
  a note ``dynamics`` only where it differs from that.
- Tempo is ``sound tempo``, else the metronome mark, in quarter notes a minute.
- Written note values and rests are Track.beats; lyrics, chord symbols, texts, dynamics, wedges, pedals, fermatas,
  arpeggios, slurs, ornaments and fingerings are Track.marks.
- The resolution is the least multiple of 480 that makes all times exact; only where that passes 65,535 is the exact
  one or, last, a rounding to 40,320 taken.

Not read: layout, beams, clefs (the writer chooses them by range and instrument), figured bass, octave-shift lines
(pitches are given as they sound), percussion and harp pictures.

Format: W3C MusicXML 4.0, https://www.w3.org/2021/06/musicxml40/.
"""

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
        view: how tracks with strings and frets are shown: {"tab", "score", "both"}. "score" leaves strings and frets
            out; "both" puts a tab staff under the staff (where the track uses no more than four voices).

    Raises:
        FormatError: the score cannot be held, or the disk refuses.
        RangeError: no such view.
    """
    path = Path(path)
    text = encode(score, view=view).encode()
    write_atomically(path, zipped(text) if path.suffix.lower() == ".mxl" else text)


def encode(score: Score, *, view: View = "tab") -> str:
    """The MusicXML text of the score, after the edits in :data:`PROJECTION`.

    Raises:
        RangeError: no such view.
    """
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
