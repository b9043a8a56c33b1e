"""The law of notations, for every registered notation and every variant that it names.

``decode(encode(s)) == project(s)``; projecting twice changes nothing more; encoding depends on the projection alone;
and the automaton accepts every text that the notation writes. A new notation joins by being registered.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.notation import NOTATIONS
from cadenza.notation.grammar import END
from cadenza.score.edit import project
from cadenza.score.model import Score
from tests.strategies import examples, scores

CASES = [
    pytest.param(name, options, id=f"{name}-{index}")
    for name in NOTATIONS.names()
    for index, options in enumerate(NOTATIONS.load(name).variants)
]


def within_reach(name: str, score: Score) -> Score:
    """The score; for a notation that writes a line every two seconds one of minutes, not of days."""
    return replace(score, ticks_per_quarter=max(score.ticks_per_quarter, 480)) if name == "mt3" else score


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_law(name, options, score):
    notation, score = NOTATIONS.load(name)(**options), within_reach(name, score)
    text = notation.encode(score)
    projected = project(score, notation.projection)
    assert notation.decode(text) == projected
    if options.get("profile") != "published":  # that one forgets its unit of time
        assert project(projected, notation.projection) == projected
        assert notation.encode(projected) == text


@pytest.mark.parametrize(("name", "options"), CASES)
@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_automaton_accepts_what_is_written(name, options, score):
    notation, score = NOTATIONS.load(name)(**options), within_reach(name, score)
    state = notation.grammar().begin()
    for field in notation.fields(notation.encode(score)):
        state.feed(field)
    assert any(span.kind == END for span in state.allowed())


@pytest.mark.parametrize("name", NOTATIONS.names())
def test_losses_are_said(name):
    for options in NOTATIONS.load(name).variants:
        for edit in NOTATIONS.load(name)(**options).projection:
            assert edit.says
            assert edit.says[0].islower()
