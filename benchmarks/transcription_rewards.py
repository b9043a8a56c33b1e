"""What two rewards of transcriptions pay for the same answers: the published one and ours.

    python -m benchmarks.transcription_rewards --corpus CORPUS --out FILE.json    measure
    python -m benchmarks.transcription_rewards --page FILE.json --out docs/rewards.md

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Of every work of the
test split the first bars (up to 8, of at least 16 notes) are the truth, as ABC with its tempo, metre and key. Each way
of answering wrongly is done to all of them; the table has the mean over works and its 95 % interval (bootstrap).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.build import rng_for
from cadenza.corpus.clips import key_of
from cadenza.infer.held_out import open_music
from cadenza.metrics.reward import REWARDS
from cadenza.notation.abc import Abc
from cadenza.score import edit
from cadenza.score.model import Metre, Score, Tempo
from cadenza.score.time import bar_table

BARS, LEAST_NOTES, N_RESAMPLES = 8, 16, 2000
NAMES = ("abc-2024", "score")
NOTATION = Abc(velocity="drop")
REFUSAL = "I'm sorry, but I cannot transcribe audio. The music seems to be a lively piece for several instruments."

Answer = Callable[[Score, str, list[str], np.random.Generator], str | None]


def told(score: Score) -> str:
    """The score as the rewards read it."""
    return NOTATION.encode(score)


def with_column(score: Score, column: str, change: Callable[[Any, np.random.Generator], Any], rng: Any) -> str:
    """All notes of all tracks with a column changed."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes[column] = change(notes[column], rng)
        tracks.append(replace(track, notes=notes, bends=track.bends[:0], beats=track.beats[:0]))
    return told(replace(score, tracks=tuple(tracks)))


def without_first_voice(score: Score, text: str, others: list[str], rng: np.random.Generator) -> str | None:
    """None where there is one voice only."""
    return told(replace(score, tracks=score.tracks[1:])) if len(score.tracks) > 1 else None


def other_tempo(score: Score, text: str, others: list[str], rng: np.random.Generator) -> str | None:
    """1.4 times as fast."""
    faster = [replace(t, quarters_per_minute=1.4 * t.quarters_per_minute) for t in score.tempos]
    return told(replace(score, tempos=tuple(faster)))


ANSWERS: dict[str, Answer] = {
    "right": lambda score, text, others, rng: text,
    "empty": lambda score, text, others, rng: "",
    "a refusal": lambda score, text, others, rng: REFUSAL,
    "the header alone": lambda score, text, others, rng: re.split(r"(?m)^\[V:", text)[0],
    "another piece": lambda score, text, others, rng: others[int(rng.integers(len(others)))],
    "all an octave up": lambda score, text, others, rng: with_column(
        score, "pitch", lambda p, _: np.minimum(p + 12, 127), rng
    ),
    "every pitch drawn anew": lambda score, text, others, rng: with_column(
        score, "pitch", lambda p, rng: rng.integers(48, 84, len(p)), rng
    ),
    "a voice missing": without_first_voice,
    "every note half as long": lambda score, text, others, rng: with_column(
        score, "duration_ticks", lambda d, _: np.maximum(d // 2, 1), rng
    ),
    "1.4 times as fast": other_tempo,
    "no header but K:": lambda score, text, others, rng: "".join(
        line for line in text.splitlines(True) if not line.startswith(("M:", "Q:", "%%MIDI"))
    ),
}  # fmt: skip


def pieces(corpus: Path) -> dict[str, Score]:
    """Work → its first bars, with everything that a header says."""
    found: dict[str, Score] = {}
    for piece in open_music(corpus).pieces("test"):
        if piece.name in found or not piece.score.n_notes:
            continue
        plain = replace(piece.score, bars=())
        score = edit.drop_doubled()(edit.select_bars(0, min(BARS, len(bar_table(plain))))(plain))
        score = replace(score, tracks=tuple(track for track in score.tracks if len(track)))
        if score.n_notes < LEAST_NOTES:
            continue
        if not score.keys:
            score = replace(score, keys=(key_of(score),))
        score = replace(score, tempos=score.tempos or (Tempo(0, 120.0),), metres=score.metres or (Metre(0, 4, 4),))
        found[piece.name] = score
    return found


def interval(values: np.ndarray) -> list[float]:
    """Mean and its 95 % interval over works."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(N_RESAMPLES, len(values)))].mean(1)
    return [float(values.mean()), *np.quantile(means, (0.025, 0.975)).tolist()]


def measure(corpus: Path) -> dict[str, Any]:
    """Answer → reward → mean with interval, and of how many works."""
    found = pieces(corpus)
    texts = {name: told(score) for name, score in found.items()}
    rewards = {name: REWARDS.load(name) for name in NAMES}
    table: dict[str, Any] = {}
    for kind, answer in ANSWERS.items():
        paid: dict[str, list[float]] = {name: [] for name in NAMES}
        for piece, score in found.items():
            others = [text for name, text in texts.items() if name != piece]
            given = answer(score, texts[piece], others, rng_for(0, kind, piece))
            if given is None:
                continue
            for name, reward in rewards.items():
                paid[name].append(reward(given, texts[piece]).total)
        table[kind] = {name: interval(np.array(values)) for name, values in paid.items()} | {
            "works": len(paid["score"])
        }
        print(kind, table[kind], flush=True)
    return {"about": {"works": len(found), "bars": BARS}, "table": table, "versions": versions()}


def page(result: dict[str, Any]) -> str:
    """docs/rewards.md."""
    rows = [
        f"| {kind} | "
        + " | ".join(f"{row[name][0]:.2f} ({row[name][1]:.2f} … {row[name][2]:.2f})" for name in NAMES)
        + f" | {row['works']} |"
        for kind, row in result["table"].items()
    ]
    return f"""# Rewards of a transcription

<!-- Written by benchmarks/transcription_rewards.py: do not edit. -->

What a reward pays is what a model learns. Two are there by name: `abc-2024`, the published experiment's, which compares
texts of ABC, with its faults; and `score`, ours and the default, which parses both sides and compares music
(`cadenza.metrics.score_reward` says how). Below is what each pays for the same answers to the first
{result["about"]["bars"]} bars of {result["about"]["works"]} held-out works; means with 95 % intervals over works.

| answer | abc-2024 | score | works |
|---|---|---|---|
{chr(10).join(rows)}

Under `abc-2024` saying nothing pays half of what the right answer pays, and a wrong octave, wrong lengths, a wrong
tempo or a missing voice cost next to nothing: there is nothing to learn from. Under `score` silence, refusals and
headers without notes pay nothing, and every one of these errors costs.

    python -m benchmarks.transcription_rewards --corpus CORPUS --out FILE.json
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.page:
        write_atomically(options.out, page(json.loads(options.page.read_text("utf-8"))).encode())
        return
    write_atomically(options.out, (json.dumps(measure(options.corpus), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
