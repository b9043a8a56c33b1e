"""A composer's model folder: decoder, vocabulary and the notation that it was trained in, never retyped.

Three kinds of folder open, and any causal model of the hub:

- a model trained from scratch: ``vocabulary.json``, whose tokens are the notation's fields;
- a pretrained model, fine-tuned: its own tokenizer, perhaps with fields appended (``fields.json``), and
  ``notation.json``;
- a pretrained model as it is. What it should write has to come from somewhere: :data:`PLAIN_NOTATION`.

An adapter's folder may hold the last two's files instead of the base. Where fields are tokens only they are drawn; else
the notation is spelled in the tokenizer's own tokens (:mod:`cadenza.infer.spell`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.base.errors import ConfigError, ModelError, RegistryError
from cadenza.base.tensors import read_json_object, read_model_file
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.infer.loops import LoopTable, default_table
from cadenza.infer.original import Originality
from cadenza.infer.spell import Trie
from cadenza.metrics.originality import OriginalityIndex
from cadenza.model.decoder import Decoder, open_decoder
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation import NOTATIONS
from cadenza.notation.simplified import SimplifiedMidi

if TYPE_CHECKING:
    from cadenza.infer.prompt import Prompt

SHIPPED = "shipped"
#: Of a model's folder, if it has them: how far music repeats itself, and the index of its training set.
LOOPS_FILE, ORIGINALITY_FILE = "loops.json", "originality.npz"
#: What a model that was never taught a notation is asked to write: bars, and every word in full.
PLAIN_NOTATION = SimplifiedMidi(resolution="grid:24", header="first", bars=True, bend="none", velocity="bins:8")
PLAIN_CONTEXT_TOKENS = 4096
#: Notations that can be continued.
CONTINUED = ("abc", "dadagp", "mt3", "simplified-midi")
#: Letters of the notation's bars, fields joined.
ALPHABET = frozenset("| :-0123456789pvdtobi")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ComposerModel:
    """What composing needs of a model.

    Args:
        folder: where it lies, or its id on the hub.
        notation: what it reads and writes; Simplified MIDI with bar words on one time line where it :attr:`is_barwise`.
        context_tokens: longest text that it was trained on.
        style: "bare", or "instruct" where an instruction stands before the music.
        prompts: the instruction's words, as the corpus had them.
        sees_model_view: it was trained on pieces as :func:`cadenza.corpus.excerpts.model_view` shows them.
        tasks: what it was trained to do: "continue", "infill", "accompany".
        places: folders in which its own tables are looked for: an adapter's before its base's.
    """

    folder: Path
    decoder: Decoder
    vocabulary: Vocabulary | HubVocabulary
    notation: Any
    context_tokens: int
    style: str = "bare"
    prompts: Mapping[str, Any] = field(default_factory=dict)
    sees_model_view: bool = False
    tasks: frozenset[str] = frozenset({"continue"})
    places: tuple[Path, ...] = ()

    @property
    def is_barwise(self) -> bool:
        """The notation has bar words on one time line: it can be filled in and accompanied as well as continued."""
        return is_barwise(self.notation)

    @property
    def has_fields(self) -> bool:
        """The notation's fields are tokens of the vocabulary."""
        return has_fields(self.vocabulary, self.notation)

    @cached_property
    def loops(self) -> LoopTable:
        """How far music repeats itself: the model's own table, or the one that comes with the package."""
        own = self._own(LOOPS_FILE)
        return default_table() if own is None else LoopTable.load(own)

    @cached_property
    def originality(self) -> Originality | None:
        """What it must not copy: the index of its training set, where its folder has one."""
        own = self._own(ORIGINALITY_FILE)
        return None if own is None else Originality.of(OriginalityIndex.load(own))

    def _own(self, name: str) -> Path | None:
        found = (place / name for place in (*self.places, self.folder))
        return next((path for path in found if path.is_file()), None)

    @property
    def objection(self) -> Callable[[Prompt, int], Callable[[Sequence[str]], str]] | None:
        """What refuses bars that copy the training set; None where the model does not know it."""
        return None if self.originality is None else self.originality.objection

    @cached_property
    def trie(self) -> Trie:
        """The tokens that may spell the notation; of a text vocabulary."""
        assert isinstance(self.vocabulary, HubVocabulary)
        texts = self.vocabulary.texts()
        if self.is_barwise:
            return Trie(texts, ALPHABET)
        # Texts are cut where units begin when a model is trained: no token reaches over that.
        start = re.compile(self.notation.unit_start)
        texts = [
            None if text and any(0 < m.start() < len(text) for m in start.finditer(text)) else text for text in texts
        ]
        return Trie(texts, {*"0123456789-\n ", *(letter for field in self.notation.vocabulary() for letter in field)})


def has_fields(vocabulary: Vocabulary | HubVocabulary, notation: Any) -> bool:
    """Whether all that the notation writes in bars are tokens of the vocabulary."""
    in_headers = "qwmk" if isinstance(notation, SimplifiedMidi) else ""
    told = (text for text in notation.vocabulary() if text[0] not in in_headers)
    return vocabulary.joint == notation.joint and all(vocabulary.id_of(text) is not None for text in told)


def can_continue(notation: Any) -> bool:
    """Whether a model of it can go on with a piece. Bar words that stand every two seconds are no bars of one; split
    streams tell pitches after the rhythm."""
    if isinstance(notation, SimplifiedMidi):
        of_seconds = notation.bars and notation.resolution.startswith("flat")
        return notation.streams == "joint" and not of_seconds
    return notation.name in CONTINUED


def is_barwise(notation: Any) -> bool:
    """Whether a notation has bar words, of the piece's own bars, on one time line."""
    if not isinstance(notation, SimplifiedMidi):
        return False
    told = notation.profile == "cadenza" and notation.bars and notation.layout == "interleaved"
    return told and notation.streams == "joint" and not notation.resolution.startswith("flat")


def shipped_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(str(files("cadenza"))) / "models" / "composer"


def load_model(
    folder: Path | str = SHIPPED,
    *,
    batch: int = 1,
    threads: int = 1,
    precision: str = "int8",
    adapter: Path | str = "",
    quantize: str = "",
) -> ComposerModel:
    """Open a model.

    Args:
        folder: of a model or of a finished run, or a hub id; :data:`SHIPPED` for the one that comes with the package
            (with an adapter: for the adapter's own base).
        precision: {"int8", "float32"}, of an exported graph.
        adapter: a folder that peft wrote, or a run that trained one.
        quantize: {"", "nf4", "int8"}: of the weights, where transformers decodes.

    Raises:
        ModelError: a file is missing or not what it should be, or a notation that cannot be continued.
        ConfigError: an unknown quantisation or precision.
        MissingExtraError: what the model needs is not installed.
    """
    if adapter:
        adapter = _of_run(Path(adapter), "adapter_config.json", "adapter")
        if not adapter.is_dir():
            raise ModelError("an adapter's folder", "none there", where=str(adapter))
    if adapter and str(folder) == SHIPPED:
        from cadenza.model.hub_decoder import base_of

        folder = base_of(adapter)
    path = shipped_folder() if str(folder) == SHIPPED else _of_run(Path(folder), "config.json", "model", "merged")
    if not adapter and not (path / "config.json").is_file() and (path / "adapter").is_dir():
        raise ModelError("a model", "a run that trained an adapter", where=str(path), hint=f"Say --adapter {path}.")
    if not path.is_dir() and not _HUB_ID.fullmatch(str(folder)):
        raise ModelError("a model folder", "none there", where=str(path), hint="Give a folder, or leave --model out.")
    places = [Path(adapter)] if adapter else []
    places += [path] if path.is_dir() else []
    notation, saved, taught = _notation(places)
    vocabulary = _vocabulary(places, path)
    if isinstance(vocabulary, Vocabulary) and not has_fields(vocabulary, notation):
        hint = "Train it again: vocabularies of DadaGP tokens and ABC used to be spelled in bytes."
        hint = hint if vocabulary.joint != notation.joint else ""
        raise ModelError("a vocabulary of the notation's fields", "some are missing", where=str(path), hint=hint)
    context = saved["context_tokens"]
    # Some room beyond the context, where the model has it: the last bar may end a little after it.
    reach = _reach(path)
    decoder = open_decoder(
        path,
        batch=batch,
        max_length=2 * context if reach is None else min(2 * context, reach),
        threads=threads,
        precision=precision,
        adapter=adapter,
        quantize=quantize,
        n_vocabulary=len(vocabulary) if isinstance(vocabulary, HubVocabulary) and vocabulary.fields else 0,
    )
    if decoder.architecture.n_vocabulary < len(vocabulary):
        raise ModelError(
            f"a model of at least {len(vocabulary)} tokens", str(decoder.architecture.n_vocabulary), where=str(path),
            hint="Its vocabulary has fields that it was not trained with: give the adapter too.",
        )  # fmt: skip
    return ComposerModel(
        path,
        decoder,
        vocabulary,
        notation,
        min(context, decoder.max_length),
        saved.get("style", "bare"),
        saved.get("prompts") or {},
        # The first model's folder is older than the word "view".
        sees_model_view=saved.get("view") == "composer"
        or (notation == MODEL_NOTATION and taught and "style" not in saved),
        # Folders that do not say were trained to continue.
        tasks=frozenset(saved.get("tasks") or ["continue"]),
        places=tuple(places),
    )


def _of_run(path: Path, sign: str, *inner: str) -> Path:
    """The folder with the file ``sign`` in a run, where the path itself has none."""
    return next((found for found in (path, *(path / name for name in inner)) if (found / sign).is_file()), path)


def _notation(places: list[Path]) -> tuple[Any, dict[str, Any], bool]:
    """The notation, what was saved with it, and whether anything was."""
    path = next((place / "notation.json" for place in places if (place / "notation.json").is_file()), None)
    if path is None:
        if any((place / "vocabulary.json").is_file() for place in places):
            read_model_file(places[-1] / "notation.json")  # says that it is missing
        return PLAIN_NOTATION, {"context_tokens": PLAIN_CONTEXT_TOKENS}, False
    saved = read_json_object(read_model_file(path), str(path))
    try:
        notation = NOTATIONS.load(saved["name"])(**saved["options"])
        saved["context_tokens"] = int(saved["context_tokens"])
    except (KeyError, TypeError, ValueError, ConfigError, RegistryError) as error:
        raise ModelError("a notation with its options", str(error), where=str(path)) from None
    if saved["name"] not in CONTINUED:
        raise ModelError(f"a notation of {', '.join(CONTINUED)}", saved["name"], where=str(path))
    if isinstance(notation, SimplifiedMidi) and notation.streams != "joint":
        hint = "It can be trained and sampled, not continued: whose pitches they are is told after the rhythm."
        raise ModelError("a notation of one word a note", "split streams", where=str(path), hint=hint)
    if not can_continue(notation):
        hint = "Build the corpus with bars: false, or with a resolution of the file or a grid."
        raise ModelError("bar words of the piece's own bars", repr(saved["options"])[:200], where=str(path), hint=hint)
    return notation, saved, True


def _vocabulary(places: list[Path], path: Path) -> Vocabulary | HubVocabulary:
    for place in places:
        if (place / "vocabulary.json").is_file():
            return Vocabulary.load(place / "vocabulary.json")
        if (place / "tokenizer.json").is_file() or (place / "tokenizer_config.json").is_file():
            return HubVocabulary.load(place)
    if path.is_dir() and (path / "notation.json").is_file():
        return Vocabulary.load(path / "vocabulary.json")  # says that it is missing
    return HubVocabulary.load(path)


def _reach(path: Path) -> int | None:
    """The positions that a model's configuration promises; None where it does not say."""
    config = path / "config.json"
    if not config.is_file():
        return None
    found = read_json_object(read_model_file(config), str(config)).get("max_position_embeddings")
    return found if type(found) is int and found > 0 else None
