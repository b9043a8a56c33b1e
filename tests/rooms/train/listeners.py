"""Clips of three pieces, recipes of tiny models that listen, and one that has hardly learned anything."""

from __future__ import annotations

from pathlib import Path

from cadenza import formats
from cadenza.corpus.clips import ClipRecipe, build
from cadenza.train.recipe import Listen, Preference, TrainConfig

EXAMPLES = Path(__file__).parents[3] / "examples"
RECIPE = ClipRecipe(seconds=3, bars=[1, 1], least_notes=3, stem_share=1.0)


def make_clips(folder: Path) -> Path:
    pieces = [(name, name, formats.read(EXAMPLES / name)) for name in ("waltz.mid", "chorale.mid", "riff.gp5")]
    for split, n in (("train", 12), ("validation", 4)):
        build(pieces, n, split, folder / split, RECIPE)
    return folder


def recipe(clips: Path, **keys) -> TrainConfig:
    options = {
        "listen": Listen(clips=str(clips), vocabulary=320, stack=2), "base": "scratch:tiny", "context_tokens": 400,
        "batch_rows": 2, "steps": 2, "log_every": 1, "evaluate_every": 0, "report_to": [], "learning_rate": 1e-3,
        "preference": Preference(group=3, max_tokens=12, prompts=3, beta=0.1),
    }  # fmt: skip
    return TrainConfig(**(options | keys))


def make_sft(clips: Path, out: Path) -> Path:
    from cadenza.train.listening import run as listening

    listening.train(recipe(clips, steps=8), out, say=lambda line: None)
    return out
