"""Long continuations beside the human ones: do they stay in key, alive and original over 64 bars?

    python benchmarks/long_pieces.py --corpus CORPUS --out FILE.json [--n 100] [--bars 64] [--model shipped]

CORPUS is a folder of ``cadenza corpus build`` with its ``work``: whole pieces of its test split are taken. Eight bars
are the seed, the ``--bars`` that follow in the piece (one metre) the human continuation; the model continues the same
seeds as ``compose`` does by default: with the loop guard, and drawing again what copies the training set. Of both:

- **key**: share of the sounding time, drums aside, that lies in the scale of the seed's key (Krumhansl and Kessler;
  both sevenths of minor), over all bars and over the last sixteen; share of pieces whose last sixteen bars are found in
  the seed's key or its relative;
- **tempo and metre**: share of pieces that say those of the seed at their end;
- **alive**: notes a bar in the last sixteen bars over those in the first sixteen; share of silent bars;
- **original**: longest run that stands in the training set and in the seed, share of a track's bars that do
  (``cadenza.metrics.originality``, with the model's own index).

Written: means with 95 % bootstrap intervals over pieces, and of the differences, model − human, on the same seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continuations import sounding
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.build import rng_for
from cadenza.corpus.store import load_pieces
from cadenza.infer.compose import compose
from cadenza.infer.held_out import runs_of
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.prompt import read_seed
from cadenza.metrics import statistics
from cadenza.metrics.base import METRICS
from cadenza.score import edit
from cadenza.score.key_finding import find_key, pitch_class_weights, signature_of
from cadenza.score.model import Score
from cadenza.score.time import bar_table, metre_at, tempo_at

SEED_BARS, PART_BARS = 8, 16
MAJOR_STEPS, MINOR_STEPS = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10, 11)


def whole_pieces(corpus: Path, split: str) -> Iterator[tuple[str, Score]]:
    """(path, score) of the pieces of a split, as they were read."""
    decisions = json.loads((corpus / "work" / "decisions.json").read_bytes())
    for number, entries in enumerate(decisions["chunks"]):
        if any(entry.get("split") == split for entry in entries):
            pieces = load_pieces(corpus / "work" / f"ingest-{number:05d}.npz")
            for piece, entry in zip(pieces, entries, strict=True):
                if entry.get("split") == split and not entry["dropped"]:
                    yield piece.path, piece.score


def seeds(
    corpus: Path, model: ComposerModel, n: int, bars: int, split: str = "test"
) -> Iterator[tuple[str, Score, Score]]:
    """(name, seed, what follows it) in the model's view; one passage of a piece before any gives a second."""
    pieces = [
        (path, score, runs_of(score, SEED_BARS + bars), sounding(score))
        for path, score in whole_pieces(corpus, split)
        if score.n_notes
    ]
    found = 0
    for turn in range(20):
        for path, score, runs, end in pieces:
            starts = [at for low, high in runs for at in range(low, min(high, end) - SEED_BARS - bars + 1)]
            if not starts or all(track.is_drums for track in score.tracks if len(track)):
                continue
            first = int(rng_for(0, "long", path, turn).choice(starts))
            whole = edit.drop_doubled()(edit.select_bars(first, first + SEED_BARS + bars)(replace(score, bars=())))
            seed = edit.select_bars(0, SEED_BARS)(whole)
            try:
                if len(read_seed(seed, model).bars) != SEED_BARS or find_key(seed) is None:
                    continue
            except CadenzaError:
                continue
            human = edit.select_bars(SEED_BARS, SEED_BARS + bars)(whole)
            if human.n_notes < bars:
                continue
            yield f"{path} bar {first + 1}", seed, human
            found += 1
            if found == n:
                return


def figures(part: Score, seed: Score, model: ComposerModel) -> dict[str, float]:
    """Of a continuation, from time 0."""
    key = find_key(seed)
    assert key is not None
    scale = [(key % 12 + step) % 12 for step in (MAJOR_STEPS if key < 12 else MINOR_STEPS)]
    table = bar_table(part)
    n_bars = len(table)
    late = int(table.starts_ticks[max(n_bars - PART_BARS, 0)])
    early = int(table.ends_ticks[min(PART_BARS, n_bars) - 1])
    out: dict[str, float] = {}
    for name, start in (("in_key", 0), ("in_key_late", late)):
        weights = pitch_class_weights(part, start)
        if weights.any():
            out[name] = float(weights[scale].sum() / weights.sum())
    last = find_key(edit.select_bars(max(n_bars - PART_BARS, 0), n_bars)(part))
    if last is not None:
        out["ends_in_key_or_relative"] = float(signature_of(last) == signature_of(key))
    out["keeps_tempo"] = float(tempo_at(part, late).quarters_per_minute == tempo_at(seed, 0).quarters_per_minute)
    at, before = metre_at(part, late), metre_at(seed, 0)
    out["keeps_metre"] = float((at.numerator, at.denominator) == (before.numerator, before.denominator))
    onsets = np.concatenate([track.notes["onset_ticks"] for track in part.tracks])
    out["late_over_early"] = float((onsets >= late).sum() / max((onsets < early).sum(), 1))
    out["silent_bars"] = float(1 - len(np.unique(table.index_of(onsets))) / n_bars)
    index = model.originality.index if model.originality is not None else None
    more = {} if index is None else {"index": index}
    return out | METRICS.load("originality")(est=part, seed=seed, **more)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--bars", type=int, default=64)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    options = parser.parse_args()
    model = load_model(options.model)
    rows: list[dict[str, Any]] = []
    tokens, spent = 0, 0.0
    for number, (name, seed, human) in enumerate(seeds(options.corpus, model, options.n, options.bars, options.split)):
        begun = time.process_time()
        [made] = compose(seed, model=model, bars=options.bars, random_seed=number)
        spent, tokens = spent + time.process_time() - begun, tokens + made.take.n_tokens
        written = edit.select_bars(SEED_BARS, SEED_BARS + options.bars)(replace(made.score, bars=()))
        rows.append({"name": name, "human": figures(human, seed, model), "model": figures(written, seed, model)})
        if number % 10 == 9:
            print(f"{number + 1} pieces, {tokens / spent:.0f} tokens a CPU second", flush=True)
    table: dict[str, Any] = {}
    for column in dict.fromkeys(key for row in rows for key in row["model"]):
        told = [(row["human"], row["model"]) for row in rows]
        both = [(human[column], ours[column]) for human, ours in told if column in human and column in ours]
        human_values, model_values = (np.array(values, float) for values in zip(*both, strict=True))
        table[column] = {
            "human": statistics.bootstrap(human_values).record(), "model": statistics.bootstrap(model_values).record(),
            "model_minus_human": statistics.bootstrap(model_values - human_values).record(), "pieces": len(both),
            "human_quantiles": np.quantile(human_values, [0.5, 0.95, 1]).tolist(),
            "model_quantiles": np.quantile(model_values, [0.5, 0.95, 1]).tolist(),
        }  # fmt: skip
    result = {
        "pieces": len(rows), "bars": options.bars, "model": options.model, "split": options.split,
        "tokens_per_cpu_second": round(tokens / max(spent, 1e-9), 1), "table": table, "versions": versions(),
    }  # fmt: skip
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    for column, row in table.items():
        said = [f"{name} {row[name]['value']:.3f}" for name in ("human", "model", "model_minus_human")]
        apart = row["model_minus_human"]
        print(f"{column:28}", "  ".join(said), f"({apart['low']:+.3f} … {apart['high']:+.3f})")


if __name__ == "__main__":
    main()
