"""MusicXML (score-partwise; .musicxml, .xml, zipped .mxl) → Score. Reading only.

The file is streamed measure by measure through defusedxml's parser: entities are refused, a zip's unpacked
bytes are counted while they flow, tags that say nothing about sound (layout, lyrics, credits) are never built,
so that memory follows the music and not the file.

What a Score keeps and by which rules:

- One Track per part, however many staves; ``voice`` is (staff − 1) · 4 + the voice's number on its staff.
  Unpitched notes of a part go to a drum track of their own where the file names their MIDI key
  (``midi-unpitched``); others are skipped and counted in the report.
- Pitches as they sound: ``transpose`` is applied to pitch, spelling and key. An alteration of a fraction of a
  semitone becomes a bend.
- Ties are merged into one note. Cue notes are silent by definition and left out; their time passes.
- A grace note lasts a 32nd, with ``Technique.GRACE``; a group of them ends where the next written note begins
  (before the beat, as much as there is room at the piece's start).
- A bar lasts as long as its longest part (its metre's length where no part writes anything); bars that do not
  fall on the metre's grid get a BarMark. Repeats and endings become BarMarks; da capo and segno are not read.
- Velocity follows ``dynamics``: of the note, else the last mark of the part (p = 49, mf = 80, f = 96 …).
- Tempo is ``sound tempo``, else the metronome mark, in quarter notes a minute.
- The resolution is the least multiple of 480 that makes all divisions exact; only where that passes 65,535 is the
  exact one or, last, a rounding to 40,320 taken.

Format: W3C MusicXML 4.0, https://www.w3.org/2021/06/musicxml40/.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cadenza.base.errors import FormatError, LimitError, RangeError
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.formats.musicxml.parts import PartList, Parts
from cadenza.score.model import Score

CHUNK_BYTES = 1 << 16
MAX_ELEMENTS_PER_MEASURE = 500_000
MAX_DEPTH = 32
MAX_TEXT_CHARACTERS = 1_000
MAX_ZIP_ENTRIES = 1_000
CONTAINER_BYTES = 1 << 16

# Everything else is skipped with all that it holds.
_BUILT_NAMES = """
    work work-title movement-title identification creator part-list score-part part-name midi-instrument midi-channel
    midi-program midi-unpitched measure note pitch step alter octave duration chord rest unpitched grace cue voice
    staff tie notations tied articulations ornaments accent strong-accent staccato staccatissimo trill-mark tremolo
    instrument direction direction-type dynamics metronome beat-unit beat-unit-dot per-minute rehearsal sound offset
    attributes divisions key fifths mode time beats beat-type transpose diatonic chromatic octave-change barline repeat
    ending backup forward pppppp ppppp pppp ppp pp p mp mf f ff fff ffff fffff ffffff
"""
_BUILT = frozenset(_BUILT_NAMES.split())


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a .musicxml, .xml or .mxl file.

    Raises:
        FormatError: the file is missing, not MusicXML, not score-partwise, or broken.
        LimitError: it passes ``limits``.
    """
    return read_with_report(path, limits)[0]


def read_with_report(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> tuple[Score, tuple[str, ...]]:
    """Like :func:`read`, and one sentence for each kind of thing in the file that the Score leaves out."""
    data = read_bytes(path, limits)
    try:
        return parse(data, limits)
    except RangeError as error:
        raise FormatError(error.expected, error.actual, where=f"{path}, {error.where}".rstrip(", ")) from error
    except FormatError as error:
        raise error.at(str(path)) from error


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Score, tuple[str, ...]]:
    """Score and report of MusicXML text or of a zipped .mxl, told apart by the first bytes."""
    target = _Target(limits)
    chunks = _unzipped(data, limits) if data[:2] == b"PK" else _chunks(io.BytesIO(data), limits)
    parser = DefusedXMLParser(target=target, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    try:
        for chunk in chunks:
            parser.feed(chunk)
        parser.close()
    except ParseError as error:
        line, column = error.position
        raise FormatError(
            "well-formed XML", str(error).partition(":")[0], where=f"line {line}, column {column}"
        ) from None
    except DefusedXmlException as error:
        raise FormatError(
            "XML without entities", type(error).__name__, hint="Such a file can be an attack; re-export the score."
        ) from None
    except (LookupError, ValueError) as error:
        # expat's way to say that it does not know the declared encoding, or that the text is not in it
        raise FormatError("text in a known encoding", str(error)) from None
    return target.result()


def _chunks(file: Any, limits: Limits) -> Iterator[bytes]:
    total = 0
    while chunk := file.read(CHUNK_BYTES):
        total += len(chunk)
        limits.check("unpacked_bytes", total)
        yield chunk


def _unzipped(data: bytes, limits: Limits) -> Iterator[bytes]:
    """The bytes of the score that an .mxl's container names, as they unpack."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) > MAX_ZIP_ENTRIES:
                raise LimitError(f"at most {MAX_ZIP_ENTRIES} zip entries", str(len(names)))
            with archive.open(_root_file(archive, names)) as file:
                yield from _chunks(file, limits)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        UnicodeError,
    ) as error:
        # zipfile: broken structure, broken stream, cut file, unknown compression, encryption, bad offsets and names
        raise FormatError("an intact .mxl (zip)", str(error) or type(error).__name__) from None


def _root_file(archive: zipfile.ZipFile, names: list[str]) -> str:
    container = "META-INF/container.xml"
    if container not in names:
        raise FormatError("META-INF/container.xml in the zip", "none", hint="Re-export the score as .mxl.")
    with archive.open(container) as file:
        text = file.read(CONTAINER_BYTES + 1)
    if len(text) > CONTAINER_BYTES:
        raise LimitError(f"a container.xml of at most {CONTAINER_BYTES:,} bytes", "more")
    parser = DefusedXMLParser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(text)
        root = parser.close()
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise FormatError("a container.xml of well-formed XML", str(error), where=container) from None
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "rootfile":
            name = element.get("full-path", "")
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise FormatError("a score inside the zip", repr(name[:100]), where=container)
            if name not in names:
                raise FormatError("the score that container.xml names", f"no {name[:100]!r}", where=container)
            return name
    raise FormatError("a rootfile element", "none", where=container)


class _Target:
    """Builds measures and the header as Elements, hands each to :class:`Parts` as it closes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts = Parts(limits)
        self.part_list = PartList()
        self.stack: list[Element] = []
        self.skipped = 0
        self.depth = 0
        self.built = 0
        self.root = ""
        self.titles: dict[str, str] = {}
        self.composer = ""
        self.text = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition("}")[2] if "}" in tag else tag
        if self.depth == 0:
            self._check_root(tag)
        self.depth += 1
        if self.skipped or self.depth == 1:
            self.skipped += bool(self.skipped)
            return
        if not self.stack and tag == "part":
            self.limits.check("tracks", len(self.parts.parts) + 1)
            self.parts.begin(self.part_list.get(attributes.get("id", "")))
            return
        if tag not in _BUILT:
            self.skipped = 1
            return
        self.built += 1
        if self.built > MAX_ELEMENTS_PER_MEASURE:
            raise LimitError(f"at most {MAX_ELEMENTS_PER_MEASURE:,} elements in a measure", "more")
        if self.depth > MAX_DEPTH:
            raise LimitError(f"at most {MAX_DEPTH} nested elements", "more")
        element = Element(tag, attributes)
        if self.stack:
            self.stack[-1].append(element)
        self.stack.append(element)
        self.text = ""

    def _check_root(self, tag: str) -> None:
        if tag == "score-timewise":
            raise FormatError("score-partwise", "score-timewise", hint="Open and save it in a notation program.")
        if tag != "score-partwise":
            raise FormatError("MusicXML (score-partwise)", f"XML with the root <{tag[:50]}>")
        self.root = tag

    def data(self, text: str) -> None:
        if not self.skipped and self.stack and len(self.text) < MAX_TEXT_CHARACTERS:
            self.text += text

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self.skipped:
            self.skipped -= 1
            return
        if not self.stack:
            return
        element = self.stack.pop()
        element.text, self.text = self.text.strip(), ""
        if self.stack:
            return
        self.built = 0
        if element.tag == "measure":
            self.parts.measure(element)
        elif element.tag == "score-part":
            self.part_list.add(element)
        elif element.tag == "part-list":
            for part in element.iter("score-part"):
                self.part_list.add(part)
        else:
            self._header(element)

    def _header(self, element: Element) -> None:
        for item in element.iter():
            if item.tag in ("work-title", "movement-title"):
                self.titles.setdefault(item.tag, item.text or "")
            elif item.tag == "creator" and item.get("type", "composer") == "composer" and not self.composer:
                self.composer = item.text or ""

    def close(self) -> None:
        return None

    def result(self) -> tuple[Score, tuple[str, ...]]:
        if not self.root:
            raise FormatError("MusicXML (score-partwise)", "no XML element")
        work, movement = self.titles.get("work-title", ""), self.titles.get("movement-title", "")
        title = work if not movement or movement == work else movement if not work else f"{work}: {movement}"
        return self.parts.score(title, self.composer)
