"""What training starts from: 4-bit weights with right gradients, new tokens, adapters, longer contexts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("peft", reason="adapters need the extra [train]")
pytest.importorskip("bitsandbytes", reason="4-bit weights need the extra [train]")

from cadenza.base.errors import CadenzaError, ConfigError, ModelError  # noqa: E402
from cadenza.corpus.excerpts import MODEL_NOTATION  # noqa: E402
from cadenza.model.hub_vocabulary import HubVocabulary  # noqa: E402
from cadenza.train import bases  # noqa: E402
from cadenza.train.recipe import Lora, Rope, Scratch, TrainConfig  # noqa: E402
from tests import tiny_models  # noqa: E402

FIELDS = MODEL_NOTATION.vocabulary()


def recipe(base: Path, **keys) -> TrainConfig:
    return TrainConfig(base=str(base), **{"method": "qlora", "lora": Lora(rank=4, alpha=8), **keys})


def gradients(model, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    model.train()
    model.zero_grad()
    logits = model(input_ids=ids, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_gradients_of_4_bit_models_are_those_of_their_weights(tiny, kind):
    """Before and after an evaluation pass: bitsandbytes once repacked the weights in it and answered wrongly after."""
    config = recipe(tiny(kind))
    model = bases.open_base(config, FIELDS).model
    assert bases.repair_nf4(model) == 2 * 7
    layers = [m for m in model.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    assert [m.support_avx512bf16_for_cpu for m in layers] == [False] * 14
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at first: nothing would reach A
            torch.nn.init.normal_(parameter, std=0.1)
    plain = bases.pretrained(config).dequantize()
    reference = bases.adapt(plain, replace(config, method="lora"), None, 0)
    state = {k: v for k, v in model.state_dict().items() if "lora_" in k}
    reference.load_state_dict(state, strict=False)
    ids = torch.randint(0, 600, (2, 40), generator=torch.Generator().manual_seed(2))
    expected = gradients(reference, ids)
    assert expected

    def compare() -> None:
        found = gradients(model, ids)
        assert set(found) == set(expected)
        for name, wanted in expected.items():
            assert (found[name] - wanted).norm() <= 1e-3 * wanted.norm(), name

    compare()
    model.eval()
    with torch.no_grad():
        model(input_ids=ids[:1, :7], use_cache=False)
        model(input_ids=ids[:1, :1], use_cache=False)
    compare()


def test_new_tokens_start_as_the_mean_of_their_pieces(tiny):
    config = recipe(tiny("llama"), method="lora", extend_vocabulary=True)
    plain = transformers.AutoModelForCausalLM.from_pretrained(config.base)
    words = HubVocabulary.load(config.base)
    base = bases.open_base(config, FIELDS)
    codec = base.codec
    assert isinstance(codec, HubVocabulary)
    table = base.model.get_input_embeddings()
    rows = table(torch.arange(len(codec))).detach()
    old = plain.get_input_embeddings().weight
    assert torch.equal(rows[: len(old)], old)
    for field in ("p60", ":d24", "|"):
        expected = old[torch.tensor(words.pieces(field))].mean(0)
        assert torch.allclose(rows[codec.id_of(field)], expected, atol=1e-6)
    trained = [name for name, p in base.model.named_parameters() if p.requires_grad]
    assert any("trainable_tokens" in name for name in trained)
    assert all("lora_" in name or "trainable_tokens" in name for name in trained)
    text = MODEL_NOTATION.encode(MODEL_NOTATION.decode("q24 w100 m4/4 i0:g30\n| i0 p60:v80:d24:t24 p62:t24 p64:t48"))
    assert codec.detokenize(codec.tokenize(text)) == text
    assert len(codec.tokenize(text)) * 2 < len(words.tokenize(text))


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
def test_longer_contexts_keep_the_bases_theta(tiny, kind):
    config = recipe(tiny("llama"), method="lora", rope=Rope(kind, 8.0))
    found = bases.open_base(config, FIELDS).model.config
    plain = transformers.AutoConfig.from_pretrained(config.base)
    assert found.rope_parameters["rope_type"] == kind
    assert found.rope_parameters["rope_theta"] == plain.rope_parameters["rope_theta"]
    assert found.rope_parameters["factor"] == 8.0
    assert found.max_position_embeddings == plain.max_position_embeddings * (1 if kind == "dynamic" else 8)


def test_what_cannot_be_is_said(tiny, tmp_path):
    with pytest.raises(ModelError, match=r"causal language model|tokenizer"):
        bases.open_base(TrainConfig(base=str(tmp_path / "nothing"), method="lora"), FIELDS)
    with pytest.raises(ConfigError, match="full for a model from scratch"):
        TrainConfig(base="scratch:tiny", method="lora")
    with pytest.raises(ConfigError, match="Did you mean 'small'"):
        TrainConfig(base="scratch:smal")
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        TrainConfig(scheduler="cosin")
    with pytest.raises(ConfigError, match="factor above 1"):
        Rope("yarn", 1.0)
    with pytest.raises(CadenzaError, match="muon with method full"):
        TrainConfig(base=str(tiny("llama")), method="lora", optimiser="muon")


def test_what_is_trained_keeps_a_cache_where_it_is_sampled(tmp_path):
    """transformers' generate reads the whole context at every token where the saved settings say use_cache is off."""
    from transformers import GenerationConfig

    bases.scratch_model(Scratch(width=32, n_layers=2, n_heads=2), 64, 128, 0).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).use_cache
