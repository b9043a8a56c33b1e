"""What kind of decoder a model folder holds: the sizes, and which layers see only a window.

One shape is understood: Llama's (RMS normalisation before each block, rotary positions, grouped-query attention,
SwiGLU), in which every layer attends either to all tokens before it or to a sliding window; with what its relatives
add: biases of the attention (Qwen2), queries and keys normalised head by head (Qwen3), rotary positions stretched (see
:mod:`cadenza.model.rope`). In transformers' vocabulary that is ``llama``, ``mistral``, ``ministral``, ``qwen2`` and
``qwen3``. A key that would change the arithmetic and is not known here is an error, not something to step over: a model
that runs wrongly is worse than one that does not.

A window of W means that a token attends to itself and to the W − 1 tokens before it, as in transformers.

Letters: B batch, S tokens in a pass, T tokens so far, D width, H heads, K key-value heads, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import ModelError, did_you_mean
from cadenza.base.tensors import read_json_object, read_model_file, read_safetensors
from cadenza.model.rope import UNSCALED, RopeScaling, read_rope

MODEL_TYPES = ("ministral", "mistral", "llama", "qwen2", "qwen3")

# What transformers takes where a configuration is silent, as far as it differs between the kinds.
_DEFAULTS: dict[Any, dict[str, Any]] = {
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "ministral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2": {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
    "qwen3": {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28, "head_dim": 128},
}

# Keys with no bearing on the forward pass, or only on training.
_BOOKKEEPING = {
    *("architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "_name_or_path"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "return_dict", "output_hidden_states"),
    *("attention_dropout", "initializer_range", "pretraining_tp"),
}
_KNOWN = {
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps"),
    *("tie_word_embeddings", "rope_parameters", "rope_theta", "rope_scaling", "sliding_window", "layer_types"),
    *("attention_bias", "mlp_bias", "use_sliding_window", "max_window_layers", "use_mrope", "partial_rotary_factor"),
}


@dataclass(frozen=True)
class Architecture:
    """Sizes of a decoder.

    Args:
        windows: one entry a layer, None where the layer attends to everything.
        theta: base of the rotary positions' periods.
        tied: the head is the table of embeddings.
        attention_bias: {"", "qkv", "qkvo"}, the projections that add a bias.
        head_norms: queries and keys are normalised, head by head, before they are turned.
        rope: how the rotary positions are stretched.
    """

    n_vocabulary: int
    width: int
    hidden_width: int
    n_heads: int
    n_key_value_heads: int
    head_width: int
    windows: tuple[int | None, ...]
    max_positions: int
    epsilon: float
    theta: float
    tied: bool
    attention_bias: str = ""
    head_norms: bool = False
    rope: RopeScaling = UNSCALED

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.windows)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "config.json") -> Architecture:
        """The architecture that a transformers configuration describes.

        Raises:
            ModelError: an unknown key or kind, a size out of range, or an option without an implementation here.
        """
        unknown = sorted(set(config) - _KNOWN - _BOOKKEEPING)
        if unknown:
            raise ModelError("known keys", repr(unknown[0]), where=where, hint=did_you_mean(unknown[0], _KNOWN))
        kind = config.get("model_type")
        if kind not in MODEL_TYPES:
            raise ModelError(f"model_type of {MODEL_TYPES}", repr(kind)[:60], where=where)
        for key, only in (("hidden_act", "silu"), ("mlp_bias", False), ("use_mrope", False)):
            if config.get(key, only) != only:
                raise ModelError(f"{key} = {only!r}", repr(config[key])[:60], where=where)
        config = _DEFAULTS.get(kind, {}) | dict(config)
        bias = "qkvo" if config.get("attention_bias", False) else ""
        if kind in ("mistral", "ministral") and bias:
            raise ModelError("attention_bias = False", "True", where=where, hint=f"{kind} has none in transformers.")
        theta, rope = read_rope(config, where)
        count = _Reader(config, where).count
        width, n_heads = count("hidden_size", 1 << 14), count("num_attention_heads", 1 << 10)
        head_width = count("head_dim", 1 << 10) if config.get("head_dim") is not None else width // n_heads
        n_key_value_heads = count("num_key_value_heads", n_heads) if config.get("num_key_value_heads") else n_heads
        if n_heads % n_key_value_heads:
            raise ModelError("key-value heads that divide the heads", f"{n_key_value_heads} of {n_heads}", where=where)
        if head_width % 2 or not head_width:
            raise ModelError("an even head_dim", str(head_width), where=where, hint="Rotary positions turn pairs.")
        return cls(
            n_vocabulary=count("vocab_size", 1 << 20),
            width=width,
            hidden_width=count("intermediate_size", 1 << 16),
            n_heads=n_heads,
            n_key_value_heads=n_key_value_heads,
            head_width=head_width,
            windows=_windows(config, count("num_hidden_layers", 256), kind, where),
            max_positions=count("max_position_embeddings", 1 << 24),
            epsilon=_Reader(config, where).number("rms_norm_eps", 1e-6),
            theta=theta,
            tied=bool(config.get("tie_word_embeddings", False)),
            attention_bias="qkv" if kind == "qwen2" else bias,
            head_norms=kind == "qwen3",
            rope=rope,
        )

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, in transformers' names."""
        D, F, q, kv = (
            self.width,
            self.hidden_width,
            self.n_heads * self.head_width,
            self.n_key_value_heads * self.head_width,
        )
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.n_vocabulary, D)}
        for layer in range(self.n_layers):
            at = f"model.layers.{layer}."
            shapes |= {
                at + "input_layernorm.weight": (D,),
                at + "self_attn.q_proj.weight": (q, D),
                at + "self_attn.k_proj.weight": (kv, D),
                at + "self_attn.v_proj.weight": (kv, D),
                at + "self_attn.o_proj.weight": (D, q),
                at + "post_attention_layernorm.weight": (D,),
                at + "mlp.gate_proj.weight": (F, D),
                at + "mlp.up_proj.weight": (F, D),
                at + "mlp.down_proj.weight": (D, F),
            }
            for part in self.attention_bias:
                shapes[f"{at}self_attn.{part}_proj.bias"] = {"q": (q,), "k": (kv,), "v": (kv,), "o": (D,)}[part]
            if self.head_norms:
                for part in "qk":
                    shapes[f"{at}self_attn.{part}_norm.weight"] = (self.head_width,)
        shapes["model.norm.weight"] = (D,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.n_vocabulary, D)
        return shapes

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as :meth:`from_dict` takes them back (the exported graph carries them).

        What is left at its default is left out, so that a graph says no more than its model needs.
        """
        values = asdict(self)
        return {f.name: values[f.name] for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> Architecture:
        """The inverse of :meth:`as_dict`.

        Raises:
            ModelError: keys are missing or too many.
        """
        known = {f.name for f in fields(cls)}
        needed = {f.name for f in fields(cls) if f.default is MISSING}
        if not needed <= set(values) <= known or not isinstance(values["windows"], list | tuple):
            raise ModelError(f"the keys {sorted(needed)}", repr(sorted(values))[:200], where=where)
        rope = RopeScaling.from_dict(values.get("rope", {}), where)
        return cls(**{**values, "windows": tuple(values["windows"]), "rope": rope})

    def rotary(self, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines, each float32 of shape (n_positions, head_width / 2)."""
        return self.rope.turned(self.theta, self.head_width, n_positions)


def load_folder(folder: Path | str) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Architecture and float32 weights of a model folder (``config.json`` and ``model.safetensors``).

    Raises:
        ModelError: a file is missing or malformed, or the weights are not exactly those of the architecture.
    """
    folder = Path(folder)
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    config = read_json_object(read_model_file(config_path), str(config_path))
    architecture = Architecture.from_config(config, str(config_path))
    return architecture, checked_weights(architecture, read_safetensors(weights_path), str(weights_path))


def checked_weights(
    architecture: Architecture, tensors: Mapping[str, np.ndarray], where: str = "weights"
) -> dict[str, np.ndarray]:
    """``tensors`` as float32, after comparing names, shapes and finiteness with ``architecture``.

    A stored ``lm_head.weight`` beside tied embeddings is dropped: some writers keep the copy.

    Raises:
        ModelError: a weight is missing, unknown, of another shape, not floating point, or not finite.
    """
    shapes = architecture.tensor_shapes()
    extra = sorted(set(tensors) - set(shapes) - ({"lm_head.weight"} if architecture.tied else set()))
    if extra:
        raise ModelError(
            "only the architecture's weights", repr(extra[0]), where=where, hint=did_you_mean(extra[0], shapes)
        )
    weights = {}
    for name, shape in shapes.items():
        if name not in tensors:
            raise ModelError(f"a weight {name!r}", "none", where=where)
        tensor = tensors[name]
        if tensor.shape != shape:
            raise ModelError(f"shape {shape}", str(tensor.shape), where=f"{where}, {name}")
        if tensor.dtype.kind != "f":
            raise ModelError("floating point", str(tensor.dtype), where=f"{where}, {name}")
        weights[name] = tensor.astype(np.float32, copy=False)
        if not np.isfinite(weights[name]).all():
            raise ModelError("finite weights", "inf or nan", where=f"{where}, {name}", hint="Training diverged.")
    return weights


class _Reader:
    """Typed access to a configuration's values."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self.config, self.where = config, where

    def count(self, key: str, most: int, least: int = 1) -> int:
        value = self.config.get(key)
        if type(value) is not int or not least <= value <= most:
            raise ModelError(f"{key} from {least} to {most:,}", repr(value)[:60], where=self.where)
        return value

    def number(self, key: str, default: float) -> float:
        value = self.config.get(key, default)
        if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
            raise ModelError(f"{key} above 0", repr(value)[:60], where=self.where)
        return float(value)


def _windows(config: Mapping[str, Any], n_layers: int, kind: str, where: str) -> tuple[int | None, ...]:
    window = config.get("sliding_window")
    qwen = kind in ("qwen2", "qwen3")
    if qwen and not config.get("use_sliding_window", False):
        window = None
    if window is not None:
        window = _Reader(config, where).count("sliding_window", 1 << 24)
    kinds = config.get("layer_types")
    if kinds is None:
        # Without a list, Mistral and Ministral window every layer where a window is given, Qwen those from
        # max_window_layers on; Llama never does.
        first = _Reader(config, where).count("max_window_layers", 1 << 24, least=0) if qwen else 0
        return tuple(window if kind != "llama" and layer >= first else None for layer in range(n_layers))
    if not isinstance(kinds, list) or len(kinds) != n_layers:
        raise ModelError(f"layer_types for {n_layers} layers", repr(kinds)[:80], where=where)
    if kind in ("llama", "mistral"):
        raise ModelError("layer_types with ministral and qwen alone", repr(kind), where=where)
    table = {"full_attention": None, "sliding_attention": window}
    for item in kinds:
        if not isinstance(item, str) or item not in table:
            raise ModelError(f"a layer type of {sorted(table)}", repr(item)[:60], where=where)
        if item == "sliding_attention" and window is None:
            raise ModelError("sliding_window where a layer slides", "none", where=where)
    return tuple(table[item] for item in kinds)
