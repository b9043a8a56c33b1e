"""The excerpts of the notation table as every cell tells them: made chunk by chunk, by several processes, and kept.

An excerpt that is longer than the context in some cell is cut to its first bars; where that does not help, or a cell
does not give the same notes back, no cell has it. The latter is looked at for every held-out excerpt and for one in
ten of training.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import notation_music as music
from benchmarks.notation_cells import Cell, Tokens, cells
from benchmarks.notation_music import Excerpt
from cadenza.base.errors import CadenzaError
from cadenza.corpus.engines import Processes
from cadenza.notation.grammar import Field
from cadenza.score import edit
from cadenza.score.model import Score

MOST_TOKENS = 640
CUT_BARS = 4
TRAINING = ("train",)
CHECKED = 10  # one in so many training excerpts
MOST_CHUNKS = 96  # of the corpus that are learned from; later ones hold more songs of the same collection


@dataclass(frozen=True)
class Texts:
    """Excerpts and each cell's tokens of them, in one order.

    Args:
        tokens: cell's name → texts.
        fingerprint: SHA-256 of the tokens.
    """

    excerpts: list[Excerpt]
    tokens: dict[str, list[Tokens]]
    fingerprint: str


def told(excerpt: Excerpt, every: Sequence[Cell], check: bool) -> dict[str, Tokens] | None:
    """Its tokens in every cell; None where one is too long or, if that is to be checked, gives back other notes."""
    out: dict[str, Tokens] = {}
    known: dict[str, list[Field]] = {}
    for cell in sorted(every, key=lambda cell: cell.family != "ABC" or cell.streams != "split"):  # the longest first
        place = repr((cell.notation, cell.loud))
        if place not in known:
            known[place] = cell.fields(excerpt)
        out[cell.name] = cell.tokens(known[place])
        if len(out[cell.name]) + 2 > MOST_TOKENS:
            return None
        if check and not cell.seed and not same_notes(cell.read(out[cell.name]), cell.score(excerpt)):
            return None
    return out


def same_notes(read: Score, meant: Score) -> bool:
    """Equal in all that the cells with velocities tell."""
    full = replace(music.SIMPLIFIED, velocity="keep").projection
    return edit.project(read, full) == edit.project(meant, full)


def fitted(excerpt: Excerpt, every: Sequence[Cell], check: bool) -> tuple[Excerpt, dict[str, Tokens]] | None:
    """The excerpt, or its first bars, with its tokens; None where neither can be told in every cell."""
    cut = edit.select_bars(0, CUT_BARS)
    for whole in (True, False):
        # What a cut note does to other notations' notes is not known beforehand: cut excerpts are always checked.
        one = excerpt if whole else replace(excerpt, score=cut(excerpt.score), loud=cut(excerpt.loud))
        if one.score.n_notes < music.LEAST_NOTES:
            return None
        try:
            found = told(one, every, check or not whole)
        except CadenzaError:
            found = None
        if found is not None:
            return one, found
    return None


def tell_chunk(work: Path, index: int, splits: Sequence[str], base: Path) -> None:
    """The excerpts and tokens of one chunk, to ``base``.npz and, last, ``base``.json."""
    every = cells()
    kept: list[Excerpt] = []
    tokens: list[dict[str, Tokens]] = []
    for number, excerpt in enumerate(music.excerpts(work, index, splits)):
        found = fitted(excerpt, every, check=splits != TRAINING or number % CHECKED == 0)
        if found is not None:
            kept.append(found[0])
            tokens.append(found[1])
    music.save(base.with_suffix(".npz"), kept)
    music.write_json(base.with_suffix(".json"), {cell.name: [one[cell.name] for one in tokens] for cell in every})


def _chunks(corpus: Path, out: Path, splits: Sequence[str], workers: int) -> Iterator[tuple[list[Excerpt], Path]]:
    """Every chunk's excerpts and the file of their tokens, in order."""
    work, folder = corpus / "work", out / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = music.chunks(work, splits)[: MOST_CHUNKS if splits == TRAINING else None]
    bases = {index: folder / f"{splits[0]}-{index:05d}" for index in chosen}
    missing = [(work, at, splits, base) for at, base in bases.items() if not base.with_suffix(".json").is_file()]
    for done, _ in enumerate(Processes(workers).map(tell_chunk, missing), 1):
        print(f"{splits[0]}: {done}/{len(missing)} chunks told", flush=True)
    for base in bases.values():
        yield music.load(base.with_suffix(".npz")), base.with_suffix(".json")


def _gathered(found: Sequence[tuple[Excerpt, Path, int]]) -> Texts:
    """The tokens of excerpts that are known by file and place in it."""
    tokens: dict[str, list[Tokens]] = {cell.name: [] for cell in cells()}
    here, read = Path(), {}
    for _, path, place in found:
        if path != here:
            here, read = path, json.loads(path.read_bytes())
        for name, texts in tokens.items():
            texts.append([sys.intern(token) for token in read[name][place]])  # of millions a few hundred differ
    digest = hashlib.sha256(json.dumps(tokens, sort_keys=True).encode()).hexdigest()
    return Texts([excerpt for excerpt, _, _ in found], tokens, digest)


def training(corpus: Path, out: Path, workers: int) -> Texts:
    """All training excerpts."""
    return _gathered([
        (excerpt, path, place)
        for excerpts, path in _chunks(corpus, out, TRAINING, workers)
        for place, excerpt in enumerate(excerpts)
    ])  # fmt: skip


def held_out(corpus: Path, out: Path, workers: int) -> Texts:
    """One excerpt of each held-out group of works (validation and test: nothing is chosen on either), of drums at most
    so many in all, in an order that mixes sources."""
    first: dict[str, tuple[Excerpt, Path, int]] = {}
    for excerpts, path in _chunks(corpus, out, ("validation", "test"), workers):
        for place, excerpt in enumerate(excerpts):
            first.setdefault(excerpt.group, (excerpt, path, place))
    rng = np.random.default_rng(0)
    drums = [group for group, (excerpt, _, _) in first.items() if excerpt.source == music.DRUMS]
    for at in rng.permutation(len(drums))[music.MOST_HELD_DRUMS :].tolist():
        del first[drums[at]]
    kept = _gathered(list(first.values()))
    order = rng.permutation(len(kept.excerpts)).tolist()
    tokens = {name: [texts[at] for at in order] for name, texts in kept.tokens.items()}
    return Texts([kept.excerpts[at] for at in order], tokens, kept.fingerprint)
