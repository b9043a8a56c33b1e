"""Are continuations what they promise? Many outputs, checked one by one by readers that are not ours.

    python benchmarks/continuations.py --corpus BASE.npz --n 1000 --out FILE.json     held-out pieces (test split)
    python benchmarks/continuations.py --files A.mid B.gp5 … --out FILE.json          files as a musician has them

Each output is written as .mid and .gp5 and opened by mido and PyGuitarPro; the seed's notes must all be there,
unchanged; tracks, tempos, metres and tunings the same; every new note within its instrument's range, every chord on a
fretted track playable; and (with --corpus) the share of bars that equal a bar of the seed stands beside the same share
in the human continuation of the same seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import guitarpro
import mido
import numpy as np

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.base.run import versions
from cadenza.corpus.build import rng_for
from cadenza.infer.generate import DEFAULT_SAMPLING, Take, continue_score, shared_bars
from cadenza.infer.held_out import open_music
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.prompt import read_seed
from cadenza.score import edit
from cadenza.score.fingering import playable
from cadenza.score.instruments import range_of
from cadenza.score.model import HARMONICS, NO_STRING, Score
from cadenza.score.time import bar_table


def faults(seed: Score, take: Take) -> list[str]:
    """What is wrong with a take, in words; empty for a sound one."""
    found = []
    score, start = take.score, take.start_ticks
    frame = ("ticks_per_quarter", "tempos", "metres", "keys", "markers", "title", "composer")
    found += [f"{name} changed" for name in frame if getattr(score, name) != getattr(seed, name)]
    if len(score.tracks) != len(seed.tracks):
        return [*found, "number of tracks changed"]
    for before, after in zip(seed.tracks, score.tracks, strict=True):
        if (before.name, before.program, before.is_drums, before.tuning, before.capo_fret) != (
            after.name, after.program, after.is_drums, after.tuning, after.capo_fret,
        ):  # fmt: skip
            found.append("a track's frame changed")
        old = after.keep(after.notes["onset_ticks"] < start)
        if old.notes.tobytes() != before.notes.tobytes() or old.bends.tobytes() != before.bends.tobytes():
            found.append("a note of the seed changed")
        new = after.keep(after.notes["onset_ticks"] >= start)
        low, high = range_of(before)
        if len(new) and (new.notes["pitch"].min() < low or new.notes["pitch"].max() > high):
            found.append("a note out of its instrument's range")
        if len(new) and (new.notes["onset_ticks"] + new.notes["duration_ticks"]).max() > score.length_ticks:
            found.append("a note beyond the last bar")
        if after.tuning and not after.is_drums:
            found += _unplayable(new)
    return found


def _unplayable(track) -> list[str]:  # type: ignore[no-untyped-def]
    notes = track.notes
    notes = notes[(notes["techniques"] & np.uint64(int(HARMONICS))) == 0]  # these sound above their frets
    if (notes["string"] == NO_STRING).any():
        return ["a note without a string on a fretted track"]
    tuning = np.array(track.tuning)
    if (tuning[notes["string"] - 1] + track.capo_fret + notes["fret"] != notes["pitch"]).any():
        return ["a fret that does not sound its pitch"]
    for onset in np.unique(notes["onset_ticks"]):
        chord = notes[notes["onset_ticks"] == onset]
        fretted = chord["fret"][chord["fret"] > 0]
        wide = len(fretted) > 0 and fretted.max() - fretted.min() > 5
        if len(set(chord["string"].tolist())) != len(chord) or wide:
            return ["two notes on one string, or a span beyond five frets"]
        if not playable(tuple(chord["pitch"].tolist()), track.tuning, track.capo_fret):
            return ["an unplayable chord"]
    return []


def reopened(take: Take, folder: Path) -> list[str]:
    """What independent readers say of the files."""
    found = []
    try:
        formats.write(take.score, folder / "take.mid")
        opened = mido.MidiFile(folder / "take.mid")
        n_on = sum(m.type == "note_on" and m.velocity > 0 for track in opened.tracks for m in track)
        if n_on != take.score.n_notes:
            found.append(f"mido counts {n_on} notes of {take.score.n_notes}")
    except (CadenzaError, OSError, ValueError, EOFError) as error:
        found.append(f"mido: {error}")
    try:
        formats.write(take.score, folder / "take.gp5")
        tab = guitarpro.parse(str(folder / "take.gp5"))
        if len(tab.tracks) != len(take.score.tracks):
            found.append(f"PyGuitarPro counts {len(tab.tracks)} tracks of {len(take.score.tracks)}")
        if len(tab.measureHeaders) != len(bar_table(take.score)):
            found.append(f"PyGuitarPro counts {len(tab.measureHeaders)} bars of {len(bar_table(take.score))}")
    except (CadenzaError, guitarpro.GPException, OSError, ValueError, IndexError) as error:
        found.append(f"PyGuitarPro: {error}")
    return found


def sounding(score: Score) -> int:
    """Bars up to the last note: recordings' files may go on in silence (a drummer's by more than thirty bars)."""
    table = bar_table(score)
    lasts = [int(track.notes["onset_ticks"].max()) for track in score.tracks if len(track)]
    return int(table.index_of(max(lasts))) + 1 if lasts else 0


def seeds_of(corpus: Path, model: ComposerModel, n: int, bars: int, seed_bars: int = 8, *splits: str):
    """(name, seed, human continuation's bars in text, seed's bars in text) from works of some splits (the test split
    where none is named), in which the music reaches to the continuation's last bar."""
    music = open_music(corpus)
    held = [piece for split in splits or ("test",) for piece in music.pieces(split)]
    pieces = [(piece.name, piece.score) for piece in held if piece.score.n_notes]
    found = 0
    for turn in range(50):
        for name, score in pieces:
            rng = rng_for(0, "seed", name, turn)
            plain = replace(score, bars=())
            n_bars = sounding(plain)
            if n_bars < seed_bars + bars + 1:
                continue
            first = int(rng.integers(0, n_bars - seed_bars - bars))
            whole = edit.drop_doubled()(edit.select_bars(first, first + seed_bars + bars)(plain))
            seed = edit.select_bars(0, seed_bars)(whole)
            try:
                told = read_seed(whole, model)
                alone = read_seed(seed, model)
            except CadenzaError:
                continue
            if len(told.bars) != seed_bars + bars or len(alone.bars) != seed_bars or alone.split != 1:
                continue
            yield f"{name} bar {first + 1}", seed, told.bars[seed_bars:], told.bars[:seed_bars]
            found += 1
            if found == n:
                return


def main() -> None:
    """Run; write JSON; print a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--files", type=Path, nargs="*", default=[])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--bars", type=int, default=4)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.model)
    if options.corpus:
        jobs = seeds_of(options.corpus, model, options.n, options.bars)
    else:
        jobs = ((str(path), formats.read(path), None, None) for path in options.files)
    rows, tokens, spent = [], 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, seed, human, seed_bars) in enumerate(jobs):
            begun, cpu = time.perf_counter(), time.process_time()
            take = continue_score(seed, model, bars=options.bars, sampling=DEFAULT_SAMPLING, random_seed=number)
            spent += time.process_time() - cpu
            seconds = time.perf_counter() - begun
            tokens += take.n_tokens
            wrong = faults(seed, take) + reopened(take, Path(folder))
            row = {"name": name, "notes": take.n_notes, "seconds": seconds, "faults": wrong, "copied": take.copied_bars}
            if human is not None:
                row["human"] = shared_bars(human, seed_bars)
            rows.append(row)
            if wrong or options.files:
                print(f"{name}: {take.n_notes} notes, {seconds:.2f} s, {'; '.join(wrong) or 'sound'}", flush=True)
            elif number % 50 == 49:
                print(f"{number + 1} outputs, {sum(bool(r['faults']) for r in rows)} with faults", flush=True)
    summary = {
        "outputs": len(rows),
        "with_faults": sum(bool(r["faults"]) for r in rows),
        "without_notes": sum(r["notes"] == 0 for r in rows),
        "slowest_seconds": max(r["seconds"] for r in rows),
        "tokens_per_cpu_second": tokens / spent,
        "copied_bars": float(np.mean([r["copied"] for r in rows])),
        "human_copied_bars": float(np.mean([r["human"] for r in rows])) if options.corpus else None,
    }
    options.out.write_text(json.dumps({"summary": summary, "versions": versions(), "rows": rows}, indent=1))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
