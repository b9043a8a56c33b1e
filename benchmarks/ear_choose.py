"""Which of several ears is to be shipped: works of the validation split, the training's soundfonts, dry and in a hall.

    python -m benchmarks.ear_choose --fonts DIR --out FILE.json EAR [EAR …] [--clips 16]

An EAR is the folder of a run (``cadenza.train.ear``) or of a released ear, or two with a ``+`` between them: the mean
of their weights. ``--fonts`` is the folder of ``benchmarks/ear_data.py``. Classes and hall (RT60 1.4 s, as loud as the
direct sound) are those of ``benchmarks/ear.py``; nothing of the test split and of its soundfont is heard.
Onset F1 over all notes of a class, at each threshold, tuning as it is; the mean over classes is what an ear is chosen
by, and the threshold with the best mean of dry and hall is its own. Beside it, at the true onsets: how often the
likeliest family of instruments is the right one, the mean over classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ear import CLASSES, degradations
from benchmarks.ear_ablation import FONTS
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.base.tensors import read_json_object
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import Instruments, Synthesizer
from cadenza.infer.heard_notes import Thresholds, notes
from cadenza.model.ear_architecture import EarShape
from cadenza.train.ear import curves, f1, families_right, onset_scores, weights_of
from cadenza.train.ear_network import EarNetwork

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5)
DRY, HALL = "dry", "hall, RT60 1.4 s"


def network_of(said: str) -> EarNetwork:
    """The ear of a folder, or the mean of several, ready to listen."""
    folders = [Path(name) for name in said.split("+")]
    shapes = [
        torch.load(folder / "ear.pt", map_location="cpu", weights_only=True)["shape"]
        if (folder / "ear.pt").is_file()
        else read_json_object((folder / "config.json").read_bytes(), str(folder))["shape"]
        for folder in folders
    ]
    shape = EarShape(**shapes[0])
    each = [weights_of(folder, shape) for folder in folders]
    network = EarNetwork(shape)
    network.load_state_dict({name: sum(one[name] for one in each) / len(each) for name in each[0]}, strict=False)
    return network.eval()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ears", nargs="+")
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=16, help="of each class")
    options = parser.parse_args()
    torch.set_num_threads(1)
    instruments = Instruments([options.fonts / name for name in FONTS], n_random=0)
    synthesizer = Synthesizer(
        ScorePack.load(options.fonts / "scores.npz"), instruments, "validation", 7, random_share=0.0
    )  # fmt: skip
    ears = {"+".join(Path(name).name for name in said.split("+")): network_of(said) for said in options.ears}
    counts: dict[tuple[str, str, str, float], list[tuple[int, int, int]]] = {}
    right: dict[tuple[str, str, str], list[NDArray[np.bool_]]] = {}
    hall = degradations()[HALL]
    for kind, (mode, programs, _) in CLASSES.items():  # no quartet of its own collection is in the validation split
        for number in range(options.clips):
            clip = synthesizer.clip(number, mode, programs=programs, detune_cents=0.0)
            sound = clip.samples.astype(np.float32) / 32768
            for place, samples in ((DRY, sound), (HALL, hall(sound))):
                for name, ear in ears.items():
                    said = curves(ear, torch.from_numpy(samples))
                    right.setdefault((name, place, kind), []).append(families_right(said["family"], clip))
                    for threshold in THRESHOLDS:
                        found = onset_scores(clip.notes, notes(said, Thresholds(onset=threshold)))
                        counts.setdefault((name, place, kind, threshold), []).append(found)
        print(kind, {f"{name}, {place}": round(f1(counts[name, place, kind, 0.4]), 4)
                     for place in (DRY, HALL) for name in ears}, flush=True)  # fmt: skip
    result: dict[str, Any] = {"clips a class": options.clips, "fonts": FONTS, "versions": versions(), "ears": {}}
    for name in ears:
        rows = {
            str(threshold): {
                place: {kind: round(f1(counts[name, place, kind, threshold]), 4) for kind in CLASSES}
                for place in (DRY, HALL)
            }
            for threshold in THRESHOLDS
        }
        for row in rows.values():
            for place in (DRY, HALL):
                row[place]["mean"] = round(float(np.mean(list(row[place].values()))), 4)
        best = max(rows, key=lambda threshold: rows[threshold][DRY]["mean"] + rows[threshold][HALL]["mean"])
        result["ears"][name] = {"threshold": float(best), **rows[best], "by threshold": rows}
        result["ears"][name]["family"] = {
            place: round(float(np.mean([np.concatenate(right[name, place, kind]).mean() for kind in CLASSES])), 4)
            for place in (DRY, HALL)
        }
        print(name, best, {place: rows[best][place]["mean"] for place in (DRY, HALL)}, result["ears"][name]["family"])
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
