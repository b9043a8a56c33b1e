"""Records what metrics must give: metrics.json.

    CADENZA_SHARED=… python tests/golden/metrics.py

- ``ours``: every metric of one piece on the example pieces, and of each against a damaged copy of itself. A change of
  these is a change of definition, to be made on purpose.
- ``muspy``: MusPy's features of 200 scores of the shared music at 24 ticks a quarter, by MusPy itself (0.5.0; not among
  the project's test packages, since it brings matplotlib, music21 and more: ``pip install muspy==0.5.0`` elsewhere).

tests/rooms/metrics/test_golden_metrics.py compares.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cadenza import formats
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.metrics.base import METRICS
from cadenza.score import edit
from cadenza.score.model import Score, Track
from cadenza.score.time import bar_table

FILE = Path(__file__).with_name("metrics.json")
EXAMPLES = Path(__file__).parents[2] / "examples"
PIECES = ("chorale.mid", "riff.gp5")
ALONE = ("pitch", "rhythm", "structure", "repetition")
AGAINST = ("transcription", "score-quality")
RESOLUTION = 24
N_SCORES = {"groove": 80, "mutopia": 120}


def damaged(score: Score) -> Score:
    """Every third note a semitone higher, every fifth a quarter of a quarter later."""

    def one(track: Track) -> Track:
        notes = track.notes.copy()
        number = np.arange(len(notes))
        notes["pitch"] += (number % 3 == 0).astype(np.int16)
        notes["onset_ticks"] += np.where(number % 5 == 0, score.ticks_per_quarter // 4, 0)
        notes["string"], notes["fret"] = 0, -1
        return Track(track.name, track.program, track.is_drums, (), 0, notes)

    return score.map_tracks(one)


def ours(piece: str) -> dict[str, float]:
    """Columns of an example piece."""
    score = formats.read(EXAMPLES / piece)
    out: dict[str, float] = {}
    for name in ALONE:
        out |= METRICS.load(name)(est=score)
    for name in AGAINST:
        out |= METRICS.load(name)(ref=score, est=damaged(score))
    half = len(bar_table(score)) // 2
    seed, rest = edit.select_bars(0, half)(score), edit.select_bars(half, 2 * half)(score)
    out |= METRICS.load("continuation")(seed=seed, ref=rest, est=damaged(rest))
    out |= METRICS.load("originality")(seed=seed, est=rest)
    text = MODEL_NOTATION.encode(score)
    out |= METRICS.load("repetition-tokens")(est=text, notation=MODEL_NOTATION)
    return out | METRICS.load("syntax")(est=text, notation=MODEL_NOTATION)


def scores(shared: Path, names: list[str] | None = None) -> dict[str, Score]:
    """The 200 scores by path: the smallest files that have one metre, on 24 ticks a quarter."""
    found: dict[str, Score] = {}
    for source, n in N_SCORES.items():
        paths = sorted((shared / source).rglob("*.mid"), key=lambda p: (p.stat().st_size, str(p)))
        for path in paths:
            name = str(path.relative_to(shared))
            if names is not None and name not in names:
                continue
            score = edit.rescale(RESOLUTION, exact=False)(formats.read(path))
            lengths = np.unique(np.diff(bar_table(score).starts_ticks))
            if names is None and (len(lengths) > 1 or not score.n_notes or len(bar_table(score)) < 2):
                continue
            found[name] = score
            if sum(key.startswith(source) for key in found) == n:
                break
    return found


def muspy_values(score: Score) -> dict[str, float | None]:
    """MusPy's features of a score; None for its NaN."""
    import muspy

    tracks = [
        muspy.Track(t.program, t.is_drums, t.name, notes=[
            muspy.Note(int(n["onset_ticks"]), int(n["pitch"]), int(n["duration_ticks"]), int(n["velocity"]))
            for n in t.notes
        ])
        for t in score.tracks
    ]  # fmt: skip
    music = muspy.Music(resolution=RESOLUTION, tracks=tracks)
    bar = int(bar_table(score).ends_ticks[0])
    values = {
        "pitches_used": muspy.n_pitches_used(music),
        "pitch_classes_used": muspy.n_pitch_classes_used(music),
        "pitch_range": muspy.pitch_range(music),
        "pitch_entropy": muspy.pitch_entropy(music),
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
        "scale_consistency": muspy.scale_consistency(music),
        "polyphony": muspy.polyphony(music),
        "polyphony_rate": muspy.polyphony_rate(music),
        "polyphony_rate of more than 1": muspy.polyphony_rate(music, threshold=1),
        "empty_beat_rate": muspy.empty_beat_rate(music),
        "empty_bar_rate": muspy.empty_measure_rate(music, bar),
        "groove_consistency": muspy.groove_consistency(music, bar),
        "drum_pattern_consistency": muspy.drum_pattern_consistency(music),
    }
    return {name: None if value != value else round(float(value), 9) for name, value in values.items()}


def main() -> None:
    """Write metrics.json; MusPy's part is kept where MusPy is not installed."""
    result: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    result["ours"] = {piece: {k: round(v, 9) for k, v in ours(piece).items()} for piece in PIECES}
    try:
        import muspy
    except ImportError:
        print("MusPy is not installed: its values stay as they were", file=sys.stderr)
    else:
        found = scores(Path(os.environ["CADENZA_SHARED"]) / "data")
        result["muspy"] = {
            "version": muspy.__version__,
            "scores": {name: muspy_values(score) for name, score in found.items()},
        }
    lines = json.dumps(result, indent=None, separators=(",", ":")).replace("},", "},\n")
    FILE.write_text(lines + "\n")


if __name__ == "__main__":
    main()
