"""Does a metric measure anything? Every metric before and after controlled damage of held-out human music.

    python -m cadenza.corpus.build FOLDER BASE.npz
    python benchmarks/damage.py --corpus BASE.npz --out FILE.json      measure
    python benchmarks/damage.py --page FILE.json --out docs/damage.md  write the page of a measurement

One excerpt of up to 32 bars of every pitched work of the test split (bars of one length, at least 16). Each damage is
done to all excerpts; for each column of each metric the effect is Cohen's d of the paired differences (mean / standard
deviation over works), its interval the bootstrap over works. A damage counts as **detected** by a column where |d| is
at least 0.5 and its 95 % interval stays on one side of 0.2; with a hundred works and columns that is far beyond chance
(t > 5 for each column).

Three groups: metrics of one piece, with what the piece's own first half makes of its second (continuation, originality
against the seed); metrics against the undamaged piece; and distances of two sets, human works of one half against
those of the other, damaged and not (there the difference with its interval, since a set has one figure). Transposing
the whole piece is a control: whatever sees that does not see damage.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.build import Corpus, rng_for
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.metrics import distribution
from cadenza.metrics.base import METRICS
from cadenza.score import edit
from cadenza.score.model import Score, Track
from cadenza.score.time import bar_table

BARS, MIN_BARS, MIN_NOTES = 32, 16, 60
ALONE = ("pitch", "rhythm", "structure", "repetition")
AGAINST = ("transcription", "score-quality")
N_RESAMPLES = 2000
N_SET_RESAMPLES = 20
DETECTED, ONE_SIDE = 0.5, 0.2
LOOPED_BARS = 2
FRAGMENT_BARS = 2
NOISE_QUARTERS = 0.1
CONTROL = "transposed whole"

Damage = Callable[[Score, np.random.Generator], Score | None]


# ── excerpts ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Excerpt:
    """A work's bars of one length, from tick 0; ``bar`` ticks each."""

    name: str
    source: str
    score: Score
    n_bars: int
    bar: int


def excerpts(corpus: Path, limit: int | None) -> Iterator[Excerpt]:
    """One excerpt of each pitched work of the test split."""
    seen = set()
    for piece in Corpus(corpus).base("test"):
        score = piece.score.with_tracks(t for t in piece.score.tracks if not t.is_drums and len(t))
        if piece.work_id in seen or score.n_notes < MIN_NOTES:
            continue
        table = bar_table(score)
        lengths = table.ends_ticks - table.starts_ticks
        edges = np.flatnonzero(np.diff(lengths, prepend=-1, append=-1))
        first, stop = max(pairwise(edges.tolist()), key=lambda run: run[1] - run[0])
        stop = min(stop, first + BARS)
        stop -= (stop - first) % (2 * LOOPED_BARS)
        if stop - first < MIN_BARS:
            continue
        cut = edit.select_bars(int(first), int(stop))(score)
        cut = cut.with_tracks(_bare(t) for t in cut.tracks if len(t))
        if cut.n_notes < MIN_NOTES:
            continue
        seen.add(piece.work_id)
        yield Excerpt(piece.path, piece.source, cut, int(stop - first), int(lengths[first]))
        if limit and len(seen) == limit:
            return


def _bare(track: Track) -> Track:
    """Notes only: what is written above them would no longer fit."""
    return Track(track.name, track.program, track.is_drums, track.tuning, track.capo_fret, track.notes)


def changed(score: Score, function: Callable[[NDArray[np.void]], NDArray[np.void]]) -> Score:
    """The score with other notes in every track; strings and frets are forgotten; the length stays."""

    def one(track: Track) -> Track:
        notes = function(track.notes.copy())
        notes["string"], notes["fret"], notes["spelling"] = 0, -1, -128
        end = score.length_ticks
        notes = notes[notes["onset_ticks"] < end]
        notes["duration_ticks"] = np.minimum(notes["duration_ticks"], end - notes["onset_ticks"])
        return Track(track.name, track.program, track.is_drums, (), 0, notes)

    return score.with_tracks(one(track) for track in score.tracks)


# ── damages ──────────────────────────────────────────────────────────────────────────────────────────────


def shuffled_bars(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Bars in a random order."""
    to = rng.permutation(excerpt.n_bars)

    def move(notes: NDArray[np.void]) -> NDArray[np.void]:
        bar, place = np.divmod(notes["onset_ticks"], excerpt.bar)
        notes["onset_ticks"] = to[bar] * excerpt.bar + place
        return notes

    return changed(excerpt.score, move)


def random_pitches(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Every pitch drawn evenly from its track's range."""

    def draw(notes: NDArray[np.void]) -> NDArray[np.void]:
        notes["pitch"] = rng.integers(notes["pitch"].min(), notes["pitch"].max() + 1, len(notes))
        return notes

    return changed(excerpt.score, draw)


def timing_noise(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Onsets moved by normal noise with a standard deviation of a tenth of a quarter."""
    scale = NOISE_QUARTERS * excerpt.score.ticks_per_quarter

    def shake(notes: NDArray[np.void]) -> NDArray[np.void]:
        noise = np.rint(rng.normal(0, scale, len(notes))).astype(np.int64)
        notes["onset_ticks"] = np.clip(notes["onset_ticks"] + noise, 0, excerpt.score.length_ticks - 1)
        return notes

    return changed(excerpt.score, shake)


def looped_bars(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Two bars again and again: the first two with notes in them."""
    length = LOOPED_BARS * excerpt.bar
    onsets = np.concatenate([t.notes["onset_ticks"] for t in excerpt.score.tracks])
    group = int(np.argmax(np.bincount(onsets // length) > 1))

    def loop(notes: NDArray[np.void]) -> NDArray[np.void]:
        inside = notes[notes["onset_ticks"] // length == group]
        copies = []
        for number in range(excerpt.n_bars // LOOPED_BARS):
            copy = inside.copy()
            copy["onset_ticks"] += (number - group) * length
            copies.append(copy)
        return np.concatenate(copies)

    return changed(excerpt.score, loop)


def transposed_fragments(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Half of all two-bar fragments transposed by up to a tritone, each its own way."""
    n = -(-excerpt.n_bars // FRAGMENT_BARS)
    by = rng.integers(1, 7, n) * rng.choice([-1, 1], n)
    by[rng.permutation(n)[: n // 2]] = 0

    def shift(notes: NDArray[np.void]) -> NDArray[np.void]:
        fragment = notes["onset_ticks"] // (FRAGMENT_BARS * excerpt.bar)
        notes["pitch"] = np.clip(notes["pitch"] + by[fragment], 0, 127)
        return notes

    return changed(excerpt.score, shift)


def constant_rhythm(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Every track in even notes: its onsets one after another at the nearest of quarter, 8th, 16th, half, whole."""
    quarter = excerpt.score.ticks_per_quarter

    def even(notes: NDArray[np.void]) -> NDArray[np.void]:
        onsets, number = np.unique(notes["onset_ticks"], return_inverse=True)
        mean = excerpt.score.length_ticks / len(onsets) / quarter
        step = int(quarter * min((0.25, 0.5, 1.0, 2.0, 4.0), key=lambda s: abs(np.log(s / mean))))
        notes["onset_ticks"], notes["duration_ticks"] = number * step, step
        return notes

    return changed(excerpt.score, even)


def wrong_octaves(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """Half of all notes an octave higher or lower."""

    def move(notes: NDArray[np.void]) -> NDArray[np.void]:
        by = 12 * rng.choice([-1, 1], len(notes)) * (rng.random(len(notes)) < 0.5)
        pitch = notes["pitch"] + by
        notes["pitch"] = np.where((pitch < 0) | (pitch > 127), notes["pitch"], pitch)
        return notes

    return changed(excerpt.score, move)


def merged_tracks(excerpt: Excerpt, rng: np.random.Generator) -> Score | None:
    """All tracks in one (pieces of two tracks or more)."""
    if len(excerpt.score.tracks) < 2:
        return None
    return edit.merge_tracks(program=excerpt.score.tracks[0].program)(excerpt.score)


def transposed_whole(excerpt: Excerpt, rng: np.random.Generator) -> Score:
    """All notes two semitones lower: no damage, a control."""

    def shift(notes: NDArray[np.void]) -> NDArray[np.void]:
        notes["pitch"] = np.clip(notes["pitch"] - 2, 0, 127)
        return notes

    return changed(excerpt.score, shift)


DAMAGES: dict[str, Callable[[Excerpt, np.random.Generator], Score | None]] = {
    "shuffled bars": shuffled_bars,
    "random pitches": random_pitches,
    "timing noise": timing_noise,
    "looped bars": looped_bars,
    "transposed fragments": transposed_fragments,
    "constant rhythm": constant_rhythm,
    "wrong octaves": wrong_octaves,
    "merged tracks": merged_tracks,
    CONTROL: transposed_whole,
}


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────


def alone(excerpt: Excerpt, score: Score) -> dict[str, float]:
    """Columns of metrics of one piece, and of its second half given the undamaged first."""
    out: dict[str, float] = {}
    for name in ALONE:
        out |= METRICS.load(name)(est=score)
    half = excerpt.n_bars // 2 * excerpt.bar
    seed = edit.select_ticks(0, half)(excerpt.score)
    rest = edit.select_ticks(half, 2 * half)(score)
    out |= METRICS.load("continuation")(seed=seed, est=rest)
    out |= METRICS.load("originality")(est=rest, seed=seed)
    text = MODEL_NOTATION.encode(score)
    out |= METRICS.load("repetition-tokens")(est=text, notation=MODEL_NOTATION)
    out |= METRICS.load("syntax")(est=text, notation=MODEL_NOTATION)
    return out


def against(excerpt: Excerpt, score: Score) -> dict[str, float]:
    """Columns of metrics that compare with the undamaged piece."""
    out: dict[str, float] = {}
    for name in AGAINST:
        out |= METRICS.load(name)(ref=excerpt.score, est=score)
    return out


def effect(before: NDArray[np.float64], after: NDArray[np.float64], drawn: NDArray[np.int64]) -> dict[str, Any]:
    """Cohen's d of the paired differences with its 95 % interval; ``drawn``: (N_RESAMPLES, n) rows."""
    known = np.isfinite(before) & np.isfinite(after)
    change = (after - before)[known]
    out: dict[str, Any] = {"n": len(change), "before": float(before[known].mean()) if len(change) else None}
    if len(change) < 20:
        return out | {"d": None}
    out["after"] = float(after[known].mean())
    if np.ptp(change) < 1e-12 * max(1.0, float(np.abs(before[known]).max())):  # the same for every work
        same = abs(float(change.mean())) < 1e-12
        return out | ({"d": 0.0, "low": 0.0, "high": 0.0} if same else {"d": None, "always": float(change.mean())})
    rows = change[drawn[:, : len(change)] % len(change)]
    means, spreads = rows.mean(1), rows.std(1, ddof=1)
    d = np.divide(means, spreads, out=np.full(len(means), np.nan), where=spreads > 0)
    low, high = np.nanquantile(d, [0.025, 0.975])
    return out | {"d": float(change.mean() / change.std(ddof=1)), "low": float(low), "high": float(high)}


def is_detected(row: dict[str, Any]) -> bool:
    """Whether an effect counts as one."""
    if row.get("always"):
        return True
    if row.get("d") is None or abs(row["d"]) < DETECTED:
        return False
    return min(row["low"], row["high"], key=abs) * np.sign(row["d"]) >= ONE_SIDE


def set_effects(
    humans: list[dict[str, Any]], judged: list[dict[str, Any]], damaged: list[dict[str, Any]], rng: np.random.Generator
) -> dict[str, Any]:
    """Overlap and divergence of two halves of the works, the second damaged or not, and the difference."""
    whole = [distribution.from_features(humans, half) for half in (judged, damaged)]
    draws = []
    for _ in range(N_SET_RESAMPLES):
        a, b = (rng.integers(0, len(part), len(part)) for part in (humans, judged))
        # Works drawn twice would be at distance 0 of themselves: drawn once they stay in.
        a, b = np.unique(a), np.unique(b)
        pair = [distribution.from_features([humans[i] for i in a], [half[i] for i in b]) for half in (judged, damaged)]
        draws.append({name: pair[1][name] - pair[0][name] for name in pair[0] if name in pair[1]})
    out = {}
    for name in whole[0]:
        if name not in whole[1]:
            continue
        low, high = np.quantile([draw[name] for draw in draws if name in draw], [0.025, 0.975])
        out[name] = {"before": whole[0][name], "after": whole[1][name], "low": float(low), "high": float(high)}
    return out


def measure(corpus: Path, limit: int | None) -> dict[str, Any]:
    """Everything that is written to the file."""
    begun = time.process_time()
    found = list(excerpts(corpus, limit))
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 1 << 40, (N_RESAMPLES, len(found)))
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time()
        out = function(*arguments)
        spent[name] += time.process_time() - start
        return out

    base = [timed("alone", alone, e, e.score) for e in found]
    base_against = [timed("against", against, e, e.score) for e in found]
    base_features = [timed("features", distribution.features, e.score) for e in found]
    result: dict[str, Any] = {"alone": {}, "against": {}, "sets": {}}
    for name, damage in DAMAGES.items():
        scores = [damage(e, rng_for(0, name, e.name)) for e in found]
        for kind, function, before in (("alone", alone, base), ("against", against, base_against)):
            after = [timed(kind, function, e, s) if s is not None else {} for e, s in zip(found, scores, strict=True)]
            columns = dict.fromkeys(column for row in (*before, *after) for column in row)
            result[kind][name] = {
                column: effect(
                    *(np.array([row.get(column, np.nan) for row in rows]) for rows in (before, after)), drawn
                )
                for column in columns
            }
        kept = [i for i, score in enumerate(scores) if score is not None]
        features = {i: timed("features", distribution.features, scores[i]) for i in kept}
        first, second = kept[::2], kept[1::2]
        result["sets"][name] = timed(
            "sets", set_effects, [base_features[i] for i in first], [base_features[i] for i in second],
            [features[i] for i in second], rng,
        )  # fmt: skip
        print(f"{name}: {len(kept)} works, {time.process_time() - begun:.0f} s of CPU", flush=True)
    sources = [e.source for e in found]
    return {
        "works": len(found),
        "sources": {name: sources.count(name) for name in sorted(set(sources))},
        "notes": sum(e.score.n_notes for e in found),
        "cpu_seconds": time.process_time() - begun,
        "cpu_seconds_by_part": dict(spent),
        "versions": versions(),
        **result,
    }


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────


KINDS = {"alone": "Metrics of one piece", "against": "Metrics against the undamaged piece"}
HEAD = """
Written by `python benchmarks/damage.py --page benchmarks/results/damage.json --out docs/damage.md`; do not edit.

{works} held-out works ({sources}; {notes:,} notes), up to 32 bars each, before and after controlled damage. Figures are
Cohen's d of the paired differences, with the 95 % interval of a bootstrap over works; **bold** where the damage is
detected: |d| ≥ 0.5, and the interval on one side of 0.2. `always`: the same change in every work. Empty: not defined,
or no change at all. Metrics of one piece include what the piece's own first half makes of its second (continuation, and
originality against the seed).

The damages:
"""
BLIND = """
They may say something else (a tempo, a text that does not parse), but nothing here shows that they see bad music; no
model is to be advertised by them.
"""
SETS = """
Overlap and divergence (KL) of the distances within the human half and between both halves, before → after the second
half is damaged; **bold** where the bootstrap interval of the difference leaves out 0.
"""


def _paragraphs(text: str) -> list[str]:
    return text.strip().splitlines()


def page(result: dict[str, Any]) -> str:
    """docs/damage.md."""
    sources = ", ".join(f"{n} of {name}" for name, n in result["sources"].items())
    head = HEAD.format(sources=sources, works=result["works"], notes=result["notes"])
    lines = ["# Does a metric measure anything?", "", *_paragraphs(head), ""]
    lines += [f"- *{name}*: {(function.__doc__ or '').strip()}" for name, function in DAMAGES.items()]
    lines += ["", "## How many columns detect each damage", ""]
    lines.append("| damage | works | of one piece | the clearest | against the undamaged piece | the clearest |")
    lines.append("|---" * 6 + "|")
    for name in DAMAGES:
        row = [name, str(max((cell["n"] for cell in result["alone"][name].values()), default=0))]
        for kind in KINDS:
            cells = {c: cell for c, cell in result[kind][name].items() if is_detected(cell)}
            row += [str(len(cells)), ", ".join(sorted(cells, key=lambda c: -_size(cells[c]))[:3])]
        lines.append("| " + " | ".join(row) + " |")
    for kind, title in KINDS.items():
        lines += ["", f"## {title}", "", "| column | undamaged | " + " | ".join(DAMAGES) + " |"]
        lines.append("|---" * (len(DAMAGES) + 2) + "|")
        for column in dict.fromkeys(column for name in DAMAGES for column in result[kind][name]):
            cells = [result[kind][name].get(column, {}) for name in DAMAGES]
            before = next((c["before"] for c in cells if c.get("before") is not None), None)
            shown = "" if before is None else f"{before:.3g}"
            lines.append(f"| {column} | {shown} | " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += ["", "## Columns that detect none of these", "", ", ".join(blind(result)) + "."]
    lines += ["", *_paragraphs(BLIND), "", "## Two sets: half of the works against the other half", ""]
    lines += [*_paragraphs(SETS), "", "| column | " + " | ".join(DAMAGES) + " |", "|---" * (len(DAMAGES) + 1) + "|"]
    for column in (c for c in next(iter(result["sets"].values())) if not c.startswith("spread_")):
        shown_cells = []
        for name in DAMAGES:
            cell = result["sets"][name].get(column)
            text = "" if cell is None else f"{cell['before']:.2f} → {cell['after']:.2f}"
            shown_cells.append(f"**{text}**" if cell and (cell["low"] > 0 or cell["high"] < 0) else text)
        lines.append(f"| {column} | " + " | ".join(shown_cells) + " |")
    lines += ["", f"Measured in {result['cpu_seconds']:.0f} seconds of CPU time."]
    return "\n".join(lines) + "\n"


def blind(result: dict[str, Any]) -> list[str]:
    """Columns that detect no damage (the control is none)."""
    seen: dict[str, bool] = {}
    for kind in KINDS:
        for name in DAMAGES:
            for column, cell in result[kind][name].items():
                seen[column] = seen.get(column, False) or (name != CONTROL and is_detected(cell))
    return [column for column, found in seen.items() if not found]


def _size(cell: dict[str, Any]) -> float:
    return abs(cell["d"]) if cell.get("d") is not None else float("inf")


def _cell(cell: dict[str, Any]) -> str:
    if cell.get("always"):
        return f"**always {cell['always']:+.2g}**"
    if cell.get("d") is None or (cell["d"] == 0 and cell["low"] == 0 and cell["high"] == 0):
        return ""
    text = f"{cell['d']:+.2f} ({cell['low']:.2f}…{cell['high']:.2f})"
    return f"**{text}**" if is_detected(cell) else text


def main(arguments: list[str] | None = None) -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="file of cadenza.corpus.build")
    parser.add_argument("--page", type=Path, help="a measurement, to write its page")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="only so many works (a quick look)")
    chosen = parser.parse_args(arguments)
    if chosen.page:
        write_atomically(chosen.out, page(json.loads(chosen.page.read_bytes())).encode())
        return
    if not chosen.corpus:
        parser.error("--corpus or --page")
    write_atomically(chosen.out, json.dumps(measure(chosen.corpus, chosen.limit), indent=1).encode())


if __name__ == "__main__":
    main()
