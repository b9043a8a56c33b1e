"""How people go on: means and spreads of the ranker's columns (:mod:`cadenza.infer.rank`) over human continuations.

    python benchmarks/ranker_table.py --corpus BASE.npz --out src/cadenza/models/ranker.json [--n 300]

BASE.npz is what ``python -m cadenza.corpus.build`` writes. Of works of the validation split and their arrangements as
bands: sixteen bars as seed and the eight that follow, as composers wrote them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.corpus.build import Corpus, rng_for
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
    corpus = Corpus(options.corpus)
    scores = [(piece.path, piece.score) for piece in corpus.base("validation")]
    scores += [(f"{record['path']} as a band", score) for _, record, score in corpus.bands("validation", 0)]
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
