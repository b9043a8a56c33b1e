"""The training loop: transformers' Trainer with what music needs and what it lacks.

Ours are: the losses (:mod:`cadenza.train.losses`), tokens that weigh the same in every batch, a schedule whose first
step is not wasted, bits per note as the figure that evaluation gives, checkpoints that are whole or not there, and
lines of progress. Rows, their order, and every draw depend on (seed, step) alone: a run that was killed and resumed has
the same weights, to the bit, as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.base.files import write_atomically
from cadenza.train import head, losses, sharding
from cadenza.train.optim import Muon
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import IGNORED, Collate, Evened, RowSet

COMPLETE = "complete.json"  # written last: a checkpoint without it is a part of one
METRIC = "eval_bits_per_note"
Live = Callable[[int, int, str], None]


def learning_rate_scale(step: int, n_steps: int, scheduler: str, warmup_share: float, restarts: int = 2) -> float:
    """The learning rate of a step (from 0), relative to its peak; the first step is never 0."""
    n_warm = math.ceil(n_steps * warmup_share)
    if step < n_warm:
        return (step + 1) / (n_warm + 1)
    done = (step - n_warm) / max(1, n_steps - n_warm)
    if scheduler == "constant":
        return 1.0
    if scheduler == "linear":
        return max(0.0, 1 - done)
    if scheduler == "cosine_with_restarts":
        done = (done * restarts) % 1.0 if done < 1 else 1.0
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def takes_turn(config: TrainConfig, step: int) -> bool:
    """Whether a step is DITTO's, or sequence unlikelihood's: drawn for each, so few steps may have more than their
    share."""
    return bool(np.random.default_rng([config.seed, step, 7]).random() < config.loss.share)


def reports(config: TrainConfig) -> list[str] | str:
    """Where figures go beside log.jsonl: TensorBoard, and what the recipe adds.

    Raises:
        MissingExtraError: what is asked for is not installed.
    """
    wanted = sorted({"tensorboard", *config.report_to}) if config.report_to else []
    for name in wanted:
        if find_spec(name) is None:
            hint = "pip install 'cadenza[train]'" if name == "tensorboard" else f"pip install {name}, or leave it out."
            raise MissingExtraError(f"{name}, which report_to names", "not installed", hint=hint)
    return wanted or "none"


def arguments(config: TrainConfig, out: Path, n_steps: int) -> TrainingArguments:
    """Trainer's arguments of a recipe."""
    optimiser = {"adamw": "adamw_torch", "adafactor": "adafactor", "adamw_8bit": "adamw_8bit", "muon": "adamw_torch"}
    return TrainingArguments(
        output_dir=str(out),
        max_steps=n_steps,
        per_device_train_batch_size=config.batch_rows,
        per_device_eval_batch_size=config.batch_rows,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.peak_learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=optimiser[config.optimiser],
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        neftune_noise_alpha=config.neftune_alpha,
        bf16=config.precision == "bfloat16",
        eval_strategy="steps" if config.evaluate_every else "no",
        eval_steps=config.evaluate_every or None,
        save_strategy="no",  # CheckpointClock asks for them
        logging_steps=config.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        report_to=reports(config),
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        metric_for_best_model=METRIC,
        greater_is_better=False,
        torch_compile=config.compile,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        dataloader_num_workers=config.data_workers,
    )


class MusicTrainer(Trainer):
    """Trainer over :class:`~cadenza.train.rows.RowSet`.

    Args:
        config: the recipe.
        base_model: what is trained.
        train_rows, eval_rows: rows.
        out: folder of the run.
        n_steps: optimiser steps.
        pad_id: fills rows.
        say: takes one line of progress.
        live: takes (steps done, steps, what is known) after each step; lines of progress are then not said.
    """

    # Trainer declares these as things that they may be elsewhere.
    model: Any
    optimizer: Any
    lr_scheduler: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(
        self,
        config: TrainConfig,
        base_model: Any,
        train_rows: RowSet,
        eval_rows: RowSet | None,
        out: Path,
        n_steps: int,
        pad_id: int,
        say: Callable[[str], None] = print,
        callbacks: list[TrainerCallback] | None = None,
        live: Live | None = None,
    ) -> None:
        self.config, self.out, self.n_steps = config, out, n_steps
        args = arguments(config, out, n_steps)
        if eval_rows is None:
            args.eval_strategy = "no"  # type: ignore[assignment]
        super().__init__(
            model=base_model,
            args=args,
            data_collator=Collate(pad_id),
            train_dataset=train_rows,
            eval_dataset=eval_rows,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self.progress, self.clock = Progress(self, say, live), CheckpointClock(self)
        self.add_callback(self.progress)
        self.add_callback(self.clock)
        # Trainer then counts the targets of a whole step; the loss below divides by that count.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._loss_shifts_labels = True
        self._within_step = (-1, 0)
        # A compiled model's forward is not what it was when it was traced: it gives whole logits.
        self._head = head.head_of(base_model) if not config.compile and head.is_plain(base_model) else None

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch, forward and back; counted for the lines of progress."""
        self.progress.count(inputs)
        return super().training_step(model, inputs, num_items_in_batch)

    # ── loss ─────────────────────────────────────────────────────────────────────────────────────────

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The recipe's loss of a batch, scaled so that batches of a step add up to the mean over its targets."""
        step, batch = self.state.global_step, 0
        if self._within_step[0] == step:
            batch = self._within_step[1] + 1
        self._within_step = (step, batch)
        labels = inputs["labels"]
        rng = np.random.default_rng([self.config.seed, step, batch, self.accelerator.process_index])
        if model.training and self.config.loss.name != "cross-entropy" and takes_turn(self.config, step):
            loss = self._loop_loss(model, inputs, rng)
            return loss / self.current_gradient_accumulation_steps
        if self.config.loss.name != "unlikelihood":
            total = outputs = self.summed_loss(model, inputs)
        else:
            outputs = model(input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False)
            total = losses.cross_entropy_sum(outputs.logits, labels)
            penalty = losses.token_unlikelihood(outputs.logits, inputs["input_ids"], labels, inputs["position_ids"])
            total = total + self.config.loss.alpha * penalty
        n_targets = num_items_in_batch if num_items_in_batch is not None else (labels[:, 1:] != IGNORED).sum()
        # Data-parallel processes average their gradients; the count is over all of them.
        loss = total / n_targets * self.accelerator.num_processes
        if model.training and not torch.isfinite(loss):
            hint = "Lower learning_rate, raise warmup_share, or look at the rows with --preview."
            raise ModelError("a finite loss", f"{float(loss.detach())} at step {step + 1}", hint=hint)
        return (loss, outputs) if return_outputs else loss

    def summed_loss(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Sum of −log p over a batch's targets, without logits of whole rows where the model's head allows it."""
        given = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}
        if self._head is None:
            return losses.cross_entropy_sum(model(**given).logits, batch["labels"])
        with head.summed_loss(self._head, batch["labels"]):
            total: torch.Tensor = model(**given).logits
        return total

    def _loop_loss(self, model: Any, inputs: dict[str, Any], rng: np.random.Generator) -> torch.Tensor:
        what = self.config.loss
        n_rows, n_tokens = inputs["input_ids"].shape
        documents = self.train_dataset.documents
        rows = losses.repetition_rows(documents, n_rows, n_tokens, what.unit_bars, rng, what.least_unit_bars)
        if what.name == "ditto":
            ids = torch.from_numpy(rows.ids).to(inputs["input_ids"].device)
            logits = model(input_ids=ids, use_cache=False).logits
            return losses.ditto(logits, rows, what.decay, what.from_copy, what.excess)
        # Sequence unlikelihood on the model's own greedy continuation of what stands before the copies.
        n_given = int(max(4, rows.starts.min()))
        given = torch.from_numpy(rows.ids[:, :n_given]).to(inputs["input_ids"].device)
        whole = greedy(model, given, min(n_tokens, n_given + 128))
        logits = model(input_ids=whole, use_cache=False).logits
        return losses.sequence_unlikelihood(logits, whole, n_given)

    # ── optimiser and schedule ───────────────────────────────────────────────────────────────────────

    def create_optimizer(self, model: Any = None) -> Any:
        """The recipe's; Muon brings AdamW for what is no matrix."""
        if self.optimizer is None and self.config.optimiser == "muon":
            self.optimizer = muon_with_adamw(self.model, self.config)
        return super().create_optimizer(model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up that begins above 0, then the recipe's schedule."""
        if self.lr_scheduler is None:
            config = self.config

            def scale(step: int) -> float:
                return learning_rate_scale(
                    step, num_training_steps, config.scheduler, config.warmup_share, config.restarts
                )

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, scale)
        return self.lr_scheduler

    # ── evaluation ───────────────────────────────────────────────────────────────────────────────────

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss (nats a token) and bits per note over the held-out rows; the same for any batch size and packing."""
        rows = eval_dataset if eval_dataset is not None else self.eval_dataset
        n_processes = self.accelerator.num_processes
        shared = rows if n_processes == 1 else Evened(rows, n_processes * self.args.per_device_eval_batch_size)
        loader = self.get_eval_dataloader(shared)
        was_training = self.model.training
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in loader:
                batch = self._prepare_inputs(batch)
                nats = self.summed_loss(self.model_wrapped, batch)
                total += torch.tensor([float(nats), float((batch["labels"][:, 1:] != IGNORED).sum())])
        total = self.accelerator.reduce(total.to(self.args.device).float(), "sum").cpu().double()
        self.model.train(was_training)
        notes = int(sum(rows.documents.n_notes[index] for row in rows.rows for index in row))
        found = {
            f"{metric_key_prefix}_loss": float(total[0] / max(1, total[1])),
            f"{metric_key_prefix}_bits_per_note": float(total[0] / math.log(2) / max(1, notes)),
        }
        self.log(dict(found))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    # ── checkpoints ──────────────────────────────────────────────────────────────────────────────────

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save, then say that it is whole, then let old ones go: whenever the process dies, one whole one is left."""
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = self.out / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            sizes = {}
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    sizes[str(path.relative_to(folder))] = path.stat().st_size
                    _sync(path)
            write_atomically(folder / COMPLETE, json.dumps({"step": self.state.global_step, "files": sizes}).encode())
            for old in checkpoints(self.out)[: -self.config.keep_checkpoints]:
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        """Shares of gradients are added up over processes with the last batch of a step."""
        self.model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            self.model.set_requires_gradient_sync(True)

    def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
        if not sharding.is_sharded(self.model):
            super()._save(output_dir, state_dict)
            return
        state = sharding.weights(self.model)
        if self.args.should_save:
            self.model.save_pretrained(output_dir, state_dict=state)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not sharding.is_sharded(self.model):
            super()._save_optimizer_and_scheduler(output_dir)
            return
        folder = Path(output_dir)
        writes = self.args.should_save
        sharding.save_optimiser(self.model, self.optimizer.optimizer, folder / sharding.OPTIMISER_FILE, writes)
        if writes:
            torch.save(self.lr_scheduler.state_dict(), folder / sharding.SCHEDULER_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not sharding.is_sharded(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        from safetensors.torch import load_file

        parts = [load_file(path) for path in sorted(Path(resume_from_checkpoint).glob("*.safetensors"))]
        sharding.load_weights(self.model, {name: tensor for part in parts for name, tensor in part.items()})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not sharding.is_sharded(self.model):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        folder = Path(checkpoint)
        sharding.load_optimiser(self.model, self.optimizer.optimizer, folder / sharding.OPTIMISER_FILE)
        self.lr_scheduler.load_state_dict(torch.load(folder / sharding.SCHEDULER_FILE, weights_only=True))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checkpoints(out: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = []
    for folder in out.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        try:
            record = json.loads((folder / COMPLETE).read_bytes())
            whole = all((folder / name).stat().st_size == size for name, size in record["files"].items())
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if whole:
            found.append((int(record["step"]), folder))
    return [folder for _, folder in sorted(found)]


def clear_parts(out: Path) -> None:
    """Remove checkpoints that were not finished."""
    whole = set(checkpoints(out))
    for folder in out.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if folder not in whole:
            shutil.rmtree(folder, ignore_errors=True)


def muon_with_adamw(model: Any, config: TrainConfig) -> torch.optim.Optimizer:
    """Muon for the matrices of the blocks; AdamW, at a fifth of its rate, for embeddings and norms."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    peak = config.learning_rate if config.learning_rate is not None else 0.02
    return Muon(matrices, peak, others=others, others_lr=peak / 5, weight_decay=config.weight_decay)


@torch.no_grad()
def greedy(model: Any, ids: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """Greedy continuation to ``n_tokens`` tokens, shape (B, n_tokens). A sharded model goes without a cache."""
    from transformers import DynamicCache

    was_training = model.training
    model.eval()
    inner = getattr(model, "module", model)
    cache = None if sharding.is_sharded(inner) else DynamicCache(config=inner.config.get_text_config())
    given = ids
    while ids.shape[1] < n_tokens:
        found = model(input_ids=given, past_key_values=cache, use_cache=cache is not None)
        following = found.logits[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, following], 1)
        given = ids if cache is None else following
    model.train(was_training)
    return ids


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────


class Progress(TrainerCallback):
    """Loss, speed, memory, time left: a line every ``log_every`` steps on the screen and in ``log.jsonl``; where
    somebody watches (``live``), a bar that moves with every step instead of the lines."""

    def __init__(self, trainer: MusicTrainer, say: Callable[[str], None], live: Live | None = None) -> None:
        self.trainer, self.say, self.live = trainer, say, live
        self.known: dict[str, Any] = {}
        documents = trainer_rows(trainer).documents
        learned = documents.lengths - documents.n_given
        known = documents.n_notes >= 0
        tokens = float(learned[known].sum())
        self.notes_per_target = float(documents.n_notes[known].sum()) / tokens if tokens else 0.0
        self.tokens = self.targets = 0
        self.began = self.at = time.monotonic()
        self.first_step = self.step = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The clock starts."""
        self.began = self.at = time.monotonic()
        self.first_step = self.step = state.global_step

    def count(self, batch: dict[str, torch.Tensor]) -> None:
        """Note a batch that was trained on."""
        self.tokens += int(batch["input_ids"].numel())
        self.targets += int((batch["labels"] != IGNORED).sum())

    def pause(self, seconds: float) -> None:
        """Time that was not spent on training."""
        self.began += seconds
        self.at += seconds

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self.live is None or not state.is_world_process_zero:
            return
        now = time.monotonic()
        record = self.known | {"minutes_left": self.minutes_left(state.global_step, now)}
        if now > self.at and self.tokens:  # since the last line: a loss would have to be waited for, this is at hand
            n_processes = self.trainer.accelerator.num_processes
            record["tokens_per_second"] = self.tokens * n_processes / (now - self.at)
            record["notes_per_second"] = self.targets * n_processes * self.notes_per_target / (now - self.at)
        self.live(state.global_step, self.trainer.n_steps, _said(record))

    def minutes_left(self, step: int, now: float) -> float:
        """At the pace so far."""
        done = max(1, step - self.first_step)
        return (self.trainer.n_steps - step) * (now - self.began) / done / 60

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Say and keep what was logged."""
        if not state.is_world_process_zero or logs is None:
            return
        record: dict[str, Any] = {"step": state.global_step, **logs}
        now = time.monotonic()
        if "loss" in logs and now > self.at and self.tokens:
            n_processes = self.trainer.accelerator.num_processes
            elapsed = now - self.at
            record["tokens_per_second"] = self.tokens * n_processes / elapsed
            record["notes_per_second"] = self.targets * n_processes * self.notes_per_target / elapsed
            record["memory_gib"] = memory_gib()
            record["minutes_left"] = self.minutes_left(state.global_step, now)
            self.tokens = self.targets = 0
            self.at = now
        with (self.trainer.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.known |= {name: record[name] for name in SAID if name in record}
        if self.live is None:
            self.say(f"step {record['step']:,}/{self.trainer.n_steps:,} · {_said(record)}")


#: What is said of a step: key of the log → its form.
SAID = {
    "loss": "loss {:.4f}",
    "eval_loss": "held-out loss {:.4f}",
    "eval_bits_per_note": "held-out bits per note {:.3f}",
    "learning_rate": "lr {:.2e}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "notes_per_second": "{:,.0f} notes/s",
    "memory_gib": "{:.2f} GiB",
    "minutes_left": "{:.1f} min left",
}


def _said(record: dict[str, Any]) -> str:
    return " · ".join(form.format(float(record[name])) for name, form in SAID.items() if name in record)


def memory_gib() -> float:
    """Peak memory of this process: the accelerator's where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def trainer_rows(trainer: MusicTrainer) -> RowSet:
    """The rows it trains on."""
    rows = trainer.train_dataset
    assert isinstance(rows, RowSet)
    return rows


class CheckpointClock(TrainerCallback):
    """A checkpoint every so many steps or minutes, agreed between processes; on Ctrl-C after the step at hand."""

    def __init__(self, trainer: MusicTrainer) -> None:
        self.trainer = trainer
        self.saved_at = self.began = time.monotonic()
        self.interrupted = False

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The clock starts."""
        self.saved_at = self.began = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint when it is time."""
        every = self.trainer.config.checkpoint_every
        due = time.monotonic() - self.saved_at > 60 * self.trainer.config.checkpoint_minutes or self.interrupted
        due = due or bool(every and state.global_step % every == 0)
        most = self.trainer.config.most_minutes
        is_over = bool(most and time.monotonic() - self.began > 60 * most)
        if self.trainer.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            due, is_over = broadcast_object_list([due, is_over])
        if due or is_over or state.global_step >= self.trainer.n_steps:
            control.should_save = True
        if self.interrupted or is_over:
            control.should_training_stop = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The clock starts again."""
        self.saved_at = time.monotonic()


class EarlyStop(TrainerCallback):
    """Ends training after so many evaluations in a row without a better figure; what was seen is kept with the run."""

    def __init__(self, patience: int, path: Path) -> None:
        self.patience, self.path = patience, path

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at all evaluations up to this step; the log holds those from before a resumption too."""
        seen: dict[int, float] = {}
        for line in self.path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if METRIC in row and row["step"] <= state.global_step:
                seen[row["step"]] = row[METRIC]
        figures = [seen[step] for step in sorted(seen)]
        best = min(range(len(figures)), key=figures.__getitem__, default=0)
        if len(figures) - 1 - best >= self.patience:
            control.should_training_stop = True


class Watch(TrainerCallback):
    """Tells somebody the bits per note of each evaluation."""

    def __init__(self, tell: Callable[[int, float], None]) -> None:
        self.tell = tell

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell it."""
        if metrics and METRIC in metrics:
            self.tell(state.global_step, metrics[METRIC])
