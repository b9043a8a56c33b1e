"""Loops: how much continuations repeat beside the music that they continue, with and without the guard.

    python benchmarks/loops.py --corpus CORPUS --n 40 --bars 32 --out FILE.json [--model FOLDER] [--rows 16]

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Of held-out works (of
both splits, or of one; and of their arrangements as bands) eight bars are the seed, and the ``--bars`` that follow in
the piece are the human continuation; passages that reach beyond the piece's last note are left out. The model continues
the same seeds: greedy, T = 1, top-p 0.9 and by default (T = 1, top-p 0.95), each without and with the bar-aware guard,
as ``compose`` does: phrases are said again at the corpus's rate (unless ``--no-recall``) and copies of the training set
drawn again. Bars are compared as the model reads them, velocities aside. Printed for each:

- rep-1, rep-2 and rep-4 over bars in windows of 16 (``cadenza.metrics.repetition``), the mean over pieces, and what it
  is over the human one with a 95 % interval (bootstrap over the files that the seeds are from); with ``--draws K``
  each seed is continued K times, and its figure is the mean of these;
- the loop rate (ends in four copies of a group of up to eight bars), with its 95 % upper bound (Clopper and Pearson);
- bits per note of the written bars under the model itself, and what the guard costs of it;
- bars drawn again, per 100 bars.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.continuations import seeds_of
from cadenza.base.run import versions
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import Take, to_continue, write_take
from cadenza.infer.loops import GROUPS, key_of
from cadenza.infer.model import load_model
from cadenza.infer.rows import run
from cadenza.infer.sample import Sampling
from cadenza.infer.write import Manner
from cadenza.metrics.repetition import ends_in_loop, in_windows, numbered, rep_n

SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "T=1": Sampling(),
    "top-p 0.9": Sampling(top_p=0.9),
    "default": Sampling(top_p=0.95),
}
WINDOW = 16
GRAMS = (1, 2, 4)
SPLITS = {"held-out": ("validation", "test"), "validation": ("validation",), "test": ("test",)}


def repetition(pieces: list[list[str]]) -> NDArray[np.float64]:
    """rep-n of bars' keys in windows, shape (pieces, n of :data:`GRAMS`)."""
    sequences = [numbered(keys) for keys in pieces]
    return np.array(
        [[in_windows(lambda window, n=n: rep_n(window, n), one, WINDOW) for n in GRAMS] for one in sequences],
        np.float64,
    )


def ratios(ours: NDArray[np.float64], human: NDArray[np.float64], files: list[str]) -> dict[str, list[float]]:
    """rep-n → ours over human with a 95 % interval: files drawn anew, with all seeds that are from them."""
    rng = np.random.default_rng(0)
    names = sorted(set(files))
    places = [np.array([at for at, file in enumerate(files) if file == name]) for name in names]
    drawn = []
    for _ in range(2_000):
        chosen = np.concatenate([places[file] for file in rng.integers(len(names), size=len(names)).tolist()])
        drawn.append(ours[chosen].mean(0) / np.maximum(human[chosen].mean(0), 1e-9))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    value = ours.mean(0) / np.maximum(human.mean(0), 1e-9)
    return {f"rep_{n}": [float(value[i]), float(low[i]), float(high[i])] for i, n in enumerate(GRAMS)}


def figures(pieces: list[list[str]]) -> dict[str, Any]:
    """Of bars' keys, piece by piece."""
    means = repetition(pieces).mean(0)
    out: dict[str, Any] = {f"rep_{n}_in_{WINDOW}": float(mean) for n, mean in zip(GRAMS, means, strict=True)}
    sequences = [numbered(keys) for keys in pieces]
    loops = sum(bool(ends_in_loop(sequence, max(GROUPS))) for sequence in sequences)
    out |= {"loops": loops, "loop_rate": loops / len(pieces), "loop_rate_upper": upper(loops, len(pieces))}
    return out


def upper(hits: int, n: int, level: float = 0.975) -> float:
    """Upper end of the exact 95 % interval of a share, by bisection of the binomial distribution."""
    if hits == n:
        return 1.0

    def at_most(p: float) -> float:
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits + 1))

    low, high = hits / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(middle) > 1 - level else (low, middle)
    return high


def keep(out: Path, about: dict[str, Any], name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Write a row beside those that the same command has written before; all rows."""
    saved = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    table = saved["table"] if saved.get("about") == about else {}
    table[name] = row
    out.write_text(json.dumps({"about": about, "table": table, "versions": versions()}, indent=1), "utf-8")
    return dict(table)


def main() -> None:
    """Run; write JSON; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--bars", type=int, default=32)
    parser.add_argument("--rows", type=int, default=16, help="continuations at a time")
    parser.add_argument("--only", default=",".join(SAMPLINGS), help="which decodings, with commas")
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--split", default="held-out", choices=SPLITS)
    parser.add_argument("--guards", default="off,on", help="which of off and on, with commas")
    parser.add_argument(
        "--no-recall", dest="recall", action="store_false", help="the guard alone, no phrase said again"
    )
    parser.add_argument("--draws", type=int, default=1, help="continuations of each seed, of which rep-n is the mean")
    parser.add_argument("--first-seed", type=int, default=0, help="random seed of the first continuation")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.model)
    seeds = list(seeds_of(options.corpus, model, options.n, options.bars, 8, *SPLITS[options.split]))
    files = [name.partition(" from bar ")[0].partition(" bar ")[0] for name, *_ in seeds]
    human = [[key_of(bar) for bar in bars] for _, _, bars, _ in seeds]
    about = {
        "command": f"benchmarks/loops.py --n {len(seeds)} --bars {options.bars}"
        + f" --split {options.split}" * (options.split != "held-out")
        + " --no-recall" * (not options.recall)
        + f" --draws {options.draws}" * (options.draws > 1)
        + f" --first-seed {options.first_seed}" * bool(options.first_seed),
        "model": options.model,
        "files": len(set(files)),
    }
    keep(options.out, about, "human", figures(human))
    for name in options.only.split(","):
        for guard in (word == "on" for word in options.guards.split(",")):
            manner = Manner(
                Decoding(SAMPLINGS[name], guard=guard, recall=guard and options.recall, original=guard),
                model.loops,
                objection=model.objection,
            )
            stages = list(to_continue(model, options.bars))
            jobs = [
                partial(write_take, seed, model, stages, manner, options.first_seed + draw * len(seeds) + number)
                for draw in range(options.draws)
                for number, (_, seed, _, _) in enumerate(seeds)
            ]
            begun = time.process_time()
            done: dict[int, Take] = dict(run(model.decoder, jobs, options.rows))
            takes = [done[number] for number in range(len(jobs))]
            keys = [[key_of(bar) for bar in take.bars] for take in takes]
            each = repetition(keys).reshape(options.draws, len(seeds), -1).mean(0)
            row = figures(keys) | {"over_human": ratios(each, repetition(human), files)}
            row["bits_per_note"] = float(np.mean([take.bits_per_note for take in takes if take.n_notes]))
            row["redrawn_per_100_bars"] = 100 * sum(sum(t.refused.values()) for t in takes) / options.bars / len(takes)
            row["redrawn_for"] = dict(sum((Counter(take.refused) for take in takes), Counter()))
            row["kept_against"] = sum(sum(t.kept_against.values()) for t in takes)
            row["tokens_per_cpu_second"] = sum(t.n_tokens for t in takes) / (time.process_time() - begun)
            table = keep(options.out, about, f"{name}, {'guard' if guard else 'no guard'}", row)
            print(name, guard, row, flush=True)
    for name, row in table.items():
        over = {
            key: f"{value:.2f}x ({low:.2f}-{high:.2f})" for key, (value, low, high) in row.get("over_human", {}).items()
        }
        rates = {key: round(row[key], 4) for key in row if key.startswith("rep")}
        print(f"{name:31} {rates} {over} loops {row['loops']} (at most {row['loop_rate_upper']:.1%})")


if __name__ == "__main__":
    main()
