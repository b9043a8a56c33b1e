"""Rebalanced encoding (Fu et al., "A Theoretical Analysis of the Repetition Problem in Text Generation", AAAI 2021).

How much a model repeats is bounded by how much probability flows into single words. Where one token follows another
with a probability above γ, the two become one token; the counts are taken anew, and so on, for ten rounds at most.
``wait`` and bar tokens, which everything flows into, thus disappear into their neighbours.

The vocabulary underneath stays what it is: merged tokens stand for runs of its ids and are taken apart before anything
is spelled. Losses of different encodings cannot be compared per token: bits per note can.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError

FILE = "merges.json"


class MergedVocabulary:
    """A vocabulary with further ids for pairs of ids.

    Args:
        base: the vocabulary underneath.
        rounds: for each round the pairs that it merges, in order of their ids; later rounds may use earlier ids.

    Raises:
        ModelError: a pair of ids that do not exist yet.
    """

    def __init__(self, base: Any, rounds: Sequence[Sequence[tuple[int, int]]]) -> None:
        self.base = base
        self.rounds = tuple(tuple((int(a), int(b)) for a, b in pairs) for pairs in rounds)
        self.parts: list[tuple[int, ...]] = []
        self._tables: list[dict[tuple[int, int], int]] = []
        for pairs in self.rounds:
            first = len(base) + len(self.parts)
            if any(not 0 <= one < first for pair in pairs for one in pair):
                raise ModelError(f"pairs of ids below {first}", "others", where="merges")
            self._tables.append({pair: first + place for place, pair in enumerate(pairs)})
            self.parts += [(*self._apart(a), *self._apart(b)) for a, b in pairs]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the vocabulary underneath."""
        found: tuple[str, ...] = self.base.fields
        return found

    @property
    def pad_id(self) -> int:
        """Id that fills a row."""
        return int(self.base.pad_id)

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a text."""
        found: int | None = self.base.bos_id
        return found

    @property
    def eos_id(self) -> int:
        """Id of the token that ends one."""
        return int(self.base.eos_id)

    def __len__(self) -> int:
        return len(self.base) + len(self.parts)

    def id_of(self, text: str) -> int | None:
        """The id of a field of its own, or None. It may also stand inside merged tokens."""
        found: int | None = self.base.id_of(text)
        return found

    def _apart(self, token: int) -> tuple[int, ...]:
        return (token,) if token < len(self.base) else self.parts[token - len(self.base)]

    def apart(self, ids: Iterable[int]) -> list[int]:
        """Ids of the vocabulary underneath."""
        return [one for token in ids for one in self._apart(int(token))]

    def merge(self, ids: Sequence[int]) -> list[int]:
        """Ids of the vocabulary underneath → merged ones: round by round, from left to right."""
        out = list(ids)
        for table in self._tables:
            out = _merged(out, table)
        return out

    def tokenize(self, text: str) -> list[int]:
        """Ids of ``text``, without begin and end."""
        return self.merge(self.base.tokenize(text))

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ``ids``.

        Raises:
            ModelError: an id is outside the vocabulary.
        """
        if any(not 0 <= int(token) < len(self) for token in ids):
            raise ModelError(f"token ids of 0–{len(self) - 1}", "others")
        text: str = self.base.detokenize(self.apart(ids))
        return text

    def save(self, path: Path) -> None:
        """Write the merges as JSON (the vocabulary underneath has a file of its own)."""
        path.write_text(json.dumps({"rounds": self.rounds}), "utf-8")

    @classmethod
    def load(cls, base: Any, path: Path) -> MergedVocabulary:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or not of that form.
        """
        try:
            return cls(base, [[(a, b) for a, b in pairs] for pairs in json.loads(path.read_text("utf-8"))["rounds"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError("merges of a vocabulary", str(error)[:200], where=str(path)) from None


def _merged(ids: Sequence[int], table: dict[tuple[int, int], int]) -> list[int]:
    out: list[int] = []
    at = 0
    while at < len(ids):
        found = table.get((ids[at], ids[at + 1])) if at + 1 < len(ids) else None
        out.append(ids[at] if found is None else found)
        at += 1 if found is None else 2
    return out


def rebalance(
    base: Any, texts: Iterable[Sequence[int]], gamma: float = 0.1, max_rounds: int = 10, max_tokens: int = 20_000
) -> MergedVocabulary:
    """The merges that bring every transition probability to γ or below, or as far as the rounds go.

    Args:
        base: the vocabulary underneath.
        texts: ids of the training texts, in pieces that no merge may cross (bars).
        gamma: pairs followed with a higher probability are merged.
        max_rounds: 10 in the paper.
        max_tokens: no further pairs beyond so many ids; likelier pairs first.
    """
    pieces = [list(map(int, piece)) for piece in texts]
    rounds: list[list[tuple[int, int]]] = []
    n_ids = len(base)
    for _ in range(max_rounds):
        pairs = inflowing(pieces, n_ids, gamma)[: max(0, max_tokens - n_ids)]
        if not pairs:
            break
        table = {pair: n_ids + place for place, pair in enumerate(pairs)}
        pieces = [_merged(piece, table) for piece in pieces]
        rounds.append(pairs)
        n_ids += len(pairs)
    return MergedVocabulary(base, rounds)


def inflowing(pieces: Iterable[Sequence[int]], n_ids: int, gamma: float) -> list[tuple[int, int]]:
    """Pairs (i, j) with P(j after i) > γ under bigram counts + 1, likeliest first.

    Adding 1 to all n_ids² counts, as the paper does, needs no table: P = (count + 1) / (occurrences + n_ids).
    """
    keys: list[NDArray[np.int64]] = []
    for piece in pieces:
        ids = np.asarray(piece, np.int64)
        if len(ids) > 1:
            keys.append(ids[:-1] * n_ids + ids[1:])
    if not keys:
        return []
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    first = found // n_ids
    total = np.bincount(first, weights=counts, minlength=n_ids)
    probability = (counts + 1) / (total[first] + n_ids)
    above = np.flatnonzero(probability > gamma)
    order = above[np.lexsort([found[above], -probability[above]])]
    return [(int(key) // n_ids, int(key) % n_ids) for key in found[order]]
