"""Learning from comparisons: DPO on ranked takes, and GRPO with named metrics as the reward. Off by default.

Both go on from a model that was trained on examples (``base`` a folder, or ``adapter_of``), keep its loop, its
checkpoints and its figures (held-out bits per note are still measured: they must not get much worse), and draw from the
model without a grammar.

**DPO** (Rafailov et al. 2023). Before the first step pairs are made and kept in ``pairs.jsonl``: for each of
``preference.prompts`` prompts, ``preference.group`` takes are drawn and judged by the reward; the best and the worst,
where they differ, are chosen and rejected (``kind: ranked``); or the corpus's own completion is chosen and a take is
rejected (``kind: human``). Loss: −log σ(β · ((log π_c − log ref_c) − (log π_r − log ref_r))), sums over the tokens of
the completion. The reference is the model before the first step; its sums are kept with the pairs, so that it need not
stay in memory.

**GRPO** (Shao et al. 2024, DeepSeekMath, eq. 3). At each step ``batch_rows`` prompts, ``preference.group`` takes each,
drawn from the model as it is; advantage = (reward − the group's mean) / (the group's standard deviation + 1e-4); loss
of a take: the mean over its tokens of −ratio · advantage + β · (r − log r − 1), r = ref / π, the estimator k3 of the
KL to the reference (Schulman 2020). Each take is used for one update: the ratio is 1 in value (its gradient is what
matters) and there is nothing to clip. The reference is the model before the first step: the adapter switched off, or a
frozen copy.

trl's trainers want a tokenizer of transformers and text rewards; ours train whatever vocabulary the recipe opens, with
bit-exact resumption. tests/rooms/train/test_preferences.py holds the losses to cases by hand.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cadenza.base.errors import ConfigError, ModelError
from cadenza.base.files import write_atomically
from cadenza.metrics.reward import Reward
from cadenza.train import loop
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import IGNORED, Collate, Documents, RowSet
from cadenza.train.run import Prepared
from cadenza.train.takes import Judge, drawn

PAIRS = "pairs.jsonl"
LEAST_SPREAD = 1e-4  # of a group's rewards, as in trl

# ── the losses ───────────────────────────────────────────────────────────────────────────────────────────


def token_log_p(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """log p (nats) of each token but the first, shape (B, T − 1).

    Args:
        logits: (B, T, V).
        ids: (B, T).
    """
    return torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None]).squeeze(-1)


def document_log_p(
    logits: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor, position_ids: torch.Tensor, n_documents: int
) -> torch.Tensor:
    """Sums of log p over the learned tokens of each document of packed rows, shape (B, n_documents).

    Args:
        position_ids: (B, T); 0 begins a document. Padding is one more document, which counts for nothing.
    """
    which = (position_ids == 0).cumsum(1)[:, 1:] - 1
    log_p = token_log_p(logits, ids).masked_fill(labels[:, 1:] == IGNORED, 0.0)
    sums = log_p.new_zeros(len(ids), int(which.max()) + 1).scatter_add(1, which, log_p)
    return sums[:, :n_documents]


def dpo(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Mean DPO loss of pairs.

    Args:
        policy, reference: (B, 2), sums of log p of the chosen and of the rejected completion.
    """
    margin = (policy[:, 0] - reference[:, 0]) - (policy[:, 1] - reference[:, 1])
    return -functional.logsigmoid(beta * margin).mean()


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Group-relative advantages of rewards (..., G); 0 in a group whose rewards are equal."""
    centred = rewards - rewards.mean(-1, keepdim=True)
    return centred / (rewards.std(-1, keepdim=True) + LEAST_SPREAD)


def grpo(
    log_p: torch.Tensor, reference: torch.Tensor, advantage: torch.Tensor, wanted: torch.Tensor, beta: float
) -> torch.Tensor:
    """Mean GRPO loss of takes, each used for one update.

    Args:
        log_p: (B, T) of the model, with gradient.
        reference: (B, T).
        advantage: (B,).
        wanted: (B, T), true at the take's own tokens.
    """
    ratio = torch.exp(log_p - log_p.detach())
    apart = (reference - log_p).masked_fill(~wanted, 0.0)
    kl = torch.exp(apart) - apart - 1
    each = -ratio * advantage[:, None] + beta * kl
    return ((each * wanted).sum(1) / wanted.sum(1).clamp(min=1)).mean()


# ── DPO ──────────────────────────────────────────────────────────────────────────────────────────────────


class PairSet(RowSet):
    """Rows of two documents, chosen and rejected, with the reference's sums."""

    def __init__(self, documents: Documents, reference: NDArray[np.float32]) -> None:
        super().__init__(documents, [[2 * pair, 2 * pair + 1] for pair in range(len(documents) // 2)])
        self.reference = reference

    def __getitem__(self, number: int) -> dict[str, Any]:
        return super().__getitem__(number) | {"reference": self.reference[number % len(self.rows)]}


class PairCollate(Collate):
    """As :class:`~cadenza.train.rows.Collate`, with the reference's sums, shape (B, 2)."""

    def __call__(self, rows: Any) -> dict[str, torch.Tensor]:
        batch = super().__call__(rows)
        return batch | {"reference": torch.from_numpy(np.stack([row["reference"] for row in rows]))}


class DpoTrainer(loop.MusicTrainer):
    """Trains on :class:`PairSet`."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        pad: Any = self.data_collator
        self._plain_collate: Any = pad
        self.margins: list[float] = []

    def get_train_dataloader(self) -> Any:
        """Batches with the reference's sums; evaluation keeps plain ones."""
        self.data_collator = PairCollate(self._plain_collate.pad_id)
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = self._plain_collate

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """DPO's loss of a batch of pairs; batches of a step weigh the same."""
        del return_outputs, num_items_in_batch
        logits = model(input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False).logits
        policy = document_log_p(logits, inputs["input_ids"], inputs["labels"], inputs["position_ids"], 2)
        reference = inputs["reference"]
        margin = self.config.preference.beta * ((policy - reference) @ policy.new_tensor([1.0, -1.0])).detach()
        self.margins += margin.tolist()
        return dpo(policy, reference, self.config.preference.beta) / self.current_gradient_accumulation_steps

    def log(self, logs: dict[str, float], *args: Any, **keys: Any) -> None:
        """With the mean margin (nats, times β) and the share of pairs that are told apart."""
        if "loss" in logs and self.margins:
            logs["margin"] = float(np.mean(self.margins))
            logs["told_apart"] = float(np.mean([margin > 0 for margin in self.margins]))
            self.margins = []
        super().log(logs, *args, **keys)


def _prompts(prepared: Prepared) -> NDArray[np.int64]:
    """Documents whose completion goes on after their prompt (task ``continue``), whole ones."""
    documents = prepared.train
    tasks = [number for number, name in enumerate(documents.tasks) if name in ("continue", "")]
    found = np.flatnonzero(np.isin(documents.task, tasks) & (documents.n_given > 1) & (documents.n_notes > 0))
    if not len(found):
        raise ConfigError("a corpus with the task continue", ", ".join(documents.tasks), where="recipe objective")
    return found


def judge_of(prepared: Prepared) -> Judge:
    """The recipe's reward over the corpus's notation."""
    what = prepared.config.preference
    return Judge(Reward(what.reward, what.targets), prepared.base.codec, prepared.corpus.notation)


def make_pairs(prepared: Prepared, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Pairs of one prompt: ids of what was given, of the chosen and of the rejected completion, and their rewards."""
    config, documents, model = prepared.config, prepared.train, prepared.base.model
    what = config.preference
    judge = judge_of(prepared) if what.reward else None
    chosen = _prompts(prepared)
    order = np.random.default_rng([config.seed, 11]).permutation(chosen)[: what.prompts]
    for number, index in enumerate(order):
        ids, _ = documents.document(int(index))
        given, own = ids[: documents.n_given[index]], ids[documents.n_given[index] :]
        room = min(what.max_tokens, config.context_tokens - len(given))
        n_takes = 1 if what.kind == "human" else what.group
        takes = drawn(
            model, given, n_takes, room, prepared.base.codec, what.temperature, seed=_seed(config, 12, int(index))
        )
        rewards = [judge(given, take).total if judge else 0.0 for take in takes]
        if what.kind == "human":
            better, worse, of_better, of_worse = own, takes[0], judge(given, own).total if judge else None, rewards[0]
        else:
            best, worst = int(np.argmax(rewards)), int(np.argmin(rewards))
            if rewards[best] <= rewards[worst]:
                continue
            better, worse, of_better, of_worse = takes[best], takes[worst], rewards[best], rewards[worst]
        yield {
            "given": given.tolist(), "chosen": better.tolist(), "rejected": worse.tolist(),
            "reward_chosen": of_better, "reward_rejected": of_worse if judge else None,
        }  # fmt: skip
        if (number + 1) % 50 == 0:
            say(f"pairs: {number + 1} of {len(order)} prompts")


def with_pairs(prepared: Prepared, out: Path, say: Callable[[str], None]) -> Prepared:
    """The run with pairs for rows; made once, with the reference's sums, and kept in ``out``.

    Raises:
        ModelError: no two takes of any prompt differ in reward.
    """
    path = out / PAIRS
    if not path.is_file():
        made = list(make_pairs(prepared, say))
        if not made:
            hint = "Raise preference.group or temperature, or take another reward."
            raise ModelError("takes that the reward tells apart", "none", where="recipe preference", hint=hint)
        documents = pair_documents(made)
        reference = reference_sums(prepared, PairSet(documents, np.zeros((len(made), 2), np.float32)))
        for pair, sums in zip(made, reference.tolist(), strict=True):
            pair["reference"] = sums
        write_atomically(path, "".join(json.dumps(pair) + "\n" for pair in made).encode())
        say(f"{len(made)} pairs of {prepared.config.preference.prompts} prompts: {path}")
    made = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows = PairSet(pair_documents(made), np.array([pair["reference"] for pair in made], np.float32))
    return _with_rows(prepared, rows)


def pair_documents(pairs: list[dict[str, Any]]) -> Documents:
    """Chosen and rejected in turn, each after what was given."""
    texts = [(pair["given"], pair[name]) for pair in pairs for name in ("chosen", "rejected")]
    lengths = [len(given) + len(take) for given, take in texts]
    n = len(texts)
    return Documents(
        ids=np.concatenate([np.array([*given, *take], np.int32) for given, take in texts]),
        starts=np.cumsum([0, *lengths]), n_given=np.array([len(given) for given, _ in texts], np.int32),
        unit_starts=np.zeros(0, np.int64), n_notes=np.full(n, -1, np.int32), seconds=np.zeros(n, np.float32),
        weight=np.ones(n, np.float32), task=np.zeros(n, np.int32), tasks=("pairs",),
    )  # fmt: skip


@torch.no_grad()
def reference_sums(prepared: Prepared, pairs: PairSet) -> NDArray[np.float32]:
    """Sums of log p of the model before the first step, shape (pairs, 2)."""
    model = prepared.base.model
    was_training = model.training
    model.eval()
    collate = Collate(prepared.base.codec.pad_id)
    device = next(model.parameters()).device
    sums = []
    for number in range(len(pairs)):
        batch = {name: value.to(device) for name, value in collate([pairs[number]]).items()}
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
        sums.append(document_log_p(logits, batch["input_ids"], batch["labels"], batch["position_ids"], 2)[0])
    model.train(was_training)
    return torch.stack(sums).float().cpu().numpy()


def _with_rows(prepared: Prepared, rows: RowSet) -> Prepared:
    config = prepared.config
    per_epoch = max(1, math.ceil(len(rows) / (config.batch_rows * config.accumulate)))
    n_steps = config.steps if config.steps is not None else max(1, math.ceil(config.epochs * per_epoch))
    return replace(prepared, train_rows=rows, n_steps=n_steps, steps_per_epoch=per_epoch)


# ── GRPO ─────────────────────────────────────────────────────────────────────────────────────────────────


def with_prompts(prepared: Prepared) -> Prepared:
    """The run with one prompt a row."""
    return _with_rows(prepared, RowSet(prepared.train, [[int(index)] for index in _prompts(prepared)]))


class GrpoTrainer(loop.MusicTrainer):
    """Trains on the model's own takes of the rows' prompts.

    Args:
        judge: of takes.
    """

    def __init__(self, *args: Any, judge: Judge, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self.judge = judge
        self.figures: list[tuple[float, float, float]] = []  # mean reward, spread, KL
        # With adapters, the model without them is the reference.
        self.frozen = None
        if self.config.preference.beta and (not hasattr(self.model, "disable_adapter") or self.config.adapter_of):
            self.frozen = copy.deepcopy(self.model).eval().requires_grad_(False)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch; what is counted for the lines of progress are the takes."""
        return super(loop.MusicTrainer, self).training_step(model, inputs, num_items_in_batch)

    @contextmanager
    def _reference(self, model: Any) -> Iterator[Any]:
        if self.frozen is not None:
            self.frozen.to(next(model.parameters()).device)
            yield self.frozen
            return
        whole = self.accelerator.unwrap_model(model)
        with whole.disable_adapter():
            yield whole

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """GRPO's loss over the groups of a batch's prompts; batches of a step weigh the same."""
        del return_outputs, num_items_in_batch
        what, step = self.config.preference, self.state.global_step
        batch = self._within_step[1] + 1 if self._within_step[0] == step else 0
        self._within_step = (step, batch)
        each = []
        for row in range(len(inputs["input_ids"])):
            learned = (inputs["labels"][row] != IGNORED).nonzero()
            given = inputs["input_ids"][row, : int(learned[0])].cpu().numpy()
            seed = _seed(self.config, 13, step, batch, row, self.accelerator.process_index)
            each.append(self._group_loss(model, *self._group(model, given, seed), what.beta))
        total = torch.stack(each).mean()
        return total / self.current_gradient_accumulation_steps

    def _group(
        self, model: Any, given: NDArray[np.int64], seed: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(ids (G, T), wanted (G, T − 1), advantages (G,)) of the takes of one prompt."""
        what = self.config.preference
        codec = self.judge.codec
        room = min(what.max_tokens, self.config.context_tokens - len(given))
        takes = drawn(self.accelerator.unwrap_model(model), given, what.group, room, codec, what.temperature, seed)
        rewards = torch.tensor([self.judge(given, take).total for take in takes])
        longest = max(map(len, takes))
        ids = np.full((len(takes), len(given) + longest), codec.pad_id, np.int64)
        ids[:, : len(given)] = given
        wanted = np.zeros((len(takes), len(given) + longest - 1), bool)
        for row, take in enumerate(takes):
            ids[row, len(given) : len(given) + len(take)] = take
            wanted[row, len(given) - 1 : len(given) - 1 + len(take)] = True
        self.figures.append((float(rewards.mean()), float(rewards.std()), 0.0))
        self.progress.count(
            {"input_ids": torch.from_numpy(ids), "labels": torch.where(torch.from_numpy(wanted), 0, IGNORED)}
        )
        device = next(model.parameters()).device
        return torch.from_numpy(ids).to(device), torch.from_numpy(wanted).to(device), advantages(rewards).to(device)

    def _group_loss(
        self, model: Any, ids: torch.Tensor, wanted: torch.Tensor, advantage: torch.Tensor, beta: float
    ) -> torch.Tensor:
        log_p = token_log_p(model(input_ids=ids, use_cache=False).logits, ids)
        known = log_p.detach()
        if beta:
            with torch.no_grad(), self._reference(model) as reference:
                known = token_log_p(reference(input_ids=ids, use_cache=False).logits, ids)
            apart = (known - log_p.detach())[wanted]
            mean, spread, _ = self.figures[-1]
            self.figures[-1] = (mean, spread, float((torch.exp(apart) - apart - 1).mean()))
        return grpo(log_p, known, advantage, wanted, beta)

    def log(self, logs: dict[str, float], *args: Any, **keys: Any) -> None:
        """With the takes' mean reward, its spread within groups, and the KL to the reference (nats a token)."""
        if "loss" in logs and self.figures:
            means = np.mean(self.figures, axis=0)
            logs |= {"reward": float(means[0]), "reward_spread": float(means[1]), "kl": float(means[2])}
            self.figures = []
        super().log(logs, *args, **keys)


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────


def _seed(config: TrainConfig, *parts: int) -> int:
    return int(np.random.default_rng([config.seed, *parts]).integers(1 << 62))


def readied(prepared: Prepared, out: Path, say: Callable[[str], None]) -> Prepared:
    """The run with the rows of its objective."""
    if prepared.config.objective == "dpo":
        return with_pairs(prepared, out, say)
    return with_prompts(prepared) if prepared.config.objective == "grpo" else prepared


def trainer_of(prepared: Prepared) -> Callable[..., loop.MusicTrainer]:
    """What trains by the recipe's objective."""
    if prepared.config.objective == "grpo":
        judge = judge_of(prepared)
        return lambda *args, **keys: GrpoTrainer(*args, judge=judge, **keys)
    return DpoTrainer if prepared.config.objective == "dpo" else loop.MusicTrainer
