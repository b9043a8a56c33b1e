"""What a corpus holds, in numbers: notes, hours, keys, metres, instruments, velocities, bends, tokens a note."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from cadenza.corpus.open import BuiltCorpus, after_instruction

CONTEXT_TOKENS = 4_096
Tokenize = Callable[[str], int]


def statistics(corpus: BuiltCorpus, count_tokens: Tokenize | None = None) -> dict[str, Any]:
    """Figures of a corpus, from its manifest, its readings and its rows.

    Args:
        count_tokens: tokens of a text by some tokenizer; without it the notation's own fields are counted, as a
            vocabulary made for the notation has them.

    Returns a dictionary with, for each split, ``examples``, ``notes``, ``hours``, ``tokens_per_note`` and
    ``seconds_per_4096_tokens`` (of music, completions of ``continue`` rows), and over the pieces used the
    distributions ``keys``, ``metres``, ``families``, ``velocities``, ``bend_share`` and ``sources``, and as
    ``family_known_by`` how many tracks say their family, how many had theirs told by their notes, and how many of
    those that say one sound like another.
    """
    notation, style = corpus.notation, corpus.manifest["config"]["style"]

    def fields(text: str) -> int:
        return sum(1 for _ in notation.fields(text))

    count = count_tokens or fields
    splits: dict[str, dict[str, Any]] = {}
    for split, held in corpus.manifest["splits"].items():
        notes = tokens = 0
        seconds = 0.0
        for row in corpus.rows(split):
            if row["task"] != "continue":
                continue
            prompt = after_instruction(row["prompt"]) if style == "instruct" else row["prompt"]
            whole = notation.decode(prompt + row["completion"])
            tokens += count(prompt + row["completion"])
            notes += whole.n_notes
            seconds += row["seconds"]
        splits[split] = {
            "examples": held["examples"],
            "notes": held["notes"],
            "hours": round(held["seconds"] / 3600, 3),
            "tokens_per_note": round(tokens / notes, 3) if notes else None,
            f"seconds_per_{CONTEXT_TOKENS}_tokens": round(CONTEXT_TOKENS * seconds / tokens, 2) if tokens else None,
        }
    return {"splits": splits, **distributions(corpus)}


def distributions(corpus: BuiltCorpus) -> dict[str, Any]:
    """Keys, metres, families … of the pieces that the corpus uses, counted by piece."""
    decisions = json.loads((corpus.folder / "work" / "decisions.json").read_bytes())["chunks"]
    counts: dict[str, Counter[str]] = {
        name: Counter()
        for name in (
            "keys", "metres", "families", "family_known_by", "sources", "bend_share", "polyphony", "velocities",
        )
    }  # fmt: skip
    for index, entries in enumerate(decisions):
        path = corpus.folder / "work" / f"ingest-{index:05d}.json"
        for row, entry in zip(json.loads(path.read_bytes())["pieces"], entries, strict=True):
            if entry["dropped"]:
                continue
            facts = row["facts"]
            counts["keys"][facts["key"] or "unsaid"] += 1
            counts["metres"][facts["metre"]] += 1
            counts["families"].update(facts["families"])
            inferred, doubtful = facts["n_families_inferred"], facts["n_families_doubtful"]
            said = len(facts["families"]) - inferred - doubtful
            counts["family_known_by"].update({"source": said, "notes": inferred, "source, doubtful": doubtful})
            counts["sources"][row["source"]] += 1
            counts["bend_share"][_bin(facts["bend_share"], (0.0, 0.01, 0.05, 0.1, 0.2, 0.5))] += 1
            counts["polyphony"][_bin(facts["polyphony"], (0.0, 1.05, 2.0, 3.0, 4.0, 6.0))] += 1
            counts["velocities"][_bin(facts["n_velocities"], (0, 1, 2, 8, 32, 64))] += 1
    return {name: dict(found.most_common()) for name, found in counts.items()}


def _bin(value: float, edges: tuple[float, ...]) -> str:
    """The interval between edges in which ``value`` lies, both ends said; a value at an edge belongs below it."""
    if value <= edges[0]:
        return f"{edges[0]:g}"
    for low, high in pairwise(edges):
        if value <= high:
            return f"{low:g}–{high:g}"
    return f"above {edges[-1]:g}"
