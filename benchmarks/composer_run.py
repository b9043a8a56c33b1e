"""Train the shipped composer within a time budget, on a GPU where there is one, and without and with DITTO.

    python -m benchmarks.composer_run --corpus DIR --out DIR --minutes 5

First a few steps measure the speed; the steps that fit in the budget are then the recipe's ``steps``, so that its
schedule ends at 0 when the time is over (the resolved recipe is in ``OUT/base/run.json``: with it the run is
an ordinary ``cadenza train``). From the model that comes out, two short runs of equal length go on: one with DITTO, one
with plain cross-entropy at the same learning rate, so that what DITTO changes is seen beside what more training
changes. Each model is saved in float16 beside its log. ``summary.json`` says speed, losses and held-out bits per note.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cadenza.base.config import load_config
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.train.recipe import Loss, TrainConfig

RECIPE = Path(__file__).parents[1] / "src/cadenza/recipes/train/composer.yaml"
WARM_STEPS, TIMED_STEPS = 10, 25


def log_of(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


def seconds_a_step(config: TrainConfig, out: Path, cache: Path) -> float:
    """Measured after a few steps of warming up; the tokens that were made go to ``cache``."""
    from cadenza.train.run import train

    quick = replace(config, steps=WARM_STEPS + TIMED_STEPS, evaluate_every=0, evaluation_rows=8, log_every=WARM_STEPS)
    _take_tokens(cache, out)
    train(quick, out)
    tokens = [row for row in log_of(out) if "tokens_per_second" in row and row["step"] > WARM_STEPS]
    rate = sum(row["tokens_per_second"] for row in tokens) / len(tokens)
    per_step = config.batch_rows * config.accumulate * config.context_tokens
    return per_step / rate


def _take_tokens(cache: Path, out: Path) -> None:
    """Token documents that were made before (they carry the key of what they were made of)."""
    out.mkdir(parents=True, exist_ok=True)
    for path in cache.glob("tokens-*.npz"):
        if not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)


def run(config: TrainConfig, out: Path, cache: Path) -> dict[str, Any]:
    """Train and say how it went."""
    from cadenza.train.run import train

    _take_tokens(cache, out)
    start = time.monotonic()
    folder = train(config, out)
    seconds = time.monotonic() - start
    log = log_of(out)
    speeds = sorted(row["tokens_per_second"] for row in log if "tokens_per_second" in row)
    return {
        "seconds": round(seconds, 1),
        "steps": config.steps,
        "tokens_per_second": speeds[len(speeds) // 2] if speeds else None,
        "memory_gib": max((row["memory_gib"] for row in log if "memory_gib" in row), default=None),
        "curve": [[row["step"], row["eval_bits_per_note"]] for row in log if "eval_bits_per_note" in row],
        "model": half(folder, out.parent / f"{out.name}-model"),
    }


def half(folder: Path, out: Path) -> str:
    """A copy of a model in float16, its weights in files of at most 12 MB."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out, max_shard_size="12MB")
    for name in ("vocabulary.json", "notation.json", "run.json"):
        shutil.copyfile(folder / name, out / name)
    return out.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="a corpus of the recipe composer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder with tokens-train.npz and tokens-validation.npz")
    parser.add_argument("--minutes", type=float, default=5.0, help="for the first run")
    parser.add_argument("--after-minutes", type=float, default=0.7, help="for each of the two that go on from it")
    parser.add_argument("--set", action="append", default=[], help="key=value over the recipe")
    chosen = parser.parse_args()
    sets = [word for one in [f"corpus={chosen.corpus}", *chosen.set] for word in ("--set", one)]
    config = load_config(TrainConfig, [str(RECIPE), *sets])
    cache = chosen.cache or chosen.out / "speed"
    a_step = seconds_a_step(config, chosen.out / "speed", cache)
    cache = chosen.out / "speed"
    steps = max(20, int(60 * chosen.minutes / a_step))
    print(f"{a_step:.4f} s a step: {steps} steps", flush=True)
    summary: dict[str, Any] = {"versions": versions(), "seconds_a_step": a_step}
    summary["base"] = run(replace(config, steps=steps, evaluate_every=max(10, steps // 8)), chosen.out / "base", cache)
    write_atomically(chosen.out / "summary.json", json.dumps(summary, indent=1).encode())
    more = max(10, int(60 * chosen.after_minutes / a_step))
    after = replace(
        config,
        base=str(chosen.out / "base" / "model"),
        steps=more,
        learning_rate=config.peak_learning_rate / 10,
        evaluate_every=max(5, more // 2),
    )
    for name, loss in (
        ("ditto", Loss(name="ditto", share=0.5, decay=0.9, from_copy=3, unit_bars=4)),
        ("control", Loss()),
    ):
        summary[name] = run(replace(after, loss=loss), chosen.out / name, cache)
        write_atomically(chosen.out / "summary.json", json.dumps(summary, indent=1).encode())
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
