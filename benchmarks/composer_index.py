"""The originality index that ships with a composer, from the corpus that it was trained on.

    python -m benchmarks.composer_index --corpus DIR --out MODEL/originality.npz

The corpus is one of the recipe ``composer``, with its folder ``work``. The index holds fingerprints of the passages of
its training pieces as the composer sees them (on the grid of 24, one metre at a time), no music. Two bounds are
measured on the pieces of the validation split against the same index, what composers share without copying:

- ``human_run``, the run of notes that 95 of 100 eight-bar windows do not exceed; a bar that makes a longer one is drawn
  again;
- ``human_bars``, the share of a track's bars that stand in the index in the 32 bars after a seed of eight: its mean and
  its least-squares line over the seed's own share (:class:`cadenza.infer.original.BarShare`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.composer_held_out import Maker
from benchmarks.continuations import sounding
from cadenza.base.files import write_atomically
from cadenza.corpus.excerpts import viewed
from cadenza.infer.original import SEED_BARS as LEAST_BARS
from cadenza.metrics.originality import HUMAN_QUANTILE, OriginalityIndex, bar_hashes, usual_runs
from cadenza.score import edit
from cadenza.score.model import Score

SEED_BARS, PASSAGE_BARS = 8, 40
ROOT = Path(__file__).parents[1]


def parts(corpus: Path, split: str) -> Iterator[Score]:
    """Pitched pieces of a split as the composer sees them."""
    for _, piece in Maker(corpus, split).pieces:
        if not all(track.is_drums for track in piece.score.tracks):
            yield from (part for _, part, _ in viewed(piece.score))


def shares(scores: Iterable[Score], index: OriginalityIndex) -> NDArray[np.float64]:
    """Share of the bars that stand in the index, in a seed and in what follows it, shape (passages, 2)."""
    found = []
    for score in scores:
        for first in range(0, sounding(score) - PASSAGE_BARS + 1, SEED_BARS):
            both = [
                index.bars.holds(bar_hashes(edit.select_bars(start, stop).apply(score)))
                for start, stop in ((first, first + SEED_BARS), (first + SEED_BARS, first + PASSAGE_BARS))
            ]
            if len(both[0]) >= LEAST_BARS and len(both[1]) >= LEAST_BARS:
                found.append([float(hits.mean()) for hits in both])
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    fingerprint = json.loads((chosen.corpus / "manifest.json").read_bytes())["fingerprint"]
    index = OriginalityIndex.of(parts(chosen.corpus, "train"), split="train", corpus=fingerprint)
    scores = list(parts(chosen.corpus, "validation"))
    runs = usual_runs(scores, index)
    bars = shares(scores, index)
    slope, base = np.polyfit(bars[:, 0], bars[:, 1], 1).tolist()
    about: dict[str, Any] = index.about | {
        "human_run": int(np.quantile(runs, HUMAN_QUANTILE)),
        "human_bars": {"mean": float(bars[:, 1].mean()), "base": base, "slope": slope},
    }
    OriginalityIndex(index.passages, index.bars, about).save(chosen.out)
    found = about | {
        "windows": len(runs),
        "median_run": float(np.median(runs)),
        "longest_run": float(max(runs)),
        "passages": len(bars),
        "bars_correlation": float(np.corrcoef(bars.T)[0, 1]),
        "bytes": chosen.out.stat().st_size,
    }
    write_atomically(ROOT / "benchmarks/results/composer_index.json", (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
