"""Clips → documents of tokens with placeholders, and batches with the sound that these stand for.

A document is begin, sound, instruction, answer, end; only the answer and its end are learned. The instruction of a
transcription and the questions are words, so a model's answers can be told apart by what it was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.corpus.clips import PITCHES, ClipStore, n_pitches, pitches_of
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.train.listening.towers import Floats, Tower
from cadenza.train.rows import Codec, Collate, Documents, RowSet

INSTRUCTION = "Write this music as ABC."
TRANSCRIBE, ASK, PITCHES_ALONE = "transcribe", "question", "pitches"


class Heard:
    """Features of all clips of a store, computed once and kept in a folder (float16).

    Args:
        folder: where they are kept; those of another tower or of other clips are made anew.
    """

    def __init__(
        self, store: ClipStore, tower: Tower, folder: Path, progress: Callable[[int, int], None] | None = None
    ) -> None:
        key = {"tower": tower.fingerprint(), "width": tower.width, "clips": len(store), "end": store.end}
        about, rows = folder / "features.json", folder / "features.f16"
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(about.read_text("utf-8")) if about.is_file() else {}
        if known.get("key") != key:
            starts = [0]
            with open(rows, "wb") as file:
                for number in range(len(store)):
                    features = tower(store[number].samples).astype(np.float16)
                    file.write(features.tobytes())
                    starts.append(starts[-1] + len(features))
                    if progress is not None:
                        progress(number + 1, len(store))
            known = {"key": key, "starts": starts}
            write_atomically(about, json.dumps(known).encode())
        self._starts: list[int] = known["starts"]
        shape = (self._starts[-1], tower.width)
        self._rows = np.memmap(rows, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> Floats:
        return np.array(self._rows[self._starts[number] : self._starts[number + 1]], np.float32)


def kept_in(store: ClipStore, tower: Tower) -> Path:
    """Where a tower's features of a store are kept, beside its clips."""
    return store.folder / f"features-{hashlib.sha256(tower.fingerprint().encode()).hexdigest()[:12]}"


def words_of(texts: Iterable[str], n_words: int, folder: Path) -> HubVocabulary:
    """A byte-level BPE trained on texts, kept in a folder as a pretrained one is; digits are tokens of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").is_file():
        known = Tokenizer(models.BPE())
        known.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        known.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=n_words, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
        known.train_from_iterator(texts, trainer)
        whole = PreTrainedTokenizerFast(tokenizer_object=known, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
        whole.save_pretrained(folder)
    return HubVocabulary.load(folder)


@dataclass(frozen=True)
class Asked:
    """What a document asks: a clip, an instruction or question, and the true answer."""

    clip: int
    kind: str
    question: str
    answer: str


def asked_of(
    store: ClipStore, questions: float, seed: int, pitches: float = 0.0, transcriptions: float = 1.0
) -> list[Asked]:
    """Of each clip its transcription, a question about it, its pitches alone: each as often as its share says."""
    found = []
    for number in range(len(store)):
        clip = store[number]
        if np.random.default_rng([seed, 7, number]).random() < transcriptions:
            found.append(Asked(number, TRANSCRIBE, INSTRUCTION, clip.text))
        rng = np.random.default_rng([seed, 5, number])
        if clip.questions and rng.random() < questions:
            question, answer = clip.questions[int(rng.integers(len(clip.questions)))]
            found.append(Asked(number, ASK, question, answer))
        if np.random.default_rng([seed, 6, number]).random() < pitches:
            found.append(Asked(number, PITCHES_ALONE, PITCHES, pitches_of(clip.text)))
    return found


def prompt_ids(codec: Codec, n_vectors: int, audio_id: int, question: str) -> list[int]:
    """Ids of begin, sound and instruction."""
    first = [] if codec.bos_id is None else [codec.bos_id]
    return [*first, *[audio_id] * n_vectors, *codec.tokenize(question + "\n")]


class ClipRows(RowSet):
    """One document a row, with its sound.

    Args:
        asked: what the documents ask, in their order.
        heard: features by clip.
    """

    def __init__(self, documents: Documents, asked: Sequence[Asked], heard: Heard) -> None:
        super().__init__(documents, [[number] for number in range(len(documents))])
        self.asked, self.heard = list(asked), heard

    def __getitem__(self, number: int) -> dict[str, Any]:
        return super().__getitem__(number) | {"features": self.heard[self.asked[number].clip], "row": number}

    def only(self, kind: str) -> ClipRows:
        """The rows of one kind."""
        return self.chosen([number for number, one in enumerate(self.asked) if one.kind == kind])

    def chosen(self, numbers: Sequence[int]) -> ClipRows:
        """Some of the rows."""
        documents = documents_of(
            [self.documents.document(number)[0].tolist() for number in numbers],
            [int(self.documents.n_given[number]) for number in numbers],
            [int(self.documents.n_notes[number]) for number in numbers],
        )
        return ClipRows(documents, [self.asked[number] for number in numbers], self.heard)


class ByLength(torch.utils.data.Sampler[int]):
    """Numbers of rows at random, anew in each epoch; the batches that make one step hold rows about equally long.

    So little is filled up, and every step still sees rows of all kinds and lengths. (Sorted over many steps, some have
    only questions, whose answers are a word, or short clips; to an optimiser whose steps are equally long, as Muon's
    are, these count as much as the others: twice as many steps to the same loss.) An order depends on the seed and
    the epoch alone, so that a run that goes on finds its place.

    Args:
        lengths: of the rows, tokens.
        batch: rows.
        n_batches: of a step.
    """

    def __init__(self, lengths: Sequence[int], batch: int, n_batches: int, seed: int) -> None:
        self.lengths, self.step, self.seed, self.epoch = np.array(lengths), batch * n_batches, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that is sampled next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.lengths))
        for first in range(0, len(order), self.step):
            rows = order[first : first + self.step]
            yield from rows[np.argsort(self.lengths[rows], kind="stable")].tolist()


def rows_of(
    asked: Sequence[Asked], heard: Heard, codec: Codec, prompt: Callable[[int, str], list[int]], context_tokens: int,
    notes_of: Callable[[str], int],
) -> ClipRows:  # fmt: skip
    """Rows of what is asked; those that do not fit into the context are left out.

    Args:
        prompt: (frames of features, question) → ids, the model's own way of asking.

    Raises:
        FormatError: nothing fits.
    """
    texts, given, notes, kept = [], [], [], []
    for one in asked:
        given_ids = prompt(len(heard[one.clip]), one.question)
        answer = [*codec.tokenize(one.answer), codec.eos_id]
        if len(given_ids) + len(answer) > context_tokens:
            continue
        texts.append([*given_ids, *answer])
        given.append(len(given_ids))
        told = {TRANSCRIBE: notes_of, PITCHES_ALONE: n_pitches}.get(one.kind)
        notes.append(told(one.answer) if told else 0)
        kept.append(one)
    if not kept:
        hint = "Raise context_tokens, or make shorter clips."
        raise FormatError(f"clips that fit into {context_tokens} tokens", "none", hint=hint)
    return ClipRows(documents_of(texts, given, notes), kept, heard)


def documents_of(texts: Sequence[Sequence[int]], given: Sequence[int], notes: Sequence[int]) -> Documents:
    n = len(texts)
    return Documents(
        ids=np.concatenate([np.array(text, np.int32) for text in texts]),
        starts=np.cumsum([0, *map(len, texts)]), n_given=np.array(given, np.int32),
        unit_starts=np.zeros(0, np.int64), n_notes=np.array(notes, np.int32), seconds=np.zeros(n, np.float32),
        weight=np.ones(n, np.float32), task=np.zeros(n, np.int32), tasks=(TRANSCRIBE,),
    )  # fmt: skip


def features_of(rows: Sequence[dict[str, Any]]) -> torch.Tensor:
    """(B, F, width), shorter ones filled with NaN."""
    longest = max(1, *(len(row["features"]) for row in rows))
    width = rows[0]["features"].shape[1]
    out = np.full((len(rows), longest, width), np.nan, np.float32)
    for at, row in enumerate(rows):
        out[at, : len(row["features"])] = row["features"]
    return torch.from_numpy(out)


@dataclass(frozen=True)
class ClipCollate:
    """As :class:`~cadenza.train.rows.Collate`, with ``features`` and ``row``, the rows' numbers."""

    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of a batch."""
        batch = Collate(self.pad_id)(rows)
        numbers = torch.tensor([row["row"] for row in rows])
        return batch | {"features": features_of(rows), "row": numbers}


def given_of(row: dict[str, Any], n_given: int) -> NDArray[np.int64]:
    """Ids of a row's prompt."""
    return np.asarray(row["input_ids"][:n_given])
