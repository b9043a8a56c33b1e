"""What a transcriber adds: naive spectral peaks, Basic Pitch and cadenza's ear on the same sound, notes over the truth.

    python -m benchmarks.transcribers --font TimGM6mb.sf2 --out FILE.json --page docs/transcribers.md
        [--pieces STORE | --scores scores.npz] [--n 4] [--only naive,ear]

The figures and the drawn piano rolls are of our own examples (``examples/``): the waltz on a piano, and the first
guitar of the riff on a nylon guitar, played by a soundfont that the ear was not trained on. With ``--pieces`` or
``--scores`` the same is counted over ``--n`` clips of twelve seconds of held-out works for each instrument
(:mod:`benchmarks.ear` draws them); of those only numbers are kept.

Counted, by mir_eval's matching of onsets within 50 ms at the same key, over what is not matched:

- extra harmonics: notes 12, 19, 24, 28, 31, 34 or 36 semitones above a true note that sounds when they begin;
- split notes: notes at the key of a true note that has begun more than 50 ms earlier and still sounds;
- other: further notes that nobody played; missed: true notes that nobody heard.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ear import CLASSES, f1, rows_of, write
from cadenza import formats
from cadenza.base.errors import MissingExtraError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.formats import wav
from cadenza.infer.transcribers import transcribe_with
from cadenza.score.model import Score
from cadenza.score.table import note_table

NAMES = {"naive": "spectral peaks", "basic-pitch": "Basic Pitch 0.4.0", "ear": "cadenza's ear"}
HARMONICS = (12, 19, 24, 28, 31, 34, 36)
EXAMPLES: dict[str, tuple[str, int, int]] = {  # file, how many of its first tracks, program
    "piano": ("waltz.mid", 9, 0),
    "guitar": ("riff.gp5", 1, 24),
}
SHOWN_SECONDS = 10.0
WIDTH, KEY = 860.0, 3.2  # of a drawn roll: pixels, and of a semitone
FILLS = {"right": "#2f8f5b", "extra harmonics": "#c2571a", "split notes": "#8a56ac", "other": "#888888"}

Notes = NDArray[np.float64]  # (n, 3): onset, end, pitch


def judged(ref: Notes, est: Notes) -> tuple[dict[str, float], list[str]]:
    """The figures, and what each note of ``est`` is."""
    import mir_eval

    spans = [np.c_[rows[:, 0], np.maximum(rows[:, 1], rows[:, 0] + 0.001)] for rows in (ref, est)]
    hertz = [440 * 2 ** ((rows[:, 2] - 69) / 12) for rows in (ref, est)]
    pairs = mir_eval.transcription.match_notes(spans[0], hertz[0], spans[1], hertz[1], offset_ratio=None) if len(
        est
    ) else []  # fmt: skip
    right = {row for _, row in pairs}
    kinds = ["right" if row in right else _kind(ref, *est[row, [0, 2]]) for row in range(len(est))]
    figures: dict[str, float] = {"notes": len(ref), "heard": len(est), "onset F1": f1(ref, est, False),
                                 "onset+offset F1": f1(ref, est, True), "missed": len(ref) - len(pairs)}  # fmt: skip
    return figures | {kind: kinds.count(kind) for kind in list(FILLS)[1:]}, kinds


def _kind(ref: Notes, onset: float, pitch: float) -> str:
    sounding = ref[(ref[:, 0] <= onset + 0.05) & (ref[:, 1] > onset)]
    if (sounding[:, 2] == pitch).any():
        return "split notes"
    return "extra harmonics" if np.isin(pitch - sounding[:, 2], HARMONICS).any() else "other"


def heard_by(name: str, path: Path, family: str) -> Notes:
    """Onset, end and pitch of what a transcriber hears, drums aside."""
    found = transcribe_with(name, path, instruments=[] if name == "ear" else [family])
    rows = [(note.onset_seconds, note.end_seconds, note.pitch) for note in found.heard]
    return np.array(rows, np.float64).reshape(-1, 3)


def example(instrument: str) -> Score:
    """One of our own pieces on this instrument."""
    file, n_tracks, program = EXAMPLES[instrument]
    score = formats.read(Path(__file__).parents[1] / "examples" / file)
    tracks = score.tracks[:n_tracks]  # without the pedal: ends are then what is written
    return score.with_tracks([replace(track, program=program, controls=track.controls[:0]) for track in tracks])


def truth_of(score: Score) -> Notes:
    """Onset, end and pitch."""
    table = note_table(score)
    return np.stack(
        [table["onset_seconds"], table["onset_seconds"] + table["duration_seconds"], table["pitch"].astype(float)], 1
    )


def drawn(title: str, ref: Notes, heard: dict[str, tuple[Notes, list[str], dict[str, float]]]) -> str:
    """Piano rolls, one a transcriber: what was played as outlines, what was heard filled by what it is."""
    pitches = np.concatenate([ref[:, 2], *(rows[:, 2] for rows, _, _ in heard.values())])
    low, high = float(pitches.min()) - 2, float(pitches.max()) + 2
    scale, tall = WIDTH / SHOWN_SECONDS, (high - low + 1) * KEY
    parts, y = [], 24.0
    for name, (est, kinds, figures) in heard.items():
        about = (
            f"{NAMES[name]}: onset F1 {figures['onset F1']:.2f}, {figures['extra harmonics']} extra harmonics, "
            f"{figures['split notes']} split notes, {figures['missed']} missed"
        )
        parts.append(f'<text x="0" y="{y - 6:.0f}" class="head">{escape(about)}</text>')
        parts.append(f'<rect x="0" y="{y:.0f}" width="{WIDTH:.0f}" height="{tall:.0f}" fill="#f4f5f7"/>')
        for row, kind in zip(est, kinds, strict=True):
            parts += _box(row, y + (high - row[2]) * KEY, scale, f'fill="{FILLS[kind]}"')
        for row in ref:
            parts += _box(row, y + (high - row[2]) * KEY, scale, 'fill="none" stroke="#1d2433" stroke-width=".8"')
        y += tall + 30
    x = 0
    for kind, fill in FILLS.items():
        parts.append(f'<rect x="{x}" y="{y - 10:.0f}" width="12" height="8" fill="{fill}"/>')
        parts.append(f'<text x="{x + 17}" y="{y - 2:.0f}">{kind}</text>')
        x += 150
    parts.append(f'<text x="{x}" y="{y - 2:.0f}">outlines: what was played</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {y + 6:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#1d2433" role="img" aria-label="{escape(title)}">'
        f'<style>.head{{font-weight:600}}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _box(row: NDArray[np.float64], y: float, scale: float, how: str) -> Iterator[str]:
    onset, end = float(row[0]), min(float(row[1]), SHOWN_SECONDS)
    if onset < SHOWN_SECONDS:
        yield (
            f'<rect x="{onset * scale:.1f}" y="{y + 0.3:.1f}" width="{max((end - onset) * scale, 1.5):.1f}" '
            f'height="{KEY - 0.6:.1f}" {how}/>'
        )


def total(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Counts summed, F1s averaged over clips."""
    return {
        key: round(float(np.mean([row[key] for row in rows])), 4) if "F1" in key else int(sum(r[key] for r in rows))
        for key in rows[0]
    }


def held_out(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The same counts over clips of works that were never trained on; no music of them is kept."""
    from cadenza.corpus.score_pack import ScorePack, pack
    from cadenza.corpus.store import load_pieces
    from cadenza.corpus.synthesis import Instruments, Synthesizer

    packed = ScorePack.load(options.scores) if options.scores else pack(load_pieces(options.pieces))
    synthesizer = Synthesizer(packed, Instruments([options.font], n_random=0), "test", 7, random_share=0.0)
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        for instrument in EXAMPLES:
            mode, programs, source = CLASSES[instrument]
            rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for number in range(options.n):
                clip = synthesizer.clip(number, mode, programs=programs, source=source, detune_cents=0.0)
                write(path, clip.samples.astype(np.float32) / 32768)
                for name in names:
                    est = heard_by(name, path, "plucked" if instrument == "guitar" else "piano")
                    rows[name].append(judged(rows_of(clip.notes), est)[0])
            out[instrument] = {name: total(found) for name, found in rows.items()}
            print(instrument, json.dumps(out[instrument]), flush=True)
    return out


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """The figures, and the drawings by instrument."""
    names = [name for name in NAMES if name in options.only.split(",")]
    result: dict[str, Any] = {"font": options.font.name, "examples": {}, "not installed": [], "versions": versions()}
    drawings = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "played.wav"
        for instrument in EXAMPLES:
            score = example(instrument)
            wav.write(score, path, soundfont=options.font, sample_rate=22_050)
            ref, heard = truth_of(score), {}
            for name in list(names):
                try:
                    est = heard_by(name, path, "plucked" if instrument == "guitar" else "piano")
                except MissingExtraError:
                    names.remove(name)
                    result["not installed"].append(name)
                    continue
                figures, kinds = judged(ref, est)
                heard[name] = est, kinds, figures
            result["examples"][instrument] = {
                "file": EXAMPLES[instrument][0], **{name: total([one[2]]) for name, one in heard.items()}
            }  # fmt: skip
            print(instrument, json.dumps(result["examples"][instrument]), flush=True)
            drawings[instrument] = drawn(f"{instrument}: what three transcribers hear", ref, heard)
    if options.pieces or options.scores:
        result["held out"] = {"clips": options.n, "seconds": 12, **held_out(options, names)}
    return result, drawings


def page(result: dict[str, Any], drawings: dict[str, str], folder: Path) -> str:
    """The docs page; writes the drawings beside it."""
    lines = [
        "# What a transcriber adds",
        "",
        "Written by `benchmarks/transcribers.py`, which says what is counted; figures in "
        "`benchmarks/results/transcribers.json`.",
        "",
        f"The same sound for all, by {result['font']}, a soundfont that the ear was not trained on. *Spectral peaks* "
        "(`cadenza transcribe --with naive`) take every peak of the spectrum for a note.",
    ]
    for instrument, svg in drawings.items():
        name = f"transcribers-{instrument}.svg"
        write_atomically(folder / name, svg.encode())
        found = result["examples"][instrument]
        lines += ["", f"## {instrument.capitalize()}", "", f"Our own example `{found['file']}`, its first "
                  f"{SHOWN_SECONDS:g} seconds drawn, all of it counted.", "", f"![{instrument}]({name})", "",
                  *_table({name: one for name, one in found.items() if name != "file"})]  # fmt: skip
    if "held out" in result:
        held = result["held out"]
        for instrument in drawings:
            lines += ["", f"## {instrument.capitalize()}, held-out works", "",
                      f"{held['clips']} clips of {held['seconds']} seconds; F1 is the mean of clips.", "",
                      *_table(held[instrument])]  # fmt: skip
    return "\n".join([*lines, ""])


def _table(found: dict[str, dict[str, float]]) -> list[str]:
    head = ["onset F1", "onset+offset F1", "notes", "heard", "extra harmonics", "split notes", "other", "missed"]
    rows = [f"| | {' | '.join(head)} |", "|---|" + "---:|" * len(head)]
    for name, one in found.items():
        cells = [f"{one[key]:.3f}" if "F1" in key else f"{one[key]:,.0f}" for key in head]
        rows.append(f"| {NAMES[name]} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--font", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--pieces", type=Path, help="a store of all pieces with their splits, instead of --scores")
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--only", default=",".join(NAMES))
    options = parser.parse_args()
    result, drawings = measure(options)
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    if options.page:
        write_atomically(options.page, page(result, drawings, options.page.parent).encode())


if __name__ == "__main__":
    main()
