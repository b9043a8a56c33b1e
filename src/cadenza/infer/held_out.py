"""Held-out music to be continued: the same seeds for every model.

Seeds are drawn from the held-out works of a corpus, one passage a work before any work serves twice, by rules that
know no model: whole bars of one metre, notes in the given bars and in those that follow. So two models, notations or
decoders meet the same music, and what a model cannot read counts against it.

A corpus is a file of :mod:`cadenza.corpus.build`, a folder of ``cadenza corpus build``, or any folder of music (then
all of it is held out, and it is the caller's word that no model has seen it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from cadenza import formats
from cadenza.base.errors import CadenzaError, ConfigError, RangeError
from cadenza.corpus.build import Corpus, rng_for
from cadenza.corpus.open import BuiltCorpus, texts_of
from cadenza.score.edit import drop_doubled, select_bars
from cadenza.score.model import Score
from cadenza.score.time import bar_table, bar_ticks

T = TypeVar("T")
MIN_NOTES_A_BAR = 1.0  # of the seed and of what follows, in the mean: nothing is learned from continuing silence
MAX_TURNS = 50  # passages of one work


@dataclass(frozen=True)
class HeldOut:
    """A held-out piece.

    Args:
        name: file, and what more tells it apart.
        work: pieces of one work share it.
        source: the collection.
    """

    name: str
    work: str
    source: str
    score: Score


@dataclass(frozen=True)
class Seed:
    """A passage to continue.

    Args:
        name: the piece and its first bar.
        text: the passage and what follows it in the same metre, from time 0: what likelihood is measured on.
        n_given, n_bars: bars that are given, and bars to be written.
    """

    name: str
    work: str
    source: str
    text: Score
    n_given: int
    n_bars: int

    @property
    def given(self) -> Score:
        """The bars that a model reads."""
        return select_bars(0, self.n_given).apply(self.text)

    @property
    def human(self) -> Score:
        """The bars that follow in the piece, from time 0."""
        return select_bars(self.n_given, self.n_given + self.n_bars).apply(self.text)


@dataclass(frozen=True)
class Music:
    """A corpus as evaluation sees it.

    Args:
        fingerprint: SHA-256 of what it holds.
        has_splits: it knows training from test pieces.
        find: called with a split, a number and whether arrangements count: the pieces in a fixed order, or so many.
    """

    fingerprint: str
    has_splits: bool
    find: Callable[[str, int | None, bool], Iterator[HeldOut]]

    def pieces(self, split: str, *, bands: bool = True) -> list[HeldOut]:
        """All pieces of a split; with the band arrangements of a file of pieces, or without."""
        return list(self.find(split, None, bands))

    def some(self, split: str, n: int, *, bands: bool = True) -> list[HeldOut]:
        """About ``n`` pieces of a split, always the same (and their arrangements)."""
        return list(self.find(split, n, bands))


def open_music(path: Path | str) -> Music:
    """The corpus at ``path``.

    Raises:
        FormatError: nothing there can be read as a corpus.
        ConfigError: a folder without music.
    """
    path = Path(path)
    if path.is_file():
        corpus = Corpus(path)
        return Music(_hash([path.read_bytes()]), True, lambda split, n, bands: _pieces(corpus, split, bands, n))
    if (path / "manifest.json").is_file() or (path / "work").is_dir():
        built = BuiltCorpus.open(path)
        return Music(str(built.manifest["fingerprint"]), True, lambda split, n, _: _rows(built, split, n))
    suffixes = set(formats.suffixes("read"))
    found = sorted(p for p in path.rglob("*") if p.is_file() and formats.is_music(p, suffixes)) if path.is_dir() else []
    if not found:
        raise ConfigError("a corpus, or a folder of music", "none there", where=str(path))
    parts = [part for p in found for part in (str(p.relative_to(path)).encode(), p.read_bytes())]
    return Music(_hash(parts), False, lambda split, n, _: _some(_files(path, found), n))


def _hash(parts: Sequence[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def _some(pieces: Iterable[T], n: int | None) -> Iterator[T]:
    found = list(pieces)
    if n is None or len(found) <= n:
        yield from found
    else:
        yield from (found[i] for i in sorted(np.random.default_rng(0).permutation(len(found))[:n].tolist()))


def _pieces(corpus: Corpus, split: str, bands: bool, n: int | None) -> Iterator[HeldOut]:
    chosen = list(_some(corpus.base(split), n))
    for piece in chosen:
        yield HeldOut(piece.path, piece.work_id, piece.source, piece.score)
    if bands:
        for work, record, score in corpus.bands(split, 0, only={piece.path for piece in chosen}):
            yield HeldOut(f"{record['path']} as a band", f"{work} as a band", f"{record['source']}+band", score)


def _rows(built: BuiltCorpus, split: str, n: int | None) -> Iterator[HeldOut]:
    """The passages of ``continue`` rows, as they came (rows of an augmented copy are left out)."""
    notation, style = built.notation, built.manifest["config"]["style"]
    for row in _some((r for r in built.rows(split) if r["task"] == "continue" and r["copy"] == 0), n):
        name = f"{row['path']} from bar {row['first_bar'] + 1}"
        yield HeldOut(name, row["group"], row["source"], notation.decode(texts_of(row, style)[-1]))


def _files(root: Path, found: Sequence[Path]) -> Iterator[HeldOut]:
    """Files that cannot be read are left out: a folder of a musician's own may hold anything."""
    for path in found:
        try:
            scores = formats.read_all(path)
        except CadenzaError:
            continue
        for number, score in scores:
            name = str(path.relative_to(root)) + (f"#{number}" if len(scores) > 1 else "")
            yield HeldOut(name, name, root.name, score)


def draw(
    pieces: Sequence[HeldOut], n: int, *, n_given: int = 8, n_bars: int = 8, text_bars: int = 64, random_seed: int = 0
) -> list[Seed]:
    """``n`` seeds, or as many as there are.

    Args:
        text_bars: at most so many bars from the seed's first on are kept for likelihood.
        random_seed: decides the order of works and the bars; each seed's bars depend on it and the piece's name only.

    Raises:
        RangeError: no piece has a passage of that length.
    """
    by_work: dict[str, list[HeldOut]] = {}
    for piece in pieces:
        by_work.setdefault(piece.work, []).append(piece)
    works = sorted(by_work)
    np.random.default_rng(random_seed).shuffle(works)
    runs: dict[str, list[tuple[int, int]]] = {}
    taken: set[str] = set()
    out: list[Seed] = []
    for turn in range(MAX_TURNS):
        before = len(out)
        for work in works:
            if len(out) == n:
                return out
            piece = by_work[work][turn % len(by_work[work])]
            if piece.name not in runs:
                runs[piece.name] = runs_of(piece.score, n_given + n_bars)
            seed = _seed(piece, runs[piece.name], turn, n_given, n_bars, text_bars, random_seed)
            if seed is not None and seed.name not in taken:
                taken.add(seed.name)
                out.append(seed)
        if len(out) == before and turn >= max(len(found) for found in by_work.values()):
            break
    if not out:
        raise RangeError(
            f"pieces with {n_given + n_bars} bars of one metre and a note a bar", f"none of {len(pieces)}",
            hint="Ask for fewer bars.",
        )  # fmt: skip
    return out


def _seed(
    piece: HeldOut, runs: Sequence[tuple[int, int]], turn: int, n_given: int, n_bars: int, text_bars: int, seed: int
) -> Seed | None:
    starts = [first for begin, stop in runs for first in range(begin, stop - n_given - n_bars + 1)]
    if not starts:
        return None
    first = int(rng_for(seed, "seed", piece.name, turn).choice(starts))
    stop = next(stop for begin, stop in runs if begin <= first < stop)
    plain = replace(piece.score, bars=())
    text = drop_doubled()(select_bars(first, min(stop, first + max(text_bars, n_given + n_bars)))(plain))
    found = Seed(f"{piece.name} bar {first + 1}", piece.work, piece.source, text, n_given, n_bars)
    dense = found.given.n_notes >= MIN_NOTES_A_BAR * n_given and found.human.n_notes >= MIN_NOTES_A_BAR * n_bars
    last = select_bars(n_given - 1, n_given).apply(text)
    return found if dense and last.n_notes else None


def runs_of(score: Score, least: int) -> list[tuple[int, int]]:
    """(first bar, stop) of the runs of at least ``least`` full bars in one metre of up to sixteen beats."""
    table = bar_table(replace(score, bars=()))
    signature = [(m.numerator, m.denominator) for m in table.metres]
    full = [
        end - start == bar_ticks(metre, score.ticks_per_quarter)
        and metre.numerator <= 16
        and 2 <= metre.denominator <= 16
        and 4 * metre.numerator <= 8 * metre.denominator
        for start, end, metre in zip(table.starts_ticks, table.ends_ticks, table.metres, strict=True)
    ]
    out, bar = [], 0
    while bar < len(table):
        stop = bar
        while stop < len(table) and full[stop] and signature[stop] == signature[bar]:
            stop += 1
        if stop - bar >= least:
            out.append((bar, stop))
        bar = max(stop, bar + 1)
    return out


def fingerprint(seeds: Sequence[Seed]) -> str:
    """SHA-256 of the seeds' music and of which bars are given: equal where two evaluations asked the same."""
    parts: list[bytes] = []
    for seed in seeds:
        parts.append(f"{seed.n_given} {seed.n_bars} {seed.text.ticks_per_quarter} {seed.text.length_ticks}".encode())
        for track in seed.text.tracks:
            parts.append(f"{track.program} {track.is_drums}".encode())
            parts += [
                track.notes[name].astype("<i8").tobytes()
                for name in ("onset_ticks", "duration_ticks", "pitch", "velocity")
            ]
    return _hash(parts)
