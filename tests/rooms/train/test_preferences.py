"""DPO and GRPO: losses against cases by hand, rewards that rise, runs that resume."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("pyarrow", reason="corpora need the extra [corpus]")
pytest.importorskip("peft", reason="training needs the extra [train]")

from cadenza.base.errors import ConfigError  # noqa: E402
from cadenza.metrics.reward import Judgement, Reward  # noqa: E402
from cadenza.train import bases, preferences, run  # noqa: E402
from cadenza.train.recipe import SHAPES, Preference, TrainConfig  # noqa: E402
from cadenza.train.rows import Collate, Documents, RowSet  # noqa: E402
from cadenza.train.takes import drawn  # noqa: E402

#: Music on few pitches: a reward that any model can learn.
FEW = Preference(
    reward={"pitch_range": 1.0}, targets={"pitch_range": 0.0}, group=6, max_tokens=40, prompts=12, beta=0.05
)


def test_dpo_equals_a_case_by_hand():
    policy = torch.tensor([[-10.0, -12.0], [-7.0, -6.0]])
    reference = torch.tensor([[-11.0, -11.5], [-8.0, -8.0]])
    # Margins: (1) − (−0.5) = 1.5 and (1) − (2) = −1; β = 0.2.
    wanted = (-math.log(1 / (1 + math.exp(-0.3))) - math.log(1 / (1 + math.exp(0.2)))) / 2
    assert float(preferences.dpo(policy, reference, 0.2)) == pytest.approx(wanted, rel=1e-6)
    assert float(preferences.dpo(reference, reference, 0.2)) == pytest.approx(math.log(2), rel=1e-6)


def test_advantages_are_relative_to_the_group():
    found = preferences.advantages(torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.5, 0.5]]))
    assert found[0].tolist() == pytest.approx([-1 / 1.0001, 0.0, 1 / 1.0001], rel=1e-5)
    assert found[1].tolist() == [0.0, 0.0, 0.0]


def test_grpo_equals_a_case_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.9], [0.2, 0.4, 0.1]])
    log_p = p.log().requires_grad_()
    reference = torch.tensor([[0.25, 0.25, 0.3], [0.4, 0.4, 0.9]]).log()
    wanted = torch.tensor([[True, True, False], [False, True, True]])
    loss = preferences.grpo(log_p, reference, torch.tensor([1.0, -2.0]), wanted, 0.1)

    def kl(model: float, other: float) -> float:
        return other / model - math.log(other / model) - 1

    first = (-1 + 0.1 * kl(0.5, 0.25) - 1 + 0.1 * kl(0.25, 0.25)) / 2
    second = (2 + 0.1 * kl(0.4, 0.4) + 2 + 0.1 * kl(0.1, 0.9)) / 2
    assert float(loss.detach()) == pytest.approx((first + second) / 2, rel=1e-5)
    loss.backward()
    # d/d log p: −advantage · ratio + β · (1 − ref / p), over the take's tokens and the takes.
    assert log_p.grad[0].tolist() == pytest.approx([(-1 + 0.1 * (1 - 0.5)) / 4, -1 / 4, 0.0], rel=1e-5)
    assert log_p.grad[1].tolist() == pytest.approx([0.0, 2 / 4, (2 + 0.1 * (1 - 9)) / 4], rel=1e-5)


@pytest.fixture(scope="module")
def taught(built_corpus, tmp_path_factory):
    """A small model that writes bars of the made-up songs, and its figures."""
    config = TrainConfig(
        base="scratch:tiny", corpus=str(built_corpus), context_tokens=160, batch_rows=8, steps=50, evaluate_every=0,
        report_to=[], n_threads=1, optimiser="muon", learning_rate=0.05, scheduler="linear", log_every=35,
        tasks={"continue": 1.0},
    )  # fmt: skip
    return run.train(config, tmp_path_factory.mktemp("taught"), lambda line: None)


def config_for(taught, built_corpus, objective: str, **keys) -> TrainConfig:
    plain = {
        "base": str(taught), "corpus": str(built_corpus), "context_tokens": 160, "batch_rows": 2, "steps": 10,
        "evaluate_every": 0, "report_to": [], "n_threads": 1, "learning_rate": 2e-3, "scheduler": "constant",
        "log_every": 1, "objective": objective, "preference": FEW, "checkpoint_minutes": 1e6,
    }  # fmt: skip
    return TrainConfig(**{**plain, **keys})


def test_documents_of_packed_rows_have_their_own_sums(taught, built_corpus):
    prepared = run.prepare(config_for(taught, built_corpus, "grpo"))
    documents, model = prepared.train, prepared.base.model.eval()
    rows = [RowSet(documents, [[0, 1], [2, 3]])[n] for n in range(2)]
    batch = Collate(prepared.base.codec.pad_id)(rows)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
        found = preferences.document_log_p(logits, batch["input_ids"], batch["labels"], batch["position_ids"], 2)
        for index in range(4):
            ids = torch.from_numpy(documents.document(index)[0])[None]
            each = preferences.token_log_p(model(input_ids=ids, use_cache=False).logits, ids)[0]
            wanted = float(each[documents.n_given[index] - 1 :].sum())
            assert float(found[index // 2, index % 2]) == pytest.approx(wanted, abs=1e-3)


def test_takes_are_drawn_from_the_model_as_it_is(taught, built_corpus):
    """Equal seeds draw equally, takes end with <eos> or at the limit, frequencies are the model's own."""
    prepared = run.prepare(config_for(taught, built_corpus, "grpo"))
    model, codec = prepared.base.model.eval(), prepared.base.codec
    given = prepared.train.document(0)[0][: prepared.train.n_given[0]]
    one, again = (drawn(model, given, 4, 12, codec, 1.0, 5) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    for take in one:
        assert len(take) <= 12
        assert codec.eos_id not in take[:-1].tolist()
    many = np.array([take[0] for take in drawn(model, given, 2000, 1, codec, 1.0, 6)])
    with torch.no_grad():
        p = model(input_ids=torch.from_numpy(given)[None], use_cache=False).logits[0, -1].softmax(-1)
    token = int(p.argmax())
    assert (many == token).mean() == pytest.approx(float(p[token]), abs=0.05)


class TwentyWords:
    """A vocabulary without a text."""

    pad_id, bos_id, eos_id = 0, 1, 2

    def __len__(self) -> int:
        return 20


class Liked:
    """A judge that anything can learn to please: the share of a take's tokens that are among the first words."""

    codec = TwentyWords()

    def __call__(self, given, take) -> Judgement:
        return Judgement(float(np.mean([2 < int(token) < 10 for token in take])), {}, {})


def grpo_log(beta: float, steps: int, out) -> list[dict]:
    ids = np.random.default_rng(0).integers(3, 20, 80).astype(np.int32)
    documents = Documents(
        ids=ids, starts=np.arange(0, 81, 10), n_given=np.full(8, 5, np.int32), unit_starts=np.zeros(0, np.int64),
        n_notes=np.full(8, 5, np.int32), seconds=np.ones(8, np.float32), weight=np.ones(8, np.float32),
        task=np.zeros(8, np.int32), tasks=("continue",),
    )  # fmt: skip
    config = TrainConfig(
        base="elsewhere", objective="grpo", batch_rows=1, steps=steps, evaluate_every=0, report_to=[], n_threads=1,
        learning_rate=3e-3, scheduler="constant", log_every=1, checkpoint_minutes=1e6,
        preference=replace(FEW, group=16, max_tokens=8, beta=beta),
    )  # fmt: skip
    model = bases.scratch_model(SHAPES["tiny"], 32, 64, 0)
    rows = RowSet(documents, [[number] for number in range(8)])
    trainer = preferences.GrpoTrainer(config, model, rows, None, out, steps, 0, lambda line: None, judge=Liked())
    trainer.train()
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in log if "reward" in row]


def test_grpo_raises_its_reward(tmp_path):
    """A random model learns to write what is liked; a heavy KL keeps it near what it was."""
    for name in ("free", "held", "without"):
        (tmp_path / name).mkdir()
    free, held = grpo_log(1e-6, 24, tmp_path / "free"), grpo_log(10.0, 24, tmp_path / "held")
    assert len(free) == len(held) == 24
    early, late = (np.mean([row["reward"] for row in part]) for part in (free[:4], free[-4:]))
    assert late > early + 0.2
    assert np.mean([row["reward"] for row in held[-4:]]) < late
    assert min(row["kl"] for row in free + held) >= 0
    assert held[-1]["kl"] < free[-1]["kl"] / 2
    (first,) = grpo_log(0.0, 1, tmp_path / "without")
    assert first["reward"] == free[0]["reward"]
    assert first["kl"] == 0


def test_takes_are_judged_by_named_metrics(taught, built_corpus):
    prepared = run.prepare(config_for(taught, built_corpus, "grpo"))
    judge = preferences.judge_of(prepared)
    for index in preferences._prompts(prepared)[:5]:
        ids, _ = prepared.train.document(int(index))
        given, own = ids[: prepared.train.n_given[index]], ids[prepared.train.n_given[index] :]
        found = judge(given, own)
        spread = found.values["pitch_range"]
        assert found.total == found.terms["pitch_range"] == pytest.approx(1 - spread / 127)
        # What is cut off counts to its last bar line; what is not the notation is worth nothing.
        cut = judge(given, own[: len(own) // 2])
        assert cut.total > 0
        assert cut.values["pitch_range"] <= spread
        assert judge(given, own[:1].repeat(9)).total == 0
        assert judge(given, own[:0]).total == 0


def test_dpo_tells_pairs_apart(taught, built_corpus, tmp_path):
    config = config_for(taught, built_corpus, "dpo", learning_rate=1e-3)
    run.train(config, tmp_path, lambda line: None)
    pairs = [json.loads(line) for line in (tmp_path / preferences.PAIRS).read_text().splitlines()]
    assert all(pair["reward_chosen"] > pair["reward_rejected"] for pair in pairs)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [row for row in log if "loss" in row]
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)  # nothing is told apart before the first step
    assert steps[0]["margin"] == pytest.approx(0, abs=1e-3)
    assert steps[-1]["loss"] < 0.55
    assert steps[-1]["told_apart"] > 0.7


@pytest.mark.parametrize("objective", ["dpo", "grpo"])
def test_stopped_runs_resume_to_the_same_bits(objective, taught, built_corpus, tmp_path):
    """Also with human pairs, an adapter as policy and its base as reference."""
    what = replace(FEW, kind="human", prompts=4, group=2, max_tokens=12)
    config = config_for(
        taught, built_corpus, objective, preference=what, steps=4, checkpoint_every=2, method="lora", log_every=1
    )
    whole = run.train(config, tmp_path / "whole", lambda line: None)

    class Stop(Exception):
        pass

    def say(line: str) -> None:
        if line.startswith("step 3/"):
            raise Stop

    with pytest.raises(Stop):
        run.train(config, tmp_path / "broken", say)
    again = run.train(config, tmp_path / "broken", lambda line: None)
    one, other = ((folder / "adapter_model.safetensors").read_bytes() for folder in (whole, again))
    assert one == other


def test_what_preferences_need_is_said(taught, built_corpus):
    with pytest.raises(ConfigError, match="a trained model as base"):
        TrainConfig(objective="grpo", preference=FEW)
    with pytest.raises(ConfigError, match="a reward"):
        config_for(taught, built_corpus, "grpo", preference=Preference())
    with pytest.raises(ConfigError, match="a recipe without"):
        config_for(taught, built_corpus, "dpo", loss_on="all")
    with pytest.raises(ConfigError, match="a target"):
        Reward({"scale_consistency": 1.0})
