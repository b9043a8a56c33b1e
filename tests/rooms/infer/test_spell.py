"""The automaton letter by letter: what tokens spell parses, adds up and can be played, wherever they are cut."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ModelError
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.infer.constrain import Rules
from cadenza.infer.model import ALPHABET, PLAIN_NOTATION
from cadenza.infer.spell import Cursor, Place, Trie, Writer, begins_number, is_number
from cadenza.notation.grammar import NEWLINE, Field, Span, fields_of
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.fingering import playable
from tests.rooms.infer.test_constrain import BANDS
from tests.strategies import examples

LETTERS = sorted(ALPHABET)
PIECES = [
    *LETTERS, " |", " p", " i", "| i0 p", ":v", ":d", ":t", ":o0:b", "12", "24", "60", "57", "p60:", "0 p", "4:d",
    "2:t", " t", "i1 p4", "25", "00", ":b-", "6 |", " | i", "e", "the", "\n", None, "",
]  # fmt: skip
NOTATIONS = {
    "compact": MODEL_NOTATION,
    "plain": PLAIN_NOTATION,
    "plain with bends": SimplifiedMidi(bars=True),
    "published bends": SimplifiedMidi(bars=True, bend="published", resolution="grid:12"),
    "no velocity": SimplifiedMidi(bars=True, velocity="drop", compact=True),
}


@given(value=st.integers(-300, 300), low=st.integers(-120, 260), size=st.integers(0, 200))
@settings(max_examples=examples(300), deadline=None)
def test_numbers_begin_as_they_are_written(value, low, size):
    span = Span("x", low, low + size)
    text = str(value)
    assert is_number(text, span) == (low <= value <= low + size)
    begun = any(str(number).startswith(text) for number in range(low, low + size + 1))
    assert begins_number(text, span) == begun
    assert not is_number(f"0{abs(value)}", span)
    assert not begins_number("00", span)


def start(notation, instruments, metre="4/4", ticks=24):
    state = SimplifiedState(notation)
    header = f"q{ticks} w120 m{metre} " + " ".join(f"i{i}:g0" for i in range(len(instruments)))
    for field in fields_of(header):
        state.feed(field)
    state.feed(Field(NEWLINE, ""))
    return header, state


def walk(rng, notation, instruments, metre, n_bars, trie, taste):
    """A text of random allowed tokens, as the writer draws them, and how many of them reached over fields."""
    header, state = start(notation, instruments, metre)
    text, empty_bars, spanning, first = "", 0, 0, None
    for _ in range(n_bars):
        writer = Writer(Rules(instruments), empty_bars)
        cursor = Cursor(Place(state, writer, opens_bar=True))
        bar = ""

        def draw(cursors):
            allowed = trie.allowed(cursors)
            assert (np.diff(allowed) > 0).all()
            if taste == "long":
                longest = max(len(trie.texts[one]) for one in allowed)
                return rng.choice([one for one in allowed.tolist() if len(trie.texts[one]) == longest])
            return rng.choice(allowed.tolist())

        token = draw([cursor]) if first is None else first
        while (read := cursor.read(trie.texts[token])) is not None:
            cursor, bar = read, bar + trie.texts[token]
            spanning += re.search(r"[\d|][: ]", trie.texts[token]) is not None
            writer.hurries = len(bar) > 400
            assert len(bar) < 1200, "a bar that does not end"
            following = cursor.bar()
            token = draw([cursor] if following is None else [cursor, following])
        first = token
        after = cursor.place.after(cursor.written)
        assert after is not None
        state = after.state
        empty_bars = 0 if "p" in bar else empty_bars + 1
        assert empty_bars <= 2
        text += bar
    return header + "\n" + text.lstrip(), spanning


@pytest.mark.parametrize("taste", ["token", "long"])
@pytest.mark.parametrize("name", NOTATIONS)
def test_whatever_is_spelled_parses_and_can_be_played(name, taste):
    notation, trie = NOTATIONS[name], Trie(PIECES, ALPHABET)
    spanning = 0
    for number, (band, metre) in enumerate(
        [("guitar", "4/4"), ("band", "3/4"), ("one key", "7/8"), ("bending last", "4/2"), ("one string", "1/4")]
    ):
        instruments = BANDS[band]
        text, reached = walk(random.Random(f"{name}/{taste}/{number}"), notation, instruments, metre, 3, trie, taste)
        score = notation.decode(text)
        length = score.ticks_per_quarter * 4 * int(metre.partition("/")[0]) // int(metre.partition("/")[2])
        assert score.length_ticks >= 3 * length
        assert max((int(t.notes["onset_ticks"].max()) for t in score.tracks if len(t)), default=0) < 3 * length
        assert text.count("|") == 3
        spanning += reached
        assert "  " not in text
        for track, instrument in zip(score.tracks, instruments, strict=True):
            if not len(track):
                continue
            assert instrument.low <= track.notes["pitch"].min() <= track.notes["pitch"].max() <= instrument.high
            assert instrument.may_bend or not len(track.bends)
            assert (track.bends["cents"] >= 0).all()
            for onset in np.unique(track.notes["onset_ticks"]):
                chord = track.notes["pitch"][track.notes["onset_ticks"] == onset].tolist()
                assert len(set(chord)) == len(chord)
                assert not instrument.tuning or playable(tuple(chord), instrument.tuning, instrument.capo_fret)
    assert spanning > 5


def test_tokens_reach_over_fields_but_not_over_a_bars_word():
    trie = Trie(PIECES, ALPHABET)
    _, state = start(PLAIN_NOTATION, BANDS["band"])
    cursor = Cursor(Place(state, Writer(Rules(BANDS["band"])), opens_bar=True))

    def texts(*cursors):
        return {PIECES[token] for token in trie.allowed(cursors)}

    assert texts(cursor) == {"|", "| i0 p"}  # no blank at the beginning of a line
    cursor = cursor.read("| i0 p60:v72:d12:t9")
    assert cursor is not None
    assert {"6 |", " |"}.isdisjoint(texts(cursor))
    assert "0 p" in texts(cursor)
    assert "2:t" not in texts(cursor)  # a word says its step once
    cursor = cursor.read("6")  # t96: the bar is full
    assert cursor is not None
    assert cursor.bar() is not None
    assert texts(cursor, cursor.bar()) == {" ", " |", " | i"}
    assert cursor.read(" | i") is None  # the next bar is not this one's


def test_a_vocabulary_that_cannot_spell_is_said():
    _, state = start(PLAIN_NOTATION, BANDS["piano"])
    cursor = Cursor(Place(state, Writer(Rules(BANDS["piano"])), opens_bar=True))
    with pytest.raises(ModelError, match="extend_vocabulary"):
        Trie(["a", " i"], ALPHABET).allowed([cursor])


def test_every_text_of_the_notation_can_be_spelled():
    """What music really says is among what may follow, letter by letter (bends down and long notes aside)."""
    text = "| i0 p60:v72:d12 p57:d24:t24 i2 p36:v120:d6:t72 | | t24 i0 p64:d12:o0:b0:o6:b100:t72"
    header, state = start(MODEL_NOTATION, BANDS["band"])
    MODEL_NOTATION.decode(header + "\n" + text.replace(":o0:b0:o6:b100:t72", ":t72:o0:b0:o6:b100"))
    rules = Rules(BANDS["band"])
    for bar in ("| i0 p60:v72:d12 p57:d24:t24 i2 p36:v120:d6:t72", " |", " | t24 i0 p64:d12:t72:o0:b0:o6:b100"):
        cursor = Cursor(Place(state, Writer(rules), opens_bar=True)).read(bar)
        assert cursor is not None, bar
        assert cursor.bar() is not None
        after = cursor.place.after(cursor.written)
        assert after is not None
        state = after.state
