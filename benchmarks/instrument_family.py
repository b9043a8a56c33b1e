"""How well the family of a part's instrument is told from its notes, on works that were not trained on.

    python -m benchmarks.instrument_family --data DIR --out FILE.json [--train] [--model FOLDER]

Names, programs, percussion flags, strings, techniques and bends are hidden: onset, duration, pitch and velocity remain,
and the other parts of the score. Printed and written:

* **by work**: five folds, each judged by a network that was trained on the other four; works that share music have one
  fold. The confusion table is over all five.
* **by composer**: the same with composers (drummers' sessions) in one fold, which is harder;
* **without company**: each part judged alone, as if the score had no other;
* **source not seen**: all parts of one source judged by a network that never saw that source. "arranged" among them is
  what there is on basses: no bass guitar is in the clean collections. Training has basses made by rule
  (:mod:`benchmarks.made_bands`) and arranged from written voices (:mod:`cadenza.corpus.band`, other rules by another
  hand); there the arranged ones are judged by networks that saw only the made ones.

``--train`` also writes the networks of fold 0 to ``--model``: what is shipped never saw fold 0, which judges it.
Training needs the extra [train] (torch) and scikit-learn (for the folds).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.family_data import (
    AMBIGUOUS,
    MIN_NOTES,
    N_FOLDS,
    Labelled,
    arranged,
    made,
    pieces_with_families,
    varied,
)
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.base.tensors import write_safetensors
from cadenza.corpus import sources
from cadenza.corpus.family import CLIP, GUESSED, WEIGHTS, FamilyModel
from cadenza.corpus.store import Piece
from cadenza.corpus.voice_features import N_FEATURES, features

RECORDED = Path(__file__).parent / "results" / "instrument_family.json"
HIDDEN, CONTEXT, JOINED = 96, 32, 64
EPOCHS, BATCH_SCORES, MAX_PARTS = 10, 128, 8
CHECK_EPOCHS = 5  # of the folds: one network each, trained half as long as what is shipped
N_NETWORKS = 3
N_MADE = 1_200
#: source → training copies of a piece; the scarce families more.
COPIES = {"openscore_quartets": 10, "guitarset": 12, "openhymnal": 2, "mutopia": 3}
SCARCE, SCARCE_COPIES = {"guitar", "bowed"}, 7


@dataclass(frozen=True)
class Parts:
    """The parts of one score as the network sees them.

    Args:
        x: shape (n parts, F).
        family: shape (n parts,), place in GUESSED, −1 where it does not count.
        held: (source, folds) of the piece and of all that was mixed in.
    """

    x: NDArray[np.float32]
    family: NDArray[np.int64]
    source: str
    path: str
    held: tuple[tuple[str, tuple[int, int]], ...]


def seen(pieces: Sequence[Labelled]) -> list[Parts]:
    """Features of pieces; a part of fewer than MIN_NOTES notes is company and nothing more."""
    out = []
    for piece in pieces:
        family = [
            GUESSED.index(name) if name in GUESSED and len(part) >= MIN_NOTES else -1
            for name, part in zip(piece.families, piece.parts, strict=True) if len(part)
        ]  # fmt: skip
        if family:
            x = features(piece.parts).astype(np.float32)
            held = ((piece.source, piece.folds), *piece.company)
            out.append(Parts(x, np.array(family), piece.source, piece.path, held))
    return out


# ── training ─────────────────────────────────────────────────────────────────────────────────────────────


class Network(nn.Module):
    """:mod:`cadenza.corpus.family`'s network over a batch of padded scores."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(N_FEATURES, HIDDEN)
        self.context = nn.Linear(HIDDEN, 2 * CONTEXT)
        self.joined = nn.Linear(HIDDEN + 4 * CONTEXT, JOINED)
        self.out = nn.Linear(JOINED, len(GUESSED))
        self.drop = nn.Dropout(0.25)

    def forward(self, x: torch.Tensor, is_part: torch.Tensor) -> torch.Tensor:
        own = self.drop(torch.relu(self.own(x)))  # (B, T, H)
        told = torch.relu(self.context(own)) * is_part[..., None]  # (B, T, C)
        n_others = is_part.sum(1)[:, None, None] - is_part[..., None]
        mean = (told.sum(1, keepdim=True) - told) / n_others.clamp(min=1)
        itself = torch.eye(x.shape[1], dtype=torch.bool)[None, :, :, None]
        highest = told[:, None].expand(-1, x.shape[1], -1, -1).masked_fill(itself, 0.0).amax(2)
        return self.out(self.drop(torch.relu(self.joined(torch.cat([own, mean, highest], -1)))))


def share_of_loss(scores: Sequence[Parts]) -> dict[tuple[str, int], float]:
    """(source, family) → weight of one part: families weigh the same, sources within one by their size to the .6, and
    what was made or arranged half of that."""
    count = Counter((score.source, int(family)) for score in scores for family in score.family if family >= 0)
    share = {key: n**0.6 * (0.5 if key[0] in ("made", "arranged") else 1) for key, n in count.items()}
    total: Counter[int] = Counter()
    for (_, family), value in share.items():
        total[family] += value
    mean = sum(count.values()) / len(total)
    return {key: share[key] / total[key[1]] / n * mean for key, n in count.items()}


def train(scores: Sequence[Parts], seed: int, epochs: int) -> dict[str, np.ndarray]:
    """One network's tensors."""
    torch.manual_seed(seed)
    stacked = np.concatenate([score.x for score in scores])
    mean, scale = stacked.mean(0), stacked.std(0) + 1e-6
    weight_of = share_of_loss(scores)
    x = torch.zeros(len(scores), MAX_PARTS, N_FEATURES)  # (B, T, F)
    is_part, family = torch.zeros(len(scores), MAX_PARTS), torch.full((len(scores), MAX_PARTS), -1)
    weight = torch.zeros(len(scores), MAX_PARTS)
    for row, score in enumerate(scores):
        n = min(len(score.x), MAX_PARTS)
        x[row, :n] = torch.from_numpy(np.clip((score.x[:n] - mean) / scale, -CLIP, CLIP))
        is_part[row, :n] = 1
        family[row, :n] = torch.from_numpy(score.family[:n])
        weight[row, :n] = torch.tensor([weight_of.get((score.source, int(f)), 0.0) for f in score.family[:n]])
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.03)
    steps = epochs * (len(scores) // BATCH_SCORES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for _ in range(epochs):
        for rows in torch.randperm(len(scores)).split(BATCH_SCORES)[: len(scores) // BATCH_SCORES]:
            given = x[rows]
            logits = network(given + 0.05 * torch.randn_like(given), is_part[rows]).transpose(1, 2)
            target = family[rows]
            loss = nn.functional.cross_entropy(logits, target.clamp(min=0), reduction="none", label_smoothing=0.03)
            loss = (loss * weight[rows]).sum() / (target >= 0).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    tensors = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32), **tensors}


def trained(scores: Sequence[Parts], n: int = 1, epochs: int = CHECK_EPOCHS) -> FamilyModel:
    """A model of ``n`` networks."""
    return FamilyModel(tuple(train(scores, seed, epochs) for seed in range(n)))


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Tally:
    """Confusions by source: counts[source][true, guessed]."""

    counts: dict[str, NDArray[np.int64]]

    @classmethod
    def empty(cls) -> Tally:
        return cls({})

    def add(self, model: FamilyModel, scores: Sequence[Parts]) -> None:
        for score in scores:
            guess = model.of_features(score.x.astype(np.float64)).argmax(axis=1)
            table = self.counts.setdefault(score.source, np.zeros((len(GUESSED), len(GUESSED)), np.int64))
            np.add.at(table, (score.family[score.family >= 0], guess[score.family >= 0]), 1)

    def summed(self) -> NDArray[np.int64]:
        return sum(self.counts.values(), np.zeros((len(GUESSED), len(GUESSED)), np.int64))

    def result(self) -> dict[str, Any]:
        """Recall of each family, their mean, the table, recall by source; the same without arrangements by rule."""
        real = Tally({source: own for source, own in self.counts.items() if source != "arranged"})
        clean = {name: value for name, value in real._own().items() if name in ("balanced_accuracy", "recall")}
        return self._own() | {"without_arrangements": clean}

    def _own(self) -> dict[str, Any]:
        table = self.summed()
        recall = {
            family: round(float(table[i, i] / table[i].sum()), 4) for i, family in enumerate(GUESSED) if table[i].sum()
        }
        return {
            "balanced_accuracy": round(float(np.mean(list(recall.values()))), 4),
            "recall": recall,
            "by_source": {
                source: {family: f"{own[i, i]} of {own[i].sum()}" for i, family in enumerate(GUESSED) if own[i].sum()}
                for source, own in sorted(self.counts.items())
            },
            "confusion": {family: table[i].tolist() for i, family in enumerate(GUESSED)},
        }


def printed(name: str, result: dict[str, Any]) -> None:
    """The confusion table for people."""
    print(f"\n{name}: balanced accuracy {result['balanced_accuracy']:.4f}")
    print(f"{'':>15}" + "".join(f"{family:>11}" for family in GUESSED) + f"{'recall':>9}")
    for family, row in result["confusion"].items():
        if sum(row):
            print(f"{family:>15}" + "".join(f"{n:>11}" for n in row) + f"{result['recall'][family]:>9.3f}")
    print(f"{'without arrangements':>20}: {result['without_arrangements']}")
    for source, recalls in result["by_source"].items():
        print(f"{source:>20}: " + ", ".join(f"{family} {said}" for family, said in recalls.items()), flush=True)


def alone(pieces: Sequence[Labelled]) -> list[Labelled]:
    """Every part as a score of its own."""
    return [
        replace(one, parts=[part], families=[family])
        for one in pieces
        for part, family in zip(one.parts, one.families, strict=True)
        if len(part)
    ]


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────


def copies(piece: Labelled) -> int:
    """Training copies of a piece beside itself."""
    if piece.source in ("mutopia", "openscore_lieder") and SCARCE & set(piece.families):
        return SCARCE_COPIES
    return COPIES.get(piece.source, 1)


@dataclass(frozen=True)
class Data:
    """All that is trained on and judged: pieces as they are, varied for training, and part by part."""

    plain: list[Parts]
    varied: list[Parts]
    lonely: list[Parts]


def prepared(pieces: Sequence[Piece]) -> Data:
    """Labels, folds, arrangements, pieces by rule, variations, features."""
    real, folds = pieces_with_families(pieces)
    real += arranged(pieces, folds, np.random.default_rng(1))
    rng = np.random.default_rng(5)
    by_rule = made(N_MADE, rng)
    pool = real + by_rule
    more = [varied(piece, pool, rng) for piece in pool for _ in range(copies(piece))]
    return Data(seen(real), seen(by_rule + more), seen(alone(real)))


def named(model: FamilyModel) -> dict[str, NDArray[np.float32]]:
    """The tensors as they are saved: ``0.own.weight`` …"""
    return {f"{n}.{tensor}": array for n, one in enumerate(model.networks) for tensor, array in one.items()}


def shipped(path: Path, test: Sequence[Parts]) -> dict[str, Any]:
    """What the saved networks say of held-out works, and the works' paths."""
    tally = Tally.empty()
    tally.add(FamilyModel.read(path), test)
    return tally.result() | {"held_out": sorted({score.path for score in test})}


def never_seen(scores: Sequence[Parts]) -> list[Parts]:
    """The works that the shipped networks were not trained on, by the paths recorded then.

    A fold of today is no substitute: a few more files that can be read group the works anew.
    """
    held_out = set(json.loads(RECORDED.read_text())["shipped"]["held_out"])
    return [score for score in scores if score.path in held_out]


def judged(data: Data, model: Path | None) -> dict[str, Any]:
    """Every figure; what is shipped goes to ``model``."""
    every = [*data.plain, *data.varied]
    result: dict[str, Any] = {"pieces": len(data.plain), "training_scores": len(every)}
    for kind, name in enumerate(("by work", "by composer")):
        whole, lonely = Tally.empty(), Tally.empty()
        for fold in range(N_FOLDS):
            clean = [s for s in every if all(folds[kind] not in (fold, AMBIGUOUS) for _, folds in s.held)]
            test = [score for score in data.plain if score.held[0][1][kind] == fold]
            if (kind, fold) == (0, 0):
                if model is not None:
                    write_safetensors(model, named(trained(clean, N_NETWORKS, EPOCHS)))
                result["shipped"] = shipped(model or WEIGHTS, test if model is not None else never_seen(data.plain))
                printed("shipped, on the works of fold 0", result["shipped"])
            made_model = trained(clean)
            whole.add(made_model, test)
            lonely.add(made_model, [score for score in data.lonely if score.held[0][1][kind] == fold])
        result[name], result[f"{name}, without company"] = whole.result(), lonely.result()
        printed(name, result[name])
        printed(f"{name}, without company", result[f"{name}, without company"])
    unseen = Tally.empty()
    for source in sorted({score.source for score in data.plain}):
        kept = [score for score in every if source not in [name for name, _ in score.held]]
        unseen.add(trained(kept), [score for score in data.plain if score.source == source])
    result["source not seen"] = unseen.result()
    printed("source not seen", result["source not seen"])
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", action="store_true", help="write the networks that are shipped")
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.time()
    data = prepared(list(sources.pieces(options.data)))
    print(f"{len(data.plain)} pieces, {len(data.varied)} varied; {time.time() - started:.0f} s", flush=True)
    result = judged(data, options.model if options.train else None) | {"versions": versions()}
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
