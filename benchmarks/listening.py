"""The audio language model and learning from rewards: does it hear, and does reinforcement learning help?

    python -m benchmarks.listening --corpus CORPUS --fonts TRAIN.sf3,… --test-font OTHER.sf2 --work DIR [--only STAGE …]

CORPUS is a folder of ``cadenza corpus build``. Stopped at any moment, the same command goes on where it was. Stages:

* ``clips``: single voices of one or two bars (``--voices 1``), 5 seconds at most, of train works for training, of
  validation works for choosing, of test works, played with a soundfont that training never heard, for measuring;
* ``pitches``: a decoder of the shape scratch:small from random weights on what the shipped ear hears, as notes
  (``--tower ear``: as frames), ``--pitch-steps`` steps; it writes pitches alone, to learn to follow what it hears;
* ``sft``: goes on from it with whole transcriptions and questions, ``--steps`` steps;
  or going on from a run that ended too early (``--sft-from``), with a schedule of its own;
* ``raw``: that model with its random weights; ``prior``: the same with a tower that hears nothing: what guessing earns;
* ``grpo``, ``ppo``, ``rejection``, ``dpo`` from sft, under the reward ``score``; ``grpo 1e-3`` at another rate; ``grpo
  abc-2024`` under the published reward; all with the same number of answers;
* ``averaged``: the mean of the weights of sft, grpo and ppo, shares as they do best on validation clips (WARP, Ramé et
  al. 2024: what several runs learned adds up, what each drifted cancels); averaged.json has the shares that were tried;
* ``voices``: how often what the ear heard tells one voice from several;
* ``measure NAME``: greedy and sampled answers to the test clips under each: the reward and its parts; onset F1
  (mir_eval) and the MV2H-like figure, neither of them ever rewarded; of sft and what comes from it also with the sound
  zeroed and with another clip's sound; the published protocol (30 clips × 3 runs); questions. Bootstrap intervals over
  works.
* ``report``: benchmarks/results/listening.json and docs/listening.md.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import listening_page, listening_probe
from benchmarks.listening_classes import in_order, played
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import questions
from cadenza.corpus.clips import NOTATION, SAMPLE_RATE, ClipRecipe, ClipStore, build, pieces_of
from cadenza.infer.held_out import open_music
from cadenza.metrics.base import METRICS
from cadenza.metrics.reward import REWARDS
from cadenza.score.model import Score
from cadenza.train.listening import rows, trainers
from cadenza.train.listening import run as listening
from cadenza.train.recipe import Listen, Preference, TrainConfig

HERE = Path(__file__).resolve().parent
OUT, PAGE = HERE / "results" / "listening.json", HERE.parent / "docs" / "listening.md"
#: Objective, and a reward or a rate that is not the usual one.
FROM_SFT = ("grpo", "grpo 1e-3", "ppo", "rejection", "dpo", "grpo abc-2024")
AVERAGED = "averaged"
TRAINED = ("pitches", "sft", "raw", "prior", *FROM_SFT)
#: Shares of weights that are tried.
MIXTURES: tuple[dict[str, float], ...] = (
    {"sft": 1.0}, {"sft": 0.5, "grpo": 0.5}, {"grpo": 0.5, "ppo": 0.5}, {"sft": 1 / 3, "grpo": 1 / 3, "ppo": 1 / 3},
)  # fmt: skip
ROUTE_A = "route a"
BESIDE_EACH_OTHER = ("sft", AVERAGED, ROUTE_A)
VOICE_FIGURES = ("reward", "reward_notes", "onset_f1", "mv2h_like", "reward_metre", "reward_key")
SOUNDS = ("heard", "silenced", "swapped")
PUBLISHED_CLIPS, RUNS = 30, 3
BEST_OF = 8
WORDS = 384  # tokens: with 512 several pitches of a chord are one
BATCH = 100 if torch.cuda.is_available() else 16  # clips that are answered at once
#: Of General MIDI's programs, eight each.
FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects",
)  # fmt: skip
#: Objective → learning rate.
RATES = {"grpo": 3e-4, "ppo": 3e-4, "rejection": 1e-3, "dpo": 1e-4}


def clips(options: argparse.Namespace) -> None:
    """Build the three sets."""
    music = open_music(options.corpus)
    common = {"seconds": options.seconds, "bars": [1, 2], "stem_share": 1.0 if options.voices == 1 else 0.3,
              "most_voices": max(options.voices, 4)}  # fmt: skip
    for split, n in (("train", options.clips), ("validation", 300), ("test", 300)):
        if (options.work / "clips" / split / "clips.jsonl").is_file():
            known = ClipStore(options.work / "clips" / split)
            if len(known) >= n:
                continue
        fonts = [options.test_font] if split == "test" else ["built-in", *filter(None, options.fonts.split(","))]
        recipe = ClipRecipe(**common, soundfonts=fonts)
        begun = time.monotonic()
        found = pieces_of(music.some(split, 3000))
        print(f"{split}: {len(found)} passages in {time.monotonic() - begun:.0f} s", flush=True)
        build(found, n, split, options.work / "clips" / split, recipe, _every(500, split))


def _every(n: int, name: str) -> Callable[[int, int], None]:
    def progress(done: int, of: int) -> None:
        if done % n == 0:
            print(f"{name}: {done} of {of} clips", flush=True)

    return progress


def config_of(name: str, options: argparse.Namespace) -> TrainConfig:
    """The recipe of a stage."""
    listen = Listen(
        clips=str(options.work / "clips"), tower="deaf" if name == "prior" else options.tower,
        stack=2 if name != "prior" and options.tower == "ear" else 1, vocabulary=WORDS,
        transcriptions=float(name != "pitches"),
        pitches=1.0 if name == "pitches" else options.pitches, questions=0.25 * (name != "pitches"),
        transposed=options.transposed if name in ("pitches", "sft") else 0,
    )  # fmt: skip
    on_gpu = torch.cuda.is_available()
    common: dict[str, Any] = {
        "listen": listen, "context_tokens": 512, "evaluation_rows": 300, "checkpoint_minutes": 3, "report_to": [],
        "n_threads": 1, "precision": "auto", "log_every": 20, "data_workers": 4 * on_gpu,
    }  # fmt: skip
    if name in ("pitches", "sft", "prior", "raw"):
        steps = {"pitches": options.pitch_steps, "sft": options.steps, "raw": 1, "prior": options.steps // 4}[name]
        rate = {"raw": 1e-9, "sft": 0.01}.get(name, 0.02)
        base = options.sft_from or str(options.work / "runs" / "pitches") if name == "sft" else options.shape
        n_batches = 1 if on_gpu else max(1, options.rows // 8)
        return TrainConfig(
            **common, base=base, optimiser="muon", learning_rate=rate, scheduler="linear",
            warmup_share=0.05, batch_rows=options.rows // n_batches, accumulate=n_batches, steps=steps,
            evaluate_every=max(200, steps // 12),
        )  # fmt: skip
    objective, _, other = name.partition(" ")
    reward = "abc-2024" if other == "abc-2024" else "score"
    rate = options.rate or (float(other) if other and other != reward else RATES[objective])
    online = objective in ("grpo", "ppo")
    preference = Preference(
        group=8, max_tokens=192, answer_reward=reward, beta=0.02 if online else 0.1,
        prompts=options.rl_steps * options.rl_rows, updates=2 if objective == "ppo" else 1, temperature=1.0,
        sft_weight=options.sft_weight if online else 0.0,
    )  # fmt: skip
    steps = options.rl_steps * preference.updates if online else options.rl_steps
    common |= {"log_every": 5}
    return TrainConfig(
        **common, objective=objective, base=str(options.work / "runs" / "sft"), preference=preference,
        batch_rows=options.rl_rows, most_minutes=options.most_minutes,
        steps=steps, evaluate_every=max(1, steps // 4), learning_rate=rate,
        scheduler="constant", warmup_share=0.0125, gradient_checkpointing=on_gpu,
    )  # fmt: skip


def trained(name: str, options: argparse.Namespace) -> None:
    """Train a stage."""
    begun = time.process_time()
    out = options.work / "runs" / name.replace(" ", "-")
    listening.train(config_of(name, options), out)
    path = out / "cpu.json"
    if not path.is_file():
        write_atomically(path, json.dumps(time.process_time() - begun).encode())


def averaged(options: argparse.Namespace) -> None:
    """Weights of several runs, averaged; the shares are chosen by the reward of greedy and sampled answers."""
    runs = options.work / "runs"
    torch.set_num_threads(1)
    opened = listening.open_trained(runs / "sft" / "model")
    opened.model.to(listening.device()).eval()
    parts = {name: _weights(runs / name / "model") for name in dict.fromkeys(n for one in MIXTURES for n in one)}
    store = ClipStore(options.work / "clips" / "validation")
    heard = rows.Heard(store, opened.tower, rows.kept_in(store, opened.tower))
    own, tried = dict(opened.model.named_parameters()), []

    def mix(shares: dict[str, float]) -> None:
        with torch.no_grad():
            for key, value in own.items():
                value.copy_(sum(share * parts[name][key].float() for name, share in shares.items()))

    for shares in MIXTURES:
        mix(shares)
        paid: dict[str, float] = {}
        for how, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            found: list[float] = []
            for first in range(0, len(store), BATCH):
                numbers = range(first, min(first + BATCH, len(store)))
                told = answers(
                    opened, [heard[n] for n in numbers], rows.INSTRUCTION, 1, temperature,
                    config=config_of("sft", options), seed=first,
                )  # fmt: skip
                found += [
                    REWARDS.load("score")(one, store.texts[n]).total for n, (one,) in zip(numbers, told, strict=True)
                ]
            paid[how] = float(np.mean(found))
        tried.append({"shares": shares, "validation clips": len(store), **paid})
        print(tried[-1], flush=True)
    mix(best_shares(tried))
    folder = runs / AVERAGED / "model"
    if not folder.is_dir():
        shutil.copytree(runs / "sft" / "model", folder)
    about = json.loads((folder / "listen.json").read_text("utf-8"))
    opened.model.cpu().save(folder, about)
    write_atomically(options.work / "averaged.json", (json.dumps(tried, indent=1) + "\n").encode())


def best_shares(tried: list[dict[str, Any]]) -> dict[str, float]:
    """Of what :func:`averaged` tried."""
    shares: dict[str, float] = max(tried, key=lambda one: one["greedy"] + one["sampled"])["shares"]
    return shares


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {f"language.{key}": value for key, value in load_file(folder / "model.safetensors").items()}
    return found | load_file(folder / "projector.safetensors")


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────


def judged(answer: str, truth: str) -> dict[str, float]:
    """Figure → value of an answer; what cannot be read has 0 in all."""
    verdict = REWARDS.load("score")(answer, truth)
    found = {"reward": verdict.total, "abc_2024": REWARDS.load("abc-2024")(answer, truth).total}
    found |= {f"reward_{name}": verdict.terms.get(name, 0.0) for name in ("notes", "lengths", "metre", "tempo", "key")}
    try:
        est, ref = NOTATION.decode(answer), NOTATION.decode(truth)
    except CadenzaError:
        return found | {"valid": 0.0, "onset_f1": 0.0, "mv2h_like": 0.0}
    figures = METRICS.load("transcription")(ref=ref, est=est) | METRICS.load("score-quality")(ref=ref, est=est)
    return found | {"valid": 1.0} | {name: figures.get(name, 0.0) for name in ("onset_f1", "mv2h_like")}


def measure(name: str, options: argparse.Namespace) -> None:
    """Answers of a model to the test clips, kept line by line."""
    folder = listening.source_of(str(options.work / "runs" / name.replace(" ", "-")))
    assert folder is not None, name
    torch.set_num_threads(1)
    opened = listening.open_trained(folder)
    opened.model.to(listening.device()).eval()
    store = ClipStore(options.work / "clips" / "test")
    heard = rows.Heard(store, opened.tower, rows.kept_in(store, opened.tower))
    config = config_of("sft", options)
    path = options.work / "answers" / f"{name.replace(' ', '-')}.jsonl"
    path.parent.mkdir(exist_ok=True)
    done = path.read_text("utf-8").splitlines(True) if path.is_file() else []
    done = [line for line in done if line.endswith("\n")]
    path.write_text("".join(done), "utf-8")
    swapped = np.roll(np.arange(len(store)), 1)
    n = min(options.measured, len(store))
    with path.open("a", encoding="utf-8") as file:
        for first in range(len(done), n, BATCH):
            numbers = list(range(first, min(first + BATCH, n)))
            ask = partial(answers, opened, config=config, seed=first)
            own = [heard[number] for number in numbers]
            said: dict[str, dict[str, list[list[str]]]] = {}
            for sound in SOUNDS if name != "prior" else SOUNDS[:1]:
                given = [heard[int(swapped[number])] for number in numbers] if sound == "swapped" else own
                given = [np.zeros_like(one) for one in given] if sound == "silenced" else given
                said[sound] = {"greedy": ask(given, rows.INSTRUCTION, n=1, temperature=0.0)}
            said["heard"]["sampled"] = ask(own, rows.INSTRUCTION, n=BEST_OF if name == "sft" else RUNS, temperature=1.0)
            credits: list[list[list[Any]]] = [[] for _ in numbers]
            for question in dict.fromkeys(asked for number in numbers for asked, _ in store[number].questions):
                replies = ask(own, question, n=1, temperature=0.0)
                for number, reply, record in zip(numbers, replies, credits, strict=True):
                    truth = dict(store[number].questions).get(question)
                    if truth is not None:
                        kind = questions.kind_of(question)
                        record.append([kind, questions.credit(question, reply[0], truth)])
            for at, number in enumerate(numbers):
                clip = store[number]
                texts = {sound: {how: rows_[at] for how, rows_ in ways.items()} for sound, ways in said.items()}
                figures = {
                    sound: {how: [judged(one, clip.text) for one in told] for how, told in ways.items()}
                    for sound, ways in texts.items()
                }
                line = {
                    "clip": number, "work": clip.work, "answers": texts, "questions": credits[at], "figures": figures
                }  # fmt: skip
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()


def measure_route_a(options: argparse.Namespace) -> None:
    """The same clips through the ear and the notator."""
    import soundfile

    from cadenza.infer.notator import notate
    from cadenza.infer.transcribe import transcribe

    store = ClipStore(options.work / "clips" / "test")
    path = options.work / "answers" / f"{ROUTE_A.replace(' ', '-')}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory() as folder:
        for number in range(min(options.measured, len(store))):
            clip, sound = store[number], Path(folder) / "clip.wav"
            soundfile.write(sound, clip.samples, SAMPLE_RATE)
            try:
                text = NOTATION.encode(notate(transcribe(sound).score))
            except CadenzaError as error:  # silence, or a page that ABC cannot tell
                text = str(error)
            said = {"heard": {"greedy": [text]}}
            figures = {"heard": {"greedy": [judged(text, clip.text)]}}
            record = {"clip": number, "work": clip.work, "answers": said, "questions": [], "figures": figures}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def family(text: str) -> str:
    """The family of the instrument that a clip's text names first."""
    found = re.search(r"%%MIDI program (\d+)", text)
    return "none said" if found is None else FAMILIES[int(found[1]) // 8]


def answers(
    opened: listening.Opened, features: list[Any], question: str, n: int, temperature: float, *, config: TrainConfig,
    seed: int,
) -> list[list[str]]:  # fmt: skip
    """Texts that a model gives, ``n`` of each clip's features."""
    given = [np.array(opened.prompt(len(one), question)) for one in features]
    sounds = [torch.from_numpy(one) for one in features]
    found = trainers.answers_to(opened.model, given, sounds, n, config, opened.codec, temperature, [17, seed])
    return [[trainers.text_of(opened.codec, one) for one in own] for own in found]


def interval(values: list[float], works: list[str]) -> list[float]:
    """Mean and its 95 % interval, works drawn anew with all their clips."""
    by_work = defaultdict(list)
    for value, work in zip(values, works, strict=True):
        by_work[work].append(value)
    groups = [np.array(group) for group in by_work.values()]
    sums, counts = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(2000, len(groups)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    return [float(sums.sum() / counts.sum()), *np.quantile(means, (0.025, 0.975)).tolist()]


def by_family(found: list[dict[str, Any]], store: ClipStore) -> dict[str, Any]:
    """Family → figures of the greedy answers to its clips."""
    groups = defaultdict(list)
    for record in found:
        groups[family(store[record["clip"]].text)].append(record)
    table: dict[str, Any] = {}
    for kind, records in sorted(groups.items()):
        table[kind] = {"clips": len(records)}
        for figure in ("reward", "onset_f1", "mv2h_like"):
            values = [record["figures"]["heard"]["greedy"][0][figure] for record in records]
            table[kind][figure] = interval(values, [record["work"] for record in records])
    return table


def is_single(score: Score) -> bool:
    """Whether a score's notes come one after another."""
    notes = np.concatenate([track.notes for track in score.tracks])
    notes = notes[np.argsort(notes["onset_ticks"], kind="stable")]
    return bool((notes["onset_ticks"][1:] >= (notes["onset_ticks"] + notes["duration_ticks"])[:-1]).all())


def voices(options: argparse.Namespace) -> None:
    """How often the ear's notes say rightly whether one voice plays, on validation clips."""
    import soundfile

    from cadenza.infer.heard_notes import is_one_voice
    from cadenza.infer.transcribe import transcribe

    store = ClipStore(options.work / "clips" / "validation")
    said: dict[bool, list[bool]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(store)):
            clip, sound = store[number], Path(folder) / "clip.wav"
            soundfile.write(sound, clip.samples, SAMPLE_RATE)
            said[is_single(NOTATION.decode(clip.text))].append(is_one_voice(transcribe(sound).heard))
    found = {
        name: {"clips": len(said[truth]), "taken for one voice": float(np.mean(said[truth]))}
        for name, truth in (("one voice", True), ("chords", False))
    }
    write_atomically(options.work / "voices.json", (json.dumps(found, indent=1) + "\n").encode())
    print(found)


def by_voices(found: list[dict[str, Any]], store: ClipStore) -> dict[str, Any]:
    """Figures of the greedy answers to clips of one voice, and to those with chords."""
    table: dict[str, Any] = {}
    truths = [NOTATION.decode(store.texts[record["clip"]]) for record in found]
    for name, wanted in (("one voice", True), ("chords", False)):
        chosen = [at for at, truth in enumerate(truths) if is_single(truth) == wanted]
        works = [found[at]["work"] for at in chosen]
        told = [found[at]["figures"]["heard"]["greedy"][0] for at in chosen]
        table[name] = {"clips": len(chosen)}
        for figure in VOICE_FIGURES:
            table[name][figure] = interval([one[figure] for one in told], works)
        answered = [found[at]["answers"]["heard"]["greedy"][0] for at in chosen]
        orders = [pitches_in_order(truths[at], text) for at, text in zip(chosen, answered, strict=True)]
        table[name]["pitches in order"] = interval(orders, works)
    return table


def pitches_in_order(truth: Score, answer: str) -> float:
    """See :func:`benchmarks.listening_classes.in_order`; 0 of what cannot be read."""
    try:
        return in_order(played(truth), played(NOTATION.decode(answer)))
    except CadenzaError:
        return 0.0


def report(options: argparse.Namespace) -> None:
    """All that stands, as one JSON."""
    table: dict[str, Any] = {}
    records: dict[str, list[dict[str, Any]]] = {}
    store = ClipStore(options.work / "clips" / "test")
    for name in (*TRAINED, AVERAGED, ROUTE_A):
        path = options.work / "answers" / f"{name.replace(' ', '-')}.jsonl"
        if not path.is_file():
            continue
        found = records[name] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        works = [record["work"] for record in found]
        row: dict[str, Any] = {"clips": len(found), "works": len(set(works))}
        for sound in found[0]["figures"]:
            for how in found[0]["figures"][sound]:
                for figure in found[0]["figures"][sound][how][0]:
                    values = [
                        float(np.mean([one[figure] for one in record["figures"][sound][how][:RUNS]]))
                        for record in found
                    ]
                    row.setdefault(f"{sound}, {how}", {})[figure] = interval(values, works)
        row["families"] = by_family(found, store)
        if name in BESIDE_EACH_OTHER:
            row["voices"] = by_voices(found, store)
        table[name] = row
        if name == ROUTE_A:
            continue
        published = [
            float(np.mean([one["reward"] for one in record["figures"]["heard"]["sampled"][:RUNS]]))
            for record in found[:PUBLISHED_CLIPS]
        ]
        row["published protocol, reward"] = interval(published, works[: len(published)])
        kinds = sorted({kind for record in found for kind, _ in record["questions"]})
        row["questions"] = {
            kind: interval([dict(map(tuple, record["questions"])).get(kind, 0.0) for record in found], works)
            for kind in kinds
        }
        if name == "sft":
            row["best of 8"] = {
                figure: interval(
                    [
                        max(record["figures"]["heard"]["sampled"], key=lambda one: one["reward"])[figure]
                        for record in found
                    ],
                    works,
                )
                for figure in ("reward", "onset_f1", "mv2h_like")
            }
        table[name] = row
    for name in (*FROM_SFT, AVERAGED):
        if name not in records or "sft" not in records:
            continue
        pairs = list(zip(records["sft"], records[name], strict=False))
        works = [record["work"] for record, _ in pairs]
        table[name]["over sft"] = {
            f"{how}, {figure}": interval(
                [
                    float(np.mean([one[figure] for one in b["figures"]["heard"][how][:RUNS]]))
                    - float(np.mean([one[figure] for one in a["figures"]["heard"][how][:RUNS]]))
                    for a, b in pairs
                ],
                works,
            )
            for how in ("greedy", "sampled")
            for figure in ("reward", "onset_f1", "mv2h_like")
        }
    about = {
        name: str(value)
        for name, value in vars(options).items()
        if name not in ("only", "work", "corpus", "fonts", "test_font")
    }
    # classes.json is of benchmarks/listening_classes.py
    aside = {"averaged": "averaged", "towers": "probe", "classes": "classes", "voices": "voices"}
    kept = {key: options.work / f"{name}.json" for key, name in aside.items()}
    result = {"about": about, "table": table, "versions": versions()} | {
        key: json.loads(path.read_text("utf-8")) for key, path in kept.items() if path.is_file()
    }
    write_atomically(OUT, (json.dumps(result, indent=1) + "\n").encode())
    listening_page.write(result, PAGE)
    for name, row in table.items():
        print(
            name, {key: [round(v, 3) for v in row["heard, greedy"][key]] for key in ("reward", "onset_f1", "mv2h_like")}
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--fonts", default="")
    parser.add_argument("--test-font", default="")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--voices", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clips", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--tower", default="notes", help="notes, or ear: its frames")
    parser.add_argument("--pitches", type=float, default=0.25, help="how often sft asks for a clip's pitches alone")
    parser.add_argument("--pitch-steps", type=int, default=800)
    parser.add_argument("--sft-from", default="", help="folder of an earlier run of sft that is gone on from")
    parser.add_argument("--shape", default="scratch:small")
    parser.add_argument("--rows", type=int, default=32, help="of a step")
    parser.add_argument("--transposed", type=int, default=0, help="copies of each clip, to learn from")
    parser.add_argument("--rl-rows", type=int, default=8, help="clips of a step of RL, 8 answers each")
    parser.add_argument("--most-minutes", type=float, default=0.0, help="of learning from rewards; 0: no limit")
    parser.add_argument("--sft-weight", type=float, default=0.0, help="of the true answers beside the reward")
    parser.add_argument("--rl-steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=0.0, help="of learning from rewards, instead of the table's")
    parser.add_argument("--measured", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    stages: dict[str, Callable[[], None]] = {"clips": lambda: clips(options)}
    stages |= {name: partial(trained, name, options) for name in TRAINED}
    stages[AVERAGED] = lambda: averaged(options)
    stages |= {f"measure {name}": partial(measure, name, options) for name in (*TRAINED, AVERAGED)}
    stages[f"measure {ROUTE_A}"] = lambda: measure_route_a(options)
    stages["voices"] = lambda: voices(options)
    stages["probe"] = lambda: listening_probe.run(options.work, options.tower)
    stages["report"] = lambda: report(options)
    for name in options.only or stages:
        if name not in stages:
            parser.error(f"no stage {name!r}; there are {', '.join(stages)}")
        print(f"== {name}", flush=True)
        stages[name]()


if __name__ == "__main__":
    main()
