"""Does DITTO cure a loop? A model that copies from its context is planted, then trained further in three ways.

    python benchmarks/ditto.py --out FILE.json --drawing FILE.svg [--plant 240] [--cure 60] [--seeds 3]

The music is made by rule: eight bars of four quarters in a key, a walk of random steps, in forms such as A A B A. The
**plant** is trained with cross-entropy on as many rows that repeat one random bar to their end (thousands of different
ones) as rows of songs: the only way to tell what comes in such a row is to look back at the copies. Such a model
believes what it has just said: the probability of a bar climbs with every copy (TP), and greedy decoding loops.

From that checkpoint, each with a fresh optimiser, equal steps, batches and learning rate, on the songs alone:

* ``cross-entropy``: more of the same, the control;
* ``ditto``: half of the steps are DITTO's (Xu et al. 2022, decay 0.5);
* ``unlikelihood``: token and sequence unlikelihood (Welleck et al. 2020), the control of the paper.

Measured on held-out songs before and after: rep-4 (tokens) and the share of greedy continuations that end in four or
more copies of one bar or pair of bars, beside the same figures of the songs themselves; TP, IP and WR; cross-entropy.
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
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from cadenza.train import bases, loop, losses, reinforcement, rows
from cadenza.train.recipe import Loss, Scratch, TrainConfig

NOTATION = SimplifiedMidi(
    velocity="drop", bend="none", resolution="grid:24", header="first", bars=True, compact=True, durations="table"
)
SHAPE = Scratch(width=64, n_layers=2, n_heads=2, n_kv_heads=2, head_width=32, mlp_width=128, layer_pattern="f")
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
FORMS = ("AABA", "ABAB", "ABAC", "AABC")
BAR_TOKENS = 11  # | i0 p :d :t p :t p :t p :t
CONTEXT = 128
WAYS = {
    "cross-entropy": Loss("cross-entropy"),
    "ditto": Loss("ditto", share=0.5, decay=0.5, unit_bars=1),
    "unlikelihood": Loss("unlikelihood", share=0.5, alpha=1.0),
}


def song(rng: np.random.Generator) -> Score:
    """Eight bars of quarters: four parts of two bars, some of them equal."""
    root = 60 + int(rng.integers(-6, 6))

    def part() -> list[int]:
        steps = np.cumsum(rng.integers(-3, 4, 8)) + rng.integers(0, 8)
        degrees = np.abs((steps + 6) % 36 - 18) - 6  # reflected into −6 … 12
        return [int(root + 12 * (d // 7) + SCALE[d % 7]) for d in degrees]

    parts = {name: part() for name in "ABC"}
    pitches = [pitch for name in FORMS[int(rng.integers(len(FORMS)))] for pitch in parts[name]]
    notes = [Note(480 * n, 480, pitch) for n, pitch in enumerate(pitches)]
    return Score((Track.of(notes),), tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=480 * 32)


def documents(n_songs: int, seed: int, codec: Vocabulary) -> rows.Documents:
    """Songs as documents: the header and the first bar are given."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n_songs):
        text = NOTATION.encode(song(rng))
        cut = text.index("|", text.index("|") + 1)
        made.append({"prompt": text[:cut], "completion": text[cut:], "n_notes": 28, "seconds": 16.0})
    return rows.tokenize_rows(made, codec, NOTATION.unit_start, CONTEXT, loss_on="all")


def with_loops(songs: rows.Documents, n_rows: int, n_tokens: int, rng: np.random.Generator) -> rows.Documents:
    """The songs, and as further documents rows that repeat one bar of them; loss from the second copy on."""
    planted = losses.repetition_rows(songs, n_rows, n_tokens, 1, rng)
    join = np.concatenate
    given = (planted.starts + planted.periods).astype(np.int32)
    return rows.Documents(
        ids=join([songs.ids, planted.ids.reshape(-1).astype(np.int32)]),
        starts=join([songs.starts, songs.starts[-1] + n_tokens * np.arange(1, n_rows + 1)]),
        n_given=join([songs.n_given, given]),
        unit_starts=songs.unit_starts,
        n_notes=join([songs.n_notes, np.full(n_rows, -1, np.int32)]),
        seconds=join([songs.seconds, np.zeros(n_rows, np.float32)]),
        weight=join([songs.weight, np.ones(n_rows, np.float32)]),
        task=join([songs.task, np.full(n_rows, len(songs.tasks), np.int32)]),
        tasks=(*songs.tasks, "loop"),
    )


def config_of(steps: int, learning_rate: float, batch_rows: int = 16, loss: Loss | None = None) -> TrainConfig:
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
        rep_4: mean rep-4 of greedy continuations.
        looping: share of them that end in four or more copies of one bar or of two.
        curves: self-reinforcement.
    """

    loss: float
    rep_4: float
    looping: float
    curves: reinforcement.Curves

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "held_out_loss_nats": round(self.loss, 4), "greedy_rep_4": round(self.rep_4, 4),
            "greedy_looping": round(self.looping, 4),
            **{name: [round(float(x), 4) for x in getattr(self.curves, name)] for name in ("tp", "ip", "wr")},
        }  # fmt: skip


def ends_in_a_loop(ids: np.ndarray, copies: int = 4) -> bool:
    """Whether the end is ``copies`` or more of one bar, or of one pair of bars."""
    for period in (BAR_TOKENS, 2 * BAR_TOKENS):
        tail = ids[len(ids) - copies * period :]
        if len(tail) == copies * period and (tail.reshape(copies, period) == tail[-period:]).all():
            return True
    return False


def measured(model: Any, loss: float, held: rows.Documents, n_prompts: int, n_copies: int) -> Figures:
    """Greedy continuations of two bars by eight, and the curves."""
    model.eval()
    n_given = int(held.units_of(0)[1])  # header and two bars; bars are equally long
    prompts = torch.from_numpy(np.stack([held.document(i)[0][:n_given] for i in range(n_prompts)]))
    whole = loop.greedy(model, prompts, n_given + 8 * BAR_TOKENS)[:, n_given:].numpy()
    model.eval()
    repeated = float(np.mean([rep_n(numbered(ids.tolist()), 4) for ids in whole]))
    looping = float(np.mean([ends_in_a_loop(ids) for ids in whole]))
    curves = reinforcement.curves(model, held, n_units=n_prompts, n_copies=n_copies, most_tokens=2 * CONTEXT)
    return Figures(loss, repeated, looping, curves)


def human(held: rows.Documents, n: int) -> dict[str, float]:
    """The same figures of the songs' own bars after the given ones (six bars, not eight)."""
    parts = [held.document(i)[0][int(held.units_of(i)[1]) : -1] for i in range(n)]
    return {
        "rep_4": round(float(np.mean([rep_n(numbered(part.tolist()), 4) for part in parts])), 4),
        "looping": round(float(np.mean([ends_in_a_loop(part) for part in parts])), 4),
    }


def experiment(
    seed: int, plant_steps: int, cure_steps: int, ways: dict[str, Loss], *, n_songs: int = 600, n_prompts: int = 24,
    batch_rows: int = 16, cure_rate: float = 0.005, say: Any = print,
) -> dict[str, Figures]:  # fmt: skip
    """Name → figures: of the plant, and of each way from there."""
    torch.set_num_threads(1)
    codec = Vocabulary.of(NOTATION.vocabulary())
    train, held = documents(n_songs, 2 * seed, codec), documents(64, 2 * seed + 1, codec)
    held_rows = rows.RowSet(held, [[index] for index in range(len(held))])
    size = -(-len(codec) // bases.ROUND_VOCABULARY) * bases.ROUND_VOCABULARY
    model = bases.scratch_model(SHAPE, size, CONTEXT, seed)
    both = with_loops(train, 4 * n_songs, CONTEXT, np.random.default_rng(seed))
    chosen = [*range(n_songs)] * 4 + [*range(n_songs, len(both))]
    model, loss = trained(model, config_of(plant_steps, 0.05, batch_rows), both, chosen, held_rows, codec.pad_id)
    found = {"plant": measured(model, loss, held, n_prompts, 8)}
    say(f"plant: {found['plant'].as_dict()}")
    for name, what in ways.items():
        config = replace(config_of(cure_steps, cure_rate, batch_rows, what), warmup_share=0.1)
        cured, loss = trained(copy.deepcopy(model), config, train, range(n_songs), held_rows, codec.pad_id)
        found[name] = measured(cured, loss, held, n_prompts, 8)
        say(f"{name}: {found[name].as_dict()}")
    return found


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--drawing", type=Path)
    parser.add_argument("--plant", type=int, default=240)
    parser.add_argument("--cure", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=24)
    arguments = parser.parse_args()
    began = time.process_time()
    every = [
        experiment(seed, arguments.plant, arguments.cure, WAYS, n_prompts=arguments.prompts)
        for seed in range(arguments.seeds)
    ]
    codec = Vocabulary.of(NOTATION.vocabulary())
    result = {
        "plant_steps": arguments.plant, "cure_steps": arguments.cure, "prompts": arguments.prompts,
        "songs": human(documents(64, 1, codec), 64),
        "seeds": [{name: figures.as_dict() for name, figures in found.items()} for found in every],
        "cpu_seconds": round(time.process_time() - began, 1), "versions": versions(),
    }  # fmt: skip
    write_atomically(arguments.out, json.dumps(result, indent=1).encode())
    if arguments.drawing:
        drawing = reinforcement.svg({name: figures.curves for name, figures in every[0].items()})
        write_atomically(arguments.drawing, drawing.encode())


if __name__ == "__main__":
    main()
