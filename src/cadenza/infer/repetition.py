"""Token-level brakes on repetition: DRY and no-repeat-n-gram, on what the allowed tokens would repeat.

Both look for the places in the text at which what stands now stood before, and at what followed there. DRY makes that
less likely, the more the longer the match: multiplier · base^(match − allowed). Breakers (bar words, line breaks) end a
match, so a bar may begin as another did. No-repeat-n-gram forbids it outright and knows no breakers.

Sources: DRY, the sampler of that name (p-e-w, 2024, https://github.com/oobabooga/text-generation-webui/pull/5677),
with its defaults 0.8, 1.75 and 2; no-repeat-n-gram, Paulus et al. 2018, https://arxiv.org/abs/1705.04304.

They see tokens, not music: a bar that comes back is theirs to punish although music repeats on purpose. What works on
bars, and only where a corpus would not go on, is :mod:`cadenza.infer.loops`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError

MAX_MATCH = 64  # a longer match is punished like one of this length


@dataclass(frozen=True)
class Brakes:
    """What is not to be said again.

    Args:
        dry: multiplier of DRY; 0 turns it off, 0.8 is its author's default.
        dry_base, dry_allowed: growth with every token beyond the allowed match.
        no_repeat: no n-gram of this many tokens twice; 0 turns it off.

    Raises:
        ConfigError: a value out of range.
    """

    dry: float = 0.0
    dry_base: float = 1.75
    dry_allowed: int = 2
    no_repeat: int = 0

    def __post_init__(self) -> None:
        for name, value, low in (("dry", self.dry, 0.0), ("dry_base", self.dry_base, 1.0)):
            if isinstance(value, bool) or not math.isfinite(value) or value < low:
                raise ConfigError(f"{name} of at least {low:g}", repr(value))
        if self.dry_allowed < 1:
            raise ConfigError("dry_allowed of at least 1", repr(self.dry_allowed))
        if self.no_repeat < 0 or self.no_repeat == 1:
            raise ConfigError("no_repeat of 0 (off) or at least 2 tokens", repr(self.no_repeat))

    @property
    def are_on(self) -> bool:
        """Whether anything is braked."""
        return bool(self.dry or self.no_repeat)

    def penalties(
        self, history: NDArray[np.int64], breakers: frozenset[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(tokens, what to take from their logits; infinity forbids), shape (k,) each; a token stands at most once.

        Args:
            history: the text so far, shape (n,).
        """
        found: dict[int, float] = {}
        if self.dry:
            for token, length in followers(history, breakers).items():
                if length >= self.dry_allowed and token not in breakers:
                    found[token] = self.dry * self.dry_base ** (length - self.dry_allowed)
        if self.no_repeat:
            for token, length in followers(history, frozenset()).items():
                if length >= self.no_repeat - 1:
                    found[token] = math.inf
        return np.array(list(found), np.int64), np.array(list(found.values()), np.float64)


def followers(history: NDArray[np.int64], breakers: frozenset[int]) -> dict[int, int]:
    """Token → how many tokens before an earlier place of it match those at the end of ``history``, at most
    :data:`MAX_MATCH`; tokens that never followed the last one are left out."""
    n = len(history)
    if n < 2 or int(history[-1]) in breakers:
        return {}
    ends = np.flatnonzero(history[:-1] == history[-1])
    out: dict[int, int] = {}
    length = 1
    while len(ends):
        for token in history[ends + 1].tolist():
            out[token] = length  # those that go on are overwritten
        if length >= MAX_MATCH or length >= n:
            break
        before = int(history[n - 1 - length])
        if before in breakers:
            break
        ends_here = ends[ends >= length]
        ends = ends_here[history[ends_here - length] == before]
        length += 1
    return out
