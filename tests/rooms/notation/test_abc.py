"""ABC: what the parser reads, what it says about what it cannot read, and how the writer writes."""

from __future__ import annotations

import random
import time

import pytest

from cadenza.base.errors import ConfigError, LimitError, NotationError, RangeError
from cadenza.base.limits import Limits
from cadenza.notation.abc import Abc, check, read_tunes
from cadenza.notation.abc.grammar import AbcState
from cadenza.notation.abc.pitches import key_name, parse_key
from cadenza.notation.abc.text import decode_bytes, escape, plain, unescape
from cadenza.notation.grammar import END, Field
from cadenza.score.edit import project
from cadenza.score.model import BarMark, Key, Marker, Metre, Note, Score, Technique, Tempo, Track
from cadenza.score.repeats import unfold

HEAD = "X:1\nT:Test\nM:4/4\nL:1/4\nK:C\n"


def tune(body: str, head: str = HEAD) -> Score:
    (found,) = read_tunes(head + body)
    return found.score


def notes(body: str, head: str = HEAD, track: int = 0) -> list[tuple[float, float, int]]:
    """(onset, duration, pitch) in quarters, in order of onset and pitch."""
    score = tune(body, head)
    quarter = score.ticks_per_quarter
    rows = score.tracks[track].notes
    return [(int(n["onset_ticks"]) / quarter, int(n["duration_ticks"]) / quarter, int(n["pitch"])) for n in rows]


def pitches(body: str, head: str = HEAD) -> list[int]:
    return [pitch for _, _, pitch in notes(body, head)]


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────


def test_letters_octaves_and_lengths():
    assert pitches("C, C c c' B,, b'") == [48, 60, 72, 84, 47, 95]
    assert [d for _, d, _ in notes("C C2 C/ C/2 C// C3/2 C3/")] == [1, 2, 0.5, 0.5, 0.25, 1.5, 1.5]


def test_accidentals_last_to_the_bar_line_in_their_octave():
    assert pitches("^F F f | F") == [66, 66, 77, 65]
    assert pitches("^F F f | F", "X:1\n%%propagate-accidentals pitch\nL:1/4\nK:C\n") == [66, 66, 78, 65]
    assert pitches("^F F", "X:1\n%%propagate-accidentals not\nL:1/4\nK:C\n") == [66, 65]
    assert pitches("F B _F ^^F =F", HEAD.replace("K:C", "K:D")) == [66, 71, 64, 67, 65]


def test_a_tie_carries_its_accidental_over_the_bar_line():
    assert notes("C3 ^F-|F F C2|") == [(0, 3, 60), (3, 2, 66), (5, 1, 65), (6, 2, 60)]


def test_ties_in_chords_and_over_bars():
    assert notes("[C-E]2 [CG]2|") == [(0, 4, 60), (0, 2, 64), (2, 2, 67)]
    assert notes("[CE]4-|[CE]4") == [(0, 8, 60), (0, 8, 64)]
    assert notes("C2-D2") == [(0, 2, 60), (2, 2, 62)]
    (found,) = read_tunes(HEAD + "C2-D2|")
    assert [str(p) for p in found.problems] == [
        "line 6, column 4: expected a note of pitch 60 after its tie, found another"
    ]


def test_chords_take_the_length_of_their_first_note():
    assert notes("[C2E2G]2 D") == [(0, 4, 60), (0, 4, 64), (0, 2, 67), (4, 1, 62)]


@pytest.mark.parametrize(
    ("text", "durations"),
    [
        ("(3CDE", [2 / 3] * 3),
        ("(3C2D", [4 / 3, 2 / 3]),
        ("(2CD", [1.5, 1.5]),
        ("(5:4:5CDEFG", [0.8] * 5),
        ("(3:2:2C2D E", [4 / 3, 2 / 3, 1]),
        ("(3::2CD E", [2 / 3, 2 / 3, 1]),
        ("(7:4:7CDEFGAB", [4 / 7] * 7),
    ],
)
def test_tuplets(text, durations):
    assert [d for _, d, _ in notes(text)] == pytest.approx(durations)


def test_tuplets_without_numbers_follow_the_metre():
    assert notes("(5CDEFG", HEAD.replace("4/4", "6/8"))[1][0] == pytest.approx(0.6)
    assert notes("(5CDEFG")[1][0] == pytest.approx(0.4)


def test_an_odd_tuplet_is_exact():
    score = tune("(7:4:7CDEFGAB")
    assert score.ticks_per_quarter == 960 * 7
    assert score.tracks[0].notes["duration_ticks"].tolist() == [3840] * 7


@pytest.mark.parametrize(
    ("text", "durations"),
    [("C>D", [1.5, 0.5]), ("C<D", [0.5, 1.5]), ("C>>D", [1.75, 0.25]), ("C2>D2", [3, 1]), ("[CE]>z", [1.5, 1.5])],
)
def test_broken_rhythm(text, durations):
    assert [d for _, d, _ in notes(text)] == durations


def test_grace_notes_come_before_their_note_and_take_no_time():
    score = tune("C {de}F2 {g}A")
    rows = score.tracks[0].notes
    graces = rows["techniques"] & int(Technique.GRACE) != 0
    assert rows["pitch"][~graces].tolist() == [60, 65, 69]
    assert rows["onset_ticks"][~graces].tolist() == [0, 960, 2880]
    assert rows["onset_ticks"][graces].tolist() == [720, 840, 2760]
    assert rows["duration_ticks"][graces].tolist() == [120] * 3


def test_rests_spacers_slurs_and_bars_of_rest():
    assert notes("C z2 (D | x) y C | Z2 | E") == [(0, 1, 60), (3, 1, 62), (5, 1, 60), (14, 1, 64)]


def test_decorations():
    score = tune('!ff!.C !mf!LD TE !fermata!F | "Gm"G "^slowly"A +accent+B H c')
    rows = score.tracks[0].notes
    assert rows["velocity"].tolist() == [111] + [79] * 7
    assert [Technique(int(t)) for t in rows["techniques"]] == [
        Technique.STACCATO, Technique.ACCENT, Technique.TRILL, 0, 0, 0, Technique.ACCENT, 0,
    ]  # fmt: skip
    assert [(m.kind, m.text) for m in score.tracks[0].marks] == [
        ("fermata", ""),
        ("chord", "Gm"),
        ("text", "slowly"),
        ("fermata", ""),
    ]


def test_own_symbols_and_unknown_decorations():
    (found,) = read_tunes("X:1\nU:u=!trill!\nL:1/4\nK:C\nuC !what!D !what!E|")
    assert found.score.tracks[0].notes["techniques"][0] == int(Technique.TRILL)
    assert [p.found for p in found.problems] == ["!what!"]


def test_lyrics():
    score = tune("C D E F | G2 A2 |\nw: Ah, hal-le lu | _ jah~men\nw: two\n")
    assert [(m.onset_ticks // 960, m.values, m.text) for m in score.tracks[0].marks] == [
        (0, (1,), "Ah,"), (0, (2,), "two"), (1, (1,), "hal-"), (2, (1,), "le"), (3, (1,), "lu"), (6, (1,), "jah men"),
    ]  # fmt: skip


# ── bars, keys, tempos ───────────────────────────────────────────────────────────────────────────────────


def test_repeats_and_endings():
    score = tune("|: C4 |1,3 D4 :|2 E4 || F4 :: G4 :|")
    assert [(m.onset_ticks // 3840, m.repeat_open, m.repeat_close, m.endings) for m in score.bars] == [
        (0, True, 0, ()), (1, False, 2, (1, 3)), (2, False, 0, (2,)), (3, False, 2, ()), (4, True, 2, ()),
    ]  # fmt: skip
    twice = unfold().apply(tune("|: C4 |1 D4 :|2 E4 |]"))
    assert twice.tracks[0].notes["pitch"].tolist() == [60, 62, 60, 64]
    assert [m.repeat_close for m in tune("|:: C4 ::|").bars] == [3]
    assert [m.endings for m in tune("C4 [1-2 D4 :| [3 E4 |]").bars] == [(1, 2), (3,)]


def test_an_upbeat_and_what_follows():
    score = tune("C | D4 | E4 |]")
    assert [m.onset_ticks for m in score.bars] == [960]
    assert check(HEAD + "C | D4 | E3 |]") == []


def test_bars_that_do_not_add_up():
    found = check(HEAD + "C4 | D3 | E5 | F2 | G2 | A2 || B2 |]\n")
    assert [(p.line, p.column, p.severity, p.expected, p.found) for p in found] == [
        (6, 9, "bar", "a bar of 4 quarters", "3 quarters"), (6, 14, "bar", "a bar of 4 quarters", "5 quarters"),
    ]  # fmt: skip
    assert len(tune("C4 | D3 | E5 |").tracks[0]) == 3  # to a reader no error


def test_metres_units_and_defaults():
    assert tune("C", "X:1\nM:C|\nK:C\n").metres == (Metre(0, 2, 2),)
    assert tune("C", "X:1\nM:(2+3)/8\nK:C\n").metres == (Metre(0, 5, 8),)
    assert tune("C", "X:1\nM:none\nK:C\n").metres == ()
    assert notes("C", "X:1\nM:2/4\nK:C\n")[0][1] == 0.25
    assert notes("C", "X:1\nM:3/4\nK:C\n")[0][1] == 0.5
    changed = tune("C4 | [M:3/4] D3 | [L:1/8] E6 |\nM:2/4\nC4|")
    assert changed.metres == (Metre(0, 4, 4), Metre(3840, 3, 4), Metre(9600, 2, 4))


@pytest.mark.parametrize(
    ("text", "quarters"),
    [
        ("1/4=120", 120),
        ("3/8=60", 90),
        ("120", 60),
        ("C3=40", 60),
        ("1/4 3/8=40", 100),
        ('"Allegro" 1/4=90', 90),
        ('1/2=66.5 "x"', 133),
    ],
)
def test_tempos(text, quarters):
    assert tune("C", f"X:1\nL:1/8\nQ:{text}\nK:C\n").tempos == (Tempo(0, quarters),)


def test_tempos_within_the_music_and_words_alone():
    score = tune('C [Q:1/4=90] D [Q:"Andante"] E')
    assert score.tempos == (Tempo(960, 90),)
    assert [m.text for m in score.tracks[0].marks] == ["Andante"]


@pytest.mark.parametrize(
    ("text", "fifths", "mode", "sharps"),
    [
        ("C", 0, "major", ""), ("Am", 0, "minor", ""), ("Eb", -3, "major", "_B_E_A"), ("F#m", 3, "minor", "^F^C^G"),
        ("D dor", 0, "minor", ""), ("G Mixolydian", 0, "major", ""), ("D Phr ^f", -2, "minor", "_B_E^F"),
        ("C# major", 7, "major", "^F^C^G^D^A^E^B"), ("A lydian", 4, "major", "^F^C^G^D"),
        ("C exp _b ^f", 0, "major", "_B^F"),
        ("Hp", 2, "major", "^F^C"), ("Bb clef=bass", -2, "major", "_B_E"), ("Bminor =c", 2, "minor", "^F"),
    ],
)  # fmt: skip
def test_keys(text, fifths, mode, sharps):
    key, _ = parse_key(text)
    said = {letter: sign for sign, letter in zip(sharps[::2], sharps[1::2], strict=True)}
    found = {"CDEFGAB"[i]: "^" if a > 0 else "_" for i, a in enumerate(key.alterations) if a}
    assert (key.fifths, key.mode, found) == (fifths, mode, said)


def test_every_key_is_named_as_it_is_read():
    for fifths in range(-7, 8):
        for mode in ("major", "minor"):
            key, rest = parse_key(key_name(fifths, mode))
            assert (key.fifths, key.mode, rest) == (fifths, mode, "")


def test_no_key_and_key_changes():
    assert tune("C", "X:1\nK:none\n").keys == ()
    assert tune("C4|[K:G]F4|\nK:Dm\nB4|").keys == (Key(0, 0), Key(3840, 1), Key(7680, -1, "minor"))


def test_parts_are_markers():
    score = tune("[P:A]C4|\nP:B\nD4|")
    assert score.markers == (Marker(0, "A"), Marker(3840, "B"))


# ── voices and instruments ───────────────────────────────────────────────────────────────────────────────


def test_voices_in_both_layouts():
    voices = 'V:1 name="First fiddle"\nV:2 clef=bass\n'
    apart = tune(voices + "V:1\nC4|D4|\nV:2\nE,4|F,4|\n")
    barwise = tune(voices + "[V:1]C4|\n[V:2]E,4|\n[V:1]D4|\n[V:2]F,4|\n")
    assert apart == barwise
    assert [t.name for t in apart.tracks] == ["First fiddle", ""]
    assert tune("[V:Alto]C4|").tracks[0].name == "Alto"


def test_a_voice_that_merges_joins_the_track_before_it():
    score = tune("V:1\nC4|\nV:2 merge\nE2G2|\nV:3\nC,4|\n")
    assert len(score.tracks) == 2
    assert score.tracks[0].notes["voice"].tolist() == [0, 1, 1]


def test_overlays():
    assert notes("C4 & E2 G2 | D4 |") == [(0, 4, 60), (0, 2, 64), (2, 2, 67), (4, 4, 62)]
    assert tune("C4 & E4-| D4 & E4|").tracks[0].notes["duration_ticks"].tolist() == [3840, 7680, 3840]


def test_instruments():
    head = "X:1\nL:1/4\nV:1\n%%MIDI program 40\nV:2\n%%MIDI channel 10\n%%MIDI drummap C 36\n"
    head += "V:3 transpose=-2\nV:4 octave=1\nK:C\n"
    score = tune("[V:1]C|\n[V:2]C|\n[V:3]C|\n[V:4]C|\n", head)
    assert [(t.program, t.is_drums) for t in score.tracks] == [(40, False), (0, True), (0, False), (0, False)]
    assert [int(t.notes["pitch"][0]) for t in score.tracks] == [60, 36, 58, 72]
    assert pitches("C", "X:1\n%%octave-default C5\nK:C\n") == [72]
    assert pitches("C", "X:1\nK:C treble-8\n") == [48]
    assert pitches("C [K:C treble] C", "X:1\n%%MIDI transpose 3\nK:C\n") == [63, 63]
    both = tune("[V:1]C|\n[V:2]C|", "X:1\n%%MIDI program 2 44\nK:C\n")
    assert [t.program for t in both.tracks] == [0, 44]


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_escapes():
    assert unescape(r"Caf\'e \"uber &eacute; \u00e9 \& \% \\ \cc \ss") == "Café über é é & % \\ ç ß".replace(
        '\\"u', "ü"
    )
    for text in ('100% \\ & "a"', "&eacute;", "\\'e", "Сюита 旋律"):
        assert unescape(escape(text, quoted=True)) == text
    assert plain(" a\n\tb\x00c\x85d\u2028e ") == "a bc d e"


def test_encodings():
    assert decode_bytes("T:Größe".encode()) == "T:Größe"
    assert decode_bytes("T:Größe".encode("latin-1")) == "T:Größe"
    assert decode_bytes("%%abc-charset iso-8859-5\nT:Сюита".encode("iso-8859-5")).endswith("Сюита")
    assert decode_bytes("%%abc-charset nonsense\nT:é".encode("latin-1")).endswith("é")
    assert decode_bytes(b"\xef\xbb\xbfX:1") == "X:1"


def test_books_comments_and_free_text():
    text = "%abc-2.1\nM:3/4\n\nfree text: C D E\n\nX:3\nT:One % not this\nK:C\nC3| % a comment\n"
    text += "%%begintext\nC D E\n%%endtext\nD3|\n\nmore\n\nX:9\nT:Two\nK:G\nF3|\n"
    one, two = read_tunes(text)
    assert [one.number, two.number] == [3, 9]
    assert [one.score.title, two.score.title] == ["One", "Two"]
    assert one.score.metres == two.score.metres == (Metre(0, 3, 4),)
    assert one.score.tracks[0].notes["pitch"].tolist() == [60, 62]


# ── errors and repairs ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "place", "expected", "found"),
    [
        ("C D # \x01", "line 6, column 7", "music", "'\\x01'"),
        ("C0", "line 6, column 1", "a length", "'0'"),
        ("[CE", "line 6, column 3", "']'", "the end of the line"),
        ("C ]", "line 6, column 3", "music", "']'"),
        ("{cd", "line 6, column 3", "'}'", "the end of the line"),
        ("> C", "line 6, column 1", "> or < between", "'>'"),
        ("C>|D", "line 6, column 3", "a note after", "a bar line"),
        ("c'''''''", "line 6, column 1", "a pitch of 0–127", "156"),
        ("[M:x]C", "line 6, column 1", "a metre", "'x'"),
        ("C\nK:Cxyz\nD", "line 7, column 1", "a key", "'Cxyz'"),
        ("C\nL:1/3\nD", "line 7, column 1", "a unit length", "'1/3'"),
        ("C [Q:fast]", "line 6, column 3", "a tempo", "'fast'"),
        ("(1CDE", "line 6, column 1", "a tuplet", "'(1'"),
        ("C Z", "line 6, column 3", "bars of rest", "'Z'"),
    ],
)  # fmt: skip
def test_strict_errors_say_where_what_and_found(body, place, expected, found):
    with pytest.raises(NotationError) as error:
        Abc().decode(HEAD + body)
    assert error.value.where == place
    assert expected in error.value.expected
    assert found in error.value.actual
    score, problems = Abc().repair(HEAD + body)  # the same place, and what was done there
    first = next(p for p in problems if p.severity == "error")
    assert f"line {first.line}, column {first.column}" == place
    assert first.repair
    assert isinstance(score, Score)


def test_repairs_keep_the_rest_of_the_bar():
    score, problems = Abc().repair(HEAD + "C D ]E F | G ~~ [A c | d4 |]\n")
    assert score.tracks[0].notes["pitch"].tolist() == [60, 62, 64, 65, 67, 69, 72, 74]
    assert [(p.column, p.repair) for p in problems if p.repair] == [(5, "left out"), (22, "closed there")]


def test_missing_headers_are_repaired_and_said():
    score, problems = Abc().repair("C D E F|")
    assert len(score.tracks[0]) == 4
    assert [p.repair for p in problems] == ["music from there on"]
    with pytest.raises(NotationError, match="one tune"):
        Abc().decode(HEAD + "C|\n\n" + HEAD + "D|")


def test_limits():
    for body, limits in (
        ("C" * 101, Limits(words=100)),
        ("C|" * 40, Limits(bars=30)),
        ("Z9999|", Limits(bars=30)),
        ("C99999", Limits(quarters=1000)),
        ("".join(f"[V:{i}]C" for i in range(9)), Limits(tracks=8)),
    ):
        with pytest.raises(LimitError):
            read_tunes(HEAD + body, limits=limits)


def test_reading_takes_time_in_proportion():
    def seconds(n: int) -> float:
        text = HEAD + ("CDEF|^G,2[ce]2|\n" * n)
        start = time.process_time()
        read_tunes(text)
        return time.process_time() - start

    seconds(50)
    small = min(seconds(400) for _ in range(3))
    large = min(seconds(3_200) for _ in range(3))  # the least of three: another program may have slowed one down
    assert large < 8 * small * 4  # reading that grows with the square would take 64 times as long


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def quarter_notes(*listed: int, **fields) -> Track:
    return Track.of([Note(480 * i, 480, pitch) for i, pitch in enumerate(listed)], **fields)


def body(score: Score, **options) -> list[str]:
    """The lines of music."""
    return [line for line in Abc(**options).encode(score).split("\n") if line.startswith("[V:")]


def test_a_whole_tune():
    score = Score(
        (quarter_notes(67, 66, 65, 66, name="Lead"), quarter_notes(36, 38, 36, 38, is_drums=True)),
        tempos=(Tempo(0, 96.5),), metres=(Metre(0, 2, 4),), keys=(Key(0, 1),), title="50 % more", composer="Me",
    )  # fmt: skip
    assert Abc().encode(score) == "\n".join([
        "X:1", r"T:50 \% more", "C:Me", "M:2/4", "L:1/16", "Q:1/4=96.5", "K:G", 'V:1 name="Lead"', "%%MIDI program 0",
        "V:2", "%%MIDI channel 10", "[V:1]G4 F4|", "[V:2]C,,4 D,,4|", "[V:1]=F4 ^F4|]", "[V:2]C,,4 D,,4|]",
    ])  # fmt: skip
    assert (
        Abc(layout="by_track")
        .encode(score)
        .endswith('V:1 name="Lead"\n%%MIDI program 0\nG4 F4| =F4 ^F4|]\nV:2\n%%MIDI channel 10\nC,,4 D,,4| C,,4 D,,4|]')
    )


def test_accidentals_are_written_where_readers_would_differ():
    assert body(Score((quarter_notes(66, 77, 65, 66),))) == ["[V:1]^F4 =f4 =F4 ^F4|]"]


def test_triplets_ties_and_grids():
    notes_ = [Note(160 * i, 160, 60 + i) for i in range(3)] + [Note(480, 2_400, 72)]
    assert body(Score((Track.of(notes_),))) == ["[V:1](3:2:3C2 ^C2 D2 =c12-|", "[V:1]c8 z8|]"]
    swung = [Note(0, 640, 60), Note(640, 320, 62), Note(960, 960, 64)]
    assert body(Score((Track.of(swung),))) == ["[V:1](3:2:2C8 D4 E8|]"]
    septuplet = Score((Track.of([Note(960 * i, 960, 60 + i) for i in range(7)]),), ticks_per_quarter=1680)
    assert body(septuplet) == ["[V:1](7:4:7C4 ^C4 D4 _E4 =E4 F4 ^F4|]"]
    late = Score((Track.of([Note(7, 480, 60)]),))
    assert body(late) == ["[V:1]C4 z12|]"]


def test_overlapping_notes_open_voices_or_overlays():
    score = Score((Track.of([Note(0, 1920, 48), Note(0, 960, 64), Note(960, 960, 65)]),))
    assert body(score) == ["[V:1]C,16|]", "[V:2]E8 F8|]"]
    assert "V:2 merge" in Abc().encode(score)
    assert body(score, voices="overlays") == ["[V:1]C,16 & E8 F8|]"]


def test_more_overlaps_than_voices_are_tied():
    held = Score((Track.of([Note(120 * i, 1920 - 120 * i, 60 + i) for i in range(8)]),))
    text = Abc().encode(held)
    assert "-]" in text or "-^" in text or "]-" in text
    assert Abc().decode(text) == project(held, Abc().projection)
    assert Abc().decode(text).n_notes == 8


def test_graces_dynamics_and_decorations():
    score = Score((Track.of([
        Note(360, 60, 62, techniques=Technique.GRACE), Note(420, 60, 63, techniques=Technique.GRACE),
        Note(480, 480, 64, 120, techniques=Technique.STACCATO | Technique.ACCENT), Note(960, 960, 65, 95),
    ]),))  # fmt: skip
    assert body(score) == ["[V:1]z4 !fff!{D_E}!accent!.=E4 !f!F8|]"]
    assert body(score, velocity="drop") == ["[V:1]z4 {D_E}!accent!.=E4 F8|]"]


def test_upbeats_short_bars_and_repeats():
    score = Score(
        (quarter_notes(60, 62, 64, 65, 67, 69, 71, 72),), metres=(Metre(0, 3, 4),),
        bars=(BarMark(480), BarMark(1920, True), BarMark(2880, False, 2)), length_ticks=4320,
    )  # fmt: skip
    assert body(score) == ["[V:1]C4|", "[V:1]D4 E4 F4|:", "[V:1][M:2/4]G4 A4|", "[V:1][M:3/4]B4 c4 z4:|"]
    endings = replace_bars(score, BarMark(0, True), BarMark(1440, False, 2, (1,)), BarMark(2880, False, 0, (2,)))
    assert body(endings) == ["[V:1]|:C4 D4 E4|1", "[V:1]F4 G4 A4:|2", "[V:1]B4 c4 z4|]"]


def replace_bars(score: Score, *bars: BarMark) -> Score:
    from dataclasses import replace

    return replace(score, bars=bars)


def test_what_is_played_three_times_is_written_out():
    score = replace_bars(Score((quarter_notes(60, 62, 64, 65, 67, 69, 71, 72),)), BarMark(0, False, 3))
    assert body(score)[1:3] == ["[V:1]C4 D4 E4 F4|"] * 2
    assert len(body(score)) == 4


def test_a_bar_line_rounded_into_the_piece_brings_its_signs_before_repeats_are_written_out():
    score = replace_bars(Score(length_ticks=0), BarMark(13, False, 2, (2,)))  # of a quarter's 480 ticks: under a 128th
    assert body(score) == ["[V:1]z16|]"]  # a second ending without a first is written out: it sounds once
    once = project(score, Abc().projection)
    assert project(once, Abc().projection) == once


def test_a_first_ending_that_never_goes_back_is_written_out():
    score = replace_bars(
        Score((quarter_notes(*range(60, 76)),)),
        BarMark(1920, False, 2), BarMark(3840, False, 2, (1,)), BarMark(5760, False, 0, (2,)),
    )  # fmt: skip
    once = project(score, Abc().projection)
    assert [n.pitch - 60 for n in once.tracks[0]] == [*range(8), *range(8), *range(12, 16)]  # as the signs play it
    assert not any(mark.repeat_close or mark.endings for mark in once.bars)
    assert project(once, Abc().projection) == once


def test_keys_and_tempos_within_the_piece():
    score = Score(
        (quarter_notes(60, 62, 64, 66, 66, 67, 69, 71),), keys=(Key(1920, 1),), tempos=(Tempo(0, 60), Tempo(2400, 90))
    )
    assert body(score) == ["[V:1]C4 D4 E4 ^F4|", "[V:1][K:G]F4 [Q:1/4=90]G4 A4 B4|]"]


def test_options():
    with pytest.raises(ConfigError, match="layout to be one of interleaved, by_track"):
        Abc(layout="both")
    with pytest.raises(ConfigError, match="unit"):
        Abc(unit=3)
    assert Abc(**Abc(unit=8).options()) == Abc(unit=8)
    with pytest.raises(RangeError, match="metres over"):
        Abc().encode(Score(metres=(Metre(0, 3, 128),)))


# ── the automaton ────────────────────────────────────────────────────────────────────────────────────────


def fed(text: str, **options) -> AbcState:
    notation = Abc(**options)
    state = notation.grammar().begin()
    for field in notation.fields(text):
        state.feed(field)
    return state


START = "X:1\nT:\nM:2/4\nL:1/16\nK:G\nV:1\n%%MIDI program 0\nV:2\n%%MIDI program 1\n"


def test_complete_texts_and_beginnings():
    complete = START + "[V:1]C4 D4|]\n[V:2]z8|]"
    assert "".join(map(str, Abc().fields(complete))) == complete
    assert [s.kind for s in fed(complete).allowed()] == [END]
    for stop in range(len(START), len(complete)):
        try:
            state = fed(complete[:stop])
        except NotationError:
            continue  # in the middle of a field
        assert not any(s.kind == END for s in state.allowed())


@pytest.mark.parametrize(
    "music",
    [
        "[V:1]C4 D4|\n[V:2]z8|\n[V:1]C4 D3|",  # short
        "[V:1]C4 D5|",  # long
        "[V:1]C4 D4|\n[V:1]C8|",  # the wrong voice
        "[V:1]C4|\n[V:2]z8|",  # an upbeat that one voice lacks
        "[V:1]C8|\n[V:2]z8||",  # signs that differ
        "[V:1]C8|\n[V:2][M:3/4]z8|",  # a metre in one voice only
        "[V:1](3:2:3C4 D4 E2|",  # a tuplet that does not close
        "[V:1](3:2:2C4 D4 E4|",
        "[V:1](4:3:4C|",
        "[V:1]C8|]\n[V:2]z8|]\n[V:1]C8|]",  # after the end
        "[V:1]C2/2 D|",  # not in lowest terms
        "[V:1]C8 & D8|",  # overlays were not asked for
        "[V:1][C",
        "[V:1]C,,,,,,,8|",
        "[V:1]C8|3,|",
    ],
)
def test_what_the_automaton_refuses(music):
    with pytest.raises(NotationError):
        fed(START + music + "\n")


@pytest.mark.parametrize("options", Abc.variants)
@pytest.mark.parametrize("seed", range(6))
def test_any_walk_through_the_automaton_is_abc_whose_bars_add_up(options, seed):
    """Choices out of allowed() never lead to a dead end, and what they spell is read without a finding about bars."""
    rng = random.Random(seed)
    notation = Abc(**options)
    state = notation.grammar().begin()
    words = {"T:": ["", "A"], "C:": ["B"], "M:": ["2/4", "7/8"], "L:": [f"1/{notation.unit}"], "Q:1/4=": ["90"],
             "K:": ["none", "Am"], "X:": ["1"], ' name="': ['x"'], "[M:": ["3/4", "1/8"], "[K:": ["F#m"],
             "[Q:1/4=": ["70.5"],
             "|": ["", "", "1"], "V:": None, "[V:": None, "(": None, ":": None, "": None, "/": None}  # fmt: skip
    out = []
    for _ in range(700):
        spans = state.allowed()
        assert spans, "".join(out)
        may_end = any(s.kind == END for s in spans)
        if may_end and (len(spans) == 1 or rng.random() < 0.5):
            break
        span = rng.choice([s for s in spans if s.kind != END])
        choices = words.get(span.kind, [""])
        value = rng.choice(choices) if choices else str(rng.randint(span.low, min(span.high, span.low + 40)))
        if span.kind.startswith("%%"):
            value = str(span.low)
        if (
            span.kind in ("|", "||", "|]", "::", ":|", "|:")
            and state.voice > 1
            and state.plan[state.bar][2].kind == span.kind
        ):
            value = state.plan[state.bar][2].value
        if span.kind in ("[M:", "[K:") and state.voice > 1:
            begins = state.place == "line"  # the bar to come
            value = state.plan[state.bar + begins][0][0 if begins else len(state.prefix)].value
        field = Field(span.kind, value)
        try:
            state.copy().feed(field)
        except NotationError:
            if span.kind in ("", "/", "(", ":"):  # ranges are exact
                raise
            continue
        state.feed(field)
        out.append(str(field))
    text = "".join(out)
    if "K:" not in text:
        return
    complete = text.rfind("|")
    found = [p for p in check(text) if p.severity != "warning" and _offset(text, p.line, p.column) < complete]
    assert found == [], text


def _offset(text: str, line: int, column: int) -> int:
    return sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column


def test_the_vocabulary_spells_what_is_written():
    notation = Abc()
    known = set(notation.vocabulary())
    score = Score((quarter_notes(60, 62, 64, 65, name=""),), tempos=(Tempo(0, 120),), metres=(Metre(0, 4, 4),))
    assert [str(f) for f in notation.fields(notation.encode(score)) if str(f) not in known] == []
    assert len(notation.vocabulary()) == len(known)


@pytest.mark.parametrize("options", [{}, {"layout": "by_track"}, {"voices": "overlays"}])
def test_an_ending_in_the_first_bar_is_told_and_in_the_grammar(options):
    """Found by the law with two thousand examples: the automaton took ``[1`` for a chord."""
    notation = Abc(**options)
    text = notation.encode(Score((Track.of([]),))).replace("z16|]", "|:[1,3z16:|")
    assert notation.decode(text).bars == (BarMark(0, True, 2, (1, 3)),)

    def feed(text: str) -> None:
        state = notation.grammar().begin()
        for field in notation.fields(text):
            state.feed(field)

    feed(text)
    head = text.partition("|:")[0]
    for wrong in ("|: |[1 z4|]", "|:[1[2 z4|]", "|:[1,[CE]|]"):
        with pytest.raises(NotationError):
            feed(head + wrong)


def test_at_the_ends_of_the_range_accidentals_are_written_again() -> None:
    """Found by the law: B sharp as the lowest note, said twice in a bar, the second time without its sharp."""
    ends = [(0, 12, 5), (0, 0, 0), (127, 1, 1), (127, -13, 13), (11, 12, 0), (126, 6, 6), (1, -5, 7)]
    for pitch, spelling, key in ends:
        notes = [Note(480 * n, 480, pitch, 95, spelling=spelling) for n in range(6)]
        score = Score((Track.of(notes),), keys=(Key(0, min(key, 7), "major"),))
        text = Abc().encode(score)
        assert [n.pitch for n in Abc().decode(text).tracks[0]] == [pitch] * 6
        assert END in {span.kind for span in fed(text).allowed()}
    for wild in ("C,,,,,", "D,,,,,,", "g'''''", "^g'''''", "_C,,,,,", "a'''''"):
        with pytest.raises(NotationError):
            fed(START + "[V:1]" + wild)
    fed(START + "[V:1]=C,,,,,")
