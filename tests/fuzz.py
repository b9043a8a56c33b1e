"""Seeded mutations of real files through a reader, each within the budget that is promised to strangers' files.

    python -m tests.fuzz mid --n 2000 --seed 0 [FILE …]
    python -m tests.fuzz all --n 2000           every readable format, mutations and bombs: the long form

A worker process mutates the given files (or those of :mod:`tests.fuzz_seeds`), writes each to a temporary file and
reads it with :func:`cadenza.formats.read`. A Score or a FormatError (LimitError is one) is fine. Anything else
is a finding: another exception, more than 1 s of CPU a (decompressed) megabyte + 0.5 s, more than 256 MB above what
the process held before (RLIMIT_AS makes that a MemoryError), or a dead worker. A worker that dies or is stuck is
replaced and the rest goes on. ``--n`` and ``--seed`` name each case: a finding is replayed with ``--only INDEX``.

With ``--through N`` what was read goes on: to text, and every N-th Score to a piano roll; within the same memory, and
within 1 s for every 10,000 notes, bend points, bars or marks + 2 s of CPU. Errors of ours are fine there too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import fuzz_seeds

CPU_SECONDS, CPU_SECONDS_PER_MEGABYTE = 0.5, 1.0
# The promise holds for a free core. Where tests run beside each other, CPU seconds are longer; pytest allows this.
CPU_SLACK = float(os.environ.get("CADENZA_FUZZ_SLACK", "1"))
MEMORY_BYTES = 256 << 20
THROUGH_SECONDS, THROUGH_SECONDS_PER_ITEM = 2.0, 1e-4
STUCK_SECONDS = 120  # of waiting for one case; the CPU limit is what should end it
MAX_CASE_BYTES = 4 << 20


@dataclass
class Findings:
    """What a run found: cases by outcome ("Score", "FormatError", …), and everything that broke the promise."""

    outcomes: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    worst_seconds: float = 0.0
    peak_bytes: int = 0


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of ``seeds`` after one to four mutations.

    Bytes that are changed blindly mostly break a zip's checksum or an XML's tags and get no further than that. So
    every other zip is mutated within, and every other XML document by whole elements.
    """
    data = rng.choice(seeds)
    if data[:2] == b"PK" and rng.random() < 0.5:
        return _zipped_again(rng, data)[:MAX_CASE_BYTES]
    return _mutated(rng, data, seeds)[:MAX_CASE_BYTES]


def _mutated(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    by_elements = data[:64].lstrip(b"\xef\xbb\xbf \r\n")[:1] == b"<" and rng.random() < 0.5
    for _ in range(rng.choice((1, 1, 2, 4))):
        (_edit_elements if by_elements else _MUTATIONS[rng.randrange(len(_MUTATIONS))])(rng, out, seeds)
    return bytes(out)


def _zipped_again(rng: random.Random, data: bytes) -> bytes:
    """The zip with one of its files mutated, the largest mostly."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    chosen = max(files, key=lambda name: len(files[name])) if rng.random() < 0.9 else rng.choice(sorted(files))
    files[chosen] = _mutated(rng, files[chosen], [files[chosen]])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


_LEAF = re.compile(rb"<([\w:-]+)(?: [^<>]*)?>[^<>]*</\1>|<[\w:-]+(?: [^<>]*)?/>")


def _edit_elements(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """An element without children, of a stretch of the document, goes, comes twice, moves, or says something else."""
    start = rng.randrange(max(1, len(data)))
    found = list(_LEAF.finditer(data, start, start + 4096)) or list(_LEAF.finditer(data, 0, 4096))
    if not found:
        return
    one, other = rng.choice(found), rng.choice(found)
    text = one.group()
    new = {
        0: b"",
        1: text * rng.choice((2, 2, 20)),
        2: other.group(),
        3: re.sub(rb">[^<>]*<", b">" + rng.choice((b"", b"x", *_NUMBERS)) + b"<", text),
        4: re.sub(rb"\"[^\"<>]*\"", b'"' + rng.choice((b"", b"x", *_NUMBERS)) + b'"', text, count=1),
    }[rng.randrange(5)]
    data[one.start() : one.end()] = new


def _place(rng: random.Random, data: bytearray) -> int:
    """Headers matter: half of all places lie within the first 64 bytes."""
    return rng.randrange(min(len(data), 64) if rng.random() < 0.5 else len(data)) if data else 0


def _flip_bits(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set_bytes(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 3)) if data else 0):
        data[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _truncate(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _duplicate(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 4, 16, 256, 4096))]
    times = rng.choice((1, 1, 2, 50, 1000))
    at = rng.choice((start, rng.randrange(len(data) + 1)))
    data[at:at] = part * min(times, max(1, MAX_CASE_BYTES // (4 * len(part) + 1)))


def _delete(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 2, 4, 16, 256))]


def _edit_length(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """An integer of one, two or four bytes, of either byte order, becomes an extreme or slightly different one."""
    width, order = rng.choice((1, 2, 4)), rng.choice(("big", "little"))
    at = _place(rng, data)
    if at + width > len(data):
        return
    old = int.from_bytes(data[at : at + width], order)  # type: ignore[arg-type]
    top = (1 << (8 * width)) - 1
    new = rng.choice((0, 1, top, top >> 1, (top >> 1) + 1, old + 1, old - 1, old * 2, old + 256, len(data)))
    data[at : at + width] = (new & top).to_bytes(width, order)  # type: ignore[arg-type]


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    start = rng.randrange(len(other) + 1)
    at = rng.randrange(len(data) + 1)
    data[at : at + rng.choice((0, 8, 64))] = other[start : start + rng.choice((4, 32, 512))]


_NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"2",
    b"127",
    b"128",
    b"255",
    b"65535",
    b"65536",
    b"999999",
    b"2147483648",
    b"9" * 18,
    b"1e9",
)


def _edit_number(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """A number in decimal digits (a text format's) becomes another."""
    start = _place(rng, data)
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[start : start + 256]))
    if found:
        match = rng.choice(found)
        data[start + match.start() : start + match.end()] = rng.choice(_NUMBERS)


_MUTATIONS = (_flip_bits, _set_bytes, _truncate, _duplicate, _delete, _edit_length, _splice, _edit_number, _edit_number)


def case(seed: int, index: int, seeds: Sequence[bytes]) -> bytes:
    """The bytes of case ``index``, independent of all other cases."""
    return mutate(random.Random(f"{seed}/{index}"), seeds)


def run(
    suffix: str,
    files: Sequence[Path],
    n: int,
    seed: int = 0,
    first: int = 0,
    raw: bool = False,
    law: bool = False,
    through: int = 0,
) -> Findings:
    """Read ``n`` mutations of ``files`` as ``suffix`` in workers.

    Args:
        raw: the files themselves, unchanged (``n`` of them), for fixed lists of bombs.
        law: what was read is also written and read again, twice, and must be the same the second time.
        through: what was read is also encoded, and every so manieth drawn; 0 for neither.
    """
    findings = Findings()
    at, stop = first, first + n
    with tempfile.TemporaryDirectory() as folder:
        while at < stop:
            job = {
                "suffix": suffix,
                "files": [str(f) for f in files],
                "first": at,
                "stop": stop,
                "seed": seed,
                "folder": folder,
                "raw": raw,
                "law": law,
                "through": through,
            }
            with subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz", "--worker", json.dumps(job)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
            ) as worker:
                at = _listen(worker, findings, at)
    return findings


def _listen(worker: subprocess.Popen[str], findings: Findings, at: int) -> int:
    """Collect the worker's lines until it ends; the next case to do."""
    assert worker.stdout is not None
    done = False
    # The CPU limit ends what loops; this ends what waits.
    watch = _watched(worker)
    for line in worker.stdout:
        watch.cancel()
        watch = _watched(worker)
        row = json.loads(line)
        if "peak" in row:
            findings.peak_bytes = max(findings.peak_bytes, row["peak"])
            done = True
            continue
        outcome = row["outcome"]
        findings.outcomes[outcome] = findings.outcomes.get(outcome, 0) + 1
        findings.worst_seconds = max(findings.worst_seconds, row["seconds"])
        if row["broken"]:
            findings.broken.append(f"case {row['index']}: {row['broken']}")
        at = row["index"] + 1
    code = worker.wait(STUCK_SECONDS)
    watch.cancel()
    if not done:
        findings.broken.append(f"case {at}: the worker died with {code}")
        findings.outcomes["dead"] = findings.outcomes.get("dead", 0) + 1
        at += 1
    return at


def _watched(worker: subprocess.Popen[str]) -> threading.Timer:
    """A timer that kills the worker, started."""
    timer = threading.Timer(STUCK_SECONDS, worker.kill)
    timer.daemon = True
    timer.start()
    return timer


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    raise OSError(f"no {name} in /proc/self/status")


def _work(job: dict) -> None:  # type: ignore[type-arg]
    """In the worker: one JSON line a case, then one with the peak of memory."""
    from cadenza import formats
    from cadenza.base.errors import FormatError

    seeds = [Path(name).read_bytes() for name in job["files"]]
    target = Path(job["folder"]) / f"case.{job['suffix']}"
    # Warm up: what the reader imports is the process's own.
    for data in seeds[: 1 if job["raw"] else 3]:
        target.write_bytes(data)
        try:
            score = formats.read(target)
            if job["law"]:
                formats.write(score, target)
            if job["through"]:
                _through(score, draws=True)
        except FormatError:
            pass
    before, resident = _status_bytes("VmSize"), _status_bytes("VmRSS")
    resource.setrlimit(resource.RLIMIT_AS, (before + MEMORY_BYTES, resource.RLIM_INFINITY))
    for index in range(job["first"], job["stop"]):
        data = seeds[index % len(seeds)] if job["raw"] else case(job["seed"], index, seeds)
        target.write_bytes(data)
        budget = CPU_SLACK * (CPU_SECONDS + CPU_SECONDS_PER_MEGABYTE * _unpacked_bytes(data) / (1 << 20))
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + 4 * budget + 10)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        broken, start = "", time.process_time()
        try:
            score = formats.read(target)
            outcome = "Score"
        except FormatError as error:
            outcome = type(error).__name__
            if str(target) not in str(error):
                broken = f"an error that does not name the file: {error}"
        except BaseException as error:  # everything else is what the fuzzer looks for
            outcome, broken = type(error).__name__, f"{type(error).__name__}: {error}"[:300]
        seconds = time.process_time() - start
        if seconds > budget:
            broken = broken or f"{seconds:.2f} s of CPU for {len(data):,} bytes ({outcome})"
        if job["law"] and outcome == "Score":
            broken = broken or _law(score, target)
        if job["through"] and outcome == "Score":
            broken = broken or _through(score, draws=index % job["through"] == 0)
        score = None
        row = {"index": index, "outcome": outcome, "seconds": seconds, "broken": broken}
        print(json.dumps(row), flush=True)
    print(json.dumps({"peak": max(0, _status_bytes("VmHWM") - resident)}), flush=True)


def _unpacked_bytes(data: bytes) -> int:
    """The size of what a zip or BCFZ holds, as it says itself (at most what fits into it), else of ``data``."""
    if data[:4] == b"BCFZ":
        return max(len(data), min(7_489 * len(data), int.from_bytes(data[4:8], "little")))
    if data[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return max(len(data), min(1_032 * len(data), sum(i.file_size for i in archive.infolist())))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
            pass
    return len(data)


def _through(score: Any, draws: bool) -> str:
    """Why a Score that was read cannot go on to text and picture, or nothing."""
    from cadenza.base.errors import CadenzaError
    from cadenza.formats import piano_roll
    from cadenza.notation.simplified import SimplifiedMidi

    n_items = sum(len(t) + len(t.bends) for t in score.tracks) + len(score.bars) + len(score.tempos)
    steps: list[tuple[str, Any]] = [("encode", SimplifiedMidi().encode)]
    steps += [("encode for a model", SimplifiedMidi(bars=True, compact=True, resolution="grid:24").encode)]
    steps += [("draw", lambda s: piano_roll.draw(s, width=400))] if draws else []
    for name, step in steps:
        start = time.process_time()
        try:
            step(score)
        except CadenzaError:
            pass
        except BaseException as error:  # everything else is what the fuzzer looks for
            return f"{name}: {type(error).__name__}: {error}"[:300]
        seconds = time.process_time() - start
        if seconds > CPU_SLACK * (THROUGH_SECONDS + THROUGH_SECONDS_PER_ITEM * n_items):
            return f"{name}: {seconds:.2f} s of CPU for {n_items:,} items"
    return ""


def _law(score: object, target: Path) -> str:
    """Why what was written and read is not stable, or nothing."""
    from cadenza import formats
    from cadenza.base.errors import FormatError
    from cadenza.score.edit import project

    projection = formats.FORMATS.load(target.suffix[1:]).PROJECTION
    try:
        formats.write(score, target)  # type: ignore[arg-type]
    except FormatError:
        return ""
    back = formats.read(target)
    return "" if back == project(score, projection) else "read → write → read differs"  # type: ignore[arg-type]


def main() -> int:
    """The long form, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suffix", nargs="?", default="mid")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--n", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="replay this one case")
    parser.add_argument("--law", action="store_true", help="also check read → write → read")
    parser.add_argument("--through", type=int, default=0, help="also encode, and draw every so manieth")
    parser.add_argument("--bombs", action="store_true", help="the format's bombs instead of mutations")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args()
    if options.worker:
        _work(json.loads(options.worker))
        return 0
    every = options.suffix == "all"
    n_broken = 0
    for suffix in fuzz_seeds.SUFFIXES if every else (options.suffix,):
        with tempfile.TemporaryDirectory() as folder:
            files = options.files or fuzz_seeds.seed_files(suffix, Path(folder), os.environ.get("CADENZA_SHARED"))
            if not options.bombs:
                first, n = (0, options.n) if options.only is None else (options.only, 1)
                n_broken += _said(
                    suffix, run(suffix, files, n, options.seed, first, False, options.law, options.through)
                )
            if options.bombs or every:
                n_broken += _said(f"bombs of {suffix}", run_bombs(suffix, Path(folder), options.through))
    return 1 if n_broken else 0


def run_bombs(suffix: str, folder: Path, through: int = 0) -> Findings:
    """All bombs of a format; findings name them."""
    made = fuzz_seeds.bombs(suffix)
    paths = [folder / f"bomb-{index}" for index in range(len(made))]
    for path, data in zip(paths, made.values(), strict=True):
        path.write_bytes(data)
    warm = [*fuzz_seeds.seed_files(suffix, folder)[:1], *paths]
    found = run(suffix, warm, len(warm), raw=True, through=through)
    names = ["(warm-up)", *made]
    found.broken = [re.sub(r"case (\d+)", lambda m: f"bomb {names[int(m[1])]!r}", line) for line in found.broken]
    return found


def _said(what: str, found: Findings) -> int:
    for line in found.broken:
        print(f"{what}: {line}")
    print(
        f"{what}: {sum(found.outcomes.values())} cases: {found.outcomes}; {len(found.broken)} broken;"
        f" slowest {found.worst_seconds:.2f} s of CPU, {found.peak_bytes >> 20} MB above the start",
        flush=True,
    )
    return len(found.broken)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads reserve address space
    sys.exit(main())
