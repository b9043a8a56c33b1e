"""The ear's front end, graph and windows: what torch, NumPy and ONNX Runtime say is one thing."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.model import ear_features as front
from cadenza.model.ear import GRAPH_NAME, Ear, Sound, model_facts
from cadenza.model.ear_architecture import EarShape
from cadenza.model.ear_engines import ENGINES, ONNX_RUNTIME, OPENVINO
from cadenza.train.ear_release import compared

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")


@pytest.fixture(scope="module", params=[False, True], ids=["near", "far"])
def small(tmp_path_factory, request):
    """(network, ear) of random weights and statistics."""
    from cadenza.model import ear_graph
    from cadenza.train.ear_network import EarNetwork

    torch.manual_seed(0)
    shape = EarShape(width=8, n_families=3, n_drums=2, drum_width=4, far=request.param)
    network = EarNetwork(shape)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    for far in network.fars:  # which are as if they were not there until they are trained
        torch.nn.init.normal_(far.out.weight)
    weights = {name: value.numpy() for name, value in network.eval().state_dict().items() if value.dim()}
    folder = tmp_path_factory.mktemp("ear")
    graph = ear_graph.build(shape, weights, model_facts(("a", "b", "c"), ("d", "e"), 0.4))
    (folder / GRAPH_NAME).write_bytes(graph)
    return network, Ear(folder, threads=1, engine=ONNX_RUNTIME)


def test_features_are_the_same_in_numpy_and_torch():
    from cadenza.train.ear_network import LogMagnitudes

    samples = np.random.default_rng(0).normal(0, 0.05, 2 * front.SAMPLE_RATE).astype(np.float32)
    theirs = LogMagnitudes()(torch.from_numpy(samples)[None])[0].numpy()
    ours = front.features(samples, 0, theirs.shape[1])
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.abs(front.features(samples, 30, 20) - ours[:, 30:50]).max() < 1e-5


def test_a_tone_is_loudest_at_its_pitch_and_the_axis_follows_the_tuning():
    t = np.arange(front.SAMPLE_RATE) / front.SAMPLE_RATE
    for pitch, cents in ((45, 0.0), (69, 0.0), (69, 33.0), (88, -33.0)):
        hertz = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
        seen = front.features((0.1 * np.sin(2 * np.pi * hertz * t)).astype(np.float32), 10, 20, cents)
        expected = round((pitch - front.LOWEST_AXIS) * front.BINS_A_SEMITONE)
        assert set(seen[1].argmax(axis=1)) == {expected}


def test_graph_says_what_the_network_says(small):
    assert compared(*small) < 1e-4


@pytest.mark.parametrize("window_frames", [60, 137, 1000])
def test_windows_meet_without_a_seam(small, window_frames):
    ear = small[1]
    samples = np.random.default_rng(1).normal(0, 0.05, 5 * front.SAMPLE_RATE + 77).astype(np.float32)
    n_frames = -(-len(samples) // front.HOP)
    whole = ear.of_magnitudes(front.features(samples, 0, n_frames))
    blocks = (samples[at : at + 4321] for at in range(0, len(samples), 4321))
    parts = list(ear.listen(Sound(blocks), window_frames))
    for name, value in whole.items():
        axis = 1 if name == "family" else 0
        together = np.concatenate([part.values[name] for part in parts], axis=axis)
        assert together.shape == value.shape
        assert np.abs(together - value).max() < 1e-5
    assert [part.first_frame for part in parts] == list(range(0, n_frames, window_frames))


def test_the_network_reaches_as_far_as_it_says(small):
    network = small[0]
    reach, middle = network.shape.reach_frames, 100
    rng = np.random.default_rng(2)
    one = rng.normal(size=(1, 2, 2 * middle + 1, front.N_BINS)).astype(np.float32)
    other = one.copy()
    other[:, :, middle] += 1
    with torch.no_grad():
        before, after = (network(torch.from_numpy(x))["onset"][0].numpy() for x in (one, other))
    changed = np.flatnonzero(np.abs(before - after).max(axis=1) > 0)
    assert middle - reach <= changed.min()
    assert changed.max() <= middle + reach
    assert network.shape.far == (changed.max() > middle + EarShape().reach_frames)


def test_no_ear_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"ear\.onnx"):
        Ear(tmp_path)
    (tmp_path / GRAPH_NAME).write_bytes(b"not a graph")
    for engine in ENGINES:
        if engine != OPENVINO or find_spec(OPENVINO):
            with pytest.raises(ModelError, match="graph of an ear"):
                Ear(tmp_path, engine=engine)
    with pytest.raises(ConfigError, match="openvino"):
        Ear(tmp_path, engine="openvin")


def test_an_engine_that_is_not_installed_is_said(monkeypatch):
    for engine in (ONNX_RUNTIME, OPENVINO):
        monkeypatch.setitem(sys.modules, engine, None)
        with pytest.raises(MissingExtraError, match=engine):
            Ear(engine=engine)
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert Ear().engine == ONNX_RUNTIME


def test_an_openvino_that_does_not_work_is_passed_over(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, OPENVINO, SimpleNamespace())
    assert Ear().engine == ONNX_RUNTIME
    with pytest.raises(ModelError, match="graph of an ear"):
        Ear(engine=OPENVINO)


def test_openvino_says_what_onnx_runtime_says():
    """In float32 but for rounding, in bfloat16 (where the processor has units for it) nearly."""
    pytest.importorskip("openvino", reason="the extra [fast]")
    assert Ear().engine == OPENVINO
    rng = np.random.default_rng(0)
    seconds = np.arange(30 * front.SAMPLE_RATE) / front.SAMPLE_RATE
    sound = sum(
        np.sin(2 * np.pi * f * seconds) * (np.sin(2 * np.pi * seconds / d) > 0) for f, d in ((220, 2), (660, 3))
    )
    sound = (0.05 * sound + rng.normal(0, 1e-3, len(seconds))).astype(np.float32)
    heard = {}
    for engine in (ONNX_RUNTIME, OPENVINO):
        ear = Ear(threads=1, engine=engine)
        assert ear.facts == Ear(engine=ONNX_RUNTIME).facts
        windows = list(ear.listen(Sound(iter([sound]))))
        heard[engine] = {
            name: np.concatenate([w.values[name] for w in windows]) for name in ("onset", "frame", "drums")
        }
    for name, curves in heard[ONNX_RUNTIME].items():
        assert curves.shape == heard[OPENVINO][name].shape
        assert np.abs(curves - heard[OPENVINO][name]).max() < 0.06
        assert np.abs(curves - heard[OPENVINO][name]).mean() < 0.002
    assert (heard[ONNX_RUNTIME]["onset"] > 0.5).any()
