"""Planted copies are found: transposed, re-timed, cut out, re-voiced; strangers are not linked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cadenza.corpus import likeness
from cadenza.score.edit import project, rescale, select_bars, stretch_tempo, transpose
from cadenza.score.model import Metre, Note, Score, Track


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


def test_common_property_links_nobody():
    scale = [60 + step + 12 * octave for octave in range(3) for step in (0, 2, 4, 5, 7, 9, 11)]
    ladder = Score((Track.of([Note(240 * i, 240, scale[i % 21]) for i in range(80)]),))
    trill = Score((Track.of([Note(120 * i, 120, 60 + i % 2) for i in range(80)]),))
    found = grouped({"a": trill, "b": trill, "c": piece(3)})
    assert found["a"] != found["b"]  # a trill proves nothing
    many = {f"work {number}": ladder for number in range(likeness.MAX_WORKS + 1)}
    assert len(set(grouped(many).values())) == len(many)  # neither does what everybody plays


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
