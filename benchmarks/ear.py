"""How well the ear hears: works it never saw, on a soundfont it never heard, beside Basic Pitch on the same sound.

    python benchmarks/ear.py --scores scores.npz --font TimGM6mb.sf2 --out FILE.json [--model DIR] [--n 6]
        [--clips DIR] [--peer] [--degraded] [--only CLASS …]

Seven classes of clips of twelve seconds, rendered from works of the test split with the font that is kept for testing.
F1 by mir_eval, mean over clips: onsets within 50 ms at the same key, onsets and ends (within 50 ms or a fifth of the
length), and onsets with the right family of instruments. ``--degraded`` repeats ours out of tune, in a hall (RT60
1.4 s, as loud as the direct sound), in noise (15 dB) and as MP3, and the peer's in the hall, in noise and 25 cents
sharp. ``--clips`` adds the two real recordings of the shared audio folder, reported and never tuned to. Times are CPU
seconds of one process, from file to notes, with one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import BOWED, SAMPLE_RATE, Clip, Instruments, Synthesizer
from cadenza.infer.heard_families import assigned
from cadenza.infer.transcribe import transcribe
from cadenza.model.ear import Ear

#: class → (mode, programs, source)
CLASSES: dict[str, tuple[str, tuple[int, ...], str]] = {
    "piano": ("piano", (0, 1), ""),
    "guitar": ("plucked", (24, 25), ""),
    "bowed solo": ("solo", (40, 41, 42), ""),
    "wind solo": ("solo", (56, 60, 64, 65, 68, 70, 71, 73), ""),
    "quartet": ("ensemble", BOWED, "openscore_quartets"),
    "voice + piano": ("lead", (52, 53, 54), ""),
    "band": ("band", (), ""),
}
DETUNINGS = (-45.0, -25.0, 25.0, 45.0)
PEER_CENTS = 25.0

Notes = NDArray[np.float64]  # (n, 3): onset, end, pitch


def f1(ref: Notes, est: Notes, with_ends: bool) -> float:
    """mir_eval's F1."""
    import mir_eval

    if not len(est) or not len(ref):
        return float(len(est) == len(ref))
    spans = [np.maximum(rows[:, :2], 0) for rows in (ref, est)]
    for span in spans:
        span[:, 1] = np.maximum(span[:, 1], span[:, 0] + 0.001)
    hertz = [440 * 2 ** ((rows[:, 2] - 69) / 12) for rows in (ref, est)]
    ratio = 0.2 if with_ends else None
    return float(
        mir_eval.transcription.precision_recall_f1_overlap(
            spans[0], hertz[0], spans[1], hertz[1], offset_ratio=ratio
        )[2]
    )  # fmt: skip


def by_family(ref: Notes, ref_family: NDArray[np.int64], est: Notes, est_family: NDArray[np.int64]) -> float:
    """Onset F1 where the family has to be right too."""
    import mir_eval

    matched = 0
    for family in np.unique(ref_family):
        mine, theirs = ref[ref_family == family], est[est_family == family]
        if len(mine) and len(theirs):
            spans = [np.c_[rows[:, 0], np.maximum(rows[:, 1], rows[:, 0] + 0.001)] for rows in (mine, theirs)]
            hertz = [440 * 2 ** ((rows[:, 2] - 69) / 12) for rows in (mine, theirs)]
            matched += len(
                mir_eval.transcription.match_notes(spans[0], hertz[0], spans[1], hertz[1], offset_ratio=None)
            )
    return 2 * matched / max(1, len(ref) + len(est))


def rows_of(notes: NDArray[np.void]) -> Notes:
    """Onset, end and pitch of a clip's notes."""
    return np.stack([notes[name].astype(np.float64) for name in ("onset_seconds", "end_seconds", "pitch")], 1)


class Ours:
    """The shipped way from file to notes."""

    def __init__(self, model: Path | None, engine: str) -> None:
        self.ear = Ear(model, threads=1, engine=engine)

    def __call__(self, path: Path) -> tuple[Notes, NDArray[np.int64]]:
        found = transcribe(path, self.ear)
        rows = [(note.onset_seconds, note.end_seconds, note.pitch) for note in found.heard]
        return np.array(rows, np.float64).reshape(-1, 3), np.array(assigned(found.heard, self.ear.families), np.int64)


def degradations() -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
    """Name → what it does to sound."""
    rng = np.random.default_rng(0)

    def hall(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        t = np.arange(int(1.4 * SAMPLE_RATE)) / SAMPLE_RATE
        response = rng.normal(size=len(t)) * 10 ** (-3 * t / 1.4) * (t > 0.01)
        response /= np.linalg.norm(response)
        n = len(sound) + len(t)
        wet = np.fft.irfft(np.fft.rfft(sound, n) * np.fft.rfft(response, n), n)[: len(sound)]
        return (sound + wet).astype(np.float32)

    def noise(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        level = float(np.sqrt(np.mean(sound**2)))
        return (sound + rng.normal(0, level * 10 ** (-15 / 20), len(sound))).astype(np.float32)

    return {"hall, RT60 1.4 s": hall, "noise, 15 dB": noise}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    pack = ScorePack.load(arguments.scores)
    synthesizer = Synthesizer(pack, Instruments([arguments.font], n_random=0), "test", 7, random_share=0.0)
    ours = Ours(arguments.model, arguments.engine)
    peer = None
    if arguments.peer:
        from benchmarks.ear_peer import BasicPitch

        peer = BasicPitch(threads=1)
    result: dict[str, Any] = {
        "n": arguments.n, "clip_seconds": 12, "font": arguments.font.name, "ear": ours.ear.facts,
        "engine": ours.ear.engine, "classes": {},
        "versions": versions(),
    }  # fmt: skip
    spent = {"ours": 0.0, "peer": 0.0}
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        mp3 = Path(folder) / "clip.mp3"
        # The first use pays for imports and memory.
        warm = synthesizer.clip(0, "piano")
        write(path, warm.samples.astype(np.float32) / 32768)
        ours(path)
        for name in arguments.only:
            mode, programs, source = CLASSES[name]
            rows: dict[str, list[dict[str, float]]] = {"ours": [], "Basic Pitch": []}
            worse: dict[str, list[float]] = {}
            theirs_worse: dict[str, list[float]] = {}
            for number in range(arguments.n):
                clip = synthesizer.clip(number, mode, programs=programs, source=source, detune_cents=0.0)
                sound = clip.samples.astype(np.float32) / 32768
                write(path, sound)
                seconds += len(sound) / SAMPLE_RATE
                begun = time.process_time()
                heard, family = ours(path)
                spent["ours"] += time.process_time() - begun
                rows["ours"].append(scores(clip, heard, family))
                if peer:
                    begun = time.process_time()
                    theirs = peer(path)
                    spent["peer"] += time.process_time() - begun
                    rows["Basic Pitch"].append(scores(clip, theirs, None))
                if arguments.degraded:
                    for label, change in degradations().items():
                        write(path, change(sound))
                        worse.setdefault(label, []).append(f1(rows_of(clip.notes), ours(path)[0], False))
                        if peer:
                            theirs_worse.setdefault(label, []).append(f1(rows_of(clip.notes), peer(path), False))
                    n_bytes = write_mp3(mp3, sound)
                    label = f"MP3, {MP3_KILOBITS} kbit/s"
                    worse.setdefault(label, []).append(f1(rows_of(clip.notes), ours(mp3)[0], False))
                    result["mp3_kilobits_a_second"] = round(8 * n_bytes / (len(sound) / SAMPLE_RATE) / 1000, 1)
                    for cents in DETUNINGS:
                        off = synthesizer.clip(number, mode, programs=programs, source=source, detune_cents=cents)
                        write(path, off.samples.astype(np.float32) / 32768)
                        label = f"{cents:+.0f} cents"
                        worse.setdefault(label, []).append(f1(rows_of(off.notes), ours(path)[0], False))
                        if peer and cents == PEER_CENTS:
                            theirs_worse.setdefault(label, []).append(f1(rows_of(off.notes), peer(path), False))
            entry: dict[str, Any] = {
                who: {key: round(float(np.mean([row[key] for row in them])), 4) for key in them[0]}
                for who, them in rows.items()
                if them
            }
            entry["onset F1 degraded"] = {label: round(float(np.mean(values)), 4) for label, values in worse.items()}
            dry = np.array([row["onset"] for row in rows["ours"]])
            entry["points lost"] = {label: points_lost(dry, np.array(values)) for label, values in worse.items()}
            if theirs_worse:
                dry = np.array([row["onset"] for row in rows["Basic Pitch"]])
                entry["points lost by Basic Pitch"] = {
                    label: points_lost(dry, np.array(values)) for label, values in theirs_worse.items()
                }
            result["classes"][name] = entry
            print(name, json.dumps(entry), flush=True)
            write_atomically(arguments.out, (json.dumps(result, indent=1) + "\n").encode())  # what there is, if stopped
    result["audio_seconds_a_cpu_second"] = {
        who: round(seconds / value, 1) for who, value in spent.items() if value
    }  # fmt: skip
    for key in ("points lost", "points lost by Basic Pitch"):
        if lost := over_classes(result["classes"], key):
            result[f"{key}, mean over classes"] = lost
    if arguments.clips:
        result["real"] = real(arguments.clips, ours, peer)
    return result


def scores(clip: Clip, heard: Notes, family: NDArray[np.int64] | None) -> dict[str, float]:
    """The three F1s of one clip (the last for whom families are said)."""
    ref = rows_of(clip.notes)
    out = {"onset": f1(ref, heard, False), "onset+offset": f1(ref, heard, True)}
    if family is not None:
        out["onset+family"] = by_family(ref, clip.notes["family"].astype(np.int64), heard, family)
    return out


def points_lost(dry: NDArray[np.float64], worse: NDArray[np.float64]) -> dict[str, float]:
    """What a degradation costs the same clips, in points of F1, and the standard error of it."""
    lost = 100 * (dry - worse)
    error = lost.std(ddof=1) / len(lost) ** 0.5 if len(lost) > 1 else 0.0
    return {"mean": round(float(lost.mean()), 2), "standard error": round(float(error), 2)}


def over_classes(classes: dict[str, Any], key: str = "points lost") -> dict[str, dict[str, float]]:
    """What each degradation costs, the mean over the classes, and the standard error of that."""
    out: dict[str, dict[str, float]] = {}
    for label in dict.fromkeys(label for entry in classes.values() for label in entry.get(key, {})):
        lost = [entry[key][label] for entry in classes.values() if label in entry.get(key, {})]
        error = float(np.sqrt(sum(one["standard error"] ** 2 for one in lost))) / len(lost)
        mean = float(np.mean([one["mean"] for one in lost]))
        out[label] = {"mean": round(mean, 2), "standard error": round(error, 2)}
    return out


MP3_KILOBITS = 64


def write(path: Path, sound: NDArray[np.float32]) -> None:
    """A 16-bit file at half scale or less."""
    import soundfile

    soundfile.write(path, sound / max(1.0, 2 * float(np.abs(sound).max())), SAMPLE_RATE, "PCM_16")


def write_mp3(path: Path, sound: NDArray[np.float32]) -> int:
    """A constant-rate MP3 at 32 kHz near :data:`MP3_KILOBITS`; returns its bytes."""
    import soundfile

    from cadenza.formats._resample import resampled

    louder = np.concatenate(list(resampled([sound / max(1.0, 2 * float(np.abs(sound).max()))], SAMPLE_RATE, 32_000)))
    # libsndfile maps the level linearly onto the rates of the layer: 320 … 32 kbit/s at this sample rate.
    level = (320 - MP3_KILOBITS) / (320 - 32)
    soundfile.write(
        path, louder, 32_000, "MPEG_LAYER_III", format="MP3", bitrate_mode="CONSTANT", compression_level=level
    )
    return path.stat().st_size


def real(folder: Path, ours: Ours, peer: Any) -> dict[str, Any]:
    """Onset F1 and onset+offset F1 on the two recordings with annotations."""
    from cadenza.formats import jams
    from cadenza.score.table import note_table

    out = {}
    for name, ref in (
        ("00_BN1-129-Eb_comp_mic", lambda: note_table(jams.read(folder.parent / "guitarset/00_BN1-129-Eb_comp.jams"))),
        ("vocadito_1", lambda: np.loadtxt(folder / "vocadito_1_notesA1.csv", delimiter=",")),
    ):
        truth: Any = ref()
        if name == "vocadito_1":
            pitch = 69 + 12 * np.log2(truth[:, 1] / 440)
            notes = np.c_[truth[:, 0], truth[:, 0] + truth[:, 2], pitch]
        else:
            end = truth["onset_seconds"] + truth["duration_seconds"]
            notes = np.c_[truth["onset_seconds"], end, truth["pitch"]]
        path = folder / f"{name}.wav"
        heard = {"ours": ours(path)[0]} | ({"Basic Pitch": peer(path)} if peer else {})
        out[name] = {
            who: {"onset": round(f1(notes, rows, False), 4), "onset+offset": round(f1(notes, rows, True), 4)}
            for who, rows in heard.items()
        }
    return out


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--font", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--n", type=int, default=6, help="clips of each class")
    parser.add_argument("--engine", default="onnxruntime", help="what runs the ear: onnxruntime or openvino")
    parser.add_argument("--clips", type=Path, help="the shared audio folder")
    parser.add_argument("--peer", action="store_true", help="Basic Pitch too")
    parser.add_argument("--degraded", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CLASSES, default=list(CLASSES), metavar="CLASS")
    result = measure(parser.parse_args())
    write_atomically(parser.parse_args().out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps({name: result.get(name) for name in ("audio_seconds_a_cpu_second", "real")}, indent=1))


if __name__ == "__main__":
    main()
