"""Small decoders with random weights, as folders that transformers could have written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cadenza.base.tensors import write_safetensors
from cadenza.model.architecture import Architecture

TINY = {
    "model_type": "ministral",
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": 32,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "max_position_embeddings": 1200,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
# Sizes near those of a model that one would ship: one key-value head, a window of 64, and an untied head.
MIDDLE = TINY | {
    "vocab_size": 400,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
    "tie_word_embeddings": False,
}


def random_weights(architecture: Architecture, seed: int = 0, spread: float = 0.08) -> dict[str, np.ndarray]:
    """Normal weights and gains around 1: wide enough that a random model's choices vary from step to step."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(1, 0.1, shape) if len(shape) == 1 else rng.normal(0, spread, shape)).astype(np.float32)
        for name, shape in architecture.tensor_shapes().items()
    }


def write_folder(folder: Path, config: dict, seed: int = 0) -> Path:
    """A model folder with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", random_weights(Architecture.from_config(config), seed))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="session")
def middle(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("middle"), MIDDLE, seed=1)
