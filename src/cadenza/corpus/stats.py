"""What a corpus holds: notes, hours, keys, metres, instruments, velocities, bends; and what it costs a model.

:func:`statistics` gathers all of it. Figures of the splits come from the rows as they were written; distributions from
the facts of the pieces; instruments, velocities and bends from the pieces' notes; and :func:`costs`, tokens a note and
seconds of music in 4,096 tokens, from pieces encoded again in every notation and counted by every tokenizer at hand.
The last two need the corpus's ``work`` folder and are left out where it has been deleted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.corpus.open import BuiltCorpus, after_instruction
from cadenza.corpus.store import Piece, load_pieces
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.score.time import ticks_to_seconds

CONTEXT_TOKENS = 4_096
COST_PIECES = 40  # pieces that are encoded again in every notation
COST_NOTES = 20_000  # longer pieces are left out of the comparison
Tokenize = Callable[[str], int]
#: Groups of eight General MIDI programs, in order.
PROGRAM_GROUPS = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects",
)  # fmt: skip
VELOCITY_BIN = 8
BEND_EDGES_CENTS = (0, 25, 75, 125, 175, 225, 325)


def statistics(corpus: BuiltCorpus, tokenizers: Mapping[str, Tokenize] | None = None) -> dict[str, Any]:
    """Figures of a corpus, from its manifest, its readings, its rows and its pieces.

    Args:
        tokenizers: name → tokens of a text; the notation's own fields, as a vocabulary made for it has them, and bytes
            are always counted.

    Returns a dictionary with, for each split (``splits``), ``examples``, ``notes``, ``hours``, ``tokens_per_note`` and
    ``seconds_per_4096_tokens`` (of music, ``continue`` rows, the notation's own fields); the distributions of
    :func:`distributions` (``family_known_by``: how many tracks say their family, how many had theirs told by their
    notes, how many of those that say one sound like another) and :func:`note_distributions`; and ``costs``, a list of
    :func:`costs`.
    """
    at_hand = (corpus.folder / "work" / "decisions.json").exists()
    found: dict[str, Any] = {"splits": _splits(corpus)}
    if at_hand:
        found |= distributions(corpus) | note_distributions(corpus)
        found["costs"] = costs(corpus, tokenizers or {})
    return found


def _splits(corpus: BuiltCorpus) -> dict[str, dict[str, Any]]:
    notation, style = corpus.notation, corpus.manifest["config"]["style"]
    splits: dict[str, dict[str, Any]] = {}
    for split, held in corpus.manifest["splits"].items():
        notes = tokens = 0
        seconds = 0.0
        for row in corpus.rows(split):
            if row["task"] != "continue":
                continue
            prompt = after_instruction(row["prompt"]) if style == "instruct" else row["prompt"]
            text = prompt + row["completion"]
            tokens += sum(1 for _ in notation.fields(text))
            notes += notation.decode(text).n_notes
            seconds += row["seconds"]
        splits[split] = {
            "examples": held["examples"],
            "pieces": held["pieces"],
            "notes": held["notes"],
            "hours": round(held["seconds"] / 3600, 3),
            "tokens_per_note": round(tokens / notes, 3) if notes else None,
            f"seconds_per_{CONTEXT_TOKENS}_tokens": round(CONTEXT_TOKENS * seconds / tokens, 2) if tokens else None,
        }
    return splits


def distributions(corpus: BuiltCorpus) -> dict[str, dict[str, int]]:
    """Keys, metres, families … of the pieces that the corpus uses, counted by piece."""
    names = (
        "keys", "metres", "families", "family_known_by", "sources", "bend_share", "polyphony", "distinct_velocities",
    )  # fmt: skip
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for _, row in _used(corpus):
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
        counts["distinct_velocities"][_bin(facts["n_velocities"], (1, 2, 8, 32, 64))] += 1
    ordered = ("bend_share", "polyphony", "distinct_velocities")
    return {
        name: dict(sorted(found.items(), key=lambda item: _start(item[0])) if name in ordered else found.most_common())
        for name, found in counts.items()
    }


def note_distributions(corpus: BuiltCorpus) -> dict[str, dict[str, int]]:
    """``instruments`` (notes by group of General MIDI programs), ``velocities`` (notes by velocity) and ``bends``
    (bent notes by how far they go from their pitch, in cents) of the pieces that the corpus uses."""
    instruments: Counter[str] = Counter()
    velocity = np.zeros(128, np.int64)
    bends: Counter[str] = Counter()
    for piece in _pieces(corpus):
        for track in piece.score.tracks:
            instruments["drums" if track.is_drums else PROGRAM_GROUPS[track.program // 8]] += len(track)
            velocity += np.bincount(track.notes["velocity"], minlength=128)
            if len(track.bends):
                furthest = np.zeros(len(track), np.int64)
                np.maximum.at(furthest, track.bends["note"], np.abs(track.bends["cents"].astype(np.int64)))
                bends.update(_bin(float(cents), BEND_EDGES_CENTS) for cents in furthest[furthest > 0])
    bins = velocity.reshape(-1, VELOCITY_BIN).sum(axis=1)
    return {
        "instruments": dict(instruments.most_common()),
        "velocities": {
            f"{max(1, at * VELOCITY_BIN)}–{(at + 1) * VELOCITY_BIN - 1}": int(n) for at, n in enumerate(bins) if n
        },
        "bends": dict(sorted(bends.items(), key=lambda item: _start(item[0]))),
    }


def costs(corpus: BuiltCorpus, tokenizers: Mapping[str, Tokenize]) -> list[dict[str, Any]]:
    """Tokens a note and seconds of music in 4,096 tokens, for each notation and tokenizer, over the same pieces.

    Pieces are drawn evenly over the corpus (:data:`COST_PIECES`); one that some notation refuses is counted in
    ``refused`` and serves none, so that all rows speak of the same notes.
    """
    own = corpus.notation
    others: dict[str, Notation] = {f"{own.name} (own)": own}
    plain = {name: NOTATIONS.load(name)() for name in NOTATIONS.names()}
    others |= {name: notation for name, notation in plain.items() if notation != own}
    counters: dict[str, Callable[[Notation, str], int]] = {
        "own words": lambda notation, text: sum(1 for _ in notation.fields(text)),
        "bytes": lambda notation, text: len(text.encode()),
    }
    counters |= {name: _of_text(count) for name, count in tokenizers.items()}
    totals: Counter[tuple[str, str]] = Counter()
    known = [at for at, row in _used(corpus) if row["facts"]["n_notes"] <= COST_NOTES]
    chosen = {known[at] for at in np.linspace(0, len(known) - 1, COST_PIECES).astype(int)} if known else set()
    notes = refused = 0
    seconds = 0.0
    for piece in _pieces(corpus, chosen):
        try:
            texts = {name: notation.encode(piece.score) for name, notation in others.items()}
            counted = {
                (name, by): count(others[name], text) for name, text in texts.items() for by, count in counters.items()
            }
        except CadenzaError:
            refused += 1
            continue
        totals.update(counted)
        notes += piece.score.n_notes
        seconds += float(ticks_to_seconds(piece.score, max(track.end_ticks for track in piece.score.tracks)))
    return [
        {
            "notation": name,
            "options": {key: value for key, value in others[name].options().items() if key != "name"},
            "tokenizer": by,
            "pieces": len(chosen) - refused,
            "refused": refused,
            "notes": notes,
            "tokens": total,
            "tokens_per_note": round(total / notes, 3),
            f"seconds_per_{CONTEXT_TOKENS}_tokens": round(CONTEXT_TOKENS * seconds / total, 2),
        }
        for (name, by), total in totals.items()
        if notes and total
    ]


def _of_text(count: Tokenize) -> Callable[[Notation, str], int]:
    return lambda notation, text: count(text)


def _used(corpus: BuiltCorpus) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """((chunk, place), what was read) of each piece that the corpus uses."""
    decisions = json.loads((corpus.folder / "work" / "decisions.json").read_bytes())["chunks"]
    for index, entries in enumerate(decisions):
        path = corpus.folder / "work" / f"ingest-{index:05d}.json"
        for place, (row, entry) in enumerate(zip(json.loads(path.read_bytes())["pieces"], entries, strict=True)):
            if not entry["dropped"]:
                yield (index, place), row


def _pieces(corpus: BuiltCorpus, chosen: set[tuple[int, int]] | None = None) -> Iterator[Piece]:
    """The pieces that the corpus uses (only the ``chosen``), one chunk in memory at a time."""
    held, chunk = -1, []
    for (index, place), _ in _used(corpus):
        if chosen is not None and (index, place) not in chosen:
            continue
        if index != held:
            held, chunk = index, load_pieces(corpus.folder / "work" / f"ingest-{index:05d}.npz")
        yield chunk[place]


def _start(interval: str) -> float:
    return float(interval.removeprefix("above ").partition("–")[0]) + 1e9 * interval.startswith("above ")


def _bin(value: float, edges: tuple[float, ...]) -> str:
    """The interval between edges in which ``value`` lies, both ends said; a value at an edge belongs below it. Between
    whole edges whole numbers are counted, so the lower end is the first that belongs to it."""
    if value <= edges[0]:
        return f"{edges[0]:g}"
    whole = all(isinstance(edge, int) for edge in edges)
    for low, high in pairwise(edges):
        if value <= high:
            return f"{high}" if whole and high == low + 1 else f"{low + whole:g}–{high:g}"
    return f"above {edges[-1]:g}"
