"""Effects of notes and beats ↔ their tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from cadenza.notation.dadagp.piece import groups
from cadenza.notation.dadagp.tables import POSITIONS, WHOLE_TICKS, round_tempo
from cadenza.score.model import HARMONICS as ANY_HARMONIC
from cadenza.score.model import Technique
from cadenza.score.tab import harmonics
from cadenza.score.tab.effects import BEND_POSITIONS
from cadenza.score.tab.page import SLAPS, Beat, Link

Values = tuple[int, ...]

#: token → technique, in the order in which they are told
FLAGS: dict[str, Technique] = {
    "nfx:accentuated_note": Technique.ACCENT,
    "nfx:ghost_note": Technique.GHOST,
    "nfx:hammer": Technique.HAMMER,
    "nfx:heavy_accentuated_note": Technique.HEAVY_ACCENT,
    "nfx:let_ring": Technique.LET_RING,
    "nfx:palm_mute": Technique.PALM_MUTE,
    "nfx:staccato": Technique.STACCATO,
    "nfx:vibrato": Technique.VIBRATO,
}
HARMONICS: dict[int, Technique] = {
    1: Technique.HARMONIC_NATURAL,
    2: Technique.HARMONIC_ARTIFICIAL,
    3: Technique.HARMONIC_TAPPED,
    4: Technique.HARMONIC_PINCH,
    5: Technique.HARMONIC_SEMI,
}
ARTIFICIAL, TAPPED = 2, 3
EXCHANGED = {19: 24, 24: 19}
SLIDES: dict[int, Technique] = {
    1: Technique.SLIDE_SHIFT,
    2: Technique.SLIDE_LEGATO,
    3: Technique.SLIDE_OUT_DOWN,
    4: Technique.SLIDE_OUT_UP,
    -1: Technique.SLIDE_IN_BELOW,
    -2: Technique.SLIDE_IN_ABOVE,
}
_BEAT_KINDS = {
    "fade_in": "fade",
    "has_rasgueado": "rasgueado",
    "vibrato": "wide_vibrato",
    "tempo_change": "tempo",
}
# Enumerations are slow: the same as numbers.
_DEAD = int(Technique.DEAD)
_FLAG_BITS = [(token, int(technique)) for token, technique in FLAGS.items()]
_HARMONIC_BITS = [(number, int(technique)) for number, technique in HARMONICS.items()]
_SLIDE_BITS = [(number, int(technique)) for number, technique in SLIDES.items()]
_SPACING = BEND_POSITIONS // POSITIONS  # places of a mark to a place of a token


def curve_lines(head: str, values: Values) -> list[str]:
    """A bend or a movement of the tremolo bar: its type, then each point, time told as ``dur`` since the last."""
    kind, _, *points = values
    out = [f"{head}:type{kind}"]
    at = 0
    for place, height, vibrato in zip(points[::3], points[1::3], points[2::3], strict=True):
        position = round(place / _SPACING)
        if position > at:
            out.append(f"param:dur{position - at}")
            at = position
        out.append(f"param:val{height}:vib{vibrato}")
    return out


def curve_values(lines: list[str]) -> Values:
    """Back: type, greatest height, and position, height, vibrato of every point."""
    points: list[int] = []
    at = 0
    for line in lines[1:]:
        if line.startswith("param:dur"):
            at += int(line[len("param:dur") :])
        else:
            height, vibrato = line[len("param:val") :].split(":vib")
            points += [at * _SPACING, int(height), int(vibrato)]
    return (int(lines[0].partition(":type")[2]), max(points[1::3], default=0), *points)


def note_lines(link: Link, fret: int, fretted_pitch: int, is_drums: bool, misread: str = "") -> list[str]:
    """The effects of a note told at ``fret``; ``fretted_pitch``: as it would sound without a harmonic.

    ``misread`` names the format of a file (gp3, gp4) to tell it as the original does, whose reader takes a grace
    note's transition for its length and the other way round, finds no accents in gp4 and exchanges two kinds of
    artificial harmonics, and knows nothing of what gp3 gives to whole beats, vibrato and harmonics.
    """
    item, bits, said = link.item, int(link.bits), link.marks
    if misread == "gp3":
        bits &= ~int(Technique.VIBRATO | ANY_HARMONIC)
    elif misread == "gp4":
        bits &= ~int(Technique.ACCENT)
    out = ["nfx:tie"] if not link.is_first or "tie" in said else []
    if not bits and not said:
        return out
    if bits & _DEAD and link.is_first:
        out.append("nfx:dead")
    for token, bit in _FLAG_BITS:
        if bits & bit:
            out.append(token)
    if "bend" in said:
        out += curve_lines("nfx:bend", said["bend"])
    if "grace" in said and item.grace is not None:
        value, on_beat, transition, dead = said["grace"]
        if misread and 16 <= value <= 128:
            value, transition = 128 >> transition, 8 - value.bit_length()
        out.append(f"nfx:grace:fret{item.grace.fret + fret - item.fret}")
        out.append(f"param:duration{value}:dead{dead}:beat{on_beat}:transition{transition}")
    for number, bit in _HARMONIC_BITS:
        if bits & bit and link.is_first:
            out.append(_harmonic_line(number, link, fret, fretted_pitch, is_drums, misread))
    out += [f"nfx:slide:{number}" for number, bit in _SLIDE_BITS if bits & bit]
    if "tremolo_picking" in said:
        out.append(f"nfx:tremoloPicking:duration{WHOLE_TICKS // said['tremolo_picking'][0]}")
    if "trill" in said:
        above, speed = said["trill"]
        out += [f"nfx:trill:fret{fret + above}", f"param:duration{WHOLE_TICKS // speed}"]
    return out


def _harmonic_line(number: int, link: Link, fret: int, fretted_pitch: int, is_drums: bool, misread: str) -> str:
    above = harmonics.OCTAVE if is_drums else link.item.pitch - fretted_pitch
    named = link.marks.get("harmonic")
    if misread == "gp4" and number == ARTIFICIAL:
        above = EXCHANGED.get(above, above)
    if number == ARTIFICIAL:
        step, octaves = named[1:] if named else harmonics.artificial(above)
        return f"nfx:harmonic:2:pitch{(fretted_pitch + step) % harmonics.OCTAVE}:octave{octaves}"
    if number == TAPPED:
        return f"nfx:harmonic:3:fret{named[0] // 100 if named else harmonics.tapped(above, 0 if is_drums else fret)}"
    return f"nfx:harmonic:{number}"


def beat_lines(beat: Beat) -> list[str]:
    """The effects of a beat."""
    marks = beat.marks
    out = []
    if "fade" in marks:
        out.append("bfx:fade_in")
    if "rasgueado" in marks:
        out.append("bfx:has_rasgueado")
    if "wide_vibrato" in marks:
        out.append("bfx:vibrato")
    if "pick_stroke" in marks:
        out.append(f"bfx:pick_stroke:{marks['pick_stroke'][0][0]}")
    begun = beat.begun
    slaps = [number for number, slap in enumerate(SLAPS, 1) if begun and begun[0].techniques & slap]
    if slaps or "slap_effect" in marks:
        out.append(f"bfx:slap_effect:{slaps[0] if slaps else marks['slap_effect'][0][0]}")
    if "stroke" in marks:
        direction, speed = marks["stroke"][0]
        out.append(f"bfx:stroke:{direction}:{speed}")
    if "tremolo_bar" in marks:
        out += curve_lines("bfx:tremolo_bar", marks["tremolo_bar"][0])
    if beat.tempo:
        out.append(f"bfx:tempo_change:{round_tempo(beat.tempo)}")
    return out


_NONE = Technique.NONE


@dataclass(slots=True)
class NoteEffects:
    """What the lines of a note say."""

    bits: Technique = _NONE
    marks: dict[str, Values] = field(default_factory=dict)
    grace_fret: int | None = None
    above: int = 0  # semitones of the harmonic over the fretted note


def read_note(lines: list[str], fret: int, fretted_pitch: int, is_drums: bool) -> NoteEffects:
    """What the effects of a note told at ``fret`` say; frets are told ones."""
    out = NoteEffects()
    for group in groups(lines):
        head = group[0]
        if head in FLAGS:
            out.bits |= FLAGS[head]
            continue
        words = head.split(":")
        kind = words[1]
        if kind == "dead":
            out.bits |= Technique.DEAD
        elif kind == "bend":
            out.marks["bend"] = curve_values(group)
        elif kind == "grace":
            out.grace_fret = int(words[2].removeprefix("fret"))
            numbers = [int("".join(c for c in word if c.isdigit())) for word in group[1].split(":")[1:]]
            value, dead, on_beat, transition = numbers
            out.marks["grace"] = (value, on_beat, transition, dead)
        elif kind == "harmonic":
            _read_harmonic(out, words, fret, fretted_pitch, is_drums)
        elif kind == "slide":
            out.bits |= SLIDES[int(words[2])]
        elif kind == "tremoloPicking":
            out.bits |= Technique.TREMOLO_PICKING
            out.marks["tremolo_picking"] = (WHOLE_TICKS // int(words[2].removeprefix("duration")),)
        elif kind == "trill":
            out.bits |= Technique.TRILL
            speed = WHOLE_TICKS // int(group[1].removeprefix("param:duration"))
            out.marks["trill"] = (int(words[2].removeprefix("fret")) - fret, speed)
    return out


def _read_harmonic(out: NoteEffects, words: list[str], fret: int, fretted_pitch: int, is_drums: bool) -> None:
    number = int(words[2])
    out.bits |= HARMONICS[number]
    if is_drums:
        return
    if number == ARTIFICIAL:
        step = (int(words[3].removeprefix("pitch")) - fretted_pitch) % harmonics.OCTAVE
        octaves = int(words[4].removeprefix("octave"))
        out.marks["harmonic"] = (0, step, octaves)
        out.above = harmonics.artificial_interval(step, octaves)
    elif number == TAPPED:
        touched = int(words[3].removeprefix("fret"))
        out.marks["harmonic"] = (100 * touched,)
        out.above = harmonics.tapped_interval(touched, fret)
    else:
        out.above = harmonics.natural(fret) if number == 1 else harmonics.OCTAVE


def read_beat(lines: list[str]) -> tuple[dict[str, tuple[Values, str]], Technique]:
    """The marks of a beat, tempo among them, and the slap of the notes that begin on it."""
    marks: dict[str, tuple[Values, str]] = {}
    slap = _NONE
    for group in groups(lines):
        words = group[0].split(":")
        kind, values = words[1], words[2:]
        if kind == "tremolo_bar":
            said = curve_values(group)
        elif kind == "fade_in":
            said = (1,)
        else:
            said = tuple(int(value) for value in values)
        if kind == "slap_effect" and not slap:
            slap = SLAPS[said[0] - 1]
        marks.setdefault(_BEAT_KINDS.get(kind, kind), (said, ""))
    return marks, slap
