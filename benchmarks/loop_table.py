"""How far music repeats itself: the table that the loop guard asks (:mod:`cadenza.infer.loops`).

    python -m benchmarks.loop_table --corpus CORPUS --out MODEL/loops.json [--pieces N] [--model FOLDER]
                                      [--returns-of SPLIT]

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Of pieces of the
training split, told as the model reads them, every bar is asked: how many times in a row have the last 1, 2, 3, 4, 6, 8
bars been heard, and how many of the sixteen bars before equal it? The table holds the share of bars at which each count
is reached, and which phrases of two bars or more come again, from how far back, how often. These are rare (one bar in
sixty) and their lengths differ with the pieces (most hymns are shorter than a window), so they may be measured as a
continuation of 32 bars is judged: in windows of works that go on as long, of some splits in equal parts
(``--returns-of train,validation``, :func:`benchmarks.continuations.seeds_of`). A model folder may bring one of its own
corpus as ``loops.json``; for the others the shipped composer's stands.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.continuations import seeds_of
from cadenza.base.errors import CadenzaError
from cadenza.corpus.excerpts import MODEL_NOTATION, passages
from cadenza.infer.held_out import open_music
from cadenza.infer.loops import GROUPS, RARE, LoopTable, key_of
from cadenza.infer.model import load_model

WINDOW = 32  # bars, of --returns-of


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pieces", type=int, default=600, help="drawn at random (of a file with their arrangements)")
    parser.add_argument("--model", default="", help="whose notation tells the bars; default: the first model's")
    parser.add_argument("--returns-of", default="", help="splits, with commas, of whose windows the returns are")
    parser.add_argument("--windows", type=int, default=600, help="how many of each split of --returns-of")
    options = parser.parse_args()
    notation = load_model(options.model).notation if options.model else MODEL_NOTATION
    music = open_music(options.corpus)
    chosen = music.some("train", options.pieces)
    told: list[list[str]] = []
    for piece in chosen:
        with suppress(CadenzaError):
            told += [[key_of(bar) for bar in passage.bars] for passage in passages(piece.score, notation)]
    sources = sorted({piece.source for piece in chosen})
    about = {
        "command": "benchmarks/loop_table.py", "corpus": music.fingerprint, "sources": sources, "scores": len(chosen)
    }  # fmt: skip
    table = LoopTable.measured(told, about)
    if options.returns_of:
        model = load_model(options.model or "shipped")
        windows = [
            [key_of(bar) for bar in bars]
            for split in options.returns_of.split(",")
            for _, _, bars, _ in seeds_of(options.corpus, model, options.windows, WINDOW, 8, split)
        ]
        of = {"returns_of": options.returns_of, "windows": len(windows), "bars_of_a_window": WINDOW}
        table = replace(table, returns=LoopTable.measured(windows, {}).returns, about=table.about | of)
    table.save(options.out)
    print(f"{table.about['pieces']} passages, {table.about['bars']:,} bars")
    every = sum(table.returns.values())
    lengths = {n: sum(share for one, share in table.returns.items() if min(one.bars, 8) == n) for n in range(2, 9)}
    print("bars of a phrase (8: or more):", {n: round(share / every, 2) for n, share in lengths.items()})
    longer = sum(share for one, share in table.returns.items() if one.bars > 2)
    print(f"phrases again: {sum(table.returns.values()):.4f} of the bars, of three bars or more {longer:.4f}")
    for kind in (*map(str, GROUPS), "near"):
        shares = "  ".join(f"{share:.4f}" for share in table.reached[kind][:8])
        print(f"{kind:>5}: at most {table.most(kind)} (rarer than {RARE:.0%} beyond); shares {shares}")


if __name__ == "__main__":
    main()
