"""Both routes on the classes of the ear's evaluation (``benchmarks/ear.py``), as far as a listener hears.

    python -m benchmarks.listening_classes --scores scores.npz --font TimGM6mb.sf2 --work DIR [--run sft] [--n 12]

The same clips of the same works on the same unheard soundfont, the first seconds of each, as many as the clips had that
the listener learned from. These clips begin anywhere, so a score's seconds cannot be laid over the sound's; what is
compared is which pitches come one after another: F1 of the longest common subsequence of pitches, those that begin
within 50 ms from low to high. Of what the ear hears (route A before its notator), of the score that the notator makes
of it (route A), and of the score that the listener writes under ABC's automaton (route B), with bootstrap intervals
over clips. A listener that learned single voices has not learned quartets or bands. Writes DIR/classes.json, which
``benchmarks.listening --only report`` puts on its page.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.ear import CLASSES, Notes, rows_of
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.corpus.clips import NOTATION
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import SAMPLE_RATE, Instruments, Synthesizer
from cadenza.infer.grammatical import Guide
from cadenza.infer.notator import notate
from cadenza.infer.transcribe import transcribe
from cadenza.score.model import Score
from cadenza.score.table import note_table
from cadenza.train.listening.transcribe import open_for_use, samples_of, tell

WAYS = ("ear", "route a", "route b")
TOGETHER_SECONDS = 0.05


def played(score: Score) -> Notes:
    """Onset, end and pitch of a score's notes, seconds."""
    table = note_table(score)
    onset = table["onset_seconds"]
    return np.stack([onset, onset + table["duration_seconds"], table["pitch"]], 1).astype(np.float64)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Class → way → [F1 of pitches in order, low, high]."""
    torch.set_num_threads(1)
    opened, most_seconds = open_for_use(options.work / "runs" / options.run)
    seconds = most_seconds - 1.0
    guide = Guide(NOTATION, opened.codec.texts())
    pack = ScorePack.load(options.scores)
    synthesizer = Synthesizer(pack, Instruments([options.font], n_random=0), "test", 7, random_share=0.0)
    result: dict[str, Any] = {"run": options.run, "n": options.n, "seconds": seconds, "classes": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for name, (mode, programs, source) in CLASSES.items():
            found: dict[str, list[float]] = {way: [] for way in WAYS}
            for number in range(options.n):
                clip = synthesizer.clip(number, mode, programs=programs, source=source, detune_cents=0.0)
                soundfile.write(path, clip.samples[: int(seconds * SAMPLE_RATE)], SAMPLE_RATE)
                ref = rows_of(clip.notes)
                ref = ref[ref[:, 0] < seconds]
                for way, notes in answers(path, opened, guide, most_seconds).items():
                    found[way].append(in_order(ref, notes))
            result["classes"][name] = {way: interval(values) for way, values in found.items()}
            print(name, {way: [round(v, 3) for v in row] for way, row in result["classes"][name].items()}, flush=True)
    return result


def answers(path: Path, opened: Any, guide: Guide, most_seconds: float) -> dict[str, Notes]:
    """Way → notes; none where a way has no music to say."""
    nothing = np.zeros((0, 3))
    out = {"ear": nothing, "route a": nothing, "route b": nothing}
    try:
        heard = transcribe(path)
        rows = [(note.onset_seconds, note.end_seconds, note.pitch) for note in heard.heard]
        out["ear"] = np.array(rows, np.float64).reshape(-1, 3)
        out["route a"] = played(notate(heard.score))
    except CadenzaError as error:
        print(f"route a: {error}", flush=True)
    try:
        out["route b"] = played(tell(opened, opened.tower(samples_of(path, most_seconds)), guide).score)
    except CadenzaError as error:
        print(f"route b: {error}", flush=True)
    return out


def in_order(ref: Notes, est: Notes) -> float:
    """F1 of the longest common subsequence of pitches."""
    a, b = (pitches(notes) for notes in (ref, est))
    if not len(a) or not len(b):
        return float(len(a) == len(b))
    row = np.zeros(len(b) + 1, np.int64)
    for pitch in a:  # one more pitch of the truth: what of the answer it can be matched with
        matched = np.where(b == pitch, row[:-1] + 1, row[1:])
        row[1:] = np.maximum.accumulate(matched)
    return 2 * int(row[-1]) / (len(a) + len(b))


def pitches(notes: Notes) -> NDArray[np.int64]:
    """Of notes by their beginnings, those within 50 ms of the first from low to high."""
    rows = notes[np.argsort(notes[:, 0], kind="stable")]
    starts = rows[:, 0].copy()
    for at in range(1, len(starts)):
        if starts[at] <= starts[at - 1] + TOGETHER_SECONDS:
            starts[at] = starts[at - 1]
    return rows[np.lexsort((rows[:, 2], starts)), 2].astype(np.int64)


def interval(values: list[float]) -> list[float]:
    """Mean with its 95 % interval."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return [float(np.mean(values)), *np.quantile(drawn, (0.025, 0.975)).tolist()]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--font", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", default="sft")
    parser.add_argument("--n", type=int, default=12)
    options = parser.parse_args()
    write_atomically(options.work / "classes.json", (json.dumps(measure(options), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
