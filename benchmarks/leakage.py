"""How much music the test split shares with the training split: an exhaustive search that knows nothing of the index.

    python benchmarks/leakage.py --data DIR --out FILE.json [--planted 400] [--seed 0]

Every run of :data:`RUN_NOTES` notes of every line of every piece is looked up in every other piece: its 23 intervals
are compared as they are, byte for byte, no hash and nothing of ``corpus/likeness.py`` but the groups under test. Three
splits are searched: the pipeline's (works that share music in one group, the split drawn by group), one drawn by work
name, and one drawn by file. Drums are left out: their keys are no pitches.

**Lines.** Of each pitched track, of each of its voices where there are several, and of all tracks together: the highest
note of each onset, the lowest, the second highest of each onset that has one (inner voices), and all notes in the order
of onset and pitch.

**Commonplace**, and so no evidence, is a run

* with fewer than :data:`MIN_DISTINCT` different intervals (scales, trills, broken chords), or
* with fewer than :data:`MIN_TRIPLES` different triples of intervals in a row (a figure again and again), or
* over fewer than :data:`MIN_ONSETS` onsets (some chords spelled out).

All three look at the run alone, not at how many works have it. What would count under the first alone is printed too.

**Planted copies.** Pieces drawn at random come back under a foreign name: transposed by ±1 … 6 semitones; re-tempoed by
0.7 … 1.4, once in the tempo map and once in the ticks (rounded); an excerpt of at least 16 bars; re-voiced (tracks in
another order, their voices dealt to tracks of their own, two merged, other instruments); and all of it at once. A copy
is found when it has its original's group, and so its split. Copies make any other split leak, so the figures of the
collection as it came, copies aside, are printed too; those are what a random split really costs.

The three rules were settled on this collection, by how large the largest group became; the index and this search share
them, and nothing else. A run that they let pass is passed over by both: the last table counts what only the first rule
lets pass.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import likeness, sources
from cadenza.corpus.split import split_of
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.score.edit import merge_tracks, select_bars, stretch_tempo, transpose
from cadenza.score.model import Score, Track
from cadenza.score.repeats import unfold
from cadenza.score.time import bar_table

RUN_NOTES = 24
MIN_DISTINCT = 6
MIN_TRIPLES = 12
MIN_ONSETS = 12
EXCERPT_BARS = 16
TELLING, REPEATING = 1, 2
KINDS = ("highest", "lowest", "second highest", "all notes")


# ── the search ───────────────────────────────────────────────────────────────────────────────────────────


def lines(score: Score) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
    """(kind, pitches in order, onsets) of every line of the pitched tracks."""
    pitched = [track.notes for track in score.tracks if not track.is_drums and len(track)]
    parts = list(pitched)
    for notes in pitched:
        voices = np.unique(notes["voice"])
        parts += [notes[notes["voice"] == voice] for voice in voices] if len(voices) > 1 else []
    if len(pitched) > 1:
        parts.append(np.concatenate(pitched))
    for notes in parts:
        pairs = sorted(zip(notes["onset_ticks"].tolist(), notes["pitch"].tolist(), strict=True))
        chords: dict[int, list[int]] = {}
        for onset, pitch in pairs:
            chords.setdefault(onset, []).append(pitch)
        picked = (
            [(onset, chord[-1]) for onset, chord in chords.items()],
            [(onset, chord[0]) for onset, chord in chords.items()],
            [(onset, chord[-2]) for onset, chord in chords.items() if len(chord) > 1],
            pairs,
        )
        for kind, line in zip(KINDS, picked, strict=True):
            table = np.array(line, np.int64).reshape(-1, 2)
            yield kind, table[:, 1], table[:, 0]


def runs_of(pitch: NDArray[np.int64], onset: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The runs with enough different intervals, shape (runs, 24) bytes: 23 intervals, and what kind of run it is:
    :data:`TELLING`, or :data:`REPEATING` where the second or third rule makes it commonplace."""
    if len(pitch) < RUN_NOTES:
        return np.zeros((0, RUN_NOTES), np.uint8)
    window = np.lib.stride_tricks.sliding_window_view
    interval = window((np.diff(pitch) + 128).astype(np.uint8), RUN_NOTES - 1)  # −127 … 127
    interval, begun = interval[various := _different(interval) >= MIN_DISTINCT], window(onset, RUN_NOTES)[various]
    wide = interval.astype(np.int64)
    triples = (wide[:, 2:] * 256 + wide[:, 1:-1]) * 256 + wide[:, :-2]
    telling = (_different(triples) >= MIN_TRIPLES) & (_different(begun) >= MIN_ONSETS)
    return np.concatenate([interval, np.where(telling, TELLING, REPEATING)[:, None].astype(np.uint8)], axis=1)


def _different(table: NDArray[Any]) -> NDArray[np.int64]:
    """Different values in each row."""
    ordered = np.sort(table, axis=1)
    return 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)


@dataclass(frozen=True)
class Index:
    """Every different run of every piece, numbered.

    Args:
        run: shape (entries,), the run's number; one entry for each run, kind of line and piece.
        piece: the piece that has it, ``kind`` the kind of line, ``telling`` whether it is more than commonplace.
        n_runs: different runs.
    """

    run: NDArray[np.int64]
    piece: NDArray[np.int64]
    kind: NDArray[np.int8]
    telling: NDArray[np.bool_]
    n_runs: int


def index(pieces: Sequence[Piece]) -> Index:
    """All runs with enough different intervals, compared byte for byte."""
    rows, owners, kinds = [], [], []
    for number, piece in enumerate(pieces):
        own: list[list[NDArray[np.uint8]]] = [[np.zeros((0, RUN_NOTES), np.uint8)] for _ in KINDS]
        for kind, pitch, onset in lines(piece.score):
            own[KINDS.index(kind)].append(runs_of(pitch, onset))
        for place, listed in enumerate(own):
            found = np.unique(np.concatenate(listed).view(f"S{RUN_NOTES}").ravel())
            rows.append(found)
            owners.append(np.full(len(found), number, np.int64))
            kinds.append(np.full(len(found), place, np.int8))
    table = np.concatenate(rows).view(np.uint8).reshape(-1, RUN_NOTES)
    telling = table[:, -1] == TELLING
    table[:, -1] = 0
    words = table.view(np.uint64)
    order = np.lexsort(words.T)
    changes = (words[order][1:] != words[order][:-1]).any(axis=1)
    run = np.empty(len(words), np.int64)
    run[order] = np.concatenate([[0], np.cumsum(changes)])
    return Index(run, np.concatenate(owners), np.concatenate(kinds), telling, int(changes.sum()) + 1)


def leakage(
    found: Index, pieces: Sequence[Piece], splits: Sequence[str], commonplace: bool = False, first: int | None = None
) -> dict[str, Any]:
    """What training and held-out pieces share beyond the commonplace (or with runs that repeat a figure), among all
    pieces or the ``first`` so many; drums alone count in no figure."""
    training = np.array([split == "train" for split in splits])
    pitched = np.array([any(len(t) and not t.is_drums for t in piece.score.tracks) for piece in pieces])
    pitched[len(pieces) if first is None else first :] = False
    counted = (found.telling | commonplace) & pitched[found.piece]
    trains = training[found.piece]
    leaks = np.bincount(found.run[trains & counted], minlength=found.n_runs) > 0
    leaks &= np.bincount(found.run[~trains & counted], minlength=found.n_runs) > 0
    entries = np.flatnonzero(leaks[found.run] & counted)
    order = entries[np.argsort(found.run[entries], kind="stable")]
    pairs: Counter[tuple[int, int]] = Counter()
    for block in np.split(order, np.flatnonzero(np.diff(found.run[order])) + 1) if len(order) else []:
        owners = np.unique(found.piece[block])
        pairs.update((int(t), int(h)) for t in owners[training[owners]] for h in owners[~training[owners]])
    return {
        "train_pieces": int((training & pitched).sum()),
        "held_out_pieces": int((~training & pitched).sum()),
        "held_out_pieces_that_leak": len({h for _, h in pairs}),
        "pairs": len(pairs),
        "runs": int(leaks.sum()),
        "runs_by_line": {
            name: len(np.unique(found.run[entries[found.kind[entries] == at]])) for at, name in enumerate(KINDS)
        },
        "longest_shared_notes": max((_longest(pieces[t], pieces[h]) for (t, h), _ in pairs.most_common(3)), default=0),
        "most": [[pieces[t].path, pieces[h].path, n] for (t, h), n in pairs.most_common(3)],
    }


def _longest(one: Piece, other: Piece) -> int:
    """Notes of the longest stretch of shared runs in a line of ``one``, about: commonplace runs in it are skipped."""
    best = 0
    theirs = {run.tobytes()[:-1] for _, pitch, onset in lines(other.score) for run in runs_of(pitch, onset)}
    for _, pitch, onset in lines(one.score):
        length = 0
        for run in runs_of(pitch, onset):
            length = length + 1 if run.tobytes()[:-1] in theirs else 0
            best = max(best, length and length + RUN_NOTES - 1)
    return best


# ── planted copies ───────────────────────────────────────────────────────────────────────────────────────


def _transposed(score: Score, rng: np.random.Generator) -> Score:
    pitches = np.concatenate([t.notes["pitch"] for t in score.tracks if not t.is_drums])
    steps = [
        s for s in (-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6) if pitches.min() + s >= 0 and pitches.max() + s < 128
    ]
    return transpose(int(rng.choice(steps)))(score)


def _tempo(score: Score, rng: np.random.Generator) -> Score:
    return stretch_tempo(float(rng.uniform(0.7, 1.4)))(score)


def _stretched(score: Score, rng: np.random.Generator) -> Score:
    """All times in ticks multiplied, and rounded; the written note values would not fit and go."""
    factor = float(rng.uniform(0.7, 1.4))

    def stretch(track: Track) -> Track:
        notes = track.notes.copy()
        notes["onset_ticks"] = np.rint(notes["onset_ticks"] * factor)
        notes["duration_ticks"] = np.maximum(1, np.rint(notes["duration_ticks"] * factor))
        return Track(track.name, track.program, track.is_drums, track.tuning, track.capo_fret, notes)

    return Score(tuple(stretch(track) for track in score.tracks), score.ticks_per_quarter)


def _excerpt(score: Score, rng: np.random.Generator) -> Score:
    n_bars = len(bar_table(score))
    length = int(rng.integers(EXCERPT_BARS, max(EXCERPT_BARS + 1, n_bars)))
    first = int(rng.integers(0, n_bars - length + 1))
    cut = select_bars(first, first + length)(score)
    return cut.with_tracks(track for track in cut.tracks if len(track))


def _revoiced(score: Score, rng: np.random.Generator) -> Score:
    """Tracks shuffled, voices of one track dealt to several, two tracks merged, other instruments."""
    dealt: list[Track] = []
    for track in score.tracks:
        voices = np.unique(track.notes["voice"])
        if len(voices) > 1 and not track.is_drums and rng.random() < 0.5:
            dealt += [track.keep(track.notes["voice"] == voice) for voice in voices]
        else:
            dealt.append(track)
    order = rng.permutation(len(dealt))
    tracks = [dealt[at] for at in order]
    tracks = [t if t.is_drums else replace(t, program=int(rng.integers(0, 80))) for t in tracks]
    pitched = [at for at, track in enumerate(tracks) if not track.is_drums]
    if len(pitched) > 1 and rng.random() < 0.5:
        pair = pitched[:2]
        merged = merge_tracks("", int(rng.integers(0, 80)))(score.with_tracks(tracks[at] for at in pair)).tracks[0]
        tracks = [merged, *(track for at, track in enumerate(tracks) if at not in pair)]
    return score.with_tracks(tracks)


def _everything(score: Score, rng: np.random.Generator) -> Score:
    return _stretched(_revoiced(_transposed(_excerpt(score, rng), rng), rng), rng)


COPIES: dict[str, Callable[[Score, np.random.Generator], Score]] = {
    "transposed": _transposed,
    "re-tempoed": _tempo,
    "stretched": _stretched,
    "excerpted": _excerpt,
    "re-voiced": _revoiced,
    "all at once": _everything,
}


def plant(pieces: Sequence[Piece], n: int, seed: int) -> list[tuple[str, int, Piece]]:
    """(kind, place of the original, copy) of ``n`` copies of random pieces of at least 24 bars, each kind in turn."""
    rng = np.random.default_rng(seed)
    out: list[tuple[str, int, Piece]] = []
    kinds = list(COPIES)
    for at in rng.permutation(len(pieces)):
        piece = pieces[at]
        pitched = [track for track in piece.score.tracks if not track.is_drums]
        if not pitched or piece.split or len(bar_table(piece.score)) < EXCERPT_BARS + 8:
            continue
        kind = kinds[len(out) % len(kinds)]
        name = f"planted/{len(out)}"
        copy = replace(piece.with_score(COPIES[kind](piece.score, rng)), work_id=name, path=f"{name} of {piece.path}")
        if copy.score.n_notes:
            out.append((kind, int(at), copy))
        if len(out) == n:
            break
    return out


# ── splits ───────────────────────────────────────────────────────────────────────────────────────────────


def grouped(pieces: Sequence[Piece]) -> dict[str, str]:
    """work → group, as the pipeline decides."""
    prints = [likeness.fingerprint(piece.score) for piece in pieces]
    return likeness.groups([piece.work_id for piece in pieces], [r for r, _ in prints], [f for _, f in prints])


def group_sizes(groups: dict[str, str]) -> dict[str, Any]:
    """How large the groups are, in works."""
    sizes = Counter(groups.values())
    edges = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 10**9))
    table = {f"{a}–{b}" if b < 10**9 else f"over {a - 1}": (a, b) for a, b in edges}
    return {
        "works": len(groups),
        "groups": len(sizes),
        "by_size": {name: sum(a <= n <= b for n in sizes.values()) for name, (a, b) in table.items()},
        "largest": [[name, n] for name, n in sizes.most_common(5)],
    }


def read(data: Path, cache: Path | None, limit: int) -> list[Piece]:
    """The clean pieces below ``data``, repeats written out, without exact duplicates."""
    if cache is not None and cache.exists():
        found = load_pieces(cache)
    else:
        found = []
        for recipe in sources.recipes(data):
            try:
                piece = recipe.piece()
                found.append(piece.with_score(unfold().apply(piece.score)))
            except CadenzaError:
                continue  # what cannot be read is the build's to report
        if cache is not None:
            save_pieces(cache, found)
    seen: set[str] = set()
    unique = []
    for piece in found:
        digest = sources.content_hash(piece.score)
        if digest not in seen:
            seen.add(digest)
            unique.append(piece)
    if limit:
        unique = [unique[at] for at in sorted(np.random.default_rng(5).permutation(len(unique))[:limit])]
    return unique


def measure(pieces: list[Piece], n_planted: int, seed: int) -> dict[str, Any]:
    """Leakage of the three splits, with planted copies among the pieces; and which copies were found."""
    copies = plant(pieces, n_planted, seed)
    everything = [*pieces, *(copy for _, _, copy in copies)]
    start = time.process_time()
    groups = grouped(everything)
    grouping_seconds = time.process_time() - start
    tally: dict[str, list[int]] = {kind: [0, 0] for kind in COPIES}
    missed = []
    for kind, at, copy in copies:
        same = groups[copy.work_id] == groups[pieces[at].work_id]
        tally[kind][0] += same
        tally[kind][1] += 1
        if not same:
            missed.append([kind, copy.path, copy.score.n_notes])
    start = time.process_time()
    found = index(everything)
    rng = np.random.default_rng(seed)
    splits = {
        "ours, by group": [piece.split or split_of(groups[piece.work_id]) for piece in everything],
        "by work name": [piece.split or split_of(piece.work_id) for piece in everything],
        "random, by file": rng.choice(["train", "validation", "test"], len(everything), p=[0.9, 0.05, 0.05]).tolist(),
    }
    result = {
        "pieces": len(pieces),
        "notes": sum(piece.score.n_notes for piece in pieces),
        "planted": {kind: {"found": good, "of": of} for kind, (good, of) in tally.items()},
        "planted_missed": missed,
        "groups": group_sizes(grouped_without(groups, copies)),
        "runs_compared": len(found.run),
        "different_runs": found.n_runs,
        "leakage": {name: leakage(found, everything, split) for name, split in splits.items()},
        "leakage_without_planted_copies": {
            name: leakage(found, everything, split, first=len(pieces)) for name, split in splits.items()
        },
        "leakage_without_planted_copies_with_repeated_figures_and_chords": {
            name: leakage(found, everything, split, True, len(pieces)) for name, split in splits.items()
        },
        "grouping_cpu_seconds": round(grouping_seconds, 1),
        "search_cpu_seconds": round(time.process_time() - start, 1),
    }
    return result


def grouped_without(groups: dict[str, str], copies: list[tuple[str, int, Piece]]) -> dict[str, str]:
    """The groups of the works that are not planted."""
    planted = {copy.work_id for _, _, copy in copies}
    return {work: group for work, group in groups.items() if work not in planted}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--planted", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="only so many pieces, drawn at random; 0 = all")
    parser.add_argument("--cache", type=Path, help="keep what was read in this .npz")
    options = parser.parse_args()
    pieces = read(options.data, options.cache, options.limit)
    result = measure(pieces, options.planted, options.seed) | {"seed": options.seed, "versions": versions()}
    write_atomically(options.out, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    print(f"{result['pieces']:,} pieces, {result['notes']:,} notes; {result['different_runs']:,} different runs")
    print("groups:", result["groups"])
    print("planted copies found:", {k: f"{v['found']} of {v['of']}" for k, v in result["planted"].items()})
    print("missed:", result["planted_missed"])
    for name in (name for name in result if name.startswith("leakage")):
        print(name.replace("_", " "))
        for split, found in result[name].items():
            shown = ("held_out_pieces", "held_out_pieces_that_leak", "pairs", "runs", "longest_shared_notes")
            print(f"  {split:16}", ", ".join(f"{key.replace('_', ' ')} {found[key]:,}" for key in shown))
    print({key: result[key] for key in ("grouping_cpu_seconds", "search_cpu_seconds")})


if __name__ == "__main__":
    main()
