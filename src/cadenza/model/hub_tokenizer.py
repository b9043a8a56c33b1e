"""A pretrained model's own tokenizer, by the package ``tokenizers`` alone: 0.1 s to load and no torch.

What a tokenizer does to whole documents is taken off, so that texts can be cut anywhere:

- SentencePiece-like tokenizers put a blank before a text and take it off again when they decode. Cut into bars, a piece
  would get a blank a bar. Here nothing is put before, and nothing taken off.
- Begin and end are not added, and the spelling of a special token is text like any other: a piece with ``</s>`` in its
  title does not end there.

So ``decode(encode(a) + encode(b)) == a + b`` wherever the tokenizer keeps text at all (it may normalise, or know no
token for a character).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.base.files import write_atomically
from cadenza.base.tensors import read_json_object, read_model_file

FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt"),
)


class HubTokenizer:
    """Text ↔ ids of a pretrained tokenizer.

    Args:
        specification: the contents of a ``tokenizer.json``.
        specials: contents of the tokens ``bos_token``, ``eos_token`` and ``pad_token``, where there are such.
        where: its folder, or what else names it.

    Raises:
        ModelError: not a tokenizer that the package ``tokenizers`` reads.
        MissingExtraError: that package is not installed.
    """

    def __init__(self, specification: dict[str, Any], specials: dict[str, str], where: str = "") -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            hint = "pip install 'cadenza[hub]'"
            raise MissingExtraError("the package tokenizers, for a text tokenizer", "none", hint=hint) from None
        self.name_or_path = where
        self._whole = specification
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(without_prefix(specification)))
        except Exception as error:  # the package raises Exception itself
            raise ModelError("a tokenizer.json", str(error)[:200], where=where) from None
        self._tokenizer.encode_special_tokens = True
        self._specials = specials
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(number for number, token in added.items() if token.special)
        self._spelled = tuple(added[number].content for number in sorted(self.special_ids))
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        self._length = 1 + max(vocabulary.values(), default=-1)

    @classmethod
    def open(cls, folder: Path | str) -> HubTokenizer:
        """The tokenizer of a folder with a ``tokenizer.json``.

        Raises:
            ModelError: there is none, or it is malformed.
        """
        path = Path(folder)
        specification = read_json_object(read_model_file(path / "tokenizer.json"), str(path / "tokenizer.json"))
        specials: dict[str, str] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if not (path / name).is_file():
                continue
            values = read_json_object(read_model_file(path / name), str(path / name))
            for key in ("bos_token", "eos_token", "pad_token"):
                value = values.get(key)
                value = value.get("content") if isinstance(value, dict) else value
                if isinstance(value, str):
                    specials[key] = value
        return cls(specification, specials, str(path))

    @classmethod
    def of(cls, tokenizer: Any) -> HubTokenizer:
        """The same of a tokenizer of transformers (or of this class).

        Raises:
            ModelError: one that has no ``tokenizers`` inside.
        """
        if isinstance(tokenizer, cls):
            return tokenizer
        inner = getattr(tokenizer, "backend_tokenizer", None)
        if inner is None:
            raise ModelError("a tokenizer with a tokenizer.json", type(tokenizer).__name__, where=str(tokenizer)[:60])
        keys = ("bos_token", "eos_token", "pad_token")
        specials = {key: str(getattr(tokenizer, key)) for key in keys if getattr(tokenizer, key) is not None}
        found = cls(json.loads(inner.to_str()), specials, str(tokenizer.name_or_path))
        found._saver = tokenizer.save_pretrained
        return found

    _saver: Any = None

    def __len__(self) -> int:
        return self._length

    def _id(self, key: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(self._specials[key]) if key in self._specials else None
        return found

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text, or None."""
        return self._id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends one, or None."""
        return self._id("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        """Id that fills rows, or None."""
        return self._id("pad_token")

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``; none of them special."""
        return self._without_special(text, self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """As :meth:`encode`, of many texts on all processors."""
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [self._without_special(text, one.ids) for text, one in zip(texts, found, strict=True)]

    def _without_special(self, text: str, ids: list[int]) -> list[int]:
        if self.special_ids.isdisjoint(ids):
            return ids
        # A vocabulary may hold the spelling of a special token among its pieces: cut each such word in two.
        for word in self._spelled:
            at = text.find(word)
            if at >= 0 and len(word) > 1:
                return self.encode(text[: at + 1]) + self.encode(text[at + 1 :])
        return ids  # the mark of an unknown character

    def decode(self, ids: list[int]) -> str:
        """The text of ``ids``; special ones say nothing."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def texts(self) -> list[str | None]:
        """What each id alone says; None for special ones, holes, and pieces of a character."""
        said = self._tokenizer.decode_batch([[number] for number in range(self._length)], skip_special_tokens=True)
        return [text if text and "\ufffd" not in text else None for text in said]

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the files that transformers and :meth:`open` read."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self._saver is not None:
            self._saver(folder)
            return
        source = Path(self.name_or_path)
        for name in FILES:
            if (source / name).is_file() and source.resolve() != folder.resolve():
                shutil.copyfile(source / name, folder / name)
        if not (folder / "tokenizer.json").is_file():
            write_atomically(folder / "tokenizer.json", json.dumps(self._whole, ensure_ascii=False).encode())
        if not (folder / "tokenizer_config.json").is_file():
            config = {"tokenizer_class": "PreTrainedTokenizerFast", **self._specials}
            write_atomically(folder / "tokenizer_config.json", json.dumps(config, indent=1).encode())


def without_prefix(specification: dict[str, Any]) -> dict[str, Any]:
    """A ``tokenizer.json`` that puts nothing before a text, takes nothing off, cuts nothing and adds nothing."""
    out = dict(specification)
    out["normalizer"] = _each(out.get("normalizer"), "normalizers", {"Prepend"})
    out["pre_tokenizer"] = _each(out.get("pre_tokenizer"), "pretokenizers", set())
    out["decoder"] = _each(out.get("decoder"), "decoders", {"Strip"})
    return out | {"post_processor": None, "truncation": None, "padding": None}


def _each(step: Any, children: str, dropped: set[str]) -> Any:
    """A step of the pipeline, or the steps of a sequence, without ``dropped`` and without prefixes."""
    if not isinstance(step, dict):
        return step
    if step.get("type") == "Sequence":
        kept = [_each(child, children, dropped) for child in step.get(children, ())]
        return step | {children: [child for child in kept if child is not None]}
    if step.get("type") in dropped:
        return None
    if step.get("type") == "Metaspace":
        return {key: value for key, value in step.items() if key != "add_prefix_space"} | {"prepend_scheme": "never"}
    if step.get("type") == "ByteLevel":
        return step | {"add_prefix_space": False}
    return step
