"""Rows of a corpus and the Parquet files that hold them (zstd), under the field's column names.

``load_dataset("parquet", data_files={"train": "DIR/data/train-*.parquet"})`` reads them; ``prompt`` and ``completion``
are what trainers of language models look for.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from cadenza.base.errors import FormatError, MissingExtraError
from cadenza.base.files import write_atomically
from cadenza.corpus.store import Piece
from cadenza.corpus.task import Example

#: Column → Arrow type.
COLUMNS = {
    "id": "string", "task": "string", "prompt": "string", "completion": "string", "detail": "string",
    "source": "string", "path": "string", "title": "string", "artist": "string", "work_id": "string", "group": "string",
    "licence": "string", "attribution": "string", "copy": "int32", "edits": "string", "first_bar": "int32",
    "n_bars": "int32", "n_notes": "int32", "seconds": "float64", "weight": "float64",
}  # fmt: skip


def row(
    example: Example, piece: Piece, entry: dict[str, Any], edits: dict[str, Any], copy: int, artist: str, title: str
) -> dict[str, Any]:
    """One row. Its ``id`` is a hash of where it comes from and what it says."""
    out = example.record() | {
        "source": piece.source,
        "path": piece.path,
        "title": title,
        "artist": artist,
        "work_id": piece.work_id,
        "group": entry["group"],
        "licence": piece.licence,
        "attribution": piece.attribution,
        "copy": copy,
        "edits": json.dumps(edits, sort_keys=True, default=_plain),
        "weight": entry["weight"],
    }
    parts = [out[name] for name in ("source", "path", "copy", "task", "first_bar", "prompt", "completion")]
    return {"id": hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]} | out


def _plain(value: Any) -> Any:
    """NumPy scalars as JSON numbers."""
    return value.item()


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            "pyarrow, which writes Parquet", "no such package", hint="pip install 'cadenza[corpus]'"
        ) from None
    return pyarrow


def save(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write the rows; returns the file's SHA-256.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FormatError: the disk refuses.
    """
    arrow = _arrow()
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in COLUMNS.items()])
    table = arrow.Table.from_pylist(rows, schema=schema)
    out = io.BytesIO()
    arrow.parquet.write_table(table, out, compression="zstd")
    data = out.getvalue()
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of :func:`save`.

    Raises:
        FormatError: it is missing or no Parquet file with these columns.
    """
    arrow = _arrow()
    try:
        table = arrow.parquet.read_table(path)
    except (OSError, arrow.ArrowInvalid) as error:
        raise FormatError("a shard of a corpus (Parquet)", str(error)[:200], where=str(path)) from None
    missing = set(COLUMNS) - set(table.column_names)
    if missing:
        raise FormatError(
            f"the columns {', '.join(COLUMNS)}", f"none called {', '.join(sorted(missing))}", where=str(path)
        )
    return table.to_pylist()


def versions() -> dict[str, str]:
    """Version of what shapes the files' bytes."""
    return {"pyarrow": _arrow().__version__}
