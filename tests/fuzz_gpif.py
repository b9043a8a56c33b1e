"""Small .gpx and .gp files to mutate, and bombs of their three containers (BCFS, BCFZ, zip) and of their XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from cadenza.score.model import Score

SECTOR = 4096
MEGABYTE = 1 << 20
NAME = "Content/score.gpif"


def document(score: Score) -> bytes:
    """The XML that says a score."""
    from cadenza.formats.gpif.paging import document_of
    from cadenza.formats.gpif.projection import prepared
    from cadenza.formats.gpif.writing import document_xml

    return document_xml(document_of(prepared(score))).encode()


def zipped(data: bytes, name: str = NAME, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Guitar Pro 7's container."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("VERSION", "7.0")
        archive.writestr(name, data)
    return buffer.getvalue()


def bcfs(data: bytes, name: bytes = b"score.gpif", size: int | None = None, sectors: list[int] | None = None) -> bytes:
    """Guitar Pro 6's file system with one file (its size and sectors may be lies)."""
    n = -(-len(data) // SECTOR)
    # An entry has room for 987 sectors; what is longer is cut, as no fixture says how it goes on.
    sectors = list(range(2, 2 + n))[:986] if sectors is None else sectors
    entry = bytearray(SECTOR)
    entry[0:4] = (2).to_bytes(4, "little")
    entry[4 : 4 + len(name)] = name
    entry[140:144] = (len(data) if size is None else size).to_bytes(4, "little")
    for index, sector in enumerate(sectors):
        entry[148 + 4 * index : 152 + 4 * index] = sector.to_bytes(4, "little")
    return b"BCFS" + bytes(SECTOR) + bytes(entry) + data.ljust(n * SECTOR, b"\0")


def bcfz(data: bytes, claims: int | None = None, tail: str = "") -> bytes:
    """Guitar Pro 6's compression: runs of one byte as copies, everything else as it is, then the bits of ``tail``."""
    size = len(data) if claims is None else claims
    return b"BCFZ" + size.to_bytes(4, "little") + _bytes("".join(_bits(data)) + tail)


def copy(back: int, size: int) -> str:
    """The bits of a copy."""
    width = max(back.bit_length(), size.bit_length(), 1)
    return f"1{width:04b}" + f"{back:0{width}b}"[::-1] + f"{size:0{width}b}"[::-1]


def _bits(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        run = 1
        while at + run < len(data) and data[at + run] == data[at] and run < 4_000:
            run += 1
        if run > 8:  # one as it is, then copies that double
            yield f"010{data[at]:08b}"
            done = 1
            while done < run:
                size = min(done, run - done)
                yield copy(done, size)
                done += size
            at += run
            continue
        part = data[at : at + 3]
        yield f"0{len(part):02b}"[:1] + f"{len(part):02b}"[::-1] + "".join(f"{byte:08b}" for byte in part)
        at += len(part)


def _bytes(bits: str) -> bytes:
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0") or "0", 2).to_bytes(-(-len(bits) // 8), "big")


def generated(suffix: str, scores: dict[str, Score]) -> dict[str, bytes]:
    """Name → bytes of small sound files."""
    documents = {name: document(score) for name, score in scores.items()}
    if suffix == "gp":
        stored = {f"{name} stored": zipped(data, method=zipfile.ZIP_STORED) for name, data in documents.items()}
        return {name: zipped(data) for name, data in documents.items()} | stored
    out = {f"{name} plain": bcfs(data) for name, data in documents.items()}
    return out | {name: bcfz(bcfs(data)) for name, data in documents.items()}


# ── bombs ────────────────────────────────────────────────────────────────────────────────────────────────


def gpif(**sections: str) -> bytes:
    """A document of one track, one bar, one quarter note, with some sections replaced."""
    usual = {
        "MasterTrack": "<Tracks>0</Tracks>",
        "Tracks": '<Track id="0"><Properties><Property name="Tuning"><Pitches>40 45 50 55 59 64</Pitches></Property>'
        "</Properties></Track>",
        "MasterBars": "<MasterBar><Time>4/4</Time><Bars>0</Bars></MasterBar>",
        "Bars": '<Bar id="0"><Voices>0 -1 -1 -1</Voices></Bar>',
        "Voices": '<Voice id="0"><Beats>0</Beats></Voice>',
        "Beats": '<Beat id="0"><Rhythm ref="0"/><Notes>0</Notes></Beat>',
        "Notes": _note(),
        "Rhythms": '<Rhythm id="0"><NoteValue>Quarter</NoteValue></Rhythm>',
    } | sections
    return f"<GPIF>{''.join(f'<{tag}>{text}</{tag}>' for tag, text in usual.items())}</GPIF>".encode()


def _note(more: str = "", head: str = "") -> str:
    place = '<Property name="String"><String>0</String></Property><Property name="Fret"><Fret>3</Fret></Property>'
    return f'<Note id="0">{head}<Properties>{place}{more}</Properties></Note>'


def _bend(value: object) -> str:
    words = {"OriginValue": 0, "OriginOffset": 0, "DestinationValue": value, "DestinationOffset": 100}
    items = "".join(f'<Property name="Bend{k}"><Float>{v}</Float></Property>' for k, v in words.items())
    return '<Property name="Bended"><Enable/></Property>' + items


def xml_bombs() -> dict[str, bytes]:
    """Documents that mean harm."""
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    zeros = " ".join(["0"] * 50_000)
    beat = '<Beat id="0"><Rhythm ref="0"/><Notes>{}</Notes>{}</Beat>'
    primes = [p for p in range(2, 3_000) if all(p % q for q in range(2, int(p**0.5) + 1))]
    tuplets = "".join(
        f'<Rhythm id="{n}"><NoteValue>Quarter</NoteValue><PrimaryTuplet num="{p}" den="{p - 1}"/></Rhythm>'
        for n, p in enumerate(primes)
    )
    small = [p for p in primes if p < 128]
    few = "".join(
        f'<Rhythm id="{n}"><NoteValue>16th</NoteValue><PrimaryTuplet num="{p}" den="{p - 1}"/></Rhythm>'
        for n, p in enumerate(small)
    )
    return {
        "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]><GPIF>&l11;</GPIF>'.encode(),
        "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><GPIF>&e;</GPIF>',
        "deep": b"<GPIF>" + b"<Notes>" * 300_000,
        "deep in a note": b"<GPIF><Notes><Note>" + b"<a>" * 300_000,
        "deep in what is skipped": b"<GPIF><ScoreViews>" + b"<a>" * 300_000,
        "attributes": b"<GPIF " + b" ".join(b'a%d="1"' % i for i in range(100_000)) + b"/>",
        "long name": b"<" + b"a" * (3 * MEGABYTE) + b"/>",
        "long title": gpif(Score=f"<Title>{'a' * 3 * MEGABYTE}</Title>"),
        "spaces": b"<GPIF>" + b" " * (3 * MEGABYTE),
        "another root": b"<score-partwise/>",
        "notes": gpif(Notes=_note() * 20_000),
        "empty notes": gpif(Notes="<Note/>" * 200_000),
        "elements in a track": gpif(Tracks=f'<Track id="0">{"<a/>" * 300_000}</Track>'),
        "bars": gpif(MasterBars="<MasterBar/>" * 30_000),
        "tracks": gpif(Tracks='<Track id="{}"/>' * 10_000),
        "track named often": gpif(MasterTrack=f"<Tracks>{zeros}</Tracks>"),
        "one bar again and again": gpif(
            MasterBars=f"<MasterBar><Time>4/4</Time><Bars>{'0 ' * 8}</Bars></MasterBar>" * 8_000,
            Tracks="".join(f'<Track id="{n}"/>' for n in range(8)),
            MasterTrack="<Tracks>0 1 2 3 4 5 6 7</Tracks>",
            Beats=beat.format("", ""),
        ),
        "one beat again and again": gpif(Voices=f'<Voice id="0"><Beats>{zeros}</Beats></Voice>'),
        "one note again and again": gpif(Beats=beat.format(zeros, "")),
        "everything again and again": gpif(
            MasterBars="<MasterBar><Time>4/4</Time><Bars>0</Bars></MasterBar>" * 5_000,
            Bars='<Bar id="0"><Voices>0 0 0 0</Voices></Bar>',
            Voices=f'<Voice id="0"><Beats>{zeros}</Beats></Voice>',
            Beats=beat.format(zeros, ""),
        ),
        "tied bends": gpif(
            Voices=f'<Voice id="0"><Beats>{zeros}</Beats></Voice>',
            Notes=_note(_bend(100), '<Tie destination="true"/>'),
        ),
        "grace notes without end": gpif(
            Voices=f'<Voice id="0"><Beats>{zeros}</Beats></Voice>',
            Beats=beat.format("0", "<GraceNotes>BeforeBeat</GraceNotes>"),
        ),
        "verses": gpif(
            Voices=f'<Voice id="0"><Beats>{"0 " * 5_000}</Beats></Voice>',
            Beats=beat.format("0", f"<Lyrics>{'<Line>la</Line>' * 20_000}</Lyrics>"),
        ),
        "brackets in lyrics": gpif(
            Tracks=f'<Track id="0"><Lyrics><Line><Text>{"[" * 500_000}</Text></Line></Lyrics></Track>',
            Notes='<Note id="0"><Properties><Property name="Midi"><Number>60</Number></Property></Properties></Note>',
        ),
        "odd tuplets": gpif(Rhythms=tuplets),
        "many odd tuplets": gpif(
            Rhythms=few,
            Beats="".join(f'<Beat id="{n}"><Rhythm ref="{n}"/></Beat>' for n in range(len(small))),
            Voices=f'<Voice id="0"><Beats>{" ".join(str(n % len(small)) for n in range(20_000))}</Beats></Voice>',
        ),
        "long rests": gpif(
            Voices=f'<Voice id="0"><Beats>{"0 " * 5_000}</Beats></Voice>',
            Rhythms='<Rhythm id="0"><NoteValue>Long</NoteValue></Rhythm>',
        ),
        "long bars": gpif(MasterBars="<MasterBar><Time>9999/1</Time><Bars>0</Bars></MasterBar>" * 500),
        "metre": gpif(MasterBars="<MasterBar><Time>1/1073741824</Time><Bars>0</Bars></MasterBar>"),
        "no metre": gpif(MasterBars="<MasterBar><Time>0/0</Time><Bars>0</Bars></MasterBar>"),
        "digits": gpif(Notes=_note().replace("<Fret>3", f"<Fret>{'9' * 1_000_000}")),
        "exponent": gpif(Notes=_note(_bend("1e999"))),
        "not a number": gpif(Notes=_note(_bend("nan"))),
        "steep bend": gpif(Notes=_note(_bend(999_999_999))),
        "keys": gpif(MasterBars="<MasterBar><Key><AccidentalCount>-999999999</AccidentalCount></Key></MasterBar>"),
        "endings": gpif(MasterBars=f"<MasterBar><AlternateEndings>{' '.join(map(str, range(90_000)))}"
                        "</AlternateEndings></MasterBar>"),
        "tempo": gpif(MasterTrack="<Tracks>0</Tracks><Automations><Automation><Type>Tempo</Type><Bar>0</Bar>"
                      "<Position>1e300</Position><Value>1e300 2</Value></Automation></Automations>"),
        "tempos": gpif(MasterTrack="<Tracks>0</Tracks><Automations>" + "<Automation><Type>Tempo</Type><Bar>0</Bar>"
                       "<Value>90 2</Value></Automation>" * 20_000 + "</Automations>"),
        "articulations": gpif(Tracks='<Track id="0"><InstrumentSet><Type>drumKit</Type><Elements>'
                              f"{'<Articulation/>' * 50_000}</Elements></InstrumentSet></Track>"),
        "no such note": gpif(Beats=beat.format("9", "")),
        "another encoding": b'<?xml version="1.0" encoding="utf-7"?><GPIF/>',
    }  # fmt: skip


def bombs(suffix: str) -> dict[str, bytes]:
    """Files that mean harm."""
    documents = xml_bombs()
    sound = gpif()
    if suffix == "gp":
        many = io.BytesIO()
        with zipfile.ZipFile(many, "w") as archive:
            for i in range(5_000):
                archive.writestr(f"{i}.xml", b"")
        lies = bytearray(zipped(sound))
        at = lies.rfind(b"PK\1\2")
        lies[at + 24 : at + 28] = b"\xff\xff\xff\x7f"
        huge = zipped(b"<GPIF>" + b" " * (40 * MEGABYTE) + b"</GPIF>")
        return {
            "spaces": huge,
            "twice": zipped(huge),
            "many entries": many.getvalue(),
            "size that lies": bytes(lies),
            "another name": zipped(sound, "../score.gpif"),
            "nothing": b"PK",
            **{f"zipped {name}": zipped(data) for name, data in documents.items()},
        }
    system = bcfs(sound)
    flood = "0" + "10" + f"{ord('a'):08b}" + "".join(copy(1 << n, 1 << n) for n in range(15))
    return {
        "claims too much": bcfz(system, 0x7FFFFFFF),
        "claims all": bcfz(system, 0xFFFFFFFF),
        "claims what fits": bcfz(system, 40 * MEGABYTE),
        "claims nothing": bcfz(system, 0),
        "flood": b"BCFZ" + (40 * MEGABYTE).to_bytes(4, "little") + _bytes(flood + copy(32_767, 32_767) * 1_400),
        "copies of nothing": b"BCFZ" + (MEGABYTE).to_bytes(4, "little") + _bytes("10000" * 800_000),
        "empty pieces": b"BCFZ" + (MEGABYTE).to_bytes(4, "little") + _bytes("000" * 1_000_000),
        "from before the start": b"BCFZ" + (MEGABYTE).to_bytes(4, "little") + _bytes(copy(9, 9) * 99),
        "compressed twice": bcfz(bcfz(system)),
        "size that lies": bcfs(sound, size=0x7FFFFFFF),
        "sector again and again": bcfs(sound, sectors=[2] * 900, size=900 * SECTOR),
        "sectors outside": bcfs(sound, sectors=[2, 0x7FFFFFFF], size=2 * SECTOR),
        "entries": b"BCFS" + bytes(SECTOR) + b"\2\0\0\0".ljust(SECTOR, b"\0") * 2_000,
        "head alone": b"BCFZ",
        "system alone": b"BCFS",
        **{f"plain {name}": bcfs(data) for name, data in documents.items() if len(data) < 4_000_000},
        **{f"packed {name}": bcfz(bcfs(data)) for name, data in documents.items() if len(data) < 100_000},
    }
