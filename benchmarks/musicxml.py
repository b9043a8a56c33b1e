"""How fast MusicXML is read: cadenza and music21 on the same files in one run, as a ratio of CPU seconds.

    python benchmarks/musicxml.py --data DIR --out FILE.json [--n 24] [--seed 0]

Files are drawn at random from the .mxl under DIR; the two readers take turns on each, so that whatever else the machine
does slows both. Two figures for music21: ``parse`` is its parser alone; ``notes`` also brings it to what a Score is
from the start (sounding pitches, ties joined, repeats left folded). cadenza's figure is :func:`musicxml.read`, whole.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats import musicxml


def cpu_seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def _to_notes(stream: Any) -> Any:
    return stream.toSoundingPitch().stripTies()


def measure(files: list[Path]) -> dict[str, Any]:
    """CPU seconds of each reader on each file, and their ratios."""
    import music21

    rows = []
    musicxml.read(files[0])
    music21.converter.parse(files[0], format="musicxml", forceSource=True)
    for path in files:
        # Twice, the better counts: the first use of a file also fills caches of the machine.
        ours = min(cpu_seconds(partial(musicxml.read, path))[0] for _ in range(2))
        parse, stream = cpu_seconds(partial(music21.converter.parse, path, format="musicxml", forceSource=True))
        joined, _ = cpu_seconds(partial(_to_notes, stream))
        score = musicxml.read(path)
        rows.append({"notes": score.n_notes, "cadenza": ours, "music21_parse": parse, "music21_notes": parse + joined})
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    return {
        "files": len(files),
        "notes": total["notes"],
        "cpu_seconds_per_file": {
            n: round(total[n] / len(rows), 4) for n in ("cadenza", "music21_parse", "music21_notes")
        },
        "ratio_parse": round(total["music21_parse"] / total["cadenza"], 2),
        "ratio_notes": round(total["music21_notes"] / total["cadenza"], 2),
        "median_ratio_parse": round(statistics.median(r["music21_parse"] / r["cadenza"] for r in rows), 2),
        "median_ratio_notes": round(statistics.median(r["music21_notes"] / r["cadenza"] for r in rows), 2),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    files = random.Random(options.seed).sample(sorted(options.data.rglob("*.mxl")), options.n)
    result = measure(files) | {"versions": versions() | {"music21": version("music21")}}
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
