"""How people go on: means and spreads of the ranker's columns (:mod:`cadenza.infer.rank`) over human continuations.

    python benchmarks/ranker_table.py --corpus CORPUS --out src/cadenza/models/ranker.json [--n 300]

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Of works of the
validation split and their arrangements as bands: sixteen bars as seed and the eight that follow, as composers wrote
them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.corpus.build import rng_for
from cadenza.infer.held_out import open_music
from cadenza.infer.rank import SEED_BARS, Ranker, columns_of
from cadenza.score import edit
from cadenza.score.time import bar_table


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--bars", type=int, default=8)
    options = parser.parse_args()
    scores = [(piece.name, piece.score) for piece in open_music(options.corpus).pieces("validation")]
    order = np.random.default_rng(0).permutation(len(scores))
    rows = []
    for place in order.tolist():
        name, score = scores[place]
        n_bars = len(bar_table(score))
        if n_bars < SEED_BARS + options.bars:
            continue
        first = int(rng_for(0, "ranker", name).integers(0, n_bars - SEED_BARS - options.bars + 1))
        cut = first + SEED_BARS
        try:
            seed = edit.select_bars(first, cut)(score)
            rows.append(columns_of(seed, edit.select_bars(cut, cut + options.bars)(score)))
        except CadenzaError:
            continue
        if len(rows) == options.n:
            break
    about = {"command": "benchmarks/ranker_table.py", "bars": options.bars, "seed_bars": SEED_BARS}
    ranker = Ranker.measured([row for row in rows if row], about)
    ranker.save(options.out)
    print(ranker.about)
    for name, (mean, spread) in ranker.scale.items():
        print(f"{name:28}{mean:8.3f} ± {spread:.3f}")


if __name__ == "__main__":
    main()
