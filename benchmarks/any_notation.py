"""Every notation under chance: is what its player lets through sound, whatever the model wants?

    python benchmarks/any_notation.py FILES… --n 2 --bars 4 --out benchmarks/results/any_notation.json

The model is random numbers: each step's logits are drawn anew, so nothing but the players (cadenza.infer.players)
makes its music. Each file is cut to its first six bars and continued in every notation and layout, ``--n`` times with
fields as tokens and ``--n`` times with a text vocabulary whose tokens are the notation's letters and random pieces of
its texts (one to six letters, reaching over fields). Of each output it is checked that its text follows the
notation's automaton and is read by its strict decoder; that the piece has exactly the bars asked for, each full; that
the seed is bit for bit what it was; that notes lie in their instruments' ranges and that a hand can play what starts
together on a fretted track (benchmarks/continuations.py). A piece that a notation refuses (one typed error) is
counted apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continuations import faults
from cadenza import formats
from cadenza.base.errors import CadenzaError, ModelError, RangeError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.model import ComposerModel
from cadenza.infer.script import write_script
from cadenza.infer.sheet import read_sheet
from cadenza.infer.write import Manner
from cadenza.metrics import syntax
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.score.edit import select_bars
from cadenza.score.model import Score
from cadenza.score.time import bar_table, bar_ticks, metre_at

SEED_BARS, CONTEXT = 6, 1024
GRID: dict[str, Any] = {"resolution": "grid:24"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dadagp": ("dadagp", {}),
    "abc, bar by bar": ("abc", {}),
    "abc, voice by voice": ("abc", {"layout": "by_track"}),
    "abc, overlays": ("abc", {"voices": "overlays"}),
    "mt3": ("mt3", {}),
    "mt3, 32 levels": ("mt3", {"velocity_bins": 32, "segment_seconds": 1.0}),
    "simplified, by track": ("simplified-midi", {"layout": "by_track", **GRID}),
    "simplified, by track with bars": (
        "simplified-midi",
        {"layout": "by_track", "bars": True, "compact": True, **GRID},
    ),
    "simplified, no bars": ("simplified-midi", GRID),
    "simplified, no bars, compact": ("simplified-midi", {"compact": True, "header": "first", **GRID}),
    "simplified, flat": ("simplified-midi", {"resolution": "flat:96"}),
    "published": ("simplified-midi", {"profile": "published", "bend": "published", **GRID}),
    "published, by track": ("simplified-midi", {"profile": "published", "bend": "none", "layout": "by_track", **GRID}),
}


class Chance:
    """A decoder whose logits are normal numbers, a different row of them after each token."""

    class _Sizes:
        max_positions = CONTEXT * 2

        def __init__(self, n: int) -> None:
            self.n_vocabulary = n

    batch, max_length, length = 1, CONTEXT * 2, 0

    def __init__(self, n_vocabulary: int) -> None:
        self.architecture = self._Sizes(n_vocabulary)
        self.rng = np.random.default_rng(0)

    def reset(self) -> None:
        """Forget all tokens."""
        self.length = 0

    def prefill(self, ids: Any) -> np.ndarray:
        """See the module."""
        if not 0 < len(ids) <= self.max_length:
            raise ModelError(f"1 to {self.max_length} tokens", str(len(ids)))
        self.length = len(ids)
        return self._logits()

    def step(self, ids: Any) -> np.ndarray:
        """See the module."""
        self.length += 1
        return self._logits()

    def _logits(self) -> np.ndarray:
        return self.rng.normal(0, 2, (1, self.architecture.n_vocabulary)).astype(np.float32)


class Pieces(HubVocabulary):
    """A text vocabulary of letters and of random pieces of texts; greedy."""

    def __init__(self, texts: list[str], letters: set[str], n: int = 400) -> None:
        rng = np.random.default_rng(1)
        found = {*letters, *(letter for text in texts for letter in text)}
        while len(found) < n and texts:
            text = texts[rng.integers(len(texts))]
            at = int(rng.integers(len(text)))
            found.add(text[at : at + int(rng.integers(2, 7))])
        self._texts = sorted(found)
        self._known = {text: number for number, text in enumerate(self._texts)}
        self.fields, self.joint, self.first_field = (), " ", len(self._texts) + 2

    bos_id = property(lambda self: len(self._texts))  # type: ignore[assignment]
    eos_id = property(lambda self: len(self._texts) + 1)  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._texts) + 2

    def id_of(self, text: str) -> int | None:
        """None: there are no fields."""
        return None

    def tokenize(self, text: str) -> list[int]:
        """The longest piece each time."""
        out, at = [], 0
        while at < len(text):
            stop = next(s for s in range(min(len(text), at + 7), at, -1) if text[at:s] in self._known)
            out.append(self._known[text[at:stop]])
            at = stop
        return out

    def texts(self) -> list[str | None]:
        """What each id says."""
        return [*self._texts, None, None]


def model_of(notation: Notation, spelled: bool, seeds: list[Score]) -> ComposerModel:
    """Chance, with fields as tokens or in a text vocabulary."""
    vocabulary: Any = Vocabulary.of(notation.vocabulary(), notation.joint)
    if spelled:
        texts = []
        for seed in seeds[:6]:
            try:
                texts.append(notation.encode(seed))
            except CadenzaError:
                continue
        letters = {*"0123456789-\n ", *(letter for field in notation.vocabulary() for letter in field)}
        vocabulary = Pieces(texts, letters)
    decoder: Any = Chance(len(vocabulary))
    return ComposerModel(Path("chance"), decoder, vocabulary, notation, CONTEXT)


def checked(seed: Score, model: ComposerModel, bars: int, number: int) -> tuple[list[str], int, int]:
    """(what is wrong, tokens, notes) of one continuation."""
    manner = Manner(Decoding(), model.loops)
    (take,) = take_all(seed, model, list(to_continue(model, bars)), manner, [number])
    found = faults(seed, take)
    full = bar_ticks(metre_at(seed, int(bar_table(seed).starts_ticks[-1])), seed.ticks_per_quarter)
    before, after = bar_table(seed), bar_table(take.score)
    lengths = {int(n) for n in (after.ends_ticks - after.starts_ticks)[len(before) :]}
    if len(after) != len(before) + bars or lengths != {full}:
        found.append("not the bars asked for, or one that is not full")
    if not take.n_notes:
        found.append("no notes")
    return found, take.n_tokens, take.n_notes


def text_faults(seed: Score, model: ComposerModel, bars: int, number: int) -> list[str]:
    """What is wrong with the text of one more continuation."""
    sheet = read_sheet(seed, model, bars=bars)
    writing = write_script(model, sheet, Manner(Decoding(), model.loops), np.random.default_rng(number))
    decoder, logits = model.decoder, None
    try:
        request: Any = next(writing)
        while True:
            if hasattr(request, "token"):
                logits = decoder.step(np.array([request.token]))[0]
            elif getattr(request, "ids", None):
                logits = decoder.prefill(np.array(request.ids))[0]
            request = writing.send(logits)
    except StopIteration as end:
        text = end.value.text.rstrip("\n")
    whole = text + "\nend" if model.notation.name == "dadagp" else text
    return [] if syntax.compute(est=whole, notation=model.notation)["parse"] == 1 else ["a text that does not parse"]


def main() -> None:
    """Run as described above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--n", type=int, default=2)
    parser.add_argument("--bars", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pieces = [formats.read(path) for path in options.files]
    seeds = [select_bars(0, min(SEED_BARS, len(bar_table(piece))))(piece) for piece in pieces]
    seeds = [seed for seed in seeds if seed.n_notes]
    rows: dict[str, Any] = {}
    for case, (name, own) in CASES.items():
        notation = NOTATIONS.load(name)(**own)
        for spelled in (False, True):
            model = model_of(notation, spelled, seeds)
            wrong: Counter[str] = Counter()
            done = refused = tokens = notes = 0
            begun = time.process_time()
            for place, seed in enumerate(seeds):
                for number in range(options.n):
                    try:
                        found, n_tokens, n_notes = checked(seed, model, options.bars, 1000 * place + number)
                        found += text_faults(seed, model, options.bars, 1000 * place + number)
                    except RangeError:
                        refused += 1
                        continue
                    except CadenzaError as error:
                        found, n_tokens, n_notes = [f"an error: {str(error)[:80]}"], 0, 0
                    done, tokens, notes = done + 1, tokens + n_tokens, notes + n_notes
                    wrong.update(set(found))
            spent = time.process_time() - begun
            rows[f"{case}; {'text' if spelled else 'fields'}"] = {
                "outputs": done, "refused": refused, "with_faults": sum(wrong.values()), "faults": dict(wrong),
                "tokens": tokens, "notes": notes, "cpu_seconds": round(spent, 1),
            }  # fmt: skip
            print(case, "text" if spelled else "fields", rows[f"{case}; {'text' if spelled else 'fields'}"], flush=True)
            save(options, len(seeds), rows)


def save(options: argparse.Namespace, n_seeds: int, rows: dict[str, Any]) -> None:
    """What is done so far."""
    total = {key: sum(row[key] for row in rows.values()) for key in ("outputs", "refused", "with_faults", "notes")}
    record = {
        "files": [path.name for path in options.files], "seeds": n_seeds, "n": options.n, "bars": options.bars,
        "total": total, "rows": rows, "is_whole": len(rows) == 2 * len(CASES), "versions": versions(),
    }  # fmt: skip
    write_atomically(options.out, json.dumps(record, indent=1).encode())


if __name__ == "__main__":
    main()
