"""GPIF (XML) → records, streamed: each bar, beat or note is built, turned into its record and forgotten.

Entities are refused; parts that say nothing about the music (sound banks, page layout, effects) are never built, so
that memory follows the music and not the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats.gpif import records
from cadenza.formats.gpif.percussion import kit

ROOT = "GPIF"
MAX_DEPTH = 32
MAX_ELEMENTS_IN_ONE = 200_000
MAX_TEXT_CHARACTERS = 2_000_000
MAX_RECORDS = 400_000
# Never built, with all that they hold.
_SKIPPED_NAMES = """
    RSE AudioEngineState NotationPatch InteractionState BackingTrack AudioTracks Assets ScoreViews Color IconId
    PageFooter FirstPageHeader FirstPageFooter PageHeader ScoreZoom SystemsLayout SystemsDefautLayout Diagram
    DiagramWorkingSet ChordWorkingSet PrimaryPickupVolume PrimaryPickupTone
"""
SKIPPED = frozenset(_SKIPPED_NAMES.split())
# Lists whose children become records one by one.
LISTS: dict[str, Callable[[Element], Any]] = {
    "Beats": records.beat,
    "Notes": records.note,
    "Rhythms": records.rhythm,
    "Bars": lambda element: _named(element, "Voices"),
    "Voices": lambda element: _named(element, "Beats"),
    "MasterBars": records.master_bar,
}


def _named(element: Element, tag: str) -> tuple[str, ...]:
    child = element.find(tag)
    return () if child is None else records.ids(child)


class Document:
    """All records of a GPIF document."""

    def __init__(self) -> None:
        self.title = self.artist = ""
        self.beats: dict[str, records.BeatRecord] = {}
        self.notes: dict[str, records.NoteRecord] = {}
        self.rhythms: dict[str, records.RhythmRecord] = {}
        self.voices: dict[str, tuple[str, ...]] = {}
        self.bars: dict[str, tuple[str, ...]] = {}
        self.master_bars: list[records.MasterBarRecord] = []
        self.tracks: dict[str, records.TrackRecord] = {}
        self.order: tuple[str, ...] = ()
        self.tempos: list[records.Automation] = []
        self.anacrusis = False
        self.n_bytes = 0


def parse(chunks: Iterable[bytes], limits: Limits) -> Document:
    """The records of a document given in pieces.

    Raises:
        FormatError: not well-formed XML, not GPIF, or a record that says what it cannot.
        LimitError: it passes ``limits``.
    """
    target = _Target(limits)
    parser = DefusedXMLParser(target=target, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    out = target.document
    try:
        for chunk in chunks:
            out.n_bytes += len(chunk)
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
    if not target.root:
        raise FormatError(f"a {ROOT} document", "no XML element")
    return out


class _Target:
    """Builds one element of a list at a time and files its record."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.document = Document()
        self.root = False
        self.section = ""  # the root's child that is open
        self.depth = self.skipped = self.built = self.n_records = 0
        self.stack: list[Element] = []
        self.texts: list[str] = []
        self.n_characters = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.skipped:
            self.skipped += 1
            return
        if self.depth == 1:
            if tag != ROOT:
                raise FormatError(f"a {ROOT} document", f"XML with the root <{tag[:50]}>")
            self.root = True
        elif self.depth == 2:
            self.section = tag
            self.skipped = tag in SKIPPED
        elif tag in SKIPPED or (tag == "Property" and attributes.get("name") in SKIPPED):
            self.skipped = 1
        else:
            self.built += 1
            if self.built > MAX_ELEMENTS_IN_ONE:
                raise LimitError(f"at most {MAX_ELEMENTS_IN_ONE:,} elements in one of the document's", "more")
            if self.depth > MAX_DEPTH:
                raise LimitError(f"at most {MAX_DEPTH} nested elements", "more")
            element = Element(tag, attributes)
            if self.stack:
                self.stack[-1].append(element)
            self.stack.append(element)
            self.texts = []

    def data(self, text: str) -> None:
        if self.stack and not self.skipped:
            self.n_characters += len(text)
            if self.n_characters > MAX_TEXT_CHARACTERS:
                raise LimitError(f"at most {MAX_TEXT_CHARACTERS:,} characters in one element", "more")
            self.texts.append(text)

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self.skipped:
            self.skipped -= 1
            return
        if not self.stack:
            return
        element = self.stack.pop()
        element.text, self.texts = "".join(self.texts).strip() if self.texts else "", []
        if not self.stack:
            self.built = self.n_characters = 0
            self._file(element)

    def close(self) -> None:
        return None

    def _file(self, element: Element) -> None:
        self.n_records += 1
        if self.n_records > MAX_RECORDS:
            raise LimitError(f"at most {MAX_RECORDS:,} bars, voices, beats, notes and rhythms", "more")
        out, section = self.document, self.section
        name = element.get("id", "")
        try:
            if section in LISTS:
                record = LISTS[section](element)
                if section == "MasterBars":
                    self.limits.check("bars", len(out.master_bars) + 1)
                    out.master_bars.append(record)
                else:
                    getattr(out, section.lower())[name] = record
            elif section == "Tracks":
                self.limits.check("tracks", len(out.tracks) + 1)
                out.tracks[name] = _track(element)
            elif section == "MasterTrack":
                if element.tag == "Tracks":
                    out.order = records.ids(element)
                elif element.tag == "Automations":
                    out.tempos = [a for a in records.automations(element) if a.kind == "Tempo"]
                elif element.tag == "Anacrusis":
                    out.anacrusis = True
            elif section == "Score":
                if element.tag == "Title":
                    out.title = element.text or ""
                elif element.tag == "Artist":
                    out.artist = element.text or ""
        except FormatError as error:
            raise error.at(f"{section}, {element.tag} {name}".strip()) from None


def _track(element: Element) -> records.TrackRecord:
    out = records.TrackRecord()
    shared = records.StaffRecord()
    two = False
    for child in element:
        tag = child.tag
        if tag == "Name":
            out.name = child.text or ""
        elif tag in ("GeneralMidi", "MidiConnection", "MIDISettings"):
            if child.find("Program") is not None:
                out.program = records.number(child.findtext("Program"), "program", 0)
            out.drums |= child.get("table") == "Percussion"
        elif tag == "Sounds":
            sound = child.find("Sound")
            midi = None if sound is None else sound.find("MIDI")
            if midi is not None:
                out.program = records.number(midi.findtext("Program"), "program", 0)
        elif tag == "InstrumentSet":
            out.drums |= child.findtext("Type") == "drumKit"
            out.kit = kit(child)
        elif tag == "Instrument":
            ref = child.get("ref", "")
            two = ref.endswith("-gs") or ref.endswith("GrandStaff")
        elif tag == "PartSounding":
            out.transposition = records.number(child.findtext("TranspositionPitch"), "transposition", 0)
        elif tag == "Transpose":
            octave = records.number(child.findtext("Octave"), "octave", 0)
            out.transposition = 12 * octave + records.number(child.findtext("Chromatic"), "transposition", 0)
        elif tag == "Properties":
            _staff(shared, element)
        elif tag == "Staves":
            for staff in child:
                if staff.tag == "Staff":
                    out.staves.append(records.StaffRecord())
                    _staff(out.staves[-1], staff)
        elif tag == "Automations":
            out.automations = records.automations(child)
        elif tag == "Lyrics":
            out.lyrics = [
                (records.number(line.findtext("Offset"), "lyrics", 0), line.findtext("Text") or "")
                for line in child[: records.VERSES]
            ]
    if not out.staves:
        out.staves = [shared, shared] if two else [shared]
    return out


def _staff(out: records.StaffRecord, element: Element) -> None:
    held = records.properties(element)
    if "Tuning" in held:
        words = (held["Tuning"].findtext("Pitches") or "").split()
        out.tuning = tuple(records.number(word, "tuning") for word in words)
        if len(out.tuning) > 24 or not all(0 <= pitch <= 127 for pitch in out.tuning):
            raise FormatError("up to 24 strings tuned to 0–127", " ".join(words)[:80])
    if "CapoFret" in held:
        out.capo = records.number(held["CapoFret"].findtext("Fret"), "capo", 0)
        if not 0 <= out.capo <= 36:
            raise FormatError("a capo at fret 0–36", str(out.capo))
    for name in ("DiagramCollection", "ChordCollection"):
        items = held[name].find("Items") if name in held else None
        for item in () if items is None else items:
            out.chords[item.get("id", "")] = item.get("name", "")
