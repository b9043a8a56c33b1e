"""Next-token decoding: the interface, and the choice between its implementations.

:class:`~cadenza.model.engine.Engine` runs an exported graph in ONNX Runtime;
:class:`~cadenza.model.numpy_decoder.NumpyDecoder` needs the weights and NumPy alone, is several times slower, and
serves where the runtime is missing and as the oracle that the engine is tested against. Neither needs torch; what they
do not cover is left to :mod:`cadenza.model.hub_decoder`, which does.

All keep a cache of keys and values, so that a step costs one token, and hold B rows of equal length: takes of one
prompt. A row that has ended early is stepped along with any token and its logits ignored; rows never influence each
other.

    decoder = open_decoder("models/small", batch=4)
    logits = decoder.prefill(prompt)            # (4, V)
    for _ in range(100):
        logits = decoder.step(choose(logits))   # (4,) → (4, V)
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.base.tensors import MODEL_LIMITS, read_json_object, read_model_file
from cadenza.model.architecture import Architecture

EngineName = Literal["auto", "onnx", "numpy", "transformers"]
ENGINES: tuple[EngineName, ...] = ("auto", "onnx", "numpy", "transformers")

# Tokens of a prompt that one pass takes; bounds the attention scores to heads · CHUNK · length floats.
CHUNK = 256


class Sizes(Protocol):
    """What every model says of itself; an :class:`~cadenza.model.architecture.Architecture` says more."""

    @property
    def n_vocabulary(self) -> int:
        """Ids."""

    @property
    def max_positions(self) -> int:
        """Tokens that a row may have."""


class Decoder(Protocol):
    """B rows of tokens that grow together."""

    @property
    def architecture(self) -> Sizes:
        """The model's sizes."""

    @property
    def batch(self) -> int:
        """Rows."""

    @property
    def max_length(self) -> int:
        """Tokens that each row can hold."""

    @property
    def length(self) -> int:
        """Tokens in each row so far."""

    def reset(self) -> None:
        """Forget all tokens."""

    def prefill(self, ids: Any) -> np.ndarray:
        """Start anew with a prompt, shape (S,) for all rows or (B, S); logits of the next token, float32 (B, V).

        The result is a view that the next call overwrites.

        Raises:
            ModelError: an empty prompt, one longer than ``max_length``, or an id outside the vocabulary.
        """

    def step(self, ids: Any) -> np.ndarray:
        """Append one token a row, shape (B,); logits of the next, float32 (B, V), a view that the next call overwrites.

        Raises:
            ModelError: the rows are full, or an id lies outside the vocabulary.
        """

    def score(self, ids: Any) -> np.ndarray:
        """Natural log-probability of each of ``ids[1:]`` given those before it; (T,) → float64 (T − 1,).

        Forgets all tokens, before and after.

        Raises:
            ModelError: as for :meth:`prefill`.
        """

    def reorder(self, rows: Any) -> None:
        """Let row i continue what row ``rows[i]`` has so far (to copy a promising take over another); shape (B,).

        Raises:
            ModelError: an index outside the batch.
        """


class RaggedDecoder(Decoder, Protocol):
    """Rows that need not be equally long: each has its own prompt and may begin anew while the others go on."""

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row so far, shape (B,)."""

    def widened(self, batch: int) -> RaggedDecoder:
        """Another decoder of the same weights with ``batch`` rows."""

    def prefill_row(self, row: int, ids: Any) -> np.ndarray:
        """Begin one row anew with a prompt, shape (S,); logits of its next token, (V,), a view as above.

        Raises:
            ModelError: as for :meth:`prefill`, or there is no such row.
        """

    def copy_row(self, source: int, row: int) -> np.ndarray:
        """Let ``row`` hold what ``source`` holds, which has just begun (no step since); its logits, (V,)."""

    def mark_row(self, row: int) -> np.ndarray:
        """Remember what ``row`` holds, instead of what was remembered before; its logits, (V,)."""

    def back_row(self, row: int) -> np.ndarray | None:
        """Let ``row`` hold again what it held when it was marked, bit for bit; its logits, (V,), a view as above.

        None where there is no mark: none was set, or the row has begun anew since.
        """

    def step_rows(self, ids: Any, active: np.ndarray) -> np.ndarray:
        """:meth:`step` for the rows of the mask ``active`` (B,) only; ids and logits of the others mean nothing.

        A row that rests in a windowed cache must begin anew before it goes on.

        Raises:
            ModelError: an active row is full, or an id lies outside the vocabulary.
        """


def open_decoder(
    folder: Path | str,
    *,
    batch: int = 1,
    max_length: int | None = None,
    threads: int = 1,
    precision: str = "int8",
    engine: EngineName = "auto",
    adapter: Path | str = "",
    quantize: str = "",
    n_vocabulary: int = 0,
) -> Decoder:
    """A decoder for a model folder.

    Args:
        folder: holds ``model.<precision>.onnx`` (for the engine) and ``config.json`` with ``model.safetensors``; for
            transformers any model of its own, or a hub id.
        batch: rows B.
        max_length: tokens a row can hold; the model's own maximum where None.
        threads: of the engine; NumPy's own setting rules the other.
        precision: {"int8", "float32"}; the NumPy decoder is always float32.
        engine: "auto" takes ONNX Runtime where it is installed and the graph exists, else NumPy, or transformers for
            what NumPy does not take.
        adapter, quantize, n_vocabulary: see :func:`cadenza.model.hub_decoder.open_hub_decoder`; the first two ask for
            transformers.

    Raises:
        ModelError: the folder does not hold what is needed.
        ConfigError: a choice or size out of range.
        MissingExtraError: ``engine="onnx"`` without onnxruntime.
    """
    from cadenza.model.graph import PRECISIONS, graph_path

    for value, known in ((engine, ENGINES), (precision, PRECISIONS)):
        if value not in known:
            raise ConfigError(f"one of {known}", repr(value))
    path = graph_path(folder, precision)  # type: ignore[arg-type]
    installed = importlib.util.find_spec("onnxruntime") is not None
    if engine == "onnx" and not installed:
        raise MissingExtraError("the package onnxruntime", "none", hint="Install it, or choose the engine numpy.")
    if engine == "transformers" or (engine == "auto" and (adapter or quantize or not _is_ours(folder, path))):
        from cadenza.model.hub_decoder import open_hub_decoder

        return open_hub_decoder(
            folder,
            batch=batch,
            max_length=max_length,
            adapter=adapter,
            quantize=quantize,  # type: ignore[arg-type]
            n_vocabulary=n_vocabulary,
        )
    if adapter or quantize:
        raise ConfigError("the engine transformers for adapters and quantised weights", repr(engine))
    if engine == "onnx" or (engine == "auto" and installed and path.is_file()):
        from cadenza.model.engine import Engine

        return Engine(path, batch=batch, max_length=max_length, threads=threads)
    from cadenza.model.numpy_decoder import NumpyDecoder

    return NumpyDecoder.open(folder, batch=batch, max_length=max_length)


def _is_ours(folder: Path | str, graph: Path) -> bool:
    """Whether the engine or NumPy takes a model, or no other could: then their error is the one to show."""
    if graph.is_file() or importlib.util.find_spec("transformers") is None:
        return True
    config = Path(folder) / "config.json"
    if Path(folder).is_dir() and not config.is_file():
        return True
    try:
        Architecture.from_config(read_json_object(read_model_file(config), str(config)))
    except ModelError:
        return False
    weights = Path(folder) / "model.safetensors"
    return weights.is_file() and weights.stat().st_size <= MODEL_LIMITS.file_bytes


def checked_sizes(architecture: Sizes, batch: int, max_length: int | None) -> int:
    """The length to plan for: ``max_length``, or the model's maximum where it is None.

    Raises:
        ConfigError: a batch below 1, or a length that the model was not made for.
    """
    if batch < 1:
        raise ConfigError("a batch of at least 1", str(batch))
    length = architecture.max_positions if max_length is None else max_length
    if not 1 <= length <= architecture.max_positions:
        raise ConfigError(f"a length from 1 to {architecture.max_positions}", str(length), hint="The model ends there.")
    return length


def checked_ids(ids: Any, architecture: Sizes, max_length: int) -> np.ndarray:
    """A prompt as int64 of the shape given, (S,) or (B, S).

    Raises:
        ModelError: not whole numbers, empty, too long, or outside the vocabulary.
    """
    found = np.asarray(ids)
    if found.dtype.kind not in "iu" or found.ndim not in (1, 2) or not found.size:
        raise ModelError("token ids of shape (S,) or (B, S)", f"{found.dtype} of shape {found.shape}")
    if found.shape[-1] > max_length:
        raise ModelError(f"at most {max_length} tokens", str(found.shape[-1]), hint="Shorten the prompt.")
    _check_vocabulary(found, architecture.n_vocabulary)
    return np.ascontiguousarray(found, dtype=np.int64)


def checked_step(ids: Any, batch: int, n_vocabulary: int) -> np.ndarray:
    """One id a row as given, shape (B,).

    Raises:
        ModelError: another shape, not whole numbers, or outside the vocabulary.
    """
    found = np.asarray(ids)
    if found.shape != (batch,) or found.dtype.kind not in "iu":
        raise ModelError(f"token ids of shape ({batch},)", f"{found.dtype} of shape {found.shape}")
    _check_vocabulary(found, n_vocabulary)
    return found


def _check_vocabulary(ids: np.ndarray, n_vocabulary: int) -> None:
    low, high = ids.min(), ids.max()
    if low < 0 or high >= n_vocabulary:
        raise ModelError(f"token ids from 0 to {n_vocabulary - 1}", str(low if low < 0 else high))


def checked_rows(rows: Any, batch: int) -> np.ndarray:
    """``rows`` of :meth:`Decoder.reorder` as an index.

    Raises:
        ModelError: not B indices within the batch.
    """
    found = np.asarray(rows)
    if found.shape != (batch,) or found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= batch:
        raise ModelError(f"{batch} row numbers from 0 to {batch - 1}", repr(rows)[:80])
    return found


def picked_log_probabilities(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log-softmax of ``logits`` (T, V) at ``ids`` (T,), as float64 (T,)."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide[np.arange(len(ids)), ids] - np.log(np.exp(wide).sum(axis=1))
