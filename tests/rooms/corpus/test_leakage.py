"""The exhaustive search over a split: finds what is shared, passes over the commonplace, finds nothing in ours."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from benchmarks import leakage
from cadenza.base.errors import FormatError
from cadenza.corpus import sources
from cadenza.corpus.store import Piece
from cadenza.score.model import Note, Score, Track


def piece(name: str, pitches: list[int]) -> Piece:
    notes = [Note(240 * i, 240, pitch) for i, pitch in enumerate(pitches)]
    return Piece(name, "test", "", "", Score((Track.of(notes),)), path=name)


def walk(seed: int, n: int) -> list[int]:
    return np.clip(60 + np.cumsum(np.random.default_rng(seed).integers(-5, 6, n)), 30, 96).tolist()


def test_a_shared_run_is_counted_and_named():
    run = walk(1, 30)
    pieces = [piece("a", walk(2, 40) + run + walk(3, 40)), piece("b", walk(4, 50) + [p + 3 for p in run])]
    pieces.append(piece("c", walk(5, 99)))
    found = leakage.leakage(leakage.index(pieces), pieces, ["train", "test", "test"])
    # A run of 30 notes holds seven of 24; a monophonic track's highest and lowest line and all its notes are the same.
    assert (found["pairs"], found["held_out_pieces_that_leak"], found["runs"]) == (1, 1, 7)
    assert found["runs_by_line"] == {"highest": 7, "lowest": 7, "second highest": 0, "all notes": 7}
    assert found["longest_shared_notes"] == 30
    assert found["most"] == [["a", "b", 7]]


def test_shorter_runs_and_the_commonplace_are_none():
    short, figure = walk(1, 23), [60, 64, 67, 73, 75, 82, 70] * 6
    pieces = [piece("a", walk(2, 40) + short), piece("b", walk(3, 40) + short), piece("c", figure), piece("d", figure)]
    numbered, splits = leakage.index(pieces), ["train", "test", "train", "test"]
    assert leakage.leakage(numbered, pieces, splits)["runs"] == 0
    assert leakage.leakage(numbered, pieces, splits, commonplace=True)["pairs"] == 1  # the figure, again and again


def test_our_split_of_hymns_and_planted_copies_leaks_nothing(shared_data: Path):
    hymns: list[Piece] = []
    for recipe in list(sources.SOURCES["openhymnal"](shared_data / "openhymnal"))[:80]:
        with contextlib.suppress(FormatError):  # a few drift apart, which their source says
            hymns.append(recipe.piece())
    assert len(hymns) > 60
    result = leakage.measure(hymns, 12, seed=3)
    assert sum(kind["of"] for kind in result["planted"].values()) >= 8
    assert result["planted_missed"] == []
    assert result["leakage"]["ours, by group"]["runs"] == 0
    assert result["leakage"]["random, by file"]["runs"] > 0
