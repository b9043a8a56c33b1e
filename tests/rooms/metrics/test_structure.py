"""Structure: entropies, pairs of bars, chords by hand; fitness against a search of all path families."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.metrics import structure as s
from cadenza.metrics.base import METRICS
from cadenza.metrics.view import notes_of, sounding_bars
from cadenza.score.model import Note, Score, Track

METRIC = METRICS.load("structure")


def bars(*kinds: str, seed: int = 0) -> Score:
    """Equal letters are equal bars of eight notes."""
    made = {kind: np.random.default_rng([seed, ord(kind)]).integers(50, 80, 8) for kind in set(kinds)}
    return Score(
        (Track.of([Note(1920 * i + 240 * j, 240, int(p)) for i, k in enumerate(kinds) for j, p in enumerate(made[k])]),)
    )


def slow_fitness(matrix: np.ndarray, start: int, m: int) -> float:
    """All families of paths by recursion over rows: the best score, then its cells and coverage."""
    n = len(matrix)
    best = (-np.inf, 0, 0)

    def walk(row: int, column: int, cells: int, total: float, first: int):  # type: ignore[no-untyped-def]
        total += matrix[row, start + column]
        cells += 1
        if column == m - 1:
            yield total, cells, row + 1, row + 1 - first
        for down, right in ((1, 1), (2, 1), (1, 2)):
            if row + down < n and column + right < m:
                yield from walk(row + down, column + right, cells, total, first)

    paths = [(row, *p) for row in range(n) for p in walk(row, 0, 0, 0.0, row)]

    def families(row: int, total: float, cells: int, covered: int) -> None:
        nonlocal best
        if total > best[0] + 1e-12:
            best = (total, cells, covered)
        for first, score, length, stop, rows in paths:
            if first >= row and score > 0:
                families(stop, total + score, cells + length, covered + rows)

    families(0, 0.0, 0, 0)
    total, cells, covered = best
    score = max(0.0, (total - m) / cells) if cells else 0.0
    coverage = max(0.0, (covered - m) / n)
    return 2 * score * coverage / (score + coverage) if score + coverage else 0.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("m", [1, 2, 3])
def test_fitness_is_that_of_the_best_family(seed, m):
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(-1, 1, (7, 7))
    matrix = np.where(rng.random((7, 7)) < 0.5, -1, (matrix + matrix.T) / 2)
    np.fill_diagonal(matrix, 1)
    found = s.fitness(matrix, m)
    assert len(found) == 7 - m + 1
    assert found == pytest.approx([slow_fitness(matrix, start, m) for start in range(7 - m + 1)])


def test_passages_that_come_back_are_structure():
    repeated = METRIC(est=bars(*"abcdefgh" * 2, *"ijklmnop"))
    through = METRIC(est=bars(*"abcdefghijklmnopqrstuvwx"))
    assert repeated["structure_long"] > 0.3 > 0.05 > through["structure_long"]
    assert repeated["structure_mid"] > 0.15 > 0.05 > through["structure_mid"]
    small = METRIC(est=bars(*"aabaacaadaaeaafaag"))
    assert small["structure_short"] > small.get("structure_long", 0)
    assert METRIC(est=bars(*"a" * 32))["structure_short"] > 0.95


def test_groove_similarity_is_the_mean_over_pairs():
    score = bars(*"abc")
    notes = [n for n in score.tracks[0] if (n.onset_ticks // 240) % 3 or n.onset_ticks < 1920]
    score = Score((Track.of(notes),), length_ticks=5760)
    from cadenza.metrics.rhythm import onset_patterns

    pattern, _ = onset_patterns(score, sounding_bars(score))
    pairs = [(pattern[i] != pattern[j]).mean() for i in range(3) for j in range(i)]
    assert METRIC(est=score)["groove_similarity"] == pytest.approx(1 - np.mean(pairs))


def chord(root: int, minor: bool, start: int) -> list[Note]:
    return [Note(start, 960, root + step) for step in (0, 3 if minor else 4, 7)]


def test_chords_are_found_and_trigrams_counted():
    plan = [(60, False), (57, True), (65, False), (67, False)] * 3
    score = Score((Track.of([n for i, (r, m) in enumerate(plan) for n in chord(r, m, 960 * i)]),))
    found = s.chords(notes_of(score), s.half_bars(sounding_bars(score), 480))
    assert found.tolist() == [0, 21, 5, 7] * 3
    assert METRIC(est=score)["unique_chord_trigrams"] == pytest.approx(4 / 10)
    assert s.unique_trigrams(np.array([0, 0, 5, 5])) is None


def test_entropies():
    found = METRIC(est=Score((Track.of([Note(1920 * i, 480, 60 + i % 4) for i in range(8)]),)))
    assert found["pitch_class_entropy_1"] == 0
    assert found["pitch_class_entropy_4"] == 2
