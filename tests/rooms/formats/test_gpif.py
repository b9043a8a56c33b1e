"""Guitar Pro 6–8: containers, records and beats, on documents made here."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats import gpif
from cadenza.score.model import (
    CONTROL_DTYPE,
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
from cadenza.score.written import BEAT_DTYPE, Mark
from tests import fuzz_gpif, fuzz_seeds

GUITAR = STANDARD_TUNINGS["guitar"]


def read_document(tmp_path: Path, **sections: str) -> Score:
    path = tmp_path / "piece.gpx"
    path.write_bytes(fuzz_gpif.bcfs(fuzz_gpif.gpif(**sections)))
    return formats.read(path)


def back(score: Score, tmp_path: Path) -> Score:
    path = tmp_path / "piece.gp"
    formats.write(score, path)
    return formats.read(path)


def tab(*notes: Note, **fields: object) -> Score:
    return Score((Track.of(notes, tuning=GUITAR, **fields),), 960)


def plain(string: int, fret: int, onset: int = 0, duration: int = 960, **fields: object) -> Note:
    return Note(onset, duration, GUITAR[string - 1] + fret, 95, string=string, fret=fret, **fields)  # type: ignore[arg-type]


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pack", [fuzz_gpif.zipped, fuzz_gpif.bcfs, lambda data: fuzz_gpif.bcfz(fuzz_gpif.bcfs(data))])
@pytest.mark.parametrize("suffix", ["gp", "gpx"])
def test_the_container_is_known_by_its_content(tmp_path, pack, suffix):
    path = tmp_path / f"piece.{suffix}"
    path.write_bytes(pack(fuzz_gpif.gpif()))
    (track,) = formats.read(path).tracks
    assert [(n.onset_ticks, n.pitch, n.string, n.fret) for n in track] == [(0, 43, 6, 3)]


def test_compression_copies_and_literals(tmp_path):
    text = fuzz_gpif.document(fuzz_seeds.band())
    path = tmp_path / "piece.gpx"
    packed = fuzz_gpif.bcfz(fuzz_gpif.bcfs(text))
    path.write_bytes(packed)
    assert formats.read(path) == formats.read(_written(tmp_path, fuzz_seeds.band()))


def _written(tmp_path: Path, score: Score) -> Path:
    path = tmp_path / "same.gp"
    formats.write(score, path)
    return path


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"FICHIER GUITAR PRO v5.10", "Guitar Pro 6–8"),
        (fuzz_gpif.zipped(b"<GPIF/>", "score.gpif"), "Content/score.gpif in the zip"),
        (fuzz_gpif.bcfs(b"<GPIF/>", b"misc.xml"), "score.gpif in the file"),
        (fuzz_gpif.bcfz(b"no file system"), "BCFS"),
        (fuzz_gpif.bcfs(b"<score-partwise/>"), "GPIF document"),
        (fuzz_gpif.bcfs(fuzz_gpif.gpif(Beats='<Beat id="0"><Rhythm ref="7"/></Beat>')), "no rhythm '7'"),
        (
            fuzz_gpif.bcfs(fuzz_gpif.gpif(Rhythms='<Rhythm id="0"><NoteValue>Third</NoteValue></Rhythm>')),
            "a note value",
        ),
    ],
)
def test_what_is_no_score_is_said(tmp_path, data, message):
    path = tmp_path / "piece.gpx"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message):
        formats.read(path)


def test_limits_hold(tmp_path):
    path = tmp_path / "piece.gp"
    path.write_bytes(fuzz_gpif.zipped(fuzz_gpif.gpif()))
    with pytest.raises(LimitError, match="unpacked_bytes"):
        gpif.read(path, Limits(unpacked_bytes=100))
    with pytest.raises(LimitError, match="notes"):
        gpif.read(path, Limits(notes=0))


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

THREE = "".join(f'<Beat id="{n}"><Rhythm ref="0"/><Notes>0</Notes>{{{n}}}</Beat>' for n in range(3))
VOICE = '<Voice id="0"><Beats>0 1 2</Beats></Voice>'


@pytest.mark.parametrize(
    ("where", "times"),
    [
        (1, [(0, 840), (840, 120), (960, 960)]),  # before the second beat
        (0, [(0, 120), (120, 840), (960, 960)]),  # nothing lends before tick 0
    ],
)
def test_grace_notes_take_time(tmp_path, where, times):
    said = ["", "", ""]
    said[where] = "<GraceNotes>BeforeBeat</GraceNotes>"
    (track,) = read_document(tmp_path, Beats=THREE.format(*said), Voices=VOICE).tracks
    assert [(n.onset_ticks, n.duration_ticks) for n in track] == times
    assert [bool(n.techniques & Technique.GRACE) for n in track] == [n[1] == 120 for n in times]
    assert [m.values for m in track.marks if m.kind == "grace"] == [(32, int(where == 0), 0, 0)]


def test_a_bend_spreads_over_tied_notes(tmp_path):
    bend = fuzz_gpif._bend(100)
    notes = fuzz_gpif._note(bend) + fuzz_gpif._note(head='<Tie destination="true"/>').replace('id="0"', 'id="1"')
    beats = '<Beat id="0"><Rhythm ref="0"/><Notes>0</Notes></Beat><Beat id="1"><Rhythm ref="0"/><Notes>1</Notes></Beat>'
    (track,) = read_document(
        tmp_path, Notes=notes, Beats=beats, Voices='<Voice id="0"><Beats>0 1</Beats></Voice>'
    ).tracks
    assert [(n.duration_ticks, n.bends) for n in track] == [(1920, (Bend(0, 0), Bend(1920, 200)))]


def test_a_hammer_on_leads_to_a_note_or_is_a_mark(tmp_path):
    hammer = '<Property name="HopoOrigin"><Enable/></Property>'
    (track,) = read_document(
        tmp_path, Notes=fuzz_gpif._note(hammer), Beats=THREE.format("", "", ""), Voices=VOICE
    ).tracks
    assert [bool(n.techniques & Technique.HAMMER) for n in track] == [True, True, False]
    assert [(m.onset_ticks, m.values) for m in track.marks if m.kind == "dangling"] == [
        (1920, (int(Technique.HAMMER),))
    ]


def test_drums_of_guitar_pro_6_and_7(tmp_path):
    drum = '<Property name="{}"><{}>{}</{}></Property>'
    six = "".join(drum.format(name, name, value, name) for name, value in (("Element", 10), ("Variation", 2)))
    tracks = '<Track id="0"><GeneralMidi table="Percussion"/></Track>'
    (track,) = read_document(
        tmp_path, Tracks=tracks, Notes=f'<Note id="0"><Properties>{six}</Properties></Note>'
    ).tracks
    assert track.is_drums
    assert [n.pitch for n in track] == [46]
    articulation = "<Articulation><OutputMidiNumber>{}</OutputMidiNumber></Articulation>"
    kit = f"<Elements>{articulation.format(36)}{articulation.format(49)}</Elements>"
    tracks = f'<Track id="0"><InstrumentSet><Type>drumKit</Type>{kit}</InstrumentSet></Track>'
    for number, key in ((1, 49), (92, 46)):  # a place in the list; beyond it Guitar Pro's own number
        notes = f'<Note id="0"><InstrumentArticulation>{number}</InstrumentArticulation></Note>'
        (track,) = read_document(tmp_path, Tracks=tracks, Notes=notes).tracks
        assert [n.pitch for n in track] == [key]


def test_tempos_within_a_bar_and_in_other_units(tmp_path):
    change = "<Automation><Type>Tempo</Type><Bar>0</Bar><Position>{}</Position><Value>{}</Value></Automation>"
    changes = change.format(0, "90 2") + change.format(0.625, "70 3") + change.format(0.75, "80.5 1")
    score = read_document(tmp_path, MasterTrack=f"<Tracks>0</Tracks><Automations>{changes}</Automations>")
    # 70 dotted quarters are 105 quarters, 80.5 eighths 40.25.
    assert score.tempos == (Tempo(0, 90.0), Tempo(2400, 105.0), Tempo(2880, 40.25))


def test_lyrics_of_a_whole_track_find_their_notes(tmp_path):
    tuning = '<Properties><Property name="Tuning"><Pitches>40 45 50 55 59 64</Pitches></Property></Properties>'
    lyrics = "<Lyrics><Line><Text>[verse] Hal-le+lu jah</Text><Offset>0</Offset></Line></Lyrics>"
    (track,) = read_document(
        tmp_path, Tracks=f'<Track id="0">{tuning}{lyrics}</Track>', Beats=THREE.format("", "", ""), Voices=VOICE
    ).tracks
    said = [(m.onset_ticks, m.text, m.values) for m in track.marks if m.kind == "lyric"]
    assert said == [(0, "Hal-", (1,)), (960, "le lu", (1,)), (1920, "jah", (1,))]


def test_an_upbeat_is_as_long_as_its_notes(tmp_path):
    bars = "<MasterBar><Time>4/4</Time><Bars>0</Bars></MasterBar>" * 2
    score = read_document(tmp_path, MasterTrack="<Tracks>0</Tracks><Anacrusis/>", MasterBars=bars)
    assert [n.onset_ticks for n in score.tracks[0]] == [0, 960]
    assert score.bars == (BarMark(960),)
    assert score.length_ticks == 960 + 3840
    assert back(score, tmp_path).bars == score.bars


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_written_file_is_whole(tmp_path):
    """Every id that is named is there, each bar has four voices, each beat a rhythm."""
    path = tmp_path / "band.gp"
    formats.write(fuzz_seeds.band(), path)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("VERSION") == b"7.0"
        root = ET.fromstring(archive.read("Content/score.gpif"))
    ids = {
        tag: [e.get("id") for e in root.findall(f"{tag}/*")] for tag in ("Bars", "Voices", "Beats", "Notes", "Rhythms")
    }
    for tag, names in ids.items():
        assert len(names) == len(set(names)) > 0, tag
    bars = [(bar.findtext("Bars") or "").split() for bar in root.findall("MasterBars/MasterBar")]
    assert sorted(name for names in bars for name in names) == sorted(ids["Bars"])
    assert {len(names) for names in bars} == {len(root.findall("Tracks/Track/Staves/Staff"))}
    for bar in root.findall("Bars/Bar"):
        voices = (bar.findtext("Voices") or "").split()
        assert len(voices) == 4
        assert set(voices) <= {*ids["Voices"], "-1"}
    for voice in root.findall("Voices/Voice"):
        beats = (voice.findtext("Beats") or "").split()
        assert beats
        assert set(beats) <= set(ids["Beats"])
    for beat in root.findall("Beats/Beat"):
        assert beat.find("Rhythm").get("ref") in ids["Rhythms"]  # type: ignore[union-attr]
        assert set((beat.findtext("Notes") or "").split()) <= set(ids["Notes"])


def test_the_same_score_gives_the_same_bytes(tmp_path):
    for name in ("a.gp", "b.gp"):
        formats.write(fuzz_seeds.band(), tmp_path / name)
    assert (tmp_path / "a.gp").read_bytes() == (tmp_path / "b.gp").read_bytes()


def test_gpx_is_not_written(tmp_path):
    with pytest.raises(FormatError, match=r"cannot"):
        formats.write(Score(), tmp_path / "piece.gpx")
    with pytest.raises(FormatError, match=r"piece\.gp"):
        gpif.write(Score(), tmp_path / "piece.gpx")
    assert not list(tmp_path.iterdir())


def test_maps_come_back(tmp_path):
    capoed = Note(0, 960, GUITAR[0] + 5, 95, string=1, fret=3)
    score = Score(
        (Track.of([capoed], tuning=GUITAR, capo_fret=2, name="Ж <&> 旋律", program=29),),
        960,
        tempos=(Tempo(0, 100.5), Tempo(1234, 77.25), Tempo(5000, 240.0)),
        metres=(Metre(0, 7, 8), Metre(3360, 4, 4)),
        keys=(Key(0, -3, "minor"), Key(3360, 2)),
        bars=(
            BarMark(0, True),
            BarMark(3360, False, 3, (1, 2), ("segno",)),
            BarMark(7200, False, 0, (3,), ("da-segno-al-coda", "fine")),
        ),
        markers=(Marker(0, "Intro & more"), Marker(3360, "B")),
        title="T <1>",
        composer="C",
        length_ticks=11_040,
    )  # fmt: skip
    again = back(score, tmp_path)
    for name in ("tempos", "metres", "keys", "bars", "markers", "title", "composer", "length_ticks"):
        assert getattr(again, name) == getattr(score, name), name
    assert (again.tracks[0].name, again.tracks[0].capo_fret, again.tracks[0].program) == ("Ж <&> 旋律", 2, 29)
    assert list(again.tracks[0]) == list(score.tracks[0])


def test_marks_and_beats_come_back(tmp_path):
    marks = {
        Mark(0, "stroke", values=(2, 16)),
        Mark(0, "text", text="let <it> ring"),
        Mark(0, "chord", text='C"maj7'),
        Mark(0, "lyric", values=(2,), text="la"),
        Mark(0, "fermata"),
        Mark(0, "tremolo_bar", values=(0, -4, 0, 0, 0, 30, -4, 0, 60, 0, 0)),
        Mark(0, "ottava", values=(1,)),
        Mark(0, "fingering", string=1, values=(2, 0)),
        Mark(0, "trill", string=1, values=(3, 32)),
        Mark(1440, "pick_stroke", values=(1,)),
        Mark(1440, "wide_vibrato"),
        Mark(0, "transposition", values=(-12,)),
    }
    beats = np.array([(0, 1440, 0, 4, 1, 1, 1), (1440, 480, 0, 8, 0, 1, 1), (1920, 1920, 0, 2, 0, 1, 1)], BEAT_DTYPE)
    score = tab(
        plain(1, 3, 0, 1440, techniques=Technique.TRILL), plain(2, 5, 1440, 480), marks=tuple(marks), beats=beats
    )
    (track,) = back(score, tmp_path).tracks
    assert set(track.marks) == marks
    assert track.beats.tolist() == beats.tolist()


def test_four_voices_two_staves_and_the_pedal(tmp_path):
    notes = [plain(voice % 6 + 1, 2, 240 * voice, 480, voice=voice) for voice in range(8)]
    controls = np.array([(0, 64, 100), (500, 64, 10), (600, 7, 90)], CONTROL_DTYPE)
    (track,) = back(tab(*notes, controls=controls), tmp_path).tracks
    assert [(n.onset_ticks, n.voice) for n in track] == [(240 * voice, voice) for voice in range(8)]
    assert track.controls.tolist() == [(0, 64, 127), (500, 64, 0)]


def test_several_grace_notes_lead_to_one(tmp_path):
    grace = Technique.GRACE
    score = tab(
        plain(3, 0, 0, 840), plain(2, 1, 840, 60, techniques=grace), plain(1, 2, 900, 60, techniques=grace),
        plain(1, 5, 960, 960),
    )  # fmt: skip
    (track,) = back(score, tmp_path).tracks
    assert list(track) == list(score.tracks[0])


def test_harmonics_sound_their_partial(tmp_path):
    how = Technique.HARMONIC_ARTIFICIAL
    notes = [
        Note(960 * n, 960, 64 + 5 + above, 95, string=1, fret=5, techniques=how) for n, above in enumerate((12, 19, 24))
    ]
    natural = Note(2880, 960, 64 + 19, 95, string=1, fret=7, techniques=Technique.HARMONIC_NATURAL)
    score = tab(*notes, natural)
    assert list(back(score, tmp_path).tracks[0]) == list(score.tracks[0])
