"""``cadenza evaluate generation``: a model under its decodings beside human music and baselines, on the same seeds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.app.evaluation import folder, leaderboard, page, summary
from cadenza.app.workers import each
from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError, ConfigError, did_you_mean
from cadenza.base.files import write_atomically
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.infer import evaluate, held_out, likelihood
from cadenza.infer.baselines import NgramCounts
from cadenza.infer.held_out import HeldOut, Seed
from cadenza.infer.model import ComposerModel, load_model, shipped_folder
from cadenza.metrics import copying, ngram
from cadenza.metrics.base import METRICS
from cadenza.metrics.originality import OriginalityIndex
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.score.edit import select_bars

Progress = Callable[[str, int, int], None]
SEEDS, SCORES, NGRAM, INDEX, LIKELIHOOD = "seeds.json", "seeds.npz", "n-gram.npz", "index.npz", "likelihood.json"
MAX_ORDER = 16  # of the n-grams that likelihood is compared with
VALIDATION_PIECES = 60  # that choose their order and the weight of copying


@dataclass(frozen=True)
class GenerationConfig:
    """All that a generation report follows from.

    Args:
        model: a model folder, a hub id, or "shipped".
        adapter, quantize: as for ``cadenza compose``.
        corpus: a file or folder of held-out music.
        split: of the corpus.
        bands: of a file of pieces, also its band arrangements.
        n_seeds: passages to continue.
        n_given, n_bars: bars given, and bars to write.
        random_seed: decides passages and draws.
        decodings: "default", "greedy", "T=1", "top-p 0.9", or settings: "temperature=0.9,top_p=0.95,guard=true".
        baselines: out of human, copy, random, n-gram.
        metrics: names; empty for all that are there.
        likelihood: also measure bits per note of the passages.
        text_bars: the longest passage for likelihood.
        window_tokens: what the model sees at once; 0 = the context that it was trained with.
        stride_tokens: new tokens a window; 0 = half the window.
        common: notations (name and options) whose common fields with the model's own likelihood is measured on.
        training_pieces: pieces of the training split that n-grams count; 0 = no n-grams.
        originality: look for copies in the whole training split, not in the seed alone.
        ngram_order: of the n-grams that compose.
        resamples: of the bootstrap.
        frechet: model whose hidden states the Fréchet music distance of sets is measured in: a folder or "shipped";
            "" leaves it out (it costs a pass over every continuation).
    """

    model: str = "shipped"
    adapter: str = ""
    quantize: str = ""
    corpus: str = ""
    split: str = "test"
    bands: bool = True
    n_seeds: int = 60
    n_given: int = 8
    n_bars: int = 8
    random_seed: int = 0
    decodings: list[str] = field(default_factory=lambda: list(evaluate.DECODINGS))
    baselines: list[str] = field(default_factory=lambda: list(evaluate.BASELINES))
    metrics: list[str] = field(default_factory=list)
    likelihood: bool = True
    text_bars: int = 64
    window_tokens: int = 0
    stride_tokens: int = 0
    common: list[dict[str, Any]] = field(default_factory=list)
    training_pieces: int = 400
    originality: bool = True
    ngram_order: int = 8
    resamples: int = 2000
    frechet: str = ""

    def __post_init__(self) -> None:
        for name in self.baselines:
            if name not in evaluate.BASELINES:
                hint = did_you_mean(name, evaluate.BASELINES)
                raise ConfigError("a known baseline", repr(name), where="baselines", hint=hint)
        for name in self.decodings:
            evaluate.decoding_of(name)
        if len(set(self.systems)) != len(self.systems) or not self.systems:
            raise ConfigError("decodings and baselines, each once", ", ".join(self.systems) or "none")
        least = {"n_seeds": 1, "n_given": 1, "n_bars": 1, "text_bars": 1, "ngram_order": 1, "resamples": 1}
        for name, low in least.items() | {"window_tokens": 0, "stride_tokens": 0, "training_pieces": 0}.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} of at least {low}", str(getattr(self, name)))
        if not self.corpus:
            raise ConfigError("a corpus", "none", hint="Give --corpus.")
        unknown = [name for name in self.metrics if name not in METRICS.names()]
        if unknown:
            hint = did_you_mean(unknown[0], METRICS.names())
            raise ConfigError("a registered metric", repr(unknown[0]), where="metrics", hint=hint)

    @property
    def systems(self) -> list[str]:
        """What continues each seed: the human first, the model last."""
        return [*self.baselines, *self.decodings]

    def notations(self) -> list[Notation]:
        """The notations of ``common``.

        Raises:
            RegistryError, ConfigError: an unknown one, or an unknown option.
        """
        out = []
        for number, one in enumerate(self.common):
            options = dict(one)
            kind = NOTATIONS.load(str(options.pop("name", "")))
            out.append(build_config(kind, options, f"common[{number}]"))
        return out


@dataclass(frozen=True)
class Job:
    """One seed of a run; what a worker gets."""

    out: Path
    index: int
    config: GenerationConfig


def run(
    config: GenerationConfig, out: Path, *, n_workers: int, limit_seconds: float, say: Progress, again: bool = False
) -> dict[str, Any]:
    """Do what is left to do in ``out`` and write the report; returns it.

    Args:
        n_workers: processes.
        limit_seconds: for one seed; a worker that passes it is ended.
        say: called with (stage, done, of how many).
        again: measure anew what is composed already.

    Raises:
        ConfigError, ModelError, FormatError: as the parts say; or seeds were lost (start again to try them again).
    """
    config.notations()
    with folder.opened(out, "generation", config):
        _prepare(config, out, say)
        _indexed(config, out, say)
        asked = folder.read_json(out / SEEDS)
        total = len(asked["seeds"])
        if again:
            for index in range(total):
                folder.row_path(out, index).unlink(missing_ok=True)
        jobs = [Job(out, index, config) for index in range(total) if not folder.row_path(out, index).exists()]
        done, lost, spent = total - len(jobs), [], _timing(out)
        say("seeds", done, total)
        for ended in each(measure_one, jobs, max(1, min(n_workers, len(jobs))), limit_seconds):
            done += 1
            say("seeds", done, total)
            if ended.lost:
                lost.append(f"{asked['seeds'][jobs[ended.index].index]['name']}: {ended.lost}")
            else:
                spent["seeds_cpu_seconds"] += ended.result
                folder.write_json(out / folder.TIMING, spent)
        if lost:
            raise ConfigError(
                "a result of every seed", f"{len(lost)} lost ({'; '.join(lost[:3])})", where=str(out),
                hint="Start again: what is there is kept. Give more time with --seconds.",
            )  # fmt: skip
        begun = time.process_time()
        if config.likelihood and not (out / LIKELIHOOD).exists():
            say("n-grams", 0, 1)
            folder.write_json(out / LIKELIHOOD, baseline_bits(config, out, _model_of(config)))
            say("n-grams", 1, 1)
        say("report", 0, 1)
        report = summary.generation(config, out)
        folder.write_json(out / folder.REPORT, report)
        folder.write_json(out / folder.ROWS, leaderboard.rows_of(report))
        write_atomically(out / folder.PAGE, page.write_generation(out, report).encode())
        spent["report_cpu_seconds"] += time.process_time() - begun
        folder.write_json(out / folder.TIMING, spent)
        say("report", 1, 1)
    return report


def _timing(out: Path) -> dict[str, float]:
    """Seconds of processors so far, over all starts; no part of the report, which is the same however it came about."""
    path = out / folder.TIMING
    if path.exists():
        return dict(folder.read_json(path))
    return {"prepare_cpu_seconds": 0.0, "seeds_cpu_seconds": 0.0, "report_cpu_seconds": 0.0}


# ── before the seeds ─────────────────────────────────────────────────────────────────────────────────────


def _prepare(config: GenerationConfig, out: Path, say: Progress) -> None:
    """Draw the seeds and count n-grams, once."""
    if (out / SEEDS).exists():
        return
    begun = time.process_time()
    say("corpus", 0, 1)
    model = _model_of(config)
    music = held_out.open_music(config.corpus)
    seeds = held_out.draw(
        music.pieces(config.split, bands=config.bands), config.n_seeds, n_given=config.n_given, n_bars=config.n_bars,
        text_bars=config.text_bars, random_seed=config.random_seed,
    )  # fmt: skip
    notes = []
    if len(seeds) < config.n_seeds:
        notes.append(f"{config.n_seeds} seeds were asked for, the corpus has {len(seeds)}.")
    training: list[HeldOut] = []
    if music.has_splits and config.training_pieces:
        training = music.some("train", config.training_pieces, bands=config.bands)
        save_pieces(out / "training.npz", [_saved(piece) for piece in training])
        validation = music.some("validation", VALIDATION_PIECES, bands=config.bands)
        save_pieces(out / "validation.npz", [_saved(piece) for piece in validation])
        NgramCounts.of(documents(training, model), len(model.vocabulary), config.ngram_order).save(out / NGRAM)
    else:
        notes.append("No n-grams: there is no training split, or none of it was asked for.")
    save_pieces(out / SCORES, [Piece(s.work, s.source, "", "", s.text, style=s.name) for s in seeds])
    shared = likelihood.common([seed.text for seed in seeds], [model.notation, *config.notations()])
    texts = [score for score in shared if score is not None] if config.common else [seed.text for seed in seeds]
    save_pieces(out / "texts.npz", [
        Piece(str(i), "", "", "", score)
        for i, score in enumerate(shared if config.common else [seed.text for seed in seeds])
        if score is not None
    ])  # fmt: skip
    if len(texts) < len(seeds):
        notes.append(f"{len(seeds) - len(texts)} passages have no form that all compared notations keep.")
    folder.write_json(out / SEEDS, {
        "model": identity(config),
        "corpus_sha256": music.fingerprint,
        "seeds_sha256": held_out.fingerprint(seeds),
        "texts_sha256": held_out.fingerprint([replace(seeds[0], text=text) for text in texts]) if texts else "",
        "window_tokens": _window(config, model)[0],
        "stride_tokens": _window(config, model)[1],
        "training_pieces": len(training),
        "notes": notes,
        "seeds": [{"name": s.name, "work": s.work, "source": s.source} for s in seeds],
    })  # fmt: skip
    folder.write_json(out / folder.TIMING, _timing(out) | {"prepare_cpu_seconds": time.process_time() - begun})
    say("corpus", 1, 1)


def _indexed(config: GenerationConfig, out: Path, say: Progress) -> None:
    """Index the whole training split for originality, once. Arrangements say nothing that their pieces do not."""
    if (out / INDEX).exists() or not config.originality:
        return
    begun = time.process_time()
    music = held_out.open_music(config.corpus)
    if not music.has_splits:
        return
    say("index", 0, 1)
    train = (piece.score for piece in music.find("train", None, False))
    OriginalityIndex.of(train, corpus_sha256=music.fingerprint).save(out / INDEX)
    spent = _timing(out)
    spent["prepare_cpu_seconds"] += time.process_time() - begun
    folder.write_json(out / folder.TIMING, spent)
    say("index", 1, 1)


def _saved(piece: HeldOut) -> Piece:
    return Piece(piece.work, piece.source, "", "", piece.score, path=piece.name)


def documents(pieces: Sequence[HeldOut], model: ComposerModel) -> list[np.ndarray]:
    """The pieces' runs of full bars in one metre as token ids, heads included, less what is refused."""
    out = []
    for piece in pieces:
        plain = replace(piece.score, bars=())
        for first, stop in held_out.runs_of(piece.score, 4):
            try:
                text = likelihood.text_of(select_bars(first, stop).apply(plain), model)
            except CadenzaError:
                continue
            out.append(np.concatenate([text.head, text.body]))
    return out


def identity(config: GenerationConfig) -> dict[str, str]:
    """What the model is: its name, and SHA-256 of the files that decide what it writes (none for a hub id)."""
    path = shipped_folder() if config.model == "shipped" else Path(config.model)
    found = hashlib.sha256()
    n_files = 0
    for place in (path, Path(config.adapter) if config.adapter else None):
        for file in sorted(place.iterdir()) if place is not None and place.is_dir() else ():
            if file.suffix in (".json", ".onnx", ".safetensors", ".model"):
                found.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
                n_files += 1
    name = f"cadenza {path.name}" if config.model == "shipped" else path.name
    return {"name": name + (f" + {Path(config.adapter).name}" if config.adapter else ""),
            "sha256": found.hexdigest() if n_files else ""}  # fmt: skip


def _window(config: GenerationConfig, model: ComposerModel) -> tuple[int, int]:
    window = config.window_tokens or model.context_tokens
    if window > model.decoder.max_length:
        raise ConfigError(f"a window of at most {model.decoder.max_length} tokens", str(window))
    return window, config.stride_tokens or window // 2


# ── one seed, in a worker ────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=1)
def loaded(out: Path) -> tuple[list[Seed], dict[int, Any], dict[str, Any]]:
    """(seeds, texts by number, what was written about them)."""
    config = folder.read_json(out / folder.CONFIG)["config"]
    seeds = [
        Seed(piece.style, piece.work_id, piece.source, piece.score, config["n_given"], config["n_bars"])
        for piece in load_pieces(out / SCORES)
    ]
    texts = {int(piece.work_id): piece.score for piece in load_pieces(out / "texts.npz")}
    return seeds, texts, folder.read_json(out / SEEDS)


@lru_cache(maxsize=1)
def _model(model: str, adapter: str, quantize: str) -> ComposerModel:
    return load_model(model, adapter=adapter, quantize=quantize)


def _model_of(config: GenerationConfig) -> ComposerModel:
    return _model(config.model, config.adapter, config.quantize)


@lru_cache(maxsize=1)
def _counts(out: Path) -> NgramCounts | None:
    return NgramCounts.load(out / NGRAM) if (out / NGRAM).exists() else None


@lru_cache(maxsize=1)
def _index(out: Path) -> Any:
    """What originality looks for copies in, or None for the seed alone."""
    return OriginalityIndex.load(out / INDEX) if (out / INDEX).exists() else None


def measure_one(job: Job) -> float:
    """Let every system continue one seed, measure, and write the row; returns seconds of the processor.

    What was composed is kept apart from its figures (``NNNNN.made.json``, ``NNNNN.npz``), so that it can be measured
    again when metrics have changed.
    """
    begun = time.process_time()
    seeds, texts, asked = loaded(job.out)
    seed, model, config = seeds[job.index], _model_of(job.config), job.config
    path = folder.row_path(job.out, job.index)
    kept = path.with_suffix(".made.json")
    if not kept.exists():
        found = _compose(job, seed, model)
        if config.likelihood and job.index in texts:
            found["likelihood"] = _bits(texts[job.index], model, asked)
        folder.write_json(kept, found)
    found = folder.read_json(kept)
    scores = {piece.work_id: piece.score for piece in load_pieces(path.with_suffix(".npz"))}
    metrics = evaluate.chosen_metrics(config.metrics, evaluate.A_PIECE)
    systems: dict[str, Any] = {}
    for system, one in found["systems"].items():
        made = evaluate.Continuation(scores.get(system), one.pop("text"), one["n_tokens"], one["refused"])
        systems[system] = {"columns": evaluate.measured(seed, made, metrics, model, _index(job.out)), **one}
    row = {"index": job.index, "name": seed.name, "work": seed.work, "source": seed.source}
    folder.write_json(path, row | found | {"systems": systems})
    return time.process_time() - begun


def _compose(job: Job, seed: Seed, model: ComposerModel) -> dict[str, Any]:
    """Write the scores of all systems; returns what else is known of them."""
    systems: dict[str, Any] = {}
    scores: list[Piece] = []
    counts = _counts(job.out)
    asked = [system for system in job.config.systems if system != evaluate.NGRAM or counts is not None]
    for system, made in evaluate.continued(seed, asked, model, job.config.random_seed, counts).items():
        n_notes = made.score.n_notes if made.score is not None else 0
        systems[system] = {
            "text": made.text, "n_notes": n_notes, "n_tokens": made.n_tokens, "refused": made.refused
        }  # fmt: skip
        if made.score is not None:
            scores.append(Piece(system, seed.source, "", "", made.score, path=seed.name))
    save_pieces(folder.row_path(job.out, job.index).with_suffix(".npz"), scores)
    return {"systems": systems}


def _bits(score: Any, model: ComposerModel, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        text = likelihood.text_of(score, model)
        rows = likelihood.rows_of(text, asked["window_tokens"], asked["stride_tokens"])
        log2_p = likelihood.log2_of(rows, model.decoder)
    except CadenzaError as error:
        return {"refused": str(error)}
    return {
        "bits": -float(log2_p.sum()), "n_tokens": len(log2_p), "n_notes": text.n_notes, "n_bars": text.n_bars,
        "seconds": text.seconds,
    }  # fmt: skip


# ── n-grams and copying on the same texts ────────────────────────────────────────────────────────────────


def baseline_bits(config: GenerationConfig, out: Path, model: ComposerModel) -> dict[str, Any]:
    """Bits of each text under the best n-gram and under copying mixed with it, both settled on validation texts.

    Every token of a body is paid for, as by the model; a baseline sees the whole text before it, not a window.
    Returns an empty mapping where there is no training split.
    """
    if not (out / "training.npz").exists():
        return {}
    _, texts, _ = loaded(out)
    asked, number = [], []
    for index, score in sorted(texts.items()):
        try:
            asked.append(likelihood.text_of(score, model))
        except CadenzaError:
            continue
        number.append(index)
    train, validation = (
        documents([HeldOut(p.path, p.work_id, p.source, p.score) for p in load_pieces(out / f"{name}.npz")], model)
        for name in ("training", "validation")
    )
    validation = [document[:2048] for document in validation]  # copying looks back over all of it: n² in its length
    whole = [np.concatenate([text.head, text.body]) for text in asked]
    if not (train and validation and whole):
        return {}
    n_validation = sum(map(len, validation))
    best: tuple[float, str, int, np.ndarray] | None = None
    for order, found in enumerate(
        ngram.each_order(train, validation + whole, len(model.vocabulary), max_order=MAX_ORDER), 1
    ):
        for name, log2_p in found.items():
            bits = -float(log2_p[:n_validation].sum())
            if best is None or bits < best[0]:
                best = bits, name, order, log2_p
    assert best is not None
    _, smoothing, order, log2_p = best
    group, hit = copying.match_groups(validation)
    weight = copying.fit_weights(group, hit, log2_p[:n_validation])
    with_copying = copying.mixed_log2(*copying.match_groups(whole), log2_p[n_validation:], weight)
    out_rows: dict[str, Any] = {}
    at = 0
    for index, text, document in zip(number, asked, whole, strict=True):
        body = slice(at + len(text.head), at + len(document))
        out_rows[str(index)] = {
            "n-gram": -float(log2_p[n_validation:][body].sum()), "copy": -float(with_copying[body].sum()),
        }  # fmt: skip
        at += len(document)
    return {"smoothing": smoothing, "order": order, "bits": out_rows}
