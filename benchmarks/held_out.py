"""How well a model, n-grams and copying tell held-out music, in bits per note.

    python benchmarks/held_out.py --tokens DIR --out FILE.json [--model DIR]

One row of at most 1,024 tokens from every work of the test store (header and whole bars of one passage); every system
pays for the same tokens, those after the header, under the same vocabulary. The n-grams count the whole train store,
each passage a document; order, smoothing and the weights of copying are chosen on rows of the validation store. The
interval is a paired bootstrap over works of 1 − bits of the model / bits of the best n-gram.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.metrics import copying, ngram
from cadenza.model.vocabulary import Vocabulary
from cadenza.train.tokens import TokenStore, held_out_rows

ROW_TOKENS = 1024
N_RESAMPLES = 10_000


@dataclass(frozen=True)
class Rows:
    """Held-out rows and what is needed to sum over them.

    Args:
        rows: (work, ids, header length, notes) as :func:`held_out_rows` gives them.
        source: the source of each row.
        n_notes: shape (m,), notes of each row.
        row_of: shape (n,), the row of each token, rows one after another.
        counts: shape (n,), whether a token comes after its header.
    """

    rows: list[tuple[int, NDArray[np.int64], int, int]]
    source: list[str]
    n_notes: NDArray[np.int64]
    row_of: NDArray[np.int64]
    counts: NDArray[np.bool_]

    @classmethod
    def of(cls, store: TokenStore, limit: int | None, seed: int = 0) -> Rows:
        rows = held_out_rows(store, ROW_TOKENS, per_work=1, seed=seed)[:limit]
        counts = [np.arange(len(ids)) >= n_header for _, ids, n_header, _ in rows]
        row_of = np.repeat(np.arange(len(rows)), [len(ids) for _, ids, _, _ in rows])
        n_notes = np.array([notes for *_, notes in rows])
        return cls(rows, [source_of(store, row) for row in rows], n_notes, row_of, np.concatenate(counts))

    @property
    def documents(self) -> list[NDArray[np.int64]]:
        return [ids for _, ids, _, _ in self.rows]

    def bits(self, log2_p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bits of each row, shape (m,), from log2 p of every token."""
        return np.bincount(self.row_of[self.counts], -log2_p[self.counts], len(self.rows))

    def per_note(self, bits: NDArray[np.float64]) -> dict[str, float]:
        """Bits per note overall and for each source."""
        out = {"all": float(bits.sum() / self.n_notes.sum())}
        for name in sorted(set(self.source)):
            mine = np.array([source == name for source in self.source])
            out[name] = float(bits[mine].sum() / self.n_notes[mine].sum())
        return out


def source_of(store: TokenStore, row: tuple[int, NDArray[np.int64], int, int]) -> str:
    """The source of the passage that a held-out row was cut from."""
    work, ids, n_header, _ = row
    body = ids[n_header:]
    for passage in np.flatnonzero(store.work == work):
        if not np.array_equal(store.header(passage), ids[1:n_header]):
            continue
        for start in store.bar_starts[store.first_bar[passage] : store.first_bar[passage + 1]]:
            stop = start + len(body)
            if stop <= store.header_starts[passage + 1] and np.array_equal(store.ids[start:stop], body):
                return store.sources[store.source[passage]]
    raise LookupError(f"no passage of work {work} holds its held-out row")


def passages_of(store: TokenStore) -> list[NDArray[np.uint16]]:
    """Every passage as a document: ``<bos>``, header, bars, ``<eos>`` at a piece's end."""
    return [store.from_bar(passage, 0, len(store.ids) + 2) for passage in range(len(store))]


def model_bits(folder: Path, rows: Rows) -> NDArray[np.float64]:
    """Bits of each row under a trained model, shape (m,)."""
    from transformers import MinistralForCausalLM

    from cadenza.train.pretrain import bits_per_note

    model = MinistralForCausalLM.from_pretrained(folder)
    return np.array([bits for _, bits, _ in bits_per_note(model, rows.rows)])


def relative_gain(before: NDArray[np.float64], after: NDArray[np.float64], seed: int = 0) -> dict[str, float]:
    """(before − after) / before over all works, with the 95 % interval of a paired bootstrap over works."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(before), np.full(len(before), 1 / len(before)), N_RESAMPLES)
    resampled = 1 - (drawn @ after) / (drawn @ before)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"gain": float(1 - after.sum() / before.sum()), "low": float(low), "high": float(high)}


def measure(tokens: Path, model: Path | None, max_order: int, limit: int | None) -> dict[str, object]:
    """All systems on the validation and test rows, as what is written to the file."""
    train = TokenStore.load(tokens / "train.npz")
    validation, test = (Rows.of(TokenStore.load(tokens / f"{s}.npz"), limit) for s in ("validation", "test"))
    vocabulary = Vocabulary.load(model / "vocabulary.json") if model else Vocabulary.of(MODEL_NOTATION.vocabulary())
    n_validation = len(validation.row_of)
    log2_p = ngram.log2_probabilities(
        passages_of(train)[:limit], validation.documents + test.documents, len(vocabulary), max_order=max_order
    )
    by_order = {
        name: [
            {"order": order, "validation": validation.per_note(validation.bits(row[:n_validation]))["all"],
             "test": test.per_note(test.bits(row[n_validation:]))["all"]}
            for order, row in enumerate(rows, 1)
        ]
        for name, rows in log2_p.items()
    }  # fmt: skip
    name, index = min(
        ((name, index) for name in by_order for index in range(max_order)),
        key=lambda choice: by_order[choice[0]][choice[1]]["validation"],
    )
    best, unigram = log2_p[name][index], log2_p[name][0]
    systems = {f"{name} n-gram, order {index + 1}": (best[:n_validation], best[n_validation:])}
    for label, rest in (("copying + unigrams", unigram), ("copying + best n-gram", best)):
        systems[label] = with_copying(validation, test, rest[:n_validation], rest[n_validation:])
    bits = {label: (validation.bits(v), test.bits(t)) for label, (v, t) in systems.items()}
    if model:
        bits["model"] = model_bits(model, validation), model_bits(model, test)
    best_bits = next(iter(bits.values()))[1]
    return {
        "rows": {"validation": len(validation.rows), "test": len(test.rows), "row_tokens": ROW_TOKENS,
                 "test_tokens": int(test.counts.sum()), "test_notes": int(test.n_notes.sum()),
                 "test_works": {s: test.source.count(s) for s in sorted(set(test.source))}},
        "train_sha256": train.fingerprint(),
        "versions": versions(),
        "bits_per_note_by_order": by_order,
        "best_n_gram": {"smoothing": name, "order": index + 1},
        "validation_bits_per_note": {label: validation.per_note(v) for label, (v, _) in bits.items()},
        "test_bits_per_note": {label: test.per_note(t) for label, (_, t) in bits.items()},
        "gain_over_best_n_gram": {label: relative_gain(best_bits, t) for label, (_, t) in list(bits.items())[1:]},
        "n_resamples": N_RESAMPLES,
    }  # fmt: skip


def with_copying(
    validation: Rows, test: Rows, rest_validation: NDArray[np.float64], rest_test: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log2 p of validation and test tokens when copying is mixed in, its weights fitted on validation."""
    group, hit = copying.match_groups(validation.documents)
    weight = copying.fit_weights(group[validation.counts], hit[validation.counts], rest_validation[validation.counts])
    on_test = copying.match_groups(test.documents)
    return (
        copying.mixed_log2(group, hit, rest_validation, weight),
        copying.mixed_log2(*on_test, rest_test, weight),
    )


def table(result: dict) -> str:
    """What was measured, in lines to read."""
    lines = ["order " + "".join(f"{name:>24}" for name in result["bits_per_note_by_order"])]
    for rows in zip(*result["bits_per_note_by_order"].values(), strict=True):
        cells = "".join(f"{row['validation']:>16.3f}{row['test']:>8.3f}" for row in rows)
        lines.append(f"{rows[0]['order']:>5} {cells}")
    lines += ["      (bits per note: validation, test)", ""]
    for split in ("validation", "test"):
        per_note = result[f"{split}_bits_per_note"]
        lines.append(f"{split:<32}" + "".join(f"{name:>16}" for name in next(iter(per_note.values()))))
        for label, values in per_note.items():
            lines.append(f"{label:<32}" + "".join(f"{value:>16.3f}" for value in values.values()))
    for label, gain in result["gain_over_best_n_gram"].items():
        said = f"{gain['gain']:+.1%} (95 % {gain['low']:+.1%} … {gain['high']:+.1%})"
        lines.append(f"{label}: {said} fewer bits than the best n-gram, {result['rows']['test']} works")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True, help="folder with train.npz, validation.npz, test.npz")
    parser.add_argument("--model", type=Path, help="folder of a trained model; without it the baselines alone")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--max-order", type=int, default=16)
    parser.add_argument("--limit", type=int, help="only so many passages and rows (a quick look)")
    chosen = parser.parse_args(arguments)
    result = measure(chosen.tokens, chosen.model, chosen.max_order, chosen.limit)
    write_atomically(chosen.out, json.dumps(result, indent=1).encode())
    print(table(result))


if __name__ == "__main__":
    main()
