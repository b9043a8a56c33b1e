"""How often a phrase has to be begun again for music's own rate to come out.

    python -m benchmarks.recall --corpus CORPUS --n 300 --factors 1 1.5 --out FILE.json [--model FOLDER] [--write]
    python -m benchmarks.recall --measured 1=LOOPS.json 1.5=LOOPS.json --out FILE.json [--write]

The table of a model (``loops.json``) says how often a corpus says phrases of two bars or more again. A writer that
begins as many has fewer at the end: the guards cut them short, or the model goes a way of its own. Seeds of validation
works (:mod:`benchmarks.loops`) are continued by default at each factor; of what was written, and of what stands in the
pieces, are printed the returns at bars where one could begin, and rep-1, rep-2, rep-4. Or (``--measured``) rows that
benchmarks/loops.py has measured at each factor are taken. The three lie on lines over the factor; chosen is the factor,
between the least and the greatest, at which they are nearest the pieces' own (squares of the logarithms of the ratios).
``--write`` puts it into the model's table as ``recall_factor``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continuations import seeds_of
from benchmarks.loops import GRAMS, SAMPLINGS, WINDOW, keep, repetition
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import Take, to_continue, write_take
from cadenza.infer.loops import key_of, returns_of
from cadenza.infer.model import LOOPS_FILE, ComposerModel, load_model, shipped_folder
from cadenza.infer.rows import run
from cadenza.infer.write import Manner


def figures(pieces: list[list[str]]) -> dict[str, float]:
    """Of bars' keys, piece by piece."""
    found = [returns_of(keys) for keys in pieces]
    rates = {"returns": sum(len(again) for again, _ in found) / sum(chances for _, chances in found)}
    means = repetition(pieces).mean(0)
    return rates | {f"rep_{n}_in_{WINDOW}": float(mean) for n, mean in zip(GRAMS, means, strict=True)}


def factor_for(human: dict[str, float], rows: dict[float, dict[str, float]]) -> float:
    """Where rep-n are nearest the human ones, on lines fitted to the factors that were tried."""
    factors = sorted(rows)
    tried = np.linspace(factors[0], factors[-1], 201)
    miss = np.zeros(len(tried))
    for name in (f"rep_{n}_in_{WINDOW}" for n in GRAMS):
        line = np.polyfit(factors, [rows[factor][name] for factor in factors], 1)
        miss += np.log(np.maximum(np.polyval(line, tried), 1e-9) / human[name]) ** 2
    return float(tried[miss.argmin()])


def main() -> None:
    """Run; write JSON; print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument(
        "--measured", nargs="+", default=[], help="FACTOR=FILE: what benchmarks/loops.py measured at it"
    )
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--bars", type=int, default=32)
    parser.add_argument("--rows", type=int, default=16, help="continuations at a time")
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0, 1.5])
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--write", action="store_true", help="put the factor into the model's table")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.model)
    if bool(options.corpus) == bool(options.measured):
        parser.error("either --corpus or --measured")
    about, human, rows = _given(options.measured) if options.measured else _measured(options, model)
    if len(rows) > 1:
        chosen = round(factor_for(human, rows), 2)
        keep(options.out, about, "chosen", {"recall_factor": chosen})
        print("recall_factor", chosen)
        if options.write:
            folder = shipped_folder() if options.model == "shipped" else Path(options.model)
            replace(model.loops, recall_factor=chosen).save(folder / LOOPS_FILE)


def _given(rows: list[str]) -> tuple[dict[str, Any], dict[str, float], dict[float, dict[str, float]]]:
    """What the rows are of, the human figures and those at each factor."""
    found, human = {}, {}
    commands = set()
    for row in rows:
        factor, _, path = row.partition("=")
        saved = json.loads(Path(path).read_text("utf-8"))
        human, found[float(factor)] = saved["table"]["human"], saved["table"]["default, guard"]
        commands.add(saved["about"]["command"])
    about = {"rows": [Path(row.partition("=")[2]).name for row in rows], "of": sorted(commands)}
    return about, human, found


def _measured(
    options: argparse.Namespace, model: ComposerModel
) -> tuple[dict[str, Any], dict[str, float], dict[float, dict[str, float]]]:
    """The same of seeds of validation works."""
    seeds = list(seeds_of(options.corpus, model, options.n, options.bars, 8, "validation"))
    about = {"command": f"benchmarks.recall --n {len(seeds)} --bars {options.bars}", "model": options.model}
    human = figures([[key_of(bar) for bar in bars] for _, _, bars, _ in seeds])
    table = keep(options.out, about, "human", human)
    print("human", human, flush=True)
    stages = list(to_continue(model, options.bars))
    for factor in options.factors:
        if str(factor) in table:
            continue
        manner = Manner(
            Decoding(SAMPLINGS["default"], guard=True, recall=True, original=True),
            replace(model.loops, recall_factor=factor),
            objection=model.objection,
        )
        jobs = [
            partial(write_take, seed, model, stages, manner, number) for number, (_, seed, _, _) in enumerate(seeds)
        ]
        done: dict[int, Take] = dict(run(model.decoder, jobs, options.rows))
        row = figures([[key_of(bar) for bar in done[number].bars] for number in range(len(jobs))])
        table = keep(options.out, about, str(factor), row)
        print(factor, row, flush=True)
    rows = {float(name): row for name, row in table.items() if name not in ("human", "chosen")}
    return about, human, rows


if __name__ == "__main__":
    main()
