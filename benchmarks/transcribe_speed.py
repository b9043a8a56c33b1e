"""How long transcribing takes from file to page, and how much memory, beside Basic Pitch in the same run.

    python -m benchmarks.transcribe_speed --out FILE.json [--seconds 120 600] [--rounds 3] [--hour [--peer-hour]]
        [--font FONT.sf2] [--peer-command …/bin/basic-pitch]

The sound is our own examples for piano, again and again, as 16-bit wav at 44.1 kHz. Each command is a process of its
own (``cadenza transcribe FILE -o page.musicxml``, under each engine that is installed; for Basic Pitch with ``--with
basic-pitch``): what it takes counts from its start to its end, imports, notation and writing included, the second
time that it runs: modules are compiled by then, as an installed package's are. Seconds of sound a second of wall-
clock time say what a user sees and depend on what else the machine does; a CPU second does not. Sound of
``--seconds`` is heard ``--rounds`` times by each in turn and the median is said; starting weighs more in a short one.
``--peer-command`` is Basic Pitch's own command, of an environment where ``pip install basic-pitch`` put it with what
it depends on (TensorFlow, librosa), and writes MIDI: ``--with basic-pitch`` runs its network on ONNX Runtime instead,
behind our reader, and starts much sooner.
``--hour`` makes sound of an hour and does the same once: imports weigh little there, and memory could grow.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from cadenza import formats
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats.wav import synthesize
from cadenza.model.ear_engines import ONNX_RUNTIME, OPENVINO

RATE = 44_100
PEER, PEER_COMMAND = "Basic Pitch", "Basic Pitch, its own command"
EXAMPLES = ("waltz.mid", "chorale.mid")


def sound(path: Path, seconds: float, font: Path | None) -> None:
    """The examples one after another until it is long enough."""
    folder = Path(__file__).parents[1] / "examples"
    played = [synthesize(formats.read(folder / name), soundfont=font or "built-in", sample_rate=RATE)[0].samples.mean(0)
              for name in EXAMPLES]  # fmt: skip
    left, number = round(seconds * RATE), 0
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while left > 0:
            part = played[number % len(played)][:left]
            file.write(0.9 * part / max(1.0, float(np.abs(part).max())))
            left, number = left - len(part), number + 1


def ran(command: list[str], path: str = sys.executable) -> dict[str, float]:
    """Wall-clock and CPU seconds of a process, and its peak of resident memory in megabytes."""
    unwanted = ["PYTHONDONTWRITEBYTECODE"] + ["PYTHONPATH"] * (path != sys.executable)
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    begun = time.perf_counter()
    child = os.posix_spawn(path, [path, *command], environment)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return {
        "wall_seconds": round(time.perf_counter() - begun, 2), "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_megabytes": round(used.ru_maxrss / 1024),
    }  # fmt: skip


def measured(path: Path, seconds: float, out: Path, *options: str) -> dict[str, float]:
    """One command's figures, with seconds of sound a second; ``options`` of ours, or the peer's command."""
    if options and not options[0].startswith("-"):
        with tempfile.TemporaryDirectory() as folder:  # it refuses to write over what is there
            found = ran([folder, str(path)], options[0])
    else:
        found = ran(["-m", "cadenza", "transcribe", str(path), "-o", str(out), *options])
    return found | {
        "sound_seconds": seconds, "times_real_time": round(seconds / found["wall_seconds"], 1),
        "sound_seconds_a_cpu_second": round(seconds / found["cpu_seconds"], 1),
    }  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=int, nargs="+", default=[120])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--peer-hour", action="store_true", help="with --hour: Basic Pitch hears the hour too")
    parser.add_argument("--font", type=Path)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-command", default="", help="of an installed Basic Pitch")
    options = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "versions": versions()}
    with tempfile.TemporaryDirectory() as folder:
        path, page = Path(folder) / "sound.wav", Path(folder) / "page.musicxml"
        names = [name for name in (ONNX_RUNTIME, OPENVINO) if importlib.util.find_spec(name)]
        commands = {f"ear, {name}": ("--engine", name) for name in names}
        if not options.no_peer:
            commands[PEER] = ("--with", "basic-pitch")
        if options.peer_command:
            commands[PEER_COMMAND] = (options.peer_command,)
        for seconds in options.seconds:
            sound(path, seconds, options.font)
            found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
            for turn in range(options.rounds + 1):
                for name, words in commands.items():
                    one = measured(path, seconds, page, *words)
                    if turn:  # the first compiles modules and fills the disk's cache
                        found[name].append(one)
            rows = {
                name: sorted(own, key=lambda row: row["wall_seconds"])[len(own) // 2] for name, own in found.items()
            }  # fmt: skip
            for peer, said in ((PEER, "times_peer"), (PEER_COMMAND, "times_peer_command")):
                for row in rows.values() if peer in rows else ():
                    row[said] = round(rows[peer]["wall_seconds"] / row["wall_seconds"], 2)
            result[f"{seconds} s"] = rows
            print(json.dumps({f"{seconds} s": rows}, indent=1), flush=True)
        if options.hour:
            sound(path, 3600.0, options.font)
            for name in names:
                result[f"ear, {name}, an hour"] = measured(path, 3600.0, page, "--engine", name)
                print(json.dumps(result[f"ear, {name}, an hour"]), flush=True)
            write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
            if options.peer_hour:  # more than seven minutes
                result[f"{PEER}, an hour"] = measured(path, 3600.0, page, "--with", "basic-pitch")
                print(json.dumps(result[f"{PEER}, an hour"]), flush=True)
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
