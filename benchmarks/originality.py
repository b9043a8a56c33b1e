"""How large an index of originality is, how often it errs, and how much human music copies human music.

    python -m cadenza.corpus.build FOLDER BASE.npz
    python benchmarks/originality.py --corpus BASE.npz --out FILE.json [--index INDEX.npz]

The index holds the train split. Measured are its size on disk, CPU time, the share of passages found that are not in it
(random pitches of the same rhythm, against what an exact set of 64-bit hashes says), and the figures of held-out human
works: whole, and their last eight of sixteen bars as a continuation of the first eight.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.build import Corpus
from cadenza.metrics.base import METRICS
from cadenza.metrics.originality import OriginalityIndex, passage_hashes
from cadenza.metrics.view import notes_of
from cadenza.score import edit
from cadenza.score.model import Score
from cadenza.score.time import bar_table

SEED_BARS = 8


def randomised(score: Score, rng: np.random.Generator) -> Score:
    """The same rhythm with pitches drawn evenly from each track's range."""

    def one(track):  # type: ignore[no-untyped-def]
        notes = track.notes.copy()
        if len(notes):
            notes["pitch"] = rng.integers(notes["pitch"].min(), notes["pitch"].max() + 1, len(notes))
        notes["string"], notes["fret"] = 0, -1
        return track.with_notes(notes)

    return score.map_tracks(one)


def quantiles(values: list[float]) -> dict[str, float]:
    """Mean, median, 95th percentile, maximum."""
    x = np.array(values)
    return {"n": len(x), "mean": float(x.mean()), "median": float(np.median(x)), "p95": float(np.quantile(x, 0.95)),
            "max": float(x.max())}  # fmt: skip


def measure(corpus: Path, index_path: Path | None) -> dict[str, Any]:
    """What is written to the file."""
    opened = Corpus(corpus)
    train = [piece.score for piece in opened.base("train") if not all(t.is_drums for t in piece.score.tracks)]
    begun = time.process_time()
    index = OriginalityIndex.of(train, split="train")
    built = time.process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        path = index_path or Path(folder) / "index.npz"
        index.save(path)
        size = path.stat().st_size
        index = OriginalityIndex.load(path)
    metric = METRICS.load("originality")
    exact = np.unique(
        np.concatenate([hashes for score in train for hashes, _ in passage_hashes(notes_of(score).pitched)])
    )
    held = {piece.work_id: piece.score for piece in opened.base("test")}
    scores = [s for s in held.values() if not all(t.is_drums for t in s.tracks)]
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, list[float]]] = {"whole": {}, "continuation": {}, "random pitches": {}}
    wrong = asked = 0
    begun = time.process_time()
    for score in scores:
        made = randomised(score, rng)
        parts = {"whole": metric(est=score, index=index), "random pitches": metric(est=made, index=index)}
        if len(bar_table(score)) >= 2 * SEED_BARS:
            seed = edit.select_bars(0, SEED_BARS)(score)
            rest = edit.select_bars(SEED_BARS, 2 * SEED_BARS)(score)
            parts["continuation"] = metric(est=rest, index=index, seed=seed)
        for kind, values in parts.items():
            for name, value in values.items():
                found[kind].setdefault(name, []).append(value)
        for hashes, _ in passage_hashes(notes_of(made).pitched):
            new = hashes[~np.isin(hashes, exact)]
            asked, wrong = asked + len(new), wrong + int(index.passages.holds(new).sum())
    return {
        "scores": index.about["scores"],
        "notes": index.about["notes"],
        "passages": len(index.passages),
        "different_passages_exactly": len(exact),
        "bars": len(index.bars),
        "bytes": size,
        "bytes_per_passage_or_bar": size / (len(index.passages) + len(index.bars)),
        "false_positives_stated": {"passages": index.passages.false_positives, "bars": index.bars.false_positives},
        "false_positives_measured": {"asked": asked, "found": wrong},
        "build_cpu_seconds": built,
        "measure_cpu_seconds_per_work": (time.process_time() - begun) / len(scores),
        "held_out": {kind: {name: quantiles(v) for name, v in values.items()} for kind, values in found.items()},
        "versions": versions(),
    }


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="file of cadenza.corpus.build")
    parser.add_argument("--index", type=Path, help="keep the index here")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    result = measure(chosen.corpus, chosen.index)
    write_atomically(chosen.out, json.dumps(result, indent=1).encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
