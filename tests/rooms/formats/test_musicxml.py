"""MusicXML: rules on small texts, hostile files, and music21 as an independent reader of real songs."""

import io
import random
import zipfile
from collections import Counter
from fractions import Fraction

import pytest

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats import musicxml
from cadenza.score.model import BarMark, Bend, Key, Metre, Technique, Tempo
from cadenza.score.repeats import play_order
from cadenza.score.time import bar_table

HEAD = """<?xml version="1.0"?><score-partwise><part-list><score-part id="P1"><part-name>Horn</part-name>
<midi-instrument id="I1"><midi-program>61</midi-program></midi-instrument></score-part></part-list><part id="P1">"""
TAIL = "</part></score-partwise>"
START = "<attributes><divisions>{}</divisions><time><beats>{}</beats><beat-type>4</beat-type></time></attributes>"


def measure(*content: str) -> str:
    return f"<measure>{''.join(content)}</measure>"


def note(pitch: str, duration: int, *extra: str) -> str:
    step, alter, octave = pitch[0], pitch.count("#") - pitch.count("b"), pitch[-1]
    return (
        f"<note>{''.join(e for e in extra if e in ('<chord/>', '<cue/>'))}<pitch><step>{step}</step>"
        f"<alter>{alter}</alter><octave>{octave}</octave></pitch><duration>{duration}</duration>"
        f"{''.join(e for e in extra if e not in ('<chord/>', '<cue/>'))}</note>"
    )


def grace(pitch: str) -> str:
    return f"<note><grace/><pitch><step>{pitch[0]}</step><octave>{pitch[1]}</octave></pitch></note>"


def read(*measures: str):
    return musicxml.parse((HEAD + "".join(measures) + TAIL).encode())[0]


def rows(score, track=0):
    return [(n.onset_ticks, n.duration_ticks, n.pitch) for n in score.tracks[track]]


def test_divisions_that_change_are_exact():
    septuplet = "<time-modification/>"
    score = read(
        measure(START.format(2, 2), note("C4", 1), note("D4", 3)),
        measure("<attributes><divisions>7</divisions></attributes>", note("E4", 1, septuplet), note("F4", 13)),
    )
    q = score.ticks_per_quarter
    assert q % 7 == 0
    assert q == 3360
    assert rows(score) == [
        (0, q // 2, 60),
        (q // 2, 3 * q // 2, 62),
        (2 * q, q // 7, 64),
        (2 * q + q // 7, 13 * q // 7, 65),
    ]
    assert score.tracks[0].program == 60
    assert score.tracks[0].name == "Horn"


def test_chords_backup_and_voices():
    score = read(
        measure(
            START.format(1, 4),
            note("C4", 2, "<voice>1</voice>"),
            note("E4", 2, "<chord/>", "<voice>1</voice>"),
            note("G4", 2, "<voice>1</voice>"),
            "<backup><duration>4</duration></backup><forward><duration>1</duration></forward>",
            note("C3", 3, "<voice>2</voice>"),
        )
    )
    assert rows(score) == [(0, 960, 60), (0, 960, 64), (480, 1440, 48), (960, 960, 67)]
    assert [n.voice for n in score.tracks[0]] == [0, 0, 1, 0]


def test_ties_join_within_a_voice_and_across_bars():
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    score = read(
        measure(START.format(1, 2), note("C4", 1), note("C4", 1, start)),
        measure(note("C4", 2, stop, start)),
        measure(note("C4", 1, stop), note("C4", 1)),
    )
    assert rows(score) == [(0, 480, 60), (480, 4 * 480, 60), (5 * 480, 480, 60)]


def test_a_tie_may_end_in_a_voice_that_is_written_earlier():
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    score = read(
        measure(
            START.format(1, 2),
            "<forward><duration>1</duration></forward>",
            note("C4", 1, stop, start),
            "<backup><duration>2</duration></backup>",
            note("C4", 1, start, "<voice>2</voice>"),
        ),
        measure(note("C4", 1, stop)),
    )
    assert rows(score) == [(0, 3 * 480, 60)]


def test_grace_notes_come_before_the_beat_and_leave_it_alone():
    score = read(measure(START.format(1, 2), note("C4", 1), grace("D4"), grace("E4"), note("F4", 1)))
    assert rows(score) == [(0, 480, 60), (360, 60, 62), (420, 60, 64), (480, 480, 65)]
    assert [bool(n.techniques & Technique.GRACE) for n in score.tracks[0]] == [False, True, True, False]
    first = read(measure(START.format(1, 1), grace("D4"), note("C4", 1)))
    assert rows(first) == [(0, 480, 60), (0, 60, 62)]


def test_transposition_sounds():
    transpose = "<transpose><diatonic>-4</diatonic><chromatic>-7</chromatic></transpose>"
    up = f"<attributes><key><fifths>1</fifths></key>{transpose}</attributes>"
    score = read(measure(START.format(1, 1), up, note("F#4", 1)))
    assert rows(score) == [(0, 480, 59)]
    assert score.tracks[0][0].spelling == 5  # B
    assert score.keys == (Key(0, 0),)


def test_quarter_tone_becomes_a_bend():
    text = HEAD + measure(START.format(1, 1), note("C4", 1).replace("<alter>0", "<alter>0.5")) + TAIL
    score = musicxml.parse(text.encode())[0]
    assert score.tracks[0][0].bends == (Bend(0, 50),)


def test_pickup_repeats_and_endings():
    def bar(*extra):
        return measure(*extra, note("C4", 4))

    score = read(
        measure(START.format(1, 4), note("G4", 1)),
        bar('<barline><repeat direction="forward"/></barline>'),
        bar('<barline><ending number="1" type="start"/></barline>').replace(
            "</measure>",
            '<barline><ending number="1" type="stop"/><repeat direction="backward"/></barline></measure>',
        ),
        bar('<barline><ending number="2" type="start"/></barline>').replace(
            "</measure>", '<barline><ending number="2" type="discontinue"/></barline></measure>'
        ),
        bar(),
    )
    assert score.bars == (
        BarMark(480, repeat_open=True),
        BarMark(480 * 5, repeat_close=2, endings=(1,)),
        BarMark(480 * 9, endings=(2,)),
    )
    assert bar_table(score).starts_ticks.tolist() == [0, 480, 2400, 4320, 6240]
    assert play_order(score) == [0, 1, 2, 1, 3, 4]


def test_tempo_metre_dynamics():
    direction = "<direction><direction-type>{}</direction-type></direction>"
    dotted_half = "<metronome><beat-unit>half</beat-unit><beat-unit-dot/><per-minute>40</per-minute></metronome>"
    metronome, forte = direction.format(dotted_half), direction.format("<dynamics><f/></dynamics>")
    score = read(
        measure(START.format(1, 3), metronome, note("C4", 3)),
        measure(forte, '<sound tempo="90"/>', note("C4", 3)),
        measure("<attributes><time><beats>2+3</beats><beat-type>8</beat-type></time></attributes>", note("C4", 2)),
    )
    assert score.tempos == (Tempo(0, 120), Tempo(1440, 90))
    assert score.metres == (Metre(0, 3, 4), Metre(2880, 5, 8))
    assert [n.velocity for n in score.tracks[0]] == [80, 96, 96]


def test_percussion_is_read_where_its_key_is_known_and_reported_otherwise():
    head = HEAD.replace("<midi-program>61</midi-program>", "<midi-unpitched>39</midi-unpitched>")
    hit = "<note><unpitched/><duration>1</duration>{}</note>"
    text = head + measure(START.format(1, 1), hit.format('<instrument id="I1"/>')) + TAIL
    score, report = musicxml.parse(text.encode())
    assert score.tracks[0].is_drums
    assert rows(score) == [(0, 480, 38)]
    assert report == ()
    score, report = musicxml.parse((HEAD + measure(START.format(1, 1), hit.format("")) + TAIL).encode())
    assert score.n_notes == 0
    assert report == ("1 percussion notes whose instrument the file does not name",)


def test_cue_notes_are_silent_but_take_time():
    score = read(measure(START.format(1, 2), note("C4", 1, "<cue/>"), note("D4", 1)))
    assert rows(score) == [(480, 480, 62)]


# ── hostile files ────────────────────────────────────────────────────────────────────────────────────────


def zipped(name: str, text: bytes, container: str | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "META-INF/container.xml", container or f'<container><rootfile full-path="{name}"/></container>'
        )
        archive.writestr(name, text)
    return out.getvalue()


SMALL = (HEAD + measure(START.format(1, 1), note("C4", 1)) + TAIL).encode()


def test_zipped_and_utf16_are_read():
    assert musicxml.parse(zipped("a/b.xml", SMALL))[0].n_notes == 1
    assert musicxml.parse(SMALL.decode().replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16"))[0].n_notes == 1


ENTITY_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><score-partwise>&b;</score-partwise>'
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "well-formed XML"),
        (b"MThd\0\0\0\6", "well-formed XML"),
        (b"\x00\xff" * 50, "XML|encoding"),
        (SMALL[:-40], "well-formed XML"),
        (b"<html/>", "score-partwise"),
        (ENTITY_BOMB, "without entities"),
        (b'<?xml version="1.0" encoding="x-none"?><score-partwise/>', "encoding"),
        (b"PK\x03\x04 not a zip", "intact"),
        (zipped("a.xml", SMALL)[:-30], "intact"),
        (zipped("a.xml", SMALL, '<container><rootfile full-path="../../etc/passwd"/></container>'), "inside the zip"),
        (zipped("a.xml", SMALL, '<container><rootfile full-path="b.xml"/></container>'), "container.xml names"),
        (zipped("a.xml", SMALL, "<container/>"), "rootfile"),
        (zipped("a.xml", SMALL, "<container"), "container.xml"),
        ((HEAD + measure(START.format(0, 1)) + TAIL).encode(), "positive divisions"),
        (
            (HEAD + measure(START.format(1, 1), note("C9", 1).replace("<octave>9", "<octave>11")) + TAIL).encode(),
            "0–127",
        ),
        ((HEAD + measure(START.format(1, 1), note("C4", 1).replace("<step>C", "<step>H")) + TAIL).encode(), "step"),
    ],
)
def test_junk_gives_a_typed_error(data, expected, tmp_path):
    path = tmp_path / "junk.mxl"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=expected) as caught:
        musicxml.read(path)
    assert str(path) in str(caught.value)


def test_bombs_hit_limits():
    spaces = SMALL.replace(b"<measure>", b"<measure>" + b" " * (8 << 20))
    with pytest.raises(LimitError, match="unpacked_bytes"):
        musicxml.parse(zipped("a.xml", spaces), Limits(unpacked_bytes=4 << 20))
    long = (HEAD + measure(START.format(1, 4), note("C4", 10**8)) + TAIL).encode()
    with pytest.raises(LimitError, match="quarters"):
        musicxml.parse(long)
    primes = "".join(f"<attributes><divisions>{p}</divisions></attributes>" for p in (99991, 99989, 99971, 99961))
    with pytest.raises(LimitError, match="common multiple"):
        musicxml.parse((HEAD + measure(primes) + TAIL).encode())
    many = (HEAD + measure(START.format(1, 4), note("C4", 0) * 50) + TAIL).encode()
    with pytest.raises(LimitError, match="notes"):
        musicxml.parse(many, Limits(notes=40))


def test_mutated_files_give_a_score_or_a_typed_error():
    rng = random.Random(5)
    text = bytearray(
        (
            HEAD
            + measure(START.format(2, 4), grace("D4"), note("C4", 3, '<tie type="start"/>'), note("E4", 5))
            + measure('<sound tempo="90"/>', note("C4", 8, '<tie type="stop"/>'))
            + TAIL
        ).encode()
    )
    digits = [place for place, byte in enumerate(text) if chr(byte).isdigit() and place > 50]
    read_well = 0
    for _ in range(400):
        mutated = bytearray(text)
        for _ in range(rng.choice([1, 1, 2, 5])):
            if rng.random() < 0.7:
                mutated[rng.choice(digits)] = rng.choice(b"0123456789-. x")
            else:
                mutated[rng.randrange(len(mutated))] = rng.choice(b"<>/\"'09abC\x00\xff")
        try:
            musicxml.parse(bytes(mutated))
            read_well += 1
        except FormatError:
            pass
    assert 40 < read_well < 400


# ── real songs ───────────────────────────────────────────────────────────────────────────────────────────


def _sounding(score) -> Counter:
    q = score.ticks_per_quarter
    return Counter(
        (Fraction(n.onset_ticks, q), Fraction(n.duration_ticks, q), n.pitch)
        for track in score.tracks
        for n in track
        if not n.techniques & Technique.GRACE
    )


def _sounding_by_music21(music21, path) -> Counter:
    """All but grace notes; ties joined here, for music21's own stripTies leaves some across voices."""
    out = []
    for part in music21.converter.parse(path, format="musicxml", forceSource=True).toSoundingPitch().parts:
        raw = []
        for found in part.recurse().notes:
            if found.duration.isGrace:
                continue
            onset = Fraction(found.getOffsetInHierarchy(part)).limit_denominator(10080)
            length = Fraction(found.duration.quarterLength).limit_denominator(10080)
            for one in found.notes if found.isChord else [found]:
                raw.append((onset, length, one.pitch.midi, one.tie.type if one.tie else ""))
        held = {}
        for onset, length, pitch, tie in sorted(raw, key=lambda r: (r[0], r[3] not in ("stop", "continue"))):
            if tie in ("stop", "continue") and (pitch, onset) in held:
                row = held.pop((pitch, onset))
                out[row] = (out[row][0], out[row][1] + length, pitch)
            else:
                row = len(out)
                out.append((onset, length, pitch))
            if tie in ("start", "continue"):
                held[pitch, onset + length] = row
    return Counter(out)


# Its parts are in 3/4 and 2/4 at once. music21 lets such parts drift apart; here bars begin together.
TWO_METRES_AT_ONCE = "lc6984553.mxl"


@pytest.mark.slow
@pytest.mark.shared
def test_notes_agree_with_music21(shared_data):
    music21 = pytest.importorskip("music21", reason="music21 is the independent reader of this test")
    files = sorted((shared_data / "openscore_lieder").rglob("*.mxl"))
    small = [f for f in files if f.stat().st_size < 25_000 and f.name != TWO_METRES_AT_ONCE]
    chosen = random.Random(11).sample(small, 8)
    differing = {}
    for path in chosen:
        score, left_out = musicxml.read_with_report(path)
        ours, theirs = _sounding(score), _sounding_by_music21(music21, path)
        if left_out:  # music21 does not tell cue notes from others
            theirs &= ours
        if ours != theirs:
            differing[path.name] = (list((ours - theirs).elements())[:3], list((theirs - ours).elements())[:3])
    assert not differing


@pytest.mark.shared
def test_a_sample_of_all_scores_reads(shared_data):
    files = sorted(shared_data.glob("openscore_*/*/*.mxl"))
    assert len(files) >= 1268
    for path in files[::60]:
        score, _ = musicxml.read_with_report(path)
        assert score.n_notes > 50, path
        assert len(bar_table(score)) >= 4, path
