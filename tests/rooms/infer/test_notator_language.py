"""The notator's adviser: a language model that says which page reads like music."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.infer.notator import beats, metre, notate, page
from cadenza.infer.notator.events import events_of, played_notes
from cadenza.infer.notator.language import SURE, LanguageModel
from cadenza.infer.notator.options import given as options_given
from cadenza.score.model import Metre
from tests.rooms.infer.test_notator import performed, waltz

PULSES = [beats.Pulse(np.arange(41) * 0.5, beats.EVEN, 1.0)]


@pytest.fixture(scope="module")
def shipped():
    return LanguageModel()


class Told(LanguageModel):
    """An adviser who was told how many bits a note each page costs."""

    def __init__(self, bits):
        self.bits, self.read = list(bits), []

    def bits_a_note(self, page):
        self.read.append(page)
        return self.bits[len(self.read) - 1]


def line(tempo=120.0, beats_a_bar=4):
    return page.Line(np.arange(9) * 0.5, np.arange(9.0), tempo, (beats_a_bar, 4))


@given(st.lists(st.floats(-6, 6), min_size=1, max_size=400), st.integers(1, 5), st.floats(0.5, 8))
@settings(max_examples=60)
def test_likely_readings_are_of_different_tempo_or_metre_and_the_best_leads(scores, most, within):
    found = metre.readings(PULSES)[: len(scores)]
    scores = np.array(scores[: len(found)])
    kept = metre.likeliest(found, scores, PULSES, most, within)
    assert 1 <= len(kept) <= most
    assert scores[found.index(kept[0][0])] == pytest.approx(scores.max())
    said = [(one.metre, round(np.log(metre.tempo_of(one, PULSES)), 6)) for one, _ in kept]
    assert len(set(said)) == len(said)
    total = sum(np.exp(log_p) for _, log_p in kept)
    assert total <= 1 + 1e-9
    others = [log_p for _, log_p in kept[1:]]
    assert others == sorted(others, reverse=True)
    assert all(log_p >= max(value for _, value in kept) - within for log_p in others)


def test_phases_of_one_metre_count_together():
    found = metre.readings(PULSES)
    scores = np.zeros(len(found))
    kept = metre.likeliest(found, scores, PULSES, most=100, within=100)
    assert sum(np.exp(log_p) for _, log_p in kept) == pytest.approx(1)
    by_metre = {}
    for one in found:
        key = (one.metre, one.beat_quarters)
        by_metre[key] = by_metre.get(key, 0) + 1 / len(found)
    assert sorted(np.exp(log_p) for _, log_p in kept) == pytest.approx(sorted(by_metre.values()))


def test_advice_is_asked_in_doubt_alone_and_weighed():
    sure = [(line(), np.log(SURE + 0.01)), (line(60, 2), np.log(0.1))]
    told = Told([9.0, 1.0])
    assert told.chosen(sure, lambda one: one) is sure[0][0]
    assert not told.read
    doubtful = [(line(), np.log(0.5)), (line(60, 2), np.log(0.4))]
    assert Told([3.0, 2.0]).chosen(doubtful, lambda one: one) is doubtful[1][0]
    assert Told([3.0, 3.0]).chosen(doubtful, lambda one: one) is doubtful[0][0]
    assert Told([None, 5.0]).chosen(doubtful, lambda one: one) is doubtful[1][0]
    assert Told([None, None]).chosen(doubtful, lambda one: one) is doubtful[0][0]


def test_a_page_is_written_as_advised_and_only_its_beginning_was_shown():
    class Last:
        def chosen(self, lines, page_of):
            self.pages = [page_of(one) for one, _ in lines]
            self.lines = lines
            return lines[-1][0]

    performance = performed(waltz(bars=80), jitter=0.01)
    plain, adviser = notate(performance), Last()
    advised = notate(performance, adviser=adviser)
    notes = played_notes(performance)
    lines = page.time_lines(notes, events_of(notes), options_given(None, None, None, None))
    if len(lines) == 1:
        pytest.skip("the notator is sure of this waltz")
    top, bottom = lines[-1][0].metre
    assert advised.metres == (Metre(0, top, bottom),)
    assert (advised.metres, advised.tempos) != (plain.metres, plain.tempos)
    assert advised.n_notes == plain.n_notes
    assert all(50 < one.n_notes < 0.65 * performance.n_notes for one in adviser.pages)
    # What is given is not asked about.
    assert notate(performance, tempo=120, metre="3/4", adviser=adviser).metres == (Metre(0, 3, 4),)


def test_the_composer_finds_a_waltz_in_three_easier_than_in_four(shipped):
    performance = performed(waltz(bars=24), jitter=0.005)
    three, four = (shipped.bits_a_note(notate(performance, tempo=120, metre=one)) for one in ("3/4", "4/4"))
    assert three < four


def test_a_page_that_the_composer_cannot_read_has_no_bits(shipped):
    performance = performed(waltz(bars=4))
    written = notate(performance, tempo=120, metre="3/4")
    empty = replace(written, tracks=tuple(replace(t, notes=t.notes[:0], beats=t.beats[:0]) for t in written.tracks))
    assert shipped.bits_a_note(empty) is None
    odd = notate(performance, tempo=120, metre="3/4")
    assert shipped.bits_a_note(replace(odd, metres=(Metre(0, 31, 32),))) is None
