"""A finished run → a model folder to ship: safetensors, the engine's 8-bit graph, vocabulary, notation, card.

python -m cadenza.train.release RUN OUT --scores HELD_OUT.json --tokens TOKENS [--card TEMPLATE.md]
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.base.files import write_atomically
from cadenza.model.decoder import open_decoder
from cadenza.model.graph import export
from cadenza.train.tokens import TokenStore, held_out_rows

FILES = ("config.json", "model.safetensors", "vocabulary.json", "notation.json")


def release(run: Path, out: Path) -> dict[str, Any]:
    """Copy the run's model to ``out``, export its graph, keep the run's record beside it; returns the record.

    Raises:
        ModelError: the run has no finished model.
    """
    source = run / "model"
    if not (source / "model.safetensors").is_file():
        raise ModelError("a finished run", "no model in it", where=str(run), hint="Let the training end first.")
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, out / name)
    record = json.loads((run / "run.json").read_text("utf-8"))
    record["config"] |= {"corpus": "", "out": ""}  # a machine's paths say nothing elsewhere
    write_atomically(out / "training.json", (json.dumps(record, indent=1) + "\n").encode())
    export(out, "int8")
    return record


def engine_bits_per_note(folder: Path, tokens: Path) -> dict[str, float]:
    """Bits per note over the test rows by the 8-bit graph and by the float32 weights, both without torch."""
    rows = held_out_rows(TokenStore.load(tokens / "test.npz"), 1024, 1, seed=0)
    n_notes = sum(row[3] for row in rows)
    found = {}
    for precision, engine in (("int8", "onnx"), ("float32", "numpy")):
        decoder = open_decoder(folder, max_length=1024, precision=precision, engine=engine)  # type: ignore[arg-type]
        bits = sum(-decoder.score(ids)[n_header - 1 :].sum() / np.log(2) for _, ids, n_header, _ in rows)
        found[precision] = float(bits / n_notes)
    return found


def card(template: str, record: dict[str, Any], scores: dict[str, Any], tokens: Path, bits: dict[str, float]) -> str:
    """The model card: ``template`` with measured figures in its places."""
    config = record["config"]
    stages = config["stages"]
    per_step = [max(1, config["tokens_per_step"] // int(t * n)) * int(t * n) for _, t, n in stages]
    data = json.loads((tokens / "tokens.json").read_text("utf-8"))["splits"]["train"]
    rows = [f"| {name} | {count:,} |" for name, count in data["tokens"].items()]
    values = {
        **config,
        **bits,
        **scores,
        "n_parameters": record["n_parameters"],
        "n_steps": config["steps"],
        "n_tokens": int(sum(s[0] * config["steps"] * n for s, n in zip(stages, per_step, strict=True))),
        "data": "\n".join(["| source | tokens |", "|---|---|", *rows]),
    }
    return template.format_map(values)


def scores_of(held_out: dict[str, Any], n_vocabulary: int) -> dict[str, Any]:
    """What the card shows of the report of ``benchmarks/held_out.py``."""
    systems = held_out["test_bits_per_note"]
    sources = [name for name in next(iter(systems.values())) if name != "all"]
    lines = [f"| | all | {' | '.join(sources)} |", "|---" * (len(sources) + 2) + "|"]
    for name, figures in systems.items():
        lines.append(f"| {name} | {' | '.join(f'{figures[s]:.2f}' for s in ('all', *sources))} |")
    gain = held_out["gain_over_best_n_gram"]["model"]
    return {
        "table": "\n".join(lines), "gain": gain["gain"], "low": gain["low"], "high": gain["high"],
        "n_works": held_out["rows"]["test"], "n_vocabulary": n_vocabulary,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--card", type=Path, default=Path("recipes/first-model.card.md"))
    chosen = parser.parse_args(arguments)
    record = release(chosen.run, chosen.out)
    n_vocabulary = len(json.loads((chosen.out / "vocabulary.json").read_text("utf-8"))["fields"]) + 259
    scores = scores_of(json.loads(chosen.scores.read_text("utf-8")), n_vocabulary)
    bits = engine_bits_per_note(chosen.out, chosen.tokens)
    text = card(chosen.card.read_text("utf-8"), record, scores, chosen.tokens, bits)
    write_atomically(chosen.out / "README.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
