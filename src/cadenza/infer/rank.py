"""Which take first? How far each lies from what people do when they go on.

Of held-out human music, some bars and their true continuation are measured with the columns of :data:`COLUMNS`: how
much of pitch classes and rhythm is taken over, whether the key stays, whether it thins out, how much repeats, how even
the groove is. Mean and spread of each are kept (``models/ranker.json``, made by ``benchmarks/ranker_table.py``). A
take's score is the mean distance of its columns from the human mean in spreads, each cut at three, and then turned
round: 100 / (1 + distance). So neither the tamest nor the wildest take wins, but the one whose figures are most like
those of music that goes on. 100 would be human music's mean in every column; human continuations themselves have a
median that the table says.

It judges statistics, not beauty: a take that nobody wants can score well, and a bold one badly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.metrics.base import METRICS
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.score.time import bar_table

#: metric → the columns that count.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "continuation": ("pitch_class_overlap_seed", "rhythm_overlap_seed", "key_distance", "density_ratio"),
    "repetition": ("rep_1_bars", "rep_2_bars"),
    "pitch": ("scale_consistency", "polyphony"),
    "rhythm": ("empty_bar_rate", "groove_consistency"),
}
MAX_SPREADS = 3.0
SEED_BARS = 16
ALIKE = 0.9  # share of common notes from which two takes are the same


def columns_of(seed: Score | None, est: Score) -> dict[str, float]:
    """The columns of a stretch of music that follows (or stands beside) ``seed``; those that are defined."""
    out: dict[str, float] = {}
    if not est.n_notes:
        return out
    for name, wanted in COLUMNS.items():
        metric = METRICS.load(name)
        if metric.needs == "seed+ref+est":
            if seed is None or not seed.n_notes:
                continue
            found = metric(seed=seed, est=est)
        else:
            found = metric(est=est)
        out |= {column: found[column] for column in wanted if column in found}
    return out


@dataclass(frozen=True)
class Ranker:
    """Human means and spreads.

    Args:
        scale: column → (mean, spread).
        about: what they were measured on.
    """

    scale: Mapping[str, tuple[float, float]]
    about: Mapping[str, Any]

    @classmethod
    def measured(cls, rows: Sequence[Mapping[str, float]], about: dict[str, Any]) -> Ranker:
        """Of the columns of human continuations."""
        scale = {}
        for column in (name for names in COLUMNS.values() for name in names):
            values = np.array([row[column] for row in rows if column in row])
            if len(values):
                scale[column] = (float(values.mean()), float(values.std()))
        ranker = cls(scale, {})
        median = float(np.median([ranker.score(row) for row in rows]))
        return cls(scale, {**about, "n": len(rows), "human_median": round(median, 1)})

    def score(self, row: Mapping[str, float]) -> float:
        """0–100; 0 for a take without any column (nothing sounds)."""
        distances = [
            min(abs(row[name] - mean) / max(spread, 0.02), MAX_SPREADS)
            for name, (mean, spread) in self.scale.items()
            if name in row
        ]
        return 100 / (1 + float(np.mean(distances))) if distances else 0.0

    def save(self, path: Path) -> None:
        """Write as JSON."""
        scale = {name: [round(value, 6) for value in pair] for name, pair in self.scale.items()}
        path.write_text(json.dumps({"about": self.about, "scale": scale}, indent=1), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Ranker:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or not of that form.
        """
        try:
            saved = json.loads(path.read_text("utf-8"))
            return cls({name: (float(m), float(s)) for name, (m, s) in saved["scale"].items()}, saved["about"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError("a table of human continuations", str(error), where=str(path)) from None


@cache
def default_ranker() -> Ranker:
    """The one that comes with the package."""
    return Ranker.load(Path(str(files("cadenza"))) / "models" / "ranker.json")


def seed_and_part(score: Score, parts: Sequence[tuple[int, int, int]]) -> tuple[Score | None, Score]:
    """What stood already near the written parts (the bars before; where there are none, all else), and the parts alone
    from their first tick on."""
    start, stop = min(start for _, start, _ in parts), max(stop for _, _, stop in parts)
    mine: dict[int, list[tuple[int, int]]] = {}
    for index, first, last in parts:
        mine.setdefault(index, []).append((first, last))
    written, rest = [], []
    for place, track in enumerate(score.tracks):
        onset = track.notes["onset_ticks"]
        inside = np.zeros(len(track), bool)
        for first, last in mine.get(place, ()):
            inside |= (onset >= first) & (onset < last)
        written.append(track.keep(inside))
        rest.append(track.keep(~inside))
    est = select_ticks(start, stop)(score.with_tracks(written))
    table = bar_table(score)
    first = int(table.index_of(start))
    before = score.with_tracks(rest)
    if first:
        begin = int(table.starts_ticks[max(0, first - SEED_BARS)])
        near = select_ticks(begin, start)(before)
        if near.n_notes:
            return near, est
    return (before if before.n_notes else None), est


def likeness(one: Score, other: Score) -> float:
    """Share of the notes (track, onset, pitch) that two scores have in common; 1 for two silent ones."""

    def notes(score: Score) -> set[tuple[int, int, int]]:
        return {
            (place, onset, pitch)
            for place, track in enumerate(score.tracks)
            for onset, pitch in zip(track.notes["onset_ticks"].tolist(), track.notes["pitch"].tolist(), strict=True)
        }

    first, second = notes(one), notes(other)
    return len(first & second) / len(first | second) if first | second else 1.0
