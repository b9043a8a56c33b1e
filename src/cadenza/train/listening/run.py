"""A training run of a model that listens: clips and a recipe → a folder with the model, its projector and its words.

``out/`` is as in :mod:`cadenza.train.run`: run.json, log.jsonl, checkpoint-N/, and at the end model/ or adapter/, where
projector.safetensors and listen.json lie beside the language model's own files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.errors import ConfigError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.clips import NOTATION, ClipStore
from cadenza.metrics.reward import REWARDS
from cadenza.train import bases, loop
from cadenza.train import run as runs
from cadenza.train.listening import answers as drawn_answers
from cadenza.train.listening import rows, trainers, whole
from cadenza.train.listening.audio_lm import LISTEN, PROJECTOR, AudioLm, Listener, about_of
from cadenza.train.listening.towers import Tower, open_tower
from cadenza.train.recipe import SHIPPED, Scratch, TrainConfig
from cadenza.train.rows import Codec

ADAPTER = "adapter_config.json"
COUNTED = 1000  # clips whose notes are counted to say the speed in notes
Say = Callable[[str], None]


@dataclass
class Opened:
    """A model that listens, ready to be trained or asked.

    Args:
        model: an :class:`~cadenza.train.listening.audio_lm.AudioLm`, or a
            :class:`~cadenza.train.listening.whole.WholeAudioLm`.
        codec: text ↔ ids.
        tower: what hears.
    """

    model: Listener
    codec: Codec
    tower: Tower

    @classmethod
    def of_whole(cls, model: whole.WholeAudioLm) -> Opened:
        """An audio language model, which brings its codec and its features."""
        return cls(model, model.codec, model.tower)

    def prompt(self, n_frames: int, question: str = rows.INSTRUCTION) -> list[int]:
        """Ids of a prompt for so many frames of features."""
        return self.model.prompt_ids(self.codec, n_frames, question)


def source_of(base: str) -> Path | None:
    """The folder of a model that listens, where ``base`` names one: a run, or its model or adapter, or "shipped"."""
    if base == SHIPPED:
        return Path(str(files("cadenza"))) / "models" / "listener"
    for folder in (Path(base) / "model", Path(base) / "adapter", Path(base)):
        if (folder / LISTEN).is_file():
            return folder
    return None


def scratch_shape(config: TrainConfig) -> Scratch:
    """The recipe's shape, its layers seeing everything: sound stands at the beginning of every row."""
    shape = config.shape() if config.scratch is None else config.scratch
    return replace(shape, layer_pattern="f", window_tokens=config.context_tokens)


def root_recipe(folder: Path) -> TrainConfig:
    """The recipe that names what a folder's adapter is put on: adapters that went on from a run's are on its base."""
    recipe = runs.config_of(folder / "run.json")
    before = None if recipe.is_scratch else source_of(recipe.base)
    if before is None or not (before / ADAPTER).is_file():
        return recipe
    return root_recipe(before)


def language_of(
    folder: Path,
    train: TrainConfig | None,
    load: Callable[[TrainConfig], Any],
    adapt: Callable[[Any, TrainConfig], Any],
) -> Any:
    """The language model of a folder, as it was trained or ready for a run that goes on from it.

    Args:
        train: the recipe of that run.
        load: a recipe's base → its weights.
        adapt: (weights, recipe) → with new adapters.
    """
    if (folder / ADAPTER).is_file():
        from peft import PeftModel

        language = PeftModel.from_pretrained(load(root_recipe(folder)), str(folder), is_trainable=train is not None)
        if train is not None and train.method == "full":
            language = language.merge_and_unload()
    else:
        # In the precision of the recipe, as its outcome is opened again: see root_recipe.
        language = load(TrainConfig(base=str(folder)) if train is None else replace(train, base=str(folder)))
        if train is not None and train.method != "full":
            language = adapt(language, train)
    if train is None or train.method == "full":
        language.requires_grad_(train is not None)
    return language


def open_trained(folder: Path, with_value: bool = False, train: TrainConfig | None = None) -> Opened:
    """A model that was trained here, from its folder.

    Args:
        train: the recipe of a run that goes on from it: its method's adapters are put on.

    Raises:
        ModelError: it is none that listens.
        ConfigError: the recipe hears with another tower.
    """
    about = about_of(folder)
    if train is not None:
        named = (train.listen.tower, train.listen.tower_source)
        known = (about["tower"], about["tower_source"])
        if named != known:
            hint = "Name the base's listen.tower and listen.tower_source."
            raise ConfigError(f"the tower of the base, {known!r}", repr(named), where="recipe listen", hint=hint)
    if about["tower"] == whole.WHOLE:
        if train is not None:
            whole.check(train)
        language = language_of(folder, train, whole.pretrained, whole.adapt)
        opened = Opened.of_whole(whole.WholeAudioLm(language, whole.open_processor(str(folder)), with_value))
    else:
        tower = open_tower(about["tower"], about["tower_source"])
        codec = bases.open_codec(folder)
        language = language_of(
            folder, train, bases.pretrained, lambda model, recipe: bases.adapt(model, recipe, codec, 0)
        )
        if train is not None and train.listen.stack != int(about["stack"]):
            raise ConfigError(
                f"listen.stack {about['stack']}, the base's", str(train.listen.stack), where="recipe listen"
            )
        model = AudioLm(language, int(about["width"]), int(about["stack"]), with_value)
        opened = Opened(model, codec, tower)
    opened.model.load_parts(folder)
    return opened


def open_listener(config: TrainConfig, texts: Callable[[], list[str]], out: Path) -> Opened:
    """The model that a recipe begins with.

    Args:
        texts: what a tokenizer for a model from scratch is trained on.

    Raises:
        CadenzaError: there is no such base or tower.
    """
    with_value = config.objective == "ppo"
    source = None if config.is_scratch else source_of(config.base)
    if source is not None:
        return open_trained(source, with_value, config)
    if config.listen.tower == whole.WHOLE:
        return Opened.of_whole(whole.open_base(config, with_value))
    tower = open_tower(config.listen.tower, config.listen.tower_source)
    if config.is_scratch:
        codec: Codec = rows.words_of(texts(), config.listen.vocabulary, out / "words")
        size = -(-len(codec) // bases.ROUND_VOCABULARY) * bases.ROUND_VOCABULARY
        shape = scratch_shape(config)
        language = bases.scratch_model(shape, size, config.context_tokens, config.seed, config.attention)
    else:
        codec = bases.open_codec(config.source)
        language = bases.pretrained(config)
        if config.method != "full":
            language = bases.adapt(language, config, codec, 0)
    model = AudioLm(language, tower.width, config.listen.stack, with_value, config.seed)
    return Opened(model, codec, tower)


def device() -> torch.device:
    """Where a model answers: the accelerator where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def notes_of(text: str) -> int:
    """Notes of a true answer."""
    return NOTATION.decode(text).n_notes


def train(
    config: TrainConfig, out: Path, say: Say = print, live: Callable[[int, int, str], None] | None = None
) -> Path:
    """Train as a recipe with ``listen.clips`` says; a run that was stopped goes on. Returns the model's folder.

    Raises:
        ConfigError: ``out`` holds a run of another recipe.
        CadenzaError: clips, tower or base are not there.
    """
    from transformers.utils import logging as transformers_logging

    config = runs.settled(config)
    loop.reports(config)
    transformers_logging.disable_progress_bar()
    out.mkdir(parents=True, exist_ok=True)
    if config.n_threads:
        torch.set_num_threads(config.n_threads)
    stores = {split: ClipStore(Path(config.listen.clips) / split) for split in ("train", "validation")}
    opened = open_listener(config, lambda: [*stores["train"].texts, *_all_questions(stores["train"])], out)
    n_judges = config.data_workers if config.objective != "sft" else 0
    with closing(trainers.Judges(REWARDS.load(config.preference.answer_reward), n_judges)) as judges:
        return _trained(config, opened, stores, judges, out, say, live)


def _trained(
    config: TrainConfig, opened: Opened, stores: dict[str, ClipStore], judges: trainers.Judges, out: Path, say: Say,
    live: Callable[[int, int, str], None] | None,
) -> Path:  # fmt: skip
    made = {split: _rows(config, opened, store, split, say) for split, store in stores.items()}
    learned = made["train"] if config.objective == "sft" else trainers.rows_with_sound(made["train"])
    per_step = config.batch_rows * config.accumulate
    keys: dict[str, Any] = {}
    kind: type[trainers.ListenTrainer] = trainers.ListenTrainer
    _record(config, opened, stores, out)
    if config.objective in ("dpo", "rejection"):
        opened.model.to(device())
        found = drawn_answers.draw(opened.model, learned, config, opened.codec, judges, out, say)
        if config.objective == "rejection":
            learned = drawn_answers.best_rows(learned, found)
        else:
            pairs = drawn_answers.PairRows(learned, found)
            collate = drawn_answers.PairCollate(rows.ClipCollate(opened.codec.pad_id))
            learned, kind = drawn_answers.with_reference(opened.model, pairs, collate), drawn_answers.DpoListenTrainer
    elif config.objective in ("grpo", "ppo"):
        kind, keys = trainers.RewardTrainer, {"judges": judges, "codec": opened.codec}
    n_steps = config.steps if config.steps is not None else max(1, math.ceil(config.epochs * len(learned) / per_step))
    loop.clear_parts(out)
    trainer = kind(
        config, opened.model, learned, _evaluated(made["validation"], config), out, n_steps, opened.codec.pad_id, say,
        live=live, **keys,
    )  # fmt: skip
    before = loop.checkpoints(out)
    if before:
        say(f"goes on from {before[-1].name}")
    with runs.finishing_the_step(trainer):
        trainer.train(resume_from_checkpoint=str(before[-1]) if before else None)
    if trainer.clock.interrupted:
        raise KeyboardInterrupt
    if not any("eval_loss" in row and row["step"] == n_steps for row in trainer.state.log_history):
        trainer.evaluate()
    folder = save(config, opened, out)
    say(f"{folder}: done")
    return folder


def _all_questions(store: ClipStore) -> list[str]:
    return [rows.INSTRUCTION, *(f"{q}\n{a}" for number in range(len(store)) for q, a in store.questions(number))]


def _rows(config: TrainConfig, opened: Opened, store: ClipStore, split: str, say: Say) -> rows.ClipRows:
    def progress(done: int, n: int) -> None:
        if done % 500 == 0:
            say(f"heard {done:,} of {n:,} clips ({split})")

    heard = rows.Heard(store, opened.tower, rows.kept_in(store, opened.tower), progress)
    listen = config.listen
    if split == "train":
        asked = rows.asked_of(
            store, listen.questions, config.seed, listen.pitches, listen.transcriptions, listen.transposed,
            lambda done, n: None if done % 5000 else say(f"transposed {done:,} of {n:,} clips"),
        )  # fmt: skip
    else:  # what is asked for above all
        whole = float(listen.transcriptions > 0)
        asked = rows.asked_of(store, 0.0, config.seed, 1 - whole, whole)
    counted = COUNTED if split == "train" else None
    made = rows.rows_of(asked, heard, opened.codec, opened.prompt, config.context_tokens, notes_of, counted)
    if len(made) < len(asked):
        say(f"{len(asked) - len(made):,} of {len(asked):,} rows ({split}) do not fit {config.context_tokens:,} tokens")
    return made


def _evaluated(made: rows.ClipRows, config: TrainConfig) -> rows.ClipRows:
    if not config.evaluation_rows or len(made) <= config.evaluation_rows:
        return made
    chosen = np.sort(np.random.default_rng(0).choice(len(made), config.evaluation_rows, replace=False))
    return made.chosen(chosen.tolist())


def _record(config: TrainConfig, opened: Opened, stores: dict[str, ClipStore], out: Path) -> None:
    """``run.json``, or that it is the same.

    Raises:
        ConfigError: the run there has another recipe or other clips.
    """
    clips = hashlib.sha256("".join(stores["train"].texts).encode()).hexdigest()
    now = {
        "config": asdict(config), "versions": versions(), "seed": config.seed, "clips_sha256": clips,
        "tower": opened.tower.fingerprint(),
        "n_parameters": sum(p.numel() for p in opened.model.parameters()),
        "n_trainable": sum(p.numel() for p in opened.model.parameters() if p.requires_grad),
    }  # fmt: skip
    path = out / "run.json"
    if path.is_file():
        known = json.loads(path.read_text("utf-8"))
        was, new = (
            {
                **runs.filled(record["config"], asdict(TrainConfig())),
                "clips": record["clips_sha256"],
                "tower": record["tower"],
            }
            for record in (known, json.loads(json.dumps(now)))
        )
        changed = [key for key in sorted({*was, *new} - runs.FREE) if was.get(key) != new.get(key)]
        if changed:
            said = "; ".join(f"{key}: was {was.get(key)!r}, now {new.get(key)!r}" for key in changed)[:400]
            raise ConfigError("the recipe that this run began with", said, where=str(path), hint="Use another out.")
        return
    write_atomically(path, json.dumps(now, indent=1).encode())


def save(config: TrainConfig, opened: Opened, out: Path) -> Path:
    """The finished model, put in place by a rename."""
    adapted = hasattr(opened.model.language, "peft_config")
    folder, temporary = out / ("adapter" if adapted else "model"), out / ".saving"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    clips = json.loads((Path(config.listen.clips) / "train" / "recipe.json").read_text("utf-8"))
    about = {
        "tower": config.listen.tower, "tower_source": config.listen.tower_source, "notation": NOTATION.options(),
        "seconds": clips["seconds"],
    }  # fmt: skip
    opened.model.save(temporary, about)
    runs.save_codec(opened.codec, temporary)
    shutil.copyfile(out / "run.json", temporary / "run.json")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    return folder


__all__ = ["PROJECTOR", "Opened", "open_listener", "open_trained", "save", "source_of", "train"]
