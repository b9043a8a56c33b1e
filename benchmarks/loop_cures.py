"""Loops: what cures them, at what cost: DITTO by unit, first copy and λ, unlikelihood, rebalanced encoding, nothing.

    python -m benchmarks.loop_cures --data shared/data --work DIR [--steps 30] [--plant CELL]

Everything starts from one checkpoint: the model that benchmarks/scratch_or_tune.py trains from random weights on its
total budget (or ``--plant``; this command trains it if it is not there). From it each way goes on for ``--steps`` steps
of 4,096 tokens on the same rows in the same order, with a fresh optimiser: AdamW, in whose moments a DITTO step weighs
what its gradient weighs. (Muon makes every step equally long, and spoiled a model that was hardly trained: the page
tells what was measured at other settings, ``--optimiser`` and ``--rate``.) Stopped at any moment, the same command goes
on where it was.

* ``nothing``: the checkpoint itself;
* ``cross-entropy``: the control, the same steps with the plain loss;
* ``ditto …``: half of the steps are DITTO's; unit a bar, or a phrase of two to four bars; penalised from the second
  copy on or from the third; λ 0.5 or 0.9;
* ``unlikelihood``: token level in every step, sequence level in half of them;
* ``rebalanced``: the rebalanced encoding (γ 0.1) of the training texts; the rows of merged tokens begin as the mean of
  their parts' rows.

Measured on held-out works: bits per note (comparable over encodings) of up to two passages of each; for one passage of
every work that has 16 bars, its first four are given and twelve are asked for, greedy and by top-p 0.95, freely: no
grammar, no guard, the end of a piece never chosen, 480 tokens at most. Of these, beside the same figures of the human
continuation: rep-1 and rep-2 of the bars (velocities aside), rep-4 of tokens in windows of 128, the share that ends in
four copies of a group of one to three bars or of 1 to 64 tokens, and the share that does not come to twelve bars; TP,
IP and WR over eight copies of a bar.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import loop_cures_page, scratch_or_tune
from benchmarks.scratch_or_tune import Plan, bits_of_works, compared, cpu_seconds, finished, passages, timed
from cadenza.base.errors import ConfigError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.open import BuiltCorpus
from cadenza.infer.loops import key_of
from cadenza.metrics import statistics
from cadenza.metrics.repetition import ends_in_loop, in_windows, numbered, rep_n
from cadenza.model.hub_decoder import HubDecoder
from cadenza.model.merged_vocabulary import MergedVocabulary, rebalance
from cadenza.model.units import tokenize_units, units
from cadenza.train import bases, reinforcement, rows, run
from cadenza.train.loop import takes_turn
from cadenza.train.recipe import Loss, TrainConfig

HERE = Path(__file__).resolve().parent
OUT, PAGE, DRAWING = (
    HERE / "results" / "loop_cures.json", HERE.parent / "docs" / "loops.md", HERE.parent / "docs" / "loops.svg",
)  # fmt: skip
PLANT = "scratch, total budget"
PLANTS = (PLANT, "scratch, music budget")
RATES = {"adamw": 5e-4, "muon": 0.002}  # not tuned
SEED = 3  # of rows and draws: half of thirty steps are DITTO's
GIVEN, BARS, MOST_TOKENS, WINDOW = 4, 12, 480, 128
UNITS = {"bar": (1, 1), "phrase": (2, 4)}
N_UNITS, N_COPIES = 32, 8


def ditto(unit: str, copy: int, decay: float) -> Loss:
    """DITTO of a unit, from a copy on, with a λ."""
    least, most = UNITS[unit]
    return Loss("ditto", share=0.5, decay=decay, from_copy=copy, unit_bars=most, least_unit_bars=least)


#: In the order in which they are trained: a run that is cut short has the widest comparisons.
WAYS: dict[str, Loss | None] = {
    "nothing": None,
    "cross-entropy": Loss(),
    "ditto bar, copy 2, λ 0.5": ditto("bar", 2, 0.5),
    "ditto phrase, copy 2, λ 0.5": ditto("phrase", 2, 0.5),
    "unlikelihood": Loss("unlikelihood", share=0.5),
    "rebalanced": Loss(),
    "ditto bar, copy 3, λ 0.9": ditto("bar", 3, 0.9),
    "ditto phrase, copy 3, λ 0.9": ditto("phrase", 3, 0.9),
    "ditto bar, copy 2, λ 0.9": ditto("bar", 2, 0.9),
    "ditto bar, copy 3, λ 0.5": ditto("bar", 3, 0.5),
    "ditto phrase, copy 2, λ 0.9": ditto("phrase", 2, 0.9),
    "ditto phrase, copy 3, λ 0.5": ditto("phrase", 3, 0.5),
}
DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "top-p 0.95": {"do_sample": True, "top_p": 0.95, "top_k": 0},
}


@dataclass(frozen=True)
class CurePlan(Plan):
    """The same, with the checkpoint that all ways start from.

    Args:
        plant: the cell of benchmarks/scratch_or_tune.py that left it.
        optimiser, rate: of every way; rate is its peak.
    """

    plant: str = PLANT
    optimiser: str = "adamw"
    rate: float = RATES["adamw"]


def plant_of(plan: CurePlan) -> Path:
    """The checkpoint that all ways start from."""
    return scratch_or_tune.folder_of(plan, plan.plant) / "model"


def folder_of(plan: CurePlan, way: str) -> Path:
    """Where a way is trained."""
    plant = scratch_or_tune.folder_of(plan, plan.plant).name
    slug = way.replace(", ", "-").replace(" ", "-").replace("λ-", "")
    if way == "nothing":  # has no learning rate
        return plan.work / f"cures-{plant}-nothing"
    return plan.work / f"cures-{plant}-{plan.optimiser}-{plan.rate:g}" / slug


def model_of(plan: CurePlan, way: str) -> Path:
    """The model of a way."""
    return plant_of(plan) if way == "nothing" else folder_of(plan, way) / "model"


def config_of(plan: CurePlan, base: Path, loss: Loss, steps: int) -> TrainConfig:
    """The recipe of a way."""
    return TrainConfig(
        base=str(base), corpus=str(plan.corpus), method="full", context_tokens=1024, batch_rows=4, precision="auto",
        optimiser=plan.optimiser, learning_rate=plan.rate, scheduler="linear", warmup_share=0.1, steps=steps,
        evaluate_every=0, evaluation_rows=scratch_or_tune.VALIDATION, checkpoint_minutes=3, report_to=[], n_threads=1,
        loss=loss, seed=SEED,
    )  # fmt: skip


def rebalanced_base(plan: CurePlan) -> Path:
    """The plant with the training texts' merges as tokens, each beginning as the mean of its parts."""
    from transformers import AutoModelForCausalLM

    folder = folder_of(plan, "rebalanced") / "base"
    if (folder / "config.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    corpus = BuiltCorpus.open(plan.corpus)
    plain = bases.open_codec(plant_of(plan))
    merged = rebalance(plain, rows.pieces(corpus.rows("train"), plain, corpus.notation.unit_start), 0.1)
    model = AutoModelForCausalLM.from_pretrained(plant_of(plan))
    model.resize_token_embeddings(len(merged), pad_to_multiple_of=bases.ROUND_VOCABULARY, mean_resizing=False)
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for place, parts in enumerate(merged.parts):
            table[len(plain) + place] = table[list(parts)].mean(0)
    run.save_codec(merged, folder)
    model.save_pretrained(folder)
    return folder


def train_way(plan: CurePlan, way: str, steps: int, say: Callable[[str], None] = print) -> None:
    """Train a way, unless it is."""
    loss, out = WAYS[way], folder_of(plan, way)
    scratch_or_tune.build_corpus(plan)
    scratch_or_tune.train_cell(plan, plan.plant, say)
    if loss is None or finished(out):
        return
    base = rebalanced_base(plan) if way == "rebalanced" else plant_of(plan)
    out.mkdir(parents=True, exist_ok=True)
    for path in plant_of(plan).parent.glob("tokens-*.npz"):  # made once; of no use to another vocabulary, which sees so
        if not (out / path.name).is_file():
            shutil.copyfile(path, out / path.name)
    timed(out, lambda: run.train(config_of(plan, base, loss, steps), out, say))


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────


def seeds_of(corpus: BuiltCorpus) -> list[tuple[str, list[str]]]:
    """(work, its passage in header and bars) of one held-out passage of each work that has bars enough."""
    found: dict[str, list[str]] = {}
    for row in corpus.rows("test"):
        parts = units(row["prompt"] + row["completion"], corpus.notation.unit_start)
        if row["n_bars"] >= GIVEN + BARS and len(parts) > GIVEN + BARS:
            found.setdefault(row["group"], parts)
    return list(found.items())


def apart(codec: Any, ids: Sequence[int]) -> list[int]:
    """Ids of the notation's fields, whatever was merged."""
    return codec.apart(ids) if isinstance(codec, MergedVocabulary) else list(ids)


@torch.no_grad()
def continued(
    model: Any, codec: Any, seeds: list[tuple[str, list[str]]], unit_start: str, how: dict[str, Any]
) -> list[tuple[list[str], NDArray[np.int64]]]:
    """(bars, ids of fields) of the continuation of each seed: twelve bars, or what came of 480 tokens."""
    from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

    bar = codec.id_of("|")
    begins = torch.tensor([apart(codec, [token])[0] == bar for token in range(len(codec))])
    prompts = []
    for _, parts in seeds:
        told = tokenize_units(codec, parts[: 1 + GIVEN])
        prompts.append([codec.bos_id, *(token for part in told for token in part)])
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), codec.pad_id)
    mask = torch.zeros_like(ids)
    for at, prompt in enumerate(prompts):
        ids[at, longest - len(prompt) :] = torch.tensor(prompt)
        mask[at, longest - len(prompt) :] = 1

    class Enough(StoppingCriteria):  # type: ignore[misc]
        """A row is done when a bar begins after its twelve."""

        def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            return begins[input_ids[:, longest:]].sum(1) > BARS

    n_rows = int(model.get_input_embeddings().weight.shape[0])
    never = sorted({codec.pad_id, codec.eos_id, codec.bos_id, *range(len(codec), n_rows)})
    torch.manual_seed(0)
    whole = model.eval().generate(
        ids, attention_mask=mask, stopping_criteria=StoppingCriteriaList([Enough()]),
        generation_config=GenerationConfig(
            max_new_tokens=MOST_TOKENS, suppress_tokens=never, pad_token_id=codec.pad_id, eos_token_id=None,
            use_cache=True, **how,
        ),
    )  # fmt: skip
    out = []
    for at, prompt in enumerate(prompts):
        new = [token for token in whole[at, longest:].tolist() if token != codec.pad_id]
        places = np.flatnonzero(begins[torch.tensor(new, dtype=torch.long)].numpy())
        kept = new[: places[BARS]] if len(places) > BARS else new
        text = codec.detokenize([*prompt[1:], *kept])
        out.append((units(text, unit_start)[1 + GIVEN :], np.array(apart(codec, kept), np.int64)))
    return out


def human_of(codec: Any, seeds: list[tuple[str, list[str]]]) -> list[tuple[list[str], NDArray[np.int64]]]:
    """The same of the music itself."""
    out = []
    for _, parts in seeds:
        bars = parts[1 + GIVEN : 1 + GIVEN + BARS]
        told = tokenize_units(codec, bars)
        out.append((bars, np.array([token for part in told for token in apart(codec, part)], np.int64)))
    return out


def figures(pieces: list[tuple[list[str], NDArray[np.int64]]]) -> dict[str, list[float]]:
    """Figure → its value for each piece."""
    out: dict[str, list[float]] = {
        name: [] for name in ("rep_1_bars", "rep_2_bars", "rep_4_tokens", "loops", "unfinished")
    }
    for bars, ids in pieces:
        keys = numbered([key_of(bar) for bar in bars])
        out["rep_1_bars"].append(rep_n(keys, 1) or 0.0)
        out["rep_2_bars"].append(rep_n(keys, 2) or 0.0)
        told = in_windows(partial(rep_n, n=4), ids, WINDOW)
        out["rep_4_tokens"].append((rep_n(ids, 4) or 0.0) if told is None else told)
        looping = ends_in_loop(keys, BARS // 4) or ends_in_loop(ids, 64)
        out["loops"].append(float(looping))
        out["unfinished"].append(float(len(bars) < BARS))
    return out


def measure(plan: CurePlan, way: str) -> dict[str, Any]:
    """All figures of a way, kept beside it."""
    from transformers import AutoModelForCausalLM

    path = folder_of(plan, way) / "measured.json"
    if path.is_file():
        return dict(json.loads(path.read_text("utf-8")))
    torch.set_num_threads(1)
    corpus = BuiltCorpus.open(plan.corpus)
    folder = model_of(plan, way)
    codec, model = bases.open_codec(folder), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    unit_start = corpus.notation.unit_start
    works, n_tokens = bits_of_works(HubDecoder(model, max_length=4096), codec, corpus, passages(corpus))
    documents = rows.tokenize_rows(corpus.rows("test"), codec, unit_start, 4096)
    curves = reinforcement.curves(model, documents, n_units=N_UNITS, n_copies=N_COPIES, most_tokens=1024)
    seeds = seeds_of(corpus)
    found = {
        "works": works, "tokens_per_note": n_tokens / sum(notes for _, notes in works.values()),
        "vocabulary": len(codec), "curves": curves.as_dict(),
        "continuations": {
            name: figures(continued(model, codec, seeds, unit_start, how)) for name, how in DECODINGS.items()
        },
        "human": figures(human_of(codec, seeds)),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found).encode())
    return found


def is_measured(plan: CurePlan, way: str) -> bool:
    """Whether the figures of a way are there."""
    return (folder_of(plan, way) / "measured.json").is_file()


def said(values: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Means with their intervals over works (one continuation each); shares with exact ones."""
    out = {}
    for name, found in values.items():
        if name in ("loops", "unfinished"):
            out[name] = statistics.binomial_interval(round(sum(found)), len(found)).record()
        else:
            out[name] = statistics.bootstrap(found).record()
    return out


def row_of(plan: CurePlan, way: str) -> dict[str, Any]:
    """A row of the table."""
    found = measure(plan, way)
    control = measure(plan, "cross-entropy")["works"] if is_measured(plan, "cross-entropy") else None
    bits, notes = np.array(list(found["works"].values())).T
    row = {
        "bits_per_note": statistics.bootstrap(bits, notes, statistic=statistics.ratio).record(),
        "tokens_per_note": found["tokens_per_note"], "vocabulary": found["vocabulary"], "curves": found["curves"],
        "continuations": {name: said(values) for name, values in found["continuations"].items()},
    }  # fmt: skip
    if way != "nothing":
        row["cpu_seconds"] = cpu_seconds(folder_of(plan, way))
        config = run.config_of(folder_of(plan, way) / "run.json")
        row["steps"] = config.steps
        if config.loss.name != "cross-entropy":
            row["turns"] = sum(takes_turn(config, step) for step in range(config.steps or 0))
    if control is not None and way != "cross-entropy":
        row["fewer_bits_than_control"] = compared(found["works"], control)
        greedy = [measure(plan, one)["continuations"]["greedy"]["rep_4_tokens"] for one in (way, "cross-entropy")]
        row["p_greedy_rep_4"] = statistics.sign_flip(np.subtract(*greedy))
    return row


def other_rates(plan: CurePlan) -> dict[str, dict[str, Any]]:
    """Optimiser and learning rate → way → row, of what was measured at others from the same checkpoint."""
    start = f"cures-{scratch_or_tune.folder_of(plan, plan.plant).name}-"
    found: dict[str, dict[str, Any]] = {}
    for optimiser in RATES:
        for folder in sorted(plan.work.glob(f"{start}{optimiser}-*")):
            rate = float(folder.name.removeprefix(f"{start}{optimiser}-"))
            other = replace(plan, optimiser=optimiser, rate=rate)
            ways = [way for way in WAYS if way != "nothing" and is_measured(other, way)]
            if other != plan and ways:
                found[f"{optimiser} {rate:g}"] = {way: row_of(other, way) for way in ways}
    return found


def plant_steps(plan: CurePlan) -> int:
    """How long the checkpoint was trained."""
    return int(json.loads((plant_of(plan).parent / "run.json").read_text("utf-8"))["n_steps"])


def report(plan: CurePlan, steps: int) -> None:
    """JSON, page and drawing of the ways that are there; the others are named."""
    there = [way for way in WAYS if is_measured(plan, way)]
    if not there:
        raise ConfigError("a way that is measured", "none", where=str(plan.work), hint="Leave --report out.")
    human = measure(plan, there[0])["human"]
    result = {
        "command": f'python -m benchmarks.loop_cures --steps {steps} --optimiser {plan.optimiser} '
        f'--rate {plan.rate:g} --plant "{plan.plant}"',
        "corpus": BuiltCorpus.open(plan.corpus).manifest["fingerprint"],
        "plant": {"steps": plant_steps(plan), "step_tokens": scratch_or_tune.STEP_TOKENS, "cell": plan.plant},
        "steps": steps, "optimiser": plan.optimiser, "learning_rate": plan.rate,
        "other_rates": other_rates(plan),
        "given_bars": GIVEN, "bars": BARS, "most_tokens": MOST_TOKENS,
        "seeds": len(human["loops"]), "works": len(measure(plan, there[0])["works"]), "human": said(human),
        "ways": {way: row_of(plan, way) for way in there}, "missing": [way for way in WAYS if way not in there],
        "versions": versions(),
    }  # fmt: skip
    write_atomically(OUT, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    loop_cures_page.write(result, PAGE, DRAWING)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=30, help="of each way")
    parser.add_argument("--plant", choices=PLANTS, default=PLANT, help="the checkpoint to start from")
    parser.add_argument("--optimiser", choices=tuple(RATES), default="adamw")
    parser.add_argument("--rate", type=float, help="peak learning rate; default: the optimiser's")
    parser.add_argument("--only", nargs="*", help="ways to train and measure; no report")
    parser.add_argument("--report", action="store_true", help="train nothing: JSON and page of what is measured")
    options = parser.parse_args()
    plan = CurePlan(
        options.data, options.work.resolve(), plant=options.plant, optimiser=options.optimiser,
        rate=RATES[options.optimiser] if options.rate is None else options.rate,
    )  # fmt: skip
    for way in [] if options.report else options.only or WAYS:
        if way not in WAYS:
            parser.error(f"no way {way!r}; there are {', '.join(map(repr, WAYS))}")
        print(f"== {way}", flush=True)
        train_way(plan, way, options.steps)
        measure(plan, way)
    if not options.only:
        report(plan, options.steps)


if __name__ == "__main__":
    main()
