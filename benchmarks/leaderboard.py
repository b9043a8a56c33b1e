"""The leaderboard of what comes with cadenza: one evaluation, all rows, one page.

    python benchmarks/leaderboard.py --corpus BASE.npz --run RUN --board BOARD --page FILE.html [--model shipped]

The held-out pieces of the test split are continued by the model under four decodings (its default, greedy, T = 1, top-p
0.9), by n-grams, by copying the last bars and by chance under the same grammar; the pieces' own next bars are the
ceiling. Started again it goes on where it was; with --measure-again it measures anew what was composed before.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cadenza.app.evaluation import folder, leaderboard
from cadenza.app.evaluation.generation import GenerationConfig, run
from cadenza.base.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="a file of cadenza.corpus.build, or a built corpus")
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--board", type=Path, required=True, help="folder of the rows")
    parser.add_argument("--page", type=Path, required=True, help="page to write")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--given", type=int, default=8)
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--text-bars", type=int, default=32)
    parser.add_argument("--training-pieces", type=int, default=300)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--measure-again", action="store_true")
    chosen = parser.parse_args(arguments)
    config = GenerationConfig(
        model=chosen.model, corpus=chosen.corpus, n_seeds=chosen.seeds, n_given=chosen.given, n_bars=chosen.bars,
        text_bars=chosen.text_bars, training_pieces=chosen.training_pieces, window_tokens=chosen.window,
        stride_tokens=chosen.window // 2,
    )  # fmt: skip

    def say(stage: str, done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            print(f"{stage} {done} of {total}", flush=True)

    run(config, chosen.run, n_workers=chosen.workers, limit_seconds=3600, say=say, again=chosen.measure_again)
    for path, done in leaderboard.add(chosen.board, [chosen.run]):
        print(done, path)
    write_atomically(chosen.page, leaderboard.html(leaderboard.load(chosen.board)).encode())
    print(json.dumps(folder.read_json(chosen.run / folder.TIMING)), chosen.page)


if __name__ == "__main__":
    main()
