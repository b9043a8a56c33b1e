"""Clips → documents of tokens with placeholders, and batches with the sound that these stand for.

A document is begin, sound, instruction, answer, end; only the answer and its end are learned. The instruction of a
transcription and the questions are words, so a model's answers can be told apart by what it was asked.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError, RangeError
from cadenza.base.files import write_atomically
from cadenza.corpus.clips import PITCHES, ClipStore, n_pitches, pitches_of, transposed
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.train.listening.towers import Floats, Tower, Transposing
from cadenza.train.rows import Codec, Collate, Documents, RowSet

INSTRUCTION = "Write this music as ABC."
TRANSCRIBE, ASK, PITCHES_ALONE = "transcribe", "question", "pitches"
KEEP_EVERY = 500  # clips
MOST_SEMITONES = 5  # that music is transposed by, up or down


class Heard:
    """Features of all clips of a store, computed once and kept in a folder (float16); more clips are heard when they
    come, and what was stopped goes on.

    Args:
        folder: where they are kept; those of another tower or of other clips are made anew.
    """

    def __init__(
        self, store: ClipStore, tower: Tower, folder: Path, progress: Callable[[int, int], None] | None = None
    ) -> None:
        key = {"tower": tower.fingerprint(), "width": tower.width}
        about, kept = folder / "features.json", folder / "features.f16"
        folder.mkdir(parents=True, exist_ok=True)
        starts = _starts_of(about, kept, key, store)

        def note() -> None:
            done = len(starts) - 1
            said = {"key": key | {"clips": done, "end": store.end_of(done)}, "starts": starts}
            write_atomically(about, json.dumps(said).encode())

        if len(starts) <= len(store):
            with open(kept, "ab") as file:
                file.truncate(2 * tower.width * starts[-1])
                for number in range(len(starts) - 1, len(store)):
                    features = tower(store[number].samples).astype(np.float16)
                    file.write(features.tobytes())
                    starts.append(starts[-1] + len(features))
                    if progress is not None:
                        progress(number + 1, len(store))
                    if (number + 1) % KEEP_EVERY == 0:
                        file.flush()
                        note()
            note()
        self._tower, self._starts = tower, starts
        shape = (self._starts[-1], tower.width)
        self._rows = np.memmap(kept, np.float16, "r", shape=shape) if shape[0] else np.zeros(shape, np.float16)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def n_frames(self, number: int) -> int:
        """Of a clip."""
        return self._starts[number + 1] - self._starts[number]

    def __getitem__(self, number: int) -> Floats:
        return np.array(self._rows[self._starts[number] : self._starts[number + 1]], np.float32)

    def transposed(self, number: int, semitones: int) -> Floats:
        """Features as if the clip were transposed.

        Raises:
            ConfigError: the tower cannot say them.
        """
        if not semitones:
            return self[number]
        if not isinstance(self._tower, Transposing):
            hint = "Set listen.transposed=0."
            raise ConfigError(
                "a tower whose features can be transposed", type(self._tower).__name__, where="listen.tower", hint=hint
            )
        return self._tower.transposed(self[number], semitones)


def _starts_of(about: Path, kept: Path, key: dict[str, Any], store: ClipStore) -> list[int]:
    """Where the features of each clip begin, of those that are kept and are this tower's of these clips; [0]: none."""
    if not (about.is_file() and kept.is_file()):
        return [0]
    known = json.loads(about.read_text("utf-8"))
    n = len(known["starts"]) - 1
    if n > len(store) or known["key"] != key | {"clips": n, "end": store.end_of(n)}:
        return [0]
    return list(known["starts"])


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
    """What a document asks: a clip, how far it is transposed, an instruction or question, and the true answer."""

    clip: int
    kind: str
    question: str
    answer: str
    semitones: int = 0


Version = tuple[int, str, tuple[tuple[str, str], ...]]  # semitones, text, questions


def versions_of(
    store: ClipStore, copies: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> list[list[Version]]:
    """Each clip as it is, and ``copies`` times transposed by up to :data:`MOST_SEMITONES` either way, less where a
    note would leave the range. Kept beside the clips."""
    texts = store.texts
    out: list[list[Version]] = [[(0, text, store.questions(number))] for number, text in enumerate(texts)]
    if not copies:
        return out
    path = store.folder / f"transposed-{copies}-{seed}.jsonl"
    lines = path.read_text("utf-8").splitlines(True) if path.is_file() else []
    known = [json.loads(line) for line in lines if line.endswith("\n")]
    sums = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    if [row["of"] for row in known] != sums[: len(known)]:  # other clips lay here
        known = []
    if len(known) < len(store):
        path.write_text("".join(lines[: len(known)]), "utf-8")
        with path.open("a", encoding="utf-8") as file:
            for number in range(len(known), len(store)):
                known.append(
                    {"of": sums[number], "versions": _transposed(store.texts[number], copies, [seed, 8, number])}
                )
                file.write(json.dumps(known[-1], ensure_ascii=False) + "\n")
                if progress is not None:
                    progress(number + 1, len(store))
    for own, row in zip(out, known, strict=False):
        own += [(semitones, text, tuple((q, a) for q, a in asked)) for semitones, text, asked in row["versions"]]
    return out


def _transposed(text: str, copies: int, seed: list[int]) -> list[Version]:
    steps = [step for step in range(-MOST_SEMITONES, MOST_SEMITONES + 1) if step]
    found = []
    for semitones in np.random.default_rng(seed).choice(steps, copies, replace=False).tolist():
        try:
            found.append((semitones, *transposed(text, semitones)))
        except RangeError:
            continue
    return found


def asked_of(
    store: ClipStore, questions: float, seed: int, pitches: float = 0.0, transcriptions: float = 1.0, copies: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Asked]:  # fmt: skip
    """Of each clip its transcription, a question about it, its pitches alone: each as often as its share says; and
    likewise of ``copies`` of it that are transposed."""
    found = []

    def dice(kind: int) -> NDArray[np.float64]:
        """A number for each version of each clip, the same whatever clips come after them."""
        rngs = [np.random.default_rng([seed, kind, at]) for at in range(copies + 1)]
        return np.array([rng.random(len(store)) for rng in rngs])

    for_question, which, for_pitches, for_text = dice(5), dice(9), dice(6), dice(7)
    for number, versions in enumerate(versions_of(store, copies, seed, progress)):
        for at, (semitones, text, known) in enumerate(versions):
            if for_text[at, number] < transcriptions:
                found.append(Asked(number, TRANSCRIBE, INSTRUCTION, text, semitones))
            if known and for_question[at, number] < questions:
                question, answer = known[int(which[at, number] * len(known))]
                found.append(Asked(number, ASK, question, answer, semitones))
            if for_pitches[at, number] < pitches:
                found.append(Asked(number, PITCHES_ALONE, PITCHES, pitches_of(text), semitones))
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
        one = self.asked[number]
        return super().__getitem__(number) | {"features": self.heard.transposed(one.clip, one.semitones), "row": number}

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
    notes_of: Callable[[str], int], counted: int | None = None,
) -> ClipRows:  # fmt: skip
    """Rows of what is asked; those that do not fit into the context are left out.

    Args:
        prompt: (frames of features, question) → ids, the model's own way of asking.
        counted: transcriptions whose notes are counted; of the others they are unknown.

    Raises:
        FormatError: nothing fits.
    """
    texts, given, notes, kept = [], [], [], []
    prompt = functools.cache(prompt)  # few lengths and few questions
    answers = [one.answer for one in asked]
    many = codec.tokenize_all(answers) if isinstance(codec, HubVocabulary) else map(codec.tokenize, answers)
    for one, told_ids in zip(asked, many, strict=True):
        given_ids = prompt(heard.n_frames(one.clip), one.question)
        answer = [*told_ids, codec.eos_id]
        if len(given_ids) + len(answer) > context_tokens:
            continue
        texts.append([*given_ids, *answer])
        given.append(len(given_ids))
        told = {TRANSCRIBE: notes_of, PITCHES_ALONE: n_pitches}.get(one.kind, lambda answer: 0)
        if one.kind == TRANSCRIBE and counted is not None:
            counted -= 1
        notes.append(told(one.answer) if counted is None or counted >= 0 else -1)
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
