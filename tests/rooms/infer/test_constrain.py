"""Random walks through what is allowed: never a dead end, and whatever comes out reads back and can be played."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.infer.constrain import Constraint, Instrument, Rules
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.grammar import NEWLINE, Field, fields_of
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.fingering import playable
from cadenza.score.model import STANDARD_TUNINGS

VOCABULARY = Vocabulary.of(MODEL_NOTATION.vocabulary())
GUITAR = Instrument(40, 88, STANDARD_TUNINGS["guitar"], may_bend=True)
CAPO = Instrument(43, 88, STANDARD_TUNINGS["guitar"], capo_fret=3, may_bend=True)
BASS = Instrument(28, 67, STANDARD_TUNINGS["bass"], may_bend=True)
ONE_STRING = Instrument(40, 41, (40,), may_bend=True)
PIANO, DRUMS, ONE_KEY = Instrument(21, 108), Instrument(27, 87), Instrument(60, 60)

BANDS = {
    "guitar": (GUITAR,),
    "one string": (ONE_STRING,),
    "one key": (ONE_KEY,),
    "piano": (PIANO,),
    "band": (GUITAR, BASS, DRUMS, PIANO),
    "bending last": (PIANO, DRUMS, CAPO),
    "all the same": (ONE_STRING,) * 16,
}
METRES = ("4/4", "3/4", "7/8", "12/8", "4/2", "1/16", "16/8")


def walk(rng: random.Random, instruments: tuple[Instrument, ...], metre: str, n_bars: int, taste: str) -> list[str]:
    """Bars of random allowed tokens; ``taste``: a token at random, a kind at random first, or the longest way."""
    constraint = Constraint(VOCABULARY, Rules(instruments))
    state = SimplifiedState(MODEL_NOTATION)
    header = f"q24 w120 m{metre} " + " ".join(f"i{i}:g0" for i in range(len(instruments)))
    for field in fields_of(header):
        state.feed(field)
    state.feed(Field(NEWLINE, ""))
    bars: list[list[int]] = []
    empty_bars = n_tokens = 0
    while True:
        allowed = constraint.allowed(state, empty_bars)
        assert len(allowed), f"dead end after {VOCABULARY.detokenize(bars[-1])}, {state.allowed()}"
        assert (np.diff(allowed) > 0).all()
        by_kind: dict[str, list[int]] = {}
        for token in allowed.tolist():
            by_kind.setdefault(constraint.field(token).kind, []).append(token)
        n_tokens += 1
        if "|" in by_kind and n_tokens > 60 * n_bars:
            token = by_kind["|"][0]
        elif taste == "long" and n_tokens < 60 * n_bars:
            kind = next((k for k in (":b", ":o", "p", "i", ":v") if k in by_kind), None) or rng.choice(list(by_kind))
            token = rng.choice(by_kind[kind])
        else:
            token = rng.choice(by_kind[rng.choice(list(by_kind))] if taste == "kind" else allowed.tolist())
        if constraint.field(token).kind == "|":
            if bars:
                empty_bars = 0 if any(constraint.field(t).kind == "p" for t in bars[-1]) else empty_bars + 1
                assert empty_bars <= constraint.rules.max_empty_bars + 1
            if len(bars) == n_bars:
                return [header + "\n" + " ".join(VOCABULARY.detokenize(bar) for bar in bars)]
            bars.append([])
        bars[-1].append(token)
        state.feed(constraint.field(token))


@pytest.mark.parametrize("taste", ["token", "kind", "long"])
@pytest.mark.parametrize("band", BANDS)
def test_no_walk_ends_in_the_dark(band: str, taste: str) -> None:
    instruments = BANDS[band]
    for number, metre in enumerate(METRES):
        (text,) = walk(random.Random(f"{band}/{taste}/{number}"), instruments, metre, 6, taste)
        score = MODEL_NOTATION.decode(text)
        length = 24 * 4 * int(metre.partition("/")[0]) // int(metre.partition("/")[2])
        assert score.length_ticks >= 6 * length
        assert max((int(t.notes["onset_ticks"].max()) for t in score.tracks if len(t)), default=0) < 6 * length
        for track, instrument in zip(score.tracks, instruments, strict=True):
            if not len(track):
                continue
            assert instrument.low <= track.notes["pitch"].min() <= track.notes["pitch"].max() <= instrument.high
            assert instrument.may_bend or not len(track.bends)
            assert (track.bends["cents"] >= 0).all()
            for onset in np.unique(track.notes["onset_ticks"]):
                chord = track.notes["pitch"][track.notes["onset_ticks"] == onset].tolist()
                assert len(set(chord)) == len(chord)
                if instrument.tuning:
                    assert playable(tuple(chord), instrument.tuning, instrument.capo_fret)


def test_a_walk_meets_every_kind_of_field() -> None:
    seen: set[str] = set()
    for number in range(4):
        (text,) = walk(random.Random(number), BANDS["band"], "4/4", 6, "kind")
        seen |= {field.kind for field in fields_of(text.partition("\n")[2])}
    assert seen == {"|", "t", "i", "p", ":v", ":d", ":t", ":o", ":b"}


def test_a_note_without_a_step_is_bent_only_where_another_note_can_follow() -> None:
    constraint = Constraint(VOCABULARY, Rules((GUITAR,)))
    state = SimplifiedState(MODEL_NOTATION)
    for field in fields_of("q24 w120 m4/4 i0:g24\n| i0 p40:v60:d12"):
        state.feed(field)
    kinds = {constraint.field(t).kind for t in constraint.allowed(state).tolist()}
    assert kinds == {":t"}  # nothing lies below the lowest string
    state.feed(Field(":t", "12"))
    assert ":o" in {constraint.field(t).kind for t in constraint.allowed(state).tolist()}
