"""GPIF records → XML → the zip that Guitar Pro 7 opens."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from cadenza.base.files import write_atomically
from cadenza.formats.gpif import tables
from cadenza.formats.gpif.container import ZIPPED_DOCUMENT
from cadenza.formats.gpif.curves import four_points
from cadenza.formats.gpif.document import Document
from cadenza.formats.gpif.instruments import instrument_set, short_name, sound_path
from cadenza.formats.gpif.paging import document_of
from cadenza.formats.gpif.projection import prepared
from cadenza.formats.gpif.records import (
    VERSES,
    Automation,
    BeatRecord,
    Curve,
    MasterBarRecord,
    NoteRecord,
    RhythmRecord,
    StaffRecord,
    TrackRecord,
)
from cadenza.score.model import NO_SPELLING, Score, Technique
from cadenza.score.rhythm import WHOLE

VERSION = "7.0"
REVISION = "12020"
EPOCH = (1980, 1, 1, 0, 0, 0)  # files say no time: the same score gives the same bytes
_VALUE_NAMES = {ticks: name for name, ticks in tables.NOTE_VALUES.items()}
_DYNAMIC_NAMES = {velocity: name for name, velocity in tables.DYNAMICS.items()}
_HARMONIC_NAMES = {
    Technique.HARMONIC_NATURAL: "Natural",
    Technique.HARMONIC_ARTIFICIAL: "Artificial",
    Technique.HARMONIC_TAPPED: "Tap",
    Technique.HARMONIC_PINCH: "Pinch",
    Technique.HARMONIC_SEMI: "Semi",
}
_TREMOLO_NAMES = {value: name for name, value in tables.TREMOLOS.items()}
_DIRECTION_TAGS = {ours: name for name, ours in tables.DIRECTION_NAMES.items()}
_STEP_NAMES = {place: step for step, place in tables.STEPS.items()}
_ACCIDENTAL_NAMES = {height: name for name, height in tables.ACCIDENTALS.items()}


def write_score(score: Score, path: Path) -> None:
    """Write ``score``; see :func:`cadenza.formats.gpif.write`."""
    xml = document_xml(document_of(prepared(score)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("VERSION", VERSION), ("meta.json", "{\n}\n"), (ZIPPED_DOCUMENT, xml)):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    write_atomically(path, buffer.getvalue())


def document_xml(document: Document) -> str:
    """The XML text of a document."""
    return "\n".join(_lines(document)) + "\n"


def _text(said: str) -> str:
    return escape(said)


def _number(value: float) -> str:
    """As short as it reads back exactly."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _lines(document: Document) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield f"<GPIF><GPVersion>{VERSION.split('.')[0]}</GPVersion><GPRevision>{REVISION}</GPRevision>"
    yield "<Encoding><EncodingDescription>GP7</EncodingDescription></Encoding>"
    yield f"<Score><Title>{_text(document.title)}</Title><SubTitle/><Artist>{_text(document.artist)}</Artist><Album/>"
    yield "<Words/><Music/><WordsAndMusic/><Copyright/><Tabber/><Instructions/><Notices/><PageHeader/><PageFooter/>"
    yield "<ScoreSystemsDefaultLayout>4</ScoreSystemsDefaultLayout><ScoreSystemsLayout/><MultiVoice>1</MultiVoice>"
    yield "</Score>"
    yield f"<MasterTrack><Tracks>{' '.join(document.order)}</Tracks>"
    if document.anacrusis:
        yield "<Anacrusis/>"
    yield from _automations(document.tempos)
    yield "</MasterTrack>"
    yield "<Tracks>"
    for index, name in enumerate(document.order):
        yield from _track(name, document.tracks[name], index)
    yield "</Tracks>"
    yield "<MasterBars>"
    for bar in document.master_bars:
        yield from _master_bar(bar)
    yield "</MasterBars>"
    yield "<Bars>"
    drums = _drum_bars(document)
    for name, voices in document.bars.items():
        clef = "Neutral" if name in drums else "G2"
        yield f'<Bar id="{name}"><Clef>{clef}</Clef><Voices>{" ".join(voices)}</Voices></Bar>'
    yield "</Bars>"
    yield "<Voices>"
    for name, beats in document.voices.items():
        yield f'<Voice id="{name}"><Beats>{" ".join(beats)}</Beats></Voice>'
    yield "</Voices>"
    yield "<Beats>"
    for name, beat in document.beats.items():
        yield "".join(_beat(name, beat))
    yield "</Beats>"
    yield "<Notes>"
    for name, note in document.notes.items():
        yield "".join(_note(name, note))
    yield "</Notes>"
    yield "<Rhythms>"
    for name, rhythm in document.rhythms.items():
        yield _rhythm(name, rhythm)
    yield "</Rhythms></GPIF>"


def _drum_bars(document: Document) -> set[str]:
    staves = [document.tracks[name].drums for name in document.order for _ in document.tracks[name].staves]
    return {name for bar in document.master_bars for name, drums in zip(bar.bars, staves, strict=True) if drums}


# ── the head ─────────────────────────────────────────────────────────────────────────────────────────────


def _automations(changes: list[Automation], more: str = "") -> Iterator[str]:
    yield "<Automations>"
    for change in changes:
        value = f"{_number(change.value)} {change.unit}"
        yield (
            f"<Automation><Type>{change.kind}</Type><Linear>false</Linear><Bar>{change.bar}</Bar>"
            f"<Position>{_number(change.position)}</Position><Visible>true</Visible><Value>{value}</Value></Automation>"
        )
    yield f"{more}</Automations>"


def _track(name: str, track: TrackRecord, index: int) -> Iterator[str]:
    path = sound_path(track.program, track.drums)
    yield f'<Track id="{name}"><Name>{_text(track.name)}</Name><ShortName>{_text(short_name(track.name))}</ShortName>'
    yield "<Color>235 152 125</Color><SystemsDefautLayout>4</SystemsDefautLayout><SystemsLayout/><PalmMute>0</PalmMute>"
    yield "<PlayingStyle>Default</PlayingStyle><UseOneChannelPerString/><IconId>1</IconId>"
    yield from instrument_set(track)
    octave, chromatic = divmod(track.transposition, 12)
    yield f"<Transpose><Chromatic>{chromatic}</Chromatic><Octave>{octave}</Octave></Transpose>"
    yield f"<ForcedSound>-1</ForcedSound><Sounds><Sound><Name>{path}</Name><Label>{path}</Label><Path>{path}</Path>"
    yield f"<Role>User</Role><MIDI><LSB>0</LSB><MSB>0</MSB><Program>{track.program}</Program></MIDI></Sound></Sounds>"
    free = [channel for channel in range(16) if channel != 9]
    first, second = (9, 9) if track.drums else (free[2 * index % 14], free[(2 * index + 1) % 14])
    yield f"<MidiConnection><Port>0</Port><PrimaryChannel>{first}</PrimaryChannel><SecondaryChannel>{second}"
    yield "</SecondaryChannel><ForeOneChannelPerString>false</ForeOneChannelPerString></MidiConnection>"
    yield "<PlaybackState>Default</PlaybackState><AudioEngineState>MIDI</AudioEngineState>"
    yield "<Staves>"
    for staff in track.staves:
        yield from _staff(staff, track.drums)
    yield "</Staves>"
    sound = (
        "<Automation><Type>Sound</Type><Linear>false</Linear><Bar>0</Bar><Position>0</Position><Visible>true</Visible>"
        f"<Value><![CDATA[{path};{path};User]]></Value></Automation>"
    )
    yield from _automations(track.automations, sound)
    yield "</Track>"


def _staff(staff: StaffRecord, drums: bool) -> Iterator[str]:
    pitches = " ".join(map(str, staff.tuning if not drums else (0,) * 6))
    yield f'<Staff><Properties><Property name="CapoFret"><Fret>{staff.capo}</Fret></Property>'
    yield '<Property name="FretCount"><Number>24</Number></Property>'
    yield '<Property name="PartialCapoFret"><Fret>0</Fret></Property>'
    yield f'<Property name="PartialCapoStringFlags"><Bitset>{"0" * max(len(staff.tuning), 6)}</Bitset></Property>'
    yield f'<Property name="Tuning"><Pitches>{pitches}</Pitches><Label/><LabelVisible>true</LabelVisible></Property>'
    items = "".join(
        f'<Item id="{name}" name={quoteattr(chord)}><Chord/></Item>' for name, chord in staff.chords.items()
    )
    yield f'<Property name="ChordCollection"><Items>{items}</Items></Property>'
    for kind in ("ChordWorkingSet", "DiagramCollection", "DiagramWorkingSet"):
        yield f'<Property name="{kind}"><Items/></Property>'
    yield "<Name>Standard</Name></Properties></Staff>"


def _master_bar(bar: MasterBarRecord) -> Iterator[str]:
    mode = "Minor" if bar.minor else "Major"
    yield f"<MasterBar><Key><AccidentalCount>{bar.fifths}</AccidentalCount><Mode>{mode}</Mode>"
    yield f"<TransposeAs>{'Flats' if bar.fifths < 0 else 'Sharps'}</TransposeAs></Key>"
    yield f"<Time>{bar.numerator}/{bar.denominator}</Time>"
    if bar.repeat_open or bar.repeat_close:
        start, end = (str(bool(flag)).lower() for flag in (bar.repeat_open, bar.repeat_close))
        yield f'<Repeat start="{start}" end="{end}" count="{bar.repeat_close}"/>'
    if bar.endings:
        yield f"<AlternateEndings>{' '.join(map(str, bar.endings))}</AlternateEndings>"
    if bar.directions:
        names = [_DIRECTION_TAGS[direction] for direction in bar.directions]
        tags = [("Target" if name in tables.TARGET_NAMES else "Jump", name) for name in names]
        yield f"<Directions>{''.join(f'<{tag}>{name}</{tag}>' for tag, name in tags)}</Directions>"
    if bar.section is not None:
        yield f"<Section><Letter/><Text>{_text(bar.section)}</Text></Section>"
    if bar.fermatas:
        said = "".join(
            f"<Fermata><Type>Medium</Type><Offset>{at.numerator}/{at.denominator}</Offset><Length>0.5</Length></Fermata>"
            for at in bar.fermatas
        )
        yield f"<Fermatas>{said}</Fermatas>"
    yield f"<Bars>{' '.join(bar.bars)}</Bars></MasterBar>"


def _rhythm(name: str, rhythm: RhythmRecord) -> str:
    out = f'<Rhythm id="{name}"><NoteValue>{_VALUE_NAMES[WHOLE // rhythm.value]}</NoteValue>'
    if rhythm.dots:
        out += f'<AugmentationDot count="{rhythm.dots}"/>'
    if (rhythm.enters, rhythm.times) != (1, 1):
        out += f'<PrimaryTuplet num="{rhythm.enters}" den="{rhythm.times}"/>'
    return out + "</Rhythm>"


# ── beats and notes ──────────────────────────────────────────────────────────────────────────────────────


def _property(name: str, tag: str, value: str = "") -> str:
    return f'<Property name="{name}"><{tag}>{value}</{tag}></Property>' if value else _empty(name, tag)


def _empty(name: str, tag: str) -> str:
    return f'<Property name="{name}"><{tag}/></Property>'


def _beat(name: str, beat: BeatRecord) -> Iterator[str]:
    said: dict[str, tuple[int, ...]] = dict.fromkeys(("stroke", "pick_stroke", "barre"), ())
    properties: list[str] = []
    x_properties: list[tuple[str, int]] = []
    yield f'<Beat id="{name}"><Dynamic>{_DYNAMIC_NAMES[beat.velocity]}</Dynamic><Rhythm ref="{beat.rhythm}"/>'
    if beat.notes:
        yield f"<Notes>{' '.join(beat.notes)}</Notes>"
    if beat.grace:
        yield f"<GraceNotes>{'OnBeat' if beat.grace == 1 else 'BeforeBeat'}</GraceNotes>"
    if beat.tremolo:
        yield f"<Tremolo>{_TREMOLO_NAMES[beat.tremolo]}</Tremolo>"
    if beat.chord:
        yield f"<Chord>{beat.chord}</Chord>"
    if beat.whammy:
        places = zip(("origin", "middle", "middle", "destination"), ("", "1", "2", ""), strict=True)
        words: dict[str, str] = {}
        for (place, n), (offset, value) in zip(places, four_points(beat.whammy), strict=True):
            words |= {f"{place}Value": _number(value), f"{place}Offset{n}": _number(offset)}
        yield f"<Whammy {' '.join(f'{key}={quoteattr(value)}' for key, value in words.items())}/>"
    lyrics: dict[int, str] = {}
    for kind, values, text in beat.marks:
        if kind in tables.BEAT_MARK_VALUES:
            tag, word = tables.BEAT_MARK_VALUES[kind][values]
            yield f"<{tag}>{word}</{tag}>"
        elif kind == "text":
            yield f"<FreeText>{_text(text)}</FreeText>"
        elif kind == "legato":
            yield '<Legato origin="true" destination="false"/>'
        elif kind == "dead_slap":
            yield "<DeadSlapped/>"
        elif kind == "lyric":
            lyrics[values[0]] = text
        elif kind == "wide_vibrato":
            properties.append(_property("VibratoWTremBar", "Strength", "Wide"))
        elif kind == "rasgueado":
            properties.append(_property("Rasgueado", "Rasgueado", _text(text)))
        elif kind in said:
            said[kind] = values
    if lyrics:
        lines = "".join(f"<Line>{_text(lyrics.get(verse, ''))}</Line>" for verse in range(1, VERSES + 1))
        yield f"<Lyrics>{lines}</Lyrics>"
    if said["stroke"]:
        direction, speed = said["stroke"]
        properties.append(_property("Brush", "Direction", "Up" if direction == 1 else "Down"))
        if speed:
            x_properties.append((tables.BRUSH_SPEED, WHOLE // speed))
    if said["pick_stroke"]:
        properties.append(_property("PickStroke", "Direction", "Up" if said["pick_stroke"][0] == 1 else "Down"))
    if said["barre"]:
        properties.append(_property("BarreFret", "Fret", str(said["barre"][0])))
        properties.append(_property("BarreString", "String", str(said["barre"][1])))
    for technique, word in ((Technique.SLAP, "Slapped"), (Technique.POP, "Popped")):
        if beat.techniques & technique:
            properties.append(_empty(word, "Enable"))
    yield f"<Properties>{''.join(properties)}</Properties>"
    yield _x_properties(x_properties)
    yield "</Beat>"


def _x_properties(said: list[tuple[str, int]]) -> str:
    if not said:
        return ""
    items = "".join(f'<XProperty id="{name}"><Int>{value}</Int></XProperty>' for name, value in said)
    return f"<XProperties>{items}</XProperties>"


def _note(name: str, note: NoteRecord) -> Iterator[str]:
    properties, x_properties = [], []
    bits = note.techniques
    yield f'<Note id="{name}">'
    if note.tied:
        yield '<Tie origin="false" destination="true"/>'
    if bits & Technique.LET_RING:
        yield "<LetRing/>"
    if bits & Technique.GHOST:
        yield "<AntiAccent>Normal</AntiAccent>"
    kinds = {kind for kind, _, _ in note.marks}
    if bits & Technique.VIBRATO:
        yield f"<Vibrato>{'Wide' if 'strong_vibrato' in kinds else 'Slight'}</Vibrato>"
    accents = sum(bit for bit, technique in tables.ACCENTS.items() if bits & technique)
    accents |= tables.TENUTO if "articulation" in kinds else 0
    if accents:
        yield f"<Accent>{accents}</Accent>"
    if note.trill is not None:
        yield f"<Trill>{note.trill[0]}</Trill>"
        x_properties.append((tables.TRILL_SPEED, WHOLE // note.trill[1]))
    yield f"<InstrumentArticulation>{max(note.articulation, 0)}</InstrumentArticulation>"
    flags = sum(bit for bit, technique in tables.SLIDES.items() if bits & technique)
    for kind, values, text in note.marks:
        if kind == "ornament":
            yield f"<Ornament>{tables.ORNAMENT_NAMES[text]}</Ornament>"
        elif kind == "fingering":
            for tag, finger in zip(("LeftFingering", "RightFingering"), values, strict=True):
                if finger in tables.FINGER_NAMES:
                    yield f"<{tag}>{tables.FINGER_NAMES[finger]}</{tag}>"
        elif kind == "left_hand_tap":
            properties.append(_empty("LeftHandTapped", "Enable"))
        elif kind == "pick_slide":
            flags |= next(bit for bit, direction in tables.PICK_SLIDES.items() if direction == values[0])
    if note.bend:
        properties += _bend(note.bend)
    if note.spelling != NO_SPELLING and note.articulation < 0:
        properties.append(_spelling(note))
    properties.append(_property("Fret", "Fret", str(note.fret)))
    for harmonic, word in _HARMONIC_NAMES.items():
        if bits & harmonic:
            properties += [_empty("Harmonic", "Enable"), _property("HarmonicType", "HType", word)]
            if note.touched >= 0:
                properties.append(_property("HarmonicFret", "HFret", _number(note.touched)))
    if note.articulation < 0:
        properties.append(_property("Midi", "Number", str(note.pitch)))
    for word, technique in tables.NOTE_PROPERTIES.items():
        if bits & technique:
            properties.append(_empty(word, "Enable"))
    if flags:
        properties.append(_property("Slide", "Flags", str(flags)))
    properties.append(_property("String", "String", str(max(note.string, 0))))
    yield f"<Properties>{''.join(properties)}</Properties>"
    yield _x_properties(x_properties)
    yield "</Note>"


def _bend(curve: Curve) -> list[str]:
    out = [_empty("Bended", "Enable")]
    (first, origin), (last, destination) = curve[0], curve[-1]
    places = {"OriginValue": origin, "OriginOffset": first}
    if len(curve) > 2:
        places |= {"MiddleValue": curve[1][1], "MiddleOffset1": curve[1][0], "MiddleOffset2": curve[-2][0]}
    places |= {"DestinationValue": destination, "DestinationOffset": last}
    return out + [_property(f"Bend{name}", "Float", _number(value)) for name, value in places.items()]


def _spelling(note: NoteRecord) -> str:
    height, place = divmod(note.spelling + 1, 7)
    step = _STEP_NAMES[place - 1]
    accidental = _ACCIDENTAL_NAMES[height]
    octave = (note.pitch - height) // 12
    pitch = f"<Pitch><Step>{step}</Step><Accidental>{accidental}</Accidental><Octave>{octave}</Octave></Pitch>"
    return "".join(f'<Property name="{name}">{pitch}</Property>' for name in ("ConcertPitch", "TransposedPitch"))
