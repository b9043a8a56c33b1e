"""Whether the compiled reader of MIDI files agrees with the plain one, bit for bit: all files of a folder, and damaged.

    python benchmarks/compiled_midi.py --data DIR --out FILE.json [--mutations 3] [--seed 0] [--every 1]

Every .mid file below ``--data`` is read by both; of each, ``--mutations`` more with one to four bytes changed, put in
or left out at random places. Scores must be equal, and errors the same to the letter. The figures: files, how many were
refused, how many disagreed, and the CPU seconds of both readers over the files as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats import _compiled_smf, _smf, midi
from cadenza.score.model import Score


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


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mutations", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="of the files, in order")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    every = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    files = every[:: options.every]
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
        "counts": {name: dict(tally) for name, tally in counts.items()},
        "cpu_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "versions": versions(),
    }
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
