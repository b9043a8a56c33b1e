"""Train what chooses the metre and what chooses the key, on works of the training split.

    python -m benchmarks.notator_train --data DIR | --pieces STORE --out FOLDER [--n 1500] [--epochs 14]

The first minute of every work is played twice, up to three later ones once, and some bars of each once more, with
errors drawn from none to a weak listener's, and read; the network learns to give most of its weight to the reading
with the true tempo, metre and downbeats. One work in eight is kept aside and only told of, by its first minute and by
its cuts; the last epoch is what is written. Key weights are a conditional logit over 24 keys. Writes
model.safetensors and prints what both reach there.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.notator_data import LEAST_CUT_NOTES, Errors, Played, Work, cut, played, works
from cadenza.base.errors import CadenzaError
from cadenza.base.tensors import write_safetensors
from cadenza.infer.notator import beats, keys, metre
from cadenza.infer.notator.events import events_of, played_notes

NEAR_TEMPO = 0.04
HIDDEN, DROPOUT, DECAY, BATCH = 64, 0.4, 0.2, 24  # chosen on a quarter of the training works (docs/log.md)
SEED = 8
PASSAGES, PERFORMANCES = 4, 2  # of a work, of its first passage


def credit(reading: metre.Reading, pulses: list[beats.Pulse], work: Work, truth: Played) -> int:
    """4 for the tempo, 2 for the metre, 1 for the downbeats (where both are right and the source knows them)."""
    seconds = pulses[reading.pulse].seconds
    tempo = 60 * reading.beat_quarters * (len(seconds) - 1) / (seconds[-1] - seconds[0])
    right = 4 * (abs(tempo / truth.quarters_a_minute - 1) <= NEAR_TEMPO) + 2 * (reading.metre == work.metre)
    if right == 6 and (not work.says_bars or downbeats(reading, pulses, truth) >= 0.7):
        right += 1
    return right


def downbeats(reading: metre.Reading, pulses: list[beats.Pulse], truth: Played) -> float:
    """Share of the true bar lines within which a downbeat lies within 100 ms."""
    lines = pulses[reading.pulse].seconds[reading.first_downbeat :: reading.beats_a_bar]
    inner = truth.bars_seconds[1:-1] if len(truth.bars_seconds) > 3 else truth.bars_seconds
    return float((np.abs(inner[:, None] - lines[None]).min(axis=1) < 0.1).mean()) if len(lines) else 0.0


def prepared(work: Work, number: int, performance: int, is_cut: bool = False) -> dict[str, Any] | None:
    """Features and credits of all readings of one performance; None where there are none."""
    rng = np.random.default_rng([SEED, work.number, number, performance])
    if is_cut:
        work = cut(work, rng)
        if work.score.n_notes < LEAST_CUT_NOTES:
            return None
    level = rng.random() * (rng.random() < 0.8)
    errors = Errors(missing=0.1 * level, invented=0.1 * level, octave=0.04 * level)
    truth = played(work, rng, errors, 0.025 * level)
    notes = played_notes(truth.performance)
    events = events_of(notes)
    pulses = beats.track(events)
    found = metre.readings(pulses)
    if not found:
        return None
    rows = metre.table(found, pulses, notes, events).astype(np.float32)
    right = np.array([credit(one, pulses, work, truth) for one in found])
    key = work.score.keys[0].fifths if len({one.fifths for one in work.score.keys}) == 1 else None
    return {
        "name": work.name, "is_first": work.number == 0 and performance == 0, "is_cut": is_cut, "rows": rows,
        "credit": right, "key": key, "key_rows": keys.features(notes).astype(np.float32),
    }  # fmt: skip


def batched(data: list[dict[str, Any]], field: str) -> torch.Tensor:
    """The rows of several works one after another."""
    return torch.from_numpy(np.concatenate([one[field] for one in data])).float()


def train_metre(data: list[dict[str, Any]], held: list[dict[str, Any]], epochs: int) -> dict[str, np.ndarray]:
    """The network's tensors."""
    every = np.concatenate([one["rows"] for one in data])
    mean, spread = every.mean(axis=0), every.std(axis=0) + 1e-3
    torch.manual_seed(SEED)
    n = len(mean)
    w1 = (torch.randn(n, HIDDEN) / n**0.5).requires_grad_()
    b1, w2 = torch.zeros(HIDDEN, requires_grad=True), (torch.randn(HIDDEN) / HIDDEN**0.5).requires_grad_()
    optimiser = torch.optim.AdamW([w1, b1, w2], lr=3e-3, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for one in (*data, *held):
        one["x"] = torch.from_numpy(np.clip((one["rows"] - mean) / spread, -5, 5)).float()
        one["target"] = torch.from_numpy(one["credit"] == one["credit"].max())
    rng = np.random.default_rng(SEED)
    for epoch in range(epochs):
        for batch in np.array_split(rng.permutation(len(data)), max(1, len(data) // BATCH)):
            own = [data[i] for i in batch]
            x, target = torch.cat([one["x"] for one in own]), torch.cat([one["target"] for one in own])
            work = torch.repeat_interleave(torch.arange(len(own)), torch.tensor([len(one["x"]) for one in own]))
            scores = torch.nn.functional.dropout(torch.relu(x @ w1 + b1), DROPOUT) @ w2
            weight = torch.exp(scores - scores.max().detach())
            every_reading = torch.zeros(len(own)).index_add(0, work, weight)
            right = torch.zeros(len(own)).index_add(0, work, weight * target)
            loss = (torch.log(every_reading + 1e-30) - torch.log(right + 1e-30)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            chosen = [one["credit"][int((torch.relu(one["x"] @ w1 + b1) @ w2).argmax())] for one in held]
        print(epoch, round(float(loss.detach()), 3), told(np.array(chosen)), flush=True)
    kept = [tensor.detach().numpy() for tensor in (w1, b1, w2)]
    return dict(zip(("mean", "spread", "w1", "b1", "w2"), (mean, spread, *kept), strict=True))


def chosen(tensors: dict[str, np.ndarray], one: dict[str, Any]) -> int:
    """The reading that is chosen."""
    scorer = metre.Scorer(tensors["mean"], tensors["spread"], (tensors["w1"], tensors["b1"], tensors["w2"]))
    return int(scorer(one["rows"]).argmax())


def told(credits: np.ndarray) -> dict[str, float]:
    """Shares of what is right."""
    return {
        "tempo": round(float((credits >= 4).mean()), 3), "metre": round(float((credits & 2 > 0).mean()), 3),
        "both": round(float((credits >= 6).mean()), 3), "all": round(float((credits >= 7).mean()), 3),
    }  # fmt: skip


def train_key(data: list[dict[str, Any]], epochs: int = 300) -> np.ndarray:
    """Weights of the key's features; signatures are learned, the mode is left to what the profiles say."""
    own = [one for one in data if one["key"] is not None and -5 <= one["key"] <= 6]
    x = torch.from_numpy(np.stack([one["key_rows"] for one in own])).float()  # (w, 24, f)
    right = torch.tensor([[keys.signature(key) == one["key"] for key in range(24)] for one in own])
    weights = torch.zeros(x.shape[2], requires_grad=True)
    optimiser = torch.optim.Adam([weights], lr=0.05)
    for _ in range(epochs):
        scores = x @ weights
        loss = (torch.logsumexp(scores, 1) - torch.logsumexp(scores.masked_fill(~right, -1e9), 1)).mean()
        loss = loss + 1e-3 * (weights**2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach().numpy()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pieces", type=Path, help="a store of all pieces with their splits, instead of --data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--cache", type=Path, help="keep the features there, or take them from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()
    if options.cache and options.cache.exists():
        data = pickle.loads(options.cache.read_bytes())
    else:
        found = works(options.data, options.pieces, ("train",), PASSAGES)
        names = list(dict.fromkeys(work.name for work in found))
        place = dict(zip(names, np.random.default_rng(SEED).permutation(len(names)).tolist(), strict=True))
        data = []
        for work in sorted(found, key=lambda work: place[work.name]):
            if place[work.name] >= options.n:
                break
            whole = PERFORMANCES if work.number == 0 else 1
            for performance in range(whole + 1):
                try:
                    one = prepared(work, place[work.name], performance, performance == whole)
                except CadenzaError as error:
                    print(work.name, error)
                    continue
                if one is not None:
                    data.append(one)
        if options.cache:
            options.cache.write_bytes(pickle.dumps(data))
    print(len(data), "performances", round(time.process_time() - begun), "CPU seconds", flush=True)
    aside = set(list(dict.fromkeys(one["name"] for one in data))[::8])
    held = [one for one in data if one["name"] in aside and one["is_first"]]
    short = [one for one in data if one["name"] in aside and one["is_cut"]]
    rest = [one for one in data if one["name"] not in aside]
    print(len(held), "works kept aside,", len(rest), "performances to learn from")
    ceiling = np.array([one["credit"].max() for one in held])
    rules = np.array([one["credit"][metre.by_rules(one["rows"].astype(float)).argmax()] for one in held])
    print("best possible", told(ceiling), "by rules", told(rules))
    tensors = train_metre(rest, held, options.epochs)
    print(len(short), "of them cut short", told(np.array([one["credit"][chosen(tensors, one)] for one in short])))
    key_weights = train_key(rest)
    own = [one for one in held if one["key"] is not None]
    hits = [keys.signature(int((one["key_rows"] @ key_weights).argmax())) == one["key"] for one in own]
    plain = [keys.signature(int(one["key_rows"][:, 0].argmax())) == one["key"] for one in own]
    print(
        json.dumps({"key learned": np.mean(hits), "key by profiles": np.mean(plain), "weights": key_weights.tolist()})
    )
    options.out.mkdir(parents=True, exist_ok=True)
    named = {name: array.astype(np.float32) for name, array in (tensors | {"key": key_weights}).items()}
    write_safetensors(options.out / "model.safetensors", named)


if __name__ == "__main__":
    main()
