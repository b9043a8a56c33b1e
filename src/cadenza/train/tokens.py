"""Corpus → token arrays on disk → training rows.

Each passage is stored as ids: header, bars, bar offsets. Rows are drawn by weight of their source, start at a random
bar and run to the context's end; a piece that ends sooner is followed by the next. A draw depends on (seed, row number)
only, so a resumed run sees the same rows.

    python -m cadenza.train.tokens BASE.npz OUT
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.corpus import augment
from cadenza.corpus.build import build_scores, rng_for
from cadenza.corpus.excerpts import passages
from cadenza.model.vocabulary import BOS, EOS, PAD, Vocabulary
from cadenza.notation.simplified import SimplifiedMidi


@dataclass(frozen=True)
class TokenStore:
    """Passages as ids.

    Args:
        ids: shape (n,), header then bars of every passage.
        bar_starts: shape (k,), positions in ``ids`` where bars start, passage after passage.
        bar_notes: shape (k,), notes in each bar.
        first_bar: shape (m + 1,), each passage's first entry in ``bar_starts``.
        header_starts: shape (m + 1,), each passage's first position in ``ids``.
        is_end: shape (m,), whether the piece ends with the passage.
        source: shape (m,), index into ``sources``.
        work: shape (m,), index of the work.
    """

    ids: NDArray[np.uint16]
    bar_starts: NDArray[np.int64]
    bar_notes: NDArray[np.int32]
    first_bar: NDArray[np.int64]
    header_starts: NDArray[np.int64]
    is_end: NDArray[np.bool_]
    source: NDArray[np.int32]
    work: NDArray[np.int32]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.is_end)

    def save(self, path: Path) -> None:
        """Write as .npz (no pickle)."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sources"}
        np.savez(path, sources=np.array(self.sources), **arrays)

    @classmethod
    def load(cls, path: Path) -> TokenStore:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as saved:
            fields = {name: saved[name] for name in cls.__dataclass_fields__ if name != "sources"}
            return cls(sources=tuple(saved["sources"].tolist()), **fields)

    def fingerprint(self) -> str:
        """SHA-256 of the ids, for the run's record."""
        return hashlib.sha256(self.ids.tobytes()).hexdigest()

    def header(self, passage: int) -> NDArray[np.uint16]:
        """Ids of the passage's header."""
        return self.ids[self.header_starts[passage] : self.bar_starts[self.first_bar[passage]]]

    def from_bar(self, passage: int, bar: int, n_tokens: int) -> NDArray[np.uint16]:
        """``<bos>``, header, bars from ``bar`` of the passage on, ``<eos>`` at a piece's end; cut to ``n_tokens``."""
        start = int(self.bar_starts[self.first_bar[passage] + bar])
        stop = int(self.header_starts[passage + 1])
        parts = [np.array([BOS], np.uint16), self.header(passage), self.ids[start : min(stop, start + n_tokens)]]
        if self.is_end[passage]:
            parts.append(np.array([EOS], np.uint16))
        return np.concatenate(parts)[:n_tokens]


def build_store(
    rows: Iterable[tuple[str, dict[str, Any], Any]],
    notation: SimplifiedMidi,
    vocabulary: Vocabulary,
    *,
    seed: int,
    draws: int,
) -> TokenStore:
    """Encode every score ``draws`` times, each with its own transposition and tempo (``draws=0``: once, as it is)."""
    ids: list[NDArray[np.uint16]] = []
    bar_starts: list[int] = []
    bar_notes: list[int] = []
    first_bar, header_starts = [0], [0]
    is_end, source, work = [], [], []
    sources: dict[str, int] = {}
    works: dict[str, int] = {}
    at = 0
    for number, (work_id, record, score) in enumerate(rows):
        label = record["source"] + ("+band" if "drums" in record else "")
        for draw in range(max(draws, 1)):
            varied = augment.draw(rng_for(seed, number, draw, "variation"))(score) if draws else score
            for passage in passages(varied, notation):
                pieces = [vocabulary.tokenize(passage.header)]
                for bar, count in zip(passage.bars, passage.n_notes, strict=True):
                    bar_starts.append(
                        at + sum(map(len, pieces)) if len(pieces) == 1 else bar_starts[-1] + len(pieces[-1])
                    )
                    bar_notes.append(count)
                    pieces.append(vocabulary.tokenize(bar))
                flat = np.array([token for piece in pieces for token in piece], np.uint16)
                ids.append(flat)
                at += len(flat)
                first_bar.append(len(bar_starts))
                header_starts.append(at)
                is_end.append(passage.is_end)
                source.append(sources.setdefault(label, len(sources)))
                work.append(works.setdefault(work_id, len(works)))
    return TokenStore(
        np.concatenate(ids) if ids else np.zeros(0, np.uint16),
        np.array(bar_starts, np.int64),
        np.array(bar_notes, np.int32),
        np.array(first_bar, np.int64),
        np.array(header_starts, np.int64),
        np.array(is_end, bool),
        np.array(source, np.int32),
        np.array(work, np.int32),
        tuple(sources),
    )


class Rows:
    """Training rows, drawn by source weight; row ``n`` is always the same."""

    def __init__(self, store: TokenStore, weights: dict[str, float], seed: int) -> None:
        self.store, self.seed = store, seed
        length = np.diff(store.header_starts).astype(np.float64)
        probability = np.zeros(len(store))
        for index, name in enumerate(store.sources):
            mine = store.source == index
            if mine.any():
                probability[mine] = weights.get(name, weights.get("*", 1.0)) * length[mine] / length[mine].sum()
        self._cumulative = np.cumsum(probability / probability.sum())

    def row(self, number: int, n_tokens: int) -> NDArray[np.int64]:
        """Ids, shape (n_tokens,)."""
        rng = np.random.default_rng([self.seed, number])
        out: list[NDArray[np.uint16]] = []
        room = n_tokens
        while room > 0:
            passage = int(np.searchsorted(self._cumulative, rng.random()).clip(max=len(self.store) - 1))
            n_bars = int(self.store.first_bar[passage + 1] - self.store.first_bar[passage])
            bar = int(rng.integers(n_bars)) if n_bars > 8 and rng.random() < 0.8 else 0
            part = self.store.from_bar(passage, bar, room)
            out.append(part)
            room -= len(part)
        return np.concatenate(out).astype(np.int64)


def held_out_rows(
    store: TokenStore, n_tokens: int, per_work: int, seed: int
) -> list[tuple[int, NDArray[np.int64], int, int]]:
    """Fixed rows for measuring: (work, ids, header length, notes), at most ``per_work`` a work, whole bars only."""
    rng = np.random.default_rng(seed)
    taken: dict[int, int] = {}
    out = []
    for passage in rng.permutation(len(store)):
        work = int(store.work[passage])
        if taken.get(work, 0) >= per_work:
            continue
        taken[work] = taken.get(work, 0) + 1
        low, high = int(store.first_bar[passage]), int(store.first_bar[passage + 1])
        header = store.header(passage)
        ends = np.append(store.bar_starts[low + 1 : high], store.header_starts[passage + 1])
        first = int(rng.integers(high - low)) if high - low > 16 else 0
        begin = int(store.bar_starts[low + first])
        room = n_tokens - 1 - len(header)
        fitting = int(np.searchsorted(ends - begin, room, side="right"))
        if fitting <= first:
            continue
        ids = np.concatenate([[BOS], header, store.ids[begin : ends[fitting - 1]]]).astype(np.int64)
        notes = int(store.bar_notes[low + first : low + fitting].sum())
        if notes:
            out.append((work, ids, 1 + len(header), notes))
    return out


def prepare(corpus: Path, out: Path, notation: SimplifiedMidi, *, seed: int, draws: int, bands_per_piece: int) -> None:
    """Write ``train.npz``, ``validation.npz``, ``test.npz`` and ``tokens.json`` to the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary.of(notation.vocabulary())
    scores = build_scores(corpus, seed, bands_per_piece)
    record: dict[str, Any] = {"notation": notation.options(), "seed": seed, "draws": draws, "splits": {}}
    for split, rows in scores.items():
        store = build_store(rows, notation, vocabulary, seed=seed, draws=draws if split == "train" else 0)
        store.save(out / f"{split}.npz")
        tokens = {
            name: int((np.diff(store.header_starts)[store.source == i]).sum()) for i, name in enumerate(store.sources)
        }
        record["splits"][split] = {
            "pieces": len(rows), "passages": len(store), "tokens": tokens, "notes": int(store.bar_notes.sum()),
            "sha256": store.fingerprint(),
        }  # fmt: skip
    write_atomically(out / "tokens.json", json.dumps(record, indent=1).encode())


def main(arguments: list[str]) -> None:
    """``BASE.npz OUT``: the token stores of the first model's notation."""
    from cadenza.corpus.excerpts import MODEL_NOTATION

    corpus, out = arguments
    prepare(Path(corpus), Path(out), MODEL_NOTATION, seed=0, draws=1, bands_per_piece=1)
    print((Path(out) / "tokens.json").read_text("utf-8"))


__all__ = ["EOS", "PAD", "Rows", "TokenStore", "build_store", "held_out_rows", "prepare"]


if __name__ == "__main__":
    main(sys.argv[1:])
