"""ABC: how the writer writes, and what its automaton lets pass."""

from __future__ import annotations

import random

import pytest

from cadenza.base.errors import ConfigError, NotationError, RangeError
from cadenza.notation.abc import Abc, check
from cadenza.notation.abc.grammar import AbcState
from cadenza.notation.grammar import END, Field
from cadenza.score.edit import project
from cadenza.score.model import BarMark, Key, Metre, Note, Score, Technique, Tempo, Track

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


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("shortest_ticks", [60, 30])
def test_graces_without_room_end_with_their_note_and_add_no_bar(count, shortest_ticks):
    graces = [Note(0, 25, 40 + i, techniques=Technique.GRACE) for i in range(count)]
    score = Score(
        (Track.of([*graces, Note(0, 60, 20), Note(0, shortest_ticks, 21)]),), 960, metres=(Metre(0, 1, 64),)
    )  # fmt: skip
    text, projected = Abc().encode(score), project(score, Abc().projection)
    assert Abc().decode(text) == projected
    assert Abc().encode(projected) == text
    assert projected.length_ticks == 60
    led = [note for note in projected.tracks[0] if note.techniques & Technique.GRACE]
    assert [note.duration_ticks for note in led] == [60] * count  # the shorter note is in a voice of its own


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
