"""What is copied: from the music that a model learned from, and from the seed that it was given.

**Definitions** (ours; the idea of the longest copied run is that of memorisation studies of language models, Carlini
et al. 2021, and of Yin et al., "Measuring When a Music Generation Algorithm Copies Too Much", 2021).

- A line is the notes of one pitched track by onset and pitch, and the highest notes of each onset where that differs.
  A **run** is a stretch of a line all of whose 8-note passages stand in the index: intervals *and* times between onsets
  alike, so it is found in any key and under any tempo mark, and the same pitches in another rhythm are not a copy.
  Times are rounded to a 12th of a quarter. ``copied_run`` is the longest in notes; 0 where no passage of 8 notes is
  found.
- ``copied_notes`` is the share of notes (of lines of at least 8) that lie in some run.
- ``copied_bars`` is the share of a track's bars with at least 4 notes that the index holds in some key: notes' places
  (to a 12th), and intervals from the lowest. Lengths and velocities do not count.

Each with ``_index`` (the training set's :class:`OriginalityIndex`) and with ``_seed`` (the given bars).

**Direction.** A run's passages may stand in different places of the index, so runs are over-estimated, never under-;
common figures (scales, repeated notes) are found anywhere. The figure alone therefore says nothing: put that of
held-out human music, which shares its figures with the training set too, beside it. Drums never count.

**The index** holds fingerprints of passages, no music: nothing can be read back out of it. A passage that it does not
hold is taken for one with a probability of (entries / buckets) / 65,536, at most 1/65,536 = 0.0015 %; what it
holds is always found. Three bytes or less for a different passage.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError
from cadenza.base.files import write_atomically
from cadenza.metrics.base import Column, Metric
from cadenza.metrics.view import Notes, notes_of, on_grid, sounding_bars
from cadenza.score import edit
from cadenza.score.model import Score

PASSAGE_NOTES = 8
PER_QUARTER = 12
MIN_BAR_NOTES = 4
VERSION = 1
WINDOW_BARS = 8
HUMAN_QUANTILE = 0.95  # of usual_runs: what an index says of itself as ``human_run``
_LONGEST_GAP = 4 * 4 * PER_QUARTER  # longer rests are alike
_WEIGHTS = np.random.default_rng(7).integers(1, 2**63, size=2 * PASSAGE_NOTES, dtype=np.uint64) | np.uint64(1)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each value whose every bit depends on all of its (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@dataclass(frozen=True)
class FingerprintSet:
    """A set of 64-bit hashes, kept as 16 bits each in buckets.

    The high bits of a hash choose its bucket, the next 16 are kept; a bucket's are sorted.

    Args:
        count: fingerprints in each bucket, shape (2^k,).
        kept: fingerprints bucket by bucket, shape (n,).
    """

    count: NDArray[np.uint8]
    kept: NDArray[np.uint16]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64]) -> FingerprintSet:
        """The set of ``hashes``, shape (n,), repetitions allowed."""
        bits = max(4, int(np.ceil(np.log2(max(len(hashes), 1)))))
        short = np.unique(hashes >> np.uint64(64 - bits - 16))
        # The number of buckets follows from the different ones.
        bits = max(4, int(np.ceil(np.log2(max(len(short), 1)))))
        return cls._in_buckets(np.unique(hashes >> np.uint64(64 - bits - 16)), bits)

    def __len__(self) -> int:
        return len(self.kept)

    def with_(self, hashes: NDArray[np.uint64]) -> FingerprintSet:
        """This set and ``hashes``, shape (n,); the number of buckets stays, for only so much of a hash is known."""
        bits = len(self.count).bit_length() - 1
        mine = (np.repeat(np.arange(len(self.count)), self.count).astype(np.uint64) << np.uint64(16)) | self.kept
        short = np.union1d(mine, hashes >> np.uint64(64 - bits - 16))
        return self._in_buckets(short, bits)

    @staticmethod
    def _in_buckets(short: NDArray[np.uint64], bits: int) -> FingerprintSet:
        """The set of sorted, different hashes of ``bits`` + 16 bits."""
        bucket = (short >> np.uint64(16)).astype(np.int64)
        count = np.bincount(bucket, minlength=1 << bits)
        if count.max(initial=0) > 255:
            raise ConfigError("hashes that spread over their buckets", f"{count.max()} in one")
        return FingerprintSet(count.astype(np.uint8), (short & np.uint64(0xFFFF)).astype(np.uint16))

    @property
    def false_positives(self) -> float:
        """The probability that a hash which was not put in is found."""
        return len(self.kept) / len(self.count) / 65_536

    def holds(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each hash is in the set; same shape."""
        starts = self._starts
        bits = len(self.count).bit_length() - 1
        short = hashes >> np.uint64(64 - bits - 16)
        bucket = (short >> np.uint64(16)).astype(np.int64)
        wanted = (short & np.uint64(0xFFFF)).astype(np.uint16)
        out = np.zeros(hashes.shape, bool)
        left = self.count[bucket].astype(np.int64)
        for step in range(int(left.max(initial=0))):
            rows = np.flatnonzero((left > step) & ~out)
            out[rows] = self.kept[starts[bucket[rows]] + step] == wanted[rows]
        return out

    @property
    def _starts(self) -> NDArray[np.int64]:
        known = self.__dict__.get("_known_starts")
        if known is None:
            known = np.cumsum(self.count, dtype=np.int64) - self.count
            object.__setattr__(self, "_known_starts", known)
        return known  # type: ignore[no-any-return]


@dataclass(frozen=True)
class OriginalityIndex:
    """What may have been copied: fingerprints of passages and of bars.

    Args:
        passages, bars: as :func:`passage_hashes` and :func:`bar_hashes` give them.
        about: what is in it ("scores", "notes", and what the builder said), for the reader of a saved index.
    """

    passages: FingerprintSet
    bars: FingerprintSet
    about: dict[str, Any]

    @classmethod
    def of(cls, scores: Iterable[Score], **about: Any) -> OriginalityIndex:
        """The index of ``scores``; they are read one by one and may be a generator."""
        passages, bars, counts = _hashes(scores)
        return cls(FingerprintSet.of(passages), FingerprintSet.of(bars), counts | about)

    def with_(self, scores: Iterable[Score], **about: Any) -> OriginalityIndex:
        """This index and ``scores``; what it said of itself stays, but for what is said anew."""
        passages, bars, counts = _hashes(scores)
        counts = {name: int(self.about.get(name, 0)) + count for name, count in counts.items()}
        return OriginalityIndex(self.passages.with_(passages), self.bars.with_(bars), self.about | counts | about)

    def save(self, path: Path | str) -> None:
        """Write the index to one .npz, without pickle, atomically."""
        head = json.dumps({"version": VERSION, "about": self.about}, ensure_ascii=False).encode()
        arrays: dict[str, Any] = {"head": np.frombuffer(head, np.uint8)}
        for name in ("passages", "bars"):
            held: FingerprintSet = getattr(self, name)
            arrays |= {f"{name}_count": held.count, f"{name}_kept": held.kept}
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        write_atomically(path, out.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> OriginalityIndex:
        """Read an index.

        Raises:
            FormatError: the file is missing or none.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                head = json.loads(archive["head"].tobytes())
                if head.get("version") != VERSION:
                    raise FormatError(f"an index of version {VERSION}", str(head.get("version")), where=str(path))
                sets = [_checked(archive[f"{n}_count"], archive[f"{n}_kept"]) for n in ("passages", "bars")]
        except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
            raise FormatError("an index of originality (.npz)", str(error)[:200], where=str(path)) from None
        return cls(sets[0], sets[1], head["about"])


def _hashes(scores: Iterable[Score]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], dict[str, int]]:
    """Of all ``scores``: passages, bars, and how many scores and notes they are."""
    passages, bars = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    n_scores = n_notes = 0
    for score in scores:
        notes = notes_of(score).pitched
        passages += [np.unique(found) for found, _ in passage_hashes(notes)]
        bars.append(np.unique(bar_hashes(score)))
        n_scores, n_notes = n_scores + 1, n_notes + len(notes)
    return np.concatenate(passages), np.concatenate(bars), {"scores": n_scores, "notes": n_notes}


def usual_runs(scores: Iterable[Score], index: OriginalityIndex) -> list[int]:
    """The longest run of each :data:`WINDOW_BARS` bars of music that is not in the index, in notes: what composers
    share without copying."""
    runs = []
    for score in scores:
        for first in range(0, len(sounding_bars(score)) - WINDOW_BARS + 1, WINDOW_BARS):
            part = edit.select_bars(first, first + WINDOW_BARS).apply(score)
            runs.append(int(copied(part, index).get("run", 0)))
    return runs


def _checked(count: NDArray[Any], kept: NDArray[Any]) -> FingerprintSet:
    power = len(count) >= 16 and len(count) & (len(count) - 1) == 0
    if count.dtype != np.uint8 or kept.dtype != np.uint16 or not power or int(count.sum()) != len(kept):
        raise ValueError("its columns do not fit each other")
    return FingerprintSet(count, kept)


def lines_of(notes: Notes) -> list[NDArray[np.int64]]:
    """The lines of pitched notes, each as onset (12ths of a quarter) and pitch, shape (2, n)."""
    found = []
    ordered = notes.in_lines()
    edges = np.flatnonzero(np.diff(ordered.track, prepend=-1, append=-1))
    onset = on_grid(ordered.onset, PER_QUARTER)
    for first, stop in pairwise(edges.tolist()):
        line = np.stack([onset[first:stop], ordered.pitch[first:stop]])
        line = line[:, np.lexsort([line[1], line[0]])]
        if line.shape[1] < PASSAGE_NOTES:
            continue
        found.append(line)
        top = np.append(np.diff(line[0]) > 0, True)
        if PASSAGE_NOTES <= top.sum() < line.shape[1]:
            found.append(line[:, top])
    return found


def passage_hashes(notes: Notes) -> list[tuple[NDArray[np.uint64], int]]:
    """Of each line the hash of the passage that begins at each note, shape (n − 7,), and its number of notes."""
    found = []
    for line in lines_of(notes):
        steps = np.stack([np.minimum(np.diff(line[0]), _LONGEST_GAP), np.diff(line[1])])
        windows = np.lib.stride_tricks.sliding_window_view(steps, PASSAGE_NOTES - 1, axis=1)
        flat = windows.transpose(1, 0, 2).reshape(-1, 2 * (PASSAGE_NOTES - 1)).astype(np.uint64)
        found.append((mixed((mixed(flat) * _WEIGHTS[: flat.shape[1]]).sum(1, dtype=np.uint64)), line.shape[1]))
    return found


def bar_hashes(score: Score) -> NDArray[np.uint64]:
    """The hash of each track's bar of at least four pitched notes, transposed to its lowest; shape (n,)."""
    bars = sounding_bars(score)
    found = [np.zeros(0, np.uint64)]
    quarter = score.ticks_per_quarter
    for track in score.tracks:
        if track.is_drums or len(track) < MIN_BAR_NOTES:
            continue
        onset = track.notes["onset_ticks"]
        bar = bars.index_of(onset)
        place = on_grid((onset - bars.starts_ticks[bar]) / quarter, PER_QUARTER)
        first = np.flatnonzero(np.diff(bar, prepend=-1))  # notes are sorted by onset
        size = np.diff(first, append=len(bar))
        pitch = track.notes["pitch"].astype(np.int64)
        low = np.repeat(np.minimum.reduceat(pitch, first), size)
        each = mixed(mixed((place * 128 + (pitch - low)).astype(np.uint64) + np.uint64(1)))
        sums = np.add.reduceat(each, first)
        found.append(mixed(sums[size >= MIN_BAR_NOTES]))
    return np.concatenate(found)


def copied(score: Score, index: OriginalityIndex) -> dict[str, float]:
    """``run`` (notes), ``notes`` and ``bars`` (shares) of ``score`` found in ``index``, where defined."""
    longest, n_copied, n_notes = 0, 0, 0
    for hashes, size in passage_hashes(notes_of(score).pitched):
        hit = index.passages.holds(hashes)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], hit, [False]]).astype(np.int8)))
        runs = edges[1::2] - edges[::2] + PASSAGE_NOTES - 1
        longest = max(longest, int(runs.max(initial=0)))
        inside = np.zeros(size + 1, np.int64)
        inside[edges[::2]] += 1
        np.subtract.at(inside, edges[1::2] + PASSAGE_NOTES - 1, 1)
        n_copied += int((np.cumsum(inside)[:size] > 0).sum())
        n_notes += size
    out: dict[str, float] = {}
    if n_notes:
        out |= {"run": float(longest), "notes": n_copied / n_notes}
    bars = bar_hashes(score)
    if len(bars):
        out["bars"] = float(index.bars.holds(bars).mean())
    return out


def compute(*, est: Score, index: OriginalityIndex | None = None, seed: Score | None = None) -> dict[str, float]:
    """The columns for an index, for a seed, or for both.

    Raises:
        ConfigError: neither is given.
    """
    if index is None and seed is None:
        raise ConfigError("an index, a seed, or both", "neither", where="metric originality")
    out: dict[str, float] = {}
    for name, source in (("index", index), ("seed", None if seed is None else OriginalityIndex.of([seed]))):
        if source is not None:
            out |= {f"copied_{what}_{name}": value for what, value in copied(est, source).items()}
    return out


def _columns(name: str, what: str) -> tuple[Column, ...]:
    return (
        Column(
            f"copied_run_{name}", 0, float("inf"), "reference", "notes", f"Longest run of notes that stands in {what}."
        ),
        Column(f"copied_notes_{name}", 0, 1, "reference", "share", f"Notes in passages that stand in {what}."),
        Column(f"copied_bars_{name}", 0, 1, "reference", "share", f"A track's bars that stand in {what}."),
    )


METRIC = Metric(
    name="originality",
    summary="What is copied from the training set or from the seed.",
    source="ours; after Yin et al., Measuring When a Music Generation Algorithm Copies Too Much, 2021",
    needs="index",
    compute=compute,
    columns=(*_columns("index", "the training set"), *_columns("seed", "the seed")),
)
