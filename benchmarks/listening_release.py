"""The listener that comes with cadenza: a run of ``benchmarks/listening.py`` in half precision, with its card.

    python -m benchmarks.listening_release --work DIR [--run averaged]

Writes src/cadenza/models/listener: the language model, its projector and tokenizer, how it was trained
(``training.json``: the configurations of the runs that it is made of, without the places of that machine), and a card
with the scores of benchmarks/results/listening.json. What half precision changes is measured on validation clips and
stands on the card.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.listening import AVERAGED, answers, best_shares, config_of
from benchmarks.listening_page import NAMED
from cadenza.base.files import write_atomically
from cadenza.corpus.clips import ClipStore
from cadenza.metrics.reward import REWARDS
from cadenza.train.listening import rows
from cadenza.train.listening import run as listening

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "src/cadenza/models/listener"
COMPOSER = HERE.parent / "src/cadenza/models/composer/README.md"
COMPARED = 60  # clips
CARD = """# cadenza listener

Writes what one voice plays in up to five seconds of sound as ABC: `cadenza transcribe SOUND -o OUT.abc --route b --listener
shipped` (or `--route auto`: where it measures better). A decoder-only language model of the Llama type that is given what
cadenza's ear heard as notes, a vector for all that begin together, through a linear projector. Needs `cadenza[train]`.

| | |
|---|---|
| parameters | {parameters:,} |
| files | `model.safetensors`, `projector.safetensors` (float16), `tokenizer.json`, `listen.json`, `training.json` |
| trained on | {clips:,} clips of single voices of one or two bars, each {copies} times more transposed by up to five semitones; pitches alone {pitches} steps of {rows} rows, then whole answers and questions {steps} steps |
| learned from rewards | {shares} |
| training | {minutes:.1f} minutes on one accelerator, an H100; what learned from rewards ran beside each other |
| licence | Apache-2.0, as cadenza |

## Scores

{n} clips of {works} works of the test split, played with a soundfont that training never heard; the likeliest answer, 95 %
intervals by bootstrap over works; in the last column the way through ear and notator on the same clips. Everything else is in
docs/listening.md.

| | listener | ear and notator |
|---|---|---|
{scores}

In half precision the reward of {compared} validation clips changes by {change:+.4f}.

## Training

    cadenza corpus build FOLDERS… -o CORPUS --recipe composer
    python -m benchmarks.listening --corpus CORPUS --fonts FluidR3Mono_GM.sf3,MuseScore_General_Lite.sf3 --test-font TimGM6mb.sf2 --work DIR
        --clips {clips} --transposed {copies} --rows {rows} --pitch-steps {pitches} --steps {steps} --rl-rows 128 --rl-steps 400 --most-minutes 3.3
    python -m benchmarks.listening_release --work DIR

Sounds: cadenza's own synthesizer, FluidR3 in mono (MIT, Frank Wen and Michael Cowgill), MuseScore_General (MIT, S. Christian
Collins and others), TimGM6mb for the test clips alone. No soundfont is part of cadenza.

{data}## Limits

One voice; with chords, and several instruments above all, ear and notator find more (docs/listening.md). Metre and tempo are
guesses from one or two bars: {metre:.0%} of the metres, {tempo:.0%} of the tempi (half and double count in part). Longer recordings are refused.
"""  # noqa: E501


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", default=AVERAGED)
    options = parser.parse_args()
    source = options.work / "runs" / options.run / "model"
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "fields.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, OUT / name)
    shutil.copyfile(source / "listen.json", OUT / "listen.json")
    for name in ("model.safetensors", "projector.safetensors"):
        save_file({key: value.half() for key, value in load_file(source / name).items()}, OUT / name, {"format": "pt"})
    shares = {options.run: 1.0}
    if options.run == AVERAGED:
        shares = best_shares(json.loads((options.work / "averaged.json").read_text("utf-8")))
    runs = {name: record(options.work / "runs" / name) for name in ("pitches", *shares)}
    write_atomically(OUT / "training.json", (json.dumps({"shares": shares, "runs": runs}, indent=1) + "\n").encode())
    before, after = (reward(folder, options) for folder in (source, OUT))
    write_atomically(OUT / "README.md", card(options, runs, shares, after - before).encode())
    print(OUT, f"{before:.4f} → {after:.4f}")


def record(run: Path) -> dict[str, Any]:
    """What a run's run.json says, with names instead of places; and how long its training took."""
    said: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))
    said["config"]["listen"]["clips"] = "CLIPS"
    said["config"]["base"] = re.sub(r".*/", "", said["config"]["base"])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    said["train_seconds"] = sum(row["train_runtime"] for row in log if "train_runtime" in row)
    return said


def reward(folder: Path, options: argparse.Namespace) -> float:
    """Of the likeliest answers to validation clips."""
    opened = listening.open_trained(folder)
    opened.model.eval()
    store = ClipStore(options.work / "clips" / "validation")
    heard = rows.Heard(store, opened.tower, rows.kept_in(store, opened.tower))
    numbers = range(min(COMPARED, len(store)))
    said = answers(
        opened, [heard[n] for n in numbers], rows.INSTRUCTION, 1, 0.0, config=listening_config(options), seed=0
    )
    paid = [REWARDS.load("score")(one, store.texts[n]).total for n, (one,) in zip(numbers, said, strict=True)]
    return float(np.mean(paid))


def listening_config(options: argparse.Namespace) -> Any:
    """The recipe of sft, for the lengths of answers."""
    named = argparse.Namespace(
        work=options.work, tower="notes", pitches=0.25, pitch_steps=1, steps=1, sft_from="", transposed=0, rows=8,
        shape="scratch:small",
    )  # fmt: skip
    return config_of("sft", named)


def card(options: argparse.Namespace, runs: dict[str, Any], shares: dict[str, float], change: float) -> str:
    """README.md."""
    result = json.loads((HERE / "results" / "listening.json").read_text("utf-8"))
    about, row, other = result["about"], result["table"][options.run], result["table"]["route a"]
    names = {"reward": "reward (docs/rewards.md)", "reward_notes": "notes by voice, beat and pitch, F1",
             "onset_f1": "onset F1, 50 ms", "mv2h_like": "MV2H-like"}  # fmt: skip
    lines = [f"| {said} | {told(row, key)} | {told(other, key)} |" for key, said in names.items()]
    composer = COMPOSER.read_text("utf-8")
    data = composer[composer.index("## Data") : composer.index("## How it was made")]
    data = re.sub(r"Training examples:.*\n\n", "", data)
    rewarded = [runs[name]["train_seconds"] for name in shares if name != "sft"]
    minutes = (runs["pitches"]["train_seconds"] + runs["sft"]["train_seconds"] + max(rewarded, default=0.0)) / 60
    learned = ", ".join(f"{share:.2f} × {NAMED[name]}" for name, share in shares.items()) + ": weights averaged"
    return CARD.format(
        parameters=runs["sft"]["n_parameters"], clips=int(about["clips"]), copies=about["transposed"],
        pitches=about["pitch_steps"], steps=about["steps"], rows=about["rows"],
        shares=learned, minutes=minutes, n=row["clips"], works=row["works"], scores="\n".join(lines),
        compared=COMPARED, change=change,
        data=data, metre=row["heard, greedy"]["reward_metre"][0], tempo=row["heard, greedy"]["reward_tempo"][0],
    )  # fmt: skip


def told(row: dict[str, Any], key: str) -> str:
    """A figure with its interval."""
    value, low, high = row["heard, greedy"][key]
    return f"{value:.2f} ({low:.2f} … {high:.2f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
