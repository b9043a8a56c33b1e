"""Training throughput beside plain TRL: the same model, documents and loss; real tokens per CPU second.

python -m benchmarks.throughput --corpus DIR --out FILE [--steps 6] [--rounds 3] [--again]

Both train the shape ``scratch:small`` from the same weights on the same token documents (a built corpus), cross entropy
on completions alone, AdamW, one thread. ``trl`` is its SFTTrainer with nothing set but what the task says (context,
batch, completion-only loss, processor); ``trl plain float32`` has its two costly defaults for a processor switched off
as well (bfloat16 autocast, gradient checkpointing). Each run is a process of its own, the three take turns, the first
step is not counted, and padding is no token. A run's figure is real tokens over CPU seconds of its steps; beside it
stand learned tokens, of which a real token of TRL's batches holds more. The loss of the same documents is compared.
``--again`` trains nothing: it compares losses and sums up the runs that FILE holds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cadenza.base.files import write_atomically
from cadenza.base.run import versions

WAYS = ("cadenza", "trl", "trl plain float32")
BATCH = 8  # TRL's default


def child(way: str, corpus: str, n_steps: int, out: Path) -> dict[str, Any]:
    """One run of a way, in this process."""
    import torch

    from cadenza.train import run
    from cadenza.train.recipe import TrainConfig

    torch.set_num_threads(1)
    config = TrainConfig(
        corpus=corpus, precision="auto", optimiser="adamw", learning_rate=2e-5, scheduler="linear", warmup_share=0.0,
        batch_rows=BATCH, steps=n_steps, evaluate_every=0, evaluation_rows=1, checkpoint_minutes=1e9, log_every=10,
        report_to=[], n_threads=1,
    )  # fmt: skip
    clock = Clock()
    if way == "cadenza":
        ours(config, out, clock)
    else:
        theirs(run.prepare(config), out, n_steps, clock, plain=way != "trl")
    return clock.found()


class Clock:
    """CPU seconds and real tokens of the steps after the first."""

    def __init__(self) -> None:
        self.tokens = 0
        self.targets = 0
        self.marks: list[tuple[float, int, int]] = []

    def batch(self, n_tokens: int, n_targets: int) -> None:
        """A batch of so many real tokens."""
        self.tokens += n_tokens
        self.targets += n_targets

    def step(self) -> None:
        """A step is done."""
        self.marks.append((time.process_time(), self.tokens, self.targets))

    def found(self) -> dict[str, Any]:
        """The figures."""
        (begun, before, targets), (ended, after, all_targets) = self.marks[0], self.marks[-1]
        seconds = ended - begun
        return {
            "tokens": after - before, "targets": all_targets - targets, "cpu_seconds": round(seconds, 3),
            "tokens_per_cpu_second": round((after - before) / seconds, 1),
        }  # fmt: skip


def callback(clock: Clock) -> Any:
    """Tells the clock that a step ended."""
    from transformers import TrainerCallback

    class Ticks(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.step()

    return Ticks()


def ours(config: Any, out: Path, clock: Clock) -> None:
    """``cadenza train``'s own function; batches are counted where it counts them itself."""
    from cadenza.train import loop, run

    count, made = loop.Progress.count, loop.MusicTrainer.__init__

    def counted(self: Any, batch: Any) -> None:
        real = int((batch["input_ids"] != self.trainer.data_collator.pad_id).sum())
        clock.batch(real, int((batch["labels"] != -100).sum()))
        count(self, batch)

    def with_clock(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.add_callback(callback(clock))

    loop.Progress.count = counted  # type: ignore[method-assign]
    loop.MusicTrainer.__init__ = with_clock  # type: ignore[method-assign]
    run.train(config, out, lambda line: None)


def theirs(prepared: Any, out: Path, n_steps: int, clock: Clock, plain: bool) -> None:
    """TRL's SFTTrainer on the same model and documents."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    documents, codec = prepared.train, prepared.base.codec
    rows = []
    for row in prepared.train_rows.rows:  # the same documents in the same order, one a row
        for index in row:
            ids, labels = documents.document(index)
            rows.append({"input_ids": ids.tolist(), "completion_mask": (labels != -100).astype(int).tolist()})
    words = {f"w{number}": number for number in range(len(codec))}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        pad_token=f"w{codec.pad_id}",
        eos_token=f"w{codec.eos_id}",
    )

    class Counted(SFTTrainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            clock.batch(int(inputs["attention_mask"].sum()), int((inputs["labels"] != -100).sum()))
            return super().training_step(model, inputs, *args, **kwargs)

    more: dict[str, Any] = {"bf16": False, "gradient_checkpointing": False} if plain else {}
    config = SFTConfig(
        output_dir=str(out), max_steps=n_steps, per_device_train_batch_size=BATCH, completion_only_loss=True,
        max_length=prepared.config.context_tokens, use_cpu=True, report_to="none", save_strategy="no", **more,
    )  # fmt: skip
    trainer = Counted(
        model=prepared.base.model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        callbacks=[callback(clock)],
    )  # fmt: skip
    trainer.train()


def losses(corpus: str, n_rows: int = 4) -> dict[str, Any]:
    """Mean loss (nats a target) of the same documents: in our packed rows, and as TRL collates them."""
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from cadenza.train import head, rows, run
    from cadenza.train.recipe import TrainConfig

    torch.set_num_threads(1)
    prepared = run.prepare(TrainConfig(corpus=corpus, precision="float32", n_threads=1), say=lambda line: None)
    model, pad_id = prepared.base.model.eval(), prepared.base.codec.pad_id
    packed = rows.Collate(pad_id)([prepared.train_rows[index] for index in range(n_rows)])
    documents = [prepared.train.document(index) for row in prepared.train_rows.rows[:n_rows] for index in row]
    collate = DataCollatorForLanguageModeling(pad_id)
    padded = collate([{"input_ids": ids.tolist(), "labels": labels.tolist()} for ids, labels in documents])
    with torch.no_grad():
        with head.summed_loss(head.head_of(model), packed["labels"]):
            given = {key: packed[key] for key in ("input_ids", "position_ids")}
            total = float(model(**given, use_cache=False).logits)
        theirs = float(model(**padded, use_cache=False).loss)
    n_targets = int((packed["labels"][:, 1:] != -100).sum())
    assert n_targets == int((padded["labels"][:, 1:] != -100).sum())
    return {"targets": n_targets, "cadenza": round(total / n_targets, 6), "trl": round(theirs, 6)}


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds, and how many times another way's figure ours is."""
    found: dict[str, Any] = {}
    for what, times in (("tokens", "times"), ("targets", "times_by_targets")):
        median = {way: statistics.median(one[what] / one["cpu_seconds"] for one in each) for way, each in runs.items()}
        found[f"{what}_per_cpu_second"] = {way: round(value, 1) for way, value in median.items()}
        found[times] = {
            way: round(median["cadenza"] / value, 2) for way, value in median.items() if "cadenza" in median
        }
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--again", action="store_true", help="compare losses and sum up the runs of FILE")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(child(options.here, options.corpus, options.steps, Path(folder) / "run")))
        return
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
    made_by = versions()
    if options.again:
        before = json.loads(options.out.read_text("utf-8"))
        runs, made_by = before["runs"], before["versions"]
    for _ in range(0 if options.again else options.rounds):
        for way in options.ways:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.throughput", "--corpus", options.corpus]
            command += ["--steps", str(options.steps), "--here", way]
            answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=7200)
            runs[way].append(json.loads(answer.stdout.decode().splitlines()[-1]))
            print(way, json.dumps(runs[way][-1]), flush=True)
    result = summary(runs) | {"losses": losses(options.corpus), "runs": runs, "versions": made_by}
    print(json.dumps({key: value for key, value in result.items() if key not in ("runs", "versions")}, indent=1))
    if options.out:
        write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
