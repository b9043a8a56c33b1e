"""Planted copies are found: transposed, re-timed, cut out, re-voiced; strangers are not linked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import FormatError
from cadenza.corpus import likeness
from cadenza.score.edit import merge_tracks, project, rescale, select_bars, stretch_tempo, transpose
from cadenza.score.model import Metre, Note, Score, Track
from tests.strategies import examples


def walk(seed: int, n: int, low: int = 60) -> list[Note]:
    """A tune of leaps and steps, mixed note values."""
    rng = np.random.default_rng(seed)
    at, pitch, out = 0, low + 7, []
    for _ in range(n):
        length = int(rng.choice([240, 480, 720, 960]))
        out.append(Note(at, length, pitch))
        pitch = int(np.clip(pitch + rng.choice([-7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 7]), low, low + 19))
        at += length
    return out


def piece(seed: int, n: int = 90) -> Score:
    tracks = [Track.of(walk(10 * seed + k, n, low)) for k, low in enumerate((66, 48))]
    return Score(tuple(tracks), metres=(Metre(0, 4, 4),))


def grouped(scores: dict[str, Score]) -> dict[str, str]:
    prints = [likeness.fingerprint(score) for score in scores.values()]
    return likeness.groups(list(scores), [runs for runs, _ in prints], [figures for _, figures in prints])


def revoiced(score: Score) -> Score:
    """The upper line played by a third instrument, the lower doubled an octave below, dealt out in other tracks."""
    upper, lower = score.tracks
    notes = lower.notes.copy()
    notes["pitch"] -= 12
    return replace(score, tracks=(lower.with_notes(notes), replace(lower, program=42), replace(upper, program=73)))


COPIES = {
    "transposed": lambda s: transpose(5)(s),
    "re-tempoed": lambda s: stretch_tempo(1.3)(s),
    "note values halved": lambda s: replace(rescale(2 * s.ticks_per_quarter)(s), ticks_per_quarter=s.ticks_per_quarter),
    "excerpt": lambda s: select_bars(4, 16)(s),
    "re-voiced": revoiced,
    "all at once": lambda s: project(revoiced(s), [transpose(-3), stretch_tempo(0.8), select_bars(2, 18)]),
}


@pytest.mark.parametrize("name", COPIES)
def test_planted_copies_are_found(name):
    strangers = {f"stranger {seed}": piece(seed) for seed in range(2, 12)}
    found = grouped({"original": piece(1), "planted": COPIES[name](piece(1)), **strangers})
    assert found["original"] == found["planted"]
    assert len(set(found.values())) == 1 + len(strangers)


#: What the benchmark plants, on scores whose lines are more than commonplace; each draws its own amounts.
@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10_000), n_tracks=st.integers(1, 4), semitones=st.integers(-6, 6), factor=st.floats(0.7, 1.4),
    first=st.integers(0, 8), n_bars=st.integers(16, 24), order=st.permutations(range(4)), merged=st.booleans(),
)  # fmt: skip
def test_whatever_is_planted_is_found(seed, n_tracks, semitones, factor, first, n_bars, order, merged):
    tracks = [Track.of(walk(10 * seed + k, 260, low)) for k, low in enumerate((66, 54, 45, 40)[:n_tracks])]
    original = Score(tuple(tracks), metres=(Metre(0, 4, 4),))
    copy = project(original, [transpose(semitones), select_bars(first, first + n_bars)])

    def stretched(track: Track) -> Track:
        notes = track.notes.copy()
        notes["onset_ticks"] = np.rint(notes["onset_ticks"] * factor)
        notes["duration_ticks"] = np.maximum(1, np.rint(notes["duration_ticks"] * factor))
        return Track(program=seed % 80, notes=notes)

    dealt = [stretched(copy.tracks[k]) for k in order if k < n_tracks]
    copy = copy.with_tracks(dealt)
    copy = merge_tracks()(copy) if merged else copy
    found = grouped({"original": original, "planted": copy, "stranger": piece(20_000 + seed)})
    assert found["original"] == found["planted"] != found["stranger"]


def test_many_copies_are_still_one_group():
    """No number of works makes a tune common property."""
    copies = {f"copy {step}": transpose(step)(piece(1)) for step in range(-20, 21)}
    assert len(set(grouped(copies | {"stranger": piece(2)}).values())) == 2


def test_an_inner_voice_that_moved_is_found():
    """The alto of four parts, alone with another accompaniment."""
    chorale = Score(tuple(Track.of(walk(900 + k, 60, low)) for k, low in enumerate((72, 60, 48, 36))))
    alto = Track.of(walk(901, 60, 60))
    other = Score((alto, Track.of(walk(905, 60, 80)), Track.of(walk(906, 60, 30))))
    assert len(set(grouped({"a": chorale, "b": other}).values())) == 1


def test_sums_are_those_of_windows():
    """The hash of a run, taken from a table of windows; different values counted by sorting each."""
    rng = np.random.default_rng(0)
    interval = rng.integers(-12, 13, 300)
    n = likeness.RUN_INTERVALS
    windows = np.lib.stride_tricks.sliding_window_view(interval, n)
    expected = ((windows + 1000).astype(np.uint64) * likeness._WEIGHTS[:n]).sum(axis=1, dtype=np.uint64)
    assert np.array_equal(likeness._sums([interval], n), expected ^ likeness._SEED[n])
    assert likeness.distinct(interval, n).tolist() == [len(set(row)) for row in windows.tolist()]
    assert len(likeness.distinct(interval[:5], n)) == 0


@pytest.mark.parametrize(
    "pitches",
    [
        [60, 64, 67, 73, 75, 82, 70] * 8,  # a figure again and again
        [40, 47, 52, 55, 61, 63] * 5 + [41, 48, 53, 56, 62, 64] * 5,  # … with one break
    ],
)
def test_figures_again_and_again_prove_nothing(pitches):
    line = Score((Track.of([Note(240 * i, 240, p) for i, p in enumerate(pitches)]),))
    assert len(set(np.diff(pitches))) >= likeness.MIN_DISTINCT[likeness.RUN_INTERVALS]  # it is not that rule
    assert not len(likeness.fingerprint(line)[0])


def test_a_few_chords_prove_nothing():
    rng = np.random.default_rng(4)
    chords = [Note(960 * i, 960, int(p)) for i in range(8) for p in np.sort(rng.choice(np.arange(40, 80), 6, False))]
    assert not len(likeness.fingerprint(Score((Track.of(chords),)))[0])


def test_common_property_links_nobody():
    scale = [60 + step + 12 * octave for octave in range(3) for step in (0, 2, 4, 5, 7, 9, 11)]
    ladder = Score((Track.of([Note(240 * i, 240, scale[i % 21]) for i in range(80)]),))
    trill = Score((Track.of([Note(120 * i, 120, 60 + i % 2) for i in range(80)]),))
    found = grouped({"a": trill, "b": trill, "c": piece(3)})
    assert found["a"] != found["b"]  # a trill proves nothing
    many = {f"work {number}": ladder for number in range(5)}
    assert len(set(grouped(many).values())) == len(many)  # neither does a scale


def test_a_short_quotation_does_not_link():
    quoted = walk(77, 12)
    scores = {}
    for name, seed in (("a", 1), ("b", 2)):
        end = quoted[-1].onset_ticks + quoted[-1].duration_ticks
        later = [replace(n, onset_ticks=n.onset_ticks + end) for n in walk(seed, 80)]
        scores[name] = Score((Track.of(quoted + later),))
    assert len(set(grouped(scores).values())) == 2


def test_a_long_run_links_whatever_its_rhythm():
    run = walk(5, likeness.RUN_NOTES)
    even = [replace(n, onset_ticks=480 * i, duration_ticks=480) for i, n in enumerate(run)]
    assert len(set(grouped({"a": Score((Track.of(run),)), "b": Score((Track.of(even),))}).values())) == 1


def test_nothing_is_no_music():
    assert grouped({"a": Score(), "b": Score((Track(),))}) == {"a": "a", "b": "b"}


def joined_in_memory(pieces: list[tuple[str, np.ndarray, list[np.ndarray]]]) -> dict[str, str]:
    """The definition, hash by hash: every run that two works share, every two lines with enough figures in common."""
    group = {work: work for work, _, _ in pieces}

    def join(one: str, other: str) -> None:
        first, second = sorted((group[one], group[other]))
        group.update({work: first for work, head in group.items() if head == second})

    holders: dict[int, set[str]] = {}
    lines: list[tuple[str, set[int]]] = []
    for work, runs, figures in pieces:
        for run in runs.tolist():
            holders.setdefault(run, set()).add(work)
        lines += [(work, set(line.tolist())) for line in figures]
    for works in holders.values():
        for other in works:
            join(min(works), other)
    having: dict[int, set[str]] = {}
    for work, line in lines:
        for figure in line:
            having.setdefault(figure, set()).add(work)
    for at, (work, line) in enumerate(lines):
        for other, more in lines[at + 1 :]:
            shared = sum(len(having[figure]) <= likeness.MAX_WORKS for figure in line & more)
            least = likeness.MIN_CONTAINED * min(len(line), len(more))
            if work != other and shared >= likeness.MIN_SHARED and shared >= least:
                join(work, other)
    return group


@pytest.mark.parametrize("longest", [1 << 20, 64, 20])
def test_groups_are_the_same_from_memory_and_from_many_files(longest, monkeypatch, tmp_path):
    monkeypatch.setattr(likeness, "_LONGEST_BUCKET", longest)
    rng = np.random.default_rng(longest)
    for number in range(2):
        pieces = []
        for piece_number in range(40):
            work = f"work {rng.integers(0, 30)}"
            runs = np.unique(rng.integers(0, 900, rng.integers(0, 6)).astype(np.uint64))
            lines = [np.unique(rng.integers(0, 60, n).astype(np.uint64)) for n in rng.integers(0, 26, 2)]
            pieces.append((work, runs, [line + np.uint64(60 * (piece_number % 17)) for line in lines if len(line)]))
        n_runs, n_figures = sum(len(r) for _, r, _ in pieces), sum(len(line) for *_, f in pieces for line in f)
        index = likeness.Index(tmp_path / str(number), n_runs, n_figures)
        for one in pieces:
            index.add(*one)
        found = index.groups()
        assert found == joined_in_memory(pieces)
        assert 1 < len(set(found.values())) < len(found)  # some are joined, not all
        assert not [path for path in (tmp_path / str(number)).rglob("*") if path.is_file()]


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(likeness, "_LONGEST_BUCKET", 8)
    (tmp_path / "here").write_text("a file in the way")
    index = likeness.Index(tmp_path / "here", 100, 0)
    with pytest.raises(FormatError, match="a writable place with room"):
        index.add("a", np.arange(100, dtype=np.uint64), [])
