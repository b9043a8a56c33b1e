"""The model that ships: small enough, the same in every engine, and sound on the example pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.continuations import faults, reopened
from cadenza.formats import read
from cadenza.infer.generate import continue_score, shared_bars
from cadenza.infer.model import load_model, shipped_folder
from cadenza.infer.prompt import read_seed
from cadenza.model.decoder import open_decoder
from cadenza.model.vocabulary import BOS

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.[gm][pi]*"))


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def texts(model):
    prompts = [read_seed(read(path), model) for path in EXAMPLES]
    return [[BOS, *model.vocabulary.tokenize(p.header + "".join(p.bars).lstrip())][:1000] for p in prompts]


def test_sizes_and_card():
    folder = shipped_folder()
    assert all(path.stat().st_size <= 25_000_000 for path in folder.iterdir())
    card = (folder / "README.md").read_text("utf-8")
    for said in ("CC BY 4.0", "Mutopia", "OpenScore", "GuitarSet", "cadenza train", "bits per note", "95 % interval"):
        assert said in card
    assert "{" not in card


def test_eight_bit_agrees_with_float32(texts):
    folder = shipped_folder()
    eight = open_decoder(folder, precision="int8", engine="onnx", max_length=1024)
    whole = open_decoder(folder, precision="float32", engine="numpy", max_length=1024)
    for ids in texts:
        a, b = -eight.score(np.array(ids)).mean(), -whole.score(np.array(ids)).mean()
        assert a == pytest.approx(b, rel=0.01)


def test_engine_agrees_with_transformers(texts):
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    transformers = pytest.importorskip("transformers", reason="needs the extra [train]")
    reference = transformers.AutoModelForCausalLM.from_pretrained(shipped_folder(), dtype=torch.float32).eval()
    ours = open_decoder(shipped_folder(), precision="float32", engine="numpy", max_length=1024)
    for ids in texts:
        with torch.no_grad():
            logp = torch.log_softmax(reference(torch.tensor([ids])).logits[0, :-1], -1)
        theirs = logp.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
        assert np.abs(ours.score(np.array(ids)) - theirs).max() < 5e-4
    assert reference.generation_config.use_cache  # else generate reads everything again at every token


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_continues_the_examples(path, model, tmp_path):
    seed = read(path)
    for number in range(4):
        take = continue_score(seed, model, bars=4, random_seed=number)
        assert faults(seed, take) == []
        assert reopened(take, tmp_path) == []
        assert take.n_notes > 0


def test_shared_bars_look_past_velocity():
    assert shared_bars(["| i0 p60:v9:d4:t4"], [" | i0 p60:v99:d4:t4"]) == 1.0
    assert shared_bars(["| i0 p60:v9:d4:t4", "|"], ["| i0 p61:v9:d4:t4"]) == 0.0
