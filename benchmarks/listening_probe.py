"""What a tower's features alone say: a ridge regression answers the questions, without any language model.

Features of a clip: of every dimension the mean and the maximum over its frames. One classifier a kind of question, over
the answers of the training clips; what it may be is fixed on training clips, its ridge on validation clips. Beside the
towers stands the commonest answer of the training clips.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.corpus import questions
from cadenza.corpus.clips import ClipStore
from cadenza.train.listening.rows import Heard, kept_in
from cadenza.train.listening.towers import open_tower

RIDGES = (1.0, 10.0, 100.0, 1000.0)

Floats = NDArray[np.float64]


def run(work: Path, tower: str) -> None:
    """Probe a tower; write probe.json, beside other towers' figures; print."""
    stores = {split: ClipStore(work / "clips" / split) for split in ("train", "validation", "test")}
    asked = {split: [dict(store.questions(n)) for n in range(len(store))] for split, store in stores.items()}
    path = work / "probe.json"
    found: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    ears = open_tower(tower)
    seen = {split: _pooled(Heard(store, ears, kept_in(store, ears))) for split, store in stores.items()}
    for kind, question in questions.ASKED.items():
        truths = {split: [one.get(question, "") for one in rows] for split, rows in asked.items()}
        common = Counter(truths["train"]).most_common(1)[0][0]
        found.setdefault("commonest answer", {})[kind] = _credit(question, [common] * len(stores["test"]), truths)
        found.setdefault(tower, {})[kind] = _probe(question, seen, truths)
    write_atomically(path, (json.dumps(found, indent=1) + "\n").encode())
    for name, row in found.items():
        print(name, {kind: round(value, 3) for kind, value in row.items()})


def _pooled(heard: Heard) -> Floats:
    rows = []
    for number in range(len(heard)):
        features = heard[number] if len(heard[number]) else np.zeros((1, heard[number].shape[1]), np.float32)
        rows.append(np.concatenate([features.mean(0), features.max(0)]))
    return np.array(rows, np.float64)


def _probe(question: str, seen: dict[str, Floats], truths: dict[str, list[str]]) -> float:
    labels = sorted(set(truths["train"]))
    target = np.array([[label == truth for label in labels] for truth in truths["train"]], np.float64)
    mean, spread = seen["train"].mean(0), seen["train"].std(0) + 1e-6
    x = {split: np.c_[(rows - mean) / spread, np.ones(len(rows))] for split, rows in seen.items()}
    gram, moment = x["train"].T @ x["train"], x["train"].T @ target
    best = (-1.0, 0.0)
    for ridge in RIDGES:
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), moment)
        said = {split: [labels[i] for i in (x[split] @ weights).argmax(1)] for split in ("validation", "test")}
        validation, test = (_credit(question, said[split], truths, split) for split in ("validation", "test"))
        best = max(best, (validation, test), key=lambda one: one[0])  # the test's figure is only carried along
    return best[1]


def _credit(question: str, said: list[str], truths: dict[str, list[str]], split: str = "test") -> float:
    pairs = zip(said, truths[split], strict=True)
    return float(np.mean([questions.credit(question, answer, truth) for answer, truth in pairs]))
