"""How far music repeats itself: the table that the loop guard asks (:mod:`cadenza.infer.loops`).

    python benchmarks/loop_table.py --corpus BASE.npz --out src/cadenza/models/loops.json [--pieces N]

BASE.npz is what ``python -m cadenza.corpus.build`` writes. Of pieces of the training split (and of their arrangements
as bands), told as the model reads them, every bar is asked: how many times in a row have the last 1, 2, 3, 4, 6, 8 bars
been heard, and how many of the sixteen bars before equal it? The table holds the share of bars at which each count is
reached. A model folder may bring one of its own corpus as ``loops.json``.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.corpus.build import Corpus
from cadenza.corpus.excerpts import MODEL_NOTATION, passages
from cadenza.infer.loops import GROUPS, RARE, LoopTable, key_of


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=int, default=600, help="drawn at random; and a third as many bands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = Corpus(options.corpus)
    base = corpus.base("train")
    chosen = np.random.default_rng(options.seed).permutation(len(base))[: options.pieces]
    scores = [base[int(place)].score for place in chosen]
    scores += [score for _, _, score in islice(corpus.bands("train", options.seed), options.pieces // 3)]
    told: list[list[str]] = []
    for score in scores:
        try:
            told += [[key_of(bar) for bar in passage.bars] for passage in passages(score, MODEL_NOTATION)]
        except CadenzaError:
            continue
    sources = sorted({base[int(place)].source for place in chosen})
    about = {"command": "benchmarks/loop_table.py", "seed": options.seed, "sources": sources, "scores": len(scores)}
    table = LoopTable.measured(told, about)
    table.save(options.out)
    print(f"{table.about['pieces']} passages, {table.about['bars']:,} bars")
    for kind in (*map(str, GROUPS), "near"):
        shares = "  ".join(f"{share:.4f}" for share in table.reached[kind][:8])
        print(f"{kind:>5}: at most {table.most(kind)} (rarer than {RARE:.0%} beyond); shares {shares}")


if __name__ == "__main__":
    main()
