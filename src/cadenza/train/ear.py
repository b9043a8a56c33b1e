"""Training the ear: clips are synthesised on every core while one device learns from those that are there.

    python -m cadenza.train.ear --scores scores.npz --font a.sf3 --font b.sf3 --out DIR --minutes 20

Worker processes render clips without end; each lands in a pool on the device, from which batches are cut anew: another
place, another room, two clips at once. The learning rate follows the clock, so a run of any length ends annealed.
A checkpoint of the averaged weights is written every minute, and a line of log.jsonl with it.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadenza.base.errors import ConfigError, ModelError
from cadenza.base.files import write_atomically
from cadenza.base.tensors import read_json_object, read_safetensors
from cadenza.corpus.humanise import FAMILIES
from cadenza.corpus.score_pack import ScorePack
from cadenza.corpus.synthesis import (
    CLIP_SECONDS,
    DRUM_CLASSES,
    MODE_SHARES,
    MODES,
    Clip,
    Instruments,
    Synthesizer,
)
from cadenza.infer.heard_notes import Thresholds, notes
from cadenza.model import ear_features as front
from cadenza.model.ear_architecture import EarShape
from cadenza.train.allocator import keep_memory_mapped
from cadenza.train.ear_augment import augmented
from cadenza.train.ear_clips import N_SAMPLES, Pool, Renderers
from cadenza.train.ear_network import Block, EarNetwork, LogMagnitudes
from cadenza.train.ear_targets import losses, targets, total
from cadenza.train.ear_widen import widened

SOON_FRAMES = 4  # after an onset, when the family of a note is asked for
BEFORE_FRAMES = 50  # of sound before the frames that are learned, so that a room has filled


@dataclass(frozen=True)
class EarTraining:
    """How the ear is trained.

    Args:
        minutes: of learning, on the clock.
        batch, frames: clips a step and frames of each.
        learning_rate: of AdamW, at its height.
        flat: share of the time before the rate begins to fall along a cosine.
        warmup_steps: in which it rises.
        ema: how much of the averaged weights a step keeps.
        mixed_share: how many clips have a second one mixed in.
        pool_clips: the most clips kept; the oldest give way.
        first_clips: clips rendered before learning begins.
        most_clips: clips rendered in all (0 = without end); where cores are few, rendering takes them from learning.
        workers: processes that render; 0 = one fewer than there are cores.
        augment: whether clips pass through rooms and devices.
        room_seconds, wettest_decibels: of those rooms, the longest reverberation time and the most that the room may
            be louder than what comes straight.
        hall_share: of the clips that pass through rooms, how many are heard far back in a hall instead.
        bfloat16: whether the network runs in bfloat16, which processors without units for it do slowly.
        cycle: how many different clips are made at most (0 = no bound): clip n is clip n mod cycle.
        mode_shares: how often each kind of clip (:data:`cadenza.corpus.synthesis.MODES`) is rendered.
    """

    minutes: float = 20.0
    batch: int = 4
    frames: int = 256
    learning_rate: float = 3e-3
    flat: float = 0.35
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    ema: float = 0.997
    mixed_share: float = 0.15
    pool_clips: int = 2000
    first_clips: int = 64
    most_clips: int = 0
    workers: int = 0
    seed: int = 0
    augment: bool = True
    room_seconds: float = 1.4
    wettest_decibels: float = 2.0
    hall_share: float = 0.0
    bfloat16: bool = True
    cycle: int = 0
    mode_shares: tuple[float, ...] = MODE_SHARES


# ── rendering beside the learning ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Batch:
    """Sound (B, n) and what is to be said of ``frames`` frames of it, the first being ``BEFORE_FRAMES``."""

    samples: Tensor
    notes: Tensor
    bends: Tensor
    drums: Tensor
    first_frame: Tensor


def cut(pool: Pool, training: EarTraining, generator: torch.Generator) -> Batch:
    """A batch of places of clips of the pool, some with another clip mixed in."""
    device, b = pool.device, training.batch
    length = (BEFORE_FRAMES + training.frames) * front.HOP + front.WINDOWS[1]
    length = 2048 * math.ceil(length / 2048)
    span = (N_SAMPLES - length) // front.HOP

    def draw(high: int) -> Tensor:
        return torch.randint(0, high, (b,), generator=generator, device=device)

    one, other, start = draw(len(pool)), draw(len(pool)), draw(span)
    at = start[:, None] * front.HOP + torch.arange(length, device=device)
    mixed = torch.rand(b, generator=generator, device=device) < training.mixed_share
    gain = (0.3 + 0.7 * torch.rand(b, generator=generator, device=device)) * mixed
    samples = pool.samples[one].gather(1, at).float() + gain[:, None] * pool.samples[other].gather(1, at).float()

    def joined(table: Tensor, column: int) -> Tensor:
        second = table[other].clone()
        second[..., column] = torch.where(mixed[:, None], second[..., column], torch.full_like(second[..., column], -1))
        return torch.cat([table[one], second], 1)

    return Batch(
        samples / 32768, joined(pool.notes, 2), joined(pool.bends, 1), joined(pool.drums, 1), start + BEFORE_FRAMES
    )


# ── learning ─────────────────────────────────────────────────────────────────────────────────────────────


def rate_at(progress: float, step: int, training: EarTraining) -> float:
    """The learning rate when ``progress`` of the time is over."""
    fall = 1.0
    if progress > training.flat:
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - training.flat) / (1 - training.flat))))
    return training.learning_rate * min(1.0, (step + 1) / training.warmup_steps) * max(0.005, fall)


class Learner:
    """A network and its optimizer, which takes one batch of a pool after another."""

    def __init__(self, network: EarNetwork, training: EarTraining, generator: torch.Generator) -> None:
        self.network, self.training, self.generator = network, training, generator
        self.device = next(network.parameters()).device
        self.magnitudes = LogMagnitudes().to(self.device)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), training.learning_rate, (0.9, 0.98), weight_decay=training.weight_decay,
            fused=self.device.type == "cuda",
        )  # fmt: skip

    def step(self, pool: Pool, rate: float) -> dict[str, Tensor]:
        """One step at this learning rate; the parts of the loss."""
        training, shape = self.training, self.network.shape
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.no_grad():
            batch = cut(pool, training, self.generator)
            if training.augment:
                samples = augmented(
                    batch.samples, self.generator, training.room_seconds, training.wettest_decibels, training.hall_share
                )
            else:
                samples = batch.samples / (batch.samples.std(1, keepdim=True) + 1e-5) * front.LEVEL
            seen = self.magnitudes(samples)[:, :, BEFORE_FRAMES : BEFORE_FRAMES + training.frames]
            wanted = targets(
                batch.notes, batch.bends, batch.drums, batch.first_frame, training.frames, shape.n_families,
                shape.n_drums,
            )  # fmt: skip
        with torch.autocast(self.device.type, torch.bfloat16, enabled=training.bfloat16):
            said = self.network(seen)
        parts = losses(said, wanted)
        self.optimizer.zero_grad(set_to_none=True)
        total(parts).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        return parts


class Average:
    """Weights and running statistics averaged over the steps."""

    def __init__(self, network: EarNetwork, keep: float) -> None:
        self.keep, self.network = keep, network
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, step: int) -> None:
        """Move towards the weights of now; quickly at first."""
        keep = min(self.keep, 1 - 1 / (step + 1))
        mine, theirs = [], []
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                mine.append(self.values[name])
                theirs.append(value.detach())
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1 - keep)


def save(path: Path, shape: EarShape, values: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """A checkpoint: shape, averaged weights and how they came about; atomically."""
    buffer = io.BytesIO()
    cpu = {name: value.detach().float().cpu() for name, value in values.items() if value.dtype.is_floating_point}
    torch.save({"shape": shape.json(), "weights": cpu, "facts": facts}, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[EarNetwork, dict[str, Any]]:
    """The network of a checkpoint, ready to listen, and its facts."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    network = EarNetwork(EarShape(**stored["shape"]))
    network.load_state_dict(stored["weights"], strict=False)
    return network.eval(), stored["facts"]


def facts_of(folder: Path) -> dict[str, Any]:
    """How the weights of a run or of a released ear came about."""
    if (folder / "ear.pt").is_file():
        found = torch.load(folder / "ear.pt", map_location="cpu", weights_only=True)["facts"]
    else:
        found = read_json_object((folder / "config.json").read_bytes(), str(folder)).get("training", {})
    return {str(key): value for key, value in found.items() if key not in ("families", "drums")}


def weights_of(folder: Path, shape: EarShape) -> dict[str, Tensor]:
    """The weights of a run (``ear.pt``) or of an ear that was released; one that looks less far has none for that.

    Those of a narrower ear are widened (:mod:`cadenza.train.ear_widen`).

    Raises:
        ModelError: they are missing or of another shape.
    """
    if (folder / "ear.pt").is_file():
        stored = torch.load(folder / "ear.pt", map_location="cpu", weights_only=True)["weights"]
    else:
        read = read_safetensors(folder / "model.safetensors")
        stored = {name: torch.from_numpy(value.copy()) for name, value in read.items()}
    width = min(shape.width, len(stored.get("enter_norm.weight", ())) or shape.width)
    state = EarNetwork(replace(shape, width=width)).state_dict()
    wanted = {name: value.shape for name, value in state.items() if value.is_floating_point()}
    if not any(name.startswith("fars.") for name in stored):
        wanted = {name: value for name, value in wanted.items() if not name.startswith("fars.")}
    if {name: value.shape for name, value in stored.items()} != wanted:
        raise ModelError(f"an ear {shape.width} wide with {shape.n_families} families", "another", where=str(folder))
    return stored if width == shape.width else widened(stored, shape)


@torch.no_grad()
def curves(network: EarNetwork, samples: Tensor) -> dict[str, NDArray[np.float32]]:
    """What the network says of one whole recording (n,), brought to the usual level, as decoding wants it."""
    level = samples / (samples.std() + 1e-6) * front.LEVEL
    on_cuda = samples.device.type == "cuda"
    magnitudes = LogMagnitudes().to(samples.device)(level[None])
    with torch.autocast(samples.device.type, torch.bfloat16, enabled=on_cuda):
        said = network(magnitudes)
    out = {}
    for name, value in said.items():
        value = value.float()[0]
        if name not in ("shift", "bend"):
            value = torch.sigmoid(value)
        out[name] = value.cpu().numpy()
    return out


def onset_scores(ref: NDArray[np.void], est: NDArray[np.void], tolerance: float = 0.05) -> tuple[int, int, int]:
    """(matched, in ref, in est) of notes whose pitch is the same and whose onsets are within ``tolerance``.

    On a line, with one tolerance for all, taking the earliest free partner is a largest matching.
    """
    matched = 0
    for pitch in np.intersect1d(ref["pitch"], est["pitch"]):
        mine = np.sort(ref["onset_seconds"][ref["pitch"] == pitch].astype(np.float64))
        theirs = np.sort(est["onset_seconds"][est["pitch"] == pitch])
        i = j = 0
        while i < len(mine) and j < len(theirs):
            if abs(mine[i] - theirs[j]) <= tolerance:
                matched, i, j = matched + 1, i + 1, j + 1
            elif mine[i] < theirs[j]:
                i += 1
            else:
                j += 1
    return matched, len(ref), len(est)


def f1(counts: Sequence[tuple[int, int, int]]) -> float:
    """F1 of counts summed over clips."""
    matched, ref, est = (sum(column) for column in zip(*counts, strict=True))
    return 2 * matched / max(1, ref + est)


def families_right(family: NDArray[np.float32], clip: Clip) -> NDArray[np.bool_]:
    """Of a clip's notes whose family is known, whether the likeliest (families, T, 88) soon after the onset is it."""
    notes_known = clip.notes[clip.notes["family"] >= 0]
    frame = np.rint(notes_known["onset_seconds"] * front.FRAMES_PER_SECOND).astype(int) + SOON_FRAMES
    place = np.clip(frame, 0, family.shape[1] - 1)
    likeliest = family[:, place, notes_known["pitch"] - front.LOWEST_PITCH].argmax(0)
    return np.asarray(likeliest == notes_known["family"])


def heard(
    network: EarNetwork, clips: Sequence[Clip], onset: Sequence[float], device: torch.device
) -> dict[str, dict[str, float]]:
    """Mean onset F1 of each kind of clip and of all, at each threshold, and how often the family is right."""
    network.eval()
    counts: dict[float, dict[str, list[tuple[int, int, int]]]] = {threshold: {} for threshold in onset}
    right = known = 0
    for clip in clips:
        said = curves(network, torch.from_numpy(clip.samples.astype(np.float32) / 32768).to(device))
        for threshold in onset:
            found = notes(said, Thresholds(onset=threshold))
            counts[threshold].setdefault(clip.mode, []).append(onset_scores(clip.notes, found))
        told = families_right(said["family"], clip)
        right, known = right + int(told.sum()), known + len(told)
    network.train()
    out = {}
    for threshold, kinds in counts.items():
        row = {kind: round(f1(rows), 4) for kind, rows in sorted(kinds.items())}
        row["mean"] = round(float(np.mean(list(row.values()))), 4)
        row["family"] = round(right / max(1, known), 4)
        out[str(threshold)] = row
    return out


def _evaluation_clips(synthesizer: Synthesizer, a_mode: int, ready: Any) -> None:
    torch.set_num_threads(1)
    ready.put([synthesizer.clip(number, mode) for mode in MODES for number in range(a_mode)])


THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def train(
    pack: ScorePack,
    fonts: Sequence[Path],
    out: Path,
    training: EarTraining,
    shape: EarShape,
    test_fonts: Sequence[Path] = (),
    evaluation_clips: int = 6,
    device: torch.device | None = None,
    begin_with: Path | None = None,
) -> dict[str, Any]:
    """Train, writing ``ear.pt``, ``log.jsonl`` and ``result.json`` into ``out``; returns the result.

    ``test_fonts`` are rendered with the works of the test split, once, at the end. ``begin_with`` is the folder of an
    ear whose weights are gone on from.

    Raises:
        ConfigError: more clips are waited for than are rendered.
        ModelError: ``begin_with`` holds none of this shape.
    """
    room = min(training.pool_clips, training.most_clips or training.pool_clips)
    if training.first_clips > room:
        raise ConfigError(f"first_clips of at most {room} (pool_clips, most_clips)", str(training.first_clips))
    weights = {} if begin_with is None else weights_of(begin_with, shape)
    sources: dict[str, Any] = {"fonts": [path.name for path in fonts]}
    if begin_with is not None:
        sources["before"] = facts_of(begin_with)
    began = time.time()
    out.mkdir(parents=True, exist_ok=True)
    log = (out / "log.jsonl").open("a", buffering=1)

    def say(**facts: Any) -> None:
        line = json.dumps({"seconds": round(time.time() - began, 1), **facts})
        print(line, flush=True)
        log.write(line + "\n")

    # Everything that is forked is made before the device wakes up.
    instruments = Instruments(fonts, seed=training.seed)
    synthesizer = Synthesizer(pack, instruments, "train", training.seed, mode_shares=training.mode_shares)
    context = multiprocessing.get_context("fork")
    asked: dict[str, Any] = {}
    splits = {"validation": Synthesizer(pack, instruments, "validation", 1, random_share=0.0)}
    if test_fonts:
        tested = Instruments(test_fonts, n_random=0)
        splits["test"] = Synthesizer(pack, tested, "test", 2, random_share=0.0)
    helpers = []
    for name, one in splits.items():
        asked[name] = context.Queue()
        helpers.append(
            context.Process(target=_evaluation_clips, args=(one, evaluation_clips, asked[name]), daemon=True)
        )
        helpers[-1].start()
    n_workers = training.workers or max(1, (os.cpu_count() or 2) - 1)
    renderers = Renderers(synthesizer, n_workers, training.cycle, training.most_clips)
    try:
        device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        say(event="start", device=str(device), workers=n_workers, training=asdict(training), shape=shape.json(),
            pieces=len(pack), torch=torch.__version__, begins_with=str(begin_with or ""))  # fmt: skip
        network = _learn(renderers, training, shape, out, device, say, weights, sources)
        clips = {name: queue.get(timeout=300) for name, queue in asked.items()}
    finally:
        renderers.close()
        for helper in helpers:
            helper.terminate()
    result: dict[str, Any] = {"training": asdict(training), "shape": shape.json()}
    for name, rows in clips.items():
        result[name] = heard(network, rows, THRESHOLDS, device)
    best = max(result["validation"], key=lambda threshold: result["validation"][threshold]["mean"])
    result["onset_threshold"] = float(best)
    say(event="result", onset_threshold=best, **{name: result[name][best] for name in clips})
    write_atomically(out / "result.json", json.dumps(result, indent=1).encode())
    log.close()
    return result


def _choose_dilation(network: EarNetwork, training: EarTraining) -> dict[str, list[float]]:
    """Let each dilated block run the way that is faster on this device; returns the milliseconds measured."""
    found: dict[str, list[float]] = {"dilated": [], "folded": []}
    x = torch.randn(
        training.batch, network.shape.width, training.frames, front.N_PITCHES, device=next(network.parameters()).device
    ).to(memory_format=torch.channels_last)  # fmt: skip
    for block in network.blocks:
        assert isinstance(block, Block)
        if block.conv.dilation == (1, 1):
            continue
        times = []
        for folds in (False, True):
            block.folds = folds
            for turn in range(5):
                if turn == 2:  # the first ones choose algorithms
                    torch.cuda.synchronize()
                    start = time.perf_counter()
                with torch.autocast("cuda", torch.bfloat16):
                    out = block(x.detach().requires_grad_())
                out.float().sum().backward()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / 3 * 1000)
            found["folded" if folds else "dilated"].append(round(times[-1], 2))
        block.folds = times[1] < times[0]
    network.zero_grad(set_to_none=True)
    return found


def _learn(
    renderers: Renderers,
    training: EarTraining,
    shape: EarShape,
    out: Path,
    device: torch.device,
    say: Any,
    weights: Mapping[str, Tensor],
    sources: Mapping[str, Any],
) -> EarNetwork:
    torch.manual_seed(training.seed)
    generator = torch.Generator(device=device).manual_seed(training.seed + 1)
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True  # the features' matrix product stays exact
    network = EarNetwork(shape).to(device)
    if weights:
        network.load_state_dict(weights, strict=False)  # without the counts of batches, which nothing reads
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    learner = Learner(network, training, generator)
    average = Average(network, training.ema)
    pool = Pool(training.pool_clips, device)
    while len(pool) < training.first_clips and not renderers.has_ended:  # a clip that failed does not come
        pool.fill(renderers, wait_seconds=0.5)
    if on_cuda:
        say(event="dilation", milliseconds=_choose_dilation(network, training))
    say(event="learning", parameters=sum(p.numel() for p in network.parameters()), clips=len(pool))
    start, step, minute = time.time(), 0, 1
    sums: dict[str, Tensor] = {}
    counted = 0
    while True:
        elapsed = time.time() - start
        progress = elapsed / (60 * training.minutes)
        if progress >= 1:
            break
        pool.fill(renderers)
        parts = learner.step(pool, rate_at(progress, step, training))
        average.update(step)
        step += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
        counted += 1
        elapsed = time.time() - start
        if elapsed >= 60 * minute * min(1.0, training.minutes / 4) or step == 50:
            minute += step != 50
            spoken = {name: round(float(value) / counted, 5) for name, value in sums.items()}
            rate = learner.optimizer.param_groups[0]["lr"]
            per_second = step * training.batch * training.frames / front.FRAMES_PER_SECOND / elapsed
            say(event="step", step=step, clips=pool.n_seen, rate=rate, audio_seconds_a_second=round(per_second, 1),
                **spoken)  # fmt: skip
            sums, counted = {}, 0
            stopped = {"step": step, "minutes": elapsed / 60, "training": asdict(training), **sources}
            save(out / "ear.pt", shape, average.values, stopped)
    heard_seconds = step * training.batch * training.frames / front.FRAMES_PER_SECOND
    network.load_state_dict(average.values)
    facts = {
        "step": step, "minutes": (time.time() - start) / 60, "clips": pool.n_seen, "training": asdict(training),
        "audio_seconds_learned": heard_seconds, "audio_seconds_rendered": pool.n_seen * CLIP_SECONDS,
        "families": list(FAMILIES), "drums": list(DRUM_CLASSES), **sources,
    }  # fmt: skip
    save(out / "ear.pt", shape, average.values, facts)
    say(event="learned", **{name: facts[name] for name in ("step", "clips", "audio_seconds_learned")})
    return network


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="a score pack (benchmarks/ear_data.py)")
    parser.add_argument("--font", type=Path, action="append", required=True, help="a soundfont to train on")
    parser.add_argument("--test-font", type=Path, action="append", default=[], help="one kept for the end")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default=None, help="cpu, cuda; the accelerator where there is one")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 = its own choice")
    parser.add_argument("--width", type=int, default=EarShape.width)
    parser.add_argument("--far", action="store_true", help="look at what sounded up to 1.7 s before and after, too")
    parser.add_argument("--evaluation-clips", type=int, default=6, help="of each kind")
    parser.add_argument(
        "--from", dest="begin_with", type=Path, help="an ear or a run whose weights go on; narrower: widened"
    )
    for name, value in asdict(EarTraining()).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=value)
        elif isinstance(value, tuple):
            parser.add_argument(option, type=float, nargs=len(value), default=value, metavar=MODES)
        else:
            parser.add_argument(option, type=type(value), default=value)
    chosen = parser.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    keep_memory_mapped()  # here, where the process is ours: it holds for all that a process does later
    training = EarTraining(**{name: getattr(chosen, name) for name in asdict(EarTraining())})
    shape = EarShape(chosen.width, len(FAMILIES), len(DRUM_CLASSES), far=chosen.far)
    device = torch.device(chosen.device) if chosen.device else None
    train(
        ScorePack.load(chosen.scores), chosen.font, chosen.out, training, shape, chosen.test_font,
        chosen.evaluation_clips, device, chosen.begin_with,
    )  # fmt: skip


if __name__ == "__main__":
    main()
