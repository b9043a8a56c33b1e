"""Composers on held-out works of a corpus, task by task and family by family, beside n-grams and copying.

    python -m benchmarks.composer_held_out --corpus DIR --model DIR --model DIR2 … --out FILE.json

The corpus is one of the recipe ``composer``, with its folder ``work``. Examples are made of its test works as they are,
and of arrangements of them as bands (bass and electric guitars occur nowhere else) whose drums are Groove's held-out
performances, by the corpus's own functions. Every system pays for the same tokens: those of the bars of the completion;
a completion's header, which differs between tasks, is given. So figures of tasks compare with each other, too:

- ``infill`` beside ``infill as continue``: the same bars after the bars before them alone;
- ``accompany`` beside ``accompany as continue``: the same part from its header alone.

A document is at most 1,024 tokens (the first model's context), at most ``--per-work`` a work, task and
source or family, so that no work dominates.
Intervals are paired bootstraps over works. n-grams (interpolated Kneser–Ney, orders to 12) count documents of the
training split until ``--ngram-tokens`` are read; the order, and the weights of copying, are chosen on validation rows.
A model may have been trained on works that are held out here (one that is older than the split): it is then judged
too well, so a gain over it is a lower bound.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus import band
from cadenza.corpus.build import rng_for
from cadenza.corpus.excerpts import viewed
from cadenza.corpus.open import BuiltCorpus
from cadenza.corpus.pipeline import CorpusConfig
from cadenza.corpus.store import Piece, load_pieces
from cadenza.corpus.task import AFTER, BEFORE, Example, Settings, examples
from cadenza.metrics import copying, ngram
from cadenza.model.vocabulary import BOS, Vocabulary
from cadenza.score.model import Score
from cadenza.train.rows import tokenize_units, units

MOST_TOKENS = 1024
PER_WORK = 1
N_RESAMPLES = 10_000
MAX_ORDER = 12


@dataclass(frozen=True)
class Document:
    """One held-out document.

    Args:
        kind: the task, or "infill as continue", "accompany as continue".
        group: its group of works.
        label: source of a continuation, family of a part.
        ids: (n,) with ``<bos>``.
        n_given: ids that are given.
        n_notes: notes that are paid for.
    """

    kind: str
    group: str
    label: str
    ids: NDArray[np.int64]
    n_given: int
    n_notes: int

    @classmethod
    def of(
        cls, codec: Vocabulary, start: str, kind: str, group: str, label: str, prompt: str, completion: str, notes: int
    ) -> Document:
        """From texts; ``start`` begins a bar of the notation."""
        given = [BOS, *(i for part in tokenize_units(codec, units(prompt.removesuffix(" "), start)) for i in part)]
        body = [i for part in tokenize_units(codec, units(completion, start)) for i in part]
        return cls(kind, group, label, np.array(given + body, np.int64), len(given), notes)


class Maker:
    """Test (or validation) pieces of a corpus → documents."""

    def __init__(self, corpus: Path, split: str) -> None:
        self.split = split
        self.built = BuiltCorpus.open(corpus)
        self.config = build_config(CorpusConfig, dict(self.built.manifest["config"]), "manifest")
        self.notation = self.built.notation
        self.codec = Vocabulary.of(self.notation.vocabulary())
        shared = self.config.task_settings(self.notation)
        self.settings: dict[str, Settings] = {name: settings for name, (_, settings) in shared.items()}
        self.pieces = list(self._pieces(corpus / "work", split))

    def _pieces(self, work: Path, split: str) -> Iterator[tuple[str, Piece]]:
        chunks = json.loads((work / "decisions.json").read_bytes())["chunks"]
        for index, entries in enumerate(chunks):
            if not any(not entry["dropped"] and entry["split"] == split for entry in entries):
                continue
            for piece, entry in zip(load_pieces(work / f"ingest-{index:05d}.npz"), entries, strict=True):
                if not entry["dropped"] and entry["split"] == split:
                    yield entry["group"], piece

    def documents(self, seed: int = 0, per_work: int = PER_WORK) -> list[Document]:
        """At most ``per_work`` of each work and kind of label, drawn from the seed."""
        kit = band.drum_kit(piece for _, piece in self.pieces)
        found: dict[tuple[str, str, str], list[Document]] = defaultdict(list)
        for group, piece in self.pieces:
            rng = rng_for(seed, piece.path)
            scores: list[tuple[str, Score]] = [("", piece.score)]
            if piece.source in band.SOURCES and kit:
                made = band.arrange(piece.score, kit, rng)
                scores += [("+band", made[1])] if made is not None else []
            for suffix, score in scores:
                for _, part, _ in viewed(score):
                    tasks = {name: (1.0, settings) for name, settings in self.settings.items()}
                    try:
                        told = examples(part, tasks, rng)
                    except CadenzaError:
                        continue
                    for one in told:
                        for document in self._of(one, group, piece.source + suffix):
                            if len(document.ids) <= MOST_TOKENS:
                                found[group, document.kind, document.label].append(document)
        out = []
        for key in sorted(found):
            kind = key[1]
            if kind.endswith("as continue"):
                continue
            mine = found[key]
            chosen = rng_for(seed, *key).permutation(len(mine))[:per_work]
            out += [mine[index] for index in chosen]
            twins = found.get((key[0], f"{kind} as continue", key[2]), [])
            if len(twins) == len(mine):
                out += [twins[index] for index in chosen]
        return out

    def _of(self, example: Example, group: str, source: str) -> Iterator[Document]:
        """The document of an example and, for a gap or a part, the same bars in the form of a continuation."""
        notes, completion = example.n_notes, example.completion
        label = source if example.task != "accompany" else str(example.detail["part"])
        if example.task == "continue":
            yield self._document("continue", group, label, example.prompt, completion, notes)
            return
        header, _, bars = completion.partition("\n")
        given = example.prompt + header + "\n"
        alone = header + "\n"
        if example.task == "infill":
            before = example.prompt[len(BEFORE) + 1 : example.prompt.index(f"\n{AFTER}\n")]
            alone = before + " "
        first = self._document(example.task, group, label, given, bars, notes)
        second = self._document(f"{example.task} as continue", group, label, alone, bars, notes)
        # Both or neither, so that they stay pairs.
        if max(len(first.ids), len(second.ids)) <= MOST_TOKENS:
            yield first
            yield second

    def _document(self, kind: str, group: str, label: str, prompt: str, completion: str, n_notes: int) -> Document:
        return Document.of(self.codec, self.notation.unit_start, kind, group, label, prompt, completion, n_notes)


# ── systems ──────────────────────────────────────────────────────────────────────────────────────────────


def model_bits(folder: Path, documents: Sequence[Document]) -> NDArray[np.float64]:
    """−log2 p of each document's bars under a model, shape (m,)."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    out = np.zeros(len(documents))
    with torch.no_grad():
        for number, document in enumerate(documents):
            ids = torch.from_numpy(document.ids)[None]
            logits = model(input_ids=ids, use_cache=False).logits[0, document.n_given - 1 : -1].float()
            nats = torch.nn.functional.cross_entropy(logits, ids[0, document.n_given :], reduction="sum")
            out[number] = float(nats) / np.log(2)
    return out


def n_gram_bits(
    corpus: Path, validation: Sequence[Document], test: Sequence[Document], n_tokens: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Bits of each test document under the best n-gram, and under it mixed with copying; and what was chosen."""
    built = BuiltCorpus.open(corpus)
    start, codec = built.notation.unit_start, Vocabulary.of(built.notation.vocabulary())
    train: list[NDArray[np.uint16]] = []
    names = [name for name in built.manifest["shards"] if Path(name).name.startswith("train-")]
    order = np.random.default_rng(0).permutation(len(names))
    from cadenza.corpus import shards

    read = 0
    for place in order.tolist():
        for row in shards.load(corpus / names[place]):
            parts = [*units(row["prompt"].rstrip(" "), start), *units(row["completion"], start)]
            ids = [BOS, *(i for part in parts for i in codec.tokenize(part.removeprefix(" ")))]
            train.append(np.array(ids, np.uint16))
            read += len(ids)
        if read >= n_tokens:
            break
    held = [*validation, *test]
    texts = [document.ids.astype(np.uint16) for document in held]
    table = ngram.log2_probabilities(train, texts, len(codec), max_order=MAX_ORDER, smoothings=("modified-kneser-ney",))
    rows = table["modified-kneser-ney"]
    row_of = np.repeat(np.arange(len(held)), [len(text) for text in texts])
    counts = np.concatenate([np.arange(len(d.ids)) >= d.n_given for d in held])
    on_validation = row_of < len(validation)
    chosen = int(np.argmin([-row[counts & on_validation].sum() for row in rows]))
    best = rows[chosen]
    group, hit = copying.match_groups(texts)
    fit = counts & on_validation
    weight = copying.fit_weights(group[fit], hit[fit], best[fit])
    mixed = copying.mixed_log2(group, hit, best, weight)

    def bits(log2_p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(row_of[counts], -log2_p[counts], len(held))[len(validation) :]

    about = {"order": chosen + 1, "smoothing": "modified-kneser-ney", "train_tokens": read}
    return {"n-gram": bits(best), "n-gram + copying": bits(mixed)}, about


def gain(before: NDArray[np.float64], after: NDArray[np.float64], groups: Sequence[str]) -> dict[str, float]:
    """(before − after) / before, with the 95 % interval of a paired bootstrap over groups of works."""
    names = sorted(set(groups))
    index = np.array([names.index(group) for group in groups])
    was, now = (np.bincount(index, values, len(names)) for values in (before, after))
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), N_RESAMPLES)
    low, high = np.quantile(1 - (drawn @ now) / (drawn @ was), [0.025, 0.975])
    return {"gain": float(1 - now.sum() / was.sum()), "low": float(low), "high": float(high), "works": len(names)}


def measure(
    corpus: Path, models: Sequence[Path], ngram_tokens: int, per_work: int, limit: int | None
) -> dict[str, Any]:
    """All that is written to the file."""
    test, validation = (Maker(corpus, split).documents(per_work=per_work)[:limit] for split in ("test", "validation"))
    print(f"{len(test)} documents, {sum(len(d.ids) for d in test):,} tokens", flush=True)
    validation = [one for one in validation if not one.kind.endswith("as continue")]
    bits, about = n_gram_bits(corpus, validation, test, ngram_tokens)
    for folder in models:
        bits[folder.name] = model_bits(folder, test)
        print(folder.name, "done", flush=True)
    notes = np.array([document.n_notes for document in test])
    kinds = sorted({(document.kind, "") for document in test} | {(d.kind, d.label) for d in test})
    rows = []
    for kind, label in kinds:
        mine = np.array([d.kind == kind and label in ("", d.label) for d in test])
        row: dict[str, Any] = {
            "task": kind,
            "of": label or "all",
            "documents": int(mine.sum()),
            "notes": int(notes[mine].sum()),
        }
        row["works"] = len({d.group for d, chosen in zip(test, mine, strict=True) if chosen})
        row["bits_per_note"] = {name: float(values[mine].sum() / notes[mine].sum()) for name, values in bits.items()}
        rows.append(row)
    newest = models[-1].name if models else ""
    gains: dict[str, Any] = {}
    if newest:
        for kind in sorted({d.kind for d in test}):
            mine = np.array([d.kind == kind for d in test])
            groups = [d.group for d in test if d.kind == kind]
            gains[kind] = {
                f"over {name}": gain(values[mine], bits[newest][mine], groups)
                for name, values in bits.items() if name != newest
            }  # fmt: skip
        for task in ("infill", "accompany"):
            mine = np.array([d.kind == task for d in test])
            alone = np.array([d.kind == f"{task} as continue" for d in test])
            groups = [d.group for d in test if d.kind == task]
            if mine.sum() and mine.sum() == alone.sum():
                gains[task][f"over {newest} as continue"] = gain(bits[newest][alone], bits[newest][mine], groups)
    return {
        "corpus_fingerprint": BuiltCorpus.open(corpus).manifest["fingerprint"],
        "versions": versions(),
        "n_gram": about,
        "rows": rows,
        f"gain_of_{newest}": gains,
        "most_tokens": MOST_TOKENS,
        "per_work": per_work,
        "n_resamples": N_RESAMPLES,
    }


def table(result: dict[str, Any]) -> str:
    """What was measured, in lines to read."""
    names = list(result["rows"][0]["bits_per_note"])
    lines = [f"{'task':24}{'of':26}{'works':>6}{'notes':>8}" + "".join(f"{name[:16]:>18}" for name in names)]
    for row in result["rows"]:
        cells = "".join(f"{row['bits_per_note'][name]:18.3f}" for name in names)
        lines.append(f"{row['task']:24}{row['of']:26}{row['works']:6}{row['notes']:8,}{cells}")
    for key, gains in result.items():
        if key.startswith("gain_of_"):
            for task, found in gains.items():
                for over, one in found.items():
                    said = f"{one['gain']:+.1%} ({one['low']:+.1%} … {one['high']:+.1%}), {one['works']} works"
                    lines.append(f"{task}, {over}: {said}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[], help="folders; the last one is the newest")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ngram-tokens", type=int, default=8_000_000)
    parser.add_argument("--per-work", type=int, default=PER_WORK)
    parser.add_argument("--limit", type=int, help="only so many documents (a quick look)")
    chosen = parser.parse_args(arguments)
    result = measure(chosen.corpus, chosen.model, chosen.ngram_tokens, chosen.per_work, chosen.limit)
    write_atomically(chosen.out, json.dumps(result, indent=1).encode())
    print(table(result))


if __name__ == "__main__":
    main()
