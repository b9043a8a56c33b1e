"""Text ↔ ids for a model trained from scratch: a notation's fields as whole tokens, bytes for everything else.

The vocabulary reaches this room as strings and knows no music. A text is lines of words separated by one space, a word
is parts joined by colons: the first part of a word is a bare token (``p57``), each further part a token with its colon
(``:d960``), the line break a token of its own; spaces are implied. What is not in the vocabulary is spelled in UTF-8
bytes, so that no text is unrepresentable: ``detokenize(tokenize(text)) == text`` for every text.

Those are texts of words. A notation may join its fields otherwise (``joint``): a line each, or with nothing between
them. Then fields hold blanks and colons as they like, a text is cut into the longest fields that it begins with, and a
line break is implied between two fields of which the second does not begin with a colon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cadenza.base.errors import ModelError

PAD, BOS, EOS = 0, 1, 2
SPECIALS = ("<pad>", "<bos>", "<eos>")
N_BYTES = 256
FIRST_FIELD = len(SPECIALS) + N_BYTES
JOINTS = (" ", "\n", "")

_WORD = re.compile(r"[^\s:]+(:[^\s:]+)*")
MAX_KNOWN_WORDS = 1 << 16
_PARTS = re.compile(r"\n|:[^\s:]*|[^\s:]+|[ ]|[^\S\n ]")


@dataclass(frozen=True)
class Vocabulary:
    """Ids 0–2 are pad, begin and end; 3–258 the bytes; then the fields.

    Args:
        fields: the fields that are whole tokens, in id order.
        joint: what is implied between two of them: a blank, a line break or nothing.
    """

    fields: tuple[str, ...]
    joint: str = " "
    _ids: dict[str, int] = field(init=False, repr=False, compare=False, hash=False)
    _words: dict[str, tuple[int, ...]] = field(init=False, repr=False, compare=False, hash=False, default_factory=dict)

    def __post_init__(self) -> None:
        ids = {text: FIRST_FIELD + index for index, text in enumerate(self.fields)}
        if len(ids) != len(self.fields):
            raise ModelError("distinct fields in a vocabulary", "repeated ones")
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def of(cls, fields: Iterable[str], joint: str = " ") -> Vocabulary:
        """A vocabulary of these fields."""
        return cls(tuple(fields), joint)

    def __len__(self) -> int:
        return FIRST_FIELD + len(self.fields)

    @property
    def first_field(self) -> int:
        """Id of the first field; the others follow."""
        return FIRST_FIELD

    @property
    def pad_id(self) -> int:
        """Id that fills a row."""
        return PAD

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a text."""
        return BOS

    @property
    def eos_id(self) -> int:
        """Id of the token that ends one."""
        return EOS

    @property
    def ids(self) -> Mapping[str, int]:
        """Field → id."""
        return self._ids

    def id_of(self, text: str) -> int | None:
        """The id of a field, or None."""
        return self._ids.get(text)

    def tokenize(self, text: str) -> list[int]:
        """Ids of ``text``, without begin and end."""
        if self.joint != " ":
            return self._tokenize_joined(text)
        try:
            return self._tokenize_plain(text)
        except KeyError:  # a field that is no token, or odd spacing
            pass
        ids: list[int] = []
        at_line_start = True
        space = False
        for part in _PARTS.findall(text):
            if part == " " and not space and not at_line_start:
                space = True
                continue
            known = self._ids.get(part)
            implied = at_line_start or part == "\n" or part.startswith(":")
            if known is not None and space != implied:
                ids.append(known)
            else:
                raw = (" " if space else "") + part
                ids += [len(SPECIALS) + byte for byte in raw.encode("utf-8", "surrogatepass")]
            space = False
            at_line_start = part == "\n"
        if space:
            ids.append(len(SPECIALS) + ord(" "))
        if self.detokenize(ids) != text:  # a text with odd spacing: spell all of it
            return [len(SPECIALS) + byte for byte in text.encode("utf-8", "surrogatepass")]
        return ids

    def _tokenize_plain(self, text: str) -> list[int]:
        """Ids of a text that is known words with one space between them. Words are looked up whole: music repeats.

        Raises:
            KeyError: the text is another.
        """
        known, ids = self._words, []
        if len(known) > MAX_KNOWN_WORDS:
            known.clear()
        for number, line in enumerate(text.split("\n")):
            if number:
                ids.append(self._ids["\n"])
            for word in line.split(" ") if line else ():
                found = known.get(word)
                if found is None:
                    if not _WORD.fullmatch(word):
                        raise KeyError(word)
                    head, *tail = word.split(":")
                    found = known[word] = (self._ids[head], *(self._ids[":" + part] for part in tail))
                ids += found
        return ids

    def _tokenize_joined(self, text: str) -> list[int]:
        ids: list[int] = []
        for known, part in joined(text, self._ids, self.joint):
            ids += [known] if known is not None else [len(SPECIALS) + b for b in part.encode("utf-8", "surrogatepass")]
        return ids

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; specials say nothing, broken UTF-8 becomes the replacement character.

        Raises:
            ModelError: an id is outside the vocabulary.
        """
        out = bytearray()
        after_field = False
        for token in ids:
            token = int(token)
            if not 0 <= token < len(self):
                raise ModelError(f"token ids of 0–{len(self) - 1}", str(token))
            if token < len(SPECIALS):
                continue
            if token < FIRST_FIELD:
                out.append(token - len(SPECIALS))
                after_field = False
                continue
            text = self.fields[token - FIRST_FIELD]
            if self.joint != " ":
                out += b"\n" if self.joint and after_field and not text.startswith(":") else b""
            elif out and out[-1:] != b"\n" and text != "\n" and not text.startswith(":"):
                out += b" "
            after_field = True
            out += text.encode("utf-8")
        try:
            return out.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return out.decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        """Write the fields as JSON."""
        said = {"specials": SPECIALS, "bytes": N_BYTES, "fields": self.fields}
        path.write_text(json.dumps(said | ({"joint": self.joint} if self.joint != " " else {}), indent=0), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or not of that form.
        """
        try:
            saved = json.loads(path.read_text("utf-8"))
            fields, joint = saved["fields"], saved.get("joint", " ")
            right = tuple(saved["specials"]) == SPECIALS and saved["bytes"] == N_BYTES
            if not right or joint not in JOINTS or not all(isinstance(f, str) for f in fields):
                raise ModelError("a vocabulary of this version", "another", where=str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError("a vocabulary file", str(error), where=str(path)) from None
        return cls.of(fields, joint)


def joined(text: str, known: Mapping[str, int], joint: str) -> Iterator[tuple[int | None, str]]:
    """``text`` as (id, field) or (None, what is no field), in order; for a joint other than a blank.

    A number is never cut in two. A line break that two fields imply is left out; any other is said.
    """
    longest = max(map(len, known), default=0)
    at, after_field, n = 0, False, len(text)
    plain = ""  # not said yet
    while at < n:
        start = at
        if joint and after_field and text[at] == joint:
            start += 1  # implied, if a field follows that has it before it
        found = ""
        for stop in range(min(n, start + longest), start, -1):
            part = text[start:stop]
            if part in known and not (part[-1].isdigit() and text[stop : stop + 1].isdigit()):
                found = part
                break
        if found and joint and after_field and (start > at) == found.startswith(":"):
            found = ""  # its joint is another than the fields imply
        if not found:
            stop = at + 1
            while text[at].isdigit() and stop < n and text[stop].isdigit():
                stop += 1
            plain += text[at:stop]
            at, after_field = stop, False
            continue
        if plain:
            yield None, plain
            plain = ""
        yield known[found], found
        at, after_field = start + len(found), True
    if plain:
        yield None, plain
