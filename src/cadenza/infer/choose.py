"""How the next token is chosen: sampling, brakes on repetition, wishes, and what was forbidden on a second try."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError
from cadenza.infer.repetition import Brakes
from cadenza.infer.rows import Writing
from cadenza.infer.sample import Sampling, probabilities, sample
from cadenza.infer.window import Window

CANDIDATES = 4  # of contrastive search, the published number
FIRST_BAN = 1.0  # nats taken from each token of a bar that was refused, doubled at each further try


#: (ids, what to add to their logits), shape (k,) each.
Wishes = tuple[NDArray[np.int64], NDArray[np.float64]]


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
        contrast: 0 off; else contrastive search (Su et al. 2022, https://arxiv.org/abs/2202.06417) instead of a draw:
            of the ``top_k`` likeliest (:data:`CANDIDATES` where that is 0) the one with the highest
            (1 − contrast) p − contrast s is taken, s the greatest cosine between what the model would say after it and
            what it said after any token that it has written in sight. What it says is its logits, less their mean: the
            last hidden state as the head shows it, so that no model needs a further output. A token costs a step for
            each candidate.

    Raises:
        ConfigError: a value out of range.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, top_p=0.95))
    brakes: Brakes = field(default_factory=Brakes)
    guard: bool = True
    recall: bool = True
    original: bool = True
    max_redraws: int = 4
    contrast: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.contrast <= 1:
            raise ConfigError("contrast from 0 to 1", repr(self.contrast))
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

    def next(
        self,
        window: Window,
        allowed: NDArray[np.int64],
        *,
        written: Sequence[int] = (),
        refused: Refused = NOTHING,
        wishes: Wishes | None = None,
    ) -> Writing[int]:
        """One of ``allowed`` (ascending ids) after what a window sees.

        Args:
            written: the bar's tokens so far.
            refused: bars drawn before at this place; each further one raises the temperature.
            wishes: (ids, what to add to their logits), shape (k,) each.

        What brakes and refusals forbid altogether is forbidden only as long as something is left.
        """
        logits = window.logits
        assert logits is not None
        self.n_tokens += 1
        if len(allowed) == 1:
            return int(allowed[0])
        bent = logits
        if wishes is not None:
            bent = logits.copy()
            np.add.at(bent, wishes[0], wishes[1].astype(bent.dtype))
        if self.decoding.brakes.are_on or refused.bars:
            bent = self._braked(bent, allowed, window.ids, written, refused)
        sampling = self._sampling(len(refused.bars))
        if self.decoding.contrast:
            logits = logits.copy()  # peeking goes over them
            token = yield from self._contrasting(window, bent, allowed, sampling)
        else:
            token = sample(bent, allowed, sampling, self.rng)
        self._count(logits, allowed, token)
        return token

    def _count(self, logits: np.ndarray, allowed: NDArray[np.int64], token: int) -> None:
        scores = logits[allowed].astype(np.float64)
        top = scores.max()
        self.log2_likelihood += float(logits[token] - top - math.log(np.exp(scores - top).sum())) / math.log(2)

    def _contrasting(
        self, window: Window, logits: np.ndarray, allowed: NDArray[np.int64], sampling: Sampling
    ) -> Writing[int]:
        few = replace(sampling, top_k=sampling.top_k or CANDIDATES, temperature=sampling.temperature or 1.0)
        likely = probabilities(logits, allowed, few)
        candidates = np.flatnonzero(likely)
        if len(candidates) == 1:
            return int(candidates[0])
        after = yield from window.peek(candidates.tolist())
        alpha, said = self.decoding.contrast, window.said()
        like = np.array([(said @ one).max() for one in after]) if len(said) else np.zeros(len(after))
        worth = (1 - alpha) * likely[candidates] - alpha * like
        return int(candidates[worth.argmax()])

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
