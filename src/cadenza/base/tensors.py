"""Tensors on disk: the safetensors format, read and written with the standard library and NumPy.

A file is eight bytes of header length (little endian), a JSON header that gives each tensor's dtype, shape and byte
range, and the bytes. Nothing in it can run code; what can go wrong is a header that lies, so every range is checked
against the file before an array is made: ranges must tile the data exactly, without holes or overlaps, as the
format's specification demands.

Specification: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import FormatError, ModelError
from cadenza.base.files import write_atomically
from cadenza.base.limits import Limits, read_bytes

MODEL_LIMITS = Limits(file_bytes=1 << 30)
HEADER_BYTES = 8 << 20
DIMENSIONS = 8

# BF16 has no NumPy dtype; it is the upper half of a float32 and is widened on reading.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}


def read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    """All tensors of a file by name, read-only; BF16 comes back as float32, every other dtype as stored.

    Raises:
        ModelError: the file is missing, too large, or its header does not describe its bytes exactly.
    """
    where = str(path)
    data = read_model_file(path)
    header = _header(data, where)
    body = memoryview(data)[8 + int.from_bytes(data[:8], "little") :]
    tensors, ranges = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        array, start, stop = _tensor(entry, body, f"{where}, tensor {name!r}")
        tensors[name] = array
        ranges.append((start, stop))
    position = 0
    for start, stop in sorted(ranges):
        if start != position:
            raise ModelError("tensors that tile the data", f"a gap or overlap at byte {position}", where=where)
        position = stop
    if position != len(body):
        raise ModelError(f"tensors covering {len(body)} bytes", f"{position} covered", where=where)
    return tensors


def write_safetensors(path: Path | str, tensors: Mapping[str, np.ndarray]) -> None:
    """Write ``tensors`` atomically, in the order given; the inverse of :func:`read_safetensors`.

    Raises:
        ModelError: a dtype that the format does not know.
        FormatError: the place is not writable.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers asks for this key
    parts, position = [], 0
    for name, array in tensors.items():
        stored = np.ascontiguousarray(array)
        dtype = stored.dtype.newbyteorder("<") if stored.dtype.itemsize > 1 else stored.dtype
        if dtype not in _NAMES:
            raise ModelError(f"a dtype of {sorted(_NAMES.values())}", str(array.dtype), where=f"tensor {name!r}")
        part = stored.astype(dtype, copy=False).tobytes()
        stop = position + len(part)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(array.shape), "data_offsets": [position, stop]}
        parts.append(part)
        position = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the data aligned
    write_atomically(path, b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def read_model_file(path: Path | str) -> bytes:
    """The bytes of one file of a model folder.

    Raises:
        ModelError: it is missing, unreadable or larger than ``MODEL_LIMITS.file_bytes``.
    """
    try:
        return read_bytes(path, MODEL_LIMITS)
    except FormatError as error:
        raise ModelError(error.expected, error.actual, where=error.where, hint=error.hint) from None


def read_json_object(data: bytes, where: str) -> dict[str, Any]:
    """``data`` as a JSON object whose keys are all different.

    Raises:
        ModelError: it is not one.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ModelError("every key once", "a key given twice", where=where)
        return found

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ModelError("JSON", f"{type(error).__name__}: {error}"[:200], where=where) from None
    if not isinstance(found, dict):
        raise ModelError("a JSON object", type(found).__name__, where=where)
    return found


def _header(data: bytes, where: str) -> dict[str, Any]:
    if len(data) < 8:
        raise ModelError("a safetensors file", f"{len(data)} bytes", where=where)
    size = int.from_bytes(data[:8], "little")
    if size > min(HEADER_BYTES, len(data) - 8):
        raise ModelError(
            f"a header of at most {min(HEADER_BYTES, len(data) - 8):,} bytes",
            f"one that claims {size:,}",
            where=where,
            hint="The file is cut short or not safetensors.",
        )
    return read_json_object(data[8 : 8 + size], f"{where}, header")


def _tensor(entry: Any, body: memoryview, where: str) -> tuple[np.ndarray, int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelError("dtype, shape and data_offsets", repr(entry)[:80], where=where)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelError(f"a dtype of {sorted(_DTYPES)}", repr(dtype)[:40], where=where)
    if not _counts(shape, DIMENSIONS):
        raise ModelError(f"at most {DIMENSIONS} sizes", repr(shape)[:80], where=where)
    if not _counts(offsets, 2) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= len(body):
        raise ModelError(f"a byte range within {len(body)}", repr(offsets)[:80], where=where)
    kind = np.dtype(_DTYPES[dtype])
    needed = math.prod(shape) * kind.itemsize
    if needed != offsets[1] - offsets[0]:
        raise ModelError(f"{needed} bytes for {dtype} of {shape}", f"{offsets[1] - offsets[0]}", where=where)
    array = np.frombuffer(body[offsets[0] : offsets[1]], dtype=kind).reshape(shape)
    if dtype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    array.flags.writeable = False
    return array, offsets[0], offsets[1]


def _counts(value: Any, most: int) -> bool:
    """Whether ``value`` is a list of at most ``most`` whole numbers from 0 to 2^40 (bool is no number here)."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(item) is int and 0 <= item < 1 << 40 for item in value)
    )
