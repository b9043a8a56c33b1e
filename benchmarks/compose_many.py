"""Many compositions over tasks, controls and formats: is each what was asked for, and all else untouched?

    python benchmarks/compose_many.py --corpus CORPUS --n 300 --out FILE.json [--model FOLDER] [--bars 2]

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Each job takes six bars
of a work of the test split (or of its arrangement as a band), writes them to a file in one of the formats that we read
and write, and composes from that file: goes on, fills bars in (all tracks or some), adds a part, or begins a new piece;
with controls drawn at random. Of every output it is checked, by code that shares nothing with the decoding but the
fingering rules:

- the bars are those asked for and full;
- every note, bend and frame that was not to be written is bit for bit what it was;
- written notes lie within their instrument, within the asked range and (strict) key, and end with the written bars;
- on fretted tracks every chord has a fingering, every fret sounds its pitch;
- what is filled in or added is not empty;
- the piece is written as .mid, .gp5 and .musicxml; mido, PyGuitarPro and our own reader count its notes and bars.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continuations import _unplayable, reopened
from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.build import rng_for
from cadenza.infer import names
from cadenza.infer.compose import RankedTake, compose
from cadenza.infer.held_out import open_music
from cadenza.infer.model import ComposerModel, load_model
from cadenza.score import edit
from cadenza.score.instruments import DRUM_KEYS, range_of
from cadenza.score.model import Score
from cadenza.score.time import bar_table

SEED_BARS = 6
SUFFIXES = ("mid", "gp5", "musicxml", "gp", "smidi")
PARTS = ("bass", "drums", "guitar", "piano", "strings", "33", "acoustic-guitar", "flute")
BANDS = (
    "guitar,bass,drums",
    "piano",
    "violin,viola,cello",
    "distorted-guitar,distorted-guitar,bass,drums",
    "organ,bass",
)


def wishes(rng: np.random.Generator, task: str, bars: int) -> dict[str, Any]:
    """Controls of a job, each with some probability."""

    def maybe(name: str, values: tuple[Any, ...], chance: float = 0.3) -> dict[str, Any]:
        return {name: values[int(rng.integers(len(values)))]} if rng.random() < chance else {}

    out: dict[str, Any] = {}
    out |= maybe("key", ("C", "Em", "F#m", "Bb", "Dm", "A"))
    if "key" in out and rng.random() < 0.5:
        out["strict_key"] = True
    out |= maybe("density", (4, 8, 16, 32), 0.2)
    out |= maybe("nearness", (-1.0, 0.5, 1.0), 0.2)
    if task in ("continue", "new"):
        out |= maybe("tempo", (60, 97.5, 140, 220))
        out |= maybe("metre", ("3/4", "4/4", "6/8", "7/8", "5/4"), 0.2)
        out |= {"bars": bars}
    if task in ("accompany", "new"):
        out |= maybe("tuning", ("drop-d", "half-step-down", "drop-c"))
    return out


def faults(before: Score, one: RankedTake, asked: dict[str, Any], task: str, bars: int) -> list[str]:
    """What is wrong with an output, in words."""
    found: list[str] = []
    after, take = one.score, one.take
    written: dict[int, list[tuple[int, int]]] = {}
    for track, start, stop in take.written:
        written.setdefault(track, []).append((start, stop))
    for name in ("ticks_per_quarter", "keys", "markers", "title", "composer"):
        if task != "new" and getattr(before, name) != getattr(after, name):
            found.append(f"{name} changed")
    if after.tempos[: len(before.tempos)] != before.tempos or after.metres[: len(before.metres)] != before.metres:
        found.append("tempos or metres changed")
    if len(after.tracks) != len(before.tracks) + (task == "accompany"):
        return [*found, "number of tracks changed"]
    key = names.classes_of(names.key(asked["key"])) if asked.get("strict_key") else None
    for place, track in enumerate(after.tracks):
        onset = track.notes["onset_ticks"]
        inside = np.zeros(len(track), bool)
        stop_of = np.zeros(len(track), np.int64)
        for start, stop in written.get(place, ()):
            here = (onset >= start) & (onset < stop)
            inside |= here
            stop_of[here] = stop
        if place < len(before.tracks):
            old = before.tracks[place]
            was = old.notes["onset_ticks"]
            stays = np.ones(len(old), bool)
            for start, stop in written.get(place, ()):
                stays &= (was < start) | (was >= stop)
            kept, here_kept = old.keep(stays), track.keep(~inside)
            if kept.notes.tobytes() != here_kept.notes.tobytes() or kept.bends.tobytes() != here_kept.bends.tobytes():
                found.append("a note that was not to be written changed")
            frame = ("name", "program", "is_drums", "tuning", "capo_fret")
            if any(getattr(old, name) != getattr(track, name) for name in frame):
                found.append("a track's frame changed")
        new = track.keep(inside)
        if not len(new):
            continue
        pitch, ends = new.notes["pitch"], new.notes["onset_ticks"] + new.notes["duration_ticks"]
        if (ends > stop_of[inside]).any():
            found.append("a note beyond the bars that were written")
        low, high = range_of(before.tracks[place] if place < len(before.tracks) else track.keep(~inside))
        if track.is_drums:
            low, high = min(low, DRUM_KEYS[0]), max(high, DRUM_KEYS[1])
        if pitch.min() < low or pitch.max() > high:
            found.append("a note out of its instrument's range")
        if key is not None and not track.is_drums and not set((pitch % 12).tolist()) <= key:
            found.append("a pitch outside the strict key")
        if track.tuning and not track.is_drums:
            found += _unplayable(new)
    n_new = len(bar_table(after)) - (0 if task == "new" else len(bar_table(before)))
    if n_new != (bars if task in ("continue", "new") else 0):
        found.append(f"{n_new} new bars")
    if task in ("infill", "accompany") and not take.n_notes:
        found.append("nothing was written")
    return found


def read_again(score: Score, folder: Path) -> list[str]:
    """Our own reader of MusicXML counts the bars."""
    try:
        formats.write(score, folder / "take.musicxml")
        again = formats.read(folder / "take.musicxml")
        if len(bar_table(again)) != len(bar_table(score)):
            return [f"MusicXML has {len(bar_table(again))} bars of {len(bar_table(score))}"]
    except CadenzaError as error:
        return [f"MusicXML: {error}"]
    return []


def run(piece: Score, name: str, number: int, model: ComposerModel, bars: int, folder: Path) -> dict[str, Any]:
    """One job: what was asked, and what is wrong with what came."""
    rng = rng_for(0, "compose many", name, number)
    task = ("continue", "infill", "accompany", "new")[number % 4]
    suffix = SUFFIXES[int(rng.integers(len(SUFFIXES)))]
    asked = wishes(rng, task, bars)
    formats.write(piece, folder / f"seed.{suffix}")
    before = formats.read(folder / f"seed.{suffix}")
    if task == "infill":
        first = int(rng.integers(0, max(len(bar_table(before)) - 1, 1)))
        asked["infill"] = (first, min(first + bars, len(bar_table(before))))
        sounding = [i for i, track in enumerate(before.tracks) if len(track)]
        if len(sounding) > 1 and rng.random() < 0.5:
            asked["tracks"] = [int(rng.choice(sounding))]
    elif task == "accompany":
        asked["accompany"] = PARTS[int(rng.integers(len(PARTS)))]
    elif task == "new":
        asked["new"] = BANDS[int(rng.integers(len(BANDS)))]
    row: dict[str, Any] = {"name": name, "task": task, "format": suffix, "asked": asked}
    try:
        (one,) = compose(None if task == "new" else before, model=model, random_seed=number, **asked)
    except CadenzaError as error:
        return row | {"refused": f"{type(error).__name__}: {error}"}
    if task == "new":
        before = one.score.with_tracks(track.keep(np.zeros(len(track), bool)) for track in one.score.tracks)
    wrong = faults(before, one, asked, task, bars) + reopened(one.take, folder) + read_again(one.score, folder)
    return row | {"faults": wrong, "notes": one.take.n_notes, "tokens": one.take.n_tokens, "unmet": list(one.unmet)}


def main() -> None:
    """Run; write JSON; print a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--bars", type=int, default=2)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.model)
    pieces = [(piece.name, piece.score) for piece in open_music(options.corpus).pieces("test")]
    order = np.random.default_rng(0).permutation(len(pieces))
    rows: list[dict[str, Any]] = []
    begun = time.process_time()
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for number in range(options.n):
            name, score = pieces[int(order[number % len(pieces)])]
            n_bars = len(bar_table(score))
            rng = rng_for(0, "cut", name, number)
            first = int(rng.integers(0, max(n_bars - SEED_BARS, 0) + 1))
            piece = edit.select_bars(first, min(first + SEED_BARS, n_bars))(score)
            rows.append(run(piece, name, number, model, options.bars, Path(place)))
            if rows[-1].get("faults"):
                print(rows[-1], flush=True)
            if number % 500 == 499 or number == options.n - 1:  # a long run that is stopped leaves what it has
                summary = summarised(rows, options.bars, model) | {"cpu_seconds": round(time.process_time() - begun, 1)}
                write_atomically(options.out, json.dumps(summary | {"versions": versions()}, indent=1).encode())
                print(f"{number + 1}: {summary['with_faults']} with faults", flush=True)
    print(json.dumps(summary, indent=1))


def summarised(rows: list[dict[str, Any]], bars: int, model: ComposerModel) -> dict[str, Any]:
    """Of the outputs so far."""
    done = [row for row in rows if "faults" in row]
    refused = Counter(row["refused"][:90] for row in rows if "refused" in row)
    return {
        "command": f"benchmarks/compose_many.py --n {len(rows)} --bars {bars}",
        "model": model.folder.name,
        "outputs": len(done),
        "with_faults": sum(bool(row["faults"]) for row in done),
        "by_task": dict(Counter(row["task"] for row in done)),
        "by_format": dict(Counter(row["format"] for row in done)),
        "refused": dict(refused),
        "wishes": sum(len(row["asked"]) for row in done),
        "unmet": dict(Counter(wish.partition(":")[0] for row in done for wish in row["unmet"])),
    }


if __name__ == "__main__":
    main()
