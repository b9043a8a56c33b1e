"""Tiny pretrained models of transformers' own classes, with text tokenizers, saved to a folder: random weights."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

KINDS = ("llama", "mistral", "qwen2", "qwen3")


def tokenizer(n_words: int = 600) -> Any:
    """A byte-level BPE tokenizer trained on docstrings of the standard library."""
    import argparse
    import collections
    import json
    import logging
    import textwrap
    import typing

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [inspect.getsource(module) for module in (argparse, collections, json, logging, textwrap, typing)]
    known = Tokenizer(models.BPE())
    known.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known.decoder = decoders.ByteLevel()
    known.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=n_words,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=known, bos_token="<s>", eos_token="</s>")


def save(folder: Path, kind: str = "llama", *, n_words: int = 600, tied: bool = True, seed: int = 0) -> Path:
    """A model of two layers, 64 wide, and its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(seed)
    words = tokenizer(n_words)
    sizes: dict[str, Any] = {
        "vocab_size": len(words) + 16, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": tied,
        "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": None,
    }  # fmt: skip
    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind]
    if kind == "mistral":
        sizes["sliding_window"] = None
    if kind == "qwen3":
        sizes["head_dim"] = 16
    model = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**sizes))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
