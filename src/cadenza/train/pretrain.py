"""Train a small decoder from scratch on a token store.

    python -m cadenza.train.pretrain recipes/first-model.yaml --set corpus=DIR --set out=DIR

Everything that a run needs is in its recipe; the resolved recipe, versions, seed and data fingerprint are saved with
the run. A checkpoint holds weights and optimiser as safetensors and is put in place by a rename, so that a run killed
at any moment resumes from its last one; rows and learning rate depend on the step alone, so that it sees what it would
have seen. Resuming with another recipe is an error that names the difference.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.config import load_config
from cadenza.base.errors import ConfigError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.model.vocabulary import BOS, EOS, PAD, Vocabulary
from cadenza.train.allocator import keep_memory_mapped
from cadenza.train.optim import Muon
from cadenza.train.tokens import Rows, TokenStore, held_out_rows


@dataclass(frozen=True)
class PretrainConfig:
    """A recipe of this verb.

    Args:
        corpus: folder with ``train.npz``, ``validation.npz`` (see :func:`cadenza.train.tokens.prepare`).
        out: folder of the run.
        steps: optimiser steps.
        stages: (share of the steps, row length in tokens, rows at once), in order; the shares add up to 1.
        tokens_per_step: tokens of one optimiser step, over several rows.
        matrix_lr, other_lr: peak learning rates of Muon and AdamW; flat after warm-up, then linear to 0.
        decay_share: share of the steps in which the learning rate falls.
        weights: how often each source is drawn; ``"*"`` for the rest.
        n_threads: CPU threads.
        precision: "float32", or "bfloat16" for autocast (pays only on processors with bf16 units: measure first).
        checkpoint_minutes: wall-clock time between checkpoints.
    """

    corpus: str = ""
    out: str = ""
    seed: int = 0
    width: int = 192
    n_layers: int = 6
    n_heads: int = 3
    n_kv_heads: int = 1
    head_width: int = 64
    mlp_width: int = 512
    window_tokens: int = 256
    layer_pattern: str = "ssf"
    max_tokens: int = 4096
    steps: int = 1000
    stages: list[list[float]] = field(default_factory=lambda: [[0.7, 512, 2], [0.3, 1024, 1]])
    tokens_per_step: int = 8192
    matrix_lr: float = 0.02
    other_lr: float = 0.004
    warmup_steps: int = 40
    decay_share: float = 0.5
    weight_decay: float = 0.0
    weights: dict[str, float] = field(default_factory=lambda: {"*": 1.0})
    n_threads: int = 2
    precision: str = "float32"
    checkpoint_minutes: float = 4.0
    evaluate_every: int = 100
    evaluation_rows: int = 32


def build_model(config: PretrainConfig, vocabulary_size: int) -> torch.nn.Module:
    """A Llama-shaped decoder with windowed layers, randomly initialised from the seed."""
    from transformers import MinistralConfig, MinistralForCausalLM

    torch.manual_seed(config.seed)
    kinds = {"s": "sliding_attention", "f": "full_attention"}
    pattern = (config.layer_pattern * config.n_layers)[: config.n_layers]
    model = MinistralForCausalLM(
        MinistralConfig(
            vocab_size=vocabulary_size,
            hidden_size=config.width,
            intermediate_size=config.mlp_width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            head_dim=config.head_width,
            sliding_window=config.window_tokens,
            layer_types=[kinds[letter] for letter in pattern],
            max_position_embeddings=config.max_tokens,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(parameter)
    return model


def learning_rate_scale(step: int, config: PretrainConfig) -> float:
    """Linear warm-up, flat, linear to 0 over the last ``decay_share``."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    left = (config.steps - step) / max(config.steps * config.decay_share, 1)
    return min(warm, left, 1.0)


def stage_at(step: int, config: PretrainConfig) -> tuple[int, int]:
    """(row length in tokens, rows at once) at ``step``."""
    done = 0.0
    for share, n_tokens, n_rows in config.stages:
        done += share
        if step < done * config.steps - 1e-9:
            return int(n_tokens), int(n_rows)
    return int(config.stages[-1][1]), int(config.stages[-1][2])


def bits_per_note(model: torch.nn.Module, rows: list[tuple[int, np.ndarray, int, int]]) -> list[tuple[int, float, int]]:
    """(work, −log2 p of everything after the header, notes) of each held-out row."""
    out = []
    model.eval()
    with torch.no_grad():
        for work, ids, n_header, n_notes in rows:
            x = torch.from_numpy(ids)[None]
            logp = torch.log_softmax(model(input_ids=x).logits[0, n_header - 1 : -1].float(), -1)
            nats = -logp.gather(1, x[0, n_header:, None]).sum().item()
            out.append((work, nats / math.log(2), n_notes))
    model.train()
    return out


class Run:
    """A training run in a folder: model, optimisers, log, checkpoints."""

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        corpus = Path(config.corpus)
        self.store = TokenStore.load(corpus / "train.npz")
        self.rows = Rows(self.store, config.weights, config.seed)
        validation = held_out_rows(TokenStore.load(corpus / "validation.npz"), 1024, 1, seed=0)
        self.validation = validation[: config.evaluation_rows]
        self.vocabulary = Vocabulary.of(MODEL_NOTATION.vocabulary())
        self.model = build_model(config, -(-len(self.vocabulary) // 32) * 32)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimisers = (
            Muon(matrices, config.matrix_lr, weight_decay=config.weight_decay),
            torch.optim.AdamW(others, config.other_lr, betas=(0.9, 0.95), weight_decay=0.0, foreach=False),
        )
        self.step = self.next_row = 0
        self._record()
        self._resume()

    def _record(self) -> None:
        path = self.out / "run.json"
        resolved = asdict(self.config)
        if path.exists():
            before = json.loads(path.read_text())["config"]
            changed = {k: (before.get(k), resolved[k]) for k in resolved if before.get(k) != resolved[k]}
            if changed:
                said = "; ".join(f"{k}: was {a!r}, now {b!r}" for k, (a, b) in changed.items())
                raise ConfigError("the recipe that this run began with", said, where=str(path), hint="Use another out.")
            return
        record: dict[str, Any] = {"config": resolved, "versions": versions(), "data_sha256": self.store.fingerprint()}
        record["n_parameters"] = sum(p.numel() for p in self.model.parameters())
        write_atomically(path, json.dumps(record, indent=1).encode())

    def _state(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items() if k != "lm_head.weight"}
        for number, optimiser in enumerate(self.optimisers):
            for index, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}

    def checkpoint(self) -> None:
        """Save everything; the last good checkpoint stays until the new one is whole."""
        from safetensors.torch import save

        progress = {"step": str(self.step), "next_row": str(self.next_row)}
        write_atomically(self.out / "checkpoint.safetensors", save(self._state(), metadata=progress))

    def _resume(self) -> None:
        from safetensors import safe_open

        path = self.out / "checkpoint.safetensors"
        if not path.exists():
            return
        with safe_open(path, "pt") as saved:
            tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
            progress = saved.metadata()
        weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(weights, strict=False)
        for number, optimiser in enumerate(self.optimisers):
            whole = optimiser.state_dict()
            whole["state"] = {}
            for name, tensor in tensors.items():
                kind, *rest = name.split(".")
                if kind == "optimiser" and int(rest[0]) == number:
                    whole["state"].setdefault(int(rest[1]), {})[rest[2]] = tensor
            optimiser.load_state_dict(whole)
        self.step, self.next_row = int(progress["step"]), int(progress["next_row"])

    def log(self, **values: Any) -> None:
        """One line of the run's log, on disk and on the screen."""
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")
        print(" ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()), flush=True)

    def one_step(self) -> float:
        """One optimiser step; returns the mean loss in nats a token."""
        n_tokens, n_rows = stage_at(self.step, self.config)
        passes = max(1, self.config.tokens_per_step // (n_tokens * n_rows))
        total = 0.0
        for _ in range(passes):
            batch = np.stack([self.rows.row(self.next_row + i, n_tokens + 1) for i in range(n_rows)])
            self.next_row += n_rows
            x = torch.from_numpy(batch)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                logits = self.model(input_ids=x[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), x[:, 1:].flatten())
            (loss / passes).backward()
            total += loss.item() / passes
        scale = learning_rate_scale(self.step, self.config)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser, peak in zip(self.optimisers, (self.config.matrix_lr, self.config.other_lr), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * scale
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return total

    def train(self) -> None:
        """Run to the last step, with checkpoints on the way; then save the model."""
        saved_at = logged_at = time.monotonic()
        losses: list[float] = []
        seen = 0
        self.model.train()
        while self.step < self.config.steps:
            losses.append(self.one_step())
            n_tokens, n_rows = stage_at(self.step - 1, self.config)
            seen += max(1, self.config.tokens_per_step // (n_tokens * n_rows)) * n_tokens * n_rows
            now = time.monotonic()
            if self.step % 10 == 0:
                rate = seen / (now - logged_at)
                left = (self.config.steps - self.step) * (now - logged_at) / len(losses) / 60
                self.log(step=self.step, loss=float(np.mean(losses)), tokens_per_second=rate, minutes_left=left)
                losses, seen, logged_at = [], 0, now
            if self.step % self.config.evaluate_every == 0 or self.step == self.config.steps:
                bits = bits_per_note(self.model, self.validation)
                mean = sum(b for _, b, _ in bits) / sum(n for _, _, n in bits)
                self.log(step=self.step, validation_bits_per_note=mean)
                logged_at = time.monotonic()
            if now - saved_at > 60 * self.config.checkpoint_minutes:
                self.checkpoint()
                saved_at = now
        self.checkpoint()
        self.save_model()

    def save_model(self) -> None:
        """The model folder: config, safetensors, vocabulary, notation."""
        folder = self.out / "model"
        temporary = self.out / "model.new"
        shutil.rmtree(temporary, ignore_errors=True)
        self.model.save_pretrained(temporary)  # type: ignore[operator]  # transformers' own, not a Module's
        self.vocabulary.save(temporary / "vocabulary.json")
        context = max(int(n_tokens) for _, n_tokens, _ in self.config.stages)
        saved = {"name": MODEL_NOTATION.name, "options": MODEL_NOTATION.options(), "context_tokens": context}
        (temporary / "notation.json").write_text(json.dumps(saved, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)


def main(arguments: list[str]) -> None:
    """``RECIPE [--set key=value …]``."""
    config = load_config(PretrainConfig, arguments)
    if not config.corpus or not config.out:
        raise ConfigError("a corpus and an out folder", "none", hint="Give --set corpus=DIR --set out=DIR.")
    if config.precision not in ("float32", "bfloat16"):
        raise ConfigError("precision float32 or bfloat16", repr(config.precision))
    keep_memory_mapped()
    torch.set_num_threads(config.n_threads)
    Run(config).train()


if __name__ == "__main__":
    main(sys.argv[1:])
