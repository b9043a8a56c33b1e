"""Runs of every shipped recipe at tiny size: killed, they resume to the same bits; what they save can be used."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
for name in ("peft", "bitsandbytes", "accelerate"):
    pytest.importorskip(name, reason="training needs the extra [train]")

from safetensors.numpy import load_file  # noqa: E402

from cadenza import formats  # noqa: E402
from cadenza.base import recipes  # noqa: E402
from cadenza.base.config import load_config  # noqa: E402
from cadenza.base.errors import ConfigError, ModelError  # noqa: E402
from cadenza.corpus.open import BuiltCorpus  # noqa: E402
from cadenza.corpus.pipeline import CorpusConfig, build  # noqa: E402
from cadenza.infer.generate import continue_score  # noqa: E402
from cadenza.infer.model import load_model, shipped_folder  # noqa: E402
from cadenza.metrics.originality import copied  # noqa: E402
from cadenza.score import edit  # noqa: E402
from cadenza.train import export, loop, run  # noqa: E402
from cadenza.train.recipe import Loss, TrainConfig  # noqa: E402
from tests.training_jobs import train_slowly  # noqa: E402

from .conftest import song  # noqa: E402

TINY = [
    "context_tokens=256", "batch_rows=2", "accumulate=2", "steps=6", "epochs=1", "evaluate_every=3",
    "evaluation_rows=4",
    "checkpoint_every=2", "report_to=[]", "n_threads=1", "precision=float32",
]  # fmt: skip
#: Recipe, kind of base, further settings.
RUNS = {
    "scratch-small": ("scratch-small", "", ["base=scratch:tiny"]),
    "composer": ("composer", "", ["base=scratch:tiny", "data_workers=0"]),
    "from the shipped composer": ("scratch-small", "", ["base=shipped", "optimiser=adamw", "steps=2", "batch_rows=1"]),
    "own-style": ("own-style", "", ["steps=2", "batch_rows=1"]),
    "lora-1b": ("lora-1b", "llama", []),
    "qlora-7b": ("qlora-7b", "mistral", ["extend_vocabulary=true"]),
    "long-context": ("long-context", "llama", ["extend_vocabulary=true", "rope.factor=4"]),
    "qlora-7b, Llama's shape": ("qlora-7b", "llama", ["optimiser=adafactor", "context_tokens=1024"]),
    "qlora-7b, Qwen's shape": ("qlora-7b", "qwen2", ["scheduler=linear", "context_tokens=1024"]),
    "long-context, linear": ("long-context", "qwen3", ["rope.kind=linear", "rope.factor=2", "context_tokens=1024"]),
    "long-context, dynamic": ("long-context", "mistral", ["rope.kind=dynamic", "rope.factor=2", "context_tokens=1024"]),
}


@pytest.fixture(scope="module")
def processes():
    """Children that begin with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cadenza.train.run", "cadenza.train.loop", "peft", "bitsandbytes"])
    return context


def config_for(name: str, corpus: Path, tiny, more: tuple[str, ...] = ()) -> TrainConfig:
    recipe, kind, settings = RUNS[name]
    words = [str(recipes.find(recipe, "train"))]
    for setting in [f"corpus={corpus}", *TINY, *settings, *([f"base={tiny(kind)}"] if kind else []), *more]:
        words += ["--set", setting]
    return load_config(TrainConfig, words)


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return load_file(next(path for path in folder.glob("*.safetensors")))


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def steps_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scratch-small", "composer", "lora-1b", "qlora-7b", "long-context"])
def test_killed_runs_resume_to_the_same_bits_and_compose(name, built_corpus, tiny, processes, another_song, tmp_path):
    """Each recipe from its first step to music: killed with -9, resumed, merged, exported for the engine, composing."""
    config = config_for(name, built_corpus, tiny)
    whole = run.train(config, tmp_path / "whole")
    broken = tmp_path / "broken"
    child = processes.Process(target=train_slowly, args=(config, broken))
    child.start()
    end = time.monotonic() + 240
    while not loop.checkpoints(broken) and child.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(random.Random(name).uniform(0, 0.5))
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (broken / whole.name).exists()
    # What a kill in the middle of writing leaves behind: a checkpoint without its last file.
    part = broken / "checkpoint-5"
    part.mkdir(exist_ok=True)
    (part / "model.safetensors").write_bytes(b"half of it")
    (part / loop.COMPLETE).unlink(missing_ok=True)
    again = run.train(config, broken)
    assert not part.exists()
    assert equal(weights_of(again), weights_of(whole))
    assert any(row["step"] == 6 for row in steps_of(broken))

    source = export.merge(broken, tmp_path / "merged") if again.name == "adapter" else broken
    found = export.export(source, tmp_path / "engine")
    assert found["mean_difference"] < 0.25
    model = load_model(tmp_path / "engine")
    assert type(model.decoder).__module__ == "cadenza.model.engine"  # the torch-free one
    take = continue_score(another_song, model, bars=2)
    assert len(take.bars) == 2
    # A model of six steps may bend more notes at once than MIDI has channels.
    formats.write(edit.drop_bends().apply(take.score), tmp_path / "continued.mid")
    assert formats.read(tmp_path / "continued.mid").n_notes == another_song.n_notes + take.n_notes


def test_a_style_goes_on_from_the_shipped_composer(style_corpus, built_corpus, tiny, another_song, tmp_path):
    config = config_for("from the shipped composer", style_corpus, tiny)
    run.train(config, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["base"] == "shipped"
    export.export(tmp_path / "run", tmp_path / "mine")
    take = continue_score(another_song, load_model(tmp_path / "mine"), bars=2)
    assert len(take.bars) == 2
    adapter = run.train(replace(config, method="lora"), tmp_path / "lora")
    assert json.loads((adapter / "base.json").read_text())["base"] == "shipped"
    export.merge(tmp_path / "lora", tmp_path / "merged")
    with pytest.raises(ConfigError, match="--recipe composer"):
        run.prepare(config_for("from the shipped composer", built_corpus, tiny))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNS if "," in name])
def test_every_shape_trains(name, built_corpus, tiny, tmp_path):
    config = config_for(name, built_corpus, tiny, ("steps=2", "checkpoint_every=0"))
    folder = run.train(config, tmp_path / "run")
    log = [row for row in steps_of(tmp_path / "run") if "loss" in row]
    assert all(np.isfinite(row["loss"]) for row in log)
    merged = export.merge(tmp_path / "run", tmp_path / "merged")
    model = transformers.AutoModelForCausalLM.from_pretrained(merged)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert folder.name == "adapter"


def test_another_recipe_in_the_same_folder_is_refused(built_corpus, tiny, tmp_path):
    config = config_for("scratch-small", built_corpus, tiny, ("steps=1", "evaluate_every=0"))
    run.train(config, tmp_path)
    with pytest.raises(ConfigError, match=r"learning_rate: was None, now 0\.5"):
        run.train(replace(config, learning_rate=0.5), tmp_path)
    run.train(replace(config, keep_checkpoints=1), tmp_path)  # moves no weight: allowed


def test_merged_adapters_answer_as_the_adapted_model(built_corpus, tiny, tmp_path):
    """Also over 4-bit weights: they are dequantised, not replaced by those from before quantisation."""
    import peft

    from cadenza.train import bases

    config = config_for("qlora-7b", built_corpus, tiny, ("steps=3", "learning_rate=0.01", "evaluate_every=0"))
    folder = run.train(config, tmp_path / "run")
    merged = transformers.AutoModelForCausalLM.from_pretrained(
        export.merge(tmp_path / "run", tmp_path / "merged")
    ).eval()
    base = bases.pretrained(config)
    base.resize_token_embeddings(merged.config.vocab_size, mean_resizing=False)
    adapted = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    ids = torch.randint(0, merged.config.vocab_size, (1, 50), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = merged(input_ids=ids).logits, adapted(input_ids=ids).logits
    assert (one - other).abs().max() < 1e-3 * other.abs().max()
    text = (tmp_path / "merged" / "config.json").read_text()
    assert "quantization" not in text


def first_gradients(config: TrainConfig, tmp_path: Path, monkeypatch) -> dict[str, torch.Tensor]:
    """The gradients of the first step, as the optimiser gets them."""
    found: dict[str, torch.Tensor] = {}
    original = loop.MusicTrainer._clip_grad_norm

    def look(self, model):
        if not found:
            found.update({name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None})
        return original(self, model)

    monkeypatch.setattr(loop.MusicTrainer, "_clip_grad_norm", look)
    run.train(config, tmp_path)
    return found


@pytest.mark.parametrize("loss", ["cross-entropy", "unlikelihood"])
def test_accumulation_weighs_tokens_not_batches(built_corpus, tiny, tmp_path, monkeypatch, loss):
    """4 batches of 1 row = 1 batch of 4 rows, of unequal length."""
    more = (
        "steps=1",
        "evaluate_every=0",
        "packing=false",
        "checkpoint_every=0",
        "max_grad_norm=1.0e+9",
        "loss.share=0",
    )
    config = config_for("scratch-small", built_corpus, tiny, (*more, f"loss.name={loss}"))
    one = first_gradients(replace(config, batch_rows=4, accumulate=1), tmp_path / "one", monkeypatch)
    four = first_gradients(replace(config, batch_rows=1, accumulate=4), tmp_path / "four", monkeypatch)
    assert one.keys() == four.keys()
    for name, wanted in one.items():
        assert (four[name] - wanted).norm() <= 1e-5 * max(float(wanted.norm()), 1e-3), name


def test_bits_per_note_do_not_depend_on_batches_or_packing(built_corpus, tiny, tmp_path):
    config = config_for("scratch-small", built_corpus, tiny, ("steps=1", "evaluate_every=0", "evaluation_rows=0"))
    found = []
    for number, changes in enumerate(({"batch_rows": 1}, {"batch_rows": 3})):
        out = tmp_path / str(number)
        # The same first step on both: one batch of one row.
        run.train(replace(config, **changes, accumulate=1, steps=1, learning_rate=1e-12), out)
        found.append(steps_of(out)[-1]["eval_bits_per_note"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_the_first_step_has_a_learning_rate():
    for scheduler in ("cosine", "linear", "constant", "cosine_with_restarts"):
        scale = [loop.learning_rate_scale(step, 100, scheduler, 0.1) for step in range(100)]
        assert 0 < scale[0] < scale[5] < 1
        assert max(scale) == 1.0
        assert min(scale) >= 0
        assert (scale[-1] == 1.0) == (scheduler == "constant")
    assert loop.learning_rate_scale(0, 10, "cosine", 0.0) == 1.0
    restarts = [loop.learning_rate_scale(step, 100, "cosine_with_restarts", 0.0, 2) for step in range(100)]
    assert restarts[49] < 0.01
    assert restarts[50] == pytest.approx(1.0)


def test_loss_that_diverges_is_said(built_corpus, tiny, tmp_path):
    config = config_for("scratch-small", built_corpus, tiny, ("steps=6", "evaluate_every=0"))
    config = replace(config, optimiser="adamw", learning_rate=1e30, max_grad_norm=1e30, warmup_share=0.0)
    with pytest.raises(ModelError, match=r"finite loss.*step [2-6]"):
        run.train(config, tmp_path)


def test_ditto_and_unlikelihood_train(built_corpus, tiny, tmp_path):
    for name in ("ditto", "unlikelihood"):
        config = config_for("scratch-small", built_corpus, tiny, ("steps=4", "evaluate_every=0", "checkpoint_every=0"))
        run.train(replace(config, loss=Loss(name, share=0.5)), tmp_path / name)
        assert (tmp_path / name / "model" / "model.safetensors").exists()


def test_dry_run_and_preview(built_corpus, tiny):
    config = config_for("scratch-small", built_corpus, tiny, ("steps=null", "epochs=2"))
    prepared = run.prepare(config)
    found = run.outlook(prepared)
    assert found["steps"] == 2 * found["steps_per_epoch"]
    assert found["steps_per_epoch"] == -(-found["rows"] // 4)
    assert 0.5 < found["filled"] <= 1
    assert 0 < found["learned_tokens_per_epoch"] < found["tokens_per_epoch"]
    (row,) = run.preview(prepared, 1)
    assert [learned for _, learned in row][:2] == [False, True]
    assert row[0][0].startswith("⟨begin⟩")
    assert "⟨end⟩" in row[1][0]


def test_training_ends_when_nothing_gets_better(built_corpus, tiny, tmp_path):
    config = config_for("scratch-small", built_corpus, tiny, ("evaluate_every=1", "checkpoint_every=0", "steps=12"))
    config = replace(config, learning_rate=1e-20, early_stopping=2, optimiser="adamw")
    run.train(config, tmp_path)
    assert max(row["step"] for row in steps_of(tmp_path)) == 3
    assert (tmp_path / "model" / "model.safetensors").exists()


@pytest.fixture(scope="module")
def style_corpus(tmp_path_factory) -> Path:
    """A few songs as the shipped composer reads them."""
    folder = tmp_path_factory.mktemp("style")
    (folder / "songs").mkdir()
    for seed in range(12):
        formats.write(song(seed), folder / "songs" / f"{seed}.mid")
    recipe = load_config(CorpusConfig, [str(recipes.find("composer", "corpus"))])
    build([folder / "songs"], folder / "corpus", recipe)
    return folder / "corpus"


@pytest.fixture(scope="module")
def own_style(style_corpus, tiny, tmp_path_factory) -> Path:
    """A run of one step from the shipped composer."""
    out = tmp_path_factory.mktemp("own") / "run"
    more = ("steps=1", "accumulate=1")
    run.train(config_for("own-style", style_corpus, tiny, more), out, say=lambda line: None)
    return out


def test_the_last_step_is_evaluated_once(built_corpus, tiny, tmp_path):
    config = config_for("scratch-small", built_corpus, tiny, ("steps=2", "evaluate_every=2", "accumulate=1"))
    run.train(config, tmp_path / "run", say=lambda line: None)
    assert [row["step"] for row in steps_of(tmp_path / "run") if "eval_loss" in row] == [2]


def test_a_tuned_composer_knows_what_it_must_not_copy(own_style, style_corpus):
    model = load_model(own_style)  # the run's folder serves
    assert model.folder == own_style / "model"
    shipped = load_model()
    assert model.originality is not None
    assert shipped.originality is not None
    corpus = BuiltCorpus.open(style_corpus)
    for row in [row for row in corpus.rows("train") if row["task"] == "continue"][:8]:
        score = corpus.notation.decode(row["prompt"] + row["completion"])
        longest = max(len(track) for track in score.tracks)
        assert copied(score, model.originality.index)["run"] == longest
        assert copied(score, shipped.originality.index)["run"] < longest
    assert model.originality.index.about["scores"] > shipped.originality.index.about["scores"]
    assert model.loops == shipped.loops
    assert TrainConfig(base=str(own_style)).source == str(own_style / "model")


def test_a_blend_lies_between_a_run_and_its_base(own_style, tmp_path):
    base, tuned = weights_of(shipped_folder()), weights_of(own_style / "model")
    for keep in (0.0, 0.5, 1.0):
        mixed = weights_of(export.blend(own_style, tmp_path / str(keep), keep))
        for name, weights in mixed.items():
            wanted = keep * base[name].astype(np.float32) + (1 - keep) * tuned[name]
            assert np.array_equal(weights, wanted.astype(np.float32)), name
    assert load_model(tmp_path / "0.5").originality is not None
    with pytest.raises(ConfigError):
        export.blend(own_style, tmp_path / "x", 1.5)
    with pytest.raises(ModelError):
        export.blend(own_style, tmp_path / "x", 0.5, base=str(tmp_path / "nothing"))


def test_a_run_with_an_adapter_says_how_it_is_used(tmp_path):
    (tmp_path / "run" / "adapter").mkdir(parents=True)
    with pytest.raises(ModelError, match="--adapter"):
        load_model(tmp_path / "run")


def test_a_run_of_an_older_version_goes_on(tmp_path):
    """Settings that its recipe did not know yet are what they are by default; others are still another recipe."""
    prepared = SimpleNamespace(
        config=TrainConfig(steps=6), corpus=SimpleNamespace(manifest={"fingerprint": "f"}),
        train=SimpleNamespace(fingerprint=lambda: "d"), base=SimpleNamespace(n_parameters=1, n_trainable=1), n_steps=6,
    )  # fmt: skip
    run.record(prepared, tmp_path)
    path = tmp_path / "run.json"
    older = json.loads(path.read_text())
    del older["config"]["listen"], older["config"]["preference"]["clip"]
    path.write_text(json.dumps(older))
    run.record(prepared, tmp_path)
    younger = replace(prepared.config, preference=replace(prepared.config.preference, clip=0.1))
    with pytest.raises(ConfigError, match="preference"):
        run.record(SimpleNamespace(**{**vars(prepared), "config": younger}), tmp_path)
