"""A chat model of transformers as a function from messages to its answer: the untuned baseline beside a tuned model.

    ask = ChatModel.open("some-owner/some-instruct-model")
    ask([{"role": "user", "content": "Write a bar."}])

The conversation is written by the tokenizer's own chat template (refused where it has none: a base model is no chat
model, and a made-up template would measure the template). Sampling is transformers' own, without our grammar: what is
measured is what the model does by itself. See :mod:`cadenza.infer.zero_shot` for the question and for reading answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cadenza.base.errors import ConfigError, ModelError
from cadenza.infer.sample import Sampling


@dataclass(frozen=True)
class ChatModel:
    """A causal model with a chat template.

    Args:
        model, tokenizer: of transformers.
        max_new_tokens: longest answer.
        sampling: how tokens are chosen; temperature 0 is greedy.
        seed: of what is drawn, the same for every question.
    """

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    max_new_tokens: int = 2048
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, top_p=0.95))
    seed: int = 0

    @classmethod
    def open(cls, folder: Path | str, **options: Any) -> ChatModel:
        """The model of a folder or hub id.

        Raises:
            ModelError: there is none, or its tokenizer has no chat template.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
        except (OSError, ValueError, KeyError) as error:
            said = str(error).partition("\n")[0][:300]
            raise ModelError("a chat model of transformers", said, where=str(folder)) from None
        if not tokenizer.chat_template:
            hint = "Take the instruct or chat version of the model."
            raise ModelError("a tokenizer with a chat template", "one without", where=str(folder), hint=hint)
        if torch.cuda.is_available():
            model = model.to("cuda")
        return cls(model, tokenizer, **options)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The conversation as the model reads it, up to where its answer begins."""
        said = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
        )
        return str(said)

    @torch.no_grad()
    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The model's answer, without special tokens.

        Raises:
            ConfigError: the question and the answer do not fit into the model's positions.
        """
        asked = self.tokenizer(self.prompt(messages), return_tensors="pt", add_special_tokens=False)
        ids = asked["input_ids"].to(self.model.device)
        reach = getattr(self.model.config, "max_position_embeddings", None)
        room = self.max_new_tokens if reach is None else min(self.max_new_tokens, reach - ids.shape[1])
        if room < 1:
            hint = "Tell fewer bars of the seed."
            raise ConfigError(f"a question of less than {reach} tokens", str(ids.shape[1]), hint=hint)
        chosen = self.sampling
        draws: dict[str, Any] = {"do_sample": False}
        if chosen.temperature:
            draws = {
                "do_sample": True, "temperature": chosen.temperature, "top_p": chosen.top_p, "top_k": chosen.top_k,
                "min_p": chosen.min_p or None,
            }  # fmt: skip
        torch.manual_seed(self.seed)
        end = self.tokenizer.eos_token_id
        filler = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else end
        whole = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=room, pad_token_id=filler, **draws
        )
        return str(self.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))
