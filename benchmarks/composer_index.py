"""The originality index that ships with a composer, from the corpus that it was trained on.

    python -m benchmarks.composer_index --corpus DIR --out MODEL/originality.npz

The corpus is one of the recipe ``composer``, with its folder ``work``. The index holds fingerprints of the passages of
its training pieces as the composer sees them (on the grid of 24, one metre at a time), no music. ``human_run`` is the
run of notes that 95 of 100 eight-bar windows of the held-out pieces do not exceed against the same index:
what composers share with each other without copying; a bar that makes a longer one is drawn again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.composer_held_out import Maker
from cadenza.base.files import write_atomically
from cadenza.corpus.excerpts import viewed
from cadenza.metrics.originality import HUMAN_QUANTILE, OriginalityIndex, usual_runs
from cadenza.score.model import Score

ROOT = Path(__file__).parents[1]


def parts(corpus: Path, split: str) -> Iterator[Score]:
    """Pitched pieces of a split as the composer sees them."""
    for _, piece in Maker(corpus, split).pieces:
        if not all(track.is_drums for track in piece.score.tracks):
            yield from (part for _, part, _ in viewed(piece.score))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    fingerprint = json.loads((chosen.corpus / "manifest.json").read_bytes())["fingerprint"]
    index = OriginalityIndex.of(parts(chosen.corpus, "train"), split="train", corpus=fingerprint)
    runs = usual_runs(parts(chosen.corpus, "test"), index)
    human = int(np.quantile(runs, HUMAN_QUANTILE))
    about: dict[str, Any] = index.about | {"human_run": human}
    OriginalityIndex(index.passages, index.bars, about).save(chosen.out)
    found = about | {
        "windows": len(runs),
        "median_run": float(np.median(runs)),
        "longest_run": float(max(runs)),
        "bytes": chosen.out.stat().st_size,
    }
    write_atomically(ROOT / "benchmarks/results/composer_index.json", (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
