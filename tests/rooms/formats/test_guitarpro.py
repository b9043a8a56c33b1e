"""Guitar Pro: what is written and read, case by case, and broken files."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import guitarpro
import pytest

from cadenza import formats
from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats.guitarpro import PROJECTION, read, write
from cadenza.score.edit import drop_written, project
from cadenza.score.model import (
    HARMONICS,
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
from cadenza.score.rhythm import spell
from cadenza.score.written import Mark

GUITAR = STANDARD_TUNINGS["guitar"]
ALL = [t for t in Technique if t and t is not Technique.GRACE]


def through(score: Score, folder: Path) -> Score:
    write(score, folder / "piece.gp5")
    return read(folder / "piece.gp5")


def riff() -> Score:
    """A bar of everything that a .gp5 file holds, as a .gp5 file holds it."""
    bends = (Bend(0, 0), Bend(480, 200), Bend(960, 100))
    notes = [
        Note(0, 960, 45, 95, bends, 6, 5, Technique.PALM_MUTE),
        Note(960, 1440, 52, 111, (), 5, 7, Technique.HAMMER | Technique.VIBRATO),
        Note(2400, 1440, 57, 79, (), 5, 12, Technique.LET_RING | Technique.SLIDE_OUT_DOWN),
        Note(2400, 3360, 74, 79, (), 3, 7, Technique.HARMONIC_NATURAL),
        Note(3840, 640, 40, 95, (), 6, 0, Technique.DEAD, 1),
    ]
    drums = [Note(0, 240, 36), Note(0, 480, 42), Note(960, 240, 38, 127)]
    return Score(
        (
            Track.of(notes, name="Guitar", program=30, tuning=GUITAR),
            Track.of([Note(0, 3840, 38, 95, (), 3, 3)], name="Bass", program=33, tuning=(43, 38, 33, 28), capo_fret=2),
            Track.of(drums, name="Drums", is_drums=True),
        ),
        960,
        tempos=(Tempo(0, 132.0), Tempo(4800, 90.0)),
        metres=(Metre(0, 4, 4), Metre(3840, 7, 8)),
        keys=(Key(0, -2, "minor"), Key(3840, 3)),
        bars=(BarMark(0, True), BarMark(3840, False, 3, (1, 2))),
        markers=(Marker(3840, "Outro"),),
        title="Riff",
        composer="Nobody",
        length_ticks=3840 + 3360,
    )


def sounding(score: Score) -> Score:
    return drop_written().apply(score)


def test_everything_comes_back(tmp_path: Path) -> None:
    score = riff()
    again = through(score, tmp_path)
    assert again == project(score, PROJECTION)
    assert sounding(again) == score  # all that is added says how it is written
    assert through(again, tmp_path) == again


def test_every_technique_comes_back(tmp_path: Path) -> None:
    pitches = [76 if technique & HARMONICS else 64 for technique in ALL]
    notes = [Note(960 * i, 960, pitches[i], 95, (), 1, 0, technique) for i, technique in enumerate(ALL)]
    score = Score((Track.of(notes, tuning=GUITAR),), 960)
    assert [n.techniques for n in through(score, tmp_path).tracks[0]] == ALL


ARTIFICIAL, NATURAL, TAPPED = Technique.HARMONIC_ARTIFICIAL, Technique.HARMONIC_NATURAL, Technique.HARMONIC_TAPPED


def harmonics(*notes: tuple[int, int, Technique], capo: int = 2) -> Score:
    """A score of (fret, semitones above it, kind) on the third string."""
    listed = [Note(960 * i, 960, 55 + capo + f + up, 95, (), 3, f, kind) for i, (f, up, kind) in enumerate(notes)]
    return Score((Track.of(listed, tuning=GUITAR, capo_fret=capo),), 960, length_ticks=-(-len(notes) // 4) * 3840)


def test_harmonics_keep_their_sounding_pitch_and_their_place(tmp_path: Path) -> None:
    free = [
        (fret, up, kind) for fret in (0, 5, 12) for up in (12, 19, 24, 28, 31, 34, 36) for kind in (ARTIFICIAL, TAPPED)
    ]
    octaves = [(4, 12, Technique.HARMONIC_PINCH), (6, 12, Technique.HARMONIC_SEMI)]
    natural = [(12, 0, NATURAL), (7, 12, NATURAL), (5, 19, NATURAL), (4, 24, NATURAL), (9, 19, NATURAL)]
    score = harmonics(*free, *octaves, *natural)
    assert list(through(score, tmp_path).tracks[0]) == list(score.tracks[0])


def test_intervals_that_no_file_can_say_move_to_the_nearest(tmp_path: Path) -> None:
    score = harmonics((3, 14, ARTIFICIAL), (3, 27, TAPPED), (3, 24, Technique.HARMONIC_PINCH), (5, 12, NATURAL))
    out = list(through(score, tmp_path).tracks[0])
    assert [n.pitch - 57 - n.fret for n in out] == [12, 28, 12, 19]
    assert [n.techniques for n in out] == [ARTIFICIAL, TAPPED, Technique.HARMONIC_PINCH, NATURAL]


def test_a_note_that_sounds_as_it_is_fretted_is_no_harmonic(tmp_path: Path) -> None:
    out = through(harmonics((3, 0, ARTIFICIAL), (5, 0, NATURAL)), tmp_path).tracks[0]
    assert [(n.pitch, n.fret, n.techniques) for n in out] == [(60, 3, Technique.NONE), (62, 5, Technique.NONE)]


def test_a_harmonic_without_a_place_keeps_its_pitch(tmp_path: Path) -> None:
    score = Score((Track.of([Note(0, 960, 76, techniques=ARTIFICIAL)], tuning=GUITAR),), 960)
    (note,) = through(score, tmp_path).tracks[0]
    assert (note.pitch, note.techniques) == (76, Technique.NONE)
    assert GUITAR[note.string - 1] + note.fret == 76


def test_a_harmonic_beyond_midi_is_read_as_fretted(tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    write(Score((Track.of([Note(0, 960, 120, 95, (), 1, 20, ARTIFICIAL)], tuning=(88, 83)),), 960), path)
    song = guitarpro.parse(str(path))
    note = song.tracks[0].measures[0].voices[0].beats[0].notes[0]
    note.effect.harmonic = guitarpro.ArtificialHarmonic(guitarpro.PitchClass(0), guitarpro.Octave.quindicesima)
    guitarpro.write(song, str(path))
    assert [(n.pitch, n.techniques) for n in read(path).tracks[0]] == [(108, Technique.NONE)]


@pytest.mark.parametrize("transition", [Technique.NONE, Technique.HAMMER, Technique.SLIDE_LEGATO, Technique.DEAD])
def test_grace_notes_come_back(transition: Technique, tmp_path: Path) -> None:
    notes = [
        Note(0, 840, 60, 95, (), 2, 1),
        Note(840, 120, 60, 95, (), 2, 1, Technique.GRACE | transition),  # before the beat
        Note(960, 960, 62, 95, (), 2, 3),
        Note(1920, 120, 60, 95, (), 2, 1, Technique.GRACE | transition),  # on the beat
        Note(2040, 840, 62, 95, (), 2, 3),
    ]
    score = Score((Track.of(notes, tuning=GUITAR),), 960)
    assert list(through(score, tmp_path).tracks[0]) == list(score.tracks[0])
    song = guitarpro.parse(str(tmp_path / "piece.gp5"))
    graces = [n.effect.grace for b in song.tracks[0].measures[0].voices[0].beats for n in b.notes]
    assert [g.isOnBeat for g in graces if g] == [False, True]


def test_endings_stand_where_guitar_pro_looks_for_them(tmp_path: Path) -> None:
    # With a new metre in the same bar four beam groups come before the endings, then the swing.
    score = Score((Track(tuning=GUITAR),), 960, metres=(Metre(0, 4, 4), Metre(3840, 3, 4)), length_ticks=6720)
    score = replace(score, bars=(BarMark(3840, endings=(1, 3)),))
    assert through(score, tmp_path).bars == score.bars
    data = (tmp_path / "piece.gp5").read_bytes()
    assert bytes([0x11, 3, 2, 2, 2, 2, 0b101, 0]) in data  # flags, numerator, beams, endings, swing


def test_a_piano_becomes_a_playable_tab(tmp_path: Path) -> None:
    notes = [Note(480 * i, 480, p) for i, chord in enumerate([(48, 64, 67, 72), (53, 65, 69)]) for p in chord]
    out = through(Score((Track.of(notes, name="Piano"),), 480), tmp_path).tracks[0]
    assert sorted(n.pitch for n in out) == sorted(n.pitch for n in notes)
    assert all(out.tuning[n.string - 1] + n.fret == n.pitch for n in out)


def test_performed_times_move_less_than_a_32nd(tmp_path: Path) -> None:
    rng = random.Random(0)
    notes = [Note(480 * i + rng.randrange(60), 300 + rng.randrange(100), 60 + i % 12) for i in range(64)]
    out = through(Score((Track.of(notes, tuning=GUITAR),), 480), tmp_path).tracks[0]
    assert len(out) == 64
    for ours, theirs in zip(notes, out, strict=True):
        assert abs(2 * ours.onset_ticks - theirs.onset_ticks) <= 30


def test_an_empty_score_can_be_written(tmp_path: Path) -> None:
    assert len(through(Score(), tmp_path).tracks) == 1


def test_forty_tracks_keep_their_programs(tmp_path: Path) -> None:
    score = Score(tuple(Track(program=i, tuning=GUITAR) for i in range(40)), 960)
    assert [t.program for t in through(score, tmp_path).tracks] == list(range(40))


def test_too_many_programs_are_refused(tmp_path: Path) -> None:
    score = Score(tuple(Track(program=i, tuning=GUITAR) for i in range(100)), 960)
    with pytest.raises(FormatError, match="programs"):
        write(score, tmp_path / "piece.gp5")


def test_an_unheard_of_metre_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="metre"):
        write(Score(metres=(Metre(0, 1, 128),)), tmp_path / "piece.gp5")


def test_spelling_prefers_few_plain_durations() -> None:
    pieces = spell([960, 2400], 0, 3840)
    assert pieces is not None
    assert [(p.length.value, p.length.dotted, p.length.enters) for p in pieces] == [(4, 0, 1), (4, 1, 1), (4, 1, 1)]
    pieces = spell([320, 640], 0, 960)
    assert pieces is not None
    assert [(p.length.value, p.length.enters) for p in pieces] == [(8, 3)] * 3
    assert spell([13], 0, 960) is None


# ── files that are not what they should be ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\3\4" + bytes(60), b"BCFZ" + bytes(60), b"MThd" + bytes(60), b"\x18FICHIER GUITAR PRO v9.99" + bytes(60)],
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"piece\.gp5"):
        read(path)


def test_limits_hold(tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    write(riff(), path)
    for limits in (Limits(notes=3), Limits(tracks=2), Limits(bars=1), Limits(file_bytes=100), Limits(quarters=3)):
        with pytest.raises(LimitError):
            read(path, limits)


def test_every_truncation_is_refused_or_read(tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    write(riff(), path)
    data = path.read_bytes()
    for size in range(0, len(data) - 1, 7):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            read(path)


def test_mutations_give_a_score_or_a_format_error_in_time(tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    write(riff(), path)
    data = path.read_bytes()
    rng = random.Random(7)
    refused = []
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(rng.choice([1, 2, 8])):
            at = rng.randrange(31, len(broken))
            if rng.random() < 0.3:
                broken[at : at + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\0\x80", b"\0\0\1\0"])
            else:
                broken[at] = rng.randrange(256)
        path.write_bytes(broken)
        start = time.process_time()
        try:
            read(path)
        except FormatError as error:
            refused.append(error.where)
        assert time.process_time() - start < 0.5
    assert 30 < len(refused) < 300
    assert all(str(path) in where for where in refused)


def test_texts_in_other_alphabets_do_not_stop_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "piece.gp5"
    write(Score((Track(name="XYZ", tuning=GUITAR),), 960), path)
    path.write_bytes(path.read_bytes().replace(b"XYZ", b"\x81\x8d\x8f"))
    assert read(path).tracks[0].name == "\ufffd" * 3


def test_listing_formats_does_not_import_pyguitarpro() -> None:
    code = "import sys, cadenza.formats.guitarpro; sys.exit('guitarpro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_still_offers_its_functions_after_use(tmp_path: Path) -> None:
    # A submodule called like a function would take its name the first time that it is imported.
    formats.write(riff(), tmp_path / "piece.gp5")
    assert sounding(formats.read(tmp_path / "piece.gp5")) == riff()
    formats.write(riff(), tmp_path / "again.gp5")
    assert sounding(formats.read(tmp_path / "again.gp5")) == riff()


def test_a_grace_goes_with_its_note_to_the_second_voice(tmp_path: Path):
    notes = [
        Note(840, 120, 69, 95, (), 1, 5, Technique.GRACE),
        Note(960, 960, 71, 95, (), 1, 7),
        Note(960, 1920, 72, 95, (), 1, 8),  # the longer of two on one string keeps the voice
    ]
    out = through(Score((Track.of(notes, tuning=GUITAR),), 960), tmp_path)
    assert out == project(Score((Track.of(notes, tuning=GUITAR),), 960), PROJECTION)
    assert {(note.fret, note.voice) for note in out.tracks[0]} == {(5, 1), (7, 1), (8, 0)}


# ── drum notes of one key that begin together: marks do not say of which they are ──


def kit(*notes: Note, marks: tuple[Mark, ...] = ()) -> Score:
    return Score((Track.of(notes, is_drums=True, marks=marks),), 960)


def says_again(score: Score, folder: Path) -> Score:
    """What the file says; written again it says the same."""
    out = through(score, folder)
    assert out == project(score, PROJECTION)
    assert project(out, PROJECTION) == out == through(out, folder)
    return out


def test_two_strokes_of_one_drum_keep_their_own_bends(tmp_path: Path):
    said = (6, 1, 6, 4, 0, 11, -4, 1, 50, -6, 1)
    short = Note(0, 160, 36, bends=(Bend(16, 200), Bend(29, -200), Bend(133, -300)))
    long = Note(0, 4000, 36, bends=(Bend(3266, 0),))
    out = says_again(kit(short, long, marks=(Mark(0, "bend", pitch=36, values=said),)), tmp_path)
    assert [mark.values for mark in out.tracks[0].marks] == [(1, 0, 49, 0, 0), said]


def test_a_mark_that_says_a_bend_to_the_nearest_sixtieth_is_kept(tmp_path: Path):
    said = (6, 4, 0, 0, 1, 7, 4, 1)
    note = Note(0, 400, 45, 95, (Bend(0, 0), Bend(46, 200)), 6, 5)  # 46.7 ticks of 400 are 7 of 60
    score = Score((Track.of([note], tuning=GUITAR, marks=(Mark(0, "bend", string=6, values=said),)),), 960)
    (mark,) = says_again(score, tmp_path).tracks[0].marks
    assert mark.values == said


def test_two_tied_strokes_of_one_drum_do_not_mix_what_their_ties_say(tmp_path: Path):
    ringing, short = Technique.LET_RING, Technique.LET_RING | Technique.STACCATO
    strokes = [Note(0, 4800, 36, techniques=how) for how in (ringing, short, Technique.NONE)]
    marks = (Mark(3840, "tied", pitch=36, values=(int(Technique.STACCATO),)),)
    out = says_again(kit(*strokes, marks=marks), tmp_path)
    assert sorted(int(note.techniques) for note in out.tracks[0]) == sorted(int(note.techniques) for note in strokes)


def test_two_bent_graces_of_one_drum_do_not_mix(tmp_path: Path):
    grace = [Note(840, 120, 36, techniques=Technique.GRACE | how) for how in (Technique.NONE, Technique.SLIDE_LEGATO)]
    strokes = [Note(960, 960, 36, 95), Note(960, 960, 36, 111)]
    marks = (Mark(960, "grace", pitch=36, values=(32, 0, 2, 0)),)
    out = says_again(kit(*grace, *strokes, marks=marks), tmp_path)
    assert {mark.values for mark in out.tracks[0].marks} == {(32, 0, 1, 0), (32, 0, 2, 0)}


def test_graces_of_two_drums_at_once_lead_to_the_same_ones_again(tmp_path: Path):
    grace = Technique.GRACE
    low = Note(3960, 3080, 36, 95, (Bend(3080, -150),), techniques=grace)  # leads to 39, whose beat then waits for 38
    out = says_again(
        kit(low, Note(7040, 120, 38, techniques=grace), Note(7040, 384, 39), Note(7160, 904, 38)), tmp_path
    )
    assert sorted(int(note.pitch) for note in out.tracks[0] if note.techniques & grace) == [36, 38]


def test_the_same_drum_above_and_below_another_stays_there(tmp_path: Path):
    marks = tuple(Mark(0, "row", pitch=key, values=(row,)) for row, key in enumerate((36, 38, 36), 1))
    out = says_again(kit(Note(0, 960, 36), Note(0, 960, 36, 111), Note(0, 960, 38), marks=marks), tmp_path)
    assert out.tracks[0].marks == marks[:1] + marks[2:] + marks[1:2]
