"""Decoding in plain NumPy: the whole model in two hundred lines, from weights alone.

Slower than the engine and exact to float32: the fallback where ONNX Runtime is missing, and the oracle of its tests.

Letters: B batch, S tokens in this pass, T tokens in the cache, D width, H heads, K key-value heads, G = H / K heads
that share one, E head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.model.architecture import Architecture, checked_weights, load_folder
from cadenza.model.decoder import (
    CHUNK,
    checked_ids,
    checked_rows,
    checked_sizes,
    checked_step,
    picked_log_probabilities,
)


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer, matrices as (in, out) so that a row vector multiplies from the left."""

    attention_gain: np.ndarray  # (D,)
    qkv: np.ndarray  # (D, (H + 2K)·E)
    mix: np.ndarray  # (H·E, D)
    mlp_gain: np.ndarray  # (D,)
    gate_up: np.ndarray  # (D, 2F)
    down: np.ndarray  # (F, D)
    qkv_bias: np.ndarray | None = None  # ((H + 2K)·E,)
    mix_bias: np.ndarray | None = None  # (D,)
    head_gains: tuple[np.ndarray, np.ndarray] | None = None  # of queries and of keys, (E,)


class _Cache:
    """Keys and values of one layer, (B, K, capacity, E), of which the first ``filled`` positions count.

    A windowed layer has room for its window and a chunk; when that is full, the W − 1 positions that can still be seen
    move to the front.
    """

    def __init__(self, a: Architecture, batch: int, max_length: int, window: int | None) -> None:
        self.window = window
        capacity = max_length if window is None else min(max_length, window - 1 + max(window, CHUNK))
        shape = (batch, a.n_key_value_heads, capacity, a.head_width)
        self.keys, self.values, self.filled = np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0

    def append(self, keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add S positions, (B, K, S, E); returns views of all that the first of them may see and later ones."""
        S = keys.shape[2]
        if self.window is not None and self.filled + S > self.keys.shape[2]:
            kept = min(self.window - 1, self.filled)
            for array in (self.keys, self.values):
                array[:, :, :kept] = array[:, :, self.filled - kept : self.filled].copy()
            self.filled = kept
        stop = self.filled + S
        self.keys[:, :, self.filled : stop], self.values[:, :, self.filled : stop] = keys, values
        first = 0 if self.window is None else max(0, self.filled - self.window + 1)
        self.filled = stop
        return self.keys[:, :, first:stop], self.values[:, :, first:stop]

    def reorder(self, index: np.ndarray) -> None:
        for array in (self.keys, self.values):
            array[:, :, : self.filled] = array[index, :, : self.filled]


class NumpyDecoder:
    """A :class:`~cadenza.model.decoder.Decoder` from weights.

    Args:
        architecture: sizes.
        weights: float arrays named and shaped as ``architecture.tensor_shapes()``.
        batch: rows B.
        max_length: tokens a row can hold; the model's own maximum where None.

    Raises:
        ModelError: weights that do not fit.
        ConfigError: ``batch`` or ``max_length`` out of range.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Mapping[str, np.ndarray],
        *,
        batch: int = 1,
        max_length: int | None = None,
    ) -> None:
        self.architecture, self.batch = architecture, batch
        self.max_length = checked_sizes(architecture, batch, max_length)
        w = checked_weights(architecture, weights)
        self._embedding = w["model.embed_tokens.weight"]
        self._head = _transposed(self._embedding if architecture.tied else w["lm_head.weight"])
        self._gain = w["model.norm.weight"]
        self._layers = [_layer(architecture, w, f"model.layers.{layer}.") for layer in range(architecture.n_layers)]
        self._cosine, self._sine = architecture.rotary(self.max_length)
        self.reset()

    @classmethod
    def open(cls, folder: Path | str, *, batch: int = 1, max_length: int | None = None) -> NumpyDecoder:
        """The decoder of a model folder.

        Raises:
            ModelError: the folder is incomplete or malformed.
            ConfigError: ``batch`` or ``max_length`` out of range.
        """
        return cls(*load_folder(folder), batch=batch, max_length=max_length)

    @property
    def length(self) -> int:
        """Tokens in each row so far."""
        return self._length

    def reset(self) -> None:
        """Forget all tokens."""
        self._start(self.batch)

    def prefill(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.prefill`."""
        prompt = checked_ids(ids, self.architecture, self.max_length)
        if prompt.ndim == 2 and len(prompt) != self.batch:
            raise ModelError(f"a prompt for each of {self.batch} rows", str(len(prompt)))
        self.reset()
        rows = np.broadcast_to(prompt, (self.batch, prompt.shape[-1]))
        for start in range(0, prompt.shape[-1], CHUNK):
            hidden = self._forward(rows[:, start : start + CHUNK])
        return self._logits(hidden[:, -1])

    def step(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.step`."""
        if self._length >= self.max_length:
            raise ModelError(f"at most {self.max_length} tokens", "one more", hint="Open with a greater max_length.")
        column = checked_step(ids, self.batch, self.architecture.n_vocabulary)
        return self._logits(self._forward(column[:, None])[:, 0])

    def score(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.score`."""
        tokens = checked_ids(ids, self.architecture, self.max_length)
        if tokens.ndim != 1:
            raise ModelError("one row of tokens", f"shape {tokens.shape}")
        self._start(1)
        parts = [np.empty(0)]
        for start in range(0, len(tokens) - 1, CHUNK):
            chunk = tokens[start : min(start + CHUNK, len(tokens) - 1)]
            logits = self._logits(self._forward(chunk[None])[0])
            parts.append(picked_log_probabilities(logits, tokens[start + 1 : start + 1 + len(chunk)]))
        self.reset()
        return np.concatenate(parts)

    def reorder(self, rows: Any) -> None:
        """See :meth:`cadenza.model.decoder.Decoder.reorder`."""
        index = checked_rows(rows, self.batch)
        for cache in self._caches:
            cache.reorder(index)

    def _start(self, batch: int) -> None:
        self._length = 0
        self._caches = [
            _Cache(self.architecture, batch, self.max_length, window) for window in self.architecture.windows
        ]

    def _logits(self, hidden: np.ndarray) -> np.ndarray:
        """(…, D) → (…, V)."""
        return _normed(hidden, self._gain, self.architecture.epsilon) @ self._head

    def _forward(self, ids: np.ndarray) -> np.ndarray:
        """Append ids (B, S) to the caches; the last layer's output, (B, S, D), before the final normalisation."""
        epsilon = self.architecture.epsilon
        start, stop = self._length, self._length + ids.shape[1]
        x = self._embedding[ids]
        for layer, cache in zip(self._layers, self._caches, strict=True):
            mixed = self._attend(_normed(x, layer.attention_gain, epsilon), layer, cache, start) @ layer.mix
            x = x + mixed if layer.mix_bias is None else x + mixed + layer.mix_bias
            gate, up = np.split(_normed(x, layer.mlp_gain, epsilon) @ layer.gate_up, 2, axis=-1)
            # SiLU; the exponent is clipped where the result is 0 in float32 anyway.
            x = x + (gate / (1 + np.exp(-np.maximum(gate, -80))) * up) @ layer.down
        self._length = stop
        return x

    def _attend(self, x: np.ndarray, layer: _Layer, cache: _Cache, start: int) -> np.ndarray:
        """Attention of S new tokens, the first at position ``start``; (B, S, D) → (B, S, H·E)."""
        a = self.architecture
        B, S, _ = x.shape
        qkv = x @ layer.qkv  # (B, S, (H + 2K)·E)
        if layer.qkv_bias is not None:
            qkv += layer.qkv_bias
        H, K, E = a.n_heads, a.n_key_value_heads, a.head_width
        heads = qkv.reshape(B, S, H + 2 * K, E).transpose(0, 2, 1, 3)  # (B, H + 2K, S, E)
        turning = heads[:, : H + K]
        if layer.head_gains is not None:
            of_queries, of_keys = layer.head_gains
            parts = _normed(turning[:, :H], of_queries, a.epsilon), _normed(turning[:, H:], of_keys, a.epsilon)
            turning = np.concatenate(parts, axis=1)
        turned = self._rotated(turning, start)
        keys, values = cache.append(turned[:, H:], heads[:, H + K :])  # (B, K, T, E)
        queries = turned[:, :H].reshape(B, K, (H // K) * S, E)
        scores = (queries @ keys.swapaxes(2, 3)) * np.float32(E**-0.5)  # (B, K, G·S, T)
        if S > 1:
            T = keys.shape[2]
            ahead = np.arange(T)[None] - np.arange(T - S, T)[:, None]  # key position minus query position, (S, T)
            hidden = ahead > 0
            if cache.window is not None:
                hidden |= ahead <= -cache.window
            np.copyto(scores.reshape(B, K, H // K, S, T), np.float32(-np.inf), where=hidden)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ values).reshape(B, H, S, E).transpose(0, 2, 1, 3).reshape(B, S, H * E)

    def _rotated(self, x: np.ndarray, start: int) -> np.ndarray:
        """Rotary positions, first half of a head paired with the second; (B, heads, S, E), the first at ``start``."""
        stop, half = start + x.shape[2], x.shape[3] // 2
        cosine, sine = self._cosine[start:stop], self._sine[start:stop]
        left, right = x[..., :half], x[..., half:]
        return np.concatenate([left * cosine - right * sine, right * cosine + left * sine], axis=-1)


def _layer(a: Architecture, w: Mapping[str, np.ndarray], at: str) -> _Layer:
    def joined(kind: str) -> np.ndarray:
        return np.concatenate([w[f"{at}self_attn.{part}_proj.{kind}"] for part in "qkv"])

    return _Layer(
        attention_gain=w[at + "input_layernorm.weight"],
        qkv=_transposed(joined("weight")),
        mix=_transposed(w[at + "self_attn.o_proj.weight"]),
        mlp_gain=w[at + "post_attention_layernorm.weight"],
        gate_up=_transposed(np.concatenate([w[at + "mlp.gate_proj.weight"], w[at + "mlp.up_proj.weight"]])),
        down=_transposed(w[at + "mlp.down_proj.weight"]),
        qkv_bias=joined("bias") if a.attention_bias else None,
        mix_bias=w[at + "self_attn.o_proj.bias"] if "o" in a.attention_bias else None,
        head_gains=(w[at + "self_attn.q_norm.weight"], w[at + "self_attn.k_norm.weight"]) if a.head_norms else None,
    )


def _transposed(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.T)


def _normed(x: np.ndarray, gain: np.ndarray, epsilon: float) -> np.ndarray:
    """RMS normalisation over the last axis."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(epsilon)) * gain
