"""Pretrained models of every kind compose: text vocabularies under the grammar, fields appended, adapters, few bits.

The models are tiny and random, saved as transformers saves them: what is sound in their music, the grammar made so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="tokenizers is not installed: no text vocabularies")
torch = pytest.importorskip("torch", reason="torch is not installed: no pretrained models to make")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from cadenza.base.errors import ConfigError, ModelError  # noqa: E402
from cadenza.corpus import prompts  # noqa: E402
from cadenza.corpus.excerpts import MODEL_NOTATION  # noqa: E402
from cadenza.infer import write  # noqa: E402
from cadenza.infer.generate import continue_score  # noqa: E402
from cadenza.infer.model import PLAIN_NOTATION, load_model  # noqa: E402
from cadenza.infer.prompt import read_seed  # noqa: E402
from cadenza.infer.sample import Sampling  # noqa: E402
from cadenza.model.hub_decoder import HubDecoder  # noqa: E402
from cadenza.model.hub_vocabulary import HubVocabulary  # noqa: E402
from cadenza.model.numpy_decoder import NumpyDecoder  # noqa: E402
from cadenza.notation import NOTATIONS  # noqa: E402
from cadenza.notation.simplified import SimplifiedMidi  # noqa: E402
from tests.rooms.infer.seeds import all_seeds  # noqa: E402
from tests.rooms.infer.test_generate import checked  # noqa: E402
from tests.rooms.model import tokenizers_made  # noqa: E402

SEEDS = all_seeds()
SIZES = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 4096, "initializer_range": 0.2,
}  # fmt: skip
KINDS = {
    "Llama": ("bytes", {}),
    "Mistral": ("metaspace", {"sliding_window": 64}),
    "Qwen3": ("bytes", {"head_dim": 32}),
    "GPT2": ("old metaspace", {}),  # an architecture that the engine does not take
}


def write_pretrained(folder: Path, kind: str, n_more: int = 0, **options) -> Path:
    tokens, own = KINDS[kind]
    tokenizers_made.save(folder, tokens)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 4096} if kind == "GPT2" else SIZES
    vocabulary = HubVocabulary.load(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        **{**sizes, **own, **options}, vocab_size=len(vocabulary) + n_more,
        bos_token_id=vocabulary.bos_id, eos_token_id=vocabulary.eos_id,
    )  # fmt: skip
    name = f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    getattr(transformers, name)(config).save_pretrained(folder)
    return folder


def write_notation(folder: Path, notation: SimplifiedMidi, **more) -> None:
    saved = {"name": notation.name, "options": notation.options(), "context_tokens": 1024, **more}
    (folder / "notation.json").write_text(json.dumps(saved))


def extend(folder: Path, notation: SimplifiedMidi) -> HubVocabulary:
    """The folder's vocabulary with the notation's fields behind a gap, and the model's embeddings grown to it."""
    narrow = HubVocabulary.load(folder)
    wide = HubVocabulary(narrow.tokenizer, notation.vocabulary(), len(narrow) + 5, notation.joint)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(wide), mean_resizing=False)
    model.save_pretrained(folder)
    wide.save(folder)
    return wide


@pytest.fixture(autouse=True)
def short_bars(monkeypatch):
    """A random model's bars hardly ever end of themselves."""
    monkeypatch.setattr(write, "MAX_BAR_FIELDS", 30)


@pytest.fixture(scope="module", params=KINDS)
def pretrained(request, tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("pretrained"), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_pretrained(tmp_path_factory.mktemp("llama"), "Llama")


def test_a_pretrained_model_as_it_is_composes_under_the_grammar(pretrained, tmp_path):
    model = load_model(pretrained)
    assert model.notation == PLAIN_NOTATION
    assert isinstance(model.decoder, HubDecoder) == (
        json.loads((pretrained / "config.json").read_text())["model_type"] == "gpt2"
    )
    for name in ("band", "7/8"):
        take = checked(SEEDS[name], model, tmp_path, bars=2, random_seed=1)
        assert take.n_notes
    greedy = Sampling(temperature=0)
    takes = [checked(SEEDS["guitar"], model, tmp_path, bars=2, sampling=greedy, random_seed=n) for n in (1, 2)]
    assert takes[0].score == takes[1].score


@pytest.mark.parametrize(
    "notation", [MODEL_NOTATION, SimplifiedMidi(bars=True), SimplifiedMidi(bars=True, compact=True, bend="none")]
)
def test_the_notation_is_the_folders_own(notation, llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    write_notation(folder, notation)
    model = load_model(folder)
    assert model.notation == notation
    assert not model.has_fields
    for name in ("guitar", "piano 3/4", "one note long ago"):
        checked(SEEDS[name], model, tmp_path, bars=3, random_seed=2)


@pytest.mark.parametrize("notation", [MODEL_NOTATION, PLAIN_NOTATION, SimplifiedMidi(bars=True, resolution="grid:12")])
def test_appended_fields_are_the_only_tokens_drawn(notation, llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    vocabulary = extend(folder, notation)
    write_notation(folder, notation)
    model = load_model(folder)
    assert model.has_fields
    assert isinstance(model.decoder, NumpyDecoder)
    pushed = []
    step = model.decoder.step
    model.decoder.step = lambda ids: pushed.extend(np.asarray(ids).tolist()) or step(ids)
    for name in ("band", "guitar"):
        checked(SEEDS[name], model, tmp_path, bars=3, random_seed=3)
    assert min(pushed) >= vocabulary.first_field


def test_an_exported_graph_serves_both_vocabularies(llama, tmp_path):
    pytest.importorskip("onnx", reason="exporting a graph needs the package onnx")
    from cadenza.model.graph import export

    plain = shutil.copytree(llama, tmp_path / "plain")
    wide = shutil.copytree(llama, tmp_path / "wide")
    extend(wide, MODEL_NOTATION)
    for folder in (plain, wide):
        write_notation(folder, MODEL_NOTATION)
        export(folder, "int8")
        model = load_model(folder)
        assert type(model.decoder).__name__ == "Engine"
        checked(SEEDS["band"], model, tmp_path, random_seed=2)


def test_a_folder_with_a_graph_composes_without_torch(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "wide")
    extend(folder, MODEL_NOTATION)
    write_notation(folder, MODEL_NOTATION)
    code = (
        "import sys; from cadenza.infer.model import load_model; from cadenza.infer.generate import continue_score\n"
        "from cadenza.score.model import Note, Score, Track\n"
        f"continue_score(Score((Track.of([Note(0, 480, 60)]),)), load_model({str(folder)!r}), bars=1)\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- adapters and few bits


def write_adapter(base: Path, folder: Path, notation: SimplifiedMidi | None = None) -> Path:
    """An adapter that changes what the base says; with a notation: its fields as new tokens, trained beside it."""
    peft = pytest.importorskip("peft", reason="peft is not installed: no adapters")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    vocabulary = HubVocabulary.load(base)
    rows = None
    if notation is not None:
        vocabulary = HubVocabulary(vocabulary.tokenizer, notation.vocabulary(), len(vocabulary) + 3)
        model.resize_token_embeddings(len(vocabulary), mean_resizing=False)
        new = list(range(vocabulary.first_field, len(vocabulary)))
        rows = {"embed_tokens": new, "lm_head": new}
    torch.manual_seed(1)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", trainable_token_indices=rows)
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    vocabulary.save(folder)
    if notation is not None:
        write_notation(folder, notation)
    (folder / "base.json").write_text(json.dumps({"base": str(base)}))
    return folder


@pytest.mark.parametrize(
    ("kind", "quantize"), [("Llama", "nf4"), ("Mistral", "nf4"), ("Qwen3", "nf4"), ("Mistral", "int8"), ("Qwen3", "")]
)
def test_adapters_and_few_bits_compose(kind, quantize, tmp_path):
    if quantize:
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: no quantised weights")
    base = write_pretrained(tmp_path / "base", kind)
    adapter = write_adapter(base, tmp_path / "adapter")
    model = load_model(base, adapter=adapter, quantize=quantize)
    assert isinstance(model.decoder, HubDecoder)
    if quantize:
        names = {type(module).__name__ for module in model.decoder._model.modules()}
        assert {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantize] in names
    take = checked(SEEDS["guitar"], model, tmp_path, bars=1, random_seed=1)
    assert take.n_notes
    ids = model.vocabulary.tokenize("q24 w120 m4/4 i0:g24\n| i0 p60:v72:d12:t24")
    alone = load_model(base, quantize=quantize).decoder.score(ids)
    assert np.abs(model.decoder.score(ids) - alone).max() > 0.01  # the adapter is really there


def test_an_adapter_brings_its_fields_notation_and_base(llama, tmp_path):
    adapter = write_adapter(llama, tmp_path / "adapter", MODEL_NOTATION)
    model = load_model(adapter=adapter)
    assert model.has_fields
    assert model.notation == MODEL_NOTATION
    assert model.folder == llama
    checked(SEEDS["band"], model, tmp_path, bars=2, random_seed=1)


# --- the decoder


@pytest.mark.parametrize("kind", ["Mistral", "Qwen3"])
def test_transformers_decoder_equals_numpy(kind, tmp_path):
    folder = write_pretrained(tmp_path, kind)
    ids = np.random.default_rng(0).integers(0, 300, (3, 330))  # more than a chunk, and than Mistral's window
    ours = NumpyDecoder.open(folder, batch=3)
    theirs = HubDecoder(transformers.AutoModelForCausalLM.from_pretrained(folder), batch=3)

    def run(decoder, rows):
        found = [decoder.prefill(ids[:, :300]).copy()]
        found += [decoder.step(ids[:, i]).copy() for i in range(300, 310)]
        decoder.reorder(rows)
        found += [decoder.step(ids[:, i]).copy() for i in range(310, 330)]
        shared = decoder.prefill(ids[0]).copy()
        found += [shared, decoder.step(ids[:, 5]).copy()]
        return np.stack(found)

    np.testing.assert_allclose(run(theirs, [2, 0, 2]), run(ours, [2, 0, 2]), atol=5e-4, rtol=0)
    np.testing.assert_allclose(theirs.score(ids[0]), ours.score(ids[0]), atol=5e-4, rtol=0)
    assert theirs.length == 0


# --- the prompt


def test_the_words_of_the_training_stand_before_the_music(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    words = prompts.template(PLAIN_NOTATION) | {"demand": "Let it be slow."}
    write_notation(folder, PLAIN_NOTATION, style="instruct", prompts=words)
    model = load_model(folder)
    told = read_seed(SEEDS["guitar"], model)
    assert told.words.startswith("You are a guitarist and composer.\n")
    assert "Let it be slow.\nYour task is to complete the generation of:\n" in told.words
    assert PLAIN_NOTATION.decode(told.header + "".join(told.bars).lstrip()).n_notes
    take = continue_score(SEEDS["guitar"], model, bars=1)
    assert take.n_notes


# --- what is refused


def test_bar_words_of_real_time_are_refused(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    write_notation(folder, SimplifiedMidi(bars=True, resolution="flat:96"))
    with pytest.raises(ModelError, match="bar words"):
        load_model(folder)


def test_an_unknown_notation_is_refused(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    (folder / "notation.json").write_text(json.dumps({"name": "kern", "options": {}, "context_tokens": 99}))
    with pytest.raises(ModelError, match="a notation with its options"):
        load_model(folder)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("name", ["dadagp", "abc"])
def test_other_notations_go_on_in_text_and_in_fields(name, extended, llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    notation = NOTATIONS.load(name)()
    write_notation(folder, notation)
    if extended:
        extend(folder, notation)
    model = load_model(folder)
    assert model.has_fields == extended
    checked(SEEDS["guitar"], model, tmp_path, bars=1, random_seed=1)


def test_what_is_missing_is_said(llama, tmp_path):
    with pytest.raises(ModelError, match="a model folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(ModelError, match="adapter's folder"):
        load_model(llama, adapter=tmp_path / "nothing")
    with pytest.raises(ConfigError, match="nf4 or int8"):
        load_model(llama, quantize="int3")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="adapter"):
        load_model(llama, adapter=tmp_path / "empty")
    folder = shutil.copytree(llama, tmp_path / "model")
    HubVocabulary(HubVocabulary.load(folder).tokenizer, MODEL_NOTATION.vocabulary()).save(folder)
    with pytest.raises(ModelError, match="tokens"):  # fields without the rows for them
        load_model(folder)


def test_the_command_takes_model_adapter_and_bits(llama, tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: no quantised weights")
    from typer.testing import CliRunner

    from cadenza import formats
    from cadenza.app.cli.main import app

    adapter = write_adapter(llama, tmp_path / "adapter")
    formats.write(SEEDS["guitar"], tmp_path / "seed.mid")
    words = ["compose", str(tmp_path / "seed.mid"), "-o", str(tmp_path / "out.mid"), "--bars", "1"]
    done = CliRunner().invoke(
        app, [*words, "--model", str(llama), "--adapter", str(adapter), "--quantize", "nf4"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert formats.read(tmp_path / "out.mid").n_notes > SEEDS["guitar"].n_notes
