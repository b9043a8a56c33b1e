"""The shipped composer's card, from what its run and benchmarks recorded.

python -m benchmarks.composer_card --run RUN --corpus CORPUS --device "H100 GPU" --out src/cadenza/models/composer
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cadenza.base.files import write_atomically

ROOT = Path(__file__).parents[1]
NAMES = {"n-gram": "n-gram", "n-gram + copying": "with copying", "first": "first", "composer": "composer"}


def scores(result: dict[str, Any]) -> str:
    """The table of bits per note."""
    lines = ["| task | of | works | " + " | ".join(NAMES.values()) + " |", "|---|---|---|" + "---|" * len(NAMES)]
    for row in result["rows"]:
        cells = " | ".join(f"{row['bits_per_note'][name]:.2f}" for name in NAMES)
        lines.append(f"| {row['task']} | {row['of']} | {row['works']} | {cells} |")
    return "\n".join(lines)


def gains(result: dict[str, Any]) -> str:
    """One line a comparison."""
    lines = []
    for task, found in result["gain_of_composer"].items():
        for over, one in found.items():
            if task.endswith("as continue") or over.endswith("model"):
                continue
            said = f"{one['gain']:.1%} (95 % interval {one['low']:.1%} to {one['high']:.1%}, {one['works']} works)"
            lines.append(f"- {task}, {over}: {said}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of benchmarks/composer_run.py")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    chosen = parser.parse_args()
    record = json.loads((chosen.out / "training.json").read_text("utf-8"))
    config = json.loads((chosen.out / "config.json").read_text("utf-8"))
    summary = json.loads((chosen.run / "summary.json").read_text("utf-8"))["base"]
    manifest = json.loads((chosen.corpus / "manifest.json").read_bytes())
    result = json.loads((ROOT / "benchmarks/results/composer_held_out.json").read_text("utf-8"))
    pieces: dict[tuple[str, str], int] = {}
    for one in manifest["sources"]:
        key = (one["source"], one["licence"])
        pieces[key] = pieces.get(key, 0) + one["pieces"]
    data = "\n".join(
        ["| source | licence | pieces |", "|---|---|---|"]
        + [f"| {source} | {licence} | {count:,} |" for (source, licence), count in sorted(pieces.items())]
    )
    train = manifest["splits"]["train"]
    data += f"\n\nTraining examples: {train['examples']:,}, " + ", ".join(
        f"{task} {count:,}" for task, count in train["tasks"].items()
    )
    old = (ROOT / "recipes/first-model.card.md").read_text("utf-8")
    attributions = old[old.index("- OpenScore Lieder") : old.index("\n\n## How it was made")]
    text = (ROOT / "recipes/composer.card.md").read_text("utf-8").format(
        n_parameters=record["n_parameters"], n_layers=config["num_hidden_layers"], width=config["hidden_size"],
        n_heads=config["num_attention_heads"], head_width=config["head_dim"], n_kv_heads=config["num_key_value_heads"],
        window_tokens=config["sliding_window"], n_vocabulary=config["vocab_size"],
        context=record["config"]["context_tokens"], n_steps=record["n_steps"],
        n_tokens=record["n_steps"] * record["config"]["batch_rows"] * record["config"]["context_tokens"],
        corpus_tokens=record["corpus_tokens"], corpus_notes=train["notes"], minutes=summary["seconds"] / 60,
        device=chosen.device, table=scores(result), gains=gains(result), data=data, attributions=attributions,
        curve=", ".join(f"{bits:.2f} at step {step:,}" for step, bits in summary["curve"][:-2]),
    )  # fmt: skip
    write_atomically(chosen.out / "README.md", text.encode())


if __name__ == "__main__":
    main()
