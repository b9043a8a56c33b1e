"""Every metric: its papers, its ranges, its refusals."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza import formats
from cadenza.base.errors import ConfigError
from cadenza.metrics.base import METRICS, NEEDS, Column, Metric, columns
from cadenza.score.model import Note, Score, Track

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = METRICS.names()


def test_columns_have_one_owner():
    found = columns()
    assert len(found) > 100
    assert all(metric.column(name) == column for name, (metric, column) in found.items())


@pytest.mark.parametrize("name", NAMES)
def test_papers_are_whole(name):
    metric = METRICS.load(name)
    assert metric.name == name
    assert metric.source
    assert metric.summary.endswith(".")
    assert metric.needs in NEEDS
    module = inspect.getmodule(metric.compute)
    assert len((module.__doc__ or "").split()) > 60, "a page of prose opens the module"
    assert (module.__doc__ or "").partition("\n")[0].endswith((".", ":"))
    for column in metric.columns:
        assert column.low < column.high
        assert column.better in ("higher", "lower", "reference")
        assert column.summary.endswith(".")
        assert column.name == column.name.lower().replace(" ", "_").replace("-", "_")


def test_words_are_refused():
    metric = METRICS.load("pitch")
    with pytest.raises(ConfigError, match="score"):
        metric(score=Score())
    with pytest.raises(ConfigError, match="no est"):
        metric()
    with pytest.raises(ConfigError, match="est"):
        METRICS.load("transcription")(ref=Score())
    with pytest.raises(ConfigError, match="neither"):
        METRICS.load("originality")(est=Score())
    column = Column("a", 0, 1, "higher", "", "A.")
    other = Metric("made", "Up.", "nobody", (column,), "est", lambda est: {"b": 1.0})
    with pytest.raises(ConfigError, match="columns"):
        other(est=Score())
    with pytest.raises(ConfigError, match="pitches_used"):
        metric.column("pitchs_used")
    with pytest.raises(ConfigError, match="kind of inputs"):
        Metric("made", "Up.", "nobody", (), "nothing", dict)


def test_not_a_number_is_refused():
    metric = Metric(
        "made", "Up.", "nobody", (Column("a", 0, 1, "higher", "", "A."),), "est", lambda est: {"a": math.nan}
    )
    with pytest.raises(ConfigError, match="finite"):
        metric(est=Score())


notes = st.builds(
    Note,
    st.integers(0, 4000),
    st.integers(0, 2000),
    st.integers(0, 127),
)
tracks = st.builds(lambda n, d, p: Track.of(n, is_drums=d, program=p), st.lists(notes, max_size=12), st.booleans(),
                   st.integers(0, 127))  # fmt: skip
scores = st.builds(lambda t: Score(tuple(t)), st.lists(tracks, max_size=3))


def within(metric: Metric, values: dict[str, float]) -> None:
    for name, value in values.items():
        column = metric.column(name)
        assert math.isfinite(value)
        assert column.low - 1e-9 <= value <= column.high + 1e-9, (name, value)


@settings(max_examples=30, deadline=None)
@given(scores, scores)
def test_any_score_gives_finite_values_within_range(a, b):
    for name in NAMES:
        metric = METRICS.load(name)
        if metric.needs == "est":
            within(metric, metric(est=a))
        elif metric.needs == "ref+est":
            within(metric, metric(ref=a, est=b))
        elif metric.needs == "seed+ref+est":
            within(metric, metric(seed=a, ref=b, est=a))
        elif metric.needs == "index":
            within(metric, metric(est=a, seed=b))
        elif metric.needs == "set":
            within(metric, metric(ref=[a, b], est=[b, a, b]))


@pytest.mark.parametrize("piece", ["chorale.mid", "riff.gp5", "waltz.mid"])
def test_a_piece_against_itself_is_perfect(piece):
    score = formats.read(EXAMPLES / piece)
    for name in NAMES:
        metric = METRICS.load(name)
        if metric.needs == "ref+est":
            for column, value in metric(ref=score, est=score).items():
                better = metric.column(column).better
                assert value == pytest.approx(1 if better == "higher" else 0), column


def test_ticks_do_not_matter():
    """The same music at another resolution has the same figures."""
    score = formats.read(EXAMPLES / "chorale.mid")
    from cadenza.score import edit

    finer = edit.rescale(960)(score)
    for name in NAMES:
        metric = METRICS.load(name)
        if metric.needs == "est":
            a, b = metric(est=score), metric(est=finer)
            assert a.keys() == b.keys()
            assert np.allclose(list(a.values()), list(b.values()), atol=1e-6)
