"""Names that Guitar Pro wants for a track: instrument sets, sounds, drums.

A sound that Guitar Pro does not know by its path it plays by the MIDI program; drums it finds by their General MIDI
key. So the names below are a courtesy, and few.
"""

from __future__ import annotations

from collections.abc import Iterator

from cadenza.formats.gpif.records import TrackRecord

# (first program, name, type) of instrument sets, rising
_SETS = (
    (0, "Acoustic Piano", "acousticPiano"),
    (4, "Electric Piano", "electricPiano"),
    (8, "Vibraphone", "vibraphone"),
    (16, "Electric Organ", "electricOrgan"),
    (24, "Nylon Guitar", "nylonGuitar"),
    (25, "Steel Guitar", "steelGuitar"),
    (26, "Electric Guitar", "electricGuitar"),
    (32, "Acoustic Bass", "acousticBass"),
    (33, "Electric Bass", "electricBass"),
    (40, "Violin", "violin"),
    (41, "Viola", "viola"),
    (42, "Cello", "cello"),
    (43, "Contrabass", "contrabass"),
    (44, "Violin", "violin"),
    (52, "Voice", "voice"),
    (56, "Trumpet", "trumpet"),
    (64, "Saxophone", "saxophone"),
    (73, "Flute", "flute"),
    (80, "Lead Synthesizer", "leadSynthesizer"),
    (88, "Pad Synthesizer", "padSynthesizer"),
)
_STRINGED = range(24, 40)
# General MIDI key → (element, type, line of the staff, noteheads)
_BLACK, _CROSS = ("noteheadBlack noteheadHalf noteheadWhole", "noteheadXBlack noteheadXBlack noteheadXBlack")
_DRUMS: dict[int, tuple[str, str, int, str]] = {
    35: ("Acoustic Kick Drum", "kickDrum", 8, _BLACK),
    36: ("Kick Drum", "kickDrum", 7, _BLACK),
    37: ("Snare", "snare", 3, _CROSS),
    38: ("Snare", "snare", 3, _BLACK),
    40: ("Electric Snare", "snare", 3, _BLACK),
    41: ("Very Low Floor Tom", "tom", 5, _BLACK),
    42: ("Charley", "hiHat", -1, _CROSS),
    43: ("Tom Very Low", "tom", 6, _BLACK),
    44: ("Charley", "hiHat", 9, _CROSS),
    45: ("Tom Low", "tom", 5, _BLACK),
    46: ("Charley", "hiHat", -1, "noteheadCircleX noteheadCircleX noteheadCircleX"),
    47: ("Tom Medium", "tom", 4, _BLACK),
    48: ("Tom High", "tom", 2, _BLACK),
    49: ("Crash High", "crash", -2, _CROSS),
    50: ("Tom Very High", "tom", 1, _BLACK),
    51: ("Ride", "ride", 0, _CROSS),
    52: ("China", "china", -3, _CROSS),
    53: ("Ride", "ride", 0, "noteheadDiamondWhite noteheadDiamondWhite noteheadDiamondWhite"),
    55: ("Splash", "splash", -2, _CROSS),
    56: ("Cowbell Medium", "cowbell", 0, "noteheadTriangleUpBlack noteheadTriangleUpHalf noteheadTriangleUpWhole"),
    57: ("Crash Medium", "crash", -1, _CROSS),
    59: ("Ride Cymbal 2", "ride", 2, _CROSS),
}
_OTHER_LINE = 3


def instrument_set(track: TrackRecord) -> Iterator[str]:
    """The ``InstrumentSet`` element of a track."""
    if track.drums:
        name, kind = "Drums", "drumKit"
        keys: list[int | None] = [*track.kit.keys] or [38]
    else:
        _, name, kind = max(row for row in _SETS if row[0] <= track.program)
        keys = [None]
    yield f"<InstrumentSet><Name>{name}</Name><Type>{kind}</Type><LineCount>5</LineCount><Elements>"
    for key in keys:
        element, sort, line, heads = ("Pitched", "pitched", 0, _BLACK) if key is None else drum(key)
        yield f"<Element><Name>{element}</Name><Type>{sort}</Type><SoundbankName/><Articulations><Articulation><Name>"
        yield f"{'' if key is None else f'{element} ({key})'}</Name><StaffLine>{line}</StaffLine>"
        yield f"<Noteheads>{heads}</Noteheads><TechniquePlacement>outside</TechniquePlacement><TechniqueSymbol/>"
        number = "" if key is None else str(key)
        yield f"<InputMidiNumbers>{number}</InputMidiNumbers><OutputRSESound/>"
        yield f"<OutputMidiNumber>{number or 0}</OutputMidiNumber></Articulation></Articulations></Element>"
    yield "</Elements></InstrumentSet>"


def drum(key: int) -> tuple[str, str, int, str]:
    """(element, type, line of the staff, noteheads) of a General MIDI key."""
    return _DRUMS.get(key, (f"Percussion {key}", "percussion", _OTHER_LINE, _BLACK))


def sound_path(program: int, drums: bool) -> str:
    """The path of a track's sound."""
    if drums:
        return "Drums/Drums/Drumkit"
    _, name, _ = max(row for row in _SETS if row[0] <= program)
    family = "Stringed" if program in _STRINGED else "Orchestra"
    return f"{family}/{name}/Program {program}"


def short_name(name: str) -> str:
    """A few letters for the margin."""
    return name[:6].strip()
