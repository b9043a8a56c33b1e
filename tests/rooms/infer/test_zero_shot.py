"""Notes in chatty answers: a true text comes back note for note, whatever is wrapped around it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError
from cadenza.infer import zero_shot
from cadenza.infer.model import PLAIN_NOTATION
from cadenza.infer.zero_shot import find_notes
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.edit import select_bars
from cadenza.score.model import Bend, Metre, Note, Score, Tempo, Track
from tests.strategies import examples

NOTATIONS = {
    "plain": PLAIN_NOTATION,
    "compact": replace(PLAIN_NOTATION, compact=True, durations="table"),
    "bends": SimplifiedMidi(bars=True, compact=True, resolution="grid:24"),
    "no bars, no velocity": SimplifiedMidi(velocity="drop", bend="none"),
    "published": SimplifiedMidi.published(),
    "published bends": SimplifiedMidi.published(bend="published"),
}
BEFORE = ("", "Sure! Here is a continuation:", "**Good idea.** I start on p60 and rest for t1:\n\n## Music")
AFTER = ("", "I hope you like it (p67 is the dominant)!", "\n---\nIn bar 2 the melody reaches p67 and then rests.\n")
PREFIXES = ("", "- ", "• ", "{n}. ", "{n}) ", "Bar {n}: ", "> ", "**Bar {n}:** ")
SUFFIXES = ("", "  // strong beat p60", "  # the tonic", " (a long note, as in p60)", "  <!-- t24 -->")
WORDS = ("{}", "**{}**", "`{}`", "*{}*")


def piece(rng: np.random.Generator, bends: bool) -> Score:
    tracks = []
    for index in range(int(rng.integers(1, 4))):
        notes = []
        for beat in range(16):
            if rng.random() < 0.7:
                length = int(rng.choice([20, 240, 480, 960]))
                curve = (Bend(0, 0), Bend(min(length, 120), 100)) if bends and rng.random() < 0.2 else ()
                pitch, velocity = int(rng.integers(0, 128)), int(rng.integers(1, 128))
                notes.append(Note(480 * beat + 240 * int(rng.integers(2)), length, pitch, velocity, curve))
        tracks.append(Track.of(notes, name=f"part {index}", program=int(rng.integers(128)), is_drums=index == 2))
    return Score(tuple(tracks), tempos=(Tempo(0, 97.5),), metres=(Metre(0, 4, 4),), length_ticks=16 * 480)


@st.composite
def chatter(draw: st.DrawFn, text: str) -> str:
    """``text`` as a chat model might say it."""
    per_line = draw(st.integers(1, 9))
    prefix, suffix = draw(st.sampled_from(PREFIXES)), draw(st.sampled_from(SUFFIXES))
    word = draw(st.sampled_from(WORDS))
    lines = []
    for line in text.split("\n"):
        words = [word.format(w) if w != "|" else w for w in line.split()]
        lines += [words[i : i + per_line] for i in range(0, len(words), per_line)]
    said = "\n".join(prefix.format(n=n) + " ".join(words) + suffix for n, words in enumerate(lines, 1))
    if draw(st.booleans()):
        said = said.upper()
    if draw(st.booleans()):  # broken inside words, before or after a colon
        said = re.sub(r"(?<=\d)(:)(?=[vVdD]\d)", draw(st.sampled_from([":\n", "\n  :", " : "])), said)
    if draw(st.booleans()):
        said = f"```text\n{said}\n```"
    return f"{draw(st.sampled_from(BEFORE))}\n{said}\n{draw(st.sampled_from(AFTER))}"


def same_notes(one: Score, other: Score) -> None:
    fields = ["onset_ticks", "duration_ticks", "pitch", "velocity"]
    mine, theirs = ([t for t in score.tracks if len(t)] for score in (one, other))
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert (a.program, a.is_drums) == (b.program, b.is_drums)
        assert a.notes[fields].tolist() == b.notes[fields].tolist()
        assert a.bends.tolist() == b.bends.tolist()


def after(track: Track, start_ticks: int) -> Track:
    late = track.keep(track.notes["onset_ticks"] >= start_ticks)
    notes = late.notes.copy()
    notes["onset_ticks"] -= start_ticks
    return replace(late, notes=notes)


@pytest.mark.parametrize("name", NOTATIONS)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_a_true_text_in_chatter_comes_back_note_for_note(name, data):
    notation = NOTATIONS[name]
    score = piece(np.random.default_rng(data.draw(st.integers(0, 10**6))), notation.bend != "none")
    text = notation.encode(score)
    found = find_notes(data.draw(chatter(text)), notation)
    assert found.repairs == {}
    true = notation.decode(text)
    same_notes(found.score, true)
    if notation.profile == "cadenza":
        assert (found.score.tempos, found.score.metres) == (true.tempos, true.metres)


@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_what_goes_on_after_a_given_part(data):
    """Without a header, with what compact words leave out; also where the given part is said again."""
    notation = NOTATIONS["compact"]
    score = piece(np.random.default_rng(data.draw(st.integers(0, 10**6))), False)
    text = notation.encode(score)
    header, _, body = text.partition("\n")
    bars = ["|" + bar for bar in body.split("|")[1:]]
    whole = notation.decode(text)
    start, before = bars[:2], header + "\n" + "".join(bars[:2])
    for again in ("", "".join(start)):
        answer = data.draw(chatter(again + "".join(bars[2:])))
        found = find_notes(answer, notation, given=before, context=whole)
        assert set(found.repairs) == ({"words of the given part said again"} if again else set())
        same_notes(found.score, whole.with_tracks(after(track, 192) for track in whole.tracks))


def test_fields_that_are_missing_are_repaired_and_counted():
    text = "q24 w100 m3/4 i0:g5\n| i0 p60:v80:d24:t24 p62:d24:t24 p64:v70:t24 | p300:v80:d24:t24"
    found = find_notes(text, PLAIN_NOTATION)
    (track,) = found.score.tracks
    assert track.notes["pitch"].tolist() == [60, 62, 64]
    assert track.notes["velocity"].tolist() == [80, 80, 70]
    assert track.notes["duration_ticks"].tolist() == [24, 24, 24]
    assert track.notes["onset_ticks"].tolist() == [0, 24, 48]
    assert found.repairs == {
        "velocities missing": 1, "durations missing": 1, "pitches out of range": 1, "bars too short": 1
    }  # fmt: skip
    assert found.score.length_ticks == 2 * 72


def test_blanks_in_place_of_colons_and_tables():
    table = "| Bar | Notes |\n|-----|:------|\n| 1 | p60, v80, d24, t48 p64 v80 d24 t48 |\n| 2 | P67:V80:D24:T96 |\n"
    found = find_notes(table, replace(PLAIN_NOTATION, bars=False), context=PLAIN_NOTATION.decode("q24 m4/4 i0:g0\n|"))
    assert found.words == ("p60:v80:d24:t48", "p64:v80:d24:t48", "p67:v80:d24:t96")
    assert found.score.tracks[0].notes["onset_ticks"].tolist() == [0, 48, 96]


def test_bars_are_brought_to_their_lines():
    found = find_notes("| p60:v80:d24:t24 | p62:v80:d24:t120 | p64:v80:d24:t192 | p65:v80:d24:t24", PLAIN_NOTATION,
                       context=PLAIN_NOTATION.decode("q24 m4/4 i0:g0\n|"))  # fmt: skip
    assert found.score.tracks[0].notes["onset_ticks"].tolist() == [0, 96, 192, 384]
    assert found.repairs == {"bars too short": 2, "bars too long": 1, "bar lines missing": 1}


def test_prose_alone_holds_no_music():
    text = "I would begin on p60 and let it ring for t24 | then answer in i1. Tempo w120 fits! See section 3.p4 of v2."
    found = find_notes(text, PLAIN_NOTATION)
    assert found.score.n_notes == 0
    assert find_notes("", PLAIN_NOTATION).score.n_notes == 0


@settings(max_examples=examples(50), deadline=None)
@given(st.text(alphabet="pvdtobi|:0123456789 \n*`#/()-.qwmg,", max_size=200))
def test_no_answer_breaks_the_parser(text):
    found = find_notes(text, PLAIN_NOTATION)
    assert found.score.n_notes <= text.lower().count("p")


def test_tracks_line_by_line_are_refused():
    with pytest.raises(ConfigError, match="one time line"):
        find_notes("p60", SimplifiedMidi(layout="by_track"))


def test_a_seed_is_continued_by_a_chat():
    """A made-up model that reads the question, greets, and repeats the last bar, with a field left out."""
    seed = select_bars(0, 4).apply(piece(np.random.default_rng(3), False))
    asked = []

    def ask(messages):
        asked.append(messages)
        music = messages[-1]["content"].split("\n")
        bar = "|" + music[-2].split("|")[-1]
        return f"Sure! **Here you go:**\n\n1. {bar}\n2. {re.sub(r':v[0-9]+', '', bar, count=1)}\n\nEnjoy!"

    answer = zero_shot.continue_by_chat(seed, ask, PLAIN_NOTATION, bars=2)
    (message,) = asked[0]
    assert message["role"] == "user"
    assert message["content"].startswith("You are a")
    for said in ("p is the MIDI pitch", "A tick lasts 25.6 ms", "clear progression", "Write the next 2 bars"):
        assert said in message["content"]
    assert answer.bars == 2
    last = select_bars(3, 4).apply(seed)
    assert answer.n_notes == 2 * last.n_notes
    assert answer.repairs == {"velocities missing": 1}
    before = select_bars(0, 4).apply(answer.score)
    assert [t.notes.tolist() for t in before.tracks] == [t.notes.tolist() for t in seed.tracks]
    for bar in (4, 5):
        written = select_bars(bar, bar + 1).apply(answer.score)
        assert written.n_notes == last.n_notes
