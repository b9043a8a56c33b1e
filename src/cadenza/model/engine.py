"""Decoding through ONNX Runtime: an exported graph with its cache bound in place.

All inputs and outputs are NumPy arrays of this object, bound once; a step writes the ids and the length into them and
runs. Keys and values are appended by the runtime in the same memory, so nothing is copied from step to step.

Prompts are taken row by row and in chunks: the runtime lets a pass of several tokens continue a cache only at batch 1,
chunks bound the memory of the attention scores, and a prompt shared by all rows is computed once and copied.

Rows may also differ in length (:class:`~cadenza.model.decoder.RaggedDecoder`): the operator knows each row's own.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.base.tensors import read_json_object, read_model_file
from cadenza.model.architecture import Architecture
from cadenza.model.decoder import (
    CHUNK,
    checked_ids,
    checked_rows,
    checked_sizes,
    checked_step,
    picked_log_probabilities,
)
from cadenza.model.graph import GRAPH_VERSION, METADATA_KEY

# A windowed cache holds this many positions beyond its window; the runtime moves the window to the front once per so
# many steps instead of at each.
WINDOW_SLACK = 64


class _Place(NamedTuple):
    """What a row held: its length, its windowed caches, its logits."""

    length: int
    caches: dict[str, np.ndarray]
    logits: np.ndarray


class Engine:
    """A :class:`~cadenza.model.decoder.Decoder` on an exported graph.

    Args:
        model: path or bytes of a graph written by :func:`cadenza.model.graph.export`.
        batch: rows B.
        max_length: tokens a row can hold; the model's own maximum where None. Memory grows with it.
        threads: within an operator; 1 is fastest for small models with few rows.

    Raises:
        ModelError: not a graph of ours, or one that the installed runtime cannot run.
        ConfigError: ``batch`` or ``max_length`` out of range.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(
        self, model: Path | str | bytes, *, batch: int = 1, max_length: int | None = None, threads: int = 1
    ) -> None:
        self._session, self.architecture, self.precision = _open(model, threads)
        self._make_rows(batch, max_length)

    def widened(self, batch: int) -> Engine:
        """Another decoder of the same graph with ``batch`` rows of its own; the weights are shared."""
        other = copy.copy(self)
        other._make_rows(batch, self.max_length)
        return other

    def _make_rows(self, batch: int, max_length: int | None) -> None:
        self.batch, self.max_length = batch, checked_sizes(self.architecture, batch, max_length)
        a = self.architecture
        self._lengths = np.zeros(batch, np.int32)
        self._marks: dict[int, _Place] = {}
        self._cosine, self._sine = a.rotary(self.max_length)
        self._caches: dict[str, np.ndarray] = {}
        layers = [layer for layer, window in enumerate(a.windows) if window is not None]
        self._windowed = [f"{part}.{layer}" for layer in layers for part in ("key", "value")]
        for layer, window in enumerate(a.windows):
            capacity = self.max_length if window is None else window + WINDOW_SLACK
            for part in ("key", "value"):
                shape = (batch, a.n_key_value_heads, capacity, a.head_width)
                self._caches[f"{part}.{layer}"] = np.zeros(shape, np.float32)
        self._ids = np.zeros((batch, 1), np.int64)
        self._last = np.zeros(batch, np.int32)
        self._total = np.zeros((), np.int32)
        self._first_position = np.zeros(1, np.int64)
        self._logits = np.zeros((batch, 1, a.n_vocabulary), np.float32)
        self._step_binding = self._bind(slice(None), self._ids, self._last, self._first_position, self._logits)

    @property
    def length(self) -> int:
        """Tokens in each row so far; in the longest, where they differ."""
        return int(self._lengths.max())

    @property
    def lengths(self) -> np.ndarray:
        """See :class:`~cadenza.model.decoder.RaggedDecoder`."""
        return self._lengths.copy()

    def reset(self) -> None:
        """Forget all tokens. (What the caches still hold lies beyond the length and is never read.)"""
        self._lengths.fill(0)
        self._marks.clear()

    def prefill(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.prefill`."""
        prompt = checked_ids(ids, self.architecture, self.max_length)
        if prompt.ndim == 2 and len(prompt) != self.batch:
            raise ModelError(f"a prompt for each of {self.batch} rows", str(len(prompt)))
        self.reset()
        rows = prompt.reshape(-1, prompt.shape[-1])
        for row, tokens in enumerate(rows):
            self._fill_row(row, tokens)
        if len(rows) < self.batch:
            self._lengths.fill(prompt.shape[-1])
            self.reorder(np.zeros(self.batch, np.int64))
            self._logits[1:] = self._logits[0]
        return self._logits[:, 0]

    def prefill_row(self, row: int, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.RaggedDecoder.prefill_row`."""
        prompt = checked_ids(ids, self.architecture, self.max_length)
        if prompt.ndim != 1 or not 0 <= row < self.batch:
            raise ModelError(f"one prompt for a row of 0–{self.batch - 1}", f"shape {prompt.shape}, row {row}")
        self._fill_row(row, prompt)
        return self._logits[row, 0]

    def copy_row(self, source: int, row: int) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.RaggedDecoder.copy_row`."""
        self._marks.pop(row, None)
        length = int(self._lengths[source])
        for cache in self._caches.values():
            cache[row, :, :length] = cache[source, :, :length]
        self._lengths[row] = length
        self._logits[row] = self._logits[source]
        return self._logits[row, 0]

    def mark_row(self, row: int) -> np.ndarray:
        """See :class:`~cadenza.model.decoder.RaggedDecoder`."""
        # A whole cache only grows behind what it holds; a windowed one moves, and is copied.
        kept = {name: self._caches[name][row].copy() for name in self._windowed}
        self._marks[row] = _Place(int(self._lengths[row]), kept, self._logits[row].copy())
        return self._logits[row, 0]

    def back_row(self, row: int) -> np.ndarray | None:
        """See :class:`~cadenza.model.decoder.RaggedDecoder`."""
        place = self._marks.get(row)
        if place is None:
            return None
        for name, cache in place.caches.items():
            self._caches[name][row] = cache
        self._lengths[row] = place.length
        self._logits[row] = place.logits
        return self._logits[row, 0]

    def step(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.step`."""
        return self.step_rows(ids, np.ones(self.batch, bool))

    def step_rows(self, ids: Any, active: np.ndarray) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.RaggedDecoder.step_rows`."""
        if (self._lengths[active] >= self.max_length).any():
            raise ModelError(f"at most {self.max_length} tokens", "one more", hint="Open with a greater max_length.")
        self._ids[:, 0] = checked_step(ids, self.batch, self.architecture.n_vocabulary)
        # A row that rests is computed along at its end (or at its last place) and what it wrote there is written over.
        np.minimum(self._lengths, self.max_length - 1, out=self._last)
        self._total[...] = self._last.max() + 1
        self._session.run_with_iobinding(self._step_binding)
        self._lengths[active] += 1
        return self._logits[:, 0]

    def score(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.score`."""
        tokens = checked_ids(ids, self.architecture, self.max_length)
        if tokens.ndim != 1:
            raise ModelError("one row of tokens", f"shape {tokens.shape}")
        found = np.empty(len(tokens) - 1, np.float64)
        for start, logits in self._all_logits(tokens[:-1]):
            stop = start + len(logits)
            found[start:stop] = picked_log_probabilities(logits, tokens[start + 1 : stop + 1])
        return found

    def mean_logits(self, ids: Any) -> np.ndarray:
        """The mean over the logits that follow each of ``ids`` (T,); float64 (V,). Forgets all tokens.

        Raises:
            ModelError: as for :meth:`prefill`.
        """
        tokens = checked_ids(ids, self.architecture, self.max_length)
        total = np.zeros(self.architecture.n_vocabulary)
        for _, logits in self._all_logits(tokens.reshape(-1)):
            total += logits.sum(axis=0, dtype=np.float64)
        return total / tokens.size

    def _all_logits(self, tokens: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(first place, logits (S, V)) of one row of tokens, chunk by chunk."""
        self.reset()
        for start in range(0, len(tokens), CHUNK):
            chunk = tokens[start : start + CHUNK]
            logits = np.empty((1, len(chunk), self.architecture.n_vocabulary), np.float32)
            self._pass(0, chunk, start, np.arange(len(chunk), dtype=np.int64), logits)
            yield start, logits[0]
        self.reset()

    def reorder(self, rows: Any) -> None:
        """See :meth:`cadenza.model.decoder.Decoder.reorder`."""
        index = checked_rows(rows, self.batch)
        self._marks.clear()
        length = self.length
        for cache in self._caches.values():
            filled = cache[:, :, :length]  # a windowed cache is never longer than this either
            filled[...] = filled[index]
        self._lengths[:] = self._lengths[index]

    def _fill_row(self, row: int, ids: np.ndarray) -> None:
        """Begin ``row`` anew with ``ids`` (S,); its logits are in place."""
        self._marks.pop(row, None)
        last = np.empty(1, np.int64)
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            last[0] = len(chunk) - 1
            self._pass(row, chunk, start, last, self._logits[row : row + 1])
        self._lengths[row] = len(ids)

    def _pass(self, row: int, ids: np.ndarray, start: int, positions: np.ndarray, logits: np.ndarray) -> None:
        """Run ``ids`` (S,) in one row whose cache holds ``start`` tokens; fills ``logits``, (1, R, V)."""
        self._total[...] = start + len(ids)
        last = np.full(1, start + len(ids) - 1, np.int32)
        self._session.run_with_iobinding(self._bind(slice(row, row + 1), ids[None], last, positions, logits))

    def _bind(self, rows: slice, ids: np.ndarray, last: np.ndarray, positions: np.ndarray, logits: np.ndarray) -> Any:
        """The session's inputs and outputs as views of arrays, which the caller keeps alive while the binding runs."""
        binding = self._session.io_binding()

        def bind(add: Any, name: str, array: np.ndarray) -> None:
            assert array.flags.c_contiguous  # the runtime sees an address and a shape, no strides
            add(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

        for name, array in (
            ("ids", ids),
            ("last", last),
            ("total", self._total),
            ("positions", positions),
            ("cosine", self._cosine),
            ("sine", self._sine),
        ):
            bind(binding.bind_input, name, array)
        for name, cache in self._caches.items():
            bind(binding.bind_input, f"past_{name}", cache[rows])
            bind(binding.bind_output, f"present_{name}", cache[rows])
        bind(binding.bind_output, "logits", logits)
        return binding


def _open(model: Path | str | bytes, threads: int) -> tuple[Any, Architecture, str]:
    """Session, architecture and precision of a graph."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(
            "the package onnxruntime", "none", hint="Install it, or use the NumPy decoder."
        ) from None
    where = "the given bytes" if isinstance(model, bytes) else str(model)
    data = model if isinstance(model, bytes) else read_model_file(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the cores to others
    options.log_severity_level = 3
    # A graph may name files to take weights from; ours never does, and a stranger's finds nothing at this place.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", f"{os.devnull}/none")
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's parser raises a family of types without a common root of its own
        hint = f"It needs onnxruntime 1.29 or later (here {onnxruntime.__version__}), or was damaged: export it again."
        raise ModelError("a graph that onnxruntime can run", str(error)[:200], where=where, hint=hint) from error
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError("a graph exported by cadenza", "an ONNX file without our metadata", where=where)
    about = read_json_object(text.encode(), where)
    if about.get("version") != GRAPH_VERSION or not isinstance(about.get("architecture"), dict):
        raise ModelError(
            f"graph version {GRAPH_VERSION}", repr(about.get("version"))[:40], where=where, hint="Export it again."
        )
    architecture = Architecture.from_dict(about["architecture"], where)
    _check_interface(session, architecture, where)
    return session, architecture, str(about.get("precision"))


def _check_interface(session: Any, a: Architecture, where: str) -> None:
    """Compare the graph's inputs and outputs with its metadata: the runtime writes where we point it."""
    caches = {f"{part}.{layer}" for part in ("key", "value") for layer in range(a.n_layers)}
    fixed = {"ids", "last", "total", "positions", "cosine", "sine"}
    inputs = {item.name: item.shape for item in session.get_inputs()}
    outputs = {item.name: item.shape for item in session.get_outputs()}
    good = (
        set(inputs) == fixed | {f"past_{name}" for name in caches}
        and set(outputs) == {"logits"} | {f"present_{name}" for name in caches}
        and outputs["logits"][2] == a.n_vocabulary
        and all(
            shape[1::2] == [a.n_key_value_heads, a.head_width]
            for name, shape in (inputs | outputs).items()
            if name.startswith(("past_", "present_"))
        )
    )
    if not good:
        raise ModelError("inputs and outputs as its metadata says", "others", where=where, hint="Export it again.")
