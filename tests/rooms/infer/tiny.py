"""A composer with random weights: whatever sense its music makes, the grammar made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.tensors import write_safetensors
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.model.architecture import Architecture
from cadenza.model.vocabulary import Vocabulary

WINDOWED = {
    "model_type": "ministral", "head_dim": 16, "sliding_window": 32,
    "layer_types": ["sliding_attention", "full_attention"], "tie_word_embeddings": True,
}  # fmt: skip
#: Shapes of models of the hub, as their configurations say them.
LLAMA = {"model_type": "llama", "head_dim": 16, "tie_word_embeddings": False}
QWEN3 = {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True}


def write_composer(
    folder: Path, context_tokens: int = 512, seed: int = 0, spread: float = 0.5, notation: Any = MODEL_NOTATION
) -> Path:
    """A model folder as a training run saves it, small and untrained."""
    vocabulary = Vocabulary.of(notation.vocabulary(), notation.joint)
    write_weights(folder, len(vocabulary), WINDOWED, context_tokens, seed, spread)
    vocabulary.save(folder / "vocabulary.json")
    return write_notation(folder, notation, context_tokens)


def write_hub_composer(folder: Path, notation: Any, shape: dict[str, Any] = LLAMA, context_tokens: int = 2048) -> Path:
    """A fine-tuned model of the hub with an ordinary text tokenizer, small and untrained; needs no torch."""
    from cadenza.model.hub_vocabulary import HubVocabulary
    from tests.rooms.model import tokenizers_made

    folder.mkdir(parents=True, exist_ok=True)
    tokenizers_made.save(folder, "bytes")
    write_weights(folder, len(HubVocabulary.load(folder)), shape, context_tokens)
    return write_notation(folder, notation, context_tokens)


def write_notation(folder: Path, notation: Any, context_tokens: int) -> Path:
    """What the model was trained in."""
    saved = {"name": notation.name, "options": notation.options(), "context_tokens": context_tokens}
    (folder / "notation.json").write_text(json.dumps(saved))
    return folder


def write_weights(
    folder: Path, n_vocabulary: int, shape: dict[str, Any], context_tokens: int, seed: int = 0, spread: float = 0.5
) -> None:
    """Configuration and random weights of two layers."""
    config = {
        "vocab_size": n_vocabulary,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": max(4096, 2 * context_tokens),
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    } | shape
    rng = np.random.default_rng(seed)
    shapes = Architecture.from_config(config).tensor_shapes()
    weights = {
        name: (rng.normal(1, 0.1, size) if len(size) == 1 else rng.normal(0, spread, size)).astype(np.float32)
        for name, size in shapes.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights)
