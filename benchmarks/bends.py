"""Bends that a model writes, under four samplers, with and without bend-weighted sampling of the training data.

    python -m benchmarks.bends --data DATA --work DIR --out FILE.json --page docs/bends.md

DATA holds GuitarSet, whose annotated pitch contours are the only bends of our training data (vibrato, slides and string
bends alike, from 30 cents on), and Mutopia, whose guitars and lutes never bend. Every third work of GuitarSet by name,
from the second on, is held out. From the rest a corpus is built by the shipped recipe ``bending-guitars`` (guitars; a
piece is drawn 1 to 4 times as often as its share of bent notes goes from 0 to a fifth), in the notation of the shipped
composer (bends in steps of 25 cents). On it the shipped composer is tuned twice, by the recipe ``own-style`` in as many
steps: once with the corpus's weights, once without. Each model, and the shipped composer itself, continues held-out
passages under each sampler at temperature 1, guard and recall off, so that the sampler alone decides. Of the held-out
works the shipped composer's own training set left out Funk1 alone.

A note is bent where its curve leaves its pitch by at least 20 cents (as in the facts of a corpus); its depth is the
furthest that it goes. The music's own figures are those of the bars that follow the same seeds, in the same notation.
Intervals are percentile bootstraps over passages (a passage's takes are drawn together); passages overlap and
come from few performances, so they say how far chance of seeds and sampling moves a figure, not other music.

Each step leaves its result in DIR; started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.config import load_config
from cadenza.base.files import write_atomically
from cadenza.base.recipes import find
from cadenza.base.run import versions
from cadenza.corpus import pipeline, sources
from cadenza.corpus.excerpts import MODEL_NOTATION, model_view, viewed
from cadenza.corpus.facts import AUDIBLE_BEND_CENTS, bend_cents
from cadenza.corpus.open import BuiltCorpus
from cadenza.corpus.pipeline import CorpusConfig
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import to_continue, write_take
from cadenza.infer.held_out import HeldOut, Seed, draw
from cadenza.infer.likelihood import log2_of, rows_of, text_of
from cadenza.infer.model import SHIPPED, ComposerModel, load_model
from cadenza.infer.rows import run
from cadenza.infer.sample import Sampling
from cadenza.infer.write import Manner
from cadenza.metrics.statistics import bootstrap, ratio
from cadenza.score.model import Score
from cadenza.train.recipe import TrainConfig

WHOLE = "no truncation"
SAMPLERS = {
    WHOLE: Sampling(),
    "top-k 20": Sampling(top_k=20),
    "top-p 0.95": Sampling(top_p=0.95),
    "min-p 0.05": Sampling(min_p=0.05),
}
GIVEN_BARS, BARS, TAKES = 4, 2, 100
SEMITONE_CENTS = 90  # a bend that a listener hears as another note, with the step of 25 cents
N_RESAMPLES = 4_000
WINDOW_TOKENS, STRIDE_TOKENS = 1024, 512


def recipe(corpus: Path, weighted: bool, steps: int) -> TrainConfig:
    """Of both runs; they differ in ``weighted``."""
    sets = [f"corpus={corpus}", f"weighted={str(weighted).lower()}", f"steps={steps}", "evaluate_every=0"]
    arguments = [str(find("own-style", "train")), *(word for one in sets for word in ("--set", one))]
    return load_config(TrainConfig, arguments)


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────


def held_out_works(data: Path) -> list[str]:
    """Every third work of GuitarSet by name, from the second on."""
    return sorted({recipe.work_id for recipe in sources.recipes(data) if recipe.source == "guitarset"})[1::3]


def corpus_of(data: Path, work: Path, held_out: Sequence[str]) -> Path:
    """The corpus of all guitars that are not held out."""
    music, out = work / "music", work / "corpus"
    (music / "guitarset").mkdir(parents=True, exist_ok=True)
    links = {music / "mutopia": data / "mutopia"}
    for one in sources.recipes(data):
        if one.source == "guitarset" and one.work_id not in held_out:
            links[music / "guitarset" / one.file.name] = one.file
    for link, target in links.items():
        if not link.is_symlink():
            link.symlink_to(target.resolve())
    sets = [f"notation={json.dumps({'name': 'simplified-midi', **MODEL_NOTATION.options()})}", "view=composer"]
    sets += ["tasks={continue: {share: 1.0, length: {bars: 64, words: 880}}}", "augment={}"]
    arguments = [str(find("bending-guitars", "corpus")), *(word for one in sets for word in ("--set", one))]
    pipeline.build([music], out, load_config(CorpusConfig, arguments))
    return out


def seeds_of(data: Path, held_out: Sequence[str]) -> tuple[list[Score], list[Seed]]:
    """The held-out performances, and passages of them."""
    pieces = [one.piece() for one in sources.recipes(data) if one.source == "guitarset" and one.work_id in held_out]
    found = [HeldOut(piece.path, piece.path, piece.source, piece.score) for piece in pieces]
    return [piece.score for piece in pieces], draw(found, TAKES, n_given=GIVEN_BARS, n_bars=BARS)


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────


def depths(score: Score, start_ticks: int = 0) -> list[int]:
    """How far each pitched note from ``start_ticks`` on is bent, in cents."""
    out: list[int] = []
    for track in score.tracks:
        if not track.is_drums and len(track):
            out += bend_cents(track)[track.notes["onset_ticks"] >= start_ticks].tolist()
    return out


def as_told(score: Score, model: ComposerModel) -> Score:
    """What a model's notation keeps of some music, as the model sees it."""
    return model.notation.decode(model.notation.encode(model_view(score)))


def figures(passages: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Share and depth of bent notes, with intervals over passages.

    Args:
        passages: the depth in cents of every note of a passage (of all its takes).
    """
    n_notes, n_bent, n_deep = (np.array(column, float) for column in zip(*map(_counts, passages), strict=True))
    out: dict[str, Any] = {"passages": len(passages), "notes": int(n_notes.sum()), "bent_notes": int(n_bent.sum())}
    settings = {"n_resamples": N_RESAMPLES, "method": "percentile"}
    out["bent_share"] = bootstrap(n_bent, n_notes, statistic=ratio, **settings).record()
    if n_bent.sum():
        out["deep_share_of_bent"] = bootstrap(n_deep, n_bent, statistic=ratio, **settings).record()
        out["depth_cents"] = median_depth(passages)
    return out


def _counts(passage: Sequence[int]) -> tuple[int, int, int]:
    cents = np.array(passage)
    return len(cents), int((cents >= AUDIBLE_BEND_CENTS).sum()), int((cents >= SEMITONE_CENTS).sum())


def median_depth(passages: Sequence[Sequence[int]]) -> dict[str, float]:
    """Median depth of the bent notes, with its bootstrap interval over passages, and the 90th percentile."""
    pairs = [(cents, at) for at, passage in enumerate(passages) for cents in passage if cents >= AUDIBLE_BEND_CENTS]
    cents, owner = np.array(sorted(pairs)).T
    drawn = np.random.default_rng(0).multinomial(
        len(passages), np.full(len(passages), 1 / len(passages)), size=N_RESAMPLES
    )
    below = np.cumsum(drawn[:, owner], axis=1)
    filled = below[below[:, -1] > 0]
    medians = cents[(filled < filled[:, -1:] / 2).sum(1)]
    low, high = np.quantile(medians, [0.025, 0.975])
    value, p90 = np.quantile(cents, [0.5, 0.9])
    return {"value": float(value), "low": float(low), "high": float(high), "p90": float(p90)}


def difference(now: Sequence[Sequence[int]], then: Sequence[Sequence[int]]) -> dict[str, float]:
    """The share of bent notes in ``now`` less that in ``then``, the same passages, paired."""

    def statistic(b1: NDArray[Any], n1: NDArray[Any], b0: NDArray[Any], n0: NDArray[Any], axis: int = -1) -> Any:
        return ratio(b1, n1, axis) - ratio(b0, n0, axis)

    columns = [[float(count) for count in column] for rows in (now, then) for column in zip(*map(_counts, rows))]  # noqa: B905
    b1, n1, b0, n0 = columns[1], columns[0], columns[4], columns[3]
    found = bootstrap(b1, n1, b0, n0, statistic=statistic, n_resamples=N_RESAMPLES, method="percentile")
    return found.record()


def of_corpus(corpus: Path) -> dict[str, Any]:
    """What the training rows hold: bent notes among those of the examples, as they are and as they are drawn."""
    built = BuiltCorpus.open(corpus)
    notation, rows = built.notation, list(built.rows("train"))
    counts = np.array([_counts(depths(notation.decode(row["prompt"] + row["completion"]))) for row in rows], float)
    weight = np.array([row["weight"] for row in rows])
    plain, drawn = counts.sum(0), weight @ counts
    return {
        "examples": len(rows),
        "pieces": len({row["path"] for row in rows}),
        "notes": int(plain[0]),
        "bent_notes": int(plain[1]),
        "bent_share": plain[1] / plain[0],
        "bent_share_as_drawn": drawn[1] / drawn[0],
        "largest_weight": float(weight.max()),
    }


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────


def trained(corpus: Path, work: Path, steps: int) -> dict[str, Path]:
    """Name → folder of the exported model of each run."""
    out = {}
    for name, weighted in (("unweighted", False), ("weighted", True)):
        folder = work / f"{name}-model"
        if not (folder / "model.int8.onnx").is_file():
            from cadenza.train import run as training
            from cadenza.train.export import export

            begun = time.process_time()
            training.train(recipe(corpus, weighted, steps), work / name)
            print(f"{name}: {time.process_time() - begun:.0f} CPU seconds", flush=True)
            export(work / name, folder)
        out[name] = folder
    return out


def takes_of(model: ComposerModel, seeds: Sequence[Seed], sampling: Sampling, rows: int) -> list[list[int]]:
    """Depths of the written notes of each seed, at least :data:`TAKES` continuations in all."""
    turns = -(-TAKES // len(seeds))
    stages = list(to_continue(model, BARS))
    manner = Manner(Decoding(sampling, guard=False, recall=False), model.loops)
    asked = [seed for seed in seeds for _ in range(turns)]
    jobs = [partial(write_take, seed.given, model, stages, manner, number) for number, seed in enumerate(asked)]
    out: list[list[int]] = [[] for _ in seeds]
    for number, take in run(model.decoder, jobs, rows):
        out[number // turns] += depths(take.score, take.start_ticks)
    return out


def bits_per_note(model: ComposerModel, scores: Sequence[Score]) -> float:
    """Of the held-out performances, whole."""
    bits, n_notes = 0.0, 0
    for score in scores:
        for _, part, _ in viewed(score):
            text = text_of(part, model)
            bits -= float(log2_of(rows_of(text, WINDOW_TOKENS, STRIDE_TOKENS), model.decoder).sum())
            n_notes += text.n_notes
    return bits / n_notes


def cell(
    work: Path, name: str, sampler: str, seeds: Sequence[Seed], model: ComposerModel, rows: int
) -> list[list[int]]:
    """:func:`takes_of` a model under a sampler, kept in ``work``."""
    kept = work / f"takes-{name}-{sampler.replace(' ', '-')}.json"
    if not kept.is_file():
        begun = time.process_time()
        write_atomically(kept, json.dumps(takes_of(model, seeds, SAMPLERS[sampler], rows)).encode())
        print(f"{name}, {sampler}: {time.process_time() - begun:.0f} CPU seconds", flush=True)
    found: list[list[int]] = json.loads(kept.read_bytes())
    return found


def measure(data: Path, work: Path, steps: int, rows: int, only: str = "") -> dict[str, Any]:
    """All that is written to the file; with ``only`` "MODEL, SAMPLER" no more than that cell, into ``work``."""
    held_out = held_out_works(data)
    scores, seeds = seeds_of(data, held_out)
    if only:
        name, sampler = only.split(", ")
        place = SHIPPED if name == "shipped" else work / f"{name}-model"
        cell(work, name, sampler, seeds, load_model(place, batch=rows), rows)
        return {}
    corpus = corpus_of(data, work, held_out)
    folders: dict[str, Path | str] = {**trained(corpus, work, steps), "shipped": SHIPPED}
    table: dict[str, Any] = {}
    found: dict[str, list[list[int]]] = {}
    bits = {}
    for name, folder in folders.items():
        model = load_model(folder, batch=rows)
        found.setdefault("human", [depths(as_told(seed.human, model)) for seed in seeds])
        bits[name] = bits_per_note(model, scores)
        for sampler in SAMPLERS:
            found[f"{name}, {sampler}"] = cell(work, name, sampler, seeds, model, rows)
    for label, passages in found.items():
        table[label] = figures(passages)
        if label != "human":
            table[label]["share_less_human"] = difference(passages, found["human"])
    return {
        "command": "python -m benchmarks.bends",
        "corpus": of_corpus(corpus),
        "held_out_works": held_out,
        "held_out_performances": len(scores),
        "seeds": len(seeds),
        "continuations_each": len(seeds) * -(-TAKES // len(seeds)),
        "bars": {"given": GIVEN_BARS, "written": BARS},
        "samplers": {name: asdict(one) for name, one in SAMPLERS.items()},
        "recipe": asdict(replace(recipe(Path(), True, steps), corpus="")),
        "held_out_bits_per_note": bits,
        "table": table,
        "weighted_less_unweighted": {
            sampler: difference(found[f"weighted, {sampler}"], found[f"unweighted, {sampler}"]) for sampler in SAMPLERS
        },
        "truncated_less_whole": {
            f"{name}, {sampler}": difference(found[f"{name}, {sampler}"], found[f"{name}, {WHOLE}"])
            for name in folders
            for sampler in SAMPLERS
            if sampler != WHOLE
        },
        "versions": versions(),
    }


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────


def percent(one: dict[str, float], digits: int = 1) -> str:
    """A share and its interval."""
    return f"{one['value']:.{digits}%} ({one['low']:.{digits}%} … {one['high']:.{digits}%})"


INTRODUCTION = """# Bends

Written by `benchmarks/bends.py` ([results](../benchmarks/results/bends.json)); do not edit.

The published guitar work found its bends “almost without effect”. How often does a model of ours bend a note, and how
far, under three ways of truncating its distribution and under none, beside the music itself; and does it help to draw
training pieces that bend more often?

- **Training data.** {pieces} guitar and lute pieces of GuitarSet and Mutopia, {notes:,} notes, of which
  {bent_notes:,} ({bent_share:.1%}) are bent, all of them in GuitarSet. With the weights of the recipe `bending-guitars`
  {bent_share_as_drawn:.1%} of the notes that are drawn are.
- **Models.** The shipped composer, tuned in {steps} steps of 4,096 tokens by the recipe `own-style`, with and without
  these weights; and as it ships. Of the held-out works its own training set left out Funk1 alone.
- **Continuations.** {seeds} passages of the {performances} held-out performances ({works}), {given} bars given,
  {written} written, {continuations} continuations for each row; temperature 1, no guard.
- A note is bent from 20 cents on; vibrato and slides count as string bends do, since the annotations do not tell them
  apart. Depth is the furthest from the note's pitch. 95 % intervals by bootstrap over the passages, which overlap and
  come from few performances.

| | notes | bent | median depth, cents | 90th percentile | 90 cents or more, of the bent |
|---|---|---|---|---|---|
"""


def page(result: dict[str, Any]) -> str:
    """The result to be read."""
    text = INTRODUCTION.format(
        **result["corpus"] | {"steps": result["recipe"]["steps"], "seeds": result["seeds"]},
        performances=result["held_out_performances"],
        works=", ".join(name.partition("/")[2] for name in result["held_out_works"]),
        given=result["bars"]["given"],
        written=result["bars"]["written"],
        continuations=result["continuations_each"],
    )
    lines = []
    for label, row in result["table"].items():
        depth = row.get("depth_cents")
        said = f"{depth['value']:.0f} ({depth['low']:.0f} … {depth['high']:.0f})" if depth else "–"
        deep = percent(row["deep_share_of_bent"], 0) if depth else "–"
        name = "the music itself" if label == "human" else label
        far = f"{depth['p90']:.0f}" if depth else "–"
        lines.append(f"| {name} | {row['notes']:,} | {percent(row['bent_share'])} | {said} | {far} | {deep} |")
    lines += ["", "Bent notes, weighted less unweighted, in points of a hundred, on the same passages:", ""]
    for sampler, one in result["weighted_less_unweighted"].items():
        lines.append(f"- {sampler}: {100 * one['value']:+.1f} ({100 * one['low']:+.1f} … {100 * one['high']:+.1f})")
    told = ", ".join(f"{name} {value:.2f}" for name, value in result["held_out_bits_per_note"].items())
    lines += ["", f"Bits per note of the held-out performances: {told}.", ""]
    return text + "\n".join([*lines, *conclusions(result), ""])


def conclusions(result: dict[str, Any]) -> list[str]:
    """What the intervals allow to say."""
    rows = {name: row for name, row in result["table"].items() if name != "human"}
    human = result["table"]["human"]["depth_cents"]
    fewer = [name for name, row in rows.items() if row["share_less_human"]["high"] < 0]
    flatter = [name for name, row in rows.items() if row["depth_cents"]["high"] < human["low"]]
    moved = [name for name, one in result["weighted_less_unweighted"].items() if one["low"] > 0 or one["high"] < 0]
    truncated = result["truncated_less_whole"]
    cut = [name for name, one in truncated.items() if one["high"] < 0]
    return [
        f"- {len(fewer)} of {len(rows)} rows bend fewer notes than the music on the same passages, beyond chance.",
        f"- In {len(flatter)} of {len(rows)} rows the median bend is less deep than the music's, intervals apart.",
        f"- Weighting moved the share beyond chance under {len(moved)} of {len(SAMPLERS)} samplers.",
        f"- Truncating lowered a model's share beyond chance in {len(cut)} of {len(truncated)} rows"
        + (f" ({'; '.join(cut)})." if cut else "."),
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rows", type=int, default=16, help="continuations at a time")
    parser.add_argument("--only", default="", help='one cell, "weighted, top-p 0.95": several at a time')
    options = parser.parse_args()
    result = measure(options.data, options.work, options.steps, options.rows, options.only)
    if options.only:
        return
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    if options.page is not None:
        write_atomically(options.page, page(result).encode())
    print(page(result))


if __name__ == "__main__":
    main()
