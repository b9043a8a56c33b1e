"""Choosing the next token: temperature, top-k, top-p, min-p, typical over what a grammar allows, in plain NumPy.

The allowed ids are gathered first, so that all later work is as small as the grammar's choice (often a few dozen of a
thousand) and nothing outside can be drawn, whatever the numbers. The order is the usual one: temperature, then top-k,
then top-p, then min-p, then typical, each on what the one before has left, renormalised.

    rng = np.random.default_rng(seed)
    token = sample(logits, allowed, Sampling(temperature=0.9, top_p=0.95), rng)

Sources: top-p (nucleus), Holtzman et al. 2020, https://arxiv.org/abs/1904.09751; min-p, Nguyen et al. 2024,
https://arxiv.org/abs/2407.01082; locally typical sampling, Meister et al. 2023, https://arxiv.org/abs/2202.00666.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cadenza.base.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Sampling:
    """How to choose. The defaults draw from the model's own distribution.

    Args:
        temperature: divides the logits; 0 takes the likeliest (the lowest id where several are), with no randomness.
        top_p: keep the smallest set of likeliest tokens whose probability reaches this; 1 keeps all.
        top_k: keep this many likeliest tokens; 0 keeps all.
        min_p: keep tokens at least this share as likely as the likeliest; 0 keeps all.
        typical_p: keep the smallest set of tokens whose surprise is nearest to the expected one and whose probability
            reaches this; 1 keeps all.

    Raises:
        ConfigError: a value out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0

    def __post_init__(self) -> None:
        _require(
            _real(self.temperature) and 0 <= self.temperature < math.inf, "temperature", "0 or more", self.temperature
        )
        _require(_real(self.top_p) and 0 < self.top_p <= 1, "top_p", "above 0, at most 1", self.top_p)
        _require(type(self.top_k) is int and self.top_k >= 0, "top_k", "a whole number, 0 or more", self.top_k)
        _require(_real(self.min_p) and 0 <= self.min_p <= 1, "min_p", "from 0 to 1", self.min_p)
        typical = self.typical_p
        _require(_real(typical) and 0 < typical <= 1, "typical_p", "above 0, at most 1", typical)


def sample(logits: np.ndarray, allowed: np.ndarray | None, settings: Sampling, rng: np.random.Generator) -> int:
    """One token id.

    Args:
        logits: float, shape (V,).
        allowed: ids that may follow, integers of shape (A,) in ascending order; or a boolean mask of shape (V,); or
            None for all.
        settings: how to choose.
        rng: advanced by exactly one draw a call (by none at temperature 0), so that a seed fixes the whole sequence.

    Raises:
        ModelError: nothing is allowed, or the logits are not finite numbers.
    """
    ids, scores = _gathered(logits, allowed)
    if len(ids) == 0:
        raise ModelError("at least one allowed token", "none", hint="The grammar has reached a dead end.")
    best = int(scores.argmax())
    top = scores[best]
    # A nan beats every number in argmax and −inf loses to all, so the best tells whether the whole is sound; ids at
    # −inf beside a finite best are simply impossible.
    if not math.isfinite(top):
        raise ModelError("finite logits", str(top), hint="The model's weights or its input are broken.")
    if settings.temperature == 0 or len(ids) == 1:
        if settings.temperature:
            rng.random()
        return int(ids[best])
    kept, weights = _kept(scores, float(top), settings)
    sums = weights.cumsum()
    # side="right" skips tokens of weight 0; the clip guards the draw that rounds up to the total itself.
    drawn = min(int(sums.searchsorted(rng.random() * sums[-1], side="right")), int(sums.searchsorted(sums[-1])))
    return int(ids[drawn if kept is None else kept[drawn]])


def probabilities(logits: np.ndarray, allowed: np.ndarray | None, settings: Sampling) -> np.ndarray:
    """The distribution that :func:`sample` draws from, float64 of shape (V,), summing to 1.

    Raises:
        ModelError: as for :func:`sample`.
    """
    ids, scores = _gathered(logits, allowed)
    if len(ids) == 0 or not math.isfinite(scores.max()):
        raise ModelError("a finite logit among the allowed", "none")
    found = np.zeros(len(logits))
    if settings.temperature == 0:
        found[ids[scores.argmax()]] = 1
        return found
    kept, weights = _kept(scores, float(scores.max()), settings)
    found[ids if kept is None else ids[kept]] = weights / weights.sum()
    return found


def _gathered(logits: np.ndarray, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Allowed ids and their logits as float64: at float32 the running sum of a thousand weights loses the rare ones."""
    if allowed is None:
        return np.arange(len(logits)), logits.astype(np.float64)
    ids = allowed.nonzero()[0] if allowed.dtype == np.bool_ else allowed
    return ids, logits[ids].astype(np.float64)


def _kept(scores: np.ndarray, top: float, settings: Sampling) -> tuple[np.ndarray | None, np.ndarray]:
    """Indices into ``scores`` that survive (None: all, in their order) and their weights, not normalised.

    Weights are relative to the likeliest token, which has 1.
    """
    weights = np.exp((scores - top) / settings.temperature)
    order = None
    if 0 < settings.top_k < len(weights):
        # Stable, so that of equally likely tokens the lowest ids stay, on every machine.
        order = np.argsort(-scores, kind="stable")[: settings.top_k]
        weights = weights[order]
    if settings.top_p < 1:
        # Tokens below this share weigh less than 1 − p together, so the nucleus lies among the others: sort only those.
        total = weights.sum()
        heavy = (weights >= (1 - settings.top_p) * total / len(weights)).nonzero()[0]
        heavy = heavy[np.argsort(-weights[heavy], kind="stable")]
        reached = int(weights[heavy].cumsum().searchsorted(settings.top_p * total)) + 1
        heavy = heavy[:reached]
        order, weights = (heavy if order is None else order[heavy]), weights[heavy]
    if settings.min_p:
        likely = weights >= settings.min_p
        order, weights = (likely.nonzero()[0] if order is None else order[likely]), weights[likely]
    if settings.typical_p < 1:
        usual = _typical(weights, settings.typical_p)
        order, weights = (usual if order is None else order[usual]), weights[usual]
    return order, weights


def _typical(weights: np.ndarray, reach: float) -> np.ndarray:
    """Indices of the tokens whose surprise lies nearest to the entropy, together at least ``reach`` likely."""
    share = weights / weights.sum()
    surprise = -np.log(np.maximum(share, np.finfo(np.float64).tiny))
    order = np.argsort(np.abs(surprise - (share * surprise).sum()), kind="stable")
    return order[: int(share[order].cumsum().searchsorted(reach)) + 1]


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(good: bool, name: str, expected: str, actual: object) -> None:
    if not good:
        raise ConfigError(f"{name} {expected}", repr(actual))
