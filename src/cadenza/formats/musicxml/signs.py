"""Signs at notes and between them ↔ techniques, bends and marks: the tables, and how they are read.

Tables are shared with the writer (:mod:`.notes`, :mod:`.directions`), so that what is read is what was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree.ElementTree import Element

from cadenza.formats.musicxml.values import DRUM, FRET, KIND, ONSET, STRING, TECHNIQUES, VOICE, integer, number
from cadenza.score.model import NO_FRET, NO_STRING, Technique
from cadenza.score.written import DIRECTIONS, JUMPS, TARGETS

if TYPE_CHECKING:
    from cadenza.formats.musicxml.part import PartReader

T = Technique
MAX_TEXT_CHARACTERS = 1_000
MAX_BENDS_OF_A_NOTE = 2_000

#: dynamics → velocity from there on; other dynamics are accents of a moment and change nothing
LOUDNESS = {
    "pppppp": 4, "ppppp": 6, "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80,
    "f": 96, "ff": 112, "fff": 126, "ffff": 127, "fffff": 127, "ffffff": 127,
}  # fmt: skip
DYNAMICS = frozenset((*LOUDNESS, *["sf", "sfp", "sfpp", "fp", "rf", "rfz", "sfz", "sffz", "fz", "n", "pf", "sfzp"]))

ARTICULATIONS = {
    "accent": T.ACCENT, "strong-accent": T.HEAVY_ACCENT, "staccato": T.STACCATO, "staccatissimo": T.STACCATO,
    "scoop": T.SLIDE_IN_BELOW, "plop": T.SLIDE_IN_ABOVE, "falloff": T.SLIDE_OUT_DOWN, "doit": T.SLIDE_OUT_UP,
}  # fmt: skip
_ARTICULATION_BITS = {name: int(technique) for name, technique in ARTICULATIONS.items()}  # read by the thousand
OTHER_TECHNICAL = {
    "vibrato": T.VIBRATO, "dead": T.DEAD, "slap": T.SLAP, "pop": T.POP, "tapped-harmonic": T.HARMONIC_TAPPED,
    "pinch-harmonic": T.HARMONIC_PINCH, "semi-harmonic": T.HARMONIC_SEMI,
}  # fmt: skip
LEGATO_SLIDE = "sl."

#: Marks of the kind "ornament" → the element that holds them. All are empty elements.
ORNAMENTS = {
    **dict.fromkeys(
        [
            "turn",
            "delayed-turn",
            "inverted-turn",
            "delayed-inverted-turn",
            "vertical-turn",
            "inverted-vertical-turn",
            "shake",
            "mordent",
            "inverted-mordent",
            "schleifer",
        ],
        "ornaments",
    ),
    **dict.fromkeys(
        ["tenuto", "detached-legato", "spiccato", "breath-mark", "caesura", "stress", "unstress", "soft-accent"],
        "articulations",
    ),
    **dict.fromkeys(
        [
            "up-bow",
            "down-bow",
            "open-string",
            "thumb-position",
            "double-tongue",
            "triple-tongue",
            "stopped",
            "snap-pizzicato",
            "fingernails",
            "golpe",
        ],
        "technical",
    ),
}
PLUCKS = {0: "p", 1: "i", 2: "m", 3: "a", 4: "c"}
TREMOLO_STROKES = {8: 1, 16: 2, 32: 3, 64: 4, 128: 5}
DEFAULT_TREMOLO = 32

_CODAS = {"": "", "coda": " al Coda", "double-coda": " al Double Coda", "fine": " al Fine"}
JUMP_WORDS = {
    **{
        f"{jump}{'-al-' if to else ''}{to}": words + said
        for jump, words in (("da-capo", "D.C."), ("da-segno", "D.S."), ("da-segno-segno", "D.S.S."))
        for to, said in _CODAS.items()
    },
    "da-coda": "To Coda",
    "da-double-coda": "To Double Coda",
    "fine": "Fine",
}
assert set(JUMP_WORDS) == {*JUMPS, "fine"}


def _plain(words: str) -> str:
    return re.sub(r"[^a-z]", "", words.lower()).replace("dacapo", "dc").replace("dalsegno", "ds")


_JUMP_OF = {_plain(words): name for name, words in JUMP_WORDS.items()}


def jump_of(words: str) -> str:
    """The direction (da-capo-al-fine …) that words say, or nothing."""
    return _JUMP_OF.get(_plain(words), "") if len(words) <= 60 else ""


class BendSign(NamedTuple):
    """One bend element; positions in percent of the note, negative where unsaid."""

    cents: int
    is_pre: bool
    first: float
    last: float


# ── at notes ─────────────────────────────────────────────────────────────────────────────────────────────


def read_note(reader: PartReader, element: Element, parts: dict[str, Element], note: list[Any]) -> None:
    """Techniques, string, fret, bends and marks of a note element."""
    bits = 0
    head = parts.get("notehead")
    if head is not None:
        if head.get("parentheses") == "yes":
            bits |= int(T.GHOST)
        if (head.text or "").strip() == "x" and note[KIND] != DRUM:
            bits |= int(T.DEAD)
    if "play" in parts and any((mute.text or "").strip() == "palm" for mute in parts["play"].iterfind("mute")):
        bits |= int(T.PALM_MUTE)
    if "notations" in parts:
        for notations in element:
            if notations.tag == "notations":
                for sign in notations:
                    bits |= _notation(reader, parts, note, sign)
    if "lyric" in parts and "grace" not in parts and "chord" not in parts:
        for lyric in element:
            if lyric.tag == "lyric":
                _lyric(reader, note, lyric)
    note[TECHNIQUES] |= bits


def read_rest(reader: PartReader, element: Element, onset: int, voice: int) -> None:
    """Marks of a rest: fermatas."""
    for sign in element.iterfind("notations/fermata"):
        if sign is not None:
            _mark(reader, "fermata", onset, voice, None)


def _mark(
    reader: PartReader, kind: str, onset: int, voice: Any, note: list[Any] | None, values: Any = (), text: str = ""
) -> None:
    marks = reader.part.marks
    marks.append([reader.index, onset, kind, voice, note, tuple(values), text])
    reader.limits.check("events", len(marks))


def _notation(reader: PartReader, parts: dict[str, Element], note: list[Any], sign: Element) -> int:
    tag = sign.tag
    bits = 0
    if tag == "articulations":
        for one in sign:
            bits |= _ARTICULATION_BITS.get(one.tag, 0)
            if ORNAMENTS.get(one.tag) == tag:
                _mark(reader, "ornament", note[ONSET], note[VOICE], note, text=one.tag)
    elif tag == "ornaments":
        bits |= _ornaments(reader, note, sign)
    elif tag == "technical":
        bits |= _technical(reader, note, sign)
    elif tag == "slur":
        kind = sign.get("type")
        if kind in ("start", "stop"):
            values = (min(max(integer(sign.get("number"), 1), 1), 16), int(kind == "start"))
            _mark(reader, "slur", note[ONSET], note[VOICE], note, values)
    elif tag == "slide":
        if sign.get("type") == "start":
            bits |= int(T.SLIDE_LEGATO if (sign.text or "").strip() == LEGATO_SLIDE else T.SLIDE_SHIFT)
    elif tag == "glissando":
        bits |= int(T.SLIDE_SHIFT) if sign.get("type") == "start" else 0
    elif tag == "tied":
        bits |= int(T.LET_RING) if sign.get("type") == "let-ring" else 0
    elif "grace" in parts:
        pass  # what follows stands at beats
    elif tag == "dynamics":
        _dynamics(reader, sign, note[ONSET], note[VOICE])
    elif tag == "fermata":
        _mark(reader, "fermata", note[ONSET], note[VOICE], None)
    elif tag == "arpeggiate":
        way = {"up": 1, "down": 2}.get(sign.get("direction", ""), 0)
        _mark(reader, "arpeggio", note[ONSET], note[VOICE], None, (way,))
    return bits


def _ornaments(reader: PartReader, note: list[Any], sign: Element) -> int:
    bits = 0
    for one in sign:
        if one.tag == "trill-mark":
            bits |= int(T.TRILL)
        elif one.tag == "wavy-line":
            if one.get("type") == "start" and sign.find("trill-mark") is None:
                bits |= int(T.VIBRATO)
        elif one.tag == "tremolo":
            if one.get("type", "single") == "single" and (one.text or "").strip() in ("1", "2", "3", "4", "5"):
                bits |= int(T.TREMOLO_PICKING)
                value = 4 << int(one.text or "0")
                if value != DEFAULT_TREMOLO:
                    _mark(reader, "tremolo_picking", note[ONSET], note[VOICE], note, (value,))
        elif ORNAMENTS.get(one.tag) == sign.tag:
            _mark(reader, "ornament", note[ONSET], note[VOICE], note, text=one.tag)
    return bits


def _technical(reader: PartReader, note: list[Any], sign: Element) -> int:
    bits = 0
    bends: list[BendSign] = []
    left = right = -2
    others = {(one.text or "").strip() for one in sign if one.tag == "other-technical"}
    for one in sign:
        tag = one.tag
        if tag == "string":
            note[STRING] = min(max(integer(one.text, NO_STRING), NO_STRING), 100)
        elif tag == "fret":
            note[FRET] = min(max(integer(one.text, NO_FRET), NO_FRET), 127)
        elif tag in ("hammer-on", "pull-off"):
            bits |= int(T.HAMMER) if one.get("type") == "start" else 0
        elif tag == "bend":
            bends.append(
                BendSign(
                    round(100 * min(max(number(one.findtext("bend-alter"), 0.0), -300), 300)),
                    one.find("pre-bend") is not None,
                    number(one.get("first-beat"), -1.0),
                    number(one.get("last-beat"), -1.0),
                )
            )
        elif tag == "harmonic":
            if one.find("artificial") is not None:
                bits |= int(T.HARMONIC_ARTIFICIAL)
            elif one.find("natural") is not None or not others & {
                "tapped-harmonic", "pinch-harmonic", "semi-harmonic"
            }:  # fmt: skip
                bits |= int(T.HARMONIC_NATURAL)
        elif tag == "tap":
            bits |= int(T.TAP)
        elif tag == "other-technical":
            bits |= int(OTHER_TECHNICAL.get((one.text or "").strip(), T.NONE))
        elif tag == "fingering":
            left = _finger(one.text)
        elif tag == "pluck":
            right = next((n for n, name in PLUCKS.items() if name == (one.text or "").strip()), -2)
        elif ORNAMENTS.get(tag) == sign.tag:
            _mark(reader, "ornament", note[ONSET], note[VOICE], note, text=tag)
    if left != -2 or right != -2:
        _mark(reader, "fingering", note[ONSET], note[VOICE], note, (left, right))
    if bends:
        reader.part.bends.append((note, bends[:MAX_BENDS_OF_A_NOTE]))
    return bits


FINGERS = {-1: "0", 0: "T", 1: "1", 2: "2", 3: "3", 4: "4", 5: "5"}


def _finger(text: str | None) -> int:
    return next((finger for finger, name in FINGERS.items() if name == (text or "").strip()), -2)


def syllable(text: str) -> str:
    """A syllable, its hyphen (another of its word follows) next to it."""
    return text[:-1].rstrip() + "-" if text.endswith("-") else text


def _lyric(reader: PartReader, note: list[Any], lyric: Element) -> None:
    text = "".join(part.text or "" for part in lyric if part.tag in ("text", "elision")).strip()
    if lyric.findtext("syllabic") in ("begin", "middle"):
        text += "-"
    text = syllable(text[:MAX_TEXT_CHARACTERS].strip())
    if text:
        verse = min(max(integer(lyric.get("number"), 1), 1), 1_000)
        _mark(reader, "lyric", note[ONSET], note[VOICE], None, (verse,), text)


def _dynamics(reader: PartReader, sign: Element, at: int, voice: Any) -> None:
    for one in sign:
        text = (one.text or "").strip()[:MAX_TEXT_CHARACTERS] if one.tag == "other-dynamics" else one.tag
        if text and (text in DYNAMICS or one.tag == "other-dynamics"):
            _mark(reader, "dynamic", at, voice, None, text=text)


# ── between notes ────────────────────────────────────────────────────────────────────────────────────────


def read_direction(reader: PartReader, element: Element, at: int) -> None:
    """Marks, section names and jumps of a direction element."""
    place = (element.findtext("staff") or "1", element.findtext("voice") or "")
    sound = element.find("sound")
    for sign in element.iterfind("direction-type/*"):
        tag, text = sign.tag, (sign.text or "").strip()[:MAX_TEXT_CHARACTERS].strip()
        if tag == "words":
            found = jump_of(text)
            if found and reader.is_first:
                jump(reader, found)
            elif text and not found:
                _mark(reader, "text", at, place, None, text=text)
        elif tag == "dynamics":
            _dynamics(reader, sign, at, place)
        elif tag == "wedge":
            value = {"crescendo": 1, "diminuendo": -1, "stop": 0}.get(sign.get("type", ""))
            if value is not None:
                _mark(reader, "crescendo", at, place, None, (value,))
        elif tag == "pedal":
            for value in {"start": (1,), "sostenuto": (1,), "stop": (0,), "change": (0, 1)}.get(
                sign.get("type", ""), ()
            ):
                _mark(reader, "pedal", at, place, None, (value,))
        elif tag == "rehearsal":
            if text and reader.is_first:
                reader.part.markers.append((reader.index, at, text))
                reader.limits.check("events", len(reader.part.markers))
        elif tag in ("segno", "coda") and reader.is_first:
            named = sound.get(tag, "") if sound is not None else ""
            jump(reader, named if named in TARGETS else tag)


def jump(reader: PartReader, name: str) -> None:
    """The present bar has this direction."""
    bar = reader.part.bars.setdefault(reader.index, {})
    bar["directions"] = (*bar.get("directions", ()), name)[: len(DIRECTIONS)]


def read_jumps(reader: PartReader, sound: Element) -> None:
    """What a sound element says of jumps, where no words have said more."""
    said = reader.part.bars.get(reader.index, {}).get("directions", ())
    for name, found in (
        ("dacapo", "da-capo" if sound.get("dacapo") == "yes" else ""),
        ("dalsegno", "da-segno"),
        ("tocoda", "da-coda"),
        ("fine", "fine"),
    ):
        if sound.get(name) and found and not any(one.startswith(found) for one in said):
            if found == "da-coda" and "da-double-coda" in said:
                continue
            jump(reader, found)


# ── chord symbols ────────────────────────────────────────────────────────────────────────────────────────

KINDS = {
    "major": "", "minor": "m", "augmented": "aug", "diminished": "dim", "dominant": "7", "major-seventh": "maj7",
    "minor-seventh": "m7", "diminished-seventh": "dim7", "augmented-seventh": "aug7", "half-diminished": "m7b5",
    "major-minor": "mmaj7", "major-sixth": "6", "minor-sixth": "m6", "dominant-ninth": "9", "major-ninth": "maj9",
    "minor-ninth": "m9", "dominant-11th": "11", "major-11th": "maj11", "minor-11th": "m11", "dominant-13th": "13",
    "major-13th": "maj13", "minor-13th": "m13", "suspended-second": "sus2", "suspended-fourth": "sus4", "power": "5",
}  # fmt: skip
KIND_OF = {text: kind for kind, text in KINDS.items()}
ALTERS = {"": 0, "#": 1, "b": -1, "##": 2, "bb": -2}
CHORD_NAME = re.compile(r"([A-G])(#{1,2}|b{1,2})?([^/]*)(?:/([A-G])(#{1,2}|b{1,2})?)?")


def _root(element: Element, name: str) -> str:
    alter = round(number(element.findtext(f"{name}/{name}-alter"), 0.0))
    sign = next((text for text, value in ALTERS.items() if value == alter), "")
    return (element.findtext(f"{name}/{name}-step") or "").strip() + sign


def read_harmony(reader: PartReader, element: Element, at: int) -> None:
    """A chord symbol as a mark."""
    kind = element.find("kind")
    said = (element.findtext("function") or "").strip()
    if not said and element.find("root") is not None and kind is not None:
        text = kind.get("text")
        suffix = text if text is not None else KINDS.get((kind.text or "").strip(), "")
        bass = _root(element, "bass")
        degrees = "".join(_degree(one) for one in element.iterfind("degree") if one.get("print-object") != "no")
        said = _root(element, "root") + suffix.strip() + degrees + (f"/{bass}" if bass else "")
    said = said[:MAX_TEXT_CHARACTERS].strip()
    if said:
        _mark(reader, "chord", at, (element.findtext("staff") or "1", ""), None, text=said)


def _degree(element: Element) -> str:
    alter = round(number(element.findtext("degree-alter"), 0.0))
    sign = next((text for text, value in ALTERS.items() if value == alter), "")
    kind = {"add": "add", "subtract": "no"}.get((element.findtext("degree-type") or "").strip(), "")
    return f"({kind}{sign}{(element.findtext('degree-value') or '').strip()})"
