"""Scratch or fine-tune: does a decoder that has read English first learn music better than one that has not?

    python -m benchmarks.scratch_or_tune --data shared/data --work DIR [--only STAGE …] [--english 80] [--music 60]

One command does all of it; stopped at any moment, the same command goes on where it was. Stages (``--only``):

* ``corpus``: builds ``benchmarks/small_corpus.yaml`` from hymns (openhymnal) and Mutopia's pieces, split by work;
* ``english``: gathers English (:mod:`benchmarks.english`), trains a byte-level BPE of 4,096 tokens on it, and a decoder
  of scratch:small's shape for ``--english`` steps of 4,096 tokens (bits per word before and after are kept);
* ``trials``: where :data:`RATES` names several learning rates, each for a quarter of the music budget, judged on
  validation works. From random weights it is the default of scratch-small (Muon, 0.02), untried;
* the cells of :data:`CELLS`, each ``cadenza train``'s own function with a recipe: one from random weights with the
  notation's fields as tokens, on the music budget (``--music`` steps) and on the total budget (``--english`` +
  ``--music``); one from random weights with the text tokenizer; the English one tuned in full and by LoRA, with the
  text tokenizer as it is and with the notation's fields as new tokens;
* ``measure``: bits per note of up to two passages of every held-out work. The passages are the same texts for all
  (fields told by another tokenizer are the same fields), the same bars are given, and none is cut;
* ``report``: benchmarks/results/scratch_or_tune.json and docs/scratch-or-fine-tune.md with its drawing.

A step has 4,096 tokens for everybody, in rows of 1,024, or of 2,048 where a text tokenizer needs twice as many for the
same passage. So equal budgets are equal numbers of tokens through nearly equal models; CPU seconds stand beside.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import english, scratch_or_tune_page
from benchmarks.vocabulary import trained_tokenizer
from cadenza.base.config import build_config, read_yaml
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import pipeline
from cadenza.corpus.open import BuiltCorpus
from cadenza.infer.likelihood import Row, log2_of
from cadenza.metrics import statistics
from cadenza.model.hub_decoder import open_hub_decoder
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.vocabulary import SPECIALS as OURS
from cadenza.train import bases, loop, rows, run
from cadenza.train.recipe import SHAPES, Lora, TrainConfig

HERE = Path(__file__).resolve().parent
OUT, PAGE = HERE / "results" / "scratch_or_tune.json", HERE.parent / "docs" / "scratch-or-fine-tune.md"
SOURCES = ("openhymnal", "mutopia")
N_WORDS = 4096
STEP_TOKENS = 4096
PASSAGES = 2  # of a held-out work
VALIDATION = 48  # passages that curves are drawn over
#: Method of tuning → learning rates that are tried; one alone would be taken untried.
RATES: dict[str, tuple[float, ...]] = {"full": (0.02, 0.006), "lora": (5e-3, 1.5e-3)}


@dataclass(frozen=True)
class Cell:
    """What is trained on music.

    Args:
        start: "fields" (random weights, the notation's fields as tokens), "random" (random weights, the text
            tokenizer) or "english".
        method: "full" or "lora".
        new_tokens: the notation's fields become tokens of their own.
        total: it gets the steps of English as well.
    """

    start: str
    method: str = "full"
    new_tokens: bool = False
    total: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether the text tokenizer spells the fields."""
        return self.start != "fields" and not self.new_tokens


CELLS = {
    "scratch, total budget": Cell("fields", total=True),
    "scratch, music budget": Cell("fields"),
    "scratch, text tokens": Cell("random"),
    "English, full, new tokens": Cell("english", new_tokens=True),
    "English, full, text tokens": Cell("english"),
    "English, LoRA, new tokens": Cell("english", "lora", new_tokens=True),
    "English, LoRA, text tokens": Cell("english", "lora"),
}
#: (a, b, what the pair asks): set before anything was measured.
PAIRS = (
    ("English, full, new tokens", "scratch, total budget", "same total budget"),
    ("English, full, new tokens", "scratch, music budget", "same music budget"),
    ("English, LoRA, new tokens", "scratch, music budget", "same music budget, LoRA"),
    ("English, full, text tokens", "scratch, text tokens", "English or random weights, same tokenizer"),
    ("English, full, new tokens", "English, full, text tokens", "new tokens, in full"),
    ("English, LoRA, new tokens", "English, LoRA, text tokens", "new tokens, LoRA"),
    ("English, full, new tokens", "English, LoRA, new tokens", "in full or LoRA"),
)


@dataclass(frozen=True)
class Plan:
    """Where everything lies and how long it is trained.

    Args:
        english, music: steps of each budget.
    """

    data: Path
    work: Path
    english: int = 80
    music: int = 60

    @property
    def corpus(self) -> Path:
        """Folder of the built corpus."""
        return self.work / "corpus"

    def config(self, cell: Cell, steps: int, rate: float | None, every: int) -> TrainConfig:
        """The recipe of a cell."""
        reads_text = cell.reads_text
        base = "scratch:small" if cell.start == "fields" else str(self.work / cell.start / "model")
        lora = cell.method == "lora"
        return TrainConfig(
            base=base, extend_vocabulary=cell.new_tokens, corpus=str(self.corpus), method=cell.method, lora=Lora(),
            context_tokens=2048 if reads_text else 1024, batch_rows=2 if reads_text else 4, precision="auto",
            optimiser="adamw" if lora else "muon", learning_rate=rate, scheduler="linear", warmup_share=0.05,
            steps=steps, evaluate_every=every, evaluation_rows=VALIDATION, checkpoint_minutes=3, report_to=[],
            n_threads=1, log_every=10,
        )  # fmt: skip


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────


def timed(folder: Path, do: Callable[[], Any]) -> Any:
    """Do something that goes on where it was; the CPU seconds of all its parts are kept in ``cpu.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.process_time()
    try:
        return do()
    finally:
        path = folder / "cpu.json"
        before = json.loads(path.read_text("utf-8")) if path.is_file() else []
        write_atomically(path, json.dumps([*before, round(time.process_time() - begun, 1)]).encode())


def cpu_seconds(folder: Path) -> float:
    """What :func:`timed` has counted."""
    return float(sum(json.loads((folder / "cpu.json").read_text("utf-8"))))


def build_corpus(plan: Plan) -> None:
    """The corpus of the saved recipe."""
    if (plan.corpus / "manifest.json").is_file():
        return
    config = build_config(pipeline.CorpusConfig, read_yaml(HERE / "small_corpus.yaml"), "small_corpus.yaml")
    pipeline.build([plan.data / name for name in SOURCES], plan.corpus, config)


def text_of(plan: Plan) -> tuple[english.English, dict[str, Any]]:
    """English, gathered once."""
    path = plan.work / "english.json"
    if not path.is_file():
        found = english.gather()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(found)).encode())
    found = english.English(**json.loads(path.read_text("utf-8")))
    return found, found.about()


def english_config(plan: Plan) -> TrainConfig:
    """The recipe of pretraining: that of scratch-small, on all of the text."""
    return TrainConfig(
        base="scratch:small", loss_on="all", context_tokens=1024, batch_rows=4, precision="auto", optimiser="muon",
        scheduler="linear", warmup_share=0.05, steps=plan.english, evaluate_every=max(1, plan.english // 4),
        checkpoint_minutes=3, report_to=[], n_threads=1,
    )  # fmt: skip


def pretrain(plan: Plan, say: Callable[[str], None] = print) -> None:
    """The English base, and the random one with the same tokenizer: ``english/model`` and ``random/model``."""
    done = plan.work / "english" / "model"
    if (done / "config.json").is_file():
        return
    text, _ = text_of(plan)
    folder = plan.work / "english"
    tokenizer_folder = folder / "tokenizer"
    if not (tokenizer_folder / "tokenizer.json").is_file():
        specials = ("<pad>", "<s>", "</s>")  # in the order of our own, which the shape's configuration names
        assert len(specials) == len(OURS)
        HubVocabulary(trained_tokenizer(text.train, N_WORDS, False, specials)).save(tokenizer_folder)
    codec = HubVocabulary.load(tokenizer_folder)
    config = run.settled(english_config(plan))
    torch.set_num_threads(1)

    def documents(texts: list[str]) -> rows.Documents:
        # "Notes" are words here, so that the figure of an evaluation is bits per word.
        told = [{"prompt": "", "completion": one, "n_notes": len(one.split()), "seconds": 0.0} for one in texts]
        return rows.tokenize_rows(told, codec, "", config.context_tokens, loss_on="all")

    train, held = documents(text.train), documents(text.held)
    model = bases.scratch_model(SHAPES["small"], N_WORDS, config.context_tokens, config.seed)
    save_base(model, codec, plan.work / "random" / "model")
    packed = rows.pack(train.lengths, rows.drawn(train, {}, False, config.seed), config.context_tokens)
    held_set = rows.RowSet(held, rows.pack(held.lengths, np.flatnonzero(held.n_notes > 0), config.context_tokens))
    folder.mkdir(exist_ok=True)
    trainer = loop.MusicTrainer(
        config, model, rows.RowSet(train, packed), held_set, folder, plan.english, codec.pad_id, say
    )
    found = loop.checkpoints(folder)
    if not found:
        trainer.evaluate()
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    trainer.evaluate()
    save_base(model, codec, done)


def save_base(model: Any, codec: HubVocabulary, folder: Path) -> None:
    """A model and its tokenizer as a base for ``cadenza train``; config.json, written last, says that it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    codec.save(folder)
    model.save_pretrained(folder)


def trial(plan: Plan, method: str, rate: float, say: Callable[[str], None]) -> float:
    """Bits per note of validation works after a quarter of the music budget."""
    cell, steps = Cell("english", method, new_tokens=True), max(1, plan.music // 4)
    out = plan.work / "trials" / f"{method}-{rate:g}"
    if not finished(out):
        timed(out, lambda: run.train(plan.config(cell, steps, rate, 0), out, say))
    return curve(out)[-1][1]


def trials(plan: Plan, say: Callable[[str], None] = print) -> dict[str, dict[str, float]]:
    """Method → learning rate → bits per note of validation works."""
    return {
        method: {f"{rate:g}": trial(plan, method, rate, say) for rate in rates}
        for method, rates in RATES.items()
        if len(rates) > 1
    }


def rate_of(plan: Plan, cell: Cell, say: Callable[[str], None]) -> float | None:
    """The learning rate of a cell: the better trial's, or the shape's default from random weights."""
    if cell.start == "english" and len(RATES[cell.method]) > 1:
        found = trials(plan, say)[cell.method]
        return float(min(found, key=found.__getitem__))
    return RATES["full"][0]  # the default of scratch-small; a folder of weights is no ``scratch:`` to a recipe


def finished(out: Path) -> bool:
    """Whether a run's model is there."""
    return any((out / name / "notation.json").is_file() for name in ("model", "adapter"))


def folder_of(plan: Plan, name: str) -> Path:
    """Where a cell is trained."""
    return plan.work / "cells" / name.replace(", ", "-").replace(" ", "-").lower()


def train_cell(plan: Plan, name: str, say: Callable[[str], None] = print) -> None:
    """Train a cell, unless it is."""
    cell, out = CELLS[name], folder_of(plan, name)
    if finished(out):
        return
    if cell.start != "fields" and not (plan.work / cell.start / "model" / "config.json").is_file():
        timed(plan.work / "english", lambda: pretrain(plan, say))
    steps = plan.music + (plan.english if cell.total else 0)
    rate = rate_of(plan, cell, say)
    say(f"{name}: {steps} steps, learning rate {rate}")
    timed(out, lambda: run.train(plan.config(cell, steps, rate, max(1, steps // 4)), out, say))


def curve(out: Path) -> list[tuple[int, float]]:
    """(step, bits per note of validation works), the last figure of each step."""
    found: dict[int, float] = {}
    for line in (out / "log.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if loop.METRIC in row:
            found[int(row["step"])] = float(row[loop.METRIC])
    return sorted(found.items())


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────


def passages(corpus: BuiltCorpus) -> list[dict[str, Any]]:
    """Up to :data:`PASSAGES` passages of each held-out work."""
    by_work: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in corpus.rows("test"):
        if len(by_work[row["group"]]) < PASSAGES:
            by_work[row["group"]].append(row)
    return [row for found in by_work.values() for row in found]


def bits_of_works(
    decoder: Any, codec: rows.Codec, corpus: BuiltCorpus, chosen: list[dict[str, Any]]
) -> tuple[dict[str, list[float]], int]:
    """Work → bits and notes of the completions of its passages; and the tokens of all of them."""
    documents = rows.tokenize_rows(chosen, codec, corpus.notation.unit_start, 4096)
    if len(documents) != len(chosen) or (documents.n_notes < 0).any():
        raise AssertionError("a held-out passage does not fit whole")
    works: dict[str, list[float]] = {}
    n_tokens = 0
    for index, row in enumerate(chosen):
        ids, _ = documents.document(index)
        given = int(documents.n_given[index])
        n_tokens += len(ids) - given
        mine = works.setdefault(row["group"], [0.0, 0.0])
        mine[0] -= float(log2_of([Row(ids, given)], decoder).sum())
        mine[1] += row["n_notes"]
    return works, n_tokens


def measure(plan: Plan, name: str) -> dict[str, Any]:
    """Bits of each held-out work under a cell, kept beside it."""
    out = folder_of(plan, name)
    path = out / "test.json"
    if path.is_file():
        return dict(json.loads(path.read_text("utf-8")))
    torch.set_num_threads(1)
    corpus = BuiltCorpus.open(plan.corpus)
    chosen = passages(corpus)
    folder = next(out / kind for kind in ("model", "adapter") if (out / kind).is_dir())
    codec = bases.open_codec(folder)
    is_adapter = folder.name == "adapter"
    base = plan.work / CELLS[name].start / "model"
    decoder = open_hub_decoder(
        base if is_adapter else folder, adapter=folder if is_adapter else "", n_vocabulary=len(codec)
    )
    works, n_tokens = bits_of_works(decoder, codec, corpus, chosen)
    trained = json.loads((out / "run.json").read_text("utf-8"))
    found = {
        "works": works, "passages": len(chosen), "tokens": n_tokens, "parameters": trained["n_parameters"],
        "trainable": trained["n_trainable"],
        "learning_rate": trained["config"]["learning_rate"], "steps": trained["n_steps"],
    }  # fmt: skip
    write_atomically(path, json.dumps(found).encode())
    return found


def row_of(plan: Plan, name: str) -> dict[str, Any]:
    """A row of the table."""
    found, out, cell = measure(plan, name), folder_of(plan, name), CELLS[name]
    bits, notes = np.array(list(found["works"].values())).T
    outlook = notes_seen(plan, name)
    total = found["steps"] + (plan.english if cell.start == "english" else 0)
    return {
        "bits_per_note": statistics.bootstrap(bits, notes, statistic=statistics.ratio).record(),
        "works": len(bits), "passages": found["passages"], "notes": int(notes.sum()),
        "tokens_per_note": found["tokens"] / float(notes.sum()),
        "parameters": found["parameters"], "trainable": found["trainable"], "learning_rate": found["learning_rate"],
        "music_tokens": found["steps"] * STEP_TOKENS, "total_tokens": total * STEP_TOKENS, "notes_seen": outlook,
        "cpu_seconds_of_music": cpu_seconds(out), "curve": curve(out),
    }  # fmt: skip


def notes_seen(plan: Plan, name: str) -> int:
    """Notes in what a cell was trained on (with repetition), from its tokens and the notes in them."""
    out = folder_of(plan, name)
    with np.load(out / "tokens-train.npz") as saved:
        lengths, notes = np.diff(saved["starts"]), saved["n_notes"]
    whole = notes >= 0
    steps = json.loads((out / "run.json").read_text("utf-8"))["n_steps"]
    return round(steps * STEP_TOKENS * notes[whole].sum() / lengths[whole].sum())


def compared(first: dict[str, list[float]], second: dict[str, list[float]]) -> dict[str, float]:
    """How many fewer bits the first needs than the second on the same works, with the interval of a paired bootstrap;
    and p of a sign-flip test of their differences in bits per note, work by work."""
    works = list(first)
    x, y = (np.array([found[work] for work in works]) for found in (first, second))

    def gain(after: Any, before: Any, axis: int = -1) -> Any:
        return 1 - after.sum(axis=axis) / before.sum(axis=axis)

    found = statistics.bootstrap(x[:, 0], y[:, 0], statistic=gain).record()
    return found | {"p": statistics.sign_flip(x[:, 0] / x[:, 1] - y[:, 0] / y[:, 1])}


def report(plan: Plan) -> None:
    """JSON and page of what has been measured; cells that are not trained yet are left out and named."""
    there = [name for name in CELLS if finished(folder_of(plan, name))]
    pairs = [pair for pair in PAIRS if pair[0] in there and pair[1] in there]
    found = [compared(measure(plan, a)["works"], measure(plan, b)["works"]) for a, b, _ in pairs]
    adjusted = statistics.holm([one["p"] for one in found]) if found else []
    manifest = BuiltCorpus.open(plan.corpus).manifest
    result = {
        "command": f"python -m benchmarks.scratch_or_tune --english {plan.english} --music {plan.music}",
        "corpus": {"fingerprint": manifest["fingerprint"], "splits": manifest["splits"], "sources": list(SOURCES)},
        "english_steps": plan.english, "music_steps": plan.music, "step_tokens": STEP_TOKENS,
        "english": text_of(plan)[1] | {"bits_per_word": curve(plan.work / "english")},
        "rates": {method: list(rates) for method, rates in RATES.items()},
        "trials": trials(plan, lambda line: None),
        "trial_steps": max(1, plan.music // 4),
        "cells": {name: row_of(plan, name) for name in there},
        "missing": [name for name in CELLS if name not in there],
        "pairs": [
            {"a": a, "b": b, "asks": asks, **one, "p_holm": float(p)}
            for (a, b, asks), one, p in zip(pairs, found, adjusted, strict=True)
        ],
        "versions": versions(),
    }  # fmt: skip
    write_atomically(OUT, (json.dumps(result, indent=1) + "\n").encode())
    scratch_or_tune_page.write(result, PAGE)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--english", type=int, default=80, help="steps of pretraining")
    parser.add_argument("--music", type=int, default=60, help="steps of the music budget")
    parser.add_argument("--only", nargs="*", help="stages, or names of cells")
    options = parser.parse_args()
    plan = Plan(options.data, options.work.resolve(), options.english, options.music)
    stages: dict[str, Callable[[], Any]] = {
        "corpus": lambda: build_corpus(plan),
        "english": lambda: timed(plan.work / "english", lambda: pretrain(plan)),
        "trials": lambda: trials(plan),
    }
    for method, rates in RATES.items():
        for rate in rates:  # each a stage of its own too, so that several processes can share the work
            stages[f"trial {method} {rate:g}"] = partial(trial, plan, method, rate, print)
    stages |= {name: lambda name=name: train_cell(plan, name) for name in CELLS}  # type: ignore[misc]
    stages["measure"] = lambda: [measure(plan, name) for name in CELLS if finished(folder_of(plan, name))]
    stages["report"] = lambda: report(plan)
    wanted = options.only or [name for name in stages if not name.startswith("trial ")]
    for name in wanted:
        if name not in stages:
            parser.error(f"no stage {name!r}; there are {', '.join(stages)}")
    for name in wanted:
        print(f"== {name}", flush=True)
        stages[name]()


if __name__ == "__main__":
    main()
