"""How the next token is chosen: sampling, brakes on repetition, wishes, and what was forbidden on a second try."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError
from cadenza.infer.repetition import Brakes
from cadenza.infer.sample import Sampling, sample

FIRST_BAN = 1.0  # nats taken from each token of a bar that was refused, doubled at each further try


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Args:
        sampling: temperature, top-p and their like.
        brakes: token-level penalties.
        guard: the bar-aware loop guard (:mod:`cadenza.infer.loops`) is on.
        recall: phrases are said again at the corpus's rate (:mod:`cadenza.infer.recall`); in fields, where nothing is
            given beside.
        original: copies of the training set are drawn again (:mod:`cadenza.infer.original`), where the model knows it.
        max_redraws: how often a bar that it refuses is drawn again.

    Raises:
        ConfigError: a value out of range.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, top_p=0.95))
    brakes: Brakes = field(default_factory=Brakes)
    guard: bool = True
    recall: bool = True
    original: bool = True
    max_redraws: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.max_redraws <= 32:
            raise ConfigError("0 to 32 redraws", repr(self.max_redraws))


@dataclass(frozen=True)
class Refused:
    """Bars that were refused at this place: texts in tokens, with what follows each."""

    bars: tuple[tuple[int, ...], ...] = ()

    def also(self, ids: Sequence[int]) -> Refused:
        """These and one more."""
        return Refused((*self.bars, tuple(ids)))

    def penalties(self, written: Sequence[int]) -> dict[int, float]:
        """Token → what to take from its logit, where ``written`` of the bar goes the way of a refused one; infinity at
        a refused one's last token."""
        strength = FIRST_BAN * 2.0 ** (len(self.bars) - 1)
        found: dict[int, float] = {}
        at = len(written)
        for bar in self.bars:
            if at < len(bar) and tuple(written) == bar[:at]:
                found[bar[at]] = math.inf if at == len(bar) - 1 else max(found.get(bar[at], 0.0), strength)
        return found


NOTHING = Refused()


class Chooser:
    """Draws tokens.

    Args:
        breakers: tokens that end a match of DRY.

    Attributes:
        n_tokens: drawn so far.
        log2_likelihood: log2 p of what was drawn under the model as it is (its own distribution over what is allowed).
    """

    def __init__(self, decoding: Decoding, rng: np.random.Generator, breakers: frozenset[int]) -> None:
        self.decoding, self.rng, self.breakers = decoding, rng, breakers
        self.n_tokens = 0
        self.log2_likelihood = 0.0

    def draw(
        self,
        logits: np.ndarray,
        allowed: NDArray[np.int64],
        *,
        history: Sequence[int] = (),
        written: Sequence[int] = (),
        refused: Refused = NOTHING,
        wishes: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    ) -> int:
        """One of ``allowed`` (ascending ids).

        Args:
            logits: shape (V,).
            history: all tokens in sight, for the brakes.
            written: the bar's tokens so far.
            refused: bars drawn before at this place; each further one raises the temperature.
            wishes: (ids, what to add to their logits), shape (k,) each.

        What brakes and refusals forbid altogether is forbidden only as long as something is left.
        """
        self.n_tokens += 1
        if len(allowed) == 1:
            return int(allowed[0])
        bent = logits
        if wishes is not None:
            bent = logits.copy()
            np.add.at(bent, wishes[0], wishes[1].astype(bent.dtype))
        if self.decoding.brakes.are_on or refused.bars:
            bent = self._braked(bent, allowed, history, written, refused)
        token = sample(bent, allowed, self._sampling(len(refused.bars)), self.rng)
        scores = logits[allowed].astype(np.float64)
        top = scores.max()
        self.log2_likelihood += float(logits[token] - top - math.log(np.exp(scores - top).sum())) / math.log(2)
        return token

    def _sampling(self, n_refused: int) -> Sampling:
        sampling = self.decoding.sampling
        if not n_refused:
            return sampling
        if sampling.temperature == 0:  # the first other way is the likeliest one; then chance has to help
            return sampling if n_refused == 1 else replace(sampling, temperature=0.5 * (n_refused - 1))
        return replace(sampling, temperature=sampling.temperature * (1 + 0.2 * (n_refused - 1)))

    def _braked(
        self,
        logits: np.ndarray,
        allowed: NDArray[np.int64],
        history: Sequence[int],
        written: Sequence[int],
        refused: Refused,
    ) -> np.ndarray:
        bent = logits.astype(np.float64)
        forbidden: list[int] = []
        taken: dict[int, float] = {}
        if self.decoding.brakes.are_on:
            tokens, amounts = self.decoding.brakes.penalties(np.array(history, np.int64), self.breakers)
            taken = dict(zip(tokens.tolist(), amounts.tolist(), strict=True))
        for token, amount in refused.penalties(written).items():
            taken[token] = taken.get(token, 0.0) + amount
        for token, amount in taken.items():
            if amount == math.inf:
                forbidden.append(token)
            else:
                bent[token] -= amount
        if forbidden and len(np.setdiff1d(allowed, forbidden)):
            bent[forbidden] = -np.inf
        return bent
