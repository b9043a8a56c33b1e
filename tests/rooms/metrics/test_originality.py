"""What is copied is found, in any key, rhythm and all; what is not is not; an index says nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cadenza.base.errors import FormatError
from cadenza.metrics import originality as o
from cadenza.metrics.base import METRICS
from cadenza.score import edit
from cadenza.score.model import Note, Score, Track

METRIC = METRICS.load("originality")


def tune(seed: int, n: int = 64) -> Score:
    rng = np.random.default_rng(seed)
    length = rng.choice([120, 240, 480], n)
    onset = np.cumsum(length) - length
    notes = [Note(int(t), int(d), int(p)) for t, d, p in zip(onset, length, rng.integers(50, 90, n), strict=True)]
    return Score((Track.of(notes),))


def joined(*scores: Score) -> Score:
    return edit.joined([edit.select_ticks(0, -(-s.length_ticks // 1920) * 1920)(s) for s in scores])


INDEX = o.OriginalityIndex.of(tune(seed) for seed in range(30))


def test_a_copy_is_found_in_any_key_and_another_rhythm_is_none():
    copy = edit.transpose(3)(tune(4))
    found = METRIC(est=copy, index=INDEX)
    assert found == {"copied_run_index": 64, "copied_notes_index": 1, "copied_bars_index": 1}
    notes = tune(4).tracks[0].notes.copy()
    notes["onset_ticks"] = np.arange(len(notes)) * 480
    notes["duration_ticks"] = 480
    even = METRIC(est=Score((tune(4).tracks[0].with_notes(notes),)), index=INDEX)
    assert even["copied_run_index"] == 0
    assert METRIC(est=edit.stretch_tempo(1.3)(tune(4)), index=INDEX)["copied_run_index"] == 64


def test_new_music_is_new():
    found = METRIC(est=tune(1000, 2000), index=INDEX)
    assert found["copied_run_index"] == 0
    assert found["copied_notes_index"] == 0


def test_the_run_has_the_length_that_was_copied():
    quoted = edit.select_ticks(0, 1920 * 3)(tune(7))
    n = quoted.n_notes
    mixed = joined(tune(2000), quoted, tune(2001))
    found = METRIC(est=mixed, index=INDEX)
    assert n <= found["copied_run_index"] <= n + 1  # a neighbour may fit by chance
    assert found["copied_notes_index"] == pytest.approx(n / mixed.n_notes, abs=0.02)


def test_seed_and_index_are_told_apart():
    seed, own = tune(3000), tune(3001)
    found = METRIC(est=seed, index=INDEX, seed=seed)
    assert found["copied_run_seed"] == 64
    assert found["copied_run_index"] == 0
    assert METRIC(est=own, seed=seed)["copied_bars_seed"] == 0


def test_a_melody_is_found_under_other_chords():
    melody = tune(9).tracks[0]
    below = Track.of([*melody, *(Note(n.onset_ticks, n.duration_ticks, 40) for n in melody)])
    assert METRIC(est=Score((below,)), index=INDEX)["copied_run_index"] == 64


def test_drums_and_short_lines_do_not_count():
    assert METRIC(est=Score((Track.of(list(tune(4).tracks[0]), is_drums=True),)), index=INDEX) == {}
    assert METRIC(est=edit.select_ticks(0, 480)(tune(4)), index=INDEX) == {}


def test_set_holds_what_was_put_in_and_hardly_anything_else():
    rng = np.random.default_rng(0)
    inside, outside = (rng.integers(0, 2**64, 300_000, dtype=np.uint64) for _ in range(2))
    held = o.FingerprintSet.of(inside)
    assert held.holds(inside).all()
    wrong = held.holds(outside).mean()
    assert held.false_positives <= 1 / 65_536
    assert wrong <= 2 * held.false_positives + 1e-5
    assert not o.FingerprintSet.of(inside[:0]).holds(outside).any()


def test_index_is_saved_without_pickle_and_small(tmp_path):
    path = tmp_path / "index.npz"
    INDEX.save(path)
    again = o.OriginalityIndex.load(path)
    assert again.about == {"scores": 30, "notes": 30 * 64}
    assert METRIC(est=tune(4), index=again) == METRIC(est=tune(4), index=INDEX)
    big = o.FingerprintSet.of(np.random.default_rng(1).integers(0, 2**64, 1 << 20, dtype=np.uint64))
    assert (big.kept.nbytes + big.count.nbytes) / len(big) <= 3.01


def test_what_is_no_index_is_refused(tmp_path):
    path = tmp_path / "index.npz"
    with pytest.raises(FormatError):
        o.OriginalityIndex.load(path)
    path.write_bytes(b"PK not a zip")
    with pytest.raises(FormatError):
        o.OriginalityIndex.load(path)
    np.savez(path, head=np.frombuffer(b'{"version":1,"about":{}}', np.uint8), passages_count=np.zeros(3))
    with pytest.raises(FormatError):
        o.OriginalityIndex.load(path)
    held = {f"{n}_{c}": x for n in ("passages", "bars") for c, x in
            (("count", np.zeros(16, np.uint8)), ("kept", np.zeros(2, np.uint16)))}  # fmt: skip
    np.savez(path, head=np.frombuffer(b'{"version":1,"about":{}}', np.uint8), **held)
    with pytest.raises(FormatError):
        o.OriginalityIndex.load(path)


def test_an_index_that_grows_holds_both():
    grown = INDEX.with_([tune(seed) for seed in range(100, 140)], corpus="mine")
    for seed in (3, 29, 100, 139):
        assert METRIC(est=edit.transpose(2)(tune(seed)), index=grown)["copied_run_index"] == 64
    assert METRIC(est=tune(1000, 2000), index=grown)["copied_run_index"] == 0
    both = o.OriginalityIndex.of(tune(seed) for seed in (*range(30), *range(100, 140)))
    assert grown.about == both.about | {"corpus": "mine"}
    assert abs(len(grown.passages) - len(both.passages)) <= 1  # two may share the bits that are kept


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_a_set_that_grows_loses_nothing(one, other):
    first, second = (np.frombuffer(data[: len(data) // 8 * 8], np.uint64) for data in (one, other))
    grown = o.FingerprintSet.of(first).with_(second)
    assert grown.holds(first).all()
    assert grown.holds(second).all()
    assert len(grown) <= len({*first.tolist(), *second.tolist()})


def test_usual_runs_are_those_of_whole_windows():
    quoted = joined(tune(500, 40), edit.select_ticks(0, 1920 * 3)(tune(7)), tune(501, 200))
    runs = o.usual_runs([quoted], INDEX)
    assert len(runs) == quoted.length_ticks // 1920 // o.WINDOW_BARS
    assert max(runs) > 0 == min(runs)
