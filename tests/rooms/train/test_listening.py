"""Models that listen: the sound is in every log-probability, in every gradient and in every update."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")

from cadenza.base import recipes  # noqa: E402
from cadenza.base.config import load_config  # noqa: E402
from cadenza.base.errors import ConfigError, ModelError  # noqa: E402
from cadenza.corpus.clips import NOTATION, PITCHES, ClipStore, n_pitches, pitches_of  # noqa: E402
from cadenza.metrics.reward import REWARDS, Judgement  # noqa: E402
from cadenza.train import bases, loop  # noqa: E402
from cadenza.train.listening import answers, objectives, rows, towers, trainers  # noqa: E402
from cadenza.train.listening import run as listening  # noqa: E402
from cadenza.train.listening.audio_lm import AudioLm, Projector  # noqa: E402
from cadenza.train.preferences import token_log_p  # noqa: E402
from cadenza.train.recipe import Listen, Lora, Preference, Scratch, TrainConfig  # noqa: E402
from tests.rooms.train.listeners import recipe  # noqa: E402


def by_length(answer: str, truth: str) -> Judgement:
    """A reward that even babble has: of letters, which part are vowels."""
    total = sum(letter in "aeiouAE|23" for letter in answer) / max(1, len(answer))
    return Judgement(total, {"vowels": total}, {})


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────


def small_model(stack: int = 2, with_value: bool = False) -> AudioLm:
    language = bases.scratch_model(Scratch(32, 2, 2, 1, 16, 64, 64, "f"), 64, 128, 0)
    for parameter in language.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return AudioLm(language, 5, stack, with_value)


def test_sound_stands_in_its_places_and_batches_change_nothing():
    model = small_model().eval()
    rng = torch.Generator().manual_seed(0)
    sounds = [torch.randn(n, 5, generator=rng) for n in (7, 4, 0)]
    texts = [[1, *[model.audio_id] * model.projector.n_vectors(len(s)), 5, 6, 7, 8] for s in sounds]
    alone = []
    for sound, text in zip(sounds, texts, strict=True):
        features = sound[None] if len(sound) else torch.full((1, 1, 5), float("nan"))
        alone.append(model(torch.tensor([text]), features).logits[0])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
    together = model(ids, trainers.padded_features([s if len(s) else torch.full((1, 5), float("nan")) for s in sounds]))
    for row, logits in enumerate(alone):
        assert torch.allclose(together.logits[row, : len(logits)], logits, atol=1e-5)
    changed = model(ids[:1, : len(texts[0])], sounds[0][None] + 1).logits[0]
    assert not torch.allclose(changed[-1], alone[0][-1])
    with pytest.raises(ModelError, match="placeholders"):
        model(torch.tensor([[1, model.audio_id, 5]]), sounds[0][None])
    with pytest.raises(ModelError, match="sound"):
        model(torch.tensor([[1, model.audio_id, 5]]))


def test_projector_stacks_frames():
    projector = Projector(3, 8, 4)
    assert [projector.n_vectors(n) for n in (0, 1, 4, 5, 8)] == [1, 1, 1, 2, 2]
    assert projector(torch.randn(2, 9, 3)).shape == (2, 3, 8)


def test_the_ear_hears_which_pitch_sounds(clips):
    tower = towers.open_tower("ear")
    clip = ClipStore(clips / "train")[0]
    features = tower(clip.samples)
    assert features.shape[1] == tower.width
    assert len(features) == pytest.approx(len(clip.samples) / 16_000 * tower.frames_per_second, abs=2)
    from cadenza.corpus.clips import NOTATION

    pitches = {int(p) for t in NOTATION.decode(clip.text).tracks for p in t.notes["pitch"]}
    loudest = np.argsort(features[:, :88].max(0))[-len(pitches) :] + 21
    assert len(pitches & set(loudest.tolist())) >= len(pitches) / 2
    silence = tower(np.zeros(16_000, np.int16))
    assert silence[:, :88].max() < 0.5


# ── objectives ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_ppo_step_by_hand():
    """Two tokens: every number below is worked out by hand."""
    rewards = torch.tensor([[0.0, 1.0]])
    values = torch.tensor([[0.5, 0.25]])
    wanted = torch.tensor([[True, True]])
    advantage, returns = objectives.gae(rewards, values, wanted, gamma=1.0, lam=0.5)
    # δ2 = 1 − 0.25 = 0.75; δ1 = 0 + 0.25 − 0.5 = −0.25; A2 = 0.75, A1 = −0.25 + 0.5·0.75 = 0.125
    assert advantage.tolist() == [[0.125, 0.75]]
    assert returns.tolist() == [[0.625, 1.0]]
    old = torch.log(torch.tensor([[0.5, 0.2]]))
    new = torch.log(torch.tensor([[0.75, 0.1]]))
    # ratios 1.5 and 0.5; clipped at 0.2: min(1.5·0.125, 1.2·0.125) = 0.15; min(0.5·0.75, 0.8·0.75) = 0.375
    assert float(objectives.ppo(new, old, advantage, wanted, 0.2)) == pytest.approx(-(0.15 + 0.375) / 2)
    now = torch.tensor([[1.0, 0.3]])
    # errors (1 − 0.625)² = 0.140625 or, held to 0.7, 0.005625; (0.3 − 1)² = 0.49: half the mean of the worse ones
    assert float(objectives.value_loss(now, values, returns, wanted, 0.2)) == pytest.approx((0.140625 + 0.49) / 4)
    assert objectives.k3(new, new).tolist() == [[0, 0]]
    assert float(objectives.entropy(torch.zeros(1, 8))) == pytest.approx(np.log(8))


def test_padding_weighs_nothing():
    wanted = torch.tensor([[False, True, True, False]])
    values = torch.tensor([[9.0, 0.5, 0.25, 9.0]])
    rewards = torch.tensor([[9.0, 0.0, 1.0, 9.0]])
    advantage, returns = objectives.gae(rewards, values, wanted, lam=0.5)
    assert advantage.tolist() == [[0, 0.125, 0.75, 0]]
    assert returns.tolist() == [[0, 0.625, 1.0, 0]]
    white = objectives.whitened(advantage, wanted)
    assert white[0, 1:3].tolist() == pytest.approx([-1, 1], abs=1e-5)
    assert white[0, [0, 3]].tolist() == [0, 0]


def test_grpo_is_that_of_trl():
    """On text alone, against TRL's own loss of the same numbers."""
    trl = pytest.importorskip("trl", reason="trl (extra [dev]) is not installed")
    del trl
    from trl import GRPOTrainer

    rng = torch.Generator().manual_seed(1)
    log_p, old, reference = (-torch.rand(4, 6, generator=rng) for _ in range(3))
    wanted = torch.ones(4, 6, dtype=torch.bool)
    wanted[1, 4:] = wanted[3, 2:] = False
    advantage = torch.tensor([1.2, -0.7, 0.3, -0.8])
    ours = objectives.grpo(log_p, old, reference, advantage, wanted, beta=0.04, clip=0.2)
    entropies = torch.zeros(4, 6)
    metrics = {"train": defaultdict(list)}
    fake = SimpleNamespace(
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1,
                             gradient_accumulation_steps=1, max_completion_length=6),
        model=SimpleNamespace(training=True), beta=0.04, epsilon_low=0.2, epsilon_high=0.2, loss_type="grpo",
        importance_sampling_level="token", top_entropy_quantile=1.0, use_vllm=False, use_liger_kernel=False,
        aux_loss_enabled=False, _entropy_bonus_enabled=False,
        vllm_importance_sampling_correction=False, off_policy_mask_threshold=None, tools=None,
        current_gradient_accumulation_steps=1, max_completion_length=6, _metrics=metrics,
        accelerator=SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction="mean": x, num_processes=1),
        _get_per_token_logps_and_entropies=lambda *a, **k: (log_p, entropies, None),
    )  # fmt: skip
    inputs = {
        "prompt_ids": torch.zeros(4, 1, dtype=torch.long), "prompt_mask": torch.ones(4, 1, dtype=torch.long),
        "completion_ids": torch.zeros(4, 6, dtype=torch.long), "completion_mask": wanted.long(),
        "advantages": advantage, "old_per_token_logps": old, "ref_per_token_logps": reference,
        "num_items_in_batch": wanted.sum(),
    }  # fmt: skip
    theirs = GRPOTrainer._compute_loss(fake, fake.model, inputs)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_batches_of_a_step_are_about_equally_long_and_each_row_comes_once():
    lengths = np.random.default_rng(0).integers(20, 400, 1000).tolist()
    sampler = rows.ByLength(lengths, 8, 4, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(1000))
    batches = [[lengths[n] for n in first[at : at + 8]] for at in range(0, 992, 8)]
    assert np.mean([8 * max(batch) - sum(batch) for batch in batches]) < 0.25 * np.mean([sum(b) for b in batches])
    steps = [np.mean(batches[at : at + 4]) for at in range(0, 124, 4)]
    assert np.std(steps) < 1.5 * np.std(lengths) / 32**0.5  # as random ones
    assert first == list(rows.ByLength(lengths, 8, 4, seed=3))
    sampler.set_epoch(1)
    assert sorted(sampler) == list(range(1000))
    assert list(sampler) != first
    assert sorted(rows.ByLength([5, 6], 16, 1, seed=0)) == [0, 1]


def test_pitches_alone_are_asked_for_too(clips):
    store = ClipStore(clips / "train")
    asked = rows.asked_of(store, 0.0, 0, 1.0, 0.0)
    assert [one.clip for one in asked] == list(range(len(store)))
    assert {(one.kind, one.question) for one in asked} == {(rows.PITCHES_ALONE, PITCHES)}  # never scored as ABC
    assert {one.kind for one in rows.asked_of(store, 1.0, 0)} == {rows.TRANSCRIBE, rows.ASK}
    half = [one.kind for one in rows.asked_of(store, 0.0, 0, 0.5, 0.5)]
    for kind in (rows.TRANSCRIBE, rows.PITCHES_ALONE):
        assert 0 < half.count(kind) < len(store)
    text = "X:1\nT:\nM:3/8\nL:1/16\nK:Gm\nV:1\n[V:1]D2-|D ^F/2 (3:2:3A/ z =f' [G,Bdg]4-|[G,Bdg] D|]"
    assert pitches_of(text) == "K:Gm D ^F A =f' [G,Bdg] D"
    assert n_pitches(pitches_of(text)) == 9


def test_features_go_on_with_more_clips(clips, tmp_path):
    store = ClipStore(clips / "train")
    heard = 0

    class Counting:
        width, frames_per_second = 3, 1.0

        def __call__(self, samples):
            nonlocal heard
            heard += 1
            if heard == 9:
                raise KeyboardInterrupt
            return np.full((1 + len(samples) % 4, 3), len(samples) % 128, np.float32)

        def fingerprint(self):
            return "counts"

    fewer = tmp_path / "clips"
    fewer.mkdir()
    lines = (clips / "train" / "clips.jsonl").read_text().splitlines(True)
    (fewer / "sound.i16").write_bytes((clips / "train" / "sound.i16").read_bytes())
    (fewer / "clips.jsonl").write_text("".join(lines[:5]))
    rows.Heard(ClipStore(fewer), Counting(), tmp_path / "kept")
    assert heard == 5
    with pytest.raises(KeyboardInterrupt):
        rows.Heard(store, Counting(), tmp_path / "kept")
    whole = rows.Heard(store, Counting(), tmp_path / "kept")
    assert heard == 9 + len(store) - 5  # what was not noted is heard again, and never twice in the file
    assert len(whole) == len(store)
    for number in range(len(store)):
        n = len(store[number].samples)
        assert whole[number].shape == (1 + n % 4, 3)
        assert (whole[number] == n % 128).all()
    rows.Heard(store, Counting(), tmp_path / "kept")
    assert heard == 9 + len(store) - 5
    (fewer / "clips.jsonl").write_text("".join(lines[1:]))  # other clips
    rows.Heard(ClipStore(fewer), Counting(), tmp_path / "kept")
    assert heard == 9 + len(store) - 5 + len(lines) - 1


def test_transposed_copies_are_asked_for_beside_their_clips(clips, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("clips.jsonl", "sound.i16"):
        (folder / name).write_bytes((clips / "train" / name).read_bytes())
    store = ClipStore(folder)
    plain = rows.asked_of(store, 0.5, 0, 0.5)
    more = rows.asked_of(store, 0.5, 0, 0.5, copies=3)
    assert [one for one in more if not one.semitones] == plain
    copies = [one for one in more if one.semitones and one.kind == rows.TRANSCRIBE]
    assert len(copies) == 3 * len(store)
    assert len({(one.clip, one.semitones) for one in copies}) == len(copies)
    for one in copies:
        here, there = (NOTATION.decode(text) for text in (store.texts[one.clip], one.answer))
        for a, b in zip(here.tracks, there.tracks, strict=True):
            assert (b.notes["pitch"].astype(int) - a.notes["pitch"]).tolist() == [one.semitones] * len(a)
            for name in ("onset_ticks", "duration_ticks"):
                assert np.array_equal(a.notes[name], b.notes[name])
    path = next(folder.glob("transposed-*"))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])  # stopped
    assert rows.asked_of(store, 0.5, 0, 0.5, copies=3) == more
    assert path.read_text() == whole
    config = recipe(clips, listen=Listen(clips=str(clips), vocabulary=320, stack=2, transposed=1, tower="deaf"))
    with pytest.raises(ConfigError, match="transposed"):
        listening.train(config, tmp_path / "deaf", say=lambda line: None)
    with pytest.raises(ConfigError, match="transposed"):
        Listen(clips="x", transposed=11)


def test_a_run_of_pitches_alone_is_gone_on_from(clips, tmp_path):
    alone = recipe(
        clips, steps=2, listen=Listen(clips=str(clips), vocabulary=320, stack=2, pitches=1, transcriptions=0)
    )
    listening.train(alone, tmp_path / "pitches", say=lambda line: None)
    last = [json.loads(line) for line in (tmp_path / "pitches" / "log.jsonl").read_text().splitlines()][-2:]
    assert any(row.get(loop.METRIC, 0) > 0 for row in last)
    listening.train(recipe(clips, base=str(tmp_path / "pitches")), tmp_path / "sft", say=lambda line: None)
    with pytest.raises(ConfigError, match="pitches"):
        Listen(clips=str(clips), transcriptions=0)


def test_clips_of_several_lengths_are_answered_together_as_alone(sft, clips):
    opened = listening.open_trained(sft / "model")
    opened.model.eval()
    sounds = [torch.from_numpy(opened.tower(ClipStore(clips / "train")[n].samples)) for n in range(4)]
    sounds = [sound[: len(sound) - 7 * at] for at, sound in enumerate(sounds)]
    asked = [np.array(opened.prompt(len(sound))) for sound in sounds]
    assert len({len(one) for one in asked}) > 2
    config = replace(recipe(clips), preference=Preference(max_tokens=30))
    together = trainers.answers_to(opened.model, asked, sounds, 2, config, opened.codec, 0.0, [1])
    for given, sound, found in zip(asked, sounds, together, strict=True):
        (alone,) = trainers.answers_to(opened.model, [given], [sound], 2, config, opened.codec, 0.0, [1])
        assert [one.tolist() for one in found] == [one.tolist() for one in alone]


def test_the_answer_depends_on_the_sound(sft, clips):
    opened = listening.open_trained(sft / "model")
    opened.model.eval()
    store = ClipStore(clips / "validation")
    features = torch.from_numpy(opened.tower(store[0].samples))[None]
    ids = torch.tensor([[*opened.prompt(features.shape[1]), *opened.codec.tokenize(store[0].text)]])

    def log_p(sound):
        logits = opened.model(ids, sound).logits
        return token_log_p(logits, ids.masked_fill(ids >= logits.shape[-1], 0))[:, -20:]

    assert not torch.equal(log_p(features), log_p(torch.zeros_like(features)))
    assert not torch.equal(log_p(features), log_p(features.flip(1)))


@pytest.mark.parametrize("objective", ["sft", "grpo", "ppo"])
def test_gradients_reach_the_projector_through_the_sound(objective, sft, clips, tmp_path, monkeypatch):
    """And the update moves what is said of the sound: with a frozen language model the projector alone learns."""
    monkeypatch.setattr(listening, "REWARDS", SimpleNamespace(load=lambda name: by_length))
    seen: list[float] = []
    kind = trainers.RewardTrainer if objective != "sft" else trainers.ListenTrainer
    whole = kind.training_step

    def watched(self, *args, **keys):
        loss = whole(self, *args, **keys)
        seen.append(float(self.model.projector.linear.weight.grad.abs().max()))
        return loss

    monkeypatch.setattr(kind, "training_step", watched)
    before = listening.open_trained(sft / "model").model.projector.linear.weight.detach().clone()
    listening.train(recipe(clips, objective=objective, base=str(sft)), tmp_path, say=lambda line: None)
    after = listening.open_trained(tmp_path / "model").model.projector.linear.weight
    assert seen
    assert max(seen) > 0
    assert not torch.equal(before, after)


@pytest.mark.parametrize("objective", ["grpo", "ppo"])
def test_learning_from_a_reward_raises_it(objective, sft, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "REWARDS", SimpleNamespace(load=lambda name: by_length))
    preference = Preference(group=8, max_tokens=12, beta=0.0, updates=2 if objective == "ppo" else 1)
    config = recipe(
        clips, objective=objective, base=str(sft), steps=40, learning_rate=3e-3, preference=preference,
        scheduler="constant",
    )  # fmt: skip
    listening.train(config, tmp_path, say=lambda line: None)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    paid = [row["reward"] for row in log if "reward" in row]
    assert np.mean(paid[-5:]) > np.mean(paid[:3]) + 0.1
    assert {"kl", "entropy", "answer_tokens", "reward_vowels"} <= set(next(row for row in log if "reward" in row))
    takes = [json.loads(line) for line in (tmp_path / trainers.TAKES).read_text().splitlines()]
    assert takes[0]["best"]["total"] >= takes[0]["worst"]["total"]


def test_answers_judged_in_other_processes_are_judged_alike(clips):
    store = ClipStore(clips / "train")
    answered = [*store.texts, "nothing", ""]
    truths = [*store.texts[1:], *store.texts[:3]]
    here, there = (trainers.Judges(REWARDS.load("score"), n) for n in (0, 2))
    wanted = here(answered, truths)
    assert there(answered, truths) == wanted
    assert len({one.total for one in wanted}) > 3
    there.close()
    with pytest.raises(ValueError, match="shorter"):
        here(["a"], [])


@pytest.mark.parametrize("objective", ["dpo", "rejection"])
def test_answers_are_drawn_once(objective, sft, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(listening, "REWARDS", SimpleNamespace(load=lambda name: by_length))
    config = recipe(clips, objective=objective, base=str(sft))
    listening.train(config, tmp_path, say=lambda line: None)
    lines = (tmp_path / answers.ANSWERS).read_text().splitlines()
    assert len(lines) == 3
    assert all(len(json.loads(line)["paid"]) == 3 for line in lines)


def test_dpo_begins_at_ln_2_and_moves_apart(sft, clips):
    opened = listening.open_trained(sft / "model", train=recipe(clips, base=str(sft)))
    store = ClipStore(clips / "train")
    heard = rows.Heard(store, opened.tower, clips / "heard")
    made = rows.rows_of(
        rows.asked_of(store, 0, 0), heard, opened.codec, opened.prompt, 400,
        listening.notes_of,
    )  # fmt: skip
    drawn = [{"row": 0, "answers": [[5, 6, 7], [8, 9, 10, 11]], "paid": [1.0, 0.0]}]
    collate = answers.PairCollate(rows.ClipCollate(opened.codec.pad_id))
    pairs = answers.with_reference(opened.model, answers.PairRows(made, drawn), collate)
    batch = collate([pairs[0]])
    first = answers.dpo(answers.pair_sums(opened.model, batch), batch["reference"], 0.1)
    assert float(first) == pytest.approx(np.log(2), rel=1e-4)
    first.backward()
    with torch.no_grad():
        for parameter in opened.model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    assert float(answers.dpo(answers.pair_sums(opened.model, batch), batch["reference"], 0.1)) < float(first)


def test_a_run_ends_when_its_time_is_over(clips, tmp_path):
    config = recipe(clips, steps=500, most_minutes=0.5 / 60, scheduler="constant")
    folder = listening.train(config, tmp_path, say=lambda line: None)
    assert listening.source_of(str(folder)) is not None
    (last,) = loop.checkpoints(tmp_path)[-1:]
    assert 1 <= int(last.name.partition("-")[2]) < 500
    with pytest.raises(ConfigError, match="most_minutes"):
        recipe(clips, most_minutes=-1)


def test_a_stopped_run_goes_on_to_the_same_weights(clips, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    listening.train(recipe(clips, batch_rows=8, steps=4), whole, say=lambda line: None)
    config = recipe(clips, batch_rows=8, steps=4, checkpoint_every=2)

    class Stopped(Exception):
        pass

    step = trainers.ListenTrainer.training_step

    def dies(self, *args, **keys):
        if self.state.global_step == 3:
            raise Stopped
        return step(self, *args, **keys)

    trainers.ListenTrainer.training_step = dies
    try:
        with pytest.raises(Stopped):
            listening.train(config, parts, say=lambda line: None)
    finally:
        trainers.ListenTrainer.training_step = step
    assert loop.checkpoints(parts)
    listening.train(config, parts, say=lambda line: None)
    a, b = (listening.open_trained(folder / "model").model.state_dict() for folder in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_any_causal_model_with_adapters(kind, tiny, clips, tmp_path):
    config = recipe(clips, base=str(tiny(kind)), method="lora", lora=Lora(rank=4, alpha=4), context_tokens=1500)
    folder = listening.train(config, tmp_path / "a", say=lambda line: None)
    assert folder.name == "adapter"
    assert not any(path.stat().st_size > 3_000_000 for path in folder.iterdir() if path.suffix == ".safetensors")
    opened = listening.open_trained(folder)
    store = ClipStore(clips / "validation")
    features = torch.from_numpy(opened.tower(store[0].samples))[None]
    ids = torch.tensor([[*opened.prompt(features.shape[1]), *opened.codec.tokenize(store[0].text)]])
    assert not torch.allclose(opened.model(ids, features).logits[0, -1], opened.model(ids, 0 * features).logits[0, -1])
    on = replace(config, objective="grpo", base=str(tmp_path / "a"))
    assert listening.train(on, tmp_path / "b", say=lambda line: None).name == "adapter"


@pytest.mark.parametrize("name", [name for name in recipes.names("train") if name.startswith("listen")])
def test_shipped_recipes(name, clips):
    arguments = [str(recipes.find(name, "train")), "--set", f"listen.clips={clips}"]
    config = load_config(TrainConfig, arguments)
    assert config.listen.is_on
    assert config.objective in ("sft", "grpo", "ppo")


def test_what_cannot_be_is_said(clips, tmp_path, sft):
    with pytest.raises(ConfigError, match="clips"):
        TrainConfig(objective="ppo", base="shipped")
    with pytest.raises(ConfigError, match="accumulate"):
        recipe(clips, objective="ppo", base=str(sft), accumulate=2, preference=Preference(updates=2))
    with pytest.raises(ConfigError, match="began with"):
        listening.train(recipe(clips, steps=3), sft, say=lambda line: None)
    with pytest.raises(ModelError, match="listens"):
        listening.open_trained(tmp_path)
    other = Listen(clips=str(clips), stack=3)
    with pytest.raises(ConfigError, match="stack"):
        listening.train(recipe(clips, base=str(sft), listen=other), tmp_path / "a", say=print)
    for unheeded in ({"fsdp": True}, {"neftune_alpha": 5.0}, {"tasks": {"continue": 1.0}}, {"early_stopping": 2}):
        with pytest.raises(ConfigError, match=next(iter(unheeded))):
            recipe(clips, **unheeded)
    with pytest.raises(ConfigError, match="sft_weight"):
        TrainConfig(objective="grpo", base="shipped", preference=Preference(reward={"x": 1.0}, sft_weight=0.5))
