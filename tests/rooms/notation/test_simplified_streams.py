"""Split streams: what they look like, that they say what the joint form says, and that every walk can be finished."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError, ModelError, NotationError
from cadenza.infer.model import _notation
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.grammar import END, NEWLINE, Field, Span
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.streams import joined, joint, split
from cadenza.score.edit import project
from cadenza.score.model import Bend, Note, Score, Track
from cadenza.train.bases import save_notation
from tests.strategies import examples, scores

OPTIONS = [
    {"bars": True, "compact": True},
    {"bars": True, "layout": "by_track", "velocity": "drop"},
    {"bend": "published"},
    {"layout": "by_track", "compact": True, "bend": "none"},
]
HEADER = "q24 w120 m2/4 i0:g24 i1:g128"


def riff() -> Score:
    first = Track.of(
        [Note(0, 240, 60, 80), Note(0, 480, 52, 80, bends=(Bend(0, 0), Bend(120, 100))), Note(480, 480, 64, 90)]
    )
    return Score((first, Track.of([Note(960, 480, 40, 70)], program=33)), 480, length_ticks=1920)


def test_what_a_bar_looks_like():
    notation = SimplifiedMidi(streams="split", bars=True, compact=True)
    text = notation.encode(riff())
    assert text.split("\n")[1] == (
        "| i0 d240 d480:t480 d480:t480 i1 d480:t960 p60 p52 p64 p40 v80 v80 v90 v70 n1:o0:b0:o120:b100"
    )
    assert notation.decode(text) == SimplifiedMidi(bars=True).decode(SimplifiedMidi(bars=True).encode(riff()))


@pytest.mark.parametrize("options", OPTIONS)
@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_taking_apart_and_putting_together_is_the_identity(options, score):
    notation = SimplifiedMidi(streams="split", **options)
    text = joint(notation).encode(score)
    assert joined(split(text, notation), notation) == text.rstrip("\n")  # empty last lines say nothing


@pytest.mark.parametrize("options", OPTIONS)
@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6))
def test_a_walk_through_the_automaton_decodes_to_itself(options, seed):
    notation, rng = SimplifiedMidi(streams="split", **options), np.random.default_rng(seed)
    state = notation.grammar().begin()
    words: list[str] = []
    for one in (*notation.fields(HEADER), Field(NEWLINE, "")):
        state.feed(one)
    for step in range(400):
        spans = state.allowed()
        if any(span.kind == END for span in spans) and (step > 60 or len(spans) == 1):
            break
        weights = np.array([0.2 if span.kind in (END, NEWLINE, "i") else 1.0 for span in spans])
        weights[[span.kind == END for span in spans]] = 0
        span = spans[int(rng.choice(len(spans), p=weights / weights.sum()))]
        field = _drawn(span, rng)
        state.copy().feed(field)  # a copy that goes on leaves this one where it is
        state.feed(field)
        words.append(str(field))
    else:
        pytest.fail("no end in 400 fields")
    body = ""
    for word in words:
        body += word if word.startswith(":") or word == "\n" or body[-1:] in ("", "\n") else f" {word}"
    text = f"{HEADER}\n{body}"
    score = notation.decode(text)
    assert notation.decode(notation.encode(score)) == project(score, notation.projection)


def _drawn(span: Span, rng: np.random.Generator) -> Field:
    if span.kind in ("|", NEWLINE):
        return Field(span.kind, "")
    high = min(span.high, span.low + 24) if span.kind != ":t" else min(span.high, 48)
    # Ends of the range are where mistakes are.
    value = int(rng.choice([span.low, high, rng.integers(span.low, high + 1)]))
    return Field(span.kind, str(value))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("| d12:t48 p60 p62 v80", "'p62'"),
        ("| d12:t48 v80", "'v80'"),
        ("| d12:t24 p60 v80", "'p60'"),  # the bar is not full
        ("| d12:t48 p60", "the end"),
        ("| d12:t48 p60 v80 n1:o0:b5", "'n1'"),
        ("| d12:t48 p60 v80 n0:o13:b5", "':o13'"),
        ("| d12:t48 p60 v80 d12", "'d12'"),
        ("| p60:v80:d12:t48", "'p60'"),
    ],
)
def test_what_does_not_follow_the_grammar_is_refused(body, found):
    notation = SimplifiedMidi(streams="split", bars=True, resolution="grid:24")
    text = f"q24 m2/4 i0:g0\n{body.replace('|', '| i0', 1) if ' d' in body[:4] else body}"
    with pytest.raises(NotationError) as caught:
        notation.decode(text)
    assert caught.value.actual == found


def test_the_published_profile_has_no_streams():
    with pytest.raises(ConfigError, match="streams"):
        SimplifiedMidi.published(streams="split")


def test_fields_are_tokens():
    notation = SimplifiedMidi(streams="split", bars=True, compact=True, resolution="grid:24", bend_step_cents=25)
    vocabulary = Vocabulary.of(notation.vocabulary())
    body = notation.encode(riff()).split("\n")[1]
    ids = vocabulary.tokenize(body)
    assert min(ids) >= vocabulary.first_field
    assert vocabulary.detokenize(ids) == body
    assert notation.ids(vocabulary.ids, vocabulary.tokenize)(riff()).tolist() == vocabulary.tokenize(
        notation.encode(riff())
    )


def test_composing_says_that_it_cannot_use_them(tmp_path):
    save_notation(tmp_path, SimplifiedMidi(streams="split", bars=True), 512, {})
    with pytest.raises(ModelError, match="split streams"):
        _notation([tmp_path])
