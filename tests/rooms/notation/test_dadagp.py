"""DadaGP tokens: instruments, tunings, ties, effects, the automaton, files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cadenza import formats
from cadenza.base.errors import ConfigError, FormatError, NotationError
from cadenza.formats import guitarpro
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.dadagp.grammar import fields_of_token
from cadenza.notation.dadagp.notation import artist_token
from cadenza.notation.dadagp.tables import FAMILY_OF_PROGRAM, round_tempo, waits
from cadenza.notation.grammar import END
from cadenza.score.edit import project
from cadenza.score.model import STANDARD_TUNINGS, BarMark, Bend, Metre, Note, Score, Technique, Tempo, Track
from cadenza.score.written import Mark

GUITAR, BASS = STANDARD_TUNINGS["guitar"], STANDARD_TUNINGS["bass"]
HEAD = ["artist:unknown", "downtune:0", "tempo:120", "start", "new_measure"]


def body(score: Score, **options: object) -> list[str]:
    """The tokens after the head."""
    lines = DadaGP(**options).encode(score).split("\n")  # type: ignore[arg-type]
    return lines[lines.index("start") + 1 :]


def guitar(*notes: Note, **fields: object) -> Track:
    return Track.of(notes, **{"program": 30, "tuning": GUITAR, **fields})  # type: ignore[arg-type]


def text(*tokens: str) -> str:
    return "\n".join((*HEAD, *tokens, "end"))


def test_families_of_programs():
    assert [FAMILY_OF_PROGRAM[n] for n in (0, 25, 30, 33, 40, 48, 81, 89, 97, 105, 120)] == [
        "leads", "clean", "distorted", "bass", "leads", "pads", "leads", "pads", "pads", "clean", "remove"
    ]  # fmt: skip


def test_waits_are_told_as_the_original_tells_them():
    assert waits(480) == ["wait:480"]
    assert waits(121) == ["wait:64", "wait:32", "wait:16", "wait:8", "wait:1"]
    assert waits(20080) == ["wait:16384", "wait:2048", "wait:1024", "wait:512", "wait:64", "wait:32", "wait:16"]


def test_tempos_are_tens_halves_to_even_ones():
    assert [round_tempo(t) for t in (125, 135, 3, 400)] == [120, 140, 10, 400]


def test_one_time_line_for_all_instruments():
    drums = Track.of([Note(0, 960, 36), Note(0, 960, 42), Note(960, 960, 38)], is_drums=True)
    bass = Track.of([Note(0, 3840, 31, string=4, fret=3)], program=33, tuning=BASS)
    score = Score((guitar(Note(0, 1920, 45, string=6, fret=5)), bass, drums), 960)
    assert body(score) == [
        "new_measure", "distorted0:note:s6:f5", "bass:note:s5:f3", "drums:note:36", "drums:note:42", "wait:960",
        "drums:note:38", "wait:960", "distorted0:rest", "drums:rest", "wait:1920", "end",
    ]  # fmt: skip


def test_drop_tunings_are_frets_below_the_nut_and_a_capo_is_none():
    low = guitar(Note(0, 3840, 38, string=6, fret=0), tuning=(64, 59, 55, 50, 45, 38))
    assert "distorted0:note:s6:f-2" in body(Score((low,), 960))
    capo = guitar(Note(0, 3840, 47, string=6, fret=5), capo_fret=2)
    assert "distorted0:note:s6:f7" in body(Score((capo,), 960))


def test_downtuning_is_told_once_and_where_it_differs():
    def track(down: int) -> Track:
        tuning = tuple(pitch + down for pitch in GUITAR)
        return guitar(Note(0, 3840, tuning[0], string=1, fret=0), tuning=tuning)

    lines = DadaGP().encode(Score((track(-2), track(-2), track(-4)), 960)).split("\n")
    assert lines[1:5] == ["downtune:-2", "tempo:120", "distorted2:downtune:-4", "start"]
    again = DadaGP().decode("\n".join(lines))
    assert [t.tuning[0] for t in again.tracks] == [62, 62, 60]


def test_other_tunings_are_told_as_they_are():
    open_g = (62, 59, 55, 50, 43, 38)
    score = Score((guitar(Note(0, 3840, 43, string=5, fret=0), tuning=open_g, program=25),), 960)
    lines = DadaGP().encode(score).split("\n")
    assert lines[3] == "clean0:tuning:62:59:55:50:43:38"
    (track,) = DadaGP().decode("\n".join(lines)).tracks
    assert track.tuning == open_g
    assert [(n.pitch, n.string, n.fret) for n in track] == [(43, 5, 0)]


def test_more_instruments_than_the_original_allows():
    basses = [Track.of([Note(0, 3840, 43, string=1, fret=0)], program=33, tuning=BASS) for _ in range(3)]
    cleans = [guitar(Note(0, 3840, 64, string=1, fret=0), program=24) for _ in range(4)]
    lines = body(Score((*basses, *cleans), 960))
    assert lines[1:-2] == [
        "bass:note:s2:f0", "bass1:note:s2:f0", "bass2:note:s2:f0",
        "clean0:note:s1:f0", "clean1:note:s1:f0", "clean2:note:s1:f0", "clean3:note:s1:f0",
    ]  # fmt: skip


def test_like_leads_share_one_line_a_string_at_a_time():
    high = guitar(Note(0, 3840, 64, string=1, fret=0), program=0)
    both = guitar(Note(0, 3840, 66, string=1, fret=2), Note(0, 3840, 59, string=2, fret=0), program=80)
    assert body(Score((high, both), 960)) == [
        "new_measure", "leads:note:s1:f0", "leads:note:s2:f0", "wait:3840", "end"
    ]  # fmt: skip


def test_sound_effects_are_left_out():
    assert body(Score((guitar(Note(0, 3840, 64, string=1, fret=0), program=122),), 960)) == ["new_measure", "end"]


def test_a_tie_has_the_fret_that_the_original_gives_it():
    score = Score((guitar(Note(0, 5760, 67, string=1, fret=3)),), 960, length_ticks=7680)
    assert body(score)[1:5] == ["distorted0:note:s1:f3", "wait:3840", "new_measure", "distorted0:note:s1:f0"]
    assert "distorted0:note:s1:f0" not in body(score, original=False)
    for original in (True, False):
        (note,) = DadaGP().decode(DadaGP(original=original).encode(score)).tracks[0]
        assert (note.fret, note.duration_ticks) == (3, 5760)


def test_effects_come_back():
    marks = (
        Mark(0, "stroke", values=(2, 64)),
        Mark(0, "trill", string=1, values=(3, 32)),
        Mark(960, "tremolo_bar", values=(6, -4, 0, 0, 0, 30, -4, 0, 60, 0, 0)),
        Mark(1920, "slap_effect", values=(2,)),
    )
    notes = [
        Note(0, 960, 64, 95, (), 1, 0, Technique.TRILL | Technique.PALM_MUTE),
        Note(960, 960, 64, 95, (Bend(0, 0), Bend(480, 200), Bend(960, 200)), 1, 0),
        Note(1920, 960, 76, 95, (), 1, 0, Technique.HARMONIC_ARTIFICIAL),
        Note(2880, 840, 65, 95, (), 1, 1, Technique.SLIDE_LEGATO),
        Note(3720, 120, 67, 95, (), 1, 3, Technique.GRACE | Technique.HAMMER),
        Note(3840, 960, 69, 95, (), 1, 5, Technique.DEAD),
    ]
    score = Score((guitar(*notes, marks=marks),), 960, tempos=(Tempo(0, 120), Tempo(960, 150)), length_ticks=7680)
    notation = DadaGP()
    assert body(score)[1:-1] == [
        "distorted0:note:s1:f0", "nfx:palm_mute", "nfx:trill:fret3", "param:duration120", "bfx:stroke:2:64", "wait:960",
        "distorted0:note:s1:f0", "nfx:bend:type1", "param:val0:vib0", "param:dur6", "param:val4:vib0", "param:dur6",
        "param:val4:vib0", "bfx:tremolo_bar:type6", "param:val0:vib0", "param:dur6", "param:val-4:vib0", "param:dur6",
        "param:val0:vib0", "bfx:tempo_change:150", "wait:960",
        "distorted0:note:s1:f0", "nfx:harmonic:2:pitch4:octave1", "wait:960",
        "distorted0:note:s1:f1", "nfx:slide:2", "wait:960", "new_measure",
        "distorted0:note:s1:f5", "nfx:dead", "nfx:grace:fret3", "param:duration32:dead0:beat0:transition3", "wait:960",
        "distorted0:rest", "wait:2880",
    ]  # fmt: skip
    again = notation.decode(notation.encode(score))
    assert list(again.tracks[0]) == notes
    assert [t.quarters_per_minute for t in again.tempos] == [120, 150]


def test_measures():
    bars = (BarMark(0, True, directions=("segno",)), BarMark(3840, False, 3, (1, 2), ("da-segno-al-coda",)))
    score = Score((guitar(Note(0, 7680, 64, string=1, fret=0)),), 960, bars=bars, metres=(Metre(3840, 6, 8),))
    lines = [line for line in body(score) if line.startswith(("new", "measure"))]
    assert lines == [
        "new_measure", "measure:repeat_open", "measure:direction:Segno",
        "new_measure", "measure:repeat_alternative:3", "measure:repeat_close:2", "measure:from_direction:DaSegnoalCoda",
        "new_measure",
    ]  # fmt: skip
    again = DadaGP().decode(DadaGP().encode(score))
    assert again.bars == bars
    assert [(m.onset_ticks, m.numerator, m.denominator) for m in again.metres] == [(0, 4, 4), (3840, 3, 4)]


def test_artists():
    assert artist_token("Gasté, Bernard") == "gaste_bernard"
    assert artist_token("V.p.c.f.V") == "vpcfv"
    assert artist_token("旋律") == ""
    lines = DadaGP(artist="composer").encode(Score(composer="The Band!")).split("\n")
    assert lines[0] == "artist:the_band!"
    with pytest.raises(ConfigError, match="composer"):
        DadaGP(artist="me")  # type: ignore[arg-type]


REFUSED = {
    "unknown token": ("clean0:nothing", "wait:960"),
    "unknown instrument": ("banjo0:rest", "wait:960"),
    "seventeenth": ("clean16:rest", "wait:960"),
    "string": ("clean0:note:s8:f0", "wait:960"),
    "string of a bass": ("bass:note:s7:f0", "wait:960"),
    "fret": ("clean0:note:s1:f100", "wait:960"),
    "beyond the last pitch": ("clean0:note:s1:f64", "wait:960"),
    "below the nut of a high string": ("clean0:note:s1:f-1", "wait:960"),
    "twice on a string": ("clean0:note:s1:f0", "clean0:note:s1:f1", "wait:960"),
    "rest beside a note": ("clean0:note:s1:f0", "clean0:rest", "wait:960"),
    "no wait": ("clean0:note:s1:f0",),
    "odd wait": ("clean0:rest", "wait:961"),
    "nothing waits": ("clean0:rest", "wait:0"),
    "effects out of order": ("clean0:note:s1:f0", "nfx:vibrato", "nfx:hammer", "wait:960"),
    "effect of a rest": ("clean0:rest", "nfx:vibrato", "wait:960"),
    "effect of no beat": ("bfx:fade_in", "wait:960"),
    "bend without points": ("clean0:note:s1:f0", "nfx:bend:type1", "wait:960"),
    "bend beyond its note": ("clean0:note:s1:f0", "nfx:bend:type1", "param:dur13", "param:val0:vib0", "wait:960"),
    "time without a value": ("clean0:note:s1:f0", "nfx:bend:type1", "param:dur3", "wait:960"),
    "grace without its parameters": ("clean0:note:s1:f0", "nfx:grace:fret3", "wait:960"),
    "half a token": ("clean0:note:s1", "wait:960"),
    "measure token too late": ("clean0:rest", "measure:repeat_open", "wait:960"),
    "measures without time": ("new_measure",),
    "measure off the grid": ("clean0:rest", "wait:32", "new_measure"),
    "after the end": ("end",),
    "drum key": ("drums:note:100", "wait:960"),
    "leading garbage": ("x" * 50, "wait:960"),
    "number of eleven digits": ("wait:10000000000",),
}


@pytest.mark.parametrize("tokens", REFUSED.values(), ids=REFUSED)
def test_what_is_not_well_formed_is_refused(tokens):
    with pytest.raises(NotationError, match="token"):
        DadaGP().decode(text(*tokens))


@pytest.mark.parametrize("lines", [[], ["artist:x"], HEAD[1:], HEAD, [*HEAD[:3], "tempo:10"], ["artist:"]])
def test_a_piece_needs_head_and_end(lines):
    with pytest.raises(NotationError):
        DadaGP().decode("\n".join(lines))


def test_the_state_offers_what_it_accepts():
    notation = DadaGP()
    whole = text("clean0:note:s6:f-2", "nfx:bend:type1", "param:dur3", "param:val4:vib0", "bfx:stroke:1:32", "wait:960")
    state = notation.grammar().begin()
    for field in notation.fields(whole):
        offered = [span for span in state.allowed() if span.kind == field.kind]
        assert offered, field
        if field.value.lstrip("-").isdecimal():
            assert any(span.low <= int(field.value) <= span.high for span in offered), field
        before = state.copy()
        state.feed(field)
        assert [s.kind for s in before.allowed()] != [s.kind for s in state.allowed()] or field.kind.startswith("param")
    assert [span.kind for span in state.allowed()] == [END]


def test_the_vocabulary_holds_the_fields_of_music():
    fields = set(DadaGP().vocabulary())
    score = Score((guitar(Note(0, 960, 64, 95, (Bend(0, 0), Bend(960, 100)), 1, 0, Technique.PALM_MUTE)),), 960)
    assert {str(field) for field in DadaGP().fields(DadaGP().encode(score))} <= fields


def test_swing_and_gradual_tempos_are_read_and_left_out():
    lines = text("measure:triplet_feel:1", "clean0:rest", "bfx:tempo_change:90", "bfx:tempo_interpolation", "wait:960")
    score = DadaGP().decode(lines)
    assert DadaGP().encode(score).split("\n")[4:] == [
        "new_measure", "clean0:rest", "bfx:tempo_change:90", "wait:960", "end"
    ]  # fmt: skip


def test_files(tmp_path: Path):
    score = Score((guitar(Note(0, 3840, 64, string=1, fret=0)),), 960)
    for name in ("piece.dadagp", "piece.gp5.tokens.txt"):
        formats.write(score, tmp_path / name)
        assert (tmp_path / name).read_text() == DadaGP().encode(score)
        assert formats.read(tmp_path / name) == DadaGP().decode(DadaGP().encode(score))
    with pytest.raises(FormatError, match=r"\.tokens\.txt"):
        formats.write(score, tmp_path / "notes.txt")
    (tmp_path / "notes.txt").write_text("Dear diary")
    with pytest.raises(FormatError, match="artist:"):
        formats.read(tmp_path / "notes.txt")
    (tmp_path / "piece.dadagp").write_bytes(b"artist:\xff")
    with pytest.raises(FormatError, match="UTF-8"):
        formats.read(tmp_path / "piece.dadagp")


def test_from_tokens_to_gp5_and_back(tmp_path: Path):
    tokens = text("clean0:note:s1:f3", "nfx:let_ring", "bfx:pick_stroke:2", "wait:1440", "clean0:rest", "wait:480")
    guitarpro.write(DadaGP().decode(tokens), tmp_path / "piece.gp5")
    assert DadaGP().encode(guitarpro.read(tmp_path / "piece.gp5")) == tokens


@pytest.mark.parametrize("token", ["param:val4:vib0nfx:slide:1", "wait:480wait:480", "nfx:bend:type1nfx:tie"])
def test_tokens_glued_together_are_none(token):
    with pytest.raises(NotationError, match="token"):
        fields_of_token(token)


def obeys_the_law(score: Score) -> Score:
    projected = project(score, DadaGP().projection)
    assert DadaGP().decode(DadaGP().encode(score)) == projected
    return projected


def test_a_bent_note_that_a_grace_leaves_no_time():
    notes = [
        Note(120, 269, 35, 111, techniques=Technique(4195328)), Note(360, 495, 7, 18, techniques=Technique.TAP),
        Note(480, 457, 62, 63, bends=(Bend(0, 0),)), Note(1161, 0, 58, 107, techniques=Technique(4456448), voice=3),
        Note(1200, 38, 35, 105, techniques=Technique(1050752), voice=1),
    ]  # fmt: skip
    obeys_the_law(Score((Track.of(notes, is_drums=True),), 32767))


def test_a_bar_of_many_quarters_has_a_metre_that_files_can_say():
    marks = (Mark(224, "overfull", pitch=50, values=(208,)),)
    track = Track.of([Note(120, 72, 58)], is_drums=True, marks=marks)
    found = obeys_the_law(Score((track,), 1, length_ticks=218))
    assert [(metre.numerator, metre.denominator) for metre in found.metres] == [(109, 2)]
