"""Rotary positions: how fast each pair of a head turns, and the scalings that stretch a model's context.

Every kind is computed in float32 and in transformers' order of operations: at position 4,000 the rounding of the angle
itself is visible. Kinds, by transformers' ``rope_type``:

    default   theta ** (−2i / E) for the pair i of E / 2
    linear    all of them divided by the factor (kaiokendev, 2023)
    yarn      slow pairs divided, fast ones kept, a ramp between, and the attention sharpened by a factor on cosine and
              sine (Peng et al. 2023, https://arxiv.org/abs/2309.00071)
    llama3    slow pairs divided, fast ones kept, a blend between (the Llama 3.1 release)

``dynamic`` turns differently from one length to the next, so that keys in a cache would have to be turned again: it is
refused here, and a model that has it is decoded by transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cadenza.base.errors import ModelError, did_you_mean

KINDS = ("default", "linear", "yarn", "llama3")

# Keys of each kind in a configuration, beside the kind and theta.
_KEYS: dict[str, set[str]] = {
    "default": set(),
    "linear": {"factor"},
    "yarn": {
        *("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"),
        *("mscale", "mscale_all_dim", "truncate"),
    },
    "llama3": {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
}


@dataclass(frozen=True)
class RopeScaling:
    """How a model's rotary positions are stretched.

    Args:
        kind: one of :data:`KINDS`.
        factor: how much longer the context became.
        original_positions: the context before (yarn, llama3).
        attention_factor: what cosines and sines are multiplied with.
        fast, slow: turns within the original context above which a pair is kept and below which it is divided by the
            factor (yarn: ``beta_fast``, ``beta_slow``; llama3: ``high_freq_factor``, ``low_freq_factor``).
        truncate: whether yarn's ramp begins and ends on whole pairs.
    """

    kind: str = "default"
    factor: float = 1.0
    original_positions: float = 0.0
    attention_factor: float = 1.0
    fast: float = 0.0
    slow: float = 0.0
    truncate: bool = True

    @classmethod
    def from_dict(cls, values: Any, where: str = "") -> RopeScaling:
        """From plain values, as an exported graph carries them.

        Raises:
            ModelError: keys or kinds that are not known.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) - known or values.get("kind", "default") not in KINDS:
            raise ModelError(f"rotary positions of the keys {sorted(known)}", repr(values)[:80], where=where)
        return cls(**values)

    def turned(self, theta: float, head_width: int, n_positions: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines, each float32 of shape (n_positions, head_width / 2), the attention factor within."""
        angles = np.arange(n_positions, dtype=np.float32)[:, None] * self.frequencies(theta, head_width)
        factor = np.float32(self.attention_factor)
        return np.cos(angles) * factor, np.sin(angles) * factor

    def frequencies(self, theta: float, head_width: int) -> np.ndarray:
        """Radians a position, float32 of shape (head_width / 2,)."""
        one, factor = np.float32(1), np.float32(self.factor)
        periods = np.float32(theta) ** (np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width))
        if self.kind == "yarn":
            kept = one - self._ramp(theta, head_width)
            return one / (factor * periods) * (one - kept) + one / periods * kept
        plain = one / periods
        if self.kind == "linear":
            return plain / factor
        if self.kind == "llama3":
            original, slow, fast = (np.float32(x) for x in (self.original_positions, self.slow, self.fast))
            wavelengths = np.float32(2 * math.pi) / plain
            slowed = np.where(wavelengths > original / slow, plain / factor, plain)
            share = (original / wavelengths - slow) / (fast - slow)
            between = (wavelengths >= original / fast) & (wavelengths <= original / slow)
            return np.where(between, (one - share) * slowed / factor + share * slowed, slowed).astype(np.float32)
        return plain

    def _ramp(self, theta: float, head_width: int) -> np.ndarray:
        """0 for pairs that are kept, 1 for pairs that are divided, float32 (head_width / 2,)."""

        def pair(turns: float) -> float:
            return head_width * math.log(self.original_positions / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = pair(self.fast), pair(self.slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, head_width - 1)
        if low == high:
            high += 0.001  # as transformers does, against a division by 0
        ramp = (np.arange(head_width // 2, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
        return ramp.clip(0, 1)


UNSCALED = RopeScaling()


def read_rope(config: Mapping[str, Any], where: str) -> tuple[float, RopeScaling]:
    """Theta and scaling from a transformers configuration: ``rope_parameters``, or ``rope_scaling`` in older ones.

    Raises:
        ModelError: a kind, key or number that is not known.
    """
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if not isinstance(rope, dict):
        raise ModelError("rotary positions as a dictionary", repr(rope)[:80], where=where)
    inside = f"{where}, rope_parameters"
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "dynamic":
        raise ModelError(
            f"rotary positions that do not depend on the length: {', '.join(KINDS)}", "rope_type 'dynamic'",
            where=inside, hint="Decode with transformers (pip install 'cadenza[train]'), or train with yarn or linear.",
        )  # fmt: skip
    if kind not in KINDS:
        raise ModelError(f"a rope_type of {KINDS}", repr(kind)[:60], where=inside)
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1)) != 1:
        raise ModelError("rotary positions over whole heads", "partial_rotary_factor", where=inside)
    known = _KEYS[kind] | {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    # Llama's converters leave some keys of the others behind; those of no kind are an error.
    unknown = sorted(set(rope) - known - set().union(*_KEYS.values()))
    if unknown:
        raise ModelError("known keys", repr(unknown[0]), where=inside, hint=did_you_mean(unknown[0], known))

    def number(key: str, default: Any = None, least: float = 0.0) -> float:
        value = default if rope.get(key) is None else rope[key]
        if type(value) not in (int, float) or not math.isfinite(value) or value <= least:
            raise ModelError(f"{key} above {least:g}", repr(value)[:60], where=inside)
        return float(value)

    theta = number("rope_theta", config.get("rope_theta") or 10000.0, least=1.0 if kind == "yarn" else 0.0)
    if kind == "default":
        return theta, RopeScaling()
    reach = config.get("max_position_embeddings")
    if kind == "linear":
        return theta, RopeScaling(kind, number("factor"))
    original = number("original_max_position_embeddings", reach)
    if kind == "llama3":
        slow, fast = number("low_freq_factor"), number("high_freq_factor")
        if fast <= slow:
            raise ModelError("high_freq_factor above low_freq_factor", f"{fast} and {slow}", where=inside)
        return theta, RopeScaling(kind, number("factor"), original, 1.0, fast, slow)
    factor = number("factor", None if reach is None else reach / original)
    sharper = rope.get("attention_factor")
    if sharper is None:
        scales = rope.get("mscale"), rope.get("mscale_all_dim")
        sharper = _mscale(factor, 1)
        if all(scales):
            sharper = _mscale(factor, number("mscale")) / _mscale(factor, number("mscale_all_dim"))
    elif type(sharper) not in (int, float) or not 0 < sharper < math.inf:
        raise ModelError("attention_factor above 0", repr(sharper)[:60], where=inside)
    fast, slow = number("beta_fast", 32), number("beta_slow", 1)
    return theta, RopeScaling(kind, factor, original, float(sharper), fast, slow, bool(rope.get("truncate", True)))


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
