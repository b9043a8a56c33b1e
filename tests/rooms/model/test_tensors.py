"""safetensors and configurations: round trips, agreement with the reference library, and hostile bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_safetensors, write_safetensors
from cadenza.model.architecture import Architecture, checked_weights, load_folder

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, dtype=np.int64),
    "c": np.array([True, False]),
    "d": np.zeros((0, 4), np.float16),
    "e": np.arange(3, dtype=np.uint8),
}


@pytest.fixture(scope="session")
def config(tiny):
    """The tiny model's configuration."""
    return json.loads((tiny / "config.json").read_text())


def file_of(header, body=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_round_trip(tmp_path):
    write_safetensors(tmp_path / "x", TENSORS)
    found = read_safetensors(tmp_path / "x")
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.writeable


def test_the_reference_library_agrees_both_ways(tmp_path):
    reference = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    write_safetensors(tmp_path / "ours", TENSORS)
    theirs = reference.load_file(tmp_path / "ours")
    reference.save_file(TENSORS, tmp_path / "theirs")
    ours = read_safetensors(tmp_path / "theirs")
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(theirs[name], array)
        np.testing.assert_array_equal(ours[name], array)


def test_bfloat16_is_widened(tmp_path):
    exact = np.array([1.0, -2.5, 3.0e38, 0.0078125], np.float32)
    halves = (np.array([1.0, -2.5, 2.9906e38, 0.0078125], np.float32).view(np.uint32) >> 16).astype("<u2")
    (tmp_path / "x").write_bytes(file_of({"a": entry("BF16", (4,))}, halves.tobytes()))
    np.testing.assert_allclose(read_safetensors(tmp_path / "x")["a"], exact, rtol=2**-7)
    assert read_safetensors(tmp_path / "x")["a"].dtype == np.float32


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "0 bytes"),
        (file_of({}, size=1 << 62), "cut short"),
        (file_of(b"{", b""), "JSON"),
        (file_of(b"\xff\xff"), "JSON"),
        (file_of(b"[" * 100_000), "JSON"),
        (file_of([]), "JSON object"),
        (file_of(b'{"a": 1, "a": 2}'), "twice"),
        (file_of({"a": 3}), "dtype, shape"),
        (file_of({"a": entry() | {"more": 1}}, bytes(8)), "dtype, shape"),
        (file_of({"a": entry("F128")}, bytes(8)), "a dtype of"),
        (file_of({"a": entry(["F32"])}, bytes(8)), "a dtype of"),
        (file_of({"a": entry(shape=(-2,))}, bytes(8)), "sizes"),
        (file_of({"a": entry(shape=(True, 2))}, bytes(8)), "sizes"),
        (file_of({"a": entry(shape=(1,) * 9)}, bytes(8)), "sizes"),
        (file_of({"a": entry(shape=(1 << 39, 1 << 39))}, bytes(8)), "bytes for F32"),
        (file_of({"a": entry(shape=(0, 1 << 50), offsets=(0, 0))}), "sizes"),
        (file_of({"a": entry(offsets=(0, 16))}, bytes(8)), "byte range"),
        (file_of({"a": entry(offsets=(8, 0))}, bytes(8)), "byte range"),
        (file_of({"a": entry(offsets=(0, 8, 8))}, bytes(8)), "byte range"),
        (file_of({"a": entry(offsets=(4, 12))}, bytes(12)), "gap or overlap"),
        (file_of({"a": entry(), "b": entry()}, bytes(8)), "gap or overlap"),
        (file_of({"a": entry()}, bytes(9)), "covering 9 bytes"),
    ],
)
def test_lying_headers_are_refused(tmp_path, data, what):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ModelError, match=what):
        read_safetensors(tmp_path / "x")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 10_000))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_give_tensors_or_a_model_error(tmp_path, changes, cut):
    write_safetensors(tmp_path / "x", TENSORS)
    data = bytearray((tmp_path / "x").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (tmp_path / "x").write_bytes(data[: max(cut, 1)])
    try:
        found = read_safetensors(tmp_path / "x")
    except ModelError:
        return
    assert sum(array.nbytes for array in found.values()) <= 2 * len(data)


def test_a_dtype_without_a_name_is_refused(tmp_path):
    with pytest.raises(ModelError, match="complex"):
        write_safetensors(tmp_path / "x", {"a": np.zeros(2, complex)})


# --- configurations


def test_a_configuration_gives_the_architecture_and_back(config):
    found = Architecture.from_config(config)
    assert found.windows == (32, None, 32)
    assert (found.n_layers, found.n_heads, found.n_key_value_heads, found.head_width) == (3, 4, 2, 16)
    assert Architecture.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_windows_by_model_type(config):
    plain = {key: value for key, value in config.items() if key != "layer_types"}
    assert Architecture.from_config(plain | {"model_type": "mistral"}).windows == (32,) * 3
    assert Architecture.from_config(plain | {"model_type": "llama"}).windows == (None,) * 3
    assert Architecture.from_config(plain | {"sliding_window": None}).windows == (None,) * 3


def test_our_reading_of_a_configuration_is_transformers_own(tmp_path, config):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = transformers.MinistralForCausalLM(transformers.MinistralConfig(**config))
    model.save_pretrained(tmp_path)
    architecture, weights = load_folder(tmp_path)
    assert architecture == Architecture.from_config(config)
    assert {name: array.shape for name, array in weights.items()} == architecture.tensor_shapes()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_type": "gpt2"}, "model_type"),
        ({"slding_window": 3}, "Did you mean 'sliding_window'"),
        ({"trust_remote_code": True}, "known keys"),
        ({"auto_map": {}}, "known keys"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "divide"),
        ({"head_dim": 15}, "even"),
        ({"layer_types": ["full_attention"]}, "3 layers"),
        ({"layer_types": ["full_attention", "x", "full_attention"]}, "layer type"),
        ({"layer_types": [["full_attention"]] * 3}, "layer type"),
        ({"sliding_window": None}, "sliding_window"),
        ({"sliding_window": -1}, "sliding_window"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}, "dynamic"),
        ({"rope_parameters": {"rope_theta": 0}}, "rope_theta"),
        ({"rope_scaling": {"type": "linear"}}, "factor above 0"),
    ],
)
def test_configurations_that_we_cannot_honour_are_refused(change, what, config):
    with pytest.raises(ModelError, match=what):
        Architecture.from_config(config | change)


def test_weights_must_be_those_of_the_architecture(config, tiny):
    architecture = Architecture.from_config(config)
    good = load_folder(tiny)[1]
    name = "model.layers.1.mlp.up_proj.weight"
    checked_weights(architecture, good | {"lm_head.weight": good["model.embed_tokens.weight"]})
    for bad, what in (
        ({key: value for key, value in good.items() if key != name}, "found none"),
        (good | {"model.layers.1.mlp.up_proj.bias": good[name]}, "only the architecture's"),
        (good | {name: good[name].T}, "shape"),
        (good | {name: good[name].astype(np.int32)}, "floating point"),
        (good | {name: good[name] * np.float32(np.nan)}, "diverged"),
    ):
        with pytest.raises(ModelError, match=what):
            checked_weights(architecture, bad)


def test_a_folder_without_its_files_says_which(tmp_path, config):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_folder(tmp_path)
