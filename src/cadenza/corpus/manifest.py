"""The end of a build: what its chunks say, gathered into ``manifest.json`` and ``rejected.csv``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import prompts, shards
from cadenza.corpus.split import SHARES
from cadenza.notation.base import Notation

if TYPE_CHECKING:
    from cadenza.corpus.pipeline import CorpusConfig

VERSION = 2
SPLITS = tuple(name for name, _ in SHARES)


def finish(
    out: Path,
    config: CorpusConfig,
    notation: Notation,
    bases: Sequence[Path],
    marks: Sequence[Path],
    decisions: dict[str, Any],
) -> dict[str, Any]:
    """Gather what the chunks say into ``manifest.json`` and ``rejected.csv``; returns the manifest.

    Args:
        notation: of the texts, its options settled.
        bases, marks: what each chunk's reading and writing left behind.
    """
    written = [json.loads(mark.read_bytes()) for mark in marks]
    rejected: list[dict[str, str]] = []
    used: Counter[tuple[str, str, str]] = Counter()
    for base, entries, one in zip(bases, decisions["chunks"], written, strict=True):
        read = json.loads(base.with_suffix(".json").read_bytes())
        rejected += read["rejected"]
        for row, entry in zip(read["pieces"], entries, strict=True):
            if entry["dropped"]:
                kind = "Duplicate" if entry["dropped"].startswith("same notes as") else "NotSelected"
                said = {"error": kind, "reason": entry["dropped"]}
                rejected.append({"source": row["source"], "path": row["path"], **said})
            else:
                used[row["source"], row["licence"], row["attribution"]] += 1
        rejected += one["rejected"]
    names = ("source", "path", "error", "reason")
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rejected, key=lambda row: tuple(row[name] for name in names)))
    write_atomically(out / "rejected.csv", text.getvalue().encode())
    hashes = {name: digest for one in written for name, digest in one["shards"].items()}
    for path in (out / "data").glob("*.parquet"):  # of an earlier run over more files
        if f"data/{path.name}" not in hashes:
            path.unlink()
    manifest = {
        "version": VERSION,
        "fingerprint": hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest(),
        "config": {f.name: getattr(config, f.name) for f in fields(config)},
        "notation": {"name": notation.name, **notation.options()},
        "prompts": prompts.template(notation) if config.style == "instruct" else {},
        "versions": versions() | shards.versions(),
        "sources": [
            {"source": source, "licence": licence, "attribution": attribution, "pieces": count}
            for (source, licence, attribution), count in sorted(used.items())
        ],
        "splits": {
            split: _summed([one["counts"][split] for one in written if split in one["counts"]]) for split in SPLITS
        },
        "rejected": dict(sorted(Counter(row["error"] for row in rejected).items())),
        "shards": dict(sorted(hashes.items())),
    }  # fmt: skip
    write_atomically(out / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode())
    return manifest


def _summed(counts: list[dict[str, Any]]) -> dict[str, Any]:
    tasks: Counter[str] = Counter()
    for one in counts:
        tasks.update(one["tasks"])
    totals = {name: sum(one[name] for one in counts) for name in ("examples", "pieces", "notes", "seconds")}
    return totals | {"seconds": round(totals["seconds"], 3), "tasks": dict(sorted(tasks.items()))}
