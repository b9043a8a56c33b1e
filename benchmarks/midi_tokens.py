"""How fast MIDI files become tokens: cadenza and MidiTok's REMI on the same files in one run, in CPU seconds.

    python benchmarks/midi_tokens.py --data DIR --out FILE.json [--n 80] [--seed 0] [--goes 4]

Both start at a path and end at a list of token ids. Two ways of timing: ``file by file`` all take turns on each file,
each goes ``--goes`` times over it at once, and the best counts, so that caches are warm; ``folder`` each goes over all
files once, newly made so that it remembers none of them, all in turn, ``--goes`` times, and the best of these counts,
as when a folder is read. Importing, and loading what is compiled, comes before the clock starts. REMI is measured
twice: as it is configured without options (``remi``), and with the programs, tempos and time signatures that our text
says too (``remi_same_facts``). Ours is told in each layout on the grid of the shipped model, with ids of the vocabulary
made from it (``… ids``), and exactly, to the tick, as words for the tokenizer of a language model (``… text``, no ids).
``(text)`` marks ids that were looked up in the text, ``byte by byte`` files read by the plain loop; the others are what
many files are read with: a compiled loop, columns straight to ids. Files that either refuses are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats import _compiled_smf, midi
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.simplified import SimplifiedMidi, telling

GRID = {"bend_step_cents": 25, "velocity": "bins:32", "resolution": "grid:24", "header": "first", "durations": "table"}
IDS = {
    "interleaved": GRID,
    "by_track": GRID | {"layout": "by_track"},
    "interleaved bars compact": GRID | {"bars": True, "compact": True},
    "by_track bars compact": GRID | {"bars": True, "compact": True, "layout": "by_track"},
}
TEXT: dict[str, dict[str, Any]] = {
    "interleaved": {},
    "by_track": {"layout": "by_track"},
    "published": {"profile": "published", "bend": "none"},
    "published milliseconds": {"profile": "published", "bend": "none", "resolution": "flat:500"},
}


def ways() -> dict[str, Callable[[Path], Any]]:
    """Name → path to tokens."""
    from miditok import REMI, TokenizerConfig

    out: dict[str, Callable[[Path], Any]] = {
        "remi": REMI(TokenizerConfig()),
        "remi_same_facts": REMI(TokenizerConfig(use_programs=True, use_tempos=True, use_time_signatures=True)),
        "cadenza reading alone": midi.read_quickly,
        "cadenza reading alone, byte by byte": midi.read,
    }

    def looked_up(notation: SimplifiedMidi) -> Callable[[Path], list[int]]:
        vocabulary = Vocabulary.of(notation.vocabulary())
        return lambda path: vocabulary.tokenize(notation.encode(midi.read_quickly(path)))

    def ids(notation: SimplifiedMidi) -> Callable[[Path], list[int]]:
        vocabulary = Vocabulary.of(notation.vocabulary())
        told = notation.ids(vocabulary.ids, vocabulary.tokenize)
        return lambda path: told(midi.read_quickly(path)).tolist()

    def words(notation: SimplifiedMidi) -> Callable[[Path], list[str]]:
        return lambda path: notation.encode(midi.read_quickly(path)).split()

    out |= {f"cadenza {name}, ids": ids(SimplifiedMidi(**options)) for name, options in IDS.items()}
    out |= {f"cadenza {name}, ids (text)": looked_up(SimplifiedMidi(**options)) for name, options in IDS.items()}
    return out | {f"cadenza {name}, text": words(SimplifiedMidi(**options)) for name, options in TEXT.items()}


def measure(files: list[Path], goes: int) -> dict[str, Any]:
    """CPU seconds of every way over all files, both ways of timing, and MidiTok's seconds over ours."""
    known = ways()
    notes, left_out = 0, 0
    seconds = dict.fromkeys(known, 0.0)
    for loop in (_compiled_smf.EVENTS, telling.ARRANGE, telling.TELL):
        assert loop.now is not None, "numba is missing"
    for way in known.values():  # the first use pays for imports
        way(files[0])
    sound = []
    for path in files:
        taken = {}
        try:
            n_notes = midi.read(path).n_notes
            for name, way in known.items():
                for _ in range(goes):
                    start = time.process_time()
                    way(path)
                    taken[name] = min(taken.get(name, 1e9), time.process_time() - start)
        except (CadenzaError, RuntimeError, ValueError):  # symusic raises both of the latter for files it refuses
            left_out += 1
            continue
        notes += n_notes
        sound.append(path)
        for name, value in taken.items():
            seconds[name] += value
    return {
        "files": len(sound),
        "goes": goes,
        "left_out": left_out,
        "notes": notes,
        "file by file": compared(seconds, notes),
        "folder": compared(folder(sound, goes), notes),
    }


def folder(files: list[Path], goes: int) -> dict[str, float]:
    """The fewest CPU seconds that each way takes for all files."""
    best: dict[str, float] = {}
    for _ in range(goes):
        for name, way in ways().items():
            start = time.process_time()
            for path in files:
                way(path)
            best[name] = min(best.get(name, 1e9), time.process_time() - start)
    return best


def compared(seconds: dict[str, float], notes: int) -> dict[str, Any]:
    """The seconds, and MidiTok's over them."""
    same = seconds["remi_same_facts"]
    return {
        "cpu_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "notes_per_cpu_second": {name: round(notes / value) for name, value in seconds.items()},
        "times_remi": {name: round(seconds["remi"] / value, 2) for name, value in seconds.items()},
        "times_remi_same_facts": {name: round(same / value, 2) for name, value in seconds.items()},
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--goes", type=int, default=4)
    options = parser.parse_args()
    files = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    chosen = random.Random(options.seed).sample(files, min(options.n, len(files)))
    named = {name: version(name) for name in ("miditok", "symusic")}
    result = measure(chosen, options.goes) | {"versions": versions() | named}
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
