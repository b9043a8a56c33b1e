"""Interpolated n-grams: what counting alone knows about a held-out text.

A language model of music has learned something only if it tells the next token better than counts of short contexts do.
This module gives log2 probabilities of held-out documents under interpolated n-grams of every order up to ``max_order``
at once, so that the best order can be chosen on validation text.

Three smoothings, each a mixture of an order with the one below it, down to the uniform distribution over all ids:

- ``kneser-ney``: Kneser & Ney 1995 in the interpolated form of Chen & Goodman 1999: the highest order counts
  occurrences, the lower ones distinct left neighbours; one absolute discount an order, n1 / (n1 + 2 n2);
- ``modified-kneser-ney``: Chen & Goodman 1999: discounts of their own for counts of 1, 2 and 3 or more;
- ``witten-bell``: Witten & Bell 1991: no left neighbours, the weight of the lower order is the number of distinct
  continuations.

What differs from the papers: where counts of counts are too few for a discount, it is 0.5, 1 and 1.5 for counts of 1, 2
and more, as in KenLM. The first token of a document is given, never predicted. A document's beginning is a left
neighbour of its own each time (as KenLM treats ``<s>``); no n-gram crosses it. At a document's first tokens, where no
long context exists, the longest that does is used. In every context probabilities add up to 1.

Documents are plain arrays of token ids. n-grams are numbered order by order: one is the number of its first n − 1
tokens with its last token, so that a sort of 64-bit keys replaces tables of tuples, and only two orders are held at
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, RangeError, did_you_mean

SMOOTHINGS = ("kneser-ney", "modified-kneser-ney", "witten-bell")
_FALLBACK = (0.0, 0.5, 1.0, 1.5)


def log2_probabilities(
    train: Sequence[NDArray[np.integer]],
    held_out: Sequence[NDArray[np.integer]],
    vocabulary_size: int,
    *,
    max_order: int = 16,
    smoothings: Sequence[str] = SMOOTHINGS,
) -> dict[str, NDArray[np.float64]]:
    """log2 p of every held-out token under n-grams of order 1 … ``max_order`` counted in ``train``.

    Args:
        train, held_out: documents, each of shape (n,), ids of 0 … vocabulary_size − 1.
        smoothings: which of ``SMOOTHINGS``.

    Returns:
        For each smoothing, shape (max_order, n_held_out_tokens): row n − 1 is order n, columns are the documents one
        after another. A document's first token is given: its log2 p is 0.

    Raises:
        ConfigError: an unknown smoothing or an order below 1.
        RangeError: an id outside the vocabulary, or no token to count.
    """
    by_order = list(each_order(train, held_out, vocabulary_size, max_order=max_order, smoothings=smoothings))
    return {name: np.stack([found[name] for found in by_order]) for name in smoothings}


def each_order(
    train: Sequence[NDArray[np.integer]],
    held_out: Sequence[NDArray[np.integer]],
    vocabulary_size: int,
    *,
    max_order: int = 16,
    smoothings: Sequence[str] = SMOOTHINGS,
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The rows of :func:`log2_probabilities` one order at a time, as soon as each is known."""
    for name in smoothings:
        if name not in SMOOTHINGS:
            raise ConfigError("a known smoothing", repr(name), hint=did_you_mean(name, SMOOTHINGS))
    if max_order < 1:
        raise ConfigError("an order of at least 1", str(max_order))
    counted, asked = _Text.of(train, vocabulary_size), _Text.of(held_out, vocabulary_size)
    predicted = asked.place > 0
    if not (counted.place > 0).any():
        raise RangeError("training documents of at least two tokens", "none")
    lower = {name: np.full(len(asked.ids), 1.0 / vocabulary_size) for name in smoothings}
    level = _Level.unigrams(counted, asked, vocabulary_size)
    for order in range(1, max_order + 1):
        occurrences = _Counts.of(level, level.count)
        top = {name: occurrences.mixed_with(lower[name], name) for name in smoothings}
        yield {name: np.log2(np.where(predicted, p, 1.0)) for name, p in top.items()}
        if order == max_order:
            return
        above = level.extended(counted, asked, vocabulary_size)
        neighbours = _Counts.of(level, level.left_neighbours(counted, above))
        lower = {
            name: top[name] if name == "witten-bell" else neighbours.mixed_with(lower[name], name)
            for name in smoothings
        }
        level = above


@dataclass(frozen=True)
class _Text:
    """Documents end to end: ``ids`` and each token's place in its document, both of shape (n,)."""

    ids: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, documents: Sequence[NDArray[np.integer]], vocabulary_size: int) -> _Text:
        lengths = np.array([len(document) for document in documents], np.int64)
        ids = np.concatenate([*documents, np.zeros(0, np.int64)]).astype(np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= vocabulary_size):
            raise RangeError(f"token ids of 0–{vocabulary_size - 1}", f"{ids.min()}–{ids.max()}")
        return cls(ids, np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths))


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order that occur in training text, T of them, numbered.

    Args:
        order: n.
        context: shape (T,), number of each one's first n − 1 tokens among those of order n − 1.
        n_contexts: how many n-grams the order below has.
        count: shape (T,), occurrences.
        example: shape (T,), a place in the training text where each one ends.
        ends: shape (n_train,), number of the n-gram that ends at each training token, −1 where there is none.
        asked, asked_context: shape (n_held_out,), number of the n-gram that ends at each held-out token, and of its
            context; −1 where training text has none.
    """

    order: int
    context: NDArray[np.int32]
    n_contexts: int
    count: NDArray[np.int64]
    example: NDArray[np.int64]
    ends: NDArray[np.int32]
    asked: NDArray[np.int32]
    asked_context: NDArray[np.int32]

    @classmethod
    def unigrams(cls, counted: _Text, asked: _Text, vocabulary_size: int) -> _Level:
        """Order 1: an id is its own number. First tokens of documents are contexts, not counted."""
        count = np.bincount(counted.ids[counted.place > 0], minlength=vocabulary_size)
        context = np.zeros(vocabulary_size, np.int32)
        under = np.where(asked.place > 0, 0, -1).astype(np.int32)
        none = np.zeros(0, np.int64)
        return cls(1, context, 1, count, none, counted.ids.astype(np.int32), asked.ids.astype(np.int32), under)

    def extended(self, counted: _Text, asked: _Text, vocabulary_size: int) -> _Level:
        """The level of the next order."""
        here = np.flatnonzero(counted.place >= self.order)
        keys = self.ends[here - 1].astype(np.int64) * vocabulary_size + counted.ids[here]
        by_key = np.argsort(keys)
        keys = keys[by_key]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        count = np.diff(first, append=len(keys))
        ends = np.full(len(counted.ids), -1, np.int32)
        ends[here[by_key]] = np.repeat(np.arange(len(first), dtype=np.int32), count)
        example = here[by_key[first]]
        keys = keys[first]

        under = np.full(len(asked.ids), -1, np.int32)
        inside = np.flatnonzero(asked.place >= self.order)
        under[inside] = self.asked[inside - 1]
        number = np.full(len(asked.ids), -1, np.int32)
        known = np.flatnonzero(under >= 0)
        if len(keys):
            wanted = under[known].astype(np.int64) * vocabulary_size + asked.ids[known]
            found = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
            number[known] = np.where(keys[found] == wanted, found, -1)
        context = (keys // vocabulary_size).astype(np.int32)
        return _Level(self.order + 1, context, len(self.count), count, example, ends, number, under)

    def left_neighbours(self, counted: _Text, above: _Level) -> NDArray[np.int64]:
        """How many different tokens precede each n-gram, beginnings of documents counted one by one; shape (T,)."""
        n_types = len(self.count)
        neighbours = np.bincount(self.ends[above.example], minlength=n_types)
        if self.order > 1:
            neighbours += np.bincount(self.ends[counted.place == self.order - 1], minlength=n_types)
        return neighbours


@dataclass(frozen=True)
class _Counts:
    """Counts (of occurrences or of left neighbours) as seen from the held-out tokens whose context is known.

    Args:
        at: shape (k,), those held-out tokens.
        count: shape (k,), the count of each one's n-gram.
        total: shape (k,), the sum of counts in its context, at least 1.
        n_with: shape (3, k), how many continuations of its context have a count of 1, of 2, of 3 or more.
        n_of: shape (4,), how many n-grams of the whole level have a count of 1, 2, 3, 4.
    """

    at: NDArray[np.int64]
    count: NDArray[np.int64]
    total: NDArray[np.int64]
    n_with: NDArray[np.int64]
    n_of: tuple[int, int, int, int]

    @classmethod
    def of(cls, level: _Level, count: NDArray[np.int64]) -> _Counts:
        total = np.bincount(level.context, count, level.n_contexts).astype(np.int64)
        at = np.flatnonzero(level.asked_context >= 0)
        at = at[total[level.asked_context[at]] > 0]
        context, number = level.asked_context[at], level.asked[at]
        classes = (count == 1, count == 2, count >= 3)
        n_with = np.stack([np.bincount(level.context[c], minlength=level.n_contexts)[context] for c in classes])
        n_of = np.bincount(np.minimum(count, 5), minlength=6)
        mine = np.where(number >= 0, count[number], 0) if len(count) else np.zeros(len(at), np.int64)
        return cls(at, mine, total[context], n_with, tuple(n_of[1:5].tolist()))

    def mixed_with(self, lower: NDArray[np.float64], smoothing: str) -> NDArray[np.float64]:
        """Probabilities of the held-out tokens, given those of the order below; shape (n_held_out,)."""
        if smoothing == "witten-bell":
            n_different = self.n_with.sum(0)
            own, left = self.count / (self.total + n_different), n_different / (self.total + n_different)
        else:
            discount = np.array(discounts(self.n_of, modified=smoothing == "modified-kneser-ney"))
            own = (self.count - discount[np.minimum(self.count, 3)]) / self.total
            left = discount[1:] @ self.n_with / self.total
        out = lower.copy()
        out[self.at] = own + left * lower[self.at]
        return out


def discounts(n_of: Sequence[int], *, modified: bool) -> tuple[float, float, float, float]:
    """What is taken from counts of 0, 1, 2 and 3 or more, given how many n-grams have a count of 1, 2, 3, 4.

    Chen & Goodman 1999, equation 26 (modified) and Ney, Essen & Kneser 1994 (one discount for all).
    """
    n1, n2, n3, n4 = n_of
    if not n1 or not n2:
        return _FALLBACK if modified else (0.0, 0.5, 0.5, 0.5)
    share = n1 / (n1 + 2 * n2)
    if not modified:
        return 0.0, share, share, share
    if not n3:
        return _FALLBACK
    out = (0.0, 1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
    return out if all(0 < d <= k for k, d in enumerate(out) if k) else _FALLBACK
