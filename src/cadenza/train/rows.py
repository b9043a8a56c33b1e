"""A built corpus → token documents → rows of a batch.

A *document* is one example: ``<bos>``, prompt, completion, ``<eos>``. Its prompt is not learned (unless asked for); its
end is, always, whatever id fills the rows. A *row* is what a model sees at once: several documents, as many as fit.

**Packing without leakage.** Positions begin anew with each document and no attention mask is passed: transformers then
builds a mask in which documents do not see each other (sdpa, eager), or cuts the sequences apart (flash attention).
With a mask of ones, or with a key-value cache, the documents leak into each other; the first token of a document is
never a target, since what stands before it is another one. A test compares packed with separate passes.

Texts are tokenized bar by bar, so that no token reaches over the border of prompt and completion or over a bar line:
what a model is given when it composes is cut in the same places.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError
from cadenza.base.files import writing_atomically
from cadenza.model.units import joint_of, tokenize_units, units

IGNORED = -100  # a target that counts for nothing, as in torch's cross entropy


class Codec(Protocol):
    """Text ↔ ids: one of the vocabularies of :mod:`cadenza.model`."""

    @property
    def pad_id(self) -> int: ...
    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int: ...
    def __len__(self) -> int: ...
    def tokenize(self, text: str) -> list[int]: ...
    def detokenize(self, ids: Sequence[int]) -> str: ...
    def id_of(self, text: str) -> int | None: ...


def pieces(rows: Iterable[dict[str, Any]], codec: Codec, unit_start: str) -> Iterator[list[int]]:
    """The texts of a corpus's rows as ids, in the pieces (bars) in which they are tokenized."""
    for row in rows:
        for text in (row["prompt"], row["completion"]):
            yield from tokenize_units(codec, units(text, unit_start))


def _begins_unit(prompt: str, completion: str, unit_start: str) -> bool:
    """Whether the completion begins with a bar, rather than with a header."""
    if not unit_start:
        return False
    found = re.compile(unit_start).match(prompt + completion, len(prompt) + (completion[:1] == " "))
    return found is not None


@dataclass(frozen=True)
class Documents:
    """Token documents in columns.

    Args:
        ids: (n,) int32, all documents one after another.
        starts: (documents + 1,) where each begins.
        n_given: (documents,) tokens at the beginning that are not learned.
        unit_starts: (u,) places in ``ids`` where a bar of a completion begins.
        n_notes: (documents,) notes to be learned; −1 where the document was cut.
        seconds: (documents,) of music.
        weight: (documents,) how often it is to be seen, relative to others.
        task: (documents,) index into ``tasks``.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    n_given: NDArray[np.int32]
    unit_starts: NDArray[np.int64]
    n_notes: NDArray[np.int32]
    seconds: NDArray[np.float32]
    weight: NDArray[np.float32]
    task: NDArray[np.int32]
    tasks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.n_given)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document."""
        return np.diff(self.starts)

    @property
    def n_cut(self) -> int:
        """Documents that did not fit and end early."""
        return int((self.n_notes < 0).sum())

    def document(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(ids, labels) of a document; labels are the ids, or :data:`IGNORED` where nothing is learned."""
        ids = self.ids[self.starts[index] : self.starts[index + 1]].astype(np.int64)
        labels = ids.copy()
        labels[: max(1, self.n_given[index])] = IGNORED
        return ids, labels

    def units_of(self, index: int) -> NDArray[np.int64]:
        """Places of the document's bars, from its own beginning."""
        low, high = np.searchsorted(self.unit_starts, self.starts[index : index + 2])
        return self.unit_starts[low:high] - self.starts[index]

    def fingerprint(self) -> str:
        """SHA-256 of the tokens and of what is learned of them."""
        digest = hashlib.sha256(self.ids.tobytes())
        digest.update(self.n_given.tobytes())
        return digest.hexdigest()

    def save(self, path: Path, key: str) -> None:
        """Write as .npz (no pickle), with the key of what it was made of."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "tasks"}
        with writing_atomically(path) as file:
            np.savez(file, key=np.array(key), tasks=np.array(self.tasks), **arrays)

    @classmethod
    def load(cls, path: Path, key: str) -> Documents | None:
        """What :meth:`save` wrote under the same key; None where there is none."""
        try:
            with np.load(path, allow_pickle=False) as saved:
                if str(saved["key"]) != key:
                    return None
                fields = {name: saved[name] for name in cls.__dataclass_fields__ if name != "tasks"}
                return cls(tasks=tuple(saved["tasks"].tolist()), **fields)
        except (OSError, ValueError, KeyError):
            return None


def tokenize_rows(
    rows: Iterable[dict[str, Any]],
    codec: Codec,
    unit_start: str,
    context_tokens: int,
    *,
    loss_on: str = "completion",
    progress: Callable[[int], None] | None = None,
) -> Documents:
    """The documents of a corpus's rows (``prompt``, ``completion``, ``n_notes``, ``seconds``, ``weight``, ``task``).

    A document longer than the context ends at its last bar line within it, without ``<eos>``. One whose prompt alone
    fills the context is left out.

    Raises:
        FormatError: nothing is left.
    """
    ids: list[NDArray[np.int32]] = []
    starts, unit_starts = [0], []
    given, notes, seconds, weights, task = [], [], [], [], []
    tasks: dict[str, int] = {}
    first = [] if codec.bos_id is None else [codec.bos_id]
    for number, row in enumerate(rows):
        if progress is not None:
            progress(number)
        prompt = tokenize_units(codec, units(row["prompt"], unit_start))
        # A blank (or a line break) at the prompt's end belongs to what follows: fields imply it.
        joint = joint_of(codec) if getattr(codec, "fields", ()) else ""
        if joint and row["prompt"].endswith(joint):
            prompt = tokenize_units(codec, units(row["prompt"][:-1], unit_start))
        body = tokenize_units(codec, units(row["completion"], unit_start))
        whole = [*first, *(token for part in prompt for token in part)]
        n_given = len(whole)
        bars: list[int] = []
        n_parts = 0
        cut = False
        begins_with_bar = _begins_unit(row["prompt"], row["completion"], unit_start)
        for part in body:
            if len(whole) + len(part) > context_tokens:
                cut = True
                break
            if n_parts or begins_with_bar:
                bars.append(len(whole))
            whole += part
            n_parts += 1
        if not n_parts:
            continue
        if not cut and len(whole) < context_tokens:
            whole.append(codec.eos_id)
        else:
            cut = True
        ids.append(np.array(whole, np.int32))
        unit_starts += [starts[-1] + bar for bar in bars]
        starts.append(starts[-1] + len(whole))
        given.append(n_given if loss_on == "completion" else len(first))
        notes.append(-1 if cut else int(row["n_notes"]))
        seconds.append(float(row["seconds"]))
        weights.append(float(row.get("weight", 1.0)))
        task.append(tasks.setdefault(row.get("task", ""), len(tasks)))
    if not ids:
        hint = "Raise context_tokens, or build the corpus with shorter passages (length.words)."
        raise FormatError(f"examples whose prompt fits into {context_tokens} tokens", "none", hint=hint)
    return Documents(
        np.concatenate(ids), np.array(starts, np.int64), np.array(given, np.int32), np.array(unit_starts, np.int64),
        np.array(notes, np.int32), np.array(seconds, np.float32), np.array(weights, np.float32),
        np.array(task, np.int32), tuple(tasks),
    )  # fmt: skip


def drawn(documents: Documents, shares: dict[str, float], weighted: bool, seed: int) -> NDArray[np.int64]:
    """Indices of the documents of one pass, each as often as its weight says: 2.3 is twice, and thrice in 30 %.

    Args:
        shares: task → share of the tokens; {} leaves the tasks as they are. What a task lacks for its share is drawn
            again; no task is thinned.

    Raises:
        ConfigError: a task that the corpus does not have.
    """
    weight = documents.weight.astype(np.float64) if weighted else np.ones(len(documents))
    if weight.sum() <= 0:
        raise ConfigError("weights above 0", "none", where="the corpus's column weight")
    weight = weight * (len(weight) / weight.sum()) if weighted else weight
    if shares:
        unknown = set(shares) - set(documents.tasks)
        if unknown:
            known = ", ".join(documents.tasks)
            raise ConfigError(f"tasks of the corpus ({known})", ", ".join(sorted(unknown)), where="recipe tasks")
        tokens = documents.lengths * weight
        factor = np.zeros(len(documents.tasks))
        for index, name in enumerate(documents.tasks):
            mine = float(tokens[documents.task == index].sum())
            factor[index] = shares.get(name, 0.0) / sum(shares.values()) / mine if mine else 0.0
        factor /= factor[factor > 0].min()
        weight = weight * factor[documents.task]
    rng = np.random.default_rng([seed, 1])
    times = np.floor(weight + rng.random(len(weight))).astype(np.int64)
    return np.repeat(np.arange(len(weight)), times)


def pack(lengths: NDArray[np.int64], indices: NDArray[np.int64], room: int) -> list[list[int]]:
    """Documents → rows of at most ``room`` tokens, best fit first, longest first; every document in one row."""
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (room left, row), sorted
    order = indices[np.argsort(-lengths[indices], kind="stable")]
    for index in order:
        length = int(lengths[index])
        at = bisect_left(open_rows, (length, -1))
        if at < len(open_rows):
            left, row = open_rows.pop(at)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(int(index))
        if left > length:
            insort(open_rows, (left - length, row))
    return rows


class RowSet(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of documents, as a map from row number to ids, labels and positions (unpadded).

    Args:
        vary: (document, visit, documents) → its ids on this visit, see :mod:`cadenza.train.variation`.
        n_visits: how often each row stands in the set, each time varied anew.
    """

    def __init__(
        self,
        documents: Documents,
        rows: Sequence[Sequence[int]],
        vary: Callable[[int, int, Documents], NDArray[np.int64]] | None = None,
        n_visits: int = 1,
    ) -> None:
        self.documents, self.rows, self.vary, self.n_visits = documents, rows, vary, n_visits

    def __len__(self) -> int:
        return len(self.rows) * self.n_visits

    def _document(self, index: int, visit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids, labels = self.documents.document(index)
        if self.vary is not None:
            ids = self.vary(index, visit, self.documents)
            labels = np.where(labels == IGNORED, IGNORED, ids)
        return ids, labels

    def __getitem__(self, number: int) -> dict[str, Any]:
        visit, row = divmod(number, len(self.rows))
        parts = [self._document(index, visit) for index in self.rows[row]]
        return {
            "input_ids": np.concatenate([ids for ids, _ in parts]),
            "labels": np.concatenate([labels for _, labels in parts]),
            "position_ids": np.concatenate([np.arange(len(ids)) for ids, _ in parts]),
        }


class Evened(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows filled up to a multiple with rows of which nothing is counted: processes that share them have equally many,
    and none stands twice (as a sampler that deals out whole batches would have it)."""

    def __init__(self, rows: RowSet, multiple: int) -> None:
        self.rows, self.multiple = rows, multiple

    def __len__(self) -> int:
        return -(-len(self.rows) // self.multiple) * self.multiple

    def __getitem__(self, number: int) -> dict[str, Any]:
        if number < len(self.rows):
            return self.rows[number]
        row = self.rows[0]
        return row | {"labels": np.full_like(row["labels"], IGNORED)}


@dataclass(frozen=True)
class Collate:
    """Rows → a batch, filled to its longest row with a document of padding that nothing is learned from."""

    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of shape (B, T): input_ids, labels, position_ids."""
        longest = max(len(row["input_ids"]) for row in rows)

        def filled(name: str, value: int | None) -> torch.Tensor:
            out = np.zeros((len(rows), longest), np.int64)
            for at, row in enumerate(rows):
                n = len(row[name])
                out[at, :n] = row[name]
                # Padding is a document of its own: its positions begin at 0, so nothing before it is seen.
                out[at, n:] = np.arange(longest - n) if value is None else value
            return torch.from_numpy(out)

        return {
            "input_ids": filled("input_ids", self.pad_id),
            "labels": filled("labels", IGNORED),
            "position_ids": filled("position_ids", None),
        }
