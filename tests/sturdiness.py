"""Does a corpus build survive? Kills, full disks and other accidents, and the same bits in the end.

    python -m tests.sturdiness [--kills 50] [--disks 10] [--ray] [--data DIR] [--seed 0]

A corpus is built once without trouble, over generated music or the folder DIR. Then it is built again, with 1, 2 and 8
workers in turn, killed (SIGKILL) at random moments: half the time the whole process group, half the time the parent
alone, whose workers must then end by themselves. It is started again until it ends well, and every output file must
have the bytes of the first. Then on a disk that is full at a random moment (a tmpfs where this process may mount one,
else a limit on the size of files), which must be a clear error that loses nothing finished; on Ray with two workers;
two at once in one folder; with another configuration; and after a source file has changed, has gone and has come back.
The exit status is 1 where anything differs. ``tests/rooms/corpus/test_sturdy.py`` is the short form.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.corpus.engines import Engine, OnRay, Processes
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.score.edit import transpose
from cadenza.score.model import STANDARD_TUNINGS, Metre, Note, Score, Tempo, Track

CONFIG = CorpusConfig(
    notation={"name": "simplified-midi", "bars": True},
    tasks={"continue": 1.0, "infill": 1.0, "accompany": 1.0},
    length={"bars": 8, "context": 0.25},
    augment={"copies": 1, "modulate": 0.5, "velocity": 0.5, "dropout": 0.2},
    chunk_files=2,
)
ENDS_WITHIN_SECONDS = 20.0


def song(seed: int, n_bars: int = 16) -> Score:
    """A melody over a bass, by chance."""
    rng = np.random.default_rng(seed)
    lead = [Note(480 * i, 480, int(60 + rng.integers(-7, 12)), int(rng.integers(60, 100))) for i in range(4 * n_bars)]
    bass = [Note(960 * i, 960, int(36 + rng.integers(-5, 7))) for i in range(2 * n_bars)]
    return Score(
        (Track.of(lead, name="Lead", program=30, tuning=STANDARD_TUNINGS["guitar"]), Track.of(bass, program=33)),
        tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=1920 * n_bars,
    )  # fmt: skip


def make_music(folder: Path, n: int = 24) -> None:
    """``n`` songs, a transposed and an equal copy, and two broken files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(n):
        formats.write(song(seed), folder / f"song-{seed}.mid")
    formats.write(transpose(3)(song(0)), folder / "other key.mid")
    formats.write(song(1), folder / "again.mid")
    (folder / "broken.mid").write_bytes(b"MThd nonsense")
    (folder / "broken.gp5").write_bytes(b"nonsense")


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every output file; work/ is left out but for the decisions, and so is what is hidden."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "work"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*found, folder / "work" / "decisions.json"]
    }


def start(music: Path, out: Path, workers: int, max_file_bytes: int = 0) -> subprocess.Popen[str]:
    """A build in a process group of its own."""
    command = [sys.executable, "-m", "tests.sturdiness", "--child", str(music), str(out), str(workers)]
    root = str(Path(__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": root, "STURDINESS_FILE_BYTES": str(max_file_bytes)}
    return subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment,
        cwd=root,
    )  # fmt: skip


def child(music: Path, out: Path, workers: int) -> int:
    """The build that is killed; prints its error, as the command line does."""
    limit = int(os.environ.get("STURDINESS_FILE_BYTES", "0"))
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        build([music], out, CONFIG, Processes(workers))
    except CadenzaError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def members(group: int) -> list[int]:
    """Living processes of a process group (read from /proc; none where there is no /proc)."""
    out = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            out.append(int(entry.name))
    return out


def all_ended(group: int, within_seconds: float = ENDS_WITHIN_SECONDS) -> bool:
    """Whether every process of the group ends in time; what does not is killed."""
    until = time.monotonic() + within_seconds
    while members(group):
        if time.monotonic() > until:
            os.killpg(group, signal.SIGKILL)
            return False
        time.sleep(0.05)
    return True


def killed_build(
    music: Path, out: Path, workers: int, kills: int, span_seconds: float, rng: random.Random, right: dict[str, str]
) -> list[str]:
    """Kill ``kills`` times at moments within ``span_seconds``, beginning anew whenever a build ends; what was wrong."""
    wrong: list[str] = []
    done = 0
    while True:
        process = start(music, out, workers)
        try:
            process.wait(rng.uniform(0.2, span_seconds) if done < kills else None)
        except subprocess.TimeoutExpired:
            done += 1
            if rng.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
                if not all_ended(process.pid):
                    wrong.append(f"{workers} workers: one outlived its parent by {ENDS_WITHIN_SECONDS:g} s")
            process.wait()
            continue
        finally:
            if process.poll() is not None and process.stderr is not None:
                said = process.stderr.read() if process.returncode >= 0 else ""
                process.stderr.close()
        if process.returncode:
            wrong.append(f"{workers} workers: exit status {process.returncode}: {said[-500:]}")
        elif digest(out) != right:
            wrong.append(f"{workers} workers: other bytes after {done} kills")
        if done >= kills or process.returncode:
            return wrong
        shutil.rmtree(out)


def finished(out: Path) -> dict[str, tuple[int, str]]:
    """Finished files of a build: inode and hash. A file that is written again has another inode.

    A chunk's files are finished with its mark: ``ingest-N.json`` for what was read, ``write-N.json`` for its shards.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        mark = path
        if path.suffix == ".npz":
            mark = path.with_name(path.stem.removesuffix("-prints") + ".json")
        elif path.suffix == ".parquet":
            mark = out / "work" / f"write-{path.stem.rpartition('-')[2]}.json"
        if path.is_file() and not path.name.startswith(".") and path.name != "lock" and mark.is_file():
            found[str(path.relative_to(out))] = (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None] | None]:
    """A tmpfs at ``folder`` and how to set its size in KB; None where this process may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "sturdiness", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        yield None
        return
    try:
        yield (
            lambda kilobytes: (
                subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True) and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(music: Path, folder: Path, workers: int, share: float, right: dict[str, str], needed: int) -> list[str]:
    """Build where only ``share`` of the ``needed`` bytes have room, then with room; what was wrong."""
    wrong = []
    with small_disk(folder) as resize:
        out = folder / "out"
        if resize is not None:
            resize(max(8, int(share * needed / 1024)))
        largest = max(1024, int(share * max_file(needed)))
        process = start(music, out, workers, 0 if resize is not None else largest)
        said = process.communicate()[1]
        full = "No space left" in said or "File too large" in said
        if process.returncode == 0 and digest(out) == right:
            pass  # what grew too large was none of it
        elif process.returncode != 3 or not full:
            wrong.append(f"full disk at {share:.2f}: exit status {process.returncode}: {said[-300:]}")
        before = finished(out)
        if resize is not None:
            resize(4 * needed // 1024 + 4096)
        process = start(music, out, workers)
        said = process.communicate()[1]
        if process.returncode or digest(out) != right:
            wrong.append(f"after a full disk at {share:.2f}: exit status {process.returncode}, or other bytes {said}")
        else:
            after = finished(out)
            again = [name for name in before if after.get(name) != before[name]]
            if again:
                wrong.append(f"after a full disk at {share:.2f}, done twice: {', '.join(again)}")
    shutil.rmtree(folder, ignore_errors=True)
    return wrong


def max_file(needed: int) -> int:
    """About the size of the larger files of a build of ``needed`` bytes."""
    return max(needed // 24, 4096)


def on_engine(music: Path, out: Path, engine: Engine, right: dict[str, str]) -> list[str]:
    """Build with another engine; what was wrong."""
    build([music], out, CONFIG, engine)
    return [] if digest(out) == right else [f"{type(engine).__name__}: other bytes"]


def two_at_once(music: Path, out: Path, right: dict[str, str]) -> list[str]:
    """Two builds in one folder: one ends well, or the other does; none harms; what was wrong."""
    pair = [start(music, out, 2) for _ in range(2)]
    said = [process.communicate()[1] for process in pair]
    status = sorted(process.returncode for process in pair)
    wrong = [] if digest(out) == right else ["two at once: other bytes"]
    if status not in ([0, 0], [0, 3]) or (3 in status and not any("locked" in text for text in said)):
        wrong.append(f"two at once: exit status {status}: {said}")
    return wrong


def changed_sources(music: Path, folder: Path) -> list[str]:
    """A file changes, goes and comes back: each time what a build from nothing gives; what was wrong."""
    wrong, inner = [], folder / "changing"
    shutil.copytree(music, inner)
    out, fresh = folder / "kept", folder / "fresh"
    build([inner], out, CONFIG)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("a file changed", lambda: formats.write(song(999), inner / "song-2.mid")),
        ("files gone", lambda: [(inner / f"song-{n}.mid").unlink() for n in (2, 3, 4, 5)]),
        ("a file come back", lambda: formats.write(song(3), inner / "song-3.mid")),
    ]
    for name, change in steps:
        change()
        build([inner], out, CONFIG)
        build([inner], fresh, CONFIG)
        if digest(out) != digest(fresh):
            wrong.append(f"{name}: other bytes than from nothing")
        shutil.rmtree(fresh)
    return wrong


def main() -> int:
    """The command line; the exit status."""
    if sys.argv[1:2] == ["--child"]:
        return child(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="sturdiness-"))
    music = options.data or folder / "music"
    if options.data is None:
        make_music(music)
    begun = time.monotonic()
    start(music, folder / "right", 1).communicate()
    span = time.monotonic() - begun
    right = digest(folder / "right")
    needed = sum(path.stat().st_size for path in (folder / "right").rglob("*") if path.is_file())
    print(f"undisturbed: {span:.1f} s, {len(right)} files, {needed:,} bytes", flush=True)
    wrong: list[str] = []

    def tried(name: str, found: list[str]) -> None:
        wrong.extend(found)
        print(f"{name}: {'; '.join(found) or 'the same bytes'}", flush=True)

    for place, workers in enumerate((1, 2, 8)):
        kills = options.kills // 3 + (place < options.kills % 3)
        # Workers are processes of their own, whose start takes longer than a small build.
        longest = span if workers == 1 else 1.5 * span + 1.0 * workers
        tried(f"{kills} kills, {workers} workers",
              killed_build(music, folder / f"killed-{workers}", workers, kills, longest, rng, right))  # fmt: skip
    for number in range(options.disks):
        share = rng.uniform(0.02, 1.0)
        workers = (1, 2)[number % 2]
        tried(f"a disk full at {share:.2f}, {workers} workers",
              full_disk(music, folder / "disk", workers, share, right, needed))  # fmt: skip
    tried("two at once", two_at_once(music, folder / "two", right))
    if options.data is None:
        tried("changed sources", changed_sources(music, folder))
    if options.ray:
        tried("Ray, two workers", on_engine(music, folder / "ray", OnRay(workers=2), right))
    shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
