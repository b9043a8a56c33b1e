"""What building a corpus costs and gives: one command over everything clean in a data folder.

    python benchmarks/corpus_build.py --data DIR --out FILE.json [--n 0] [--at 300 1000] [--workers 1] [--pieces 200]
                                      [--seed 0] [--keep DIR]

All files (or ``--n`` drawn at random) are built into a corpus by a process that does nothing else: CPU seconds of it
and its workers, and the sum of the resident memory of all of them at its highest in each stage (looked at once a
second; pages that they share count for each). How memory grows with the files is seen from two sides: the highest while
reading up to each of ``--at`` files, and deciding alone over so many (and over four times all of them: the same ones
again), each time in a process of its own. Of the whole: what was left out and why, and the exact duplicates. Then
tokens a note of every notation and layout, over pieces drawn from the corpus: a token is a field of the notation, as a
vocabulary made for it has them. ``--keep`` says where the corpus stays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import pipeline, shards, sources
from cadenza.corpus.engines import Processes
from cadenza.corpus.store import load_pieces
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.notation.layout import LAYOUTS
from cadenza.score.model import Score

FOLDERS = ("openscore_lieder", "openscore_quartets", "openhymnal", "mutopia", "groove", "guitarset")


def child(roots: list[Path], out: Path, n: int, seed: int, workers: int) -> None:
    """Build a corpus of ``n`` files; prints each stage's progress in files, then its manifest's counts."""
    every = sources.scan(roots)
    drawn = random.Random(seed).sample(range(len(every)), len(every))
    chosen = [every[place] for place in sorted(drawn[: n or len(every)])]
    pipeline.sources.scan = lambda *_: chosen  # type: ignore[attr-defined]  # the build itself always takes everything
    config = pipeline.CorpusConfig()

    def say(stage: str, done: int, total: int) -> None:
        print(f"{stage if done < total else 'deciding'} {min(done * config.chunk_files, len(chosen))}", flush=True)

    manifest = pipeline.build(roots, out, config, Processes(workers), say)
    print(json.dumps({"files": len(chosen), "splits": manifest["splits"], "rejected": manifest["rejected"]}))


def deciding(out: Path, n_chunks: int) -> None:
    """Decide over the first chunks of a finished build, again and again the same where more are asked than there are;
    prints the highest memory of this process, in bytes."""
    there = [path.with_suffix("") for path in sorted((out / "work").glob("ingest-?????.json"))]
    bases = (there * -(-n_chunks // len(there)))[:n_chunks]
    before = _peak()
    pipeline.decide(bases, pipeline.CorpusConfig(deduplicate=False))
    print(json.dumps({"before": before, "peak": _peak()}))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident(process: int) -> int:
    """Bytes of memory that a process and all below it hold, shared pages counted for each."""
    try:
        own = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        below = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has ended meanwhile
        return 0
    return own + sum(_resident(int(name)) for names in below for name in names)


def built(arguments: list[str], at: list[int]) -> dict[str, Any]:
    """One build: what the child says, with its CPU seconds and memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, __file__, "--child", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = ["starting 0"]
    listener = threading.Thread(target=lambda stream: lines.extend(iter(stream.readline, "")), args=(process.stdout,))
    listener.start()
    peaks: dict[str, int] = {}
    up_to = dict.fromkeys(at, 0)
    while process.poll() is None:
        stage, _, done = lines[-1].partition(" ")
        held = _resident(process.pid)
        if stage in ("starting", "reading", "deciding", "writing"):
            peaks[stage] = max(peaks.get(stage, 0), held)
        if stage in ("starting", "reading"):
            up_to |= {n: max(peak, held) for n, peak in up_to.items() if int(done) <= n}
        time.sleep(1)
    listener.join()
    wall = time.monotonic() - start
    if process.returncode:
        raise SystemExit(process.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(lines[-1])
    notes = sum(split["notes"] for split in found["splits"].values())
    return found | {
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "files_per_cpu_second": round(found["files"] / cpu, 2),
        "notes": notes,
        "notes_per_cpu_second": round(notes / cpu),
        "peak_bytes_by_stage": peaks,
        "peak_bytes_reading_up_to": up_to,
    }


def decided(out: Path, n_files: int) -> dict[str, int]:
    """The memory of deciding over about so many files of a finished build."""
    chunks = -(-n_files // pipeline.CorpusConfig().chunk_files)
    said = subprocess.run(
        [sys.executable, __file__, "--deciding", str(out), str(chunks)], check=True, capture_output=True, text=True
    )
    found: dict[str, int] = json.loads(said.stdout)
    return found


def notations() -> Iterator[tuple[str, Notation]]:
    """Every notation in each layout that it has, and the short form of our own."""
    for name in NOTATIONS.names():
        kind = NOTATIONS.load(name)
        layouts = LAYOUTS if "layout" in kind().options() else ("",)
        for layout in layouts:
            given = {"layout": layout} if layout else {}
            yield f"{name} {layout}".strip(), kind(**given)
            if name == "simplified-midi":
                yield f"{name} {layout} bars compact", kind(**given, bars=True, compact=True)
                yield f"{name} {layout} published", kind.published(**given)


def tokens_per_note(scores: list[Score]) -> dict[str, Any]:
    """Fields a note of each notation, over the scores that it can tell."""
    out = {}
    for name, notation in notations():
        notes, tokens, refused = 0, 0, 0
        for score in scores:
            try:
                tokens += sum(1 for _ in notation.fields(notation.encode(score)))
                notes += score.n_notes
            except CadenzaError:
                refused += 1
        out[name] = {"tokens_per_note": round(tokens / max(notes, 1), 3), "refused": refused}
    return out


def some_scores(out: Path, n: int, seed: int) -> list[Score]:
    """``n`` scores drawn from what a build has read."""
    files = sorted((out / "work").glob("ingest-?????.npz"))
    rng = random.Random(seed)
    rng.shuffle(files)
    each = -(-n // len(files))
    found: list[Score] = []
    for path in files:
        pieces = load_pieces(path)
        found += [piece.score for piece in rng.sample(pieces, min(each, len(pieces)))]
    return found[:n]


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["--child"]:
        out, n, seed, workers, *roots = sys.argv[2:]
        child([Path(root) for root in roots], Path(out), int(n), int(seed), int(workers))
        return
    if sys.argv[1:2] == ["--deciding"]:
        deciding(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=0, help="files; 0 = every one")
    parser.add_argument("--at", type=int, nargs="*", default=[300, 1000], help="files at which memory is looked at")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pieces", type=int, default=200, help="pieces over which tokens are counted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where the corpus stays")
    options = parser.parse_args()
    roots = [str(options.data / name) for name in FOLDERS if (options.data / name).is_dir()] or [str(options.data)]
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder) / "corpus"
        whole = built([str(out), *map(str, (options.n, options.seed, options.workers)), *roots], options.at)
        print(json.dumps(whole), flush=True)
        reasons: Counter[str] = Counter()
        lines = (out / "rejected.csv").read_text("utf-8").splitlines()[1:]
        reasons.update(line.split(",")[0] for line in lines)
        memory = {str(n): decided(out, n) for n in (*options.at, whole["files"], 4 * whole["files"])}
        print(json.dumps(memory), flush=True)
        tokens = tokens_per_note(some_scores(out, options.pieces, options.seed))
    result = {
        "workers": options.workers,
        "build": whole,
        "deciding_alone_bytes": memory,
        "rejected_by_source": dict(reasons),
        "duplicates": whole["rejected"].get("Duplicate", 0),
        "tokens_per_note": tokens,
        "versions": versions() | shards.versions(),
    }
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({name: value for name, value in result.items() if name != "build"}, indent=1))


if __name__ == "__main__":
    main()
