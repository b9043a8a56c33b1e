"""Whether the compiled reader of MIDI files agrees with the plain one, bit for bit: all files of a folder, and damaged.

    python benchmarks/compiled_midi.py --data DIR --out FILE.json [--mutations 3] [--seed 0] [--every 1] [--told 500]

Every .mid file below ``--data`` is read by both; of each, ``--mutations`` more with one to four bytes changed, put in
or left out at random places. Scores must be equal, and errors the same to the letter. The figures: files, how many
were refused, how many disagreed, and the CPU seconds of both readers over the files as they are. Of the first
``--told`` scores: whether the shipped model's text is told alike in ids by NumPy's columns and by the compiled loops,
and what this takes both ways. Of a new process: what it pays before the compiled reader has read its first file, with
an empty cache (it compiles) and with a full one (it loads), and then for the loops that tell ids.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cadenza.base.compiled import Loop
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats import _compiled_smf, _smf, midi
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.simplified import SimplifiedMidi, telling
from cadenza.score.model import Score

GRID: dict[str, Any] = {"velocity": "bins:32", "resolution": "grid:24", "header": "first", "durations": "table"}


def both(data: bytes) -> tuple[Score | str, Score | str, float, float]:
    """What the plain reader and the compiled one say (a text: the error), and their CPU seconds."""

    def outcome(read_chunk: _smf.ReadChunk) -> Score | str:
        try:
            return midi.decode(data, read_chunk=read_chunk)
        except CadenzaError as error:
            return f"{type(error).__name__}: {error}"

    start = time.process_time()
    plain = outcome(_smf.parse_chunk)
    middle = time.process_time()
    quick = outcome(_compiled_smf.parse_chunk)
    return plain, quick, middle - start, time.process_time() - middle


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four bytes changed, put in or left out."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        kind = rng.randrange(3)
        if kind == 0:
            out[at] = rng.choice((rng.randrange(256), out[at] ^ 1 << rng.randrange(8)))
        elif kind == 1:
            out.insert(at, rng.randrange(256))
        else:
            del out[at]
    return bytes(out)


def relengthened(data: bytes) -> bytes:
    """``data`` with the length of its last chunk made to fit, so that damage is not always found by the length."""
    at, last = 14, None
    while at + 8 <= len(data):
        last, size = at, int.from_bytes(data[at + 4 : at + 8], "big")
        at += 8 + size
    if last is None:
        return data
    return data[: last + 4] + (len(data) - last - 8).to_bytes(4, "big") + data[last + 8 :]


_FIRST_USE = """
import sys, time
from pathlib import Path
from cadenza.formats import _compiled_smf, midi
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.simplified import SimplifiedMidi, telling
data = Path(sys.argv[1]).read_bytes()
notation = SimplifiedMidi(resolution="grid:24", header="first", durations="table", velocity="bins:32")
vocabulary = Vocabulary.of(notation.vocabulary())
ids = notation.ids(vocabulary.ids, vocabulary.tokenize)
ids(midi.decode(data))
start = time.process_time()
assert _compiled_smf.EVENTS.now
score = midi.decode(data, read_chunk=_compiled_smf.parse_chunk)
middle = time.process_time()
assert telling.ARRANGE.now and telling.TELL.now
ids(score)
print(middle - start, time.process_time() - middle)
"""


def first_use(path: Path) -> dict[str, dict[str, float]]:
    """CPU seconds of a new process before the compiled loops have done their first work, beyond the plain imports."""
    out = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compiling", "loading"):
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_USE, str(path)],
                env={**os.environ, "NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=True,
            )  # fmt: skip
            out[name] = dict(zip(("reading", "ids"), map(float, done.stdout.split()), strict=True))
    return {name: {loop: round(value, 3) for loop, value in one.items()} for name, one in out.items()}


def told(scores: list[Score]) -> dict[str, Any]:
    """Ids by the compiled loops and by NumPy's columns: whether they agree, and CPU seconds."""
    loops = telling.ARRANGE, telling.TELL
    assert all(loop.now for loop in loops), "numba is missing"
    notation = SimplifiedMidi(**GRID)
    vocabulary = Vocabulary.of(notation.vocabulary())
    ids = notation.ids(vocabulary.ids, vocabulary.tokenize)
    found: dict[str, list[list[int]]] = {}
    seconds = {}
    for name, plain_work in (("compiled", 0), ("columns", 1 << 60)):
        telling.ARRANGE, telling.TELL = (Loop(loop.now, plain_work) for loop in loops) if plain_work else loops
        ids(scores[0])
        start = time.process_time()
        found[name] = [ids(score).tolist() for score in scores]
        seconds[name] = round(time.process_time() - start, 3)
    telling.ARRANGE, telling.TELL = loops
    unequal = sum(a != b for a, b in zip(found["compiled"], found["columns"], strict=True))
    notes = sum(score.n_notes for score in scores)
    return {"scores": len(scores), "notes": notes, "unequal": unequal, "cpu_seconds": seconds}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mutations", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="of the files, in order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--told", type=int, default=500)
    options = parser.parse_args()
    every = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    files = every[:: options.every]
    assert _compiled_smf.EVENTS.now is not None, "numba is missing"
    both(files[0].read_bytes())  # the first use pays for imports and compiling
    rng = random.Random(options.seed)
    seconds: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {"as they are": Counter(), "damaged": Counter()}
    for path in files:
        data = path.read_bytes()
        for number in range(1 + options.mutations):
            given = data
            if number:
                given = mutated(data, rng)
                given = relengthened(given) if rng.random() < 0.7 else given
            plain, quick, plain_seconds, quick_seconds = both(given)
            tally = counts["damaged" if number else "as they are"]
            tally["files"] += 1
            tally["refused"] += isinstance(plain, str)
            tally["unequal"] += quick != plain
            if quick != plain:
                print(f"unequal: {path.name}, mutation {number}", flush=True)
            if not number:
                seconds["plain"] += plain_seconds
                seconds["compiled"] += quick_seconds
    result: dict[str, Any] = {
        "first_use_cpu_seconds": first_use(files[0]),
        "ids": told([midi.decode(path.read_bytes()) for path in files[: options.told]]),
        "bytes": sum(path.stat().st_size for path in files),
        "counts": {name: dict(tally) for name, tally in counts.items()},
        "cpu_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "versions": versions(),
    }
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
