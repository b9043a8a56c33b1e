"""Facts of a score, and predicates over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.errors import ConfigError
from cadenza.corpus.facts import NAMES, Facts, facts_of, polyphony
from cadenza.corpus.select import Weight, check, holds, reason
from cadenza.score.instruments import FAMILIES, family_of
from cadenza.score.model import STANDARD_TUNINGS, Bend, Key, Metre, Note, Score, Tempo, Track
from tests.strategies import scores

GUITAR = Track.of(
    [Note(480 * i, 480, 64 + i % 5, 90 + i % 3, (Bend(0, 0), Bend(240, 200)) if i % 4 == 0 else ()) for i in range(16)],
    tuning=STANDARD_TUNINGS["guitar"], program=30, name="Lead",
)  # fmt: skip
SONG = Score(
    (GUITAR, Track.of([Note(0, 1920, 40), Note(0, 1920, 47)], program=33), Track.of([Note(0, 10, 36)], is_drums=True)),
    tempos=(Tempo(0, 60),), metres=(Metre(0, 4, 4),), keys=(Key(0, -3, "minor"),), title="T", composer="Opeth",
)  # fmt: skip


def known(score: Score) -> dict:
    return facts_of(score).as_dict() | {"folder": "metal/opeth/t.gp5", "source": "tabs"}


def test_facts_of_a_song():
    facts = facts_of(SONG)
    assert facts.families == ("guitar", "bass", "drums")
    assert (facts.n_notes, facts.n_bars, facts.duration_seconds) == (19, 4, 16.0)
    assert facts.notes_per_second == pytest.approx(19 / 16, abs=1e-3)
    assert facts.bend_share == pytest.approx(4 / 18, abs=1e-4)
    assert (facts.key, facts.metre, facts.tempo, facts.n_velocities) == ("c minor", "4/4", 60.0, 4)
    assert (facts.low_pitch, facts.high_pitch) == (40, 68)


def test_polyphony_counts_what_sounds_at_once():
    assert polyphony([Track.of([Note(0, 480, 60), Note(480, 480, 62)])]) == (1.0, 1)
    assert polyphony([Track.of([Note(0, 960, 60), Note(480, 480, 62)])]) == (1.5, 2)
    assert polyphony([Track.of([Note(0, 480, 60)]), Track.of([Note(960, 480, 60)])]) == (1.0, 1)
    assert polyphony([]) == (0.0, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scores(max_tracks=3))
def test_any_score_has_facts(score):
    facts = facts_of(score)
    assert 0 <= facts.bend_share <= 1
    assert 0 <= facts.solo_share <= 1
    assert facts.max_polyphony >= facts.polyphony or not facts.max_polyphony
    assert set(facts.families) <= set(FAMILIES)
    assert set(facts.as_dict()) == set(NAMES) == set(Facts.__dataclass_fields__)


@pytest.mark.parametrize(
    ("track", "family"),
    [
        (Track(is_drums=True), "drums"),
        (Track(tuning=STANDARD_TUNINGS["guitar"], program=34), "guitar"),
        (Track(tuning=STANDARD_TUNINGS["bass"]), "bass"),
        (Track(name="Violin II"), "bowed"),
        (Track(name="Kontrabass"), "bowed"),
        (Track(name="E-Bass"), "bass"),
        (Track(name="Bass Clarinet"), "voice_wind"),
        (Track(name="Piano"), "keys"),
        (Track(name=""), "keys"),
        (Track(program=30), "guitar"),
        (Track(program=33), "bass"),
        (Track(program=73), "voice_wind"),
        (Track(program=53), "voice_wind"),
        (Track(program=120), "other"),
    ],
)
def test_families(track, family):
    assert family_of(track) == family


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ({}, True),
        ({"families": {"any": ["guitar"]}}, True),
        ({"families": {"none": ["keys", "bowed"]}}, True),
        ({"families": {"all": ["guitar", "keys"]}}, False),
        ({"artist": {"in": ["opeth", "Death"]}}, True),
        ({"artist": {"not_in": ["OPETH"]}}, False),
        ({"folder": {"matches": "^metal/"}}, True),
        ({"bend_share": {"min": 0.2, "max": 0.3}}, True),
        ({"bend_share": {"min": 0.3}}, False),
        ({"metre": {"equals": "3/4"}}, False),
        ({"any": [{"metre": {"equals": "3/4"}}, {"tempo": {"max": 100}}]}, True),
        ({"not": {"source": {"equals": "tabs"}}}, False),
        ({"all": [{"n_notes": {"min": 10}}, {"n_notes": {"max": 12}}]}, False),
    ],
)
def test_predicates(predicate, expected):
    check(predicate)
    assert holds(predicate, known(SONG)) is expected
    assert (reason(predicate, known(SONG)) is None) is expected


def test_a_reason_names_the_fact():
    assert reason({"bend_share": {"min": 0.5}}, known(SONG)) == "bend_share is 0.2222, not min 0.5"


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        ({"bend_shear": {"min": 1}}, "bend_share"),
        ({"bend_share": {"minimum": 1}}, "min"),
        ({"bend_share": 0.2}, "conditions such as"),
        ({"bend_share": {"min": "much"}}, "a number"),
        ({"artist": {"in": "Opeth"}}, "a list"),
        ({"artist": {"matches": "("}}, "regular expression"),
        ({"any": {"metre": {}}}, "a list of predicates"),
        ([], "a mapping"),
    ],
)
def test_a_wrong_predicate_is_named(predicate, message):
    with pytest.raises(ConfigError, match=message):
        check(predicate)


def test_weights_stress_without_throwing_away():
    weight = Weight("bend_share", 0.0, 0.2, 1.0, 4.0)
    assert [weight.of({"bend_share": share}) for share in (0.0, 0.1, 0.2, 0.9)] == [1.0, 2.5, 4.0, 4.0]
    with pytest.raises(ConfigError, match="a fact"):
        Weight("bends", 0, 1)
    with pytest.raises(ConfigError):
        Weight("bend_share", 1, 1)
    assert np.isfinite(weight.of(known(Score())))
