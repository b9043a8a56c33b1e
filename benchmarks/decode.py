"""How fast the decoders are: tokens per CPU-second and ratios, side by side in one run.

    python benchmarks/decode.py [--out FILE.json] [--tokens N] [--rounds R] [--width D] [--layers L] [--heads H] …

All decoders get the same weights (the shipped composer's, or random ones where a shape is given), one thread, and take
turns in short rounds; the best round counts, since on
a shared machine only the ratios of such neighbours mean something. A round decodes ``--tokens`` tokens a row after a
context of 64, 512 or 2,000 (prefilled outside the clock); choosing the token is not part of it. transformers joins
where torch can be imported: its ``generate`` with all its own work, from a cache of the context that it continues.

With the composer's own weights a second table says what composing comes to, notes per CPU-second: our whole writer on
``examples/riff.gp5`` (its prompt read, grammar, instruments and sampling at T = 1, without the guard, which draws more
than it keeps), beside ``generate`` on the same prompt, sampling at T = 1 as many tokens a row as the writer wrote; of
these as many are taken to be notes as of the writer's, though without the grammar not all would be. The two take turns.
The grammar's share is the writer's time outside the decoder.
"""

# ruff: noqa: E402 (threads are set before NumPy is loaded: its linear algebra reads them once)

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np

from cadenza import formats
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.base.tensors import write_safetensors
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.model import load_model, shipped_folder
from cadenza.infer.prompt import read_seed
from cadenza.infer.sample import Sampling
from cadenza.infer.write import Manner
from cadenza.model.architecture import Architecture, load_folder
from cadenza.model.decoder import Decoder
from cadenza.model.engine import Engine
from cadenza.model.graph import PRECISIONS, build, export
from cadenza.model.numpy_decoder import NumpyDecoder
from cadenza.model.vocabulary import BOS

CONTEXTS = (64, 512, 2000)
BATCHES = (1, 16)
#: Of a model with random weights.
SIZES = {"width": 256, "layers": 6, "heads": 4, "key_value_heads": 1, "window": 256, "vocabulary": 1024}

# A round decodes this many tokens a row and returns its CPU-seconds.
Round = Callable[[], float]


def main() -> None:
    options = _options()
    shape = {name: getattr(options, name) for name in SIZES if getattr(options, name) is not None}
    with tempfile.TemporaryDirectory() as place:
        folder = _random_model(Path(place), SIZES | shape) if shape else _composer(Path(place))
        architecture, weights = load_folder(folder)
        n_weights = sum(array.size for array in weights.values())
        print(f"{n_weights / 1e6:.1f} M parameters, windows {architecture.windows}, {options.tokens} tokens a round")
        for precision in PRECISIONS:
            size = export(folder, precision).stat().st_size
            print(f"{precision} graph: {size / 1e6:.1f} MB")
        reference = _transformers(folder) if importlib.util.find_spec("torch") else None
        print(f"\n{'tokens per CPU-second':22}{'batch':>6}" + "".join(f"{f'context {c}':>20}" for c in CONTEXTS))
        speeds = {batch: _table(batch, architecture, weights, reference, options) for batch in BATCHES}
        result: dict[str, Any] = {
            "parameters": int(n_weights),
            "weights": shape or "shipped",
            "contexts": CONTEXTS,
            "tokens_per_cpu_second": speeds,
        }
        if not shape:
            result["composing"] = _composing(folder, reference, options)
    if options.out:
        write_atomically(options.out, (json.dumps(result | {"versions": versions()}, indent=1) + "\n").encode())


def _composer(folder: Path) -> Path:
    """The shipped composer's files, where graphs of other precisions may be written beside them."""
    for name in ("config.json", "generation_config.json", "model.safetensors", "notation.json", "vocabulary.json"):
        shutil.copyfile(shipped_folder() / name, folder / name)
    return folder


def _random_model(folder: Path, sizes: dict[str, int]) -> Path:
    config = _config(sizes)
    rng = np.random.default_rng(0)
    weights = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else rng.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in Architecture.from_config(config).tensor_shapes().items()
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", weights)
    return folder


class _Timed:
    """A decoder that adds up the CPU-seconds that it takes."""

    def __init__(self, decoder: Any) -> None:
        self._decoder, self.seconds = decoder, [0.0]

    def widened(self, batch: int) -> _Timed:
        other = _Timed(self._decoder.widened(batch))
        other.seconds = self.seconds
        return other

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._decoder, name)
        if not callable(found):
            return found

        def timed(*args: Any) -> Any:
            begun = time.process_time()
            try:
                return found(*args)
            finally:
                self.seconds[0] += time.process_time() - begun

        return timed


def _composing(folder: Path, reference: object | None, options: argparse.Namespace) -> list[dict]:
    """Notes per CPU-second of the whole writer, at each precision and batch, beside generate on the same prompt."""
    riff = formats.read(Path(__file__).parents[1] / "examples" / "riff.gp5")
    rows = []
    for precision in PRECISIONS:
        model = load_model(folder, precision=precision)
        manner = Manner(Decoding(Sampling(), guard=False, recall=False, original=False), model.loops)
        prompt = read_seed(riff, model)
        ids = [BOS, *model.vocabulary.tokenize(prompt.header + "".join(prompt.bars).lstrip())]
        for batch in BATCHES:
            best: dict[str, Any] = {}
            fastest = float("inf")  # of generate, seconds a token
            for turn in range(options.takes):
                timed = _Timed(model.decoder)
                begun = time.process_time()
                seeds = range(turn * batch, (turn + 1) * batch)
                whole = replace(model, decoder=timed)
                takes = take_all(riff, whole, list(to_continue(whole, options.bars)), manner, list(seeds))
                seconds = time.process_time() - begun
                notes, tokens = sum(take.n_notes for take in takes), sum(take.n_tokens for take in takes)
                row = {
                    "decoder": f"onnx {precision}", "batch": batch, "prompt": len(ids), "notes": notes,
                    "tokens": tokens, "notes_per_cpu_second": notes / seconds,
                    "tokens_per_cpu_second": tokens / seconds, "grammar_share": 1 - timed.seconds[0] / seconds,
                }  # fmt: skip
                if row["notes_per_cpu_second"] > best.get("notes_per_cpu_second", 0):
                    best = row
                if reference is not None:
                    n_tokens = tokens // batch
                    fastest = min(fastest, _sampled(reference, ids, batch, n_tokens) / (n_tokens * batch))
            if reference is not None:
                theirs = best["notes"] / best["tokens"] / fastest
                best |= {"generate_notes_per_cpu_second": theirs, "ratio": best["notes_per_cpu_second"] / theirs}
            rows.append(best)
            print(
                {key: round(value, 3) if isinstance(value, float) else value for key, value in best.items()}, flush=True
            )
    return rows


def _sampled(model: object, ids: list[int], batch: int, n_tokens: int) -> float:
    """CPU-seconds of transformers' generate: the prompt read, then tokens drawn at T = 1."""
    import torch

    torch.manual_seed(0)
    prompt = torch.tensor(ids).repeat(batch, 1)
    start = time.process_time()
    model.generate(  # type: ignore[attr-defined]
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=n_tokens,
        min_new_tokens=n_tokens,
        do_sample=True,
        top_k=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    return time.process_time() - start


def _table(
    batch: int, architecture: Architecture, weights: Any, reference: object, options: argparse.Namespace
) -> dict[str, list[float]]:
    decoders: dict[str, Decoder] = {
        "onnx float32": Engine(build(architecture, weights, "float32"), batch=batch),
        "onnx int8": Engine(build(architecture, weights, "int8"), batch=batch),
    }
    if batch == 1:  # it reads every row's prompt by itself, outside the clock but for minutes
        decoders["numpy"] = NumpyDecoder(architecture, weights, batch=batch)
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
    return speeds


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
    # In float32 whatever the weights are stored in: half precision is many times slower on a processor.
    return transformers.MinistralForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


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


def _config(sizes: dict[str, int]) -> dict:
    return {
        "model_type": "ministral",
        "vocab_size": sizes["vocabulary"],
        "hidden_size": sizes["width"],
        "intermediate_size": sizes["width"] * 11 // 4 // 32 * 32,
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["key_value_heads"],
        "head_dim": sizes["width"] // sizes["heads"],
        "sliding_window": sizes["window"],
        "layer_types": [f"{'full' if i % 3 == 2 else 'sliding'}_attention" for i in range(sizes["layers"])],
        "max_position_embeddings": max(CONTEXTS) + 256,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"{value} where another size is given")
    for name, value in {"tokens": 16, "rounds": 7, "bars": 4, "takes": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
