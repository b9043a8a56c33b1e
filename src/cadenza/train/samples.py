"""What a model can do while it is being trained: continuations of held-out pieces as music, to hear and to see.

Every ``samples_every`` steps the first bars of a few held-out pieces are continued twice: under the notation's grammar,
as ``compose`` does, and freely, so that it shows how much of the notation the model knows by itself. The folder
``samples/`` of the run gets one folder a step (``.mid``, ``.smidi``, the text where it is no music, the figures), and
``index.html``: sound, piano rolls, and curves of validity, repetition and bits per note over the steps.

**Nothing of this may change the training.** Random states are put back afterwards, the model is read in evaluation mode
without gradients, and draws depend on (seed, step, number) alone: a run with samples ends with the same bits as one
without, and a test compares them.
"""

from __future__ import annotations

import base64
import io
import json
import random
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.corpus.open import after_instruction
from cadenza.formats import notation_file, piano_roll, wav
from cadenza.formats.coloured import Coloured
from cadenza.infer.generate import DEFAULT_SAMPLING, continue_score
from cadenza.infer.model import ComposerModel, has_fields
from cadenza.infer.sample import sample
from cadenza.metrics import repetition_tokens
from cadenza.model.hub_decoder import HubDecoder
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score import edit
from cadenza.score.model import Score
from cadenza.score.time import bar_table, ticks_to_seconds
from cadenza.train import curves
from cadenza.train.rows import tokenize_units, units

FOLDER, RECORD, PAGE = "samples", "figures.json", "index.html"
SEED_BARS = 4
FREE_TOKENS = 512  # most tokens of a free continuation
SOUND_SECONDS, SOUND_RATE = 8.0, 16_000  # of each on the page: a quarter of a megabyte
KEPT_SOUNDS = 8  # steps whose sound is on the page itself


@dataclass(frozen=True)
class HeldOut:
    """What is continued.

    Args:
        name: of the piece.
        prompt: the text that a free continuation begins from, as the corpus has it.
        seed: its first bars as music; None where the text is not a piece from its beginning.
    """

    name: str
    prompt: str
    seed: Score | None


def held_out(rows: Iterator[dict[str, Any]], notation: Any, style: str, n: int) -> list[HeldOut]:
    """The first ``n`` pieces of a split to continue: one example a piece, those of the task ``continue`` if any."""
    found: list[HeldOut] = []
    others: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row in rows:
        if row["task"] not in ("", "continue"):
            others.append(row)
            continue
        key = str(row.get("path") or row["id"])
        if key in seen:
            continue
        seen.add(key)
        prompt = after_instruction(row["prompt"]) if style == "instruct" else row["prompt"]
        try:
            whole = notation.decode(prompt + row["completion"])
            seed = edit.select_bars(0, min(SEED_BARS, len(bar_table(whole)))).apply(whole)
        except CadenzaError:
            seed = None
        found.append(HeldOut(Path(key).name, row["prompt"], seed if seed is not None and seed.n_notes else None))
        if len(found) == n:
            return found
    return found + [HeldOut(str(row["id"]), row["prompt"], None) for row in others[: n - len(found)]]


def composer(model: Any, codec: Any, notation: Any, context_tokens: int, manifest: dict[str, Any]) -> Any:
    """The model under training as ``compose`` sees one; None where its notation cannot be continued bar by bar."""
    told = isinstance(notation, SimplifiedMidi) and notation.profile == "cadenza" and notation.bars
    told = told and notation.streams == "joint"
    if not told or notation.layout != "interleaved" or notation.resolution.startswith("flat"):
        return None
    if not isinstance(codec, Vocabulary | HubVocabulary):
        return None  # merged tokens are no fields
    if isinstance(codec, Vocabulary) and not has_fields(codec, notation):
        return None
    config = manifest.get("config", {})
    decoder = HubDecoder(model, max_length=min(2 * context_tokens, _reach(model)))
    return ComposerModel(
        Path(FOLDER),
        decoder,
        codec,
        notation,
        min(context_tokens, decoder.max_length),
        config.get("style", "bare"),
        manifest.get("prompts") or {},
        sees_model_view=config.get("view") == "composer",
    )


def _reach(model: Any) -> int:
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20)


def freely(model: Any, codec: Any, notation: Any, prompt: str, context_tokens: int, rng: np.random.Generator) -> str:
    """What the model writes after a prompt with nothing to hold it, up to its own end; the continuation's text."""
    begin = [] if codec.bos_id is None else [codec.bos_id]
    parts = tokenize_units(codec, units(prompt.rstrip(" "), notation.unit_start))
    most = max(2, min(context_tokens, _reach(model)))
    ids = (begin + [token for part in parts for token in part])[-(most * 3 // 4) :]
    decoder = HubDecoder(model, max_length=most)
    logits = decoder.prefill(np.array(ids, np.int64))[0]
    known = np.arange(len(codec))
    drawn: list[int] = []
    for _ in range(min(FREE_TOKENS, most - len(ids))):
        token = sample(logits, known, DEFAULT_SAMPLING, rng)
        if token == codec.eos_id:
            break
        drawn.append(token)
        if decoder.length >= decoder.max_length:
            break
        logits = decoder.step(np.array([token]))[0]
    return str(codec.detokenize(drawn))


def whole_units(text: str, notation: Any) -> str:
    """``text`` without the bar that its end cut short."""
    parts = units(text, notation.unit_start)
    return "".join(parts[:-1]) if len(parts) > 1 else text


def decoded(prompt: str, text: str, notation: Any) -> Score | None:
    """The music of a free continuation; None where the notation does not allow it."""
    joint = "" if not text or text[0] in " \n" or prompt.endswith(("\n", " ")) else " "
    for whole in (text, whole_units(text, notation)):
        try:
            return notation.decode(prompt + joint + whole)  # type: ignore[no-any-return]
        except (CadenzaError, ValueError):
            continue
    return None


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Random states and the model's mode are afterwards what they were."""
    python, numpy_state, was_training = random.getstate(), np.random.get_state(), model.training  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
        model.train(was_training)


class Samples(TrainerCallback):
    """Continuations every ``samples_every`` steps.

    Args:
        prepared: the run.
        out: its folder.
    """

    def __init__(self, prepared: Any, out: Path) -> None:
        self.prepared, self.out = prepared, out / FOLDER
        config, corpus = prepared.config, prepared.corpus
        self.every, self.bars, self.log = config.samples_every, config.sample_bars, out / "log.jsonl"
        self.style = corpus.manifest.get("config", {}).get("style", "bare")
        split = "validation" if corpus.manifest["splits"].get("validation", {}).get("examples") else "train"
        self.pieces = held_out(corpus.rows(split), corpus.notation, self.style, config.n_samples)
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write samples when it is their turn; the first process does."""
        if state.global_step % self.every or not state.is_world_process_zero:
            return
        begun = time.monotonic()
        model = kwargs["model"]
        model = getattr(model, "module", model)
        with untouched(model):
            self.write(model, state.global_step)
        if self.trainer is not None:
            self.trainer.progress.pause(time.monotonic() - begun)

    def write(self, model: Any, step: int) -> Path:
        """The samples of a step; returns their folder."""
        config, codec, notation = self.prepared.config, self.prepared.base.codec, self.prepared.corpus.notation
        folder = self.out / f"step-{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        writer = composer(model, codec, notation, config.context_tokens, self.prepared.corpus.manifest)
        found = []
        for number, piece in enumerate(self.pieces):
            rng = np.random.default_rng([config.seed, step, number, 11])
            text = freely(model, codec, notation, piece.prompt, config.context_tokens, rng)
            music = after_instruction(piece.prompt) if self.style == "instruct" else piece.prompt
            score = decoded(music, text, notation)
            row = {"name": piece.name, "free": self._kept(folder / f"{number}-free", text, score, None)}
            if writer is not None and piece.seed is not None:
                row["grammar"] = self._constrained(folder / f"{number}-grammar", piece.seed, writer, step, number)
            found.append(row)
        record = {"step": step, "samples": found, **summary(found)}
        write_atomically(folder / RECORD, json.dumps(record, indent=1).encode())
        write_atomically(self.out / PAGE, page(self.out, self.log).encode())
        return folder

    def _constrained(self, path: Path, seed: Score, writer: Any, step: int, number: int) -> dict[str, Any]:
        try:
            drawn = int(np.random.default_rng([self.prepared.config.seed, step, number]).integers(1 << 31))
            take = continue_score(seed, writer, bars=self.bars, random_seed=drawn)
        except CadenzaError as error:
            return {"valid": False, "said": str(error)[:300], "files": []}
        return self._kept(path, "".join(take.bars), take.score, take.start_ticks)

    def _kept(self, path: Path, text: str, score: Score | None, start_ticks: int | None) -> dict[str, Any]:
        """Write what there is of a sample, and its figures."""
        notation = self.prepared.corpus.notation
        row: dict[str, Any] = {"valid": score is not None and score.n_notes > 0, "files": []}
        tokens = repetition_tokens.compute(est=text, notation=notation)
        row |= {"rep_4": tokens.get("rep_4_tokens"), "loop_tokens": tokens.get("loop_tokens")}
        path.with_suffix(".txt").write_text(text, "utf-8")
        row["files"].append(path.with_suffix(".txt").name)
        if score is None or not score.n_notes:
            return row
        row["notes"] = score.n_notes
        written: list[tuple[Path, Any]] = [
            (path.with_suffix(".mid"), formats.write),
            (path.with_suffix(".smidi"), notation_file.write),
        ]
        for name, write in written:
            try:
                write(score, name)
                row["files"].append(name.name)
            except CadenzaError as error:
                row["said"] = str(error)[:300]
        piano_roll.write(score, path.with_suffix(".png"), highlight=Coloured.of(None, start_ticks), width=900)
        sound = _sound(score, start_ticks)
        if sound:
            write_atomically(path.with_suffix(".wav"), sound)
        return row


def _sound(score: Score, start_ticks: int | None) -> bytes:
    """A few seconds as a mono .wav by the built-in synthesizer: from two seconds before the continuation on."""
    begin = max(0.0, float(ticks_to_seconds(score, start_ticks)) - 2.0) if start_ticks else 0.0
    try:
        audio, _ = wav.synthesize(score, soundfont="built-in", sample_rate=SOUND_RATE, reverb=0.0, max_seconds=120.0)
    except CadenzaError:
        return b""
    first = int(begin * SOUND_RATE)
    mono = audio.samples.mean(0)[first : first + int(SOUND_SECONDS * SOUND_RATE)]
    if not len(mono):
        return b""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes((np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Shares and means of a step's samples."""
    out: dict[str, float | None] = {}
    for kind in ("free", "grammar"):
        some = [row[kind] for row in rows if kind in row]
        repeated = [one["rep_4"] for one in some if one.get("rep_4") is not None]
        out[f"valid_{kind}"] = sum(one["valid"] for one in some) / len(some) if some else None
        out[f"rep_4_{kind}"] = float(np.mean(repeated)) if repeated else None
    return out


def records(folder: Path) -> list[dict[str, Any]]:
    """The figures of all steps, in order."""
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob(f"step-*/{RECORD}")]
    return sorted(found, key=lambda row: int(row["step"]))


def page(folder: Path, log: Path) -> str:
    """The page of all steps: curves, then each step's samples, the newest first."""
    steps = records(folder)
    bits: dict[int, float] = {}
    for line in log.read_text("utf-8").splitlines() if log.is_file() else ():
        row = json.loads(line)
        if "eval_bits_per_note" in row:
            bits[int(row["step"])] = float(row["eval_bits_per_note"])

    def curve(name: str) -> list[tuple[float, float]]:
        return [(row["step"], row[name]) for row in steps if row.get(name) is not None]

    drawn = [
        curves.figure("Valid continuations", "share", {"free": curve("valid_free"), "grammar": curve("valid_grammar")}),
        curves.figure("Repetition", "rep-4", {"free": curve("rep_4_free"), "grammar": curve("rep_4_grammar")}),
        curves.figure("Bits per note", "held out", {"held out": sorted(bits.items())}),
    ]
    parts = [f'<div class="plots">{"".join(drawn)}</div>']
    for place, row in enumerate(reversed(steps)):
        parts.append(f"<h2>Step {row['step']:,}</h2>")
        for number, one in enumerate(row["samples"]):
            for kind in ("grammar", "free"):
                if kind in one:
                    stem = f"step-{row['step']:06d}/{number}-{kind}"
                    parts.append(_shown(folder, stem, one["name"], kind, one[kind], place < KEPT_SOUNDS))
    return curves.document("Samples of a training run", parts)


def _shown(folder: Path, stem: str, name: str, kind: str, row: dict[str, Any], inline: bool) -> str:
    said = "under the grammar" if kind == "grammar" else "free"
    repeated = "" if row.get("rep_4") is None else f" · rep-4 {row['rep_4']:.2f}"
    state = "" if row["valid"] else " · not valid"
    parent = stem.partition("/")[0]
    links = " ".join(f'<a href="{parent}/{escape(file)}">{escape(Path(file).suffix)}</a>' for file in row["files"])
    parts = [f"<p><b>{escape(name)}</b> {said}{state}{repeated} {links}</p>"]
    sound, picture = folder / f"{stem}.wav", folder / f"{stem}.png"
    if sound.is_file():
        data = base64.b64encode(sound.read_bytes()).decode() if inline else ""
        source = f"data:audio/wav;base64,{data}" if inline else f"{stem}.wav"
        parts.append(f'<audio controls preload="none" src="{source}"></audio>')
    if picture.is_file():
        parts.append(f'<img loading="lazy" alt="piano roll" src="{stem}.png">')
    if not row["valid"]:
        text = folder / f"{stem}.txt"
        shown = text.read_text("utf-8")[:400] if text.is_file() else row.get("said", "")
        parts.append(f"<pre>{escape(shown)}</pre>")
    return f"<div>{''.join(parts)}</div>"
