"""Training of models that listen: the loop of :mod:`cadenza.train.loop` with sound in every forward pass.

- ``sft``: the true answers;
- ``grpo`` and ``ppo``: the model's own answers, judged by a reward of :data:`cadenza.metrics.reward.REWARDS`;
- ``dpo`` and ``rejection``: answers drawn once, before the first step (:mod:`cadenza.train.listening.answers`).

All log-probabilities, the model's, the old ones and the reference's, are computed with the sound in its places; tests
hold the update to a case by hand and see that it depends on the sound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.metrics.reward import Judgement
from cadenza.train import losses
from cadenza.train.listening import objectives
from cadenza.train.listening.rows import ByLength, ClipCollate, ClipRows
from cadenza.train.loop import MusicTrainer
from cadenza.train.preferences import advantages, token_log_p
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import IGNORED, Codec
from cadenza.train.takes import drawn_together

Reward = Callable[[str, str], Judgement]
TAKES = "takes.jsonl"


class Judges:
    """A reward that judges many answers at once, in other processes where there are to be any.

    Args:
        workers: processes; 0 judges here. With some, the reward must be one that pickle takes.
    """

    def __init__(self, reward: Reward, workers: int) -> None:
        self.reward, self.workers = reward, workers
        self._pool = ProcessPoolExecutor(workers) if workers else None
        if self._pool is not None:  # started now: before there is an accelerator or a thread that a fork would copy
            self._pool.submit(int).result()

    def __call__(self, answers: Sequence[str], truths: Sequence[str]) -> list[Judgement]:
        """Verdicts in their order."""
        if self._pool is None:
            return [self.reward(answer, truth) for answer, truth in zip(answers, truths, strict=True)]
        share = -(-len(answers) // (4 * self.workers))
        return list(self._pool.map(self.reward, answers, truths, chunksize=max(1, share)))

    def close(self) -> None:
        """Let the processes go."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class ListenTrainer(MusicTrainer):
    """Cross-entropy on :class:`~cadenza.train.listening.rows.ClipRows`."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        pad: Any = self.data_collator
        self.data_collator = ClipCollate(pad.pad_id)
        self._head = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if not isinstance(rows, ClipRows):
            return super()._get_train_sampler(train_dataset)
        lengths = [sum(len(rows.documents.document(at)[0]) for at in row) for row in rows.rows]
        batch = self.args.per_device_train_batch_size * self.args.world_size
        return ByLength(lengths, batch, self.args.gradient_accumulation_steps, self.config.seed)

    def summed_loss(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Sum of −log p over a batch's targets."""
        found = model(
            input_ids=batch["input_ids"], features=batch["features"], position_ids=batch["position_ids"],
            use_cache=False,
        )  # fmt: skip
        return losses.cross_entropy_sum(found.logits, batch["labels"])

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint holds what is trained and nothing else: what it lacks of the rest is the base's."""
        trained = {name for name, value in self.model.named_parameters() if value.requires_grad}
        wrong = sorted(trained & {*load_result.missing_keys}) + sorted(load_result.unexpected_keys)
        if wrong:
            raise ModelError("a checkpoint of just what is trained", f"{len(wrong)} other names, {wrong[0]}")


@dataclass
class Rollout:
    """Answers of a batch's clips and what is known of them when they were given; N answers, T tokens.

    Args:
        ids: (N, T + 1), prompt and answer.
        features: (N, F, width).
        wanted: (N, T), true where the next token is the answer's.
        rewards: (N,).
        old, reference: (N, T) log-probabilities of the tokens.
        values: (N, T), 0 without a value head.
        advantage: (N,) of GRPO, (N, T) of PPO; returns: (N, T) of PPO.
    """

    ids: torch.Tensor
    features: torch.Tensor
    wanted: torch.Tensor
    rewards: torch.Tensor
    old: torch.Tensor
    reference: torch.Tensor
    values: torch.Tensor
    advantage: torch.Tensor
    returns: torch.Tensor


class RewardTrainer(ListenTrainer):
    """PPO or GRPO on the model's own answers.

    Args:
        judges: answers and truths → verdicts.
        codec: ids → text.
    """

    def __init__(self, *args: Any, judges: Judges, codec: Codec, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self.judges, self.codec = judges, codec
        self.figures: list[dict[str, float]] = []
        self._kept: Rollout | None = None
        self._left = 0
        self._before = trained_weights(self.model) if self.config.preference.beta else {}

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch; what is counted for the lines of progress are the answers."""
        return super(MusicTrainer, self).training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective over the answers; batches of a step weigh the same."""
        del return_outputs, num_items_in_batch
        what = self.config.preference
        if self._kept is None or self._left == 0:
            self._kept, self._left = self.rollout(model, inputs), what.updates
        self._left -= 1
        loss = self.rollout_loss(model, self._kept)
        if what.sft_weight:
            n_targets = (inputs["labels"][:, 1:] != IGNORED).sum().clamp(min=1)
            loss = loss + what.sft_weight * self.summed_loss(model, inputs) / n_targets
        return loss / self.current_gradient_accumulation_steps

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────

    @torch.no_grad()
    def rollout(self, model: Any, inputs: dict[str, Any]) -> Rollout:
        """Answers to a batch's clips, ``preference.group`` each, judged."""
        what, rows = self.config.preference, self.train_dataset
        asked, sounds = [], []
        for at in range(len(inputs["row"])):
            learned = int((inputs["labels"][at] != IGNORED).nonzero()[0])
            asked.append(inputs["input_ids"][at, :learned].cpu().numpy())
            heard = inputs["features"][at]
            sounds.append(heard[: max(1, int((~torch.isnan(heard[:, 0])).sum()))])
        found = answers_to(
            self.accelerator.unwrap_model(model), asked, sounds, what.group, self.config, self.codec,
            what.temperature, [13, self.state.global_step, self.accelerator.process_index],
        )  # fmt: skip
        truths = [rows.asked[number].answer for number in inputs["row"].tolist()]
        answers = [answer for own in found for answer in own]
        texts = [text_of(self.codec, answer) for answer in answers]
        verdicts = self.judges(texts, [truth for truth in truths for _ in range(what.group)])
        prompts = [given for given in asked for _ in range(what.group)]
        features = [heard for heard in sounds for _ in range(what.group)]
        for at, truth in enumerate(truths):
            own = slice(at * what.group, (at + 1) * what.group)
            self._keep(truth, texts[own], verdicts[own])
        ids, wanted = joined(prompts, answers, self.codec.pad_id)
        device = inputs["input_ids"].device
        sound = padded_features(features).to(device)
        ids, wanted = ids.to(device), wanted.to(device)
        rewards = torch.tensor([verdict.total for verdict in verdicts], dtype=torch.float32, device=device)
        old, values, logits = self.scored(model, ids, sound)
        with self.reference(model) as other:
            reference = self.scored(other, ids, sound)[0] if what.beta else old
        advantage, returns = self._advantages(rewards, old, reference, values, wanted)
        self._note(rewards, answers, verdicts, old, reference, logits, wanted)
        self.progress.count({"input_ids": ids, "labels": torch.where(wanted, 0, IGNORED)})
        return Rollout(ids, sound, wanted, rewards, old, reference, values, advantage, returns)

    def _advantages(
        self, rewards: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, values: torch.Tensor,
        wanted: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        what = self.config.preference
        if self.config.objective == "grpo":
            return advantages(rewards.view(-1, what.group)).reshape(-1), torch.zeros_like(values)
        # The reward comes with the last token; every token pays for leaving the reference.
        last = wanted & (wanted.flip(1).cumsum(1).flip(1) == 1)
        paid = torch.where(last, rewards[:, None].to(old.dtype), torch.zeros_like(old))
        paid = paid - what.beta * torch.where(wanted, old - reference, torch.zeros_like(old))
        advantage, returns = objectives.gae(paid, values, wanted, lam=what.gae_lambda)
        return objectives.whitened(advantage, wanted), returns

    def scored(
        self, model: Any, ids: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(log p of each next token (N, T), values (N, T), logits (N, T + 1, V)), all of them with the sound."""
        head = getattr(self.accelerator.unwrap_model(model), "value", None)
        out = model(input_ids=ids, features=features, use_cache=False, output_hidden_states=head is not None)
        logits = out.logits / self.config.preference.temperature
        log_p = token_log_p(logits, ids.masked_fill(ids >= logits.shape[-1], 0))
        if head is None:
            return log_p, torch.zeros_like(log_p), logits
        return log_p, head(out.hidden_states[-1][:, :-1].to(head.weight.dtype)).squeeze(-1).float(), logits

    def rollout_loss(self, model: Any, rollout: Rollout) -> torch.Tensor:
        """The loss of the answers under the model as it is now."""
        what = self.config.preference
        log_p, values, _ = self.scored(model, rollout.ids, rollout.features)
        if self.config.objective == "grpo":
            return objectives.grpo(
                log_p, rollout.old, rollout.reference, rollout.advantage, rollout.wanted, what.beta, what.clip
            )
        policy = objectives.ppo(log_p, rollout.old, rollout.advantage, rollout.wanted, what.clip)
        worth = objectives.value_loss(values, rollout.values, rollout.returns, rollout.wanted, what.clip)
        if self.figures:
            self.figures[-1]["value_loss"] = float(worth.detach())
        return policy + what.value_weight * worth

    @contextmanager
    def reference(self, model: Any) -> Iterator[Any]:
        """The model before the first step: what is trained (adapters, projector or all) is put back meanwhile."""
        was_training = model.training
        model.eval()
        try:
            with exchanged(self.accelerator.unwrap_model(model), self._before):
                yield model
        finally:
            model.train(was_training)

    # ── figures ──────────────────────────────────────────────────────────────────────────────────────────

    def _note(
        self, rewards: torch.Tensor, answers: list[NDArray[np.int64]], verdicts: list[Judgement], old: torch.Tensor,
        reference: torch.Tensor, logits: torch.Tensor, wanted: torch.Tensor,
    ) -> None:  # fmt: skip
        spread = rewards.view(-1, self.config.preference.group).std(-1).mean()
        parts = sorted({name for verdict in verdicts for name in verdict.terms})
        self.figures.append(
            {
                "reward": float(rewards.mean()), "reward_spread": float(spread),
                "kl": float(objectives.masked_mean(objectives.k3(old, reference), wanted)),
                "entropy": float(objectives.masked_mean(objectives.entropy(logits[:, :-1]), wanted)),
                "answer_tokens": float(np.mean([len(answer) for answer in answers])),
                "unended": float(np.mean([answer[-1] != self.codec.eos_id for answer in answers])),
            }
            | {f"reward_{name}": float(np.mean([v.terms.get(name, 0.0) for v in verdicts])) for name in parts}
        )  # fmt: skip

    def _keep(self, truth: str, answers: list[str], verdicts: list[Judgement]) -> None:
        """Now and then the best and the worst answer to a clip, to be read and played."""
        if self.state.global_step % self.config.log_every or not self.args.should_save:
            return
        order = np.argsort([verdict.total for verdict in verdicts])
        said = {"step": self.state.global_step, "truth": truth} | {
            name: {"text": answers[order[at]], **verdicts[order[at]].record()}
            for name, at in (("worst", 0), ("best", -1))
        }
        with (self.out / TAKES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(said, ensure_ascii=False) + "\n")

    def log(self, logs: dict[str, float], *args: Any, **keys: Any) -> None:
        """With the means of what was noted since the last line."""
        if "loss" in logs and self.figures:
            names = sorted({name for row in self.figures for name in row})
            logs |= {name: float(np.mean([row[name] for row in self.figures if name in row])) for name in names}
            self.figures = []
        super().log(logs, *args, **keys)


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Copies of all that is trained, by name."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


@contextmanager
def exchanged(model: Any, weights: dict[str, torch.Tensor]) -> Iterator[None]:
    """The model with other weights, of the same names, as long as this is open; not for gradients."""
    own = {name: value for name, value in model.named_parameters() if name in weights}
    now = {name: value.data for name, value in own.items()}
    try:
        for name, value in own.items():
            weights[name] = weights[name].to(value.device)
            value.data = weights[name]
        yield
    finally:
        for name, value in own.items():
            value.data = now[name]


def text_of(codec: Codec, answer: NDArray[np.int64]) -> str:
    """An answer as text, its end taken off."""
    ids = [int(token) for token in answer]
    return codec.detokenize(ids[:-1] if ids and ids[-1] == codec.eos_id else ids)


def answers_to(
    model: Any, prompts: list[NDArray[np.int64]], features: list[torch.Tensor], n: int, config: TrainConfig,
    codec: Codec, temperature: float, seed: list[int],
) -> list[list[NDArray[np.int64]]]:  # fmt: skip
    """``n`` answers to each of several prompts with its sound, features (F, width), drawn in one batch."""
    room = max(1, min(config.preference.max_tokens, config.context_tokens - max(map(len, prompts))))
    number = int(np.random.default_rng([config.seed, *seed]).integers(1 << 62))
    device = next(model.parameters()).device
    sound = padded_features(features).to(device).repeat_interleave(n, 0)
    # On accelerators a small model's token costs what its operations cost to start: casts are half of them.
    with nullcontext() if device.type == "cpu" else torch.autocast(device.type, enabled=False):
        return drawn_together(
            model, prompts, n, room, codec, temperature, number, {"features": sound}, {model.audio_id}
        )


def joined(
    prompts: list[NDArray[np.int64]], answers: list[NDArray[np.int64]], pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids (N, T + 1), wanted (N, T)) of prompts and answers, filled at the right."""
    longest = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
    ids = np.full((len(prompts), longest), pad_id, np.int64)
    wanted = np.zeros((len(prompts), longest - 1), bool)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, : len(prompt)], ids[row, len(prompt) : end] = prompt, answer
        wanted[row, len(prompt) - 1 : end - 1] = True
    return torch.from_numpy(ids), torch.from_numpy(wanted)


def padded_features(features: list[torch.Tensor]) -> torch.Tensor:
    """(N, F, width) of (F_i, width), filled with NaN."""
    return torch.nn.utils.rnn.pad_sequence(features, batch_first=True, padding_value=float("nan"))


def rows_with_sound(rows: ClipRows) -> ClipRows:
    """The transcriptions alone: questions are never scored as ABC."""
    from cadenza.train.listening.rows import TRANSCRIBE

    return rows.only(TRANSCRIBE)
