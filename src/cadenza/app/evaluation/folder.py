"""The folder of an evaluation: its configuration, one row a piece, the report.

Each row is written whole or not at all, and a report follows from the rows alone. So a run that was killed goes on
where it was and ends with the same report; another configuration in the same folder is an error that says what differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cadenza.base.errors import ConfigError, FormatError
from cadenza.base.files import clear_unfinished, locked, write_atomically
from cadenza.base.run import versions

CONFIG, REPORT, PAGE, ROWS, TIMING = "config.json", "report.json", "report.html", "rows.json", "timing.json"


@contextmanager
def opened(out: Path, kind: str, config: Any) -> Iterator[None]:
    """Hold ``out`` for a run with this configuration (a dataclass).

    Raises:
        ConfigError: the folder holds a run of another configuration.
        FormatError: it cannot be written, or another run is at work there.
    """
    try:
        (out / "pieces").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError("a folder to write to", error.strerror or str(error), where=str(out)) from error
    with locked(out / "lock", "Another evaluation works in this folder: wait for it, or choose another folder."):
        for folder in (out, out / "pieces"):
            clear_unfinished(folder)
        values = {"kind": kind, **json.loads(json.dumps(asdict(config)))}
        path = out / CONFIG
        if path.exists():
            before = read_json(path)["config"]
            changed = [
                f"{key}: was {before.get(key)!r}, now {values.get(key)!r}"
                for key in sorted({*before, *values})
                if before.get(key) != values.get(key)
            ]
            if changed:
                raise ConfigError(
                    "the configuration that this folder began with", "; ".join(changed), where=str(path),
                    hint="Use another folder.",
                )  # fmt: skip
        else:
            write_json(path, {"config": values, "versions": versions()})
        yield


def row_path(out: Path, index: int) -> Path:
    """Where the row of a piece lies."""
    return out / "pieces" / f"{index:05d}.json"


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows, in the order of the pieces."""
    return [read_json(path) for path in sorted((out / "pieces").glob("*.json")) if path.stem.isdigit()]


def read_json(path: Path) -> Any:
    """What a JSON file says.

    Raises:
        FormatError: it is missing or broken.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError("a JSON file", str(error)[:200], where=str(path)) from None


def write_json(path: Path, value: Any) -> None:
    """Write atomically, for people to read too. NaN has no place in it: what is not known is left out or None."""
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
