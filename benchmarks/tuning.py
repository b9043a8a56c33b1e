"""How well the tuning of a recording is found: ``tuning_cents`` beside what counted swaying peaks like steady ones.

    python -m benchmarks.tuning --fonts DIR --out FILE.json [--clips 40] [--first 0] [--split validation]

``--fonts`` is the folder of ``benchmarks/ear_data.py``. Clips of the four classes of ``benchmarks/ear.py`` whose notes
are not all struck or plucked, 45 cents sharp: an error of more than 4.9 cents upwards is read as 50 cents flat, and
every note is told a key too high; the same error downwards is as bad at −45. Works of the validation split with the
training's soundfonts (where the estimate's widths were chosen), or of the test split with the test's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ear import CLASSES
from benchmarks.ear_ablation import FONTS, TEST_FONT
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import Instruments, Synthesizer
from cadenza.infer.transcribe import crowd_cents, peaks_by_cent, tuning_cents

CENTS, FAR = 45.0, 4.9
JUDGED = ("wind solo", "quartet", "voice + piano", "band")
STRETCH = 80_000  # samples, five seconds


def all_peaks(stretches: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Peaks as they were counted before: by the root of their magnitude, however they move."""
    return peaks_by_cent(stretches, 0.5, np.inf)


def circular_mean(stretches: list[NDArray[np.float32]]) -> float:
    """The first estimate: the direction in which all peaks lie on the circle of 100 cents; 0 where there is none."""
    places = all_peaks(stretches)
    resultant = (places * np.exp(2j * np.pi * np.arange(100) / 100)).sum()
    return 0.0 if abs(resultant) < 0.15 * places.sum() else float(100 * np.angle(resultant) / (2 * np.pi))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40, help="of each class")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    options = parser.parse_args()
    names = FONTS if options.split == "validation" else (TEST_FONT,)
    instruments = Instruments([options.fonts / name for name in names], n_random=0)
    synthesizer = Synthesizer(
        ScorePack.load(options.fonts / "scores.npz"), instruments, options.split, 7, random_share=0.0
    )  # fmt: skip
    result: dict[str, Any] = {
        "split": options.split,
        "clips a class": options.clips,
        "first": options.first,
        "versions": versions(),
    }
    estimates: dict[str, Callable[[list[NDArray[np.float32]]], float]] = {
        "shipped": tuning_cents,
        "all peaks": lambda stretches: crowd_cents(all_peaks(stretches)),
        "circular mean": circular_mean,
    }
    errors: dict[str, list[float]] = {name: [] for name in estimates}
    for kind in JUDGED:
        mode, programs, source = CLASSES[kind]
        source = source if options.split == "test" else ""  # no quartet is in the validation split
        for number in range(options.first, options.first + options.clips):
            clip = synthesizer.clip(number, mode, programs=programs, source=source, detune_cents=CENTS)
            sound = clip.samples.astype(np.float32) / 32768
            stretches = [sound[at : at + STRETCH] for at in range(0, len(sound), STRETCH)]
            for name, estimate in estimates.items():
                errors[name].append((estimate(stretches) - CENTS + 50) % 100 - 50)
        for name, values in errors.items():
            own = np.array(values[-options.clips :])
            result.setdefault(name, {})[kind] = {"far": int((np.abs(own) > FAR).sum())}
    for name, values in errors.items():
        every = np.array(values)
        result[name] |= {
            "far": int((np.abs(every) > FAR).sum()), "of": len(every),
            "root mean square, cents": round(float(np.sqrt((np.minimum(np.abs(every), 20) ** 2).mean())), 2),
        }  # fmt: skip
        print(name, json.dumps(result[name]))
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
