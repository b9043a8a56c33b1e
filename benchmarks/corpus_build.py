"""What building a corpus costs and gives: one command over everything clean in a data folder.

    python benchmarks/corpus_build.py --data DIR --out FILE.json [--sizes 300 1000 0] [--workers 1] [--pieces 200]
                                      [--seed 0] [--keep DIR]

Of all files so many as each of ``--sizes`` says (drawn at random, the smaller among the larger; 0 = all) are built into
a corpus of their own, each by a process that does nothing else: CPU seconds of it and its workers, the sum of the
resident memory of all of them at its highest in each stage (sampled four times a second; pages that they share count
for each), and by how many bytes a file the highest grows from the first to the last size. Of the last: what was left
out and why, and the exact duplicates. Then tokens a note of every notation and layout, over pieces drawn from the
corpus: a token is a field of the notation, as a vocabulary made for it has them. ``--keep`` says where the last corpus
stays.
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
    """Build a corpus of ``n`` files; prints the stages as they begin, then its manifest's counts."""
    every = sources.scan(roots)
    drawn = random.Random(seed).sample(range(len(every)), len(every))
    chosen = [every[place] for place in sorted(drawn[: n or len(every)])]
    pipeline.sources.scan = lambda _: chosen  # type: ignore[attr-defined]  # the build itself always takes everything
    said: list[str] = []

    def say(stage: str, done: int, total: int) -> None:
        if stage not in said:
            said.append(stage)
            print(f"stage {stage}", flush=True)
        elif done == total:
            print("stage deciding", flush=True)

    manifest = pipeline.build(roots, out, pipeline.CorpusConfig(), Processes(workers), say)
    print(json.dumps({"files": len(chosen), "splits": manifest["splits"], "rejected": manifest["rejected"]}))


def _resident(group: int) -> int:
    """Bytes of memory that the processes of a group hold, shared pages counted for each."""
    total, page = 0, os.sysconf("SC_PAGE_SIZE")
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                total += int((entry / "statm").read_text().split()[1]) * page
        except OSError:  # it has ended meanwhile
            continue
    return total


def built(arguments: list[str]) -> dict[str, Any]:
    """One build: what the child says, with its CPU seconds and memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, __file__, "--child", *arguments], stdout=subprocess.PIPE,
                               start_new_session=True, text=True)  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    listener = threading.Thread(target=lambda stream: lines.extend(iter(stream.readline, "")), args=(process.stdout,))
    listener.start()
    peaks: dict[str, int] = {}
    while process.poll() is None:
        stage = next((line.split()[1] for line in reversed(lines) if line.startswith("stage ")), "starting")
        peaks[stage] = max(peaks.get(stage, 0), _resident(process.pid))
        time.sleep(0.25)
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
        "peak_bytes": max(peaks.values()),
        "peak_bytes_by_stage": peaks,
    }


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 1000, 0], help="files; 0 = every one")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pieces", type=int, default=200, help="pieces over which tokens are counted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where the last corpus stays")
    options = parser.parse_args()
    roots = [str(options.data / name) for name in FOLDERS if (options.data / name).is_dir()] or [str(options.data)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, n in enumerate(options.sizes, 1):
            out = options.keep if options.keep and number == len(options.sizes) else Path(folder) / f"{number}"
            rows.append(built([str(out), str(n), str(options.seed), str(options.workers), *roots]))
            print(json.dumps(rows[-1]), flush=True)
        reasons: Counter[str] = Counter()
        lines = (out / "rejected.csv").read_text("utf-8").splitlines()[1:]
        reasons.update(line.split(",")[0] for line in lines)
        tokens = tokens_per_note(some_scores(out, options.pieces, options.seed))
    least, whole = rows[0], rows[-1]
    result = {
        "workers": options.workers,
        "builds": rows,
        "grows_by_bytes_per_file": round(
            (whole["peak_bytes"] - least["peak_bytes"]) / max(whole["files"] - least["files"], 1)
        ),
        "rejected_by_source": dict(reasons),
        "duplicates": whole["rejected"].get("Duplicate", 0),
        "tokens_per_note": tokens,
        "versions": versions() | shards.versions(),
    }
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({name: value for name, value in result.items() if name != "builds"}, indent=1))


if __name__ == "__main__":
    main()
