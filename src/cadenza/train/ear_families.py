"""The ear's weights for families of instruments alone, taught anew on whole notes.

    python -m cadenza.train.ear_families EAR --scores scores.npz --font a.sf3 … --out DIR [--clips 600]

In the ear's own training every frame of every note counts, so long notes and common instruments lead. Here a note is
one example, the mean of what the trunk says of its first frames, and a rare family weighs more (by the square root of
its rareness). The trunk stays as it is, and so do onsets, ends and bends. Half of the clips are heard in rooms and
through devices, as in training. Which is better on instruments that were never heard: docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cadenza.base.errors import ConfigError
from cadenza.base.files import write_atomically
from cadenza.base.tensors import read_json_object
from cadenza.corpus.humanise import FAMILIES
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import CLIP_SECONDS, Clip, Instruments, Synthesizer
from cadenza.model import ear_features as front
from cadenza.model.ear_architecture import HEADS, EarShape
from cadenza.train.ear import facts_of, save, weights_of
from cadenza.train.ear_augment import augmented
from cadenza.train.ear_network import EarNetwork, LogMagnitudes

NOTE_FRAMES, SHORTEST_FRAMES = 40, 3
MODE_SHARES = (0.12, 0.14, 0.36, 0.14, 0.12, 0.08, 0.04)  # lines of one instrument tell most
AUGMENTED_SHARE, HALL_SHARE = 0.5, 0.5
TOGETHER_SECONDS = 0.05
BALANCE, MOST_WEIGHT = 0.5, 5.0  # 1: all families weigh the same; a rare one at most so many times the mean


def trunk(network: EarNetwork, magnitudes: Tensor) -> Tensor:
    """What the heads are given, (B, width, T, 88)."""
    given: list[Tensor] = []
    hook = network.heads.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    try:
        with torch.no_grad():
            network(magnitudes)
    finally:
        hook.remove()
    return given[0]


def examples(said: Tensor, clip: Clip) -> tuple[Tensor, Tensor]:
    """((n, width), (n,)): what the trunk says of each note whose family is known and alone at its key, and the family.

    Args:
        said: the trunk's output for the clip, (width, T, 88).
    """
    listed = clip.notes[np.lexsort([clip.notes["onset_seconds"], clip.notes["pitch"]])]
    close = (np.diff(listed["onset_seconds"]) < TOGETHER_SECONDS) & (np.diff(listed["pitch"]) == 0)
    doubled = np.r_[close, False] | np.r_[False, close]
    rows, families = [], []
    for note in listed[~doubled & (listed["family"] >= 0)]:
        begin = round(float(note["onset_seconds"]) * front.FRAMES_PER_SECOND)
        length = round(float(note["end_seconds"] - note["onset_seconds"]) * front.FRAMES_PER_SECOND)
        end = min(said.shape[1], begin + min(NOTE_FRAMES, max(length, SHORTEST_FRAMES)))
        if end - begin >= SHORTEST_FRAMES:
            rows.append(said[:, begin:end, int(note["pitch"]) - front.LOWEST_PITCH].mean(1))
            families.append(int(note["family"]))
    return (
        torch.stack(rows) if rows else said.new_zeros((0, len(said))),
        torch.tensor(families, dtype=torch.long),
    )


def fitted(
    x: Tensor, families: Tensor, weight: Tensor, bias: Tensor, stay: float = 1e-3, rounds: int = 200
) -> tuple[Tensor, Tensor, int]:
    """Weights (families, width) and bias of one logistic regression a family, begun with those given; and the rounds.

    Args:
        x: (n, width), examples.
        families: (n,), of each.
        stay: how much it costs to leave the weights given (a ridge, in standard deviations of ``x``).
    """
    counts = torch.bincount(families, minlength=len(weight)).float()
    each = (len(x) / (len(weight) * counts.clamp(min=1))).pow(BALANCE).clamp(max=MOST_WEIGHT)[families]
    truth = F.one_hot(families, len(weight)).float()
    spread = x.std(0).clamp(min=1e-6)
    w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([w, b], max_iter=rounds, line_search_fn="strong_wolfe")
    n_rounds = 0

    def closure() -> Tensor:
        nonlocal n_rounds
        n_rounds += 1
        optimizer.zero_grad()
        lost = F.binary_cross_entropy_with_logits(x @ w.T + b, truth, reduction="none").sum(1)
        loss = (each * lost).sum() / each.sum() + stay * (((w - weight) * spread) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return w.detach(), b.detach(), n_rounds


def retaught(
    ear: Path, pack: ScorePack, fonts: Sequence[Path], out: Path, n_clips: int = 600, seed: int = 0
) -> dict[str, Any]:
    """Write the run of an ear whose family weights are learned anew; returns how often they are right on examples.

    Raises:
        ConfigError: no clips are asked for.
        ModelError: no ear is there.
    """
    if n_clips < 1:
        raise ConfigError("at least one clip", str(n_clips))
    began = time.time()
    shape, threshold = shape_of(ear)
    weights = weights_of(ear, shape)
    network = EarNetwork(shape)
    network.load_state_dict(weights, strict=False)
    network.eval()
    magnitudes = LogMagnitudes()
    synthesizer = Synthesizer(pack, Instruments(fonts, n_random=0), "train", seed, 0.0, MODE_SHARES)
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n_clips):
        clip = synthesizer.clip(number)
        sound = torch.from_numpy(clip.samples.astype(np.float32) / 32768)[None]
        if rng.random() < AUGMENTED_SHARE:
            sound = augmented(sound, generator, hall_share=HALL_SHARE)
        else:
            sound = sound / (sound.std() + 1e-5) * front.LEVEL
        found.append(examples(trunk(network, magnitudes(sound))[0], clip))
    x, families = (torch.cat(column) for column in zip(*found, strict=True))
    first = len(HEADS)
    head = {name: network.heads.get_parameter(name).detach() for name in ("weight", "bias")}
    old = (head["weight"][first:, :, 0, 0].clone(), head["bias"][first:].clone())
    weight, bias, rounds = fitted(x, families, *old)
    weights["heads.weight"][first:, :, 0, 0], weights["heads.bias"][first:] = weight, bias
    result = {
        "onset_threshold": threshold,
        "examples": len(x),
        "right": {name: right(x, families, *each) for name, each in (("before", old), ("after", (weight, bias)))},
    }
    facts = {
        "only": "the weights of families", "step": rounds, "minutes": (time.time() - began) / 60,
        "clips": n_clips, "audio_seconds_learned": n_clips * CLIP_SECONDS,
        "audio_seconds_rendered": n_clips * CLIP_SECONDS, "training": {"seed": seed, "mode_shares": MODE_SHARES},
        "fonts": [path.name for path in fonts], "before": facts_of(ear),
    }  # fmt: skip
    if (ear / "result.json").is_file():  # onsets are what they were
        tested = read_json_object((ear / "result.json").read_bytes(), str(ear)).get("test", {})
        result["test"] = {at: {k: v for k, v in row.items() if k != "family"} for at, row in tested.items()}
    out.mkdir(parents=True, exist_ok=True)
    save(out / "ear.pt", shape, weights, facts)
    write_atomically(out / "result.json", json.dumps(result, indent=1).encode())
    return result


def right(x: Tensor, families: Tensor, weight: Tensor, bias: Tensor) -> dict[str, float]:
    """How many examples of each family are told as it."""
    told = (x @ weight.T + bias).argmax(1)
    return {
        name: round(float((told[families == number] == number).float().mean()), 4)
        for number, name in enumerate(FAMILIES)
        if (families == number).any()
    }


def shape_of(ear: Path) -> tuple[EarShape, float]:
    """The shape of a run's or a released ear, and its onset threshold."""
    if (ear / "ear.pt").is_file():
        shape = torch.load(ear / "ear.pt", map_location="cpu", weights_only=True)["shape"]
        threshold = read_json_object((ear / "result.json").read_bytes(), str(ear))["onset_threshold"]
    else:
        config = read_json_object((ear / "config.json").read_bytes(), str(ear))
        shape, threshold = config["shape"], config["onset_threshold"]
    return EarShape(**shape), float(threshold)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ear", type=Path, help="the folder of a run or of a released ear")
    parser.add_argument("--scores", type=Path, required=True, help="a score pack (benchmarks/ear_data.py)")
    parser.add_argument("--font", type=Path, action="append", required=True, help="a soundfont to learn from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    result = retaught(chosen.ear, ScorePack.load(chosen.scores), chosen.font, chosen.out, chosen.clips, chosen.seed)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
