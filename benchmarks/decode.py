"""How fast the decoders are: tokens per CPU-second and ratios, side by side in one run.

    python benchmarks/decode.py [--tokens N] [--rounds R] [--width D] [--layers L] [--heads H] …

All decoders get the same random weights, one thread, and take turns in short rounds; the best round counts, since on
a shared machine only the ratios of such neighbours mean something. A round decodes ``--tokens`` tokens a row after a
context of 64, 512 or 2,000 (prefilled outside the clock); choosing the token is not part of it. transformers joins
where torch can be imported: its ``generate`` with all its own work, from a cache of the context that it continues.
"""

# ruff: noqa: E402 (threads are set before NumPy is loaded: its linear algebra reads them once)

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np

from cadenza.base.tensors import write_safetensors
from cadenza.model.architecture import Architecture
from cadenza.model.decoder import Decoder
from cadenza.model.engine import Engine
from cadenza.model.graph import build, export
from cadenza.model.numpy_decoder import NumpyDecoder

CONTEXTS = (64, 512, 2000)
BATCHES = (1, 16)

# A round decodes this many tokens a row and returns its CPU-seconds.
Round = Callable[[], float]


def main() -> None:
    options = _options()
    config = _config(options)
    architecture = Architecture.from_config(config)
    rng = np.random.default_rng(0)
    weights = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else rng.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in architecture.tensor_shapes().items()
    }
    n_weights = sum(array.size for array in weights.values())
    print(f"{n_weights / 1e6:.1f} M parameters, windows {architecture.windows}, {options.tokens} tokens a round")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "config.json").write_text(json.dumps(config))
        write_safetensors(folder / "model.safetensors", weights)
        for precision in ("float32", "int8"):
            size = export(folder, precision).stat().st_size
            print(f"{precision} graph: {size / 1e6:.1f} MB")
        reference = _transformers(folder) if importlib.util.find_spec("torch") else None
        print(f"\n{'tokens per CPU-second':22}{'batch':>6}" + "".join(f"{f'context {c}':>20}" for c in CONTEXTS))
        for batch in BATCHES:
            _table(batch, architecture, weights, reference, options)


def _table(
    batch: int, architecture: Architecture, weights: dict, reference: object, options: argparse.Namespace
) -> None:
    decoders: dict[str, Decoder] = {
        "numpy": NumpyDecoder(architecture, weights, batch=batch),
        "onnx float32": Engine(build(architecture, weights, "float32"), batch=batch),
        "onnx int8": Engine(build(architecture, weights, "int8"), batch=batch),
    }
    speeds: dict[str, list[float]] = {}
    for context in CONTEXTS:
        prompt = np.arange(context) % architecture.n_vocabulary
        rounds: dict[str, Round] = {}
        if reference is not None:
            rounds["transformers"] = _reference_round(reference, prompt, batch, options.tokens)
        for name, decoder in decoders.items():
            rounds[name] = _round(decoder, prompt, options.tokens)
        best = dict.fromkeys(rounds, float("inf"))
        for _ in range(options.rounds):
            for name, decode in rounds.items():
                best[name] = min(best[name], decode())
        for name, seconds in best.items():
            speeds.setdefault(name, []).append(batch * options.tokens / seconds)
    first = next(iter(speeds.values()))
    for name, row in speeds.items():
        cells = "".join(f"{f'{speed:,.0f} ({speed / unit:.1f}x)':>20}" for speed, unit in zip(row, first, strict=True))
        print(f"{name:22}{batch:6}{cells}", flush=True)


def _round(decoder: Decoder, prompt: np.ndarray, n_tokens: int) -> Round:
    tokens = np.zeros(decoder.batch, np.int64)

    def decode() -> float:
        decoder.prefill(prompt)
        start = time.process_time()
        for _ in range(n_tokens):
            decoder.step(tokens)
        return time.process_time() - start

    return decode


def _transformers(folder: Path) -> object:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.MinistralForCausalLM.from_pretrained(folder).eval()


def _reference_round(model: object, prompt: np.ndarray, batch: int, n_tokens: int) -> Round:
    import copy

    import torch

    ids = torch.tensor(prompt).repeat(batch, 1)
    with torch.no_grad():
        cache = model(ids[:, :-1], use_cache=True, logits_to_keep=1).past_key_values  # type: ignore[operator]

    def decode() -> float:
        own = copy.deepcopy(cache)
        start = time.process_time()
        model.generate(  # type: ignore[attr-defined]
            ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=own,
            max_new_tokens=n_tokens,
            min_new_tokens=n_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return time.process_time() - start

    return decode


def _config(options: argparse.Namespace) -> dict:
    return {
        "model_type": "ministral",
        "vocab_size": options.vocabulary,
        "hidden_size": options.width,
        "intermediate_size": options.width * 11 // 4 // 32 * 32,
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.heads,
        "num_key_value_heads": options.key_value_heads,
        "head_dim": options.width // options.heads,
        "sliding_window": options.window,
        "layer_types": [f"{'full' if i % 3 == 2 else 'sliding'}_attention" for i in range(options.layers)],
        "max_position_embeddings": max(CONTEXTS) + 256,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"width": 256, "layers": 6, "heads": 4, "key-value-heads": 1, "window": 256, "vocabulary": 1024}
    for name, value in (sizes | {"tokens": 16, "rounds": 7}).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


if __name__ == "__main__":
    main()
