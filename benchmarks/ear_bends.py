"""How many bent notes of guitars are heard as bent, by how much, and for how long.

    python -m benchmarks.ear_bends --scores scores.npz --font FONT --out FILE.json [--font FONT …] [--split test]
        [--clips 60] [--model DIR]

Clips of twelve seconds of guitars (``benchmarks/ear_data.py`` packs the scores), of works of the split, played with
the fonts. A note is bent whose curve leaves its key by 60 cents or more, plain where it stays within 15. Of the bent
ones: how many onsets are found (50 ms, same key), how many of these have a bend in the score that ``transcribe``
writes, how many one whose height is within 40 cents, and how long they last over how long they did. Of the plain
ones: how many have a bend.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ear import write
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import Clip, Instruments, Synthesizer
from cadenza.infer.transcribe import transcribe
from cadenza.model.ear import Ear
from cadenza.model.ear_features import FRAMES_PER_SECOND
from cadenza.score.model import Score
from cadenza.score.time import ticks_to_seconds

GUITARS = (24, 25, 26, 27)
BENT_CENTS, PLAIN_CENTS, NEAR_CENTS, NEAR_SECONDS = 60, 15, 40, 0.05


def heights(clip: Clip) -> list[int]:
    """The cents by which each note leaves its key at most."""
    out = []
    for note in clip.notes:
        first, last = (round(float(note[name]) * FRAMES_PER_SECOND) for name in ("onset_seconds", "end_seconds"))
        bends = clip.bends
        own = bends["cents"][(bends["pitch"] == note["pitch"]) & (bends["frame"] >= first) & (bends["frame"] < last)]
        out.append(int(own[np.abs(own).argmax()]) if len(own) else 0)
    return out


def written(score: Score) -> list[tuple[float, float, int, int]]:
    """(onset, length in seconds, pitch, greatest bend in cents) of every note."""
    out = []
    for track in score.tracks:
        for number, note in enumerate(track.notes):
            begin, end = ticks_to_seconds(
                score, [int(note["onset_ticks"]), int(note["onset_ticks"] + note["duration_ticks"])]
            )
            height = max((bend.cents for bend in track.bends_of(number)), key=abs, default=0)
            out.append((float(begin), float(end - begin), int(note["pitch"]), height))
    return out


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--font", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    synthesizer = Synthesizer(
        ScorePack.load(options.scores), Instruments(options.font, n_random=0), options.split, 7, random_share=0.0
    )  # fmt: skip
    ear = Ear(options.model, threads=1, engine="onnxruntime")
    count = dict.fromkeys(("bent", "found", "with a bend", "of its height", "plain and found", "plain with a bend"), 0)
    lengths: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for number in range(options.clips):
            clip = synthesizer.clip(number, "plucked", programs=GUITARS, detune_cents=0.0)
            write(path, clip.samples.astype(np.float32) / 32768)
            heard = written(transcribe(path, ear).score)
            for note, height in zip(clip.notes, heights(clip), strict=True):
                match = next((one for one in heard if one[2] == note["pitch"]
                              and abs(one[0] - note["onset_seconds"]) < NEAR_SECONDS), None)  # fmt: skip
                if abs(height) >= BENT_CENTS:
                    count["bent"] += 1
                    if match is not None:
                        count["found"] += 1
                        count["with a bend"] += match[3] != 0
                        count["of its height"] += match[3] != 0 and abs(match[3] - height) <= NEAR_CENTS
                        lengths.append(match[1] / float(note["end_seconds"] - note["onset_seconds"]))
                elif abs(height) <= PLAIN_CENTS and match is not None:
                    count["plain and found"] += 1
                    count["plain with a bend"] += match[3] != 0
    quartiles = [round(float(value), 2) for value in np.percentile(lengths, (25, 50, 75))] if lengths else []
    result: dict[str, Any] = {
        "split": options.split, "clips": options.clips, "fonts": [font.name for font in options.font], **count,
        "length heard over true, quartiles": quartiles, "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result))
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
