"""What a model has to beat: random notes, n-grams, and saying again what was just said.

The first two are decoders like any other, so they compose through the same grammar, instruments and sampling as a
trained model does, with its vocabulary and notation:

- :class:`UniformDecoder`: all that the grammar allows is equally likely, token by token: the floor;
- :class:`NgramDecoder`: interpolated n-grams (Witten & Bell 1991, as in :mod:`cadenza.metrics.ngram`) over texts
  of the training split. One array, the text's places sorted by what precedes them, serves all orders: a longer
  context is a smaller stretch of it.

The third needs no tokens: :func:`copied` repeats the seed's last bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError, ModelError, RangeError
from cadenza.base.files import writing_atomically
from cadenza.infer.model import ComposerModel
from cadenza.model.decoder import checked_ids, checked_rows, checked_step, picked_log_probabilities
from cadenza.score.edit import joined, select_bars
from cadenza.score.model import Score
from cadenza.score.time import bar_table


@dataclass(frozen=True)
class _Sizes:
    n_vocabulary: int
    max_positions: int


class _Rows:
    """The part of a decoder that keeps B rows of ids; a subclass says what follows a row."""

    def __init__(self, n_vocabulary: int, max_length: int, batch: int = 1) -> None:
        self.architecture = _Sizes(n_vocabulary, max_length)
        self.max_length, self.batch = max_length, batch
        self._rows = np.zeros((batch, 0), np.int64)

    @property
    def length(self) -> int:
        """Tokens in each row so far."""
        return self._rows.shape[1]

    def reset(self) -> None:
        """Forget all tokens."""
        self._rows = self._rows[:, :0]

    def prefill(self, ids: Any) -> np.ndarray:
        """See :class:`~cadenza.model.decoder.Decoder`."""
        found = np.atleast_2d(np.asarray(ids))
        rows = [checked_ids(row, self.architecture, self.max_length) for row in found]
        self._rows = np.repeat(rows, self.batch, axis=0) if len(rows) == 1 else np.stack(rows)
        if len(self._rows) != self.batch:
            raise ModelError(f"prompts of {self.batch} rows", str(len(self._rows)))
        return self._logits()

    def step(self, ids: Any) -> np.ndarray:
        """See :class:`~cadenza.model.decoder.Decoder`."""
        new = checked_step(ids, self.batch, self.architecture.n_vocabulary)
        if self.length >= self.max_length:
            raise ModelError(f"at most {self.max_length} tokens", "more")
        self._rows = np.concatenate([self._rows, np.asarray(new, np.int64)[:, None]], axis=1)
        return self._logits()

    def score(self, ids: Any) -> np.ndarray:
        """See :class:`~cadenza.model.decoder.Decoder`."""
        row = checked_ids(ids, self.architecture, self.max_length)
        self.reset()
        logits = np.stack([self.following(row[:at]) for at in range(1, len(row))])
        return picked_log_probabilities(logits, np.asarray(row[1:], np.int64))

    def reorder(self, rows: Any) -> None:
        """See :class:`~cadenza.model.decoder.Decoder`."""
        self._rows = self._rows[checked_rows(rows, self.batch)]

    def _logits(self) -> np.ndarray:
        return np.stack([self.following(row) for row in self._rows]).astype(np.float32)

    def following(self, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logits after a row, shape (V,)."""
        raise NotImplementedError


class UniformDecoder(_Rows):
    """Every id is as likely as every other."""

    def following(self, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """Zeros."""
        del row
        return np.zeros(self.architecture.n_vocabulary)


@dataclass(frozen=True)
class NgramCounts:
    """Texts sorted by what precedes each place.

    Args:
        ids: shape (n,), documents end to end, each after ``order`` copies of ``border``.
        places: shape (m,), the tokens that are predicted, sorted by the ``order`` tokens before them, nearest first.
        border: an id that is no token's.
    """

    ids: NDArray[np.int32]
    places: NDArray[np.int32]
    order: int
    n_vocabulary: int
    border: int = field(default=-1)

    @classmethod
    def of(cls, documents: Iterable[Sequence[int] | NDArray[np.integer]], n_vocabulary: int, order: int) -> NgramCounts:
        """Count ``documents``; contexts of up to ``order`` − 1 tokens.

        Raises:
            RangeError: no document has two tokens, or the order is below 1.
        """
        if order < 1:
            raise RangeError("an order of at least 1", str(order))
        gap = np.full(order, -1, np.int32)
        parts: list[NDArray[np.int32]] = []
        for document in documents:
            parts += [gap, np.asarray(document, np.int32)]
        ids = np.concatenate([*parts, gap])
        places = np.flatnonzero((ids >= 0) & (np.concatenate([[-1], ids[:-1]]) >= 0)).astype(np.int32)
        if not len(places):
            raise RangeError("documents of at least two tokens", "none")
        shifted = (ids + 1).astype(np.uint16) if n_vocabulary < 1 << 16 else ids + 1
        for back in range(order - 1, 0, -1):  # a stable sort by the farthest token first, as one sorts cards
            places = places[np.argsort(shifted[places - back], kind="stable")]
        return cls(ids, places, order, n_vocabulary)

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        with writing_atomically(path) as file:
            np.savez(file, ids=self.ids, places=self.places, sizes=np.array([self.order, self.n_vocabulary]))

    @classmethod
    def load(cls, path: Path) -> NgramCounts:
        """Read what :meth:`save` wrote.

        Raises:
            FormatError: it is missing or no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                order, n_vocabulary = saved["sizes"].tolist()
                return cls(saved["ids"], saved["places"], order, n_vocabulary)
        except (OSError, ValueError, KeyError) as error:
            raise FormatError("saved n-grams (.npz)", str(error)[:200], where=str(path)) from None

    def probabilities(self, row: NDArray[np.integer]) -> NDArray[np.float64]:
        """p of every id after ``row``, shape (V,); every id has some."""
        low, high = 0, len(self.places)
        p = np.full(self.n_vocabulary, 1.0 / self.n_vocabulary)
        for back in range(self.order):
            if back:
                if back > len(row):
                    break
                low, high = self._narrowed(low, high, back, int(row[-back]))
            if low == high:
                break
            p = self._mixed(p, low, high)
        return p

    def _narrowed(self, low: int, high: int, back: int, token: int) -> tuple[int, int]:
        """The stretch whose places also have ``token`` so far before them: sorted, so by halving."""
        places, ids = self.places, self.ids

        def first(wanted: int) -> int:
            a, b = low, high
            while a < b:
                middle = (a + b) // 2
                if ids[places[middle] - back] < wanted:
                    a = middle + 1
                else:
                    b = middle
            return a

        return first(token), first(token + 1)

    def _mixed(self, lower: NDArray[np.float64], low: int, high: int) -> NDArray[np.float64]:
        if high - low == len(self.places):  # unigrams are asked for at every token
            counts = self._unigrams
        else:
            counts = np.bincount(self.ids[self.places[low:high]], minlength=self.n_vocabulary)
        different = np.count_nonzero(counts)
        return (counts + different * lower) / (high - low + different)

    @property
    def _unigrams(self) -> NDArray[np.int64]:
        found = self.__dict__.get("_counted")
        if found is None:
            found = np.bincount(self.ids[self.places], minlength=self.n_vocabulary)
            object.__setattr__(self, "_counted", found)
        return found


class NgramDecoder(_Rows):
    """What followed the same tokens in the counted texts."""

    def __init__(self, counts: NgramCounts, max_length: int, batch: int = 1) -> None:
        super().__init__(counts.n_vocabulary, max_length, batch)
        self.counts = counts

    def following(self, row: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-probabilities."""
        return np.log(self.counts.probabilities(row))


def as_uniform(model: ComposerModel) -> ComposerModel:
    """The model's vocabulary and notation with :class:`UniformDecoder`."""
    return replace(model, decoder=UniformDecoder(len(model.vocabulary), model.decoder.max_length))


def as_ngram(model: ComposerModel, counts: NgramCounts) -> ComposerModel:
    """The model's vocabulary and notation with :class:`NgramDecoder`.

    Raises:
        ModelError: the counts are of another vocabulary.
    """
    if counts.n_vocabulary != len(model.vocabulary):
        raise ModelError(f"n-grams of {len(model.vocabulary)} ids", str(counts.n_vocabulary))
    return replace(model, decoder=NgramDecoder(counts, model.decoder.max_length))


def copied(given: Score, n_bars: int) -> Score:
    """``n_bars`` bars that repeat the last ``n_bars`` of ``given`` (all of it, over and over, where it is shorter)."""
    n_given = len(bar_table(given))
    part = select_bars(max(0, n_given - n_bars), n_given).apply(given)
    n_part = len(bar_table(part))
    repeated = joined([part] * -(-n_bars // n_part)) if n_bars > n_part else part
    return select_bars(0, n_bars).apply(repeated)
