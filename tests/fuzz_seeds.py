"""Small files of every readable format to mutate, and bombs: all made here, so that no data is needed."""

from __future__ import annotations

import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cadenza import formats
from cadenza.notation.abc import Abc
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.model import (
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Technique,
    Tempo,
    Track,
)
from tests import fuzz_gpif

GUITAR, BASS = STANDARD_TUNINGS["guitar"], STANDARD_TUNINGS["bass"]
ALIASES = ("midi", "xml", "txt")  # of mid, musicxml and dadagp: the same bytes under another suffix
SUFFIXES = tuple(suffix for suffix in formats.suffixes("read") if suffix not in ALIASES)
SHARED = {  # where real files lie in the shared data, and every how manieth is taken
    "mid": (("mutopia/**/*.mid", 200), ("groove/**/*.mid", 300)),
    "gp3": (("guitarpro/**/*.gp3", 1),),
    "gp4": (("guitarpro/**/*.gp4", 1),),
    "gp5": (("guitarpro/**/*.gp5", 1),),
    "gpx": (("guitarpro/**/*.gpx", 2),),
    "gp": (("guitarpro/**/*.gp", 8),),
    "dadagp": (("dadagp_golden/*.txt", 10),),
    "mxl": (("**/*.mxl", 400),),
    "jams": (("guitarset/**/*.jams", 100),),
}


def lead(rng: random.Random, n: int, step: int) -> list[Note]:
    """A guitar line with every technique, bends and two voices."""
    marks = [t for t in Technique if t]
    out = []
    for i in range(n):
        string, fret = rng.randint(1, 6), rng.randint(0, 12)
        bends = (Bend(0, 0), Bend(step // 2, 200), Bend(step, 100)) if i % 7 == 3 else ()
        technique = marks[i % len(marks)] if i % 2 else Technique.NONE
        note = Note(
            i * step, step, GUITAR[string - 1] + fret, 15 + 16 * rng.randint(1, 7), bends, string, fret, technique, i % 5 == 4
        )  # fmt: skip
        out.append(note)
    return out


def band(seed: int = 0, n: int = 56) -> Score:
    """Three tracks with all maps."""
    rng = random.Random(seed)
    tracks = (
        Track.of(lead(rng, n, 480), name="Lead", program=29, tuning=GUITAR, capo_fret=2 * (seed % 2)),
        Track.of([Note(960 * i, 960, 28 + i % 5, 95, (), 4, i % 5) for i in range(n // 2)], name="Bass", program=33,
                 tuning=BASS),
        Track.of([Note(480 * i, 480, 36 + i % 3) for i in range(n)], name="Drums", is_drums=True),
    )  # fmt: skip
    if seed % 2:  # frets are counted from the capo
        fixed = tracks[0].notes.copy()
        fixed["pitch"] += 2
        tracks = (replace(tracks[0], notes=fixed), *tracks[1:])
    return Score(
        tracks, 960, (Tempo(0, 120.0), Tempo(3840, 97.0)), (Metre(0, 4, 4), Metre(7680, 3, 4)), (Key(0, -3, "minor"),),
        (BarMark(0, True), BarMark(3840, False, 2, (1,))), (Marker(0, "Intro"), Marker(7680, "Verse")), "Band", "Nobody",
    )  # fmt: skip


def plain(n: int = 60) -> Score:
    """A piano in sixteenths with a metre change and an upbeat."""
    notes = [Note(120 * i, 100 + i % 90, 48 + i * 5 % 24, 40 + i % 80) for i in range(n)]
    return Score((Track.of(notes, name="Клавир 1"),), 480, metres=(Metre(0, 6, 8),), bars=(BarMark(240),))


def _guitar_pro(suffix: str) -> dict[str, bytes]:
    import guitarpro

    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, score in (("a", band(0)), ("b", band(1, 12)), ("c", plain())):
            path = Path(folder, f"{name}.gp5")
            formats.write(score, path)
            if suffix != "gp5":
                song = guitarpro.parse(str(path))
                path = path.with_suffix(f".{suffix}")
                guitarpro.write(song, str(path), version={"gp3": (3, 0, 0), "gp4": (4, 0, 6)}[suffix])
            out[name] = path.read_bytes()
    return out


def _text() -> dict[str, bytes]:
    out = {}
    for number, options in enumerate(SimplifiedMidi.variants):
        for name, score in (("band", band(0, 14)), ("plain", plain(24))):
            out[f"{name}-{number}"] = SimplifiedMidi(**options).encode(score).encode()
    return out | {"empty": b"q480", "one": b"p60:v90:d480:t0"}


#: A tune with nearly everything that a person writes.
TUNE = """%abc-2.1
X:7
T:Caf\\'e \\& &eacute;
C:Trad.
M:6/8
L:1/8
Q:"Allegro" 3/8=120
P:AB
U:T = !trill!
%%score (1 2) 3
%%MIDI program 1 40
V:1 name="Fiddle" clef=treble-8
V:2 merge
V:3 clef=bass transpose=-12
%%MIDI channel 10
%%MIDI drummap C 36
K:D mix ^g
[V:1]|:"D"!mf!{/ga}A>B c2- (3cde|[1,3 .f T~g3 [d=fa]2-[dfa]:|[2 (5:4:3abc z2 & D3 E3||
w: Ah, oh_ * la-la | end~of it
[V:2]x6|x6:|x6||
[V:3]C2 ^C,C C3|Z|Z|
[V:1][M:C|][L:1/16][Q:100][K:Bb exp _b =e] +trill+ B//c''8__d,,3/2 | y [EG]4>[FA]4 "^text"!fermata!z4 |]
P:B
K:Am octave=1
[V:1]A2 B2 c4 :: [r:remark] a8- | a4 $ b4 |]
"""


def _abc() -> dict[str, bytes]:
    out = {"tune": TUNE.encode(), "latin": TUNE.replace("Trad.", "Größe").encode("latin-1"), "empty": b"X:1\nK:C\n"}
    for number, options in enumerate(Abc.variants):
        for name, score in (("band", band(0, 14)), ("plain", plain(24))):
            out[f"{name}-{number}"] = Abc(**options).encode(score).encode()
    return out | {"book": TUNE.encode() + b"\nX:8\nT:Other\nK:C\nCDEF|\n"}


def xml(*measures: str, parts: int = 1) -> bytes:
    """A score-partwise document; every part has the same measures."""
    heads = "".join(
        f'<score-part id="P{i}"><part-name>Horn {i}</part-name><midi-instrument id="I{i}"><midi-channel>1'
        "</midi-channel><midi-program>61</midi-program><midi-unpitched>39</midi-unpitched></midi-instrument></score-part>"
        for i in range(parts)
    )
    body = "".join(measures)
    rest = "".join(f'<part id="P{i}">{body}</part>' for i in range(parts))
    return (
        '<?xml version="1.0"?><score-partwise version="4.0"><work><work-title>T</work-title></work><identification>'
        f'<creator type="composer">C</creator></identification><part-list>{heads}</part-list>{rest}</score-partwise>'
    ).encode()


MEASURES = (
    '<measure number="1"><attributes><divisions>4</divisions><key><fifths>-2</fifths><mode>minor</mode></key><time>'
    "<beats>3</beats><beat-type>4</beat-type></time><transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    '</attributes><direction><direction-type><metronome><beat-unit>quarter</beat-unit><per-minute>96</per-minute>'
    '</metronome></direction-type><sound tempo="96"/></direction><barline><repeat direction="forward"/></barline>'
    "<note><pitch><step>C</step><alter>0.5</alter><octave>4</octave></pitch><duration>4</duration><voice>1</voice>"
    '<tie type="start"/><notations><tied type="start"/><articulations><accent/></articulations></notations></note>'
    "<note><chord/><pitch><step>E</step><octave>4</octave></pitch><duration>4</duration><voice>1</voice></note>"
    "<note><grace/><pitch><step>B</step><alter>-1</alter><octave>3</octave></pitch></note>"
    "<note><rest/><duration>8</duration></note><backup><duration>12</duration></backup><forward><duration>3</duration>"
    "</forward><note><unpitched/><duration>9</duration><voice>2</voice><staff>2</staff></note></measure>",
    '<measure number="2"><direction><direction-type><dynamics><ff/></dynamics><rehearsal>A</rehearsal></direction-type>'
    "</direction><attributes><divisions>6</divisions></attributes>"
    '<note><pitch><step>C</step><alter>0.5</alter><octave>4</octave></pitch><duration>18</duration><tie type="stop"/></note>'
    '<barline><ending number="1" type="start"/><repeat direction="backward" times="2"/></barline></measure>',
)  # fmt: skip
CONTAINER = '<?xml version="1.0"?><container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'


def mxl(score: bytes, container: str = CONTAINER, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The zip around a document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("score.xml", score)
    return buffer.getvalue()


def jams(n: int = 6, contour: int = 40, **metadata: object) -> bytes:
    """What GuitarSet's files look like."""

    def annotation(namespace: str, data: object, source: str = "") -> dict[str, object]:
        return {"namespace": namespace, "data": data, "annotation_metadata": {"data_source": source}}

    def one(time: float, duration: float, value: object) -> dict[str, object]:
        return {"time": time, "duration": duration, "value": value, "confidence": None}

    times = [0.5 + 0.006 * i for i in range(contour)]
    values = [{"voiced": bool(i % 9), "index": 0, "frequency": 82.4 * 2 ** (i / 240)} for i in range(contour)]
    tree = {
        "file_metadata": {"title": "00_Test-120-A_solo", "duration": 4.0, **metadata},
        "annotations": [
            annotation("tempo", [one(0, 4, 120.0)]),
            annotation("key_mode", [one(0, 4, "F#:minor")]),
            annotation("beat_position", [one(0, 1, {"position": 1, "measure": 1, "num_beats": 4, "beat_units": 4})]),
            *(annotation("note_midi", [one(0.5 * i, 0.4, 40.04 + 5 * s) for i in range(n)], str(s)) for s in range(6)),
            annotation("pitch_contour", {"time": times, "value": values}, "0"),
        ],
    }
    return json.dumps(tree).encode()


def _midi(suffix: str) -> dict[str, bytes]:
    from cadenza.formats import midi

    return {"band": midi.encode(band()), "plain": midi.encode(plain(200)), "empty": midi.encode(Score())}


def _musicxml(suffix: str) -> dict[str, bytes]:
    from cadenza.formats import musicxml

    documents = {
        "two": xml(*MEASURES),
        "parts": xml(*MEASURES * 3, parts=2),
        "band": musicxml.encode(band(0, 28)).encode(),
    }
    if suffix == "musicxml":
        return documents
    stored = {f"{name} stored": mxl(data, method=zipfile.ZIP_STORED) for name, data in documents.items()}
    return {name: mxl(data) for name, data in documents.items()} | stored


def _written(suffix: str) -> dict[str, bytes]:
    """For a format that cadenza also writes, or that :mod:`docs.makers` can make."""
    from docs.makers import MAKERS

    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, score in (("band", band(0)), ("few", band(1, 12)), ("plain", plain())):
            path = Path(folder, f"{name}.{suffix}")
            MAKERS.get(suffix, formats.write)(score, path)
            out[name] = path.read_bytes()
    return out


#: Suffix → maker of its seeds. Any other readable format is seeded with what cadenza writes.
GENERATED: dict[str, Callable[[str], dict[str, bytes]]] = {
    "mid": _midi,
    **dict.fromkeys(("gp3", "gp4", "gp5"), _guitar_pro),
    **dict.fromkeys(
        ("gpx", "gp"), lambda suffix: fuzz_gpif.generated(suffix, {"a": band(0), "b": band(1, 12), "c": plain()})
    ),
    "smidi": lambda suffix: _text(),
    "abc": lambda suffix: _abc(),
    "dadagp": lambda suffix: {
        name: DadaGP().encode(score).encode() for name, score in (("band", band(n=24)), ("plain", plain()))
    },
    "jams": lambda suffix: {"solo": jams(), "tiny": jams(1, 0)},
    **dict.fromkeys(("musicxml", "mxl"), _musicxml),
}


def generated(suffix: str) -> dict[str, bytes]:
    """Name → bytes of small sound files of the format.

    Raises:
        FormatError: nothing here or in cadenza makes files of it: add a maker to :data:`GENERATED`.
    """
    return GENERATED.get(suffix, _written)(suffix)


def seed_files(suffix: str, folder: Path, shared: str | None = None, most_bytes: int = 1 << 20) -> list[Path]:
    """The generated files in ``folder``, and some of the shared data's that have fewer than ``most_bytes``."""
    out = []
    for name, data in generated(suffix).items():
        out.append(folder / f"seed-{name}.{suffix}")
        out[-1].write_bytes(data)
    for pattern, step in SHARED.get(suffix, ()) if shared else ():
        found = sorted(Path(shared, "data").glob(pattern))  # type: ignore[arg-type]
        assert found, pattern
        out += [path for path in found if path.stat().st_size < most_bytes][::step]
    return out


# ── bombs ────────────────────────────────────────────────────────────────────────────────────────────────

MEGABYTE = 1 << 20
HEADER = "q480 i0:g0\n"


def _repeated(text: str, n_bytes: int = MEGABYTE) -> str:
    return text * (n_bytes // len(text))


def _token_bombs() -> dict[str, bytes]:
    head = "artist:unknown\ndowntune:0\ntempo:120\nstart\n"
    bar = head + "new_measure\n"
    note, end = "clean0:note:s1:f0\n", "end"
    ringing = note + "wait:3840\nnew_measure\n" + "clean0:note:s1:f0\nnfx:tie\nwait:3840\nnew_measure\n" * 12_000
    texts = {
        "waits": bar + "wait:1\n" * 55_000 + end,
        "long waits": bar + "wait:262144\n" * 55_000 + end,
        "long bars": head + "new_measure\nwait:262144\n" * 15_000 + end,
        "short bars": head + "new_measure\nwait:60\n" * 19_000 + end,
        "bars": head + "new_measure\nwait:60\n" * 200_000 + end,
        "notes": bar + (note + "wait:60\n") * 4_000 + end,
        "notes in bars": head + ("new_measure\n" + (note + "wait:120\n") * 8) * 2_500 + "wait:60\n" + end,
        "notes of a tick": bar + (note + "wait:1\n") * 25_000 + end,
        "chords": bar + ("".join(f"clean0:note:s{s}:f0\n" for s in range(1, 7)) + "wait:60\n") * 4_000 + end,
        "instruments": bar + ("".join(f"clean{n}:note:s1:f0\n" for n in range(16)) + "wait:60\n") * 2_000 + end,
        "drums": bar + ("".join(f"drums:note:{n}\n" for n in range(100)) + "wait:60\n") * 500 + end,
        "one long tie": head + "new_measure\n" + ringing + "wait:60\n" + end,
        "bend points": bar + note + "nfx:bend:type1\n" + "param:val4:vib0\n" * 50_000 + "wait:60\n" + end,
        "bends": bar + (note + "nfx:bend:type1\n" + "param:val4:vib0\n" * 900 + "wait:60\n") * 60 + end,
        "graces": bar + (note + "nfx:grace:fret3\nparam:duration32:dead0:beat0:transition1\nwait:60\n") * 9_000 + end,
        "tempos": bar + "".join(f"clean0:rest\nbfx:tempo_change:{n}\nwait:60\n" for n in range(1, 15_000)) + end,
        "one token": "artist:a\n" + "a" * 900_000,
        "digits": "artist:unknown\ndowntune:0\ntempo:" + "9" * 900_000,
        "artist": "artist:" + "a" * 900_000 + "\ndowntune:0\ntempo:120\nstart\nnew_measure\nend",
        "tuning": head.replace("start", "clean0:tuning" + ":60" * 300_000 + "\nstart"),
        "tunings": head.replace("start\n", "clean0:tuning:60\n" * 55_000) + "start",
        "words on one line": "artist:a " + "wait:1 " * 140_000,
        "blank lines": "artist:a" + "\n" * 900_000,
    }
    return {name: text.encode() for name, text in texts.items()}


def _text_bombs() -> dict[str, bytes]:
    note = "p60:v90:d10:t5 "
    texts = {
        "rests": HEADER + _repeated("t999999999 "),
        "far notes": HEADER + "i0 " + _repeated("p60:v90:d1:t999999999 "),
        "far published notes": _repeated("p60:v90:d1:t999999999 "),
        "long note": "q1 i0:g0\ni0 p60:v90:d999999999:t0",
        "fine resolution": "q65535 m1/16384 i0:g0\ni0 p60:v90:d1:t999999999 p60:v90:d1:t0",
        "long metre": "q65535 m999/1 i0:g0\n" + "| " * 30_000,
        "short bars": "q1 m1/65536 i0:g0\n" + "| " * 30_000,
        "bar lines": HEADER + _repeated("| "),
        "bar lines together": HEADER + _repeated("|"),
        "bars and rests": "q480 i0:g0\n" + _repeated("| t1 i0 p1 "),
        "tracks": "q480 " + " ".join(f"i{i}:g0" for i in range(100_000)) + "\n",
        "tracks on lines": "\n".join(["p60:v90:d1:t0"] * 70_000),
        "empty lines": _repeated("\n"),
        "tracks that lie": "q480 i65535:g0\n",
        "marks": "q480 " + " ".join(f"|{i * 7}" for i in range(1, 100_000)) + " i0:g0\n",
        "marks under the limit": "q480 " + " ".join(f"|{i * 7}" for i in range(1, 9_000)) + " i0:g0 l90000\n",
        "metres": "q480 m4/4 " + " ".join(f"m3/4:o{i * 7}" for i in range(1, 60_000)) + " i0:g0 l90000\n",
        "tempos": "q480 " + " ".join(f"w{i}:o{i}" for i in range(1, 80_000)) + " i0:g0\n",
        "keys": _repeated("q480 k0 " + "k1 " * 1000),
        "strings": "q480 i0:g0" + _repeated(":s60"),
        "name": "q480 i0:g0:n" + _repeated("%20"),
        "bend points": "q480 i0:g0\ni0 p60:v90:d999999:t0" + "".join(f":o{i}:b{i % 100}" for i in range(90_000)),
        "one word": _repeated("p"),
        "one colon": _repeated(":"),
        "digits": "q" + _repeated("9"),
        "dots": "q480 w" + _repeated("9"),
        "spaces": HEADER + _repeated(" "),
        "notes": HEADER + "i0 " + _repeated(note),
        "published notes": _repeated(note),
        "published notes with bends": _repeated("p60:v90:d10:t5:b23 "),
        "notes by track": HEADER + _repeated(note),
        "compact notes": HEADER + "i0 p1:v9:d5 " + _repeated("p1 "),
        "notes with bends": HEADER + "i0 " + _repeated("p60:v90:d10:t5:o0:b0:o5:b100 "),
        "notes in bars": "q480 i0:g0\n" + _repeated("| i0 " + "p60:v90:d10:t10 " * 192),
        "two tracks": "q480 i0:g0 i1:g0\n" + _repeated("i0 p60:v90:d1:t1 i1 p60:v90:d1:t1 "),
        "too many notes": HEADER + "i0 " + _repeated("p1:v1:d1:t1 ", 8 * MEGABYTE),
        "one chord": HEADER + "i0 p1:v9:d1 " + " ".join(f"p{i % 128}" for i in range(200_000)),
        "sixteen megabytes": _repeated("| ", 16 * MEGABYTE),
        "seventeen megabytes": _repeated(" ", 17 * MEGABYTE),
        "not utf-8": "",
    }
    return {name: text.encode() for name, text in texts.items()} | {"not utf-8": b"q480\xff"}


def _abc_bombs() -> dict[str, bytes]:
    head = "X:1\nM:4/4\nL:1/8\nK:C\n"
    texts = {
        "notes": head + _repeated("CDEFGABc"),
        "notes on lines": head + _repeated("C\n"),
        "sixteen megabytes": head + _repeated("C", 16 * MEGABYTE),
        "accidentals": head + _repeated("^C_c"),
        "chords": head + _repeated("[CE]"),
        "one chord": head + "[" + _repeated("C") + "]",
        "open chords": head + _repeated("["),
        "open fields": head + _repeated("[V:"),
        "open strings": head + _repeated('"'),
        "open strings on lines": head + _repeated('"C\n'),
        "open decorations": head + _repeated("!a "),
        "braces": head + _repeated("{"),
        "graces": head + "{" + _repeated("c") + "}C|",
        "grace groups": head + _repeated("{cde}C"),
        "bars": head + _repeated("C8|"),
        "bar lines": head + _repeated("|"),
        "colons": head + _repeated(":"),
        "colons and lines": head + _repeated(":::::::|"),
        "voltas": head + _repeated("C8|1-99,1-99,1-99,1-99"),
        "keys": head + _repeated("[K:C]"),
        "keys on lines": head + _repeated("K:C\n"),
        "metres": head + _repeated("[M:2/4]"),
        "metres and notes": head + _repeated("[M:2/4]C4|[M:3/4]C6|"),
        "tempos": head + _repeated("C[Q:1/4=9]"),
        "voices": head + "".join(f"[V:{i}]C" for i in range(100_000)),
        "voices in the header": "X:1\n" + "".join(f"V:{i}\n" for i in range(100_000)) + "K:C\n",
        "long key": "X:1\nK:C" + _repeated(" ^c"),
        "long voice": head + "V:1" + _repeated(" name=a"),
        "overlays": head + _repeated("C&"),
        "rests": head + "Z999999999|",
        "many rests": head + _repeated("Z99|"),
        "long notes": "X:1\nL:9999/1\nK:C\n" + _repeated("C999999"),
        "long chord notes": "X:1\nL:9999/1\nK:C\n" + _repeated("[CE999999]"),
        "digits": head + "C" + _repeated("9"),
        "slashes": head + "C" + _repeated("/"),
        "octaves": head + "C" + _repeated(","),
        "fine tuplets": head + _repeated("(97:89:1C(83:79:1D"),
        "tuplets": head + _repeated("(3CDE"),
        "broken": head + _repeated("C>D"),
        "arrows": head + "C" + _repeated(">"),
        "ties": head + _repeated("C-"),
        "lyrics": head + "CDEF" * 4_000 + "|\n" + "w:" + _repeated(" la"),
        "verses": head + "CDEF|\n" + _repeated("w: a b c d\n"),
        "texts": head + _repeated('"^a"C'),
        "entities": "X:1\nT:" + _repeated("&amp;") + "\nK:C\nC|",
        "backslashes": "X:1\nT:" + _repeated("\\\\") + "\nK:C\nC|",
        "comments": head + _repeated("%"),
        "escaped comments": head + "T:" + _repeated("\\%"),
        "empty lines": _repeated("\n"),
        "tunes": _repeated("X:1\nK:C\nC\n\n"),
        "tunes without lines": _repeated("X:1\n"),
        "directives": head + _repeated("%%MIDI program 1\n"),
        "drum maps": head + "".join(f"%%MIDI drummap C {i % 128}\n" for i in range(30_000)),
        "symbols": head + _repeated("T"),
        "unknown decorations": head + "".join(f"!x{i}!" for i in range(100_000)),
        "words": _repeated("lorem ipsum "),
        "primes": head + "".join(f"({p}:{p + 2}:1C" for p in (7, 11, 13, 5, 9) * 2_000),
    }
    return {name: text.encode() for name, text in texts.items()}


def _xml_bombs() -> dict[str, bytes]:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    note = "<note><pitch><step>C</step><octave>4</octave></pitch><duration>{}</duration></note>"
    start = "<measure><attributes><divisions>{}</divisions></attributes>"
    return {
        "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]><score-partwise>&l11;</score-partwise>'.encode(),
        "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><score-partwise>&e;</score-partwise>',
        "quadratic entity": b'<!DOCTYPE x [<!ENTITY e "' + b"a" * 50_000 + b'">]><score-partwise>' + b"&e;" * 50_000,
        "deep": b"<score-partwise>" + b"<part>" * 400_000,
        "deep in a measure": b"<score-partwise><part><measure>" + b"<note>" * 400_000,
        "attributes": b"<score-partwise " + b" ".join(b'a%d="1"' % i for i in range(100_000)) + b"/>",
        "long name": b"<" + b"a" * (4 * MEGABYTE) + b"/>",
        "long text": xml("<measure><note>" + "a" * (4 * MEGABYTE) + "</note></measure>"),
        "spaces": b"<score-partwise>" + b" " * (4 * MEGABYTE),
        "parts": b"<score-partwise>" + b'<part id="a"/>' * 70_000 + b"</score-partwise>",
        "measures": xml("<measure/>" * 70_000),
        "long notes": xml(start.format(1) + note.format(10**9) + "</measure>"),
        "longer notes": xml(start.format(1) + note.format("9" * 5_000) + "</measure>"),
        "fine divisions": xml(*(start.format(p) + note.format(1) + "</measure>" for p in (65_521, 65_519, 65_497, 65_479))),
        "exponent": xml(start.format(1) + note.format("1e9999999") + "</measure>"),
        "notes": xml(start.format(1) + note.format(0) * 9_000 + "</measure>"),
        "keys": xml("<measure><attributes><key><fifths>999999999999</fifths></key></attributes></measure>"),
        "metre": xml(
            "<measure><attributes><time><beats>1</beats><beat-type>1073741824</beat-type></time></attributes>"
            + note.format(100_000) + "</measure>"
        ),
        "repeats": xml('<measure><barline><repeat direction="backward" times="999999999"/></barline></measure>'),
        "endings": xml(f'<measure><barline><ending number="{"1," * 90_000}2" type="start"/></barline></measure>'),
        "timewise": b"<score-timewise/>",
    }  # fmt: skip


def _zip_bombs() -> dict[str, bytes]:
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(5_000):
            archive.writestr(f"{i}.xml", b"")
    spaces = b"<score-partwise>" + b" " * (40 * MEGABYTE) + b"</score-partwise>"
    huge = mxl(spaces)
    lies = bytearray(mxl(xml(*MEASURES)))
    at = lies.rfind(b"PK\1\2")
    lies[at + 24 : at + 28] = b"\xff\xff\xff\x7f"
    return {
        "spaces": huge,
        "twice": mxl(huge),
        "large container": mxl(b"", CONTAINER + " " * MEGABYTE),
        "many entries": many.getvalue(),
        "size that lies": bytes(lies),
        "outside": mxl(b"", CONTAINER.replace("score.xml", "../../etc/passwd")),
        "absolute": mxl(b"", CONTAINER.replace("score.xml", "/etc/passwd")),
        "itself": mxl(b"", CONTAINER.replace("score.xml", "META-INF/container.xml")),
        "entities in the container": mxl(b"", '<!DOCTYPE x [<!ENTITY e "a">]><container>&e;</container>'),
        **{f"zipped {name}": mxl(data) for name, data in _xml_bombs().items()},
    }


def _jams_bombs() -> dict[str, bytes]:
    return {
        "deep": b"[" * 1_000_000,
        "deep objects": b'{"annotations":' * 100_000,
        "digits": b'{"annotations": ' + b"9" * 1_000_000 + b"}",
        "objects": b'{"annotations": [' + b"{}," * 5_000_000 + b"{}]}",
        "lists": b'{"annotations": [' + b"[]," * 5_000_000 + b"[]]}",
        "small objects": b'{"annotations": [' + b'{"a":1},' * 3_000_000 + b"{}]}",
        "notes": jams(20_000),
        "many notes over one contour": jams(4_000, 40_000).replace(b'"duration": 0.4', b'"duration": 9e4'),
        "long notes": jams().replace(b'"duration": 0.4', b'"duration": 9e99'),
        "long piece": jams(duration=1e12),
        "infinite": jams(duration=float("inf")),
        "not a number": jams().replace(b"40.04", b"NaN"),
        "surrogates": jams(title="\ud800 \udfff"),
        "long title": jams(title="a" * 3_000_000),
        "huge frequency": jams().replace(b'"frequency": 82.4', b'"frequency": 1e300, "x": 8'),
    }


def _guitar_pro_bombs(suffix: str) -> dict[str, bytes]:
    """Every four bytes of a small file in turn become a huge count."""
    data = generated(suffix)["b"]
    out = {}
    for number in (0x7FFFFFFF, 0x00FFFFFF, 20_000, 500, 0xFFFFFFFF):
        for at in range(31, len(data) - 4, 97 if number != 20_000 else 29):
            out[f"{number:#x} at {at}"] = data[:at] + number.to_bytes(4, "little") + data[at + 4 :]
    return out | {"version alone": data[:31], "endless": data + b"\xff" * 4_000_000}


def bombs(suffix: str) -> dict[str, bytes]:
    """Name → bytes of files that mean harm."""
    if suffix in ("gpx", "gp"):
        return fuzz_gpif.bombs(suffix)
    if suffix in ("gp3", "gp4", "gp5"):
        return _guitar_pro_bombs(suffix)
    made = {
        "smidi": _text_bombs, "abc": _abc_bombs, "dadagp": _token_bombs, "musicxml": _xml_bombs, "mxl": _zip_bombs,
        "jams": _jams_bombs,
    }  # fmt: skip
    return made[suffix]() if suffix in made else {}
