"""The engine against transformers, and against the NumPy decoder, which needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.model.architecture import load_folder
from cadenza.model.decoder import CHUNK, open_decoder
from cadenza.model.engine import WINDOW_SLACK, Engine
from cadenza.model.graph import BLOCK, PRECISIONS, build, export, quantize_blocks
from cadenza.model.numpy_decoder import NumpyDecoder

WINDOW = 32  # the tiny model's
STEPS = 310  # passes the window's wrap-around (window + slack) several times
PROMPTS = [1, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + WINDOW_SLACK, WINDOW + WINDOW_SLACK + 1, 3 * CHUNK + 7]

pytest.importorskip("onnx", reason="onnx is not installed: nothing to export with")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture(scope="module")
def graphs(tiny, middle):
    """(model, precision) → bytes."""
    return {
        (name, precision): build(*load_folder(folder), precision)
        for name, folder in (("tiny", tiny), ("middle", middle))
        for precision in PRECISIONS
    }


def text(seed, *shape, vocabulary=97):
    return np.random.default_rng(seed).integers(0, vocabulary, shape)


def run(decoder, ids, n_prompt):
    """Logits after the prompt and after each further token of ids (B, T), stacked to (B, T − n_prompt + 1, V)."""
    found = [decoder.prefill(ids[:, :n_prompt]).copy()]
    found += [decoder.step(ids[:, i]).copy() for i in range(n_prompt, ids.shape[1])]
    return np.stack(found, axis=1)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


# --- against transformers


@pytest.fixture(scope="module")
def reference(tiny, middle):
    """name → transformers' model of the same folder."""
    torch = pytest.importorskip("torch", reason="torch is not installed: no transformers to compare with")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.set_num_threads(1)
    load = transformers.MinistralForCausalLM.from_pretrained
    return {"tiny": load(tiny).eval(), "middle": load(middle).eval()}


def reference_logits(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids)).logits.numpy()


@pytest.mark.parametrize("n_prompt", PROMPTS)
def test_float32_equals_transformers_for_any_prompt_length_and_past_the_wrap(n_prompt, graphs, tiny, reference):
    ids = text(n_prompt, 2, n_prompt + STEPS)
    expected = reference_logits(reference["tiny"], ids)[:, n_prompt - 1 :]
    for decoder in (Engine(graphs["tiny", "float32"], batch=2), NumpyDecoder.open(tiny, batch=2)):
        np.testing.assert_allclose(run(decoder, ids, n_prompt), expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", ["tiny", "middle"])
def test_float32_takes_every_greedy_choice_that_transformers_takes(name, graphs, reference):
    import torch

    model = reference[name]
    n_vocabulary = model.config.vocab_size
    prompt = text(5, 90, vocabulary=n_vocabulary)
    # Without a mask of its own, transformers would take the prompt's zeros for padding.
    generated = model.generate(
        torch.tensor(prompt[None]),
        attention_mask=torch.ones(1, 90, dtype=torch.long),
        max_new_tokens=240,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, 90:].tolist()
    engine = Engine(graphs[name, "float32"])
    logits, found = engine.prefill(prompt), []
    for _ in range(240):
        found.append(int(logits[0].argmax()))
        logits = engine.step(found[-1:])
    assert found == generated
    assert len(set(found)) > 10  # not a loop on one token, which anything would match


@pytest.mark.parametrize("name", ["tiny", "middle"])
def test_score_equals_transformers(name, graphs, reference):
    ids = text(6, 2 * CHUNK + 60, vocabulary=reference[name].config.vocab_size)
    expected = log_softmax(reference_logits(reference[name], ids[None])[0])[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose(Engine(graphs[name, "float32"]).score(ids), expected, atol=5e-5, rtol=0)


# --- against the NumPy decoder


@pytest.mark.parametrize("name", ["tiny", "middle"])
def test_float32_equals_numpy(name, graphs, request):
    folder = request.getfixturevalue(name)
    ids = text(7, 3, 300)
    expected = run(NumpyDecoder.open(folder, batch=3), ids, 100)
    np.testing.assert_allclose(run(Engine(graphs[name, "float32"], batch=3), ids, 100), expected, atol=5e-5, rtol=0)


# Pinned with room for another processor's rounding. Random weights are harsher than trained ones, for their choices
# are near-ties. Measured: KL 1.7e-4 and 2.0e-3, agreement .964 and .913.
@pytest.mark.parametrize(("name", "most_divergence", "least_agreement"), [("tiny", 3e-4, 0.94), ("middle", 3e-3, 0.88)])
def test_eight_bits_stay_close(name, most_divergence, least_agreement, graphs, request):
    ids = text(8, 4, 400)
    exact = log_softmax(run(NumpyDecoder.open(request.getfixturevalue(name), batch=4), ids, 100))
    found = log_softmax(run(Engine(graphs[name, "int8"], batch=4), ids, 100))
    divergence = (np.exp(exact) * (exact - found)).sum(axis=-1).mean()
    agreement = (exact.argmax(-1) == found.argmax(-1)).mean()
    print(f"{name}: KL {divergence:.2e}, top-1 agreement {agreement:.3f}")
    assert 0 < divergence < most_divergence
    assert agreement > least_agreement


def test_a_numpy_decoder_of_the_rounded_weights_is_closer_still(tiny, graphs):
    """The codes mean what we say they mean: what remains is the rounding of activations."""
    architecture, weights = load_folder(tiny)
    ids = text(8, 2, 200)
    found = run(Engine(graphs["tiny", "int8"], batch=2), ids, 100)
    rounded = {n: _rounded(w) if w.ndim == 2 and "embed" not in n else w for n, w in weights.items()}
    plain = np.abs(run(NumpyDecoder(architecture, weights, batch=2), ids, 100) - found).mean()
    near = np.abs(run(NumpyDecoder(architecture, rounded, batch=2), ids, 100) - found).mean()
    assert near < 0.9 * plain


def _rounded(weight):
    codes, scales = quantize_blocks(weight)
    return ((codes.astype(np.float32) - 128) * scales[..., None]).reshape(weight.shape)


def test_blocks_are_within_half_a_step_and_survive_zero_rows():
    weight = np.random.default_rng(0).normal(size=(7, 3 * BLOCK)).astype(np.float32)
    weight[2], weight[4, :BLOCK] = 0, 1e-42  # a zero row, and a block too small for a float32 scale
    codes, scales = quantize_blocks(weight)
    assert codes.shape == (7, 3, BLOCK)
    assert scales.shape == (7, 3)
    assert (scales > 0).all()
    step = np.repeat(scales, BLOCK, axis=1)
    assert (np.abs(_rounded(weight) - weight) <= 0.501 * step).all()
    assert (codes[2] == 128).all()


def test_a_model_with_zero_weights_stays_finite(tiny):
    architecture, weights = load_folder(tiny)
    weights = {
        n: np.zeros_like(w) if "layers.1.mlp" in n or "layers.0.self_attn.v" in n else w for n, w in weights.items()
    }
    ids = text(9, 1, 50)
    expected = run(NumpyDecoder(architecture, weights), ids, 20)
    found = run(Engine(build(architecture, weights, "int8")), ids, 20)
    assert np.abs(found - expected).max() < 0.1 < np.abs(expected).max()


# --- rows, caches, state


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_do_not_influence_each_other(precision, graphs):
    engine = Engine(graphs["tiny", precision], batch=5)
    ids = text(10, 5, 200)
    first = run(engine, ids, 50)
    changed = ids.copy()
    changed[2] = text(11, 200)
    second = run(engine, changed, 50)
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(first[others], second[others])
    assert not np.array_equal(first[2], second[2])
    alone = run(Engine(graphs["tiny", precision]), ids[3:4], 50)
    # Other kernels serve batch 1: the order of float32 sums differs, nothing else.
    np.testing.assert_allclose(alone[0], first[3], atol=2e-3 if precision == "int8" else 5e-5, rtol=0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_again_is_the_same_to_the_bit(precision, graphs):
    ids = text(12, 3, 300)
    engine = Engine(graphs["tiny", precision], batch=3)
    first = run(engine, ids, 150)
    np.testing.assert_array_equal(run(engine, ids, 150), first)
    np.testing.assert_array_equal(run(Engine(graphs["tiny", precision], batch=3), ids, 150), first)


def test_threads_change_nothing_but_rounding(graphs):
    ids = text(12, 2, 150)
    one, two = (run(Engine(graphs["middle", "float32"], batch=2, threads=n), ids, 100) for n in (1, 2))
    np.testing.assert_allclose(two, one, atol=5e-5, rtol=0)


@pytest.fixture(params=["engine", "numpy"])
def make(request, graphs, tiny):
    """batch, max_length → either decoder of the tiny model in float32."""
    if request.param == "engine":
        return lambda **sizes: Engine(graphs["tiny", "float32"], **sizes)
    return lambda **sizes: NumpyDecoder.open(tiny, **sizes)


def test_one_prompt_serves_all_rows(make):
    ids = text(13, 120)
    shared, apart = make(batch=3), make(batch=3)
    np.testing.assert_allclose(shared.prefill(ids), apart.prefill(np.stack([ids] * 3)), atol=5e-6)
    tokens = text(14, 60, 3)
    for row in tokens:
        np.testing.assert_allclose(shared.step(row), apart.step(row), atol=2e-5)


@pytest.mark.parametrize("n_prompt", [10, 150])
def test_reorder_lets_rows_continue_others(make, n_prompt):
    before, after, rows = text(15, 3, n_prompt + 20), text(16, 3, 130), np.array([2, 0, 2])
    decoder = make(batch=3)
    run(decoder, before, n_prompt)
    decoder.reorder(rows)
    found = np.stack([decoder.step(column).copy() for column in after.T], axis=1)
    whole = np.concatenate([before[rows], after], axis=1)
    np.testing.assert_allclose(found, run(make(batch=3), whole, n_prompt + 20)[:, 1:], atol=5e-5)


def test_score_is_the_sum_of_steps_and_forgets(make):
    ids = text(17, CHUNK + 40)
    decoder = make(max_length=CHUNK + 40)
    steps = log_softmax(run(decoder, ids[None], 1)[0, :-1])[np.arange(len(ids) - 1), ids[1:]]
    found = decoder.score(ids)
    assert found.dtype == np.float64
    assert decoder.length == 0
    np.testing.assert_allclose(found, steps, atol=5e-5)
    assert decoder.score(ids[:1]).shape == (0,)


def test_length_counts_and_ends(make):
    decoder = make(batch=2, max_length=WINDOW // 2)  # shorter than the window
    assert decoder.length == 0
    decoder.prefill(text(18, WINDOW // 2 - 1))
    decoder.step([1, 2])
    assert decoder.length == WINDOW // 2
    with pytest.raises(ModelError, match="16 tokens"):
        decoder.step([1, 2])
    decoder.reset()
    assert decoder.length == 0


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda d: d.prefill([]), "token ids"),
        (lambda d: d.prefill([0.5]), "token ids"),
        (lambda d: d.prefill([1, 97]), "0 to 96"),
        (lambda d: d.prefill([1, -1]), "found -1"),
        (lambda d: d.prefill([[1], [2], [3]]), "2 rows"),
        (lambda d: d.prefill(np.zeros(41, int)), "40 tokens"),
        (lambda d: d.step([1, 97]), "0 to 96"),
        (lambda d: d.step([1]), "shape"),
        (lambda d: d.step(3), "shape"),
        (lambda d: d.step([1.0, 2.0]), "float64"),
        (lambda d: d.score([[1, 2]]), "one row"),
        (lambda d: d.reorder([0, 2]), "row numbers"),
        (lambda d: d.reorder([0]), "row numbers"),
    ],
)
def test_wrong_calls_are_refused_and_leave_the_length(make, call, what):
    decoder = make(batch=2, max_length=40)
    decoder.prefill([1, 2])
    with pytest.raises(ModelError, match=what):
        call(decoder)
    assert decoder.length == 2


@pytest.mark.parametrize("sizes", [{"batch": 0}, {"max_length": 0}, {"max_length": 1201}])
def test_sizes_out_of_range_are_refused(make, sizes):
    with pytest.raises(ConfigError):
        make(**sizes)


# --- files


def test_the_export_is_reproducible_and_opens(tiny, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    path = export(tmp_path, "int8")
    data = path.read_bytes()
    assert path.name == "model.int8.onnx"
    assert export(tmp_path, "int8").read_bytes() == data
    assert isinstance(open_decoder(tmp_path), Engine)
    assert isinstance(open_decoder(tmp_path, engine="numpy"), NumpyDecoder)
    assert isinstance(open_decoder(tmp_path, precision="float32"), NumpyDecoder)  # not exported: the fallback
    with pytest.raises(ModelError, match="nothing there"):
        open_decoder(tmp_path, precision="float32", engine="onnx")
    (tmp_path / "model.safetensors").unlink()
    assert open_decoder(tmp_path).prefill([1, 2, 3]).shape == (1, 97)  # the graph alone suffices


def test_without_the_runtime_numpy_serves(tiny, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(open_decoder(tiny), NumpyDecoder)
    with pytest.raises(MissingExtraError):
        open_decoder(tiny, engine="onnx")


def test_unknown_choices_are_refused(tiny):
    for choice in ({"engine": "torch"}, {"precision": "int4"}):
        with pytest.raises(ConfigError):
            open_decoder(tiny, **choice)
    with pytest.raises(ConfigError):
        build(*load_folder(tiny), "int4")


def test_eight_bits_need_widths_of_whole_blocks(tiny):
    architecture, _ = load_folder(tiny)
    config = json.loads((tiny / "config.json").read_text()) | {"intermediate_size": 100}
    odd = type(architecture).from_config(config)
    weights = {name: np.zeros(shape, np.float32) for name, shape in odd.tensor_shapes().items()}
    with pytest.raises(ModelError, match="divisible by 32"):
        build(odd, weights, "int8")
    Engine(build(odd, weights, "float32")).prefill([1])


def test_what_is_no_graph_of_ours_is_a_typed_error(graphs):
    import onnx

    whole = graphs["tiny", "int8"]
    foreign = onnx.load_from_string(whole)
    del foreign.metadata_props[:]
    lying = onnx.load_from_string(whole)
    about = json.loads(lying.metadata_props[0].value)
    about["architecture"]["n_vocabulary"] = 50
    lying.metadata_props[0].value = json.dumps(about)
    for data in (b"", b"garbage", whole[: len(whole) // 2], foreign.SerializeToString(), lying.SerializeToString()):
        with pytest.raises(ModelError):
            Engine(data)


def test_a_graph_cannot_read_other_files(graphs, tmp_path, monkeypatch):
    import onnx

    graph = onnx.load_from_string(graphs["tiny", "float32"])
    table = next(item for item in graph.graph.initializer if item.name == "embedding")
    (tmp_path / "other.bin").write_bytes(table.raw_data)
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    location = table.external_data.add()
    location.key = "location"
    monkeypatch.chdir(tmp_path)
    for location.value in ("other.bin", str(tmp_path / "other.bin")):
        (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
        with pytest.raises(ModelError, match="External data"):
            Engine("model.onnx")


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, cadenza.model.engine, cadenza.model.graph, cadenza.model.numpy_decoder, cadenza.infer.sample;"
        "print(sorted({'torch', 'transformers', 'onnx', 'onnxruntime', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- rows of different lengths


def test_ragged_rows_equal_single_ones_and_begin_anew_on_their_own(graphs):
    lengths = (WINDOW - 3, 1, 3 * CHUNK + 7, WINDOW + WINDOW_SLACK)
    prompts = [text(20 + i, n) for i, n in enumerate(lengths)]
    wide = Engine(graphs["tiny", "int8"]).widened(4)
    alone = [Engine(graphs["tiny", "int8"]) for _ in prompts]
    for row, (one, prompt) in enumerate(zip(alone, prompts, strict=True)):
        assert np.array_equal(wide.prefill_row(row, prompt), one.prefill(prompt)[0])
    wide.prefill_row(1, prompts[3])  # and again what it held, as a copy
    assert np.array_equal(wide.copy_row(0, 1), alone[0].prefill(prompts[0])[0])
    alone[1].prefill(prompts[0])
    steps = text(30, 200, 4)
    active = np.array([True, True, False, True])  # the third rests
    for number, ids in enumerate(steps):
        if number == 90:  # the first begins anew
            assert np.array_equal(wide.prefill_row(0, prompts[2]), alone[0].prefill(prompts[2])[0])
        found = wide.step_rows(ids, active).copy()
        for row in np.flatnonzero(active):
            assert np.array_equal(found[row], alone[row].step(ids[row : row + 1])[0])
    assert wide.lengths.tolist() == [one.length for one in alone]


def test_what_ragged_rows_refuse(graphs):
    wide = Engine(graphs["tiny", "int8"], batch=2, max_length=40)
    for row in (-1, 2):
        with pytest.raises(ModelError, match="row"):
            wide.prefill_row(row, text(1, 5))
    wide.prefill_row(0, text(1, 40))
    wide.prefill_row(1, text(1, 4))
    wide.step_rows(np.zeros(2, int), np.array([False, True]))
    with pytest.raises(ModelError, match="at most 40"):
        wide.step_rows(np.zeros(2, int), np.array([True, True]))


@pytest.mark.parametrize("n_prompt", [3, 60, 200])
def test_a_row_goes_back_to_its_mark_to_the_bit_while_others_go_on(graphs, n_prompt):
    decoder = Engine(graphs["tiny", "int8"]).widened(2)
    for row in (0, 1):
        decoder.prefill_row(row, text(row, n_prompt))
    both, first = np.array([True, True]), np.array([True, False])
    steps = text(7, 150, 2)  # the window's cache moves several times
    for ids in steps[:20]:
        decoder.step_rows(ids, both)
    told = decoder.mark_row(0).copy()
    expected = [decoder.step_rows(ids, first)[0].copy() for ids in steps[20:]]
    for _ in range(2):  # as often as it likes
        assert np.array_equal(decoder.back_row(0), told)
        assert decoder.lengths.tolist() == [n_prompt + 20, n_prompt + 20]
        found = [decoder.step_rows(ids, first)[0].copy() for ids in steps[20:]]
        assert np.array_equal(found, expected)


def test_a_mark_ends_where_a_row_begins_anew(graphs):
    decoder = Engine(graphs["tiny", "int8"]).widened(2)
    assert decoder.back_row(0) is None
    for begin in (lambda: decoder.prefill_row(0, text(1, 9)), lambda: decoder.copy_row(1, 0), decoder.reset):
        for row in (0, 1):
            decoder.prefill_row(row, text(row, 9))
        decoder.mark_row(0)
        begin()
        assert decoder.back_row(0) is None
