"""Text ↔ ids for a pretrained model: its own tokenizer, and, on demand, a notation's fields as tokens of their own.

A text tokenizer spells ``p57:v80:d960`` in six to ten pieces. With fields, each of ``p57``, ``:v80``, ``:d960`` is one
token appended to the pretrained vocabulary; words between them stay the tokenizer's. Within a run of fields the blank
between words is implied, as in :class:`~cadenza.model.vocabulary.Vocabulary`; at the border of other text it is
spelled. ``detokenize(tokenize(text)) == text`` for every text that the tokenizer itself gives back, and texts may be
tokenized in parts (see :mod:`cadenza.model.hub_tokenizer`). Nothing here needs transformers or torch, except for a
tokenizer that is no local ``tokenizer.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.base.files import write_atomically
from cadenza.model.hub_tokenizer import HubTokenizer
from cadenza.model.vocabulary import JOINTS, joined

FILE = "fields.json"
_PARTS = re.compile(r"\n|:[^\s:]*|[^\s:]+|[ ]|[^\S\n ]")


class HubVocabulary:
    """A pretrained tokenizer with further fields.

    Args:
        tokenizer: a :class:`~cadenza.model.hub_tokenizer.HubTokenizer`, or a tokenizer of transformers.
        fields: what gets an id of its own, in id order.
        first_field: id of the first; at least the size of the model's embedding. Default: the tokenizer's size.
        joint: what is implied between two fields, see :mod:`cadenza.model.vocabulary`.

    Raises:
        ModelError: the tokenizer has no end-of-sequence token, or a field stands twice.
    """

    def __init__(
        self, tokenizer: Any, fields: Iterable[str] = (), first_field: int | None = None, joint: str = " "
    ) -> None:
        self.joint = joint
        self.tokenizer = HubTokenizer.of(tokenizer)
        self.fields = tuple(fields)
        self.first_field = len(self.tokenizer) if first_field is None else first_field
        if self.first_field < len(self.tokenizer):
            raise ModelError(f"fields from id {len(self.tokenizer)} on", str(self.first_field))
        self._ids = {text: self.first_field + index for index, text in enumerate(self.fields)}
        if len(self._ids) != len(self.fields):
            raise ModelError("distinct fields in a vocabulary", "repeated ones")
        if self.tokenizer.eos_token_id is None:
            raise ModelError("a tokenizer with an end-of-sequence token", "none", where=self.tokenizer.name_or_path)

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a text, or None."""
        return self.tokenizer.bos_token_id

    @property
    def eos_id(self) -> int:
        """Id of the token that ends one."""
        found = self.tokenizer.eos_token_id
        assert found is not None  # see __init__
        return found

    @property
    def pad_id(self) -> int:
        """Id that fills a row. It may be that of the end: labels never depend on it."""
        found = self.tokenizer.pad_token_id
        return self.eos_id if found is None else found

    def __len__(self) -> int:
        return self.first_field + len(self.fields)

    def id_of(self, text: str) -> int | None:
        """The id of a field, or None."""
        return self._ids.get(text)

    def tokenize_all(self, texts: list[str]) -> list[list[int]]:
        """As :meth:`tokenize`, of many texts."""
        return [self.tokenize(text) for text in texts] if self.fields else self.tokenizer.encode_all(texts)

    def tokenize(self, text: str) -> list[int]:
        """Ids of ``text``, without begin and end."""
        if not self.fields:
            return self.tokenizer.encode(text)
        if self.joint != " ":
            said = joined(text, self._ids, self.joint)
            return [one for known, part in said for one in ([known] if known is not None else self.pieces(part))]
        ids: list[int] = []
        plain: list[str] = []  # text that waits for the tokenizer
        after_field = False  # whether the last thing said was a field
        space = False  # a single blank after a field, not said yet

        def spell() -> None:
            if plain:
                ids.extend(self.tokenizer.encode("".join(plain)))
                plain.clear()

        for part in _PARTS.findall(text):
            known = self._ids.get(part)
            if part == " " and after_field and not space:
                space = True
                continue
            if known is None:
                plain.append((" " if space else "") + part)
                after_field = space = False
                continue
            implied = after_field and ids[-1] != self._ids.get("\n") and part != "\n" and not part.startswith(":")
            if after_field and space != implied:
                # The fields' own spacing does not say this: the blank, or its absence, is spelled.
                if space:
                    plain.append(" ")
                else:
                    plain.append(part)
                    after_field = space = False
                    continue
            spell()
            ids.append(known)
            after_field, space = True, False
        if space:
            plain.append(" ")
        spell()
        return ids

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; special tokens say nothing.

        Raises:
            ModelError: an id is outside the vocabulary.
        """
        out: list[str] = []
        plain: list[int] = []
        after_field = False

        def spell() -> None:
            if plain:
                out.append(self.tokenizer.decode(plain))
                plain.clear()

        for token in ids:
            token = int(token)
            if not 0 <= token < len(self):
                raise ModelError(f"token ids of 0–{len(self) - 1}", str(token))
            if token < self.first_field:
                plain.append(token)
                after_field = False
                continue
            spell()
            text = self.fields[token - self.first_field]
            if after_field and text != "\n" and not text.startswith(":") and out[-1] != "\n":
                out.append(self.joint)
            out.append(text)
            after_field = True
        spell()
        return "".join(out)

    def texts(self) -> list[str | None]:
        """What each id of the pretrained tokenizer says alone; None for special ones and pieces of a character."""
        return self.tokenizer.texts()

    def pieces(self, text: str) -> list[int]:
        """Ids that the pretrained tokenizer alone gives ``text``: what a field's embedding starts from."""
        return self.tokenizer.encode(text)

    def save(self, folder: Path) -> None:
        """The tokenizer's own files and, beside them, the fields."""
        self.tokenizer.save_pretrained(folder)
        record: dict[str, Any] = {"first_field": self.first_field, "fields": self.fields}
        record |= {"joint": self.joint} if self.joint != " " else {}
        write_atomically(folder / FILE, json.dumps(record, indent=0, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path | str, revision: str | None = None) -> HubVocabulary:
        """Read what :meth:`save` wrote, or any tokenizer of transformers (a folder or a hub id).

        Raises:
            ModelError: there is none, or the fields are not of that form.
        """
        found = HubTokenizer.open(folder) if (Path(folder) / "tokenizer.json").is_file() else _foreign(folder, revision)
        path = Path(folder) / FILE
        if not path.is_file():
            return cls(found)
        try:
            saved = json.loads(path.read_text("utf-8"))
            fields, joint = [str(field) for field in saved["fields"]], saved.get("joint", " ")
            if joint not in JOINTS:
                raise ValueError(f"joint {joint!r}")
            return cls(found, fields, int(saved["first_field"]), joint)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError("the fields of a vocabulary", str(error)[:200], where=str(path)) from None


def _foreign(name: Path | str, revision: str | None) -> Any:
    """A tokenizer that transformers has to find or to convert."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError(
            "a folder with a tokenizer.json, or transformers to look for it", str(name), hint="cadenza[train]"
        ) from None
    try:
        return AutoTokenizer.from_pretrained(str(name), revision=revision)
    except (OSError, ValueError, KeyError) as error:
        said = str(error).partition("\n")[0][:200]
        raise ModelError("a tokenizer of transformers", said, where=str(name)) from None
