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


def write_composer(
    folder: Path, context_tokens: int = 512, seed: int = 0, spread: float = 0.5, notation: Any = MODEL_NOTATION
) -> Path:
    """A model folder as a training run saves it, small and untrained."""
    vocabulary = Vocabulary.of(notation.vocabulary(), notation.joint)
    config = {
        "model_type": "ministral",
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "sliding_window": 32,
        "layer_types": ["sliding_attention", "full_attention"],
        "max_position_embeddings": max(4096, 2 * context_tokens),
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    rng = np.random.default_rng(seed)
    shapes = Architecture.from_config(config).tensor_shapes()
    weights = {
        name: (rng.normal(1, 0.1, shape) if len(shape) == 1 else rng.normal(0, spread, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights)
    vocabulary.save(folder / "vocabulary.json")
    saved = {"name": notation.name, "options": notation.options(), "context_tokens": context_tokens}
    (folder / "notation.json").write_text(json.dumps(saved))
    return folder
