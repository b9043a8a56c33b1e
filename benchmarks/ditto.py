"""Does DITTO cure a loop? A model that copies from its context is planted, then trained further in three ways.

    python benchmarks/ditto.py --out FILE.json --drawing FILE.svg [--plant 180] [--cure 100] [--seeds 1]

The music is made by rule and told in bar lines and pitches alone: eight bars of four notes, a root and three notes over
it; roots go through the scale by falling fifths, from any of them, what stands above is drawn. So no bar follows
itself, and likeliest notes alone do not lead to a circle. The **plant** is trained with cross-entropy on rows of songs
and on six times as many that begin as a song and then repeat their last bar to the end (thousands of different ones):
the only way to tell what comes there is to look back at the copies. Such a model believes what it has just said: the
probability of a bar climbs with every copy (TP), and greedy decoding loops.

From that checkpoint, each with a fresh optimiser, equal steps, batches and learning rate, on the songs alone:

* ``cross-entropy``: more of the same, the control;
* ``ditto``: half of the steps are DITTO's (Xu et al. 2022, decay 0.5);
* ``unlikelihood``: token and sequence unlikelihood (Welleck et al. 2020), the control of the paper.

Measured on held-out songs before and after, beside the same figures of the songs themselves: greedy continuations of
two bars by six: rep-n of bars (1 − different bars / bars) and of 4-grams of tokens, and the share that ends in four
copies of a bar; TP, IP and WR; cross-entropy.
The test tests/rooms/train/test_ditto.py runs the same functions at its own size.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.metrics.repetition import numbered, rep_n
from cadenza.model.vocabulary import Vocabulary
from cadenza.train import bases, loop, reinforcement, rows
from cadenza.train.recipe import Loss, Scratch, TrainConfig

SHAPE = Scratch(width=64, n_layers=2, n_heads=2, n_kv_heads=2, head_width=32, mlp_width=128, layer_pattern="f")
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
ROOTS = (0, 3, 6, 2, 5, 1, 4)  # degrees
UNIT_START = r"\|"
BAR_TOKENS = 5  # | p p p p
N_BARS = 8
CONTEXT = 48
WAYS = {
    "cross-entropy": Loss("cross-entropy"),
    "ditto": Loss("ditto", share=0.5, decay=0.5, unit_bars=1),
    "unlikelihood": Loss("unlikelihood", share=0.5, alpha=1.0),
}


def song(rng: np.random.Generator) -> str:
    """Eight bars in C."""
    bars = []
    for root in np.roll(ROOTS, -int(rng.integers(7)))[np.arange(N_BARS) % 7]:
        degrees = [root, *(root + rng.integers(1, 8, 3))]
        bars.append(" ".join(["|", *(f"p{48 + 12 * (d // 7) + SCALE[d % 7]}" for d in degrees)]))
    return " ".join(bars)


def vocabulary() -> Vocabulary:
    """The bar line and 61 pitches."""
    return Vocabulary.of(["|", *(f"p{pitch}" for pitch in range(36, 97))])


def documents(n_songs: int, seed: int, codec: Vocabulary) -> rows.Documents:
    """Songs as documents."""
    rng = np.random.default_rng(seed)
    made = [{"prompt": "", "completion": song(rng), "n_notes": 32, "seconds": 16.0} for _ in range(n_songs)]
    return rows.tokenize_rows(made, codec, UNIT_START, CONTEXT)


def with_loops(songs: rows.Documents, n_rows: int, rng: np.random.Generator) -> rows.Documents:
    """The songs, and as further documents rows that begin as one of them and repeat their last bar to the end.

    Loss from the second copy on.
    """
    planted, given = [], []
    for _ in range(n_rows):
        index, bar = int(rng.integers(len(songs))), int(rng.integers(3))
        ids, _ = songs.document(index)
        begin = int(songs.units_of(index)[bar])
        planted.append(np.concatenate([ids[:begin], np.resize(ids[begin : begin + BAR_TOKENS], CONTEXT - begin)]))
        given.append(begin + BAR_TOKENS)
    join = np.concatenate
    return rows.Documents(
        ids=join([songs.ids, np.concatenate(planted).astype(np.int32)]),
        starts=join([songs.starts, songs.starts[-1] + CONTEXT * np.arange(1, n_rows + 1)]),
        n_given=join([songs.n_given, np.array(given, np.int32)]),
        unit_starts=songs.unit_starts,
        n_notes=join([songs.n_notes, np.full(n_rows, -1, np.int32)]),
        seconds=join([songs.seconds, np.zeros(n_rows, np.float32)]),
        weight=join([songs.weight, np.ones(n_rows, np.float32)]),
        task=join([songs.task, np.full(n_rows, len(songs.tasks), np.int32)]),
        tasks=(*songs.tasks, "loop"),
    )


def config_of(steps: int, learning_rate: float, batch_rows: int = 32, loss: Loss | None = None) -> TrainConfig:
    """The recipe of a stage."""
    return TrainConfig(
        base="scratch:", scratch=SHAPE, context_tokens=CONTEXT, loss_on="all", batch_rows=batch_rows, steps=steps,
        evaluate_every=0, report_to=[], n_threads=1, optimiser="muon", learning_rate=learning_rate, scheduler="linear",
        log_every=max(1, steps // 4), checkpoint_minutes=1e6, loss=loss or Loss(),
    )  # fmt: skip


def trained(model: Any, config: TrainConfig, train: rows.Documents, chosen: Sequence[int], held: rows.RowSet, pad: int):
    """``model`` after the steps of ``config`` over the chosen documents, one to a row, and its held-out loss (nats)."""
    with tempfile.TemporaryDirectory() as folder:
        row_set = rows.RowSet(train, [[int(index)] for index in chosen])
        trainer = loop.MusicTrainer(
            config, model, row_set, held, Path(folder), config.steps or 1, pad, lambda line: None
        )
        trainer.clock.on_step_end = lambda *args, **kwargs: None  # type: ignore[method-assign]  # nothing is saved
        trainer.train()
        return model, trainer.evaluate()["eval_loss"]


@dataclass(frozen=True)
class Figures:
    """What is measured of a model.

    Args:
        loss: cross-entropy of held-out songs, nats a token.
        rep_bars, rep_4: means of rep-1 of bars and of rep-4 of tokens over greedy continuations.
        looping: share of them that end in four copies of one bar.
        curves: self-reinforcement.
    """

    loss: float
    rep_bars: float
    rep_4: float
    looping: float
    curves: reinforcement.Curves

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "held_out_loss_nats": round(self.loss, 4), "greedy_rep_1_bars": round(self.rep_bars, 4),
            "greedy_rep_4_tokens": round(self.rep_4, 4), "greedy_looping": round(self.looping, 4),
            **{name: [round(float(x), 4) for x in getattr(self.curves, name)] for name in ("tp", "ip", "wr")},
        }  # fmt: skip


def repetition(parts: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Means over continuations of whole bars: rep-1 of bars, rep-4 of tokens, share that ends in four equal bars."""
    bars = [[tuple(bar) for bar in part.reshape(-1, BAR_TOKENS).tolist()] for part in parts]
    rep_bars = float(np.mean([rep_n(numbered(part), 1) for part in bars]))
    rep_4 = float(np.mean([rep_n(numbered(part.tolist()), 4) for part in parts]))
    return rep_bars, rep_4, float(np.mean([len(set(part[-4:])) == 1 for part in bars]))


def measured(model: Any, loss: float, held: rows.Documents, n_prompts: int) -> Figures:
    """Greedy continuations of two bars by six, and the curves over seven copies."""
    model.eval()
    n_given = 1 + 2 * BAR_TOKENS  # <bos> and two bars
    prompts = torch.from_numpy(np.stack([held.document(i)[0][:n_given] for i in range(n_prompts)]))
    whole = loop.greedy(model, prompts, n_given + 6 * BAR_TOKENS)[:, n_given:].numpy()
    model.eval()
    curves = reinforcement.curves(model, held, n_units=n_prompts, n_copies=7, most_tokens=CONTEXT + 2 * BAR_TOKENS)
    return Figures(loss, *repetition(list(whole)), curves)


def human(held: rows.Documents) -> dict[str, float]:
    """The same figures of the songs' own last six bars."""
    parts = [held.document(i)[0][1 + 2 * BAR_TOKENS : -1] for i in range(len(held))]
    names = ("rep_1_bars", "rep_4_tokens", "looping")
    return {name: round(value, 4) for name, value in zip(names, repetition(parts), strict=True)}


def experiment(
    seed: int, plant_steps: int, cure_steps: int, ways: dict[str, Loss], *, n_songs: int = 500, n_prompts: int = 16,
    batch_rows: int = 32, cure_rate: float = 0.02, say: Any = print,
) -> dict[str, Figures]:  # fmt: skip
    """Name → figures: of the plant, and of each way from there."""
    torch.set_num_threads(1)
    codec = vocabulary()
    train, held = documents(n_songs, 2 * seed, codec), documents(64, 2 * seed + 1, codec)
    held_rows = rows.RowSet(held, [[index] for index in range(len(held))])
    size = -(-len(codec) // bases.ROUND_VOCABULARY) * bases.ROUND_VOCABULARY
    model = bases.scratch_model(SHAPE, size, CONTEXT, seed)
    both = with_loops(train, 6 * n_songs, np.random.default_rng(seed))
    chosen = range(len(both))
    model, loss = trained(model, config_of(plant_steps, 0.05, batch_rows), both, chosen, held_rows, codec.pad_id)
    found = {"plant": measured(model, loss, held, n_prompts)}
    say(f"plant: {found['plant'].as_dict()}")
    for name, what in ways.items():
        config = replace(config_of(cure_steps, cure_rate, batch_rows, what), warmup_share=0.1)
        cured, loss = trained(copy.deepcopy(model), config, train, range(n_songs), held_rows, codec.pad_id)
        found[name] = measured(cured, loss, held, n_prompts)
        say(f"{name}: {found[name].as_dict()}")
    return found


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--drawing", type=Path)
    parser.add_argument("--plant", type=int, default=180)
    parser.add_argument("--cure", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--prompts", type=int, default=16)
    arguments = parser.parse_args()
    began = time.process_time()
    every = [
        experiment(seed, arguments.plant, arguments.cure, WAYS, n_prompts=arguments.prompts)
        for seed in range(arguments.seeds)
    ]
    codec = vocabulary()
    result = {
        "plant_steps": arguments.plant, "cure_steps": arguments.cure, "prompts": arguments.prompts,
        "songs": human(documents(256, 1, codec)),
        "seeds": [{name: figures.as_dict() for name, figures in found.items()} for found in every],
        "cpu_seconds": round(time.process_time() - began, 1), "versions": versions(),
    }  # fmt: skip
    write_atomically(arguments.out, json.dumps(result, indent=1).encode())
    if arguments.drawing:
        drawing = reinforcement.svg({name: figures.curves for name, figures in every[0].items()})
        write_atomically(arguments.drawing, drawing.encode())


if __name__ == "__main__":
    main()
