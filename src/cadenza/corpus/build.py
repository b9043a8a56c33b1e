"""Folders → pieces with splits → scores for training.

Two steps: :func:`build` reads every source once and writes all pieces to one file (minutes); :class:`Corpus` opens
that file (seconds) and hands out, for each split, the pieces as they are and as band arrangements. What it hands
out follows from (file, seed) alone.

This is how the data of the first shipped model was made, and stays for its training script
(:mod:`cadenza.train.tokens`), its benchmarks and its tests. ``cadenza corpus build`` is :mod:`cadenza.corpus.pipeline`.

    python -m cadenza.corpus.build FOLDER OUT.npz
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import FormatError
from cadenza.corpus import band, sources
from cadenza.corpus.split import assign
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.score.model import Score

SPLITS = ("train", "validation", "test")


def build(root: Path | str, out: Path | str) -> list[tuple[str, str]]:
    """Read all sources below ``root``, decide the splits, write ``out``; returns (path, reason) of what was refused.

    Raises:
        FormatError: no source is there, or ``out`` cannot be written.
    """
    rejects: list[tuple[str, str]] = []
    found = list(sources.pieces(Path(root), rejects))
    if not found:
        raise FormatError("a folder with music", "none of " + ", ".join(sources.SOURCES), where=str(root))
    save_pieces(out, assign(found))
    return rejects


class Corpus:
    """The pieces of a file of :func:`build`, by split."""

    def __init__(self, path: Path | str) -> None:
        self.pieces = load_pieces(path)

    def base(self, split: str) -> list[Piece]:
        """The pieces of ``split`` as they are."""
        return [piece for piece in self.pieces if piece.split == split]

    def bands(
        self, split: str, seed: int, per_piece: int = 1, only: Collection[str] | None = None
    ) -> Iterator[tuple[str, dict[str, Any], Score]]:
        """(work_id, record of what was done, Score) of band arrangements, ``per_piece`` of every piece that can
        carry one (or of those whose paths are ``only`` these), drums from Groove's same split. Each draw depends on
        (seed, piece, number) only."""
        base = self.base(split)
        kit = band.drum_kit(base)
        if not kit:
            return
        for piece in base:
            if piece.source not in band.SOURCES or (only is not None and piece.path not in only):
                continue
            score = band.written_out(piece.score)
            if score is None:
                continue
            for number in range(per_piece * band.SOURCES[piece.source]):
                rng = rng_for(seed, piece.path, number)
                made = band.arrange(score, kit, rng)
                if made is not None:
                    record, score = made
                    yield piece.work_id, {"source": piece.source, "path": piece.path} | record, score


def rng_for(seed: int, *names: object) -> np.random.Generator:
    """A generator that depends on the seed and the names, not on what was drawn before."""
    words = np.frombuffer(repr(names).encode(), np.uint8)
    return np.random.default_rng([seed, *words.tolist()])


def build_scores(
    path: Path | str, seed: int, bands_per_piece: int = 1
) -> dict[str, list[tuple[str, dict[str, Any], Score]]]:
    """For each split its (work_id, record, Score): the base pieces (record: source, path, style), then the bands."""
    corpus = Corpus(path)
    out = {}
    for split in SPLITS:
        rows: list[tuple[str, dict[str, Any], Score]] = [
            (p.work_id, {"source": p.source, "path": p.path, "style": p.style}, p.score) for p in corpus.base(split)
        ]
        rows += corpus.bands(split, seed, bands_per_piece)
        out[split] = rows
    return out


def summary(pieces: list[Piece]) -> str:
    """Counts of pieces, works and notes by source and split."""
    rows = Counter((piece.source, piece.split) for piece in pieces)
    lines = []
    for (source, split), count in sorted(rows.items()):
        chosen = [p for p in pieces if (p.source, p.split) == (source, split)]
        works, notes = len({p.work_id for p in chosen}), sum(p.score.n_notes for p in chosen)
        lines.append(f"{source:20} {split:11} {count:6,} pieces {works:6,} works {notes:10,} notes")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """``ROOT OUT``: build, then print what is in OUT and what was refused."""
    root, out = arguments
    start = time.perf_counter()
    rejects = build(root, out)
    pieces = load_pieces(out)
    print(summary(pieces))
    print(f"{len(pieces):,} pieces, {len(rejects)} refused, {time.perf_counter() - start:.0f} s")
    for path, reason in rejects:
        print(f"refused {path}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
