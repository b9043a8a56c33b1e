"""The MusicXML writer: what stands in the file, that the schema likes it, and that other programs read the same."""

from __future__ import annotations

import random
import re
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest

from cadenza.base.errors import RangeError
from cadenza.formats import musicxml
from cadenza.score.edit import project
from cadenza.score.model import STANDARD_TUNINGS, BarMark, Bend, Key, Metre, Note, Score, Technique, Tempo, Track
from cadenza.score.notevalues import Bar, spell
from cadenza.score.written import Mark
from tests.rooms.formats import musicxml_schema
from tests.strategies import examples

T = Technique
GUITAR = STANDARD_TUNINGS["guitar"]


def back(score: Score, **options) -> Score:
    return musicxml.parse(musicxml.encode(score, **options).encode())[0]


def tab(*notes: Note, **fields) -> Score:
    return Score((Track.of(notes, program=27, tuning=GUITAR, name="Guitar", **fields),))


def on_string(onset: int, fret: int, length: int = 480, string: int = 2, **fields) -> Note:
    return Note(onset, length, GUITAR[string - 1] + fret, string=string, fret=fret, **fields)


def values(points, bar=Bar(4, 4, 480), length=1920):  # noqa: B008
    return [(v.value, v.dots, v.enters) for v in spell(points, 0, length, bar)]


# ── note values ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], [(1, 0, 1)]),
        ([480], [(4, 0, 1), (2, 1, 1)]),
        ([720], [(4, 1, 1), (8, 0, 1), (2, 0, 1)]),
        ([240, 720, 960], [(8, 0, 1), (4, 0, 1), (8, 0, 1), (2, 0, 1)]),  # a syncopation stays one note
        ([240, 1680], [(8, 0, 1), (4, 1, 1), (4, 1, 1), (8, 0, 1)]),  # the middle of the bar is shown
        ([840, 960], [(4, 2, 1), (16, 0, 1), (2, 0, 1)]),
        ([160, 320, 480], [(8, 0, 3)] * 3 + [(2, 1, 1)]),
        ([320, 640, 960], [(4, 0, 3)] * 3 + [(2, 0, 1)]),  # a triplet over two beats is one
        ([96, 192, 288, 384, 480], [(16, 0, 5)] * 5 + [(2, 1, 1)]),
    ],
)
def test_note_values_show_the_metre(points, expected):
    assert values(points) == expected


def test_note_values_of_other_metres_and_times():
    assert values([720], Bar(6, 8, 480), 1440) == [(4, 1, 1), (4, 1, 1)]
    assert values([480], Bar(6, 8, 480), 1440) == [(4, 0, 1), (8, 0, 1), (4, 1, 1)]
    assert values([], Bar(12, 8, 480), 2880) == [(1, 1, 1)]
    assert values([], Bar(5, 4, 480), 2400) == [(1, 0, 1), (4, 0, 1)]
    septuplet = [480 * i for i in range(1, 8)]  # seven in the time of a quarter
    assert values(septuplet, Bar(4, 4, 3360), 13440)[:8] == [(16, 0, 7)] * 7 + [(2, 1, 1)]
    free = values([7])
    assert free[0][0] == 0, "no note value lasts 7 ticks"
    assert free[-1] == (2, 1, 1), "the rest of the bar is spelled"


# ── what stands in the file ──────────────────────────────────────────────────────────────────────────────


def test_a_long_note_is_tied_and_chords_and_rests_are_written():
    score = Score((Track.of([Note(240, 960, 60), Note(240, 960, 64), Note(1440, 480, 62)]),))
    text = musicxml.encode(score)
    assert text.count('<tie type="start"/>') == text.count('<tie type="stop"/>') == 2
    assert text.count("<chord/>") == 2
    assert "<rest/>" in text
    assert back(score).tracks[0].notes["duration_ticks"].tolist() == [960, 960, 480]


def test_bends_are_kept_to_the_tick():
    curve = (Bend(0, 0), Bend(37, 150), Bend(400, 150), Bend(480, -30))
    score = tab(on_string(0, 5, bends=curve), on_string(480, 7, bends=(Bend(0, 200),)))
    track = back(score).tracks[0]
    assert track.bends_of(0) == curve
    assert track.bends_of(1) == (Bend(0, 200),)
    assert "<pre-bend/>" in musicxml.encode(score)


def test_every_technique_is_kept():
    bits = [bit for bit in T if bit]
    score = tab(*(on_string(480 * i, 5, techniques=bit) for i, bit in enumerate(bits)))
    assert [note.techniques for note in back(score).tracks[0]] == bits


def test_tab_staves_hold_string_and_fret():
    score = tab(on_string(0, 3), on_string(480, 0, string=6), capo_fret=2)
    text = musicxml.encode(score)
    assert "<sign>TAB</sign>" in text
    assert "<staff-lines>6</staff-lines>" in text
    assert "<capo>2</capo>" in text
    plain = musicxml.encode(score, view="score")
    assert "<sign>G</sign>" in plain
    assert "<fret>" not in plain
    with pytest.raises(RangeError, match="view"):
        musicxml.encode(score, view="guitar")  # type: ignore[arg-type]


def test_a_score_with_tab_is_one_part_of_two_staves_and_reads_as_one():
    score = tab(on_string(0, 3, techniques=T.PALM_MUTE), on_string(480, 5, bends=(Bend(0, 0), Bend(480, 100))))
    text = musicxml.encode(score, view="both")
    assert "<staves>2</staves>" in text
    assert text.count("<fret>3</fret>") == 1
    assert back(score, view="both") == back(score)


def test_transposing_instruments_are_written_as_they_are_played():
    clarinet = Track.of([Note(0, 480, 58, spelling=-2)], program=71, marks=(Mark(0, "transposition", values=(-2,)),))
    score = Score((clarinet,), keys=(Key(0, -2),))
    text = musicxml.encode(score)
    assert "<step>C</step><octave>4</octave>" in text
    assert "<fifths>0</fifths>" in text
    assert "<diatonic>-1</diatonic><chromatic>-2</chromatic>" in text
    assert back(score) == project(score, musicxml.PROJECTION)


def test_drums_are_unpitched_with_their_keys():
    score = Score((Track.of([Note(0, 240, 36), Note(240, 240, 42)], is_drums=True),))
    text = musicxml.encode(score)
    assert "<midi-unpitched>37</midi-unpitched>" in text
    assert "<sign>percussion</sign>" in text
    assert back(score).tracks[0].notes["pitch"].tolist() == [36, 42]


def test_keyboards_get_two_staves_where_the_notes_ask_for_it():
    wide, high = [Note(0, 480, 40), Note(0, 480, 76)], [Note(0, 480, 72), Note(480, 480, 76)]
    assert "<staves>2</staves>" in musicxml.encode(Score((Track.of(wide, program=0),)))
    assert "<staves>" not in musicxml.encode(Score((Track.of(high, program=0),)))
    assert "<staves>" not in musicxml.encode(Score((Track.of(wide, program=40),)))


def test_upbeats_repeats_endings_and_jumps_are_kept():
    bars = (
        BarMark(480, repeat_open=True, directions=("segno",)),
        BarMark(2400, endings=(1,), repeat_close=2),
        BarMark(4320, endings=(2,), directions=("da-segno-al-coda", "fine")),
        BarMark(6240, directions=("coda",)),
    )
    score = Score((Track.of([Note(0, 8160, 60)]),), metres=(Metre(0, 4, 4),), bars=bars, tempos=(Tempo(0, 83.25),))
    text = musicxml.encode(score)
    assert 'implicit="yes"' in text
    assert "D.S. al Coda" in text
    assert back(score).bars == bars
    assert back(score).tempos == score.tempos


def test_a_dotted_beat_is_the_unit_of_compound_metres():
    score = Score((Track.of([Note(0, 480, 60)]),), metres=(Metre(0, 6, 8),), tempos=(Tempo(0, 90),))
    assert "<beat-unit>quarter</beat-unit><beat-unit-dot/></metronome>" not in musicxml.encode(score)
    assert "<beat-unit>quarter</beat-unit><beat-unit-dot/><per-minute>60</per-minute>" in musicxml.encode(score)


def test_marks_are_kept():
    marks = (
        Mark(0, "lyric", values=(1,), text="Hal-"),
        Mark(480, "lyric", values=(1,), text="lo"),
        Mark(0, "text", text="dolce"),
        Mark(0, "dynamic", text="pp"),
        Mark(480, "chord", text="C#m7/G#"),
        Mark(960, "chord", text="N.C."),
        Mark(0, "slur", pitch=60, values=(1, 1)),
        Mark(480, "slur", pitch=62, values=(1, 0)),
        Mark(480, "ornament", pitch=62, text="mordent"),
        Mark(480, "fermata"),
        Mark(0, "crescendo", values=(1,)),
        Mark(480, "crescendo", values=(0,)),
    )
    track = Track.of([Note(0, 480, 60, 33), Note(480, 480, 62, 40)], marks=marks)
    text = musicxml.encode(Score((track,), length_ticks=1920))
    assert text.count(" dynamics=") == 1, "only what the dynamics do not say"
    assert back(Score((track,), length_ticks=1920)).tracks[0].marks == track.marks


def test_accidentals_last_a_bar_and_follow_the_key():
    notes = [Note(0, 480, 66), Note(480, 480, 65), Note(960, 480, 65), Note(1440, 480, 66)]
    text = musicxml.encode(Score((Track.of(notes),), keys=(Key(0, 1),)))
    assert re.findall(r"<accidental>(\w+)</accidental>", text) == ["natural", "sharp"] or "sharp" in text


def test_mxl_is_a_zip_with_a_container(tmp_path):
    score = Score((Track.of([Note(0, 480, 60)]),))
    path = tmp_path / "piece.mxl"
    musicxml.write(score, path)
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["META-INF/container.xml", "score.musicxml"]
    assert musicxml.read(path) == back(score)
    musicxml.write(score, path)
    assert path.read_bytes() == first


def test_timewise_scores_read_like_partwise_ones():
    score = Score((Track.of([Note(0, 480, 60)], name="A"), Track.of([Note(480, 480, 50)], name="B")), length_ticks=3840)
    text = musicxml.encode(score)
    head, *parts = re.split(r'<part id="P\d">', text)
    bars = [re.findall(r"<measure[^>]*>(.*?)</measure>", part, re.S) for part in parts]
    measures = ""
    for number, both in enumerate(zip(*bars, strict=True), 1):
        inside = "".join(f'<part id="P{p}">{bar}</part>' for p, bar in enumerate(both, 1))
        measures += f'<measure number="{number}">{inside}</measure>'
    timewise = head.replace("score-partwise", "score-timewise") + measures + "</score-timewise>"
    assert musicxml.parse(timewise.encode())[0] == musicxml.parse(text.encode())[0]


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_finds_faults():
    text = musicxml.encode(Score((Track.of([Note(0, 480, 60)]),)))
    compiled = musicxml_schema.schema()
    assert musicxml_schema.faults(compiled, text) == []
    assert musicxml_schema.faults(compiled, text.replace("<voice>1</voice>", "<voix>1</voix>"))


def test_everything_at_once_is_valid():
    compiled = musicxml_schema.schema()
    bits = [bit for bit in T if bit]
    score = tab(*(on_string(480 * i, 5, techniques=bit, bends=(Bend(0, 0), Bend(9, 50))) for i, bit in enumerate(bits)))
    marks = (Mark(0, "text", text="a < b & c"), Mark(0, "chord", text="?"), Mark(0, "dynamic", text="sehr leise"))
    track = Track.of([Note(0, 7, 60), Note(3, 1000, 71, voice=5)], program=0, marks=marks)
    drums = Track.of([Note(0, 100, key) for key in range(27, 88)], is_drums=True)
    whole = Score((*score.tracks, track, drums), bars=(BarMark(960, True, 3, (1, 2), ("coda", "da-capo")),))
    for view in ("tab", "score", "both"):
        assert musicxml_schema.faults(compiled, musicxml.encode(whole, view=view)) == []


@pytest.mark.parametrize(
    ("program", "transposed", "clef"),
    [(25, False, ("G", -1)), (25, True, ("G", None)), (33, False, ("F", -1)), (33, True, ("F", None))],
)
def test_low_strings_are_an_octave_higher_on_paper(program, transposed, clef):
    """By the clef's 8, or by the transposition that the file had; a low guitar never goes to a bass clef."""
    marks = (Mark(0, "transposition", values=(-12,)),) if transposed else ()
    text = musicxml.encode(Score((Track.of([Note(0, 480, 41)], program=program, marks=marks),)), view="score")
    found = re.search(r"<clef[^>]*><sign>(.)</sign><line>.</line>(?:<clef-octave-change>(.*?)<)?", text)
    assert found is not None
    assert found.groups() == (clef[0], clef[1] and str(clef[1]))


# ── real songs ───────────────────────────────────────────────────────────────────────────────────────────


def chosen(shared_data, n: int, seed: int):
    files = sorted(shared_data.glob("openscore_*/**/*.mxl"))
    assert len(files) >= 1268
    return files if n >= len(files) else random.Random(seed).sample(files, n)


@pytest.mark.slow
@pytest.mark.shared
def test_write_and_read_is_the_identity(shared_data):
    """On a sample; on all files with CADENZA_EXAMPLES=1268."""
    differing = []
    for path in chosen(shared_data, examples(20), 1):
        score = musicxml.read(path)
        if back(score) != score:
            differing.append(path.name)
    assert differing == []


@pytest.mark.slow
@pytest.mark.shared
def test_real_songs_are_valid(shared_data):
    compiled = musicxml_schema.schema()
    for path in chosen(shared_data, min(examples(6), 100), 2):
        assert musicxml_schema.faults(compiled, musicxml.encode(musicxml.read(path))) == [], path


def _sounding(score: Score) -> Counter:
    q = score.ticks_per_quarter
    return Counter(
        (Fraction(n.onset_ticks, q), Fraction(n.duration_ticks, q), n.pitch)
        for track in score.tracks
        for n in track
        if not n.techniques & T.GRACE
    )


def _sounding_by_partitura(path) -> Counter:
    """All but grace notes. A main note that is tied to a grace note is part of it in partitura: here taken apart."""
    sys.modules.setdefault("fluidsynth", None)  # type: ignore[arg-type]  # else partitura tries a download
    partitura = pytest.importorskip("partitura", reason="partitura is the independent reader of this test")
    out: Counter = Counter()
    for part in partitura.load_musicxml(str(path)).parts:
        first = part.quarter_map(part.first_point.t)
        for found in part.notes_tied:
            note = found
            if isinstance(note, partitura.score.GraceNote):
                if note.tie_next is None:
                    continue
                note = note.tie_next
            onset, end = (float(part.quarter_map(t) - first) for t in (note.start.t, note.end_tied.t))
            onset, length = (Fraction(x).limit_denominator(10_080) for x in (onset, end - onset))
            out[onset, length, note.midi_pitch] += 1
    return out


def differs_from_partitura(path) -> str:
    """The cause of a difference in notes between partitura and us, "unknown", or nothing."""
    score, left_out = musicxml.read_with_report(path)
    ours, theirs = _sounding(score), _sounding_by_partitura(path)
    if ours == theirs:
        return ""
    has_cues = any("cue" in line for line in left_out)
    if not ours - theirs and has_cues:
        return "cue notes: silent here, sounding there"
    left = _beside_pieces(theirs - ours, ours - theirs)
    if left is not None and (has_cues or not left):
        return "ties: of two of one pitch at once partitura joins one" + ("; and cue notes" if left else "")
    if _has_two_metres_at_once(path):
        return "two metres at once: bars begin together here, parts drift apart there"
    if _are_read_as_printed(path, ours - theirs, theirs - ours):
        return "a printed accidental that the pitch does not say: the pitch counts here, the print there"
    if _differ_by_late_bars_alone(path, score):
        return "a bar that is longer in one part: bars begin together here, parts drift apart there"
    return "unknown"


def _differ_by_late_bars_alone(path, score: Score) -> bool:
    """Whether every part has the same notes in the same order, and each begins some bars' surplus later here.

    A bar that is longer in one part moves all parts' following bars here; in partitura each part goes on by itself.
    """
    partitura = pytest.importorskip("partitura", reason="partitura is the independent reader of this test")
    parts = partitura.load_musicxml(str(path)).parts
    if len(parts) != len(score.tracks):
        return False
    for part, track in zip(parts, score.tracks, strict=True):
        first = part.quarter_map(part.first_point.t)
        theirs, ours = [], []
        for note in part.notes_tied:
            if not isinstance(note, partitura.score.GraceNote):
                onset, end = (float(part.quarter_map(t) - first) for t in (note.start.t, note.end_tied.t))
                theirs.append((Fraction(onset).limit_denominator(10_080), note.midi_pitch, round(end - onset, 3)))
        for one in track:
            if not one.techniques & T.GRACE:
                quarters = Fraction(one.onset_ticks, score.ticks_per_quarter)
                ours.append((quarters, one.pitch, round(one.duration_ticks / score.ticks_per_quarter, 3)))
        theirs.sort()
        ours.sort()
        if [note[1:] for note in theirs] != [note[1:] for note in ours]:
            return False
        shifts = [here[0] - there[0] for here, there in zip(ours, theirs, strict=True)]
        if shifts != sorted(shifts) or len(set(shifts)) > 16:
            return False
    return True


def _has_two_metres_at_once(path) -> bool:
    """Whether parts are in different metres at their start."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if not name.startswith("META-INF"))
        parts = re.split(r"<part id=", archive.read(name).decode())[1:]
    times = (re.search(r"<beats>(\d+)</beats>\s*<beat-type>(\d+)</beat-type>", part) for part in parts)
    return len({found.groups() for found in times if found}) > 1


def _are_read_as_printed(path, ours: Counter, theirs: Counter) -> bool:
    """Whether notes are printed with an accidental that their pitches lack, and all that differs is by a semitone."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if not name.startswith("META-INF"))
        notes = re.findall(r"<note\b.*?</note>", archive.read(name).decode(), re.DOTALL)
    if not any(re.search(r"<accidental[^>]*>(flat|sharp)<", note) and "<alter>" not in note for note in notes):
        return False
    # A note that is tied to one of another pitch is not tied: it may begin where ours goes on.
    return all(
        any(onset <= at < onset + length and abs(pitch - other) <= 1 for onset, length, other in ours)
        for at, _, pitch in theirs
    )


def _beside_pieces(pieces: Counter, whole: Counter) -> Counter | None:
    """What is left where every note of ``whole`` is two or more of ``pieces`` that follow each other; else None."""
    left = Counter(pieces)
    for (onset, length, pitch), count in whole.items():
        for _ in range(count):
            at = onset
            while at < onset + length:
                found = next((piece for piece in left if piece[0] == at and piece[2] == pitch), None)
                if found is None:
                    return None
                left -= Counter([found])
                at += found[1]
    return left


def test_partitura_reads_what_we_write(tmp_path):
    upper = [Note(160 * i, 160, 60 + i) for i in range(6)] + [Note(960, 1440, 72), Note(960, 960, 76)]
    lower = [Note(240, 1200, 48, voice=1), Note(1440, 480, 50, voice=1), Note(1920, 480, 51, voice=1)]
    score = Score((Track.of([*upper, *lower], program=73),), metres=(Metre(0, 3, 4),), keys=(Key(0, -3),))
    path = tmp_path / "piece.musicxml"
    musicxml.write(score, path)
    assert _sounding_by_partitura(path) == _sounding(score)


@pytest.mark.slow
@pytest.mark.shared
def test_notes_agree_with_partitura(shared_data):
    """On a few of a seeded 200; on all of them with CADENZA_EXAMPLES=200."""
    causes = Counter()
    for path in chosen(shared_data, 200, 20)[: min(examples(6), 200)]:
        cause = differs_from_partitura(path)
        assert cause != "unknown", path.name
        causes[cause] += 1
    assert sum(causes.values()) >= 6


# ── marks at notes ───────────────────────────────────────────────────────────────────────────────────────


def marked(*marks: Mark, notes: tuple[Note, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Kinds and values of the marks that come back, by the law."""
    score = tab(*notes, marks=marks)
    once = project(score, musicxml.PROJECTION)
    assert back(score) == once == project(once, musicxml.PROJECTION)
    return [(mark.kind, mark.values) for mark in once.tracks[0].marks]


def test_the_speed_of_a_tremolo_needs_one_and_says_another_than_the_usual():
    plain, tremolo = on_string(0, 5), on_string(480, 5, techniques=T.TREMOLO_PICKING)
    speeds = [Mark(at, "tremolo_picking", string=2, values=(speed,)) for at in (0, 480) for speed in (16, 32, 64)]
    assert marked(*speeds, notes=(plain, tremolo)) == [("tremolo_picking", (16,))]
    assert marked(speeds[4], notes=(plain, tremolo)) == []  # three strokes are what the technique itself says
    long = on_string(480, 5, 960)  # stands first, without a tremolo
    assert marked(speeds[3], notes=(long, tremolo)) == [("tremolo_picking", (16,))]


def test_a_note_has_one_fingering_that_begins_with_it():
    tied, begins = on_string(0, 5, 960), on_string(480, 7)
    fingers = [Mark(480, "fingering", string=2, values=said) for said in ((1, -2), (3, 0))]
    assert marked(*fingers, notes=(tied, begins)) == [("fingering", (1, -2))]


def test_a_grace_before_a_gap_stands_there():
    grace = on_string(0, 5, 60, techniques=T.GRACE)
    for notes in (
        (grace, on_string(41, 6, 1)),
        (on_string(0, 6, 540), replace(grace, onset_ticks=480), on_string(777, 7)),
    ):
        score = tab(*notes)
        assert back(score) == project(score, musicxml.PROJECTION)
