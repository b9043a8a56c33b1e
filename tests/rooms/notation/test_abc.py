"""ABC: what the parser reads, and what it says about what it cannot read."""

from __future__ import annotations

import time

import pytest

from cadenza.base.errors import LimitError, NotationError
from cadenza.base.limits import Limits
from cadenza.notation.abc import Abc, check, read_tunes
from cadenza.notation.abc.pitches import key_name, parse_key
from cadenza.notation.abc.text import decode_bytes, escape, plain, unescape
from cadenza.score.model import Key, Marker, Metre, Score, Technique, Tempo
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
