"""Every shape that the engine takes, against transformers' own classes: biases, head norms, windows, stretched rotary
positions, tied heads; in NumPy, in the graph at float32 and at 8 bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cadenza.base.errors import ModelError
from cadenza.model.architecture import Architecture, load_folder
from cadenza.model.engine import Engine
from cadenza.model.graph import build
from cadenza.model.numpy_decoder import NumpyDecoder

V, ORIGINAL, FACTOR, LONG, N_PROMPT = 97, 64, 4.0, 200, 150
SIZES = {
    "vocab_size": V,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
}
YARN = {"rope_type": "yarn", "factor": FACTOR, "original_max_position_embeddings": ORIGINAL, "rope_theta": 10000.0}
LINEAR = {"rope_type": "linear", "factor": FACTOR, "rope_theta": 500.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": ORIGINAL, "rope_theta": 500.0,
}  # fmt: skip
WINDOW = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
CASES: dict[str, tuple[str, dict]] = {
    "llama": ("Llama", {}),
    "llama tied": ("Llama", {"tie_word_embeddings": True}),
    "llama biased": ("Llama", {"attention_bias": True, "head_dim": 32}),
    "llama linear": ("Llama", {"rope_parameters": LINEAR}),
    "llama yarn": ("Llama", {"rope_parameters": YARN}),
    "llama llama3": ("Llama", {"rope_parameters": LLAMA3}),
    "mistral": ("Mistral", {"sliding_window": 24}),
    "mistral yarn": ("Mistral", {"sliding_window": None, "rope_parameters": YARN | {"attention_factor": 1.5}}),
    "ministral": (
        "Ministral",
        {
            "sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 16,
            "rope_parameters": YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        },
    ),
    "qwen2": ("Qwen2", {}),
    "qwen2 window": ("Qwen2", {**WINDOW, "tie_word_embeddings": True}),
    "qwen2 yarn": ("Qwen2", {"rope_parameters": YARN | {"mscale": 1.2, "mscale_all_dim": 0.8}}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3 window": ("Qwen3", {**WINDOW, "head_dim": 32, "attention_bias": True}),
    "qwen3 linear": ("Qwen3", {"head_dim": 16, "rope_parameters": LINEAR, "tie_word_embeddings": True}),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """(folder, ids (2, LONG), transformers' logits for them)."""
    torch = pytest.importorskip("torch", reason="torch is not installed: no transformers to compare with")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed: nothing to export with")
    name, options = CASES[request.param]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES, **options)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():  # norms of one and biases of zero would hide a mistake
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    ids = np.random.default_rng(1).integers(0, V, (2, LONG))
    with torch.no_grad():
        return folder, ids, model(torch.tensor(ids)).logits.numpy()


def run(decoder, ids):
    found = [decoder.prefill(ids[:, :N_PROMPT]).copy()]
    found += [decoder.step(ids[:, i]).copy() for i in range(N_PROMPT, ids.shape[1])]
    return np.stack(found, axis=1)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def test_numpy_and_graph_equal_transformers(case):
    folder, ids, expected = case
    architecture, weights = load_folder(folder)
    for decoder in (
        NumpyDecoder(architecture, weights, batch=2),
        Engine(build(architecture, weights, "float32"), batch=2),
    ):
        np.testing.assert_allclose(run(decoder, ids), expected[:, N_PROMPT - 1 :], atol=5e-5, rtol=0)


def test_eight_bits_stay_close(case):
    folder, ids, logits = case
    exact = log_softmax(logits[:, N_PROMPT - 1 :])
    found = log_softmax(run(Engine(build(*load_folder(folder), "int8"), batch=2), ids))
    divergence = (np.exp(exact) * (exact - found)).sum(axis=-1).mean()
    print(f"KL {divergence:.2e}")
    assert 0 < divergence < 1e-3


def test_what_an_architecture_says_comes_back():
    config = SIZES | {"model_type": "qwen3", "head_dim": 32, "rope_parameters": YARN, **WINDOW}
    architecture = Architecture.from_config(config)
    assert architecture.windows == (None, 24)
    assert Architecture.from_dict(json.loads(json.dumps(architecture.as_dict()))) == architecture
    plain = Architecture.from_config(SIZES | {"model_type": "llama"})
    assert not {"rope", "head_norms", "attention_bias"} & set(plain.as_dict())  # graphs of before stay as they were
    assert Architecture.from_dict(plain.as_dict()) == plain


def test_older_spellings_mean_the_same():
    old = SIZES | {"model_type": "llama", "rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 4.0}}
    new = SIZES | {"model_type": "llama", "rope_parameters": LINEAR}
    assert Architecture.from_config(old) == Architecture.from_config(new)


def test_silent_configurations_mean_what_transformers_takes():
    silent = SIZES | {"num_attention_heads": 64, "model_type": "qwen3"}
    del silent["num_key_value_heads"]
    found = Architecture.from_config(silent)
    assert (found.head_width, found.n_key_value_heads, found.windows) == (128, 32, (None, None))
    assert Architecture.from_config(SIZES | {"model_type": "mistral"}).windows == (4096, 4096)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic.*train with yarn"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope_type"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor above 0"),
        ({"rope_parameters": {"rope_type": "linear", "factor": float("nan")}}, "factor above 0"),
        ({"rope_parameters": YARN | {"attention_factor": 0}}, "attention_factor above 0"),
        ({"rope_parameters": YARN | {"sharpness": 1}}, "sharpness"),
        ({"rope_parameters": LLAMA3 | {"high_freq_factor": 1.0}}, "high_freq_factor above"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "whole heads"),
        ({"rope_parameters": [1]}, "dictionary"),
        ({"model_type": "mistral", "attention_bias": True}, "attention_bias"),
        ({"model_type": "qwen2", "use_mrope": True}, "use_mrope"),
        ({"model_type": "qwen2", "layer_types": ["sliding_attention"] * 2}, "sliding_window where"),
        ({"quantization_config": {}}, "quantization_config"),
    ],
)
def test_what_would_change_the_arithmetic_is_refused(change: dict, what: str):
    with pytest.raises(ModelError, match=what):
        Architecture.from_config(SIZES | {"model_type": "llama"} | change)


def test_the_shipped_graph_still_opens():
    from cadenza.infer.model import shipped_folder

    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert Engine(Path(shipped_folder()) / "model.int8.onnx").architecture == load_folder(shipped_folder())[0]
