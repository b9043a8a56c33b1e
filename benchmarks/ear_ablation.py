"""What each part of the ear is worth: front end, width, augmentation and data mix, at equal steps and equal clips.

    python -m benchmarks.ear_ablation --fonts DIR --work DIR [--steps 500] [--only NAME ...] [--report]

``--fonts`` is the folder of ``benchmarks/ear_data.py``. Clips are rendered once for each mix and kept in ``--work``; so
are trained cells, and the same command goes on where it was stopped. Every cell has the base's training but for what
its row says. Judged on works of the test split with the soundfont that is kept for testing, as they are and in the
hall of ``benchmarks/ear.py``: onset F1 (50 ms), the mean over kinds of clips, each clip's with the threshold that is
best on validation works with the training's fonts. Intervals: differences from the base clip by clip, clips drawn
anew (2,000 times). The base runs with three seeds, which says how far apart equal trainings end.

``--report`` writes benchmarks/results/ear_ablation.json and docs/ear-ablation.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ear import degradations
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.humanise import FAMILIES
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import DRUM_CLASSES, MODE_SHARES, MODES, Clip, Instruments, Synthesizer
from cadenza.infer.heard_notes import Thresholds, notes
from cadenza.model.ear_architecture import EarShape
from cadenza.model.ear_features import HARMONICS
from cadenza.train.ear import Average, EarTraining, Learner, curves, f1, onset_scores, rate_at, save, weights_of
from cadenza.train.ear_clips import SLOT_BYTES, Packed, Pool
from cadenza.train.ear_network import EarNetwork

RESULTS = Path(__file__).parent / "results" / "ear_ablation.json"
PAGE = Path(__file__).parents[1] / "docs" / "ear-ablation.md"
FONTS = ("fluid.sf3", "musescore.sf3", "grand.sf3", "sections.sf3", "freepats.sf3")
TEST_FONT = "test-only-timgm6mb.sf3"
TESTED = ("piano", "plucked", "solo", "ensemble", "lead", "band")
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
SHORT, LONG = 0, 1  # windows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mix:
    """What is rendered to learn from: shares of kinds of clips, soundfonts, timbres that no instrument has."""

    shares: dict[str, float] = field(default_factory=lambda: dict(zip(MODES, MODE_SHARES, strict=True)))
    fonts: tuple[str, ...] = FONTS
    n_random: int = 1


def _without(*names: str) -> dict[str, float]:
    kept = {name: share for name, share in Mix().shares.items() if name not in names}
    return {name: share / sum(kept.values()) for name, share in kept.items()}


MIXES = {
    "all": Mix(),
    "no random chords": Mix(_without("random")),
    "piano and random chords alone": Mix({"piano": 0.75, "random": 0.25}),
    "one soundfont": Mix(fonts=("fluid.sf3",), n_random=0),
}


@dataclass(frozen=True)
class Cell:
    """A row of the table.

    Args:
        says: what is unlike the base, for the page.
        channels: which of the gathered channels are seen, as a function of (harmonic, window); None: all.
    """

    part: str
    says: str
    width: int = 32
    mix: str = "all"
    channels: Callable[[float, int], bool] | None = None
    training: dict[str, Any] = field(default_factory=dict)


CELLS = {
    "base": Cell("", "32 wide, both windows, harmonics ½ and 1–8, rooms and devices, all clips"),
    "base, seed 1": Cell("", "the same, another seed", training={"seed": 1}),
    "base, seed 2": Cell("", "the same, another seed", training={"seed": 2}),
    "short": Cell("front end", "the short window alone (64 ms)", channels=lambda harmonic, window: window == SHORT),
    "long": Cell("front end", "the long window alone (256 ms)", channels=lambda harmonic, window: window == LONG),
    "fundamental": Cell(
        "front end", "the fundamental alone, no harmonics", channels=lambda harmonic, window: harmonic == 1.0
    ),
    "four": Cell("front end", "harmonics 1–4, no half", channels=lambda harmonic, window: 1 <= harmonic <= 4),
    "16": Cell("width", "16 wide", width=16),
    "48": Cell("width", "48 wide, as shipped", width=48),
    "dry": Cell("augmentation", "no rooms and devices", training={"augment": False}),
    "wet": Cell(
        "augmentation", "longer and louder rooms (2.2 s, +5 dB)",
        training={"room_seconds": 2.2, "wettest_decibels": 5.0},
    ),
    "unmixed": Cell("augmentation", "no second clip mixed in", training={"mixed_share": 0.0}),
    "no chords": Cell("data", "no random chords", mix="no random chords"),
    "piano": Cell("data", "piano and random chords alone", mix="piano and random chords alone"),
    "one font": Cell("data", "one soundfont, no random timbres", mix="one soundfont"),
}  # fmt: skip


class Masked(EarNetwork):
    """An ear that is shown some of the channels; the others are zero, which is as if they were not there."""

    keep: Tensor

    def __init__(self, shape: EarShape, channels: Callable[[float, int], bool] | None) -> None:
        super().__init__(shape)
        keep = [channels is None or channels(harmonic, window) for harmonic in HARMONICS for _ in range(3)
                for window in (SHORT, LONG)]  # fmt: skip
        self.register_buffer("keep", torch.tensor([*keep, True], dtype=torch.float32), persistent=False)

    def gathered(self, magnitudes: Tensor) -> Tensor:
        """As of :class:`EarNetwork`, without what is not to be seen."""
        seen = super().gathered(magnitudes)
        return seen * self.keep.to(seen.dtype)[None, :, None, None]


def pool_of(mix: str, options: argparse.Namespace) -> Pool:
    """The clips of a mix, rendered or read again."""
    path = options.work / f"clips-{mix.replace(' ', '-')}.bin"
    if not path.is_file():
        one = MIXES[mix]
        instruments = Instruments([options.fonts / name for name in one.fonts], one.n_random)
        synthesizer = Synthesizer(ScorePack.load(options.fonts / "scores.npz"), instruments, "train", 0)
        unfinished = path.with_suffix(".part")
        memory = np.memmap(unfinished, np.uint8, "w+", shape=options.clips * SLOT_BYTES)
        draw = np.random.default_rng(1)
        names, shares = list(one.shares), np.array(list(one.shares.values()))
        begun = time.time()
        for number in range(options.clips):
            mode = names[int(draw.choice(len(names), p=shares / shares.sum()))]
            Packed.views(memory.data, number).fill(synthesizer.clip(number, mode))
        memory.flush()
        unfinished.rename(path)
        print(f"{mix}: {options.clips} clips in {time.time() - begun:.0f} s", flush=True)
    memory = np.memmap(path, np.uint8, "c", shape=options.clips * SLOT_BYTES)
    pool = Pool(options.clips, torch.device("cpu"))
    for number in range(options.clips):
        pool.add(Packed.views(memory.data, number))
    return pool


def judged_clips(options: argparse.Namespace) -> tuple[list[Clip], list[Clip]]:
    """(validation works with the training's fonts, test works with the font that is kept for them)."""
    pack = ScorePack.load(options.fonts / "scores.npz")
    known = Synthesizer(pack, Instruments([options.fonts / name for name in FONTS]), "validation", 1, random_share=0.0)
    unknown = Synthesizer(pack, Instruments([options.fonts / TEST_FONT], n_random=0), "test", 2, random_share=0.0)
    return (
        [known.clip(number, mode) for mode in TESTED for number in range(options.judged // 2)],
        [unknown.clip(number, mode) for mode in TESTED for number in range(options.judged)],
    )


def trained(name: str, options: argparse.Namespace) -> EarNetwork:
    """A cell's network: trained now, or read again."""
    cell = CELLS[name]
    training = replace(EarTraining(batch=4, warmup_steps=60, ema=0.99, flat=0.35), **cell.training)
    shape = EarShape(cell.width, len(FAMILIES), len(DRUM_CLASSES))
    folder = options.work / name.replace(", ", "-").replace(" ", "-")
    torch.manual_seed(training.seed)
    network = Masked(shape, cell.channels)
    if (folder / "ear.pt").is_file():
        network.load_state_dict(weights_of(folder, shape), strict=False)
        return network.eval()
    folder.mkdir(parents=True, exist_ok=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    pool = pool_of(cell.mix, options)
    learner = Learner(network, training, torch.Generator().manual_seed(training.seed + 1))
    average, begun = Average(network, training.ema), time.time()
    lost = 0.0
    for step in range(options.steps):
        parts = learner.step(pool, rate_at(step / options.steps, step, training))
        average.update(step)
        lost += float(parts["onset"].detach())
        if (step + 1) % 100 == 0:
            print(f"{name}: step {step + 1}, onset {lost / 100:.4f}, {time.time() - begun:.0f} s", flush=True)
            lost = 0.0
    network.load_state_dict(average.values)
    save(folder / "ear.pt", shape, average.values, {"steps": options.steps, "seconds": time.time() - begun})
    return network.eval()


def found_at(network: EarNetwork, clip: Clip, sound: NDArray[np.float32]) -> list[float]:
    """Onset F1 of a clip at each threshold."""
    said = curves(network, torch.from_numpy(sound))
    return [f1([onset_scores(clip.notes, notes(said, Thresholds(onset=one)))]) for one in THRESHOLDS]


def judged(network: EarNetwork, clips: tuple[list[Clip], list[Clip]]) -> dict[str, Any]:
    """The threshold, and F1 of each test clip as it is and in the hall."""
    hall = next(change for label, change in degradations().items() if label.startswith("hall"))
    known = np.array([found_at(network, clip, clip.samples.astype(np.float32) / 32768) for clip in clips[0]])
    best = int(known.mean(0).argmax())
    out: dict[str, Any] = {"threshold": THRESHOLDS[best], "validation": round(float(known.mean(0)[best]), 4)}
    plain, wet = [], []
    for clip in clips[1]:
        sound = clip.samples.astype(np.float32) / 32768
        plain.append(round(found_at(network, clip, sound)[best], 4))
        wet.append(round(found_at(network, clip, hall(sound))[best], 4))
    return out | {"kinds": [clip.mode for clip in clips[1]], "plain": plain, "hall": wet}


def interval(values: Floats) -> list[float]:
    """A mean and its 95 % interval, by drawing clips anew."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(2_000, len(values)))].mean(1)
    return [round(float(v), 4) for v in (values.mean(), *np.quantile(drawn, (0.025, 0.975)))]


def table(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures of each cell, and differences from the base (the mean of its seeds) clip by clip."""
    bases = [row for name, row in rows.items() if name.startswith("base")]
    base = {key: np.mean([row[key] for row in bases], axis=0) for key in ("plain", "hall")}
    out = {}
    for name, row in rows.items():
        plain, hall = np.array(row["plain"]), np.array(row["hall"])
        kinds = np.array(row["kinds"])
        out[name] = {
            "parameters": row["parameters"], "seconds": row["seconds"], "threshold": row["threshold"],
            "validation": row["validation"], "test": round(float(plain.mean()), 4),
            "by kind": {kind: round(float(plain[kinds == kind].mean()), 4) for kind in TESTED},
            "from base": interval(plain - base["plain"]), "hall costs": interval(plain - hall),
            "hall costs more than base": interval((plain - hall) - (base["plain"] - base["hall"])),
        }  # fmt: skip
    return out


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = result["table"]
    said = result["about"]
    spread = [rows[name]["test"] for name in rows if name.startswith("base")]
    lines = [
        "# What each part of the ear is worth", "",
        "<!-- written by benchmarks/ear_ablation.py --report -->", "",
        f"Small ears, trained alike: {said['steps']:,} steps of four stretches of 5.12 s from {said['clips']:,} clips "
        f"of 12 s, {said['judged']} test clips a kind (test works, a soundfont that training never heard). The shipped "
        "ear heard more than a hundred times as much, so differences say what matters early; its own figures are in "
        "`benchmarks/results/ear.json`. Onset F1 within 50 ms, mean over clips; differences are from the mean of the "
        f"base's seeds ({min(spread):.3f}–{max(spread):.3f}), clip by clip, with 95 % intervals over clips.", "",
        "| part | cell | parameters | onset F1 | from base | the hall costs | more than base |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, row in rows.items():
        cell = CELLS[name]
        delta, cost, more = row["from base"], row["hall costs"], row["hall costs more than base"]
        is_base = name.startswith("base")
        lines.append(
            f"| {cell.part or 'base'} | {cell.says} | {row['parameters']:,} | {row['test']:.3f} | "
            + ("" if is_base else f"{delta[0]:+.3f} ({delta[1]:+.3f} … {delta[2]:+.3f})")
            + f" | {cost[0]:.3f} | "
            + ("" if is_base else f"{more[0]:+.3f} ({more[1]:+.3f} … {more[2]:+.3f})") + " |"
        )  # fmt: skip
    lines += ["", "By kind of clip:", "", "| cell | " + " | ".join(TESTED) + " |", "|---|" + "---:|" * len(TESTED)]
    for name, row in rows.items():
        lines.append(f"| {CELLS[name].says} | " + " | ".join(f"{row['by kind'][kind]:.3f}" for kind in TESTED) + " |")
    apart = max(abs(rows[name]["from base"][0]) for name in rows if name.startswith("base"))
    told = [name for name, row in rows.items() if not name.startswith("base") and abs(row["from base"][0]) > apart
            and row["from base"][1] * row["from base"][2] > 0]  # fmt: skip
    hall = [name for name, row in rows.items() if not name.startswith("base")
            and row["hall costs more than base"][1] * row["hall costs more than base"][2] > 0]  # fmt: skip
    lines += [
        "", "## What it says", "",
        f"Equal trainings end up to {apart:.3f} from their mean by their seed alone. Beyond that, and with an interval "
        "that leaves out 0: " + "; ".join(f"{CELLS[n].says} ({rows[n]['from base'][0]:+.3f})" for n in told) + ".",
        "", "In the hall, against what it costs the base: "
        + "; ".join(f"{CELLS[n].says} ({rows[n]['hall costs more than base'][0]:+.3f})" for n in hall) + ".",
    ]  # fmt: skip
    lines += ["", "The command: `" + said["command"] + "`.", ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--clips", type=int, default=1000, help="rendered of each mix")
    parser.add_argument("--judged", type=int, default=6, help="test clips of each kind")
    parser.add_argument("--only", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    judging = None
    for name in options.only:
        out = options.work / f"{name.replace(', ', '-').replace(' ', '-')}.json"
        if out.is_file():
            continue
        network = trained(name, options)
        judging = judging or judged_clips(options)
        row = judged(network, judging)
        folder = options.work / out.stem
        facts = torch.load(folder / "ear.pt", map_location="cpu", weights_only=True)["facts"]
        row |= {"parameters": sum(p.numel() for p in network.parameters()), "seconds": round(facts["seconds"], 1)}
        write_atomically(out, json.dumps(row).encode())
        print(name, row["threshold"], row["validation"], round(float(np.mean(row["plain"])), 4), flush=True)
    if options.report:
        rows = {}
        for name in CELLS:
            path = options.work / f"{name.replace(', ', '-').replace(' ', '-')}.json"
            if path.is_file():
                rows[name] = json.loads(path.read_text("utf-8"))
        about = {
            "command": f"benchmarks/ear_ablation.py --steps {options.steps} --clips {options.clips}"
            f" --judged {options.judged}",
            "steps": options.steps, "clips": options.clips, "judged": options.judged,
        }  # fmt: skip
        result = {"about": about, "table": table(rows), "versions": versions()}
        write_atomically(RESULTS, (json.dumps(result, indent=1) + "\n").encode())
        write_atomically(PAGE, page(result).encode())


if __name__ == "__main__":
    main()
