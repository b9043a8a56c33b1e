"""A planted loop is cured: benchmarks/ditto.py at its own size, with DITTO alone and one seed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("pyarrow", reason="training needs the extra [train]")

from benchmarks import ditto


def test_the_planted_rows_are_loops():
    codec = ditto.vocabulary()
    songs = ditto.documents(20, 0, codec)
    both = ditto.with_loops(songs, 10, np.random.default_rng(0))
    assert len(both) == 30
    for index in range(20, 30):
        ids, labels = both.document(index)
        assert len(ids) == ditto.CONTEXT
        begin = int(both.n_given[index]) - ditto.BAR_TOKENS
        assert codec.detokenize(ids[begin : begin + 1].tolist()) == "|"
        assert (np.resize(ids[begin : begin + ditto.BAR_TOKENS], len(ids) - begin) == ids[begin:]).all()
        assert (labels[: begin + ditto.BAR_TOKENS] == -100).all()
    natural = ditto.human(songs)
    assert natural["looping"] == 0
    assert natural["rep_1_bars"] == 0


@pytest.mark.slow
def test_ditto_cures_a_planted_loop():
    found = ditto.experiment(0, 180, 100, {"ditto": ditto.WAYS["ditto"]})
    plant, cured = found["plant"], found["ditto"]
    # The plant copies from its context, believes it more with each copy, and loops.
    assert plant.curves.tp[3] > plant.curves.tp[0] + 0.3
    assert plant.looping > 0.8
    assert plant.rep_bars > 0.6
    # Cured: bars repeat as seldom as in the music, what is repeated gets no likelier, and songs are not told worse.
    assert cured.looping < 0.1
    assert cured.rep_bars < 0.25
    assert cured.curves.tp[3] < cured.curves.tp[0] + 0.1
    assert cured.loss <= plant.loss
