"""Audio language models of transformers used whole, and towers that are not our own: what they hear is in every
log-probability, in every gradient and in what is saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("peft", reason="training needs the extra [train]")

from cadenza import formats  # noqa: E402
from cadenza.base import recipes  # noqa: E402
from cadenza.base.config import load_config  # noqa: E402
from cadenza.base.errors import ConfigError, ModelError  # noqa: E402
from cadenza.corpus.clips import ClipRecipe, ClipStore, build  # noqa: E402
from cadenza.metrics.reward import Judgement  # noqa: E402
from cadenza.train import bases  # noqa: E402
from cadenza.train.listening import rows, towers, trainers, whole  # noqa: E402
from cadenza.train.listening import run as listening  # noqa: E402
from cadenza.train.listening.audio_lm import AudioLm  # noqa: E402
from cadenza.train.preferences import token_log_p  # noqa: E402
from cadenza.train.recipe import Listen, Lora, Preference, Rope, TrainConfig  # noqa: E402
from tests import tiny_audio_models, tiny_models  # noqa: E402

EXAMPLES = Path(__file__).parents[3] / "examples"
SECOND = towers.SAMPLE_RATE
QUESTION = "Which key is this in?"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    pieces = [(name, name, formats.read(EXAMPLES / name)) for name in ("waltz.mid", "chorale.mid")]
    recipe = ClipRecipe(seconds=3, bars=[1, 1], least_notes=3, stem_share=1.0)
    for split, n in (("train", 5), ("validation", 2)):
        build(pieces, n, split, folder / split, recipe)
    return folder


@pytest.fixture(scope="module")
def tiny_audio(tmp_path_factory):
    """Kind → folder of a tiny model of it, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_audio_models.save(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture
def paid(monkeypatch):
    """A reward that tells any two answers apart: babble is never music."""

    def judge(answer: str, truth: str) -> Judgement:
        return Judgement((1 + sum(map(ord, answer)) % 97) / 97, {}, {})

    monkeypatch.setattr(listening, "REWARDS", SimpleNamespace(load=lambda name: judge))


def recipe(clips: Path, base: Path, **keys) -> TrainConfig:
    options = {
        "listen": Listen(clips=str(clips), tower="whole", questions=0.5), "base": str(base), "method": "lora",
        "lora": Lora(rank=4, alpha=8), "context_tokens": 1200, "batch_rows": 2, "steps": 2, "log_every": 1,
        "evaluate_every": 0, "evaluation_rows": 1, "report_to": [], "learning_rate": 1e-2,
        "preference": Preference(group=2, max_tokens=6, prompts=2, beta=0.1),
    }  # fmt: skip
    return TrainConfig(**(options | keys))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * SECOND)) * 3000).astype(np.int16)


def log_p(opened, sound: np.ndarray, text: str = "X:1\nK:C\nCDEF") -> torch.Tensor:
    """log p of the text's tokens after the instruction and the sound."""
    opened.model.eval()
    features = torch.from_numpy(opened.tower(sound))[None]
    answer = opened.codec.tokenize(text)
    ids = torch.tensor([[*opened.prompt(features.shape[1]), *answer]])
    with torch.no_grad():
        logits = opened.model(ids, features).logits
    return token_log_p(logits, ids.masked_fill(ids >= logits.shape[-1], 0))[0, -len(answer) :]


# ── the model as it is ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", list(whole.KINDS))
def test_prompts_and_logits_are_those_of_the_processor(kind, tiny_audio):
    """To the id and to the bit, for clips of any length: with a rest, a whole window, several windows."""
    opened = listening.Opened.of_whole(whole.open_base(recipe(Path(), tiny_audio(kind))))
    model, processor = opened.model.eval(), opened.model.processor
    lengths = [SECOND, 32_037, 4 * SECOND - 100, 4 * SECOND]
    if kind != "qwen2_audio":
        lengths += [100_000, 8 * SECOND, 12 * SECOND]
    for n in lengths:
        sound = noise(n / SECOND, n)
        said = [{"type": "audio", "audio": sound.astype(np.float32) / 32768}, {"type": "text", "text": QUESTION}]
        given = processor.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=True, add_generation_prompt=True, return_dict=True,
            return_tensors="pt",
        )  # fmt: skip
        features = torch.from_numpy(opened.tower(sound))[None]
        ids = torch.tensor([opened.prompt(features.shape[1], QUESTION)])
        assert torch.equal(ids, given["input_ids"])
        assert int((ids == model.audio_id).sum()) == model.n_vectors(features.shape[1])
        with torch.no_grad():
            assert torch.equal(model(ids, features).logits, model.language(**given).logits)


@pytest.mark.parametrize("kind", ["qwen2_audio", "musicflamingo"])
def test_batches_change_nothing(kind, tiny_audio):
    opened = listening.Opened.of_whole(whole.open_base(recipe(Path(), tiny_audio(kind))))
    model = opened.model.eval()
    seconds = (1.3, 3.0, 0.0, 4.0) if kind == "qwen2_audio" else (1.3, 9.1, 0.0, 4.05)
    sounds = [torch.from_numpy(opened.tower(noise(s, at))) for at, s in enumerate(seconds)]
    texts = [torch.tensor([*opened.prompt(len(sound)), 50, 60, 70]) for sound in sounds]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    with torch.no_grad():
        together = model(ids, trainers.padded_features(sounds)).logits
        for row, (sound, text) in enumerate(zip(sounds, texts, strict=True)):
            alone = model(text[None], sound[None]).logits[0]
            assert torch.allclose(together[row, : len(text)], alone, atol=1e-4)


def test_answers_with_a_cache_are_those_without(tiny_audio):
    opened = listening.Opened.of_whole(whole.open_base(recipe(Path(), tiny_audio("qwen2_audio"))))
    model = opened.model.eval()
    features = torch.from_numpy(opened.tower(noise(1.0)))[None]
    given = np.array(opened.prompt(features.shape[1]))
    config = recipe(Path(), tiny_audio("qwen2_audio"))
    found = trainers.answers_to(model, [given], [features[0]], 2, config, opened.codec, 0.0, [1])[0][0]
    ids = torch.tensor([given.tolist()])
    for token in found.tolist():
        with torch.no_grad():
            logits = model(ids, features).logits[0, -1, : len(opened.codec)]
        logits[[model.audio_id, opened.codec.pad_id, opened.codec.bos_id]] = -torch.inf
        assert int(logits.argmax()) == token
        ids = torch.cat([ids, torch.tensor([[token]])], 1)


@pytest.mark.parametrize("kind", ["qwen2_audio", "musicflamingo"])
def test_clips_of_several_lengths_are_answered_together_as_alone(tiny_audio, kind):
    config = recipe(Path(), tiny_audio(kind))
    opened = listening.Opened.of_whole(whole.open_base(config))
    model = opened.model.eval()
    sounds = [torch.from_numpy(opened.tower(noise(seconds, at))) for at, seconds in enumerate((1.0, 2.5, 1.7))]
    asked = [np.array(opened.prompt(len(sound))) for sound in sounds]
    assert len({len(one) for one in asked}) == 3
    together = trainers.answers_to(model, asked, sounds, 1, config, opened.codec, 0.0, [1])
    for given, sound, found in zip(asked, sounds, together, strict=True):
        (alone,) = trainers.answers_to(model, [given], [sound], 1, config, opened.codec, 0.0, [1])
        assert found[0].tolist() == alone[0].tolist()


def test_placeholders_are_never_an_answer(tiny_audio):
    """However likely the model holds them: nothing could stand in their places."""
    opened = listening.Opened.of_whole(whole.open_base(recipe(Path(), tiny_audio("qwen2_audio"))))
    model = opened.model
    head = model.inner.lm_head
    with torch.no_grad():
        head.weight[model.audio_id] = 100 * head.weight[model.audio_id - 1]
    features = torch.from_numpy(opened.tower(noise(1.0)))
    given = np.array(opened.prompt(len(features)))
    config = recipe(Path(), tiny_audio("qwen2_audio"))
    (answers,) = trainers.answers_to(model, [given], [features], 8, config, opened.codec, 1.0, [1])
    assert model.audio_id not in np.concatenate(answers)


def test_an_answer_ends_as_the_template_ends_it(tiny_audio):
    processor = whole.open_processor(str(tiny_audio("qwen2_audio")))
    assert processor.tokenizer.eos_token == "<|im_end|>"
    assert transformers.AutoProcessor.from_pretrained(tiny_audio("qwen2_audio")).tokenizer.eos_token == "</s>"


def test_adapters_are_on_the_language_model_alone(tiny_audio):
    model = whole.open_base(recipe(Path(), tiny_audio("qwen2_audio")), with_value=True)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trained if "lora_" in name} == {
        name for name in dict(model.named_parameters()) if "lora_" in name
    }
    assert all("language_model" in name for name in trained if "lora_" in name)
    others = {name.rpartition("model.")[2] for name in trained if "lora_" not in name}
    parts = {"multi_modal_projector.linear.weight", "multi_modal_projector.linear.bias", "value.weight", "value.bias"}
    assert others == parts
    assert set(model.state_dict()) == trained
    model.train()
    assert not model.ears.training


def test_features_are_cached_as_they_are(tiny_audio, clips, tmp_path):
    tower = whole.LogMel(whole.open_processor(str(tiny_audio("qwen2_audio"))))
    store = ClipStore(clips / "train")
    heard = rows.Heard(store, tower, tmp_path)
    for number in range(len(store)):
        assert heard[number] == pytest.approx(tower(store[number].samples), abs=2e-3)
    assert tower.fingerprint() != towers.open_tower("deaf").fingerprint()
    assert (tower.width, tower.frames_per_second) == (tiny_audio_models.N_MELS, 100)


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def watched(monkeypatch):
    """Largest gradient of the projector at each batch, and the frozen tower's weights at the beginning and the end."""
    seen: dict = {"gradients": [], "towers": []}
    for kind in (trainers.ListenTrainer, trainers.RewardTrainer):
        step = kind.training_step

        def training_step(self, model, *args, step=step, **keys):
            if not seen["towers"]:
                seen["towers"].append({name: value.clone() for name, value in self.model.ears.state_dict().items()})
            loss = step(self, model, *args, **keys)
            seen["gradients"].append(max(float(p.grad.abs().max()) for p in self.model.projector.parameters()))
            seen["towers"][1:] = [self.model.ears.state_dict()]
            return loss

        monkeypatch.setattr(kind, "training_step", training_step)
    return seen


def holds(folder: Path, seen: dict, clips: Path) -> None:
    """What is true of every run's outcome."""
    assert seen["gradients"]
    assert min(seen["gradients"]) > 0
    first, last = seen["towers"]
    assert all(torch.equal(first[name], last[name]) for name in first)
    opened, again = listening.open_trained(folder), listening.open_trained(folder)
    sound, other = (ClipStore(clips / "train")[number].samples for number in (0, 1))
    assert torch.equal(log_p(opened, sound), log_p(again, sound))
    assert not torch.allclose(log_p(opened, sound), log_p(opened, other), atol=1e-3)
    assert not torch.allclose(log_p(opened, sound), log_p(opened, np.zeros_like(sound)), atol=1e-3)


@pytest.mark.parametrize("objective", ["sft", "ppo", "grpo"])
def test_qwen2_audio_learns(objective, tiny_audio, clips, tmp_path, paid, watched, monkeypatch):
    saved, save = [], listening.save

    def kept(config, opened, out):
        saved.append(opened)
        return save(config, opened, out)

    monkeypatch.setattr(listening, "save", kept)
    config = recipe(clips, tiny_audio("qwen2_audio"), objective=objective)
    folder = listening.train(config, tmp_path, say=lambda line: None)
    assert folder.name == "adapter"
    holds(folder, watched, clips)
    sound = ClipStore(clips / "train")[0].samples
    assert torch.allclose(log_p(saved[0], sound), log_p(listening.open_trained(folder), sound), atol=1e-5)
    begun = listening.Opened.of_whole(whole.open_base(config))
    assert not torch.allclose(log_p(saved[0], sound), log_p(begun, sound), atol=1e-3)
    assert all(path.stat().st_size < 400_000 for path in folder.glob("*.safetensors"))  # the base weighs more


@pytest.mark.parametrize("kind", ["musicflamingo", "audioflamingo3"])
def test_flamingos_learn(kind, tiny_audio, clips, tmp_path, watched):
    """With activations computed twice, as larger ones need it."""
    config = recipe(clips, tiny_audio(kind), gradient_checkpointing=True)
    holds(listening.train(config, tmp_path, say=lambda line: None), watched, clips)


def test_music_flamingo_learns_from_rewards(tiny_audio, clips, tmp_path, paid, watched):
    config = recipe(clips, tiny_audio("musicflamingo"), objective="ppo")
    holds(listening.train(config, tmp_path, say=lambda line: None), watched, clips)


@pytest.mark.parametrize("objective", ["dpo", "rejection"])
def test_answers_that_are_drawn_once(objective, tiny_audio, clips, tmp_path, paid, watched):
    config = recipe(clips, tiny_audio("qwen2_audio"), objective=objective, steps=1)
    holds(listening.train(config, tmp_path, say=lambda line: None), watched, clips)


def test_a_whole_model_in_full(tiny_audio, clips, tmp_path, watched, paid):
    config = recipe(clips, tiny_audio("qwen2_audio"), method="full", gradient_checkpointing=True)
    folder = listening.train(config, tmp_path, say=lambda line: None)
    assert folder.name == "model"
    holds(folder, watched, clips)
    theirs = transformers.Qwen2AudioForConditionalGeneration.from_pretrained(folder).state_dict()
    ours = listening.open_trained(folder).model.inner.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    on = recipe(clips, tmp_path, objective="grpo", preference=Preference(group=2, max_tokens=4, beta=0.0))
    assert listening.train(on, tmp_path / "grpo", say=lambda line: None).name == "adapter"
    listening.open_trained(tmp_path / "grpo" / "adapter")


def test_a_whole_model_in_four_bits(tiny_audio, clips, tmp_path, watched):
    """Only its language model: what hears stays as it is, and so does what is trained."""
    pytest.importorskip("bitsandbytes", reason="training needs the extra [train]")
    config = recipe(clips, tiny_audio("qwen2_audio"), method="qlora")
    folder = listening.train(config, tmp_path, say=lambda line: None)
    holds(folder, watched, clips)
    quantised = [n for n, m in listening.open_trained(folder).model.named_modules() if type(m).__name__ == "Linear4bit"]
    assert quantised
    assert all("language_model" in name for name in quantised)


def test_bfloat16_weights_and_what_is_trained_in_float32(tiny_audio, clips):
    opened = listening.Opened.of_whole(whole.open_base(recipe(clips, tiny_audio("qwen2_audio"), precision="bfloat16")))
    kinds = {p.requires_grad: set() for p in opened.model.parameters()}
    for parameter in opened.model.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}
    assert not torch.equal(log_p(opened, noise(1.0)), log_p(opened, noise(1.0, 1)))


def test_reference_and_reopening_of_runs_that_go_on(tiny_audio, clips, tmp_path, paid, monkeypatch):
    """GRPO from an adapter: the reference is that adapter, not the bare base; the outcome opens by its own folder."""
    first = recipe(clips, tiny_audio("qwen2_audio"))
    listening.train(first, tmp_path / "sft", say=lambda line: None)
    seen = []
    rollout = trainers.RewardTrainer.rollout

    def watched(self, model, inputs):
        found = rollout(self, model, inputs)
        seen.append(float((found.old - found.reference)[found.wanted].abs().max()))
        return found

    monkeypatch.setattr(trainers.RewardTrainer, "rollout", watched)
    second = replace(first, base=str(tmp_path / "sft"), objective="grpo", learning_rate=0.05)
    folder = listening.train(second, tmp_path / "grpo", say=lambda line: None)
    assert seen[0] < 1e-5  # before the first step the model is its own reference
    assert seen[1] > 1e-4
    opened = listening.open_trained(folder)
    sound = ClipStore(clips / "train")[0].samples
    assert not torch.allclose(log_p(opened, sound), log_p(listening.open_trained(tmp_path / "sft" / "adapter"), sound))
    with pytest.raises(ConfigError, match="tower of the base"):
        listening.train(replace(second, listen=Listen(clips=str(clips))), tmp_path / "x", say=lambda line: None)


def test_a_stopped_run_goes_on(tiny_audio, clips, tmp_path):
    config = recipe(clips, tiny_audio("qwen2_audio"), checkpoint_every=1)
    listening.train(config, tmp_path / "whole", say=lambda line: None)
    step = trainers.ListenTrainer.training_step

    def dies(self, *args, **keys):
        if self.state.global_step == 1:
            raise KeyError("stopped")
        return step(self, *args, **keys)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainers.ListenTrainer, "training_step", dies)
        with pytest.raises(KeyError):
            listening.train(config, tmp_path / "parts", say=lambda line: None)
    listening.train(config, tmp_path / "parts", say=lambda line: None)
    a, b = (
        dict(listening.open_trained(tmp_path / name / "adapter").model.named_parameters())
        for name in ("whole", "parts")
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


# ── the recipe ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_recipe_trains(tiny_audio, clips, tmp_path, watched):
    words = [str(recipes.find("listen-qwen2-audio-7b", "train"))]
    small = ("steps=1", "batch_rows=1", "accumulate=1", "report_to=[]", "log_every=1")
    for one in (f"base={tiny_audio('qwen2_audio')}", f"listen.clips={clips}", *small):
        words += ["--set", one]
    folder = listening.train(load_config(TrainConfig, words), tmp_path, say=lambda line: None)
    assert folder.name == "adapter"
    assert min(watched["gradients"]) > 0


def test_numbers_of_the_shipped_recipe():
    """Those that its comment reckons memory with, of the published shape without weights."""
    text = transformers.Qwen2Config(intermediate_size=11_008, vocab_size=156_032)
    with torch.device("meta"):
        model = transformers.Qwen2AudioForConditionalGeneration(transformers.Qwen2AudioConfig(text_config=text))
    linear = [m for m in model.model.language_model.modules() if isinstance(m, torch.nn.Linear)]

    def numbers(module) -> int:
        return sum(p.numel() for p in module.parameters())

    parts = (model, model.model.audio_tower, model.model.multi_modal_projector)
    assert [round(numbers(part) / 1e9, 3) for part in parts] == [8.397, 0.637, 0.005]
    assert len(linear) == 7 * 32
    assert round(16 * sum(m.in_features + m.out_features for m in linear) / 1e6, 1) == 40.0


# ── what cannot be ───────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_is_said(tiny_audio, tiny, clips, tmp_path):
    good = recipe(clips, tiny_audio("qwen2_audio"))
    for keys, match in (
        ({"listen": replace(good.listen, stack=2)}, "listen.stack"),
        ({"rope": Rope("linear", 2.0)}, "rope"),
        ({"neftune_alpha": 5.0}, "neftune_alpha"),
        ({"extend_vocabulary": True}, "extend_vocabulary"),
        ({"base": "scratch:tiny", "method": "full"}, "audio language model as base"),
        ({"lora": Lora(rank=4, targets=["conv1"])}, "conv1"),
    ):
        with pytest.raises(ConfigError, match=match):
            whole.open_base(replace(good, **keys))
    with pytest.raises(ModelError, match="qwen2_audio"):
        whole.open_base(replace(good, base=str(tiny("llama"))))
    with pytest.raises(ModelError, match="audio language model"):
        whole.open_base(replace(good, base=str(tmp_path)))
    opened = listening.Opened.of_whole(whole.open_base(good))
    with pytest.raises(ModelError, match="at most 4 seconds"):
        opened.tower(noise(4.1))
    features = torch.from_numpy(opened.tower(noise(1.0)))[None]
    ids = opened.prompt(features.shape[1])
    with pytest.raises(ModelError, match="sound for the placeholders"):
        opened.model(torch.tensor([ids]))
    ids.remove(opened.model.audio_id)
    with pytest.raises(ModelError, match=r"\[25\] placeholders, found \[24\]"):
        opened.model(torch.tensor([ids]), features)
    words = tiny_models.tokenizer()
    words.add_special_tokens({"additional_special_tokens": tiny_audio_models.SPECIAL["musicflamingo"]})
    extract = transformers.WhisperFeatureExtractor(feature_size=tiny_audio_models.N_MELS, chunk_length=4)
    transformers.MusicFlamingoProcessor(extract, words).save_pretrained(tmp_path / "mute")
    with pytest.raises(ModelError, match="chat template"):
        whole.open_processor(str(tmp_path / "mute"))


# ── towers ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=64, num_mel_bins=16, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, init_std=0.1, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    transformers.WhisperModel(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    return folder


def test_whisper_gives_50_frames_a_second(whisper, tmp_path):
    tower = towers.open_tower("whisper", str(whisper))
    assert (tower.width, tower.frames_per_second) == (32, 50)
    assert tower(noise(2.0)).shape == (100, 32)
    assert tower(noise(31.0)).shape == (1550, 32)
    assert tower(np.zeros(0, np.int16)).shape == (1, 32)
    assert tower.fingerprint() == towers.open_tower("whisper", str(whisper)).fingerprint()
    with pytest.raises(ConfigError, match="Whisper"):
        towers.open_tower("whisper")
    with pytest.raises(ModelError, match="Whisper"):
        towers.open_tower("whisper", str(tmp_path))


def test_an_audio_lm_hears_with_whisper(whisper, tiny):
    tower = towers.open_tower("whisper", str(whisper))
    codec = bases.open_codec(tiny("qwen2"))
    language = bases.pretrained(TrainConfig(base=str(tiny("qwen2"))))
    opened = listening.Opened(AudioLm(language, tower.width, 10), codec, tower)
    assert not torch.allclose(log_p(opened, noise(1.0)), log_p(opened, noise(1.0, 1)))
    assert not torch.allclose(log_p(opened, noise(1.0)), log_p(opened, np.zeros(SECOND, np.int16)))
    assert torch.equal(log_p(opened, noise(1.0)), log_p(opened, noise(1.0)))


def test_an_audio_lm_computes_activations_twice_and_goes_on(tiny, clips, tmp_path, paid):
    config = recipe(clips, tiny("qwen2"), listen=Listen(clips=str(clips), tower="deaf"), gradient_checkpointing=True)
    assert listening.train(config, tmp_path / "sft", say=lambda line: None).name == "adapter"
    on = replace(config, base=str(tmp_path / "sft"), objective="grpo")
    opened = listening.open_trained(listening.train(on, tmp_path / "grpo", say=lambda line: None))
    assert torch.isfinite(log_p(opened, noise(1.0))).all()
