"""Sweeps: spaces are checked, trials that lag end early, a killed sweep goes on, the best recipe is one that trains."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra [train]")
optuna = pytest.importorskip("optuna", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")

from cadenza.base import recipes  # noqa: E402
from cadenza.base.config import load_config  # noqa: E402
from cadenza.base.errors import ConfigError, ModelError  # noqa: E402
from cadenza.train import run, sweep  # noqa: E402
from cadenza.train.recipe import TrainConfig  # noqa: E402

N_STEPS, EVERY = 6, 2
AXES = [
    sweep.Axis("learning_rate", (), 1e-5, 1e-1, log=True),
    sweep.Axis("scheduler", ("cosine", "linear")),
    sweep.Axis("accumulate", (), 1, 4, whole=True),
]


def pretend(monkeypatch, *, die_in: int | None = None, begun: list[Path] | None = None) -> None:
    """Runs whose bits per note follow from the learning rate alone: 3 at 1e-3, and more away from it."""

    def train(config, out, say=print, live=None, watch=None):
        import math

        if begun is not None:
            begun.append(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "run.json").write_text(json.dumps({"n_steps": N_STEPS}))
        if config.learning_rate > 0.08:
            raise ModelError("a finite loss", "nan")
        for step in range(EVERY, N_STEPS + 1, EVERY):
            bits = 3.0 + abs(math.log10(config.learning_rate) + 3) + 1 / step
            with (out / "log.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, "eval_bits_per_note": bits}) + "\n")
            watch(step, bits)
            if die_in is not None and out.name == f"trial-{die_in:04d}" and step == EVERY:
                raise SystemExit("killed")
        (out / "model").mkdir(exist_ok=True)
        return out / "model"

    monkeypatch.setattr(run, "train", train)


def config() -> TrainConfig:
    return TrainConfig(base="scratch:tiny", corpus="somewhere", evaluate_every=EVERY)


def test_it_finds_the_better_rate_and_says_what_mattered(monkeypatch, tmp_path):
    pretend(monkeypatch)
    lines: list[str] = []
    best = sweep.sweep(config(), AXES, tmp_path, n_trials=16, say=lines.append)
    chosen = load_config(TrainConfig, [str(best)])
    assert 1e-4 < chosen.learning_rate < 1e-2
    assert chosen.scheduler in ("cosine", "linear")
    assert chosen.base == "scratch:tiny"
    found = json.loads((tmp_path / sweep.TRIALS).read_text())
    states = [row["state"] for row in found["trials"]]
    assert len(states) == 16
    assert "pruned" in states
    assert states.count("complete") >= 4
    assert found["importances"]["learning_rate"] > 0.6
    assert sum(found["importances"].values()) == pytest.approx(1, abs=1e-6)
    # Weights of the best alone are kept.
    kept = [path.parent.name for path in tmp_path.glob("trial-*/model")]
    assert kept == [f"trial-{found['best']['trial']:04d}"]
    page = (tmp_path / sweep.PAGE).read_text()
    assert "Importance" in page
    assert page.count("<path ") == sum(bool(row["curve"]) for row in found["trials"])
    assert any("pruned" in line for line in lines)


def test_a_killed_sweep_goes_on_in_the_same_trial(monkeypatch, tmp_path):
    pretend(monkeypatch, die_in=1)
    with pytest.raises(SystemExit):
        sweep.sweep(config(), AXES, tmp_path, n_trials=3, pruner="none")
    killed = json.loads(json.dumps(optuna.load_study(
        study_name="sweep", storage=f"sqlite:///{tmp_path / sweep.STUDY}").trials[1].params))  # fmt: skip
    begun: list[Path] = []
    pretend(monkeypatch, begun=begun)
    sweep.sweep(config(), AXES, tmp_path, n_trials=3, pruner="none")
    assert begun[0].name == "trial-0001"
    assert len(begun) == 2
    rows = json.loads((tmp_path / sweep.TRIALS).read_text())["trials"]
    assert sorted(row["state"] for row in rows) == ["complete"] * 3
    again = next(row for row in rows if row["trial"] == 1)
    assert again["values"]["learning_rate"] == killed["learning_rate"]
    assert [step for step, _ in again["curve"]] == [2, 4, 6]
    begun.clear()
    sweep.sweep(config(), AXES, tmp_path, n_trials=3, pruner="none")  # nothing is left to do
    assert not begun
    with pytest.raises(ConfigError, match="another seed"):
        sweep.sweep(replace(config(), seed=1), AXES, tmp_path, n_trials=3)


def test_trials_that_fail_are_told_and_counted(monkeypatch, tmp_path):
    pretend(monkeypatch)
    axes = [sweep.Axis("learning_rate", (0.09, 0.095))]
    with pytest.raises(ModelError, match="finite loss"):
        sweep.sweep(config(), axes, tmp_path, n_trials=2)
    rows = json.loads((tmp_path / sweep.TRIALS).read_text())["trials"]
    assert [row["state"] for row in rows] == ["fail", "fail"]
    assert (tmp_path / sweep.PAGE).exists()


@pytest.mark.parametrize("name", recipes.names("sweep"))
def test_shipped_spaces_fit_shipped_recipes(name):
    axes = sweep.read_space(recipes.find(name, "sweep"))
    lora = load_config(TrainConfig, [str(recipes.find("qlora-7b", "train"))])
    scratch = load_config(TrainConfig, [str(recipes.find("scratch-small", "train"))])
    assert len(sweep.fitted(lora, axes)) == len(axes)
    assert not [axis for axis in sweep.fitted(scratch, axes) if axis.key.startswith("lora")]


def test_the_published_axes_are_all_there():
    axes = {axis.key: axis for axis in sweep.read_space(recipes.find("published", "sweep"))}
    assert (axes["learning_rate"].low, axes["learning_rate"].high) == (2e-5, 2e-4)
    wanted = {"scheduler", "warmup_share", "accumulate", "epochs", "optimiser", "lora.rank", "lora.alpha"}
    assert wanted | {"context_tokens", "learning_rate"} == set(axes)


def test_spaces_that_cannot_be_are_refused():
    for said in (3, [], {"low": 1}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 1, "hihg": 2}):
        with pytest.raises(ConfigError, match="space learning_rate"):
            sweep.Axis.read("learning_rate", said)
    with pytest.raises(ConfigError, match="scheduler"):
        sweep.fitted(config(), [sweep.Axis("schedular", ("cosine",))])
    with pytest.raises(ConfigError, match="one of cosine"):
        sweep.fitted(config(), [sweep.Axis("scheduler", ("cosine", "cosin"))])
    with pytest.raises(ConfigError, match="axes of this recipe"):
        sweep.fitted(config(), [sweep.Axis("lora.rank", (8, 16))])


def test_a_real_sweep_of_two_trials(built_corpus, tmp_path):
    """End to end: two tiny runs; the best recipe is read back and is that of the better one."""
    small = TrainConfig(
        base="scratch:tiny", corpus=str(built_corpus), context_tokens=256, batch_rows=2, steps=2, evaluate_every=1,
        evaluation_rows=4, report_to=[], n_threads=1,
    )  # fmt: skip
    axes = [sweep.Axis("learning_rate", (1e-3, 1e-9)), sweep.Axis("optimiser", ("adamw",))]
    best = sweep.sweep(small, axes, tmp_path, n_trials=2, sampler="random")
    found = json.loads((tmp_path / sweep.TRIALS).read_text())
    assert load_config(TrainConfig, [str(best)]) == replace(
        small, learning_rate=found["best"]["values"]["learning_rate"]
    )
    assert (tmp_path / f"trial-{found['best']['trial']:04d}" / "model" / "model.safetensors").exists()
    assert not list(tmp_path.glob("trial-*/checkpoint-*"))


@pytest.mark.slow
def test_a_sweep_killed_with_9_goes_on_to_the_same_curves(built_corpus, tmp_path):
    small = TrainConfig(
        base="scratch:tiny", corpus=str(built_corpus), context_tokens=256, batch_rows=2, steps=6, evaluate_every=2,
        evaluation_rows=4, checkpoint_every=1, report_to=[], n_threads=1,
    )  # fmt: skip
    axes = [sweep.Axis("learning_rate", (), 1e-4, 1e-2, log=True)]
    options = {"n_trials": 3, "sampler": "random", "pruner": "none"}
    sweep.sweep(small, axes, tmp_path / "whole", **options)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cadenza.train.sweep", "cadenza.train.loop"])
    child = context.Process(target=sweep.sweep, args=(small, axes, tmp_path / "killed"), kwargs=options)
    child.start()
    end = time.monotonic() + 240
    while not list(tmp_path.glob("killed/trial-0001/checkpoint-*")) and child.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    sweep.sweep(small, axes, tmp_path / "killed", **options)

    def told(folder: str) -> list[tuple]:
        rows = json.loads((tmp_path / folder / sweep.TRIALS).read_text())["trials"]
        return [(row["trial"], row["state"], row["values"], row["curve"]) for row in rows]

    killed, whole = told("killed"), told("whole")
    assert killed[:2] == whole[:2]  # the trial that was killed too; those after it are drawn anew
    assert [row[1] for row in killed] == ["complete"] * 3
    assert load_config(TrainConfig, [str(tmp_path / "killed" / "best.yaml")]).corpus == str(built_corpus)
