"""MusicXML bytes → Score: the half of the reader that knows XML and zips, not music.

A file of more than :data:`WHOLE_BYTES` is streamed: a measure is given to :class:`~.part.PartReader` as soon as it
is closed, and forgotten. Memory follows the largest measure, not the file: at most :data:`MAX_MEASURE_BYTES` of XML
between the ends of two measures. (In a timewise score the measures are kept to its end; it may be
:data:`MAX_TIMEWISE_BYTES` long.)

Entities can be declared before the root element only. So much of the file goes through defusedxml's parser first, which
refuses them; the rest is parsed by the standard library's, in C.
"""

from __future__ import annotations

import gc
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLParser, XMLPullParser

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cadenza.base.errors import FormatError, LimitError, RangeError
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.formats.musicxml.assembly import Assembly
from cadenza.score.model import Score

CHUNK_BYTES = 1 << 16
GUARD_BYTES = 1 << 10
MAX_MEASURE_BYTES = 4 << 20
MAX_TIMEWISE_BYTES = 16 << 20
WHOLE_BYTES = 4 << 20
MAX_STRAY_ELEMENTS = 300_000  # outside of measures
MAX_ZIP_ENTRIES = 1_000
CONTAINER_BYTES = 1 << 16


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a .musicxml, .xml or .mxl file.

    Raises:
        FormatError: the file is missing, not MusicXML, or broken.
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
    chunks = _unzipped(data, limits) if data[:2] == b"PK" else _chunks(io.BytesIO(data), limits)
    document = _Document(limits)
    try:
        with _collector_at_rest():
            document.read(chunks)
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
    return document.assembly.score()


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Elements form no cycles; looking for some while thousands are made takes as long as making them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


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


class _Root:
    """Target of the guarding parser: learns the root's name."""

    def __init__(self) -> None:
        self.tag = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = self.tag or tag

    def close(self) -> None:
        return None


class _Document:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.assembly = Assembly(limits)
        self.root = _Root()
        self.guard = DefusedXMLParser(target=self.root, forbid_dtd=False, forbid_entities=True, forbid_external=True)
        self.parser: XMLPullParser = XMLPullParser(("end",))
        self.prefix = ""  # of the namespace, where the file has one
        self.is_timewise = False
        self.timewise: dict[str, list[Element]] = {}
        self.since = self.stray = 0

    def read(self, chunks: Iterator[bytes]) -> None:
        """Read the whole file."""
        waiting: list[bytes] = []
        size = 0
        for chunk in chunks:
            if not self.root.tag:
                self._check_head(chunk)
            waiting.append(chunk)
            size += len(chunk)
            if size > WHOLE_BYTES:
                self._stream(waiting, chunks)
                break
        else:
            self._whole(waiting)
        for name, measures in self.timewise.items():
            for measure in measures:
                self.assembly.measure(measure)
            self.assembly.part(name)

    def _whole(self, chunks: list[bytes]) -> None:
        """A small file at once: no events, which take as long as parsing."""
        if not self.root.tag:
            self.guard.close()
        parser: Any = XMLParser()
        parser.feed(b"".join(chunks))
        root = parser.close()
        if self.prefix:
            for element in root.iter():
                element.tag = element.tag.removeprefix(self.prefix)
        for child in root:
            if child.tag == "part" and not self.is_timewise:
                for measure in child:
                    if measure.tag == "measure":
                        self.assembly.measure(measure)
                self.assembly.part(child.get("id", ""))
            elif child.tag == "measure" and self.is_timewise:
                self._timewise(child)
            else:
                for element in child.iter():
                    if element.tag in _HEADER:
                        self.assembly.header(element)

    def _stream(self, chunks: list[bytes], later: Iterator[bytes]) -> None:
        """A large file, as it comes."""
        silent = total = 0
        for chunk in chunks:
            self.parser.feed(chunk)
            silent, total = self._count(silent, total, len(chunk))
        for chunk in later:
            if not self.root.tag:
                self._check_head(chunk)
            self.parser.feed(chunk)
            silent, total = self._count(silent, total, len(chunk))
        if not self.root.tag:
            self.guard.close()
        self.parser.close()
        self._take()

    def _count(self, silent: int, total: int, size: int) -> tuple[int, int]:
        """Bytes since the last measure and in all, after ``size`` more."""
        silent, total = 0 if self._take() else silent + size, total + size
        if silent > MAX_MEASURE_BYTES:
            raise LimitError(f"at most {MAX_MEASURE_BYTES:,} bytes in a measure", "more")
        if self.is_timewise and total > MAX_TIMEWISE_BYTES:
            raise LimitError(f"a timewise score of at most {MAX_TIMEWISE_BYTES:,} bytes", "a longer one")
        return silent, total

    def _check_head(self, chunk: bytes) -> None:
        # Mostly the first bytes are enough. Many small pieces of a long tag would each be scanned from its start.
        for piece in (chunk[:GUARD_BYTES], chunk[GUARD_BYTES:]):
            self.guard.feed(piece)
            if self.root.tag:
                break
        else:
            return
        space, _, name = self.root.tag.rpartition("}")
        if name not in ("score-partwise", "score-timewise"):
            raise FormatError("MusicXML (score-partwise or score-timewise)", f"XML with the root <{name[:50]}>")
        self.prefix = space + "}" if space else ""
        self.is_timewise = name == "score-timewise"

    def _take(self) -> bool:
        """Hand on what is complete; whether a measure was."""
        found = False
        events: Iterable[Any] = self.parser.read_events()
        for _, element in events:
            tag = element.tag
            self.since += 1
            if self.prefix:
                tag = element.tag = tag.removeprefix(self.prefix)
            if tag == "measure":
                self.stray += self.since - sum(1 for _ in element.iter())
                if self.stray > MAX_STRAY_ELEMENTS:
                    raise LimitError(f"at most {MAX_STRAY_ELEMENTS:,} elements outside of measures", "more")
                if self.is_timewise:
                    self._timewise(element)
                else:
                    self.assembly.measure(element)
                    element.clear()
                found, self.since = True, 0
            elif tag == "part" and not self.is_timewise:
                self.assembly.part(element.get("id", ""))
                element.clear()
                found, self.since = True, 0
            elif tag in _HEADER:
                self.assembly.header(element)
        return found

    def _timewise(self, element: Element) -> None:
        for part in element.findall("part"):
            name = part.get("id", "")
            part.tag = "measure"
            measures = self.timewise.setdefault(name, [])
            self.limits.check("tracks", len(self.timewise))
            measures.append(part)


_HEADER = frozenset({"score-part", "work-title", "movement-title", "creator"})
