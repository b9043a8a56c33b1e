"""A training run from its recipe: corpus → documents → rows → a model folder.

``out/`` holds run.json (resolved recipe, versions, seed, fingerprints), log.jsonl, tokens-*.npz (documents, made once),
checkpoint-N/ (whole or removed), and at the end model/ (safetensors, vocabulary, notation) or adapter/.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.config import build_config
from cadenza.base.errors import ConfigError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.open import BuiltCorpus
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.merged_vocabulary import FILE as MERGES
from cadenza.model.merged_vocabulary import MergedVocabulary
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.base import Notation
from cadenza.train import allocator, bases, inherit, memory, rows, sharding
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import Codec, Documents, RowSet
from cadenza.train.variation import Variation

#: Keys that a resumed run may change: they move no weight.
FREE = {
    *("n_threads", "report_to", "keep_checkpoints", "checkpoint_every", "checkpoint_minutes"),
    "most_minutes",
    *("log_every", "evaluate_every", "evaluation_rows", "data_workers"),
    *("samples_every", "n_samples", "sample_bars"),
}
Say = Callable[[str], None]


@dataclass
class Prepared:
    """All that a run needs before its first step.

    Args:
        corpus: the built corpus.
        base: model and codec.
        train, validation: documents.
        train_rows: rows of one pass.
        eval_rows: fixed rows of held-out documents that were not cut; None where there are none.
        n_steps: optimiser steps.
        steps_per_epoch: of one pass over the rows.
    """

    config: TrainConfig
    corpus: BuiltCorpus
    base: bases.Base
    train: Documents
    validation: Documents | None
    train_rows: RowSet
    eval_rows: RowSet | None
    n_steps: int
    steps_per_epoch: int


def prepare(config: TrainConfig, cache: Path | None = None, say: Say = print, n_processes: int = 1) -> Prepared:
    """Open the corpus and the base, tokenize, pack.

    Raises:
        ConfigError: no corpus is named.
        FormatError: it is none, or has no examples that fit.
        ModelError: there is no such base.
    """
    if not config.corpus:
        raise ConfigError(
            "a corpus", "none", where="recipe corpus", hint="Give --set corpus=DIR (cadenza corpus build)."
        )
    config = settled(config)
    if config.n_threads:
        torch.set_num_threads(config.n_threads)
    corpus = BuiltCorpus.open(config.corpus)
    notation = corpus.notation
    base = bases.open_base(
        config,
        corpus.fields,
        lambda codec: rows.pieces(corpus.rows("train"), codec, notation.unit_start),
        notation.joint,
    )
    _check_fields(base.codec, notation)
    key = _key(corpus, base.codec, config)
    train = documents_of(corpus, "train", base.codec, config, key, cache)
    validation = None
    if corpus.manifest["splits"].get("validation", {}).get("examples"):
        validation = documents_of(corpus, "validation", base.codec, config, key, cache)
    drawn = rows.drawn(train, config.tasks, config.weighted, config.seed)
    packed = rows.pack(train.lengths, drawn, config.context_tokens) if config.packing else [[int(i)] for i in drawn]
    eval_rows = held_out(validation, config) if validation is not None else None
    per_step = config.batch_rows * config.accumulate * n_processes
    per_epoch = max(1, math.ceil(len(packed) / per_step))
    n_steps = config.steps if config.steps is not None else max(1, math.ceil(config.epochs * per_epoch))
    if train.n_cut:
        say(f"{train.n_cut:,} of {len(train):,} examples are cut at a bar line to fit {config.context_tokens:,} tokens")
    train_rows = RowSet(train, packed)
    if config.vary.is_on:
        shifts, factors = config.vary.semitones, config.vary.tempo_factor
        vary = Variation.of(
            base.codec, train, (shifts[0], shifts[1]), (float(factors[0]), float(factors[1])), config.seed
        )
        train_rows = RowSet(train, packed, vary, math.ceil(n_steps * per_step / len(packed)))
    return Prepared(config, corpus, base, train, validation, train_rows, eval_rows, n_steps, per_epoch)


def documents_of(
    corpus: BuiltCorpus, split: str, codec: Codec, config: TrainConfig, key: str, cache: Path | None
) -> Documents:
    """The documents of a split, from the cache where they lie there."""
    path = cache / f"tokens-{split}.npz" if cache is not None else None
    if path is not None:
        found = Documents.load(path, key)
        if found is not None:
            return found
    unit_start = corpus.notation.unit_start
    # Held-out bits are counted per note of the completions, whatever is learned.
    learned = config.loss_on if split == "train" else "completion"
    made = rows.tokenize_rows(corpus.rows(split), codec, unit_start, config.context_tokens, loss_on=learned)
    if path is not None:
        made.save(path, key)
    return made


def _key(corpus: BuiltCorpus, codec: Codec, config: TrainConfig) -> str:
    fields = json.dumps(getattr(codec, "fields", ())).encode()
    name = getattr(getattr(codec, "tokenizer", None), "name_or_path", "")
    merges = hashlib.sha256(json.dumps(getattr(codec, "rounds", ())).encode()).hexdigest()
    parts = [merges, corpus.manifest["fingerprint"], hashlib.sha256(fields).hexdigest(), name, len(codec)]
    parts += [config.context_tokens, config.loss_on, versions()["cadenza"]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _check_fields(codec: Codec, notation: Notation) -> None:
    """A base whose tokens are a notation's fields can go on with that notation only.

    Raises:
        ConfigError: the corpus is told in another.
    """
    codec = codec.base if isinstance(codec, MergedVocabulary) else codec
    if isinstance(codec, Vocabulary):
        missing = [field for field in notation.vocabulary() if field[0] not in "qwmk" and codec.id_of(field) is None]
        if missing or codec.joint != notation.joint:
            hint = "Build the corpus with the base's notation; for the shipped composer: --recipe composer."
            found = f"{len(missing)} fields that are no tokens of it ({', '.join(map(repr, missing[:3]))} …)"
            raise ConfigError("a corpus in the notation of the base", found, where="recipe base", hint=hint)


def settled(config: TrainConfig) -> TrainConfig:
    """The recipe with what depends on the machine decided."""
    if config.precision != "auto":
        return config
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported()
    else:  # emulated, a product takes ten times as long as in float32
        units = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        fast = any(getattr(torch.cpu, name, bool)() for name in units)
    return replace(config, precision="bfloat16" if fast else "float32")


def held_out(documents: Documents, config: TrainConfig) -> RowSet | None:
    """A fixed choice of held-out documents that fit whole, packed: the rows that bits per note are measured on."""
    whole = np.flatnonzero(documents.n_notes > 0)
    if not len(whole):
        return None
    if config.evaluation_rows and len(whole) > config.evaluation_rows:
        whole = np.sort(np.random.default_rng(0).choice(whole, config.evaluation_rows, replace=False))
    return RowSet(documents, rows.pack(documents.lengths, whole, config.context_tokens))


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────


def train(
    config: TrainConfig,
    out: Path,
    say: Say = print,
    live: Callable[[int, int, str], None] | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> Path:
    """Train; a run that was stopped goes on where it was. Returns the folder of the model (or adapter).

    Args:
        live: see :class:`~cadenza.train.loop.MusicTrainer`.
        watch: told (step, bits per note) at each evaluation; what it raises ends the run.

    Raises:
        ConfigError: ``out`` holds a run of another recipe.
        CadenzaError: see :func:`prepare`.
    """
    from accelerate import PartialState
    from transformers.utils import logging as transformers_logging

    from cadenza.train import loop, preferences

    if config.listen.is_on:
        from cadenza.train.listening import run as listening

        return listening.train(config, out, say, live)
    config = settled(config)
    loop.reports(config)
    transformers_logging.disable_progress_bar()
    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("a folder to write to", error.strerror or str(error), where=str(out)) from error
    with state.main_process_first():
        prepared = prepare(config, out, say if state.is_main_process else _silent, state.num_processes)
    if not torch.cuda.is_available():
        allocator.suit(memory.estimate_of(prepared).total)
    if state.is_main_process:
        record(prepared, out)
        loop.clear_parts(out)
    state.wait_for_everyone()
    with state.main_process_first():
        prepared = preferences.readied(prepared, out, say if state.is_main_process else _silent)
    if state.is_main_process and config.objective != "sft":
        _record_steps(prepared.n_steps, out)
    if config.fsdp:
        sharding.shard(prepared.base.model)
    found = loop.checkpoints(out)
    trainer = preferences.trainer_of(prepared)(
        config,
        prepared.base.model,
        prepared.train_rows,
        prepared.eval_rows,
        out,
        prepared.n_steps,
        prepared.base.codec.pad_id,
        say,
        callbacks=_callbacks(prepared, out, watch),
        live=live,
    )
    for callback in trainer.callback_handler.callbacks:
        if hasattr(callback, "trainer"):
            callback.trainer = trainer
    check_distributed(trainer, config)
    if found and state.is_main_process:
        say(f"goes on from {found[-1].name}")
    with finishing_the_step(trainer):
        trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    if trainer.clock.interrupted:
        raise KeyboardInterrupt
    step = trainer.state.global_step
    evaluated = any("eval_loss" in row and row["step"] == step for row in trainer.state.log_history)
    if prepared.eval_rows is not None and not evaluated:
        trainer.evaluate()
    folder = save(prepared, trainer, out)
    if state.is_main_process:
        say(f"{folder}: done")
    return folder


def _silent(line: str) -> None:
    del line


def _callbacks(prepared: Prepared, out: Path, watch: Callable[[int, float], None] | None) -> list[Any]:
    from cadenza.train.loop import EarlyStop, Watch

    found: list[Any] = []
    if prepared.config.early_stopping and prepared.eval_rows is not None:
        found.append(EarlyStop(prepared.config.early_stopping, out / "log.jsonl"))
    if prepared.config.samples_every:
        from cadenza.train.samples import Samples

        found.append(Samples(prepared, out))
    if watch is not None:
        found.append(Watch(watch))
    return found


def check_distributed(trainer: Any, config: TrainConfig) -> None:
    """That the run is spread as it was asked to be: ``fsdp=True`` once ran as plain data parallelism, silently.

    Raises:
        ConfigError: it is not.
    """
    found = sharding.is_sharded(trainer.model)
    if found != config.fsdp:
        said = ("a model copied to each process", "a model sharded by FSDP")
        raise ConfigError(said[config.fsdp], said[found], where="recipe fsdp")


@contextmanager
def finishing_the_step(trainer: Any) -> Iterator[None]:
    """The first Ctrl-C lets the step end and saves; a second one stops at once."""

    def handle(number: int, frame: Any) -> None:
        if trainer.clock.interrupted:
            raise KeyboardInterrupt
        trainer.clock.interrupted = True

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def record(prepared: Prepared, out: Path) -> None:
    """Write ``run.json``, or compare it with the one there.

    Raises:
        ConfigError: the run there has another recipe or other data.
    """
    path = out / "run.json"
    config = asdict(prepared.config)
    now = {
        "config": config,
        "versions": versions(),
        "seed": prepared.config.seed,
        "corpus_fingerprint": prepared.corpus.manifest["fingerprint"],
        "documents_sha256": prepared.train.fingerprint(),
        "n_parameters": prepared.base.n_parameters,
        "n_trainable": prepared.base.n_trainable,
        "n_steps": prepared.n_steps,
    }
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        was = {**filled(before["config"], asdict(TrainConfig())), "corpus (its content)": before["documents_sha256"]}
        new = {**json.loads(json.dumps(config)), "corpus (its content)": now["documents_sha256"]}
        changed = [k for k in sorted({*was, *new} - FREE - {"corpus"}) if was.get(k) != new.get(k)]
        if changed:
            said = "; ".join(f"{k}: was {was.get(k)!r}, now {new.get(k)!r}" for k in changed)
            raise ConfigError("the recipe that this run began with", said, where=str(path), hint="Use another out.")
        return
    write_atomically(path, json.dumps(now, indent=1).encode())


def filled(said: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What a recipe said, and for settings younger than it what they are by default."""
    known = {
        key: filled(value, defaults[key]) if isinstance(value, dict) and isinstance(defaults.get(key), dict) else value
        for key, value in said.items()
    }
    return {**defaults, **known}


def _record_steps(n_steps: int, out: Path) -> None:
    """The steps of a run whose rows are made after its recipe is recorded."""
    path = out / "run.json"
    known = json.loads(path.read_text("utf-8"))
    if known["n_steps"] != n_steps:
        write_atomically(path, json.dumps(known | {"n_steps": n_steps}, indent=1).encode())


def save(prepared: Prepared, trainer: Any, out: Path) -> Path:
    """The finished model: ``model/`` with plain safetensors, or ``adapter/`` for adapters; put in place by a rename."""
    whole = prepared.config.method == "full"
    folder, temporary = out / ("model" if whole else "adapter"), out / ".saving"
    sharded = sharding.is_sharded(trainer.model)
    state = sharding.weights(trainer.model) if sharded else trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.args.should_save:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        model = getattr(model, "_orig_mod", model)
        options = {} if whole else {"save_embedding_layers": False}  # new tokens are in the adapter itself
        model.save_pretrained(temporary, state_dict=state, **options)
        save_codec(prepared.base.codec, temporary)
        config = prepared.config
        bases.save_notation(temporary, prepared.corpus.notation, config.context_tokens, prepared.corpus.manifest)
        if not whole:
            (temporary / "base.json").write_text(json.dumps({"base": config.base, "n_new": prepared.base.n_new_tokens}))
        shutil.copyfile(out / "run.json", temporary / "run.json")
        if not config.is_scratch:
            inherit.inherit(Path(config.source), prepared.corpus, temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    trainer.accelerator.wait_for_everyone()
    return folder


def save_codec(codec: Codec, folder: Path) -> None:
    """The vocabulary's own files."""
    if isinstance(codec, MergedVocabulary):
        codec.save(folder / MERGES)
        codec = codec.base
    if isinstance(codec, Vocabulary):
        codec.save(folder / "vocabulary.json")
    elif isinstance(codec, HubVocabulary):
        codec.save(folder)


def config_of(path: Path) -> TrainConfig:
    """The recipe of a run (``run.json``)."""
    return build_config(TrainConfig, json.loads(path.read_text("utf-8"))["config"], str(path))


def open_for_reading(folder: Path, corpus: Path | str, split: str) -> tuple[Any, Documents]:
    """A model of :func:`save` and documents of a corpus in its vocabulary.

    Raises:
        CadenzaError: one of them is not there.
    """
    from transformers import AutoModelForCausalLM

    built = BuiltCorpus.open(corpus)
    model = AutoModelForCausalLM.from_pretrained(folder)
    context = json.loads((folder / "notation.json").read_text("utf-8"))["context_tokens"]
    documents = rows.tokenize_rows(built.rows(split), bases.open_codec(folder), built.notation.unit_start, context)
    return model, documents


# ── before the run ───────────────────────────────────────────────────────────────────────────────────────


def outlook(prepared: Prepared) -> dict[str, Any]:
    """What ``--dry-run`` says: parameters, rows, steps, tokens and seconds of music of a pass."""
    documents, config = prepared.train, prepared.config
    indices = np.array([index for row in prepared.train_rows.rows for index in row], np.int64)
    lengths = documents.lengths[indices]
    room = len(prepared.train_rows.rows) * config.context_tokens
    return {
        "parameters": prepared.base.n_parameters,
        "trainable": prepared.base.n_trainable,
        "examples": len(indices),
        "cut": documents.n_cut,
        "rows": len(prepared.train_rows.rows),
        "filled": float(lengths.sum() / room) if config.packing else 1.0,
        "tokens_per_epoch": int(lengths.sum()),
        "learned_tokens_per_epoch": int((lengths - documents.n_given[indices]).sum()),
        "notes_per_epoch": int(np.maximum(documents.n_notes[indices], 0).sum()),
        "seconds_of_music_per_epoch": float(documents.seconds[indices].sum()),
        "steps_per_epoch": prepared.steps_per_epoch,
        "steps": prepared.n_steps,
        "seconds_of_music_per_4096_tokens": float(4096 * documents.seconds.sum() / documents.lengths.sum()),
    }


def preview(prepared: Prepared, n_rows: int) -> Iterator[list[tuple[str, bool]]]:
    """Rows as the model sees them: (text, whether it is learned) in order."""
    codec = prepared.base.codec
    for number in range(min(n_rows, len(prepared.train_rows))):
        row = prepared.train_rows[number]
        ids, learned = row["input_ids"], row["labels"] != rows.IGNORED
        edges = [0, *(np.flatnonzero(np.diff(learned)) + 1).tolist(), len(ids)]
        yield [(_shown(codec, ids[a:b]), bool(learned[a])) for a, b in itertools.pairwise(edges)]


def _shown(codec: Codec, ids: np.ndarray) -> str:
    """Text of ids with the tokens that begin and end a document made visible."""
    parts: list[str] = []
    at = 0
    for place, token in enumerate(ids):
        if token in (codec.bos_id, codec.eos_id):
            parts += [codec.detokenize(ids[at:place].tolist()), "⟨begin⟩" if token == codec.bos_id else "⟨end⟩\n"]
            at = place + 1
    return "".join([*parts, codec.detokenize(ids[at:].tolist())])
