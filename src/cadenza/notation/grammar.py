"""Prefix automata over fields: what may follow.

A text in a field notation is lines of words, a word is fields joined by colons: ``p57:v95:d960:t0``. The
automaton reads one :class:`Field` at a time. ``State.allowed()`` says what may come next as ranges of values by
kind, which constrained decoding turns into token ids; ``State.feed()`` moves on or raises. A text is complete
where ``END`` is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cadenza.base.errors import NotationError


class Field(NamedTuple):
    """One field. ``kind`` is its letter, with a colon before it where it continues a word: ``p``, ``:d``, ``|``."""

    kind: str
    value: str

    def __str__(self) -> str:
        return self.kind + self.value


class Span(NamedTuple):
    """Fields of one kind whose (whole) number lies in ``low … high``, both included."""

    kind: str
    low: int = 0
    high: int = 10**12


NEWLINE = "\n"
END = "end"


class State(Protocol):
    """Where in a text one is."""

    def allowed(self) -> list[Span]:
        """What may come next."""
        ...

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        ...

    def copy(self) -> State:
        """An independent state at the same place."""
        ...


@dataclass(frozen=True)
class Grammar:
    """A named automaton; ``start`` makes its first state."""

    name: str
    start: type[State] | object

    def begin(self) -> State:
        """The state before the first field."""
        return self.start()  # type: ignore[operator]


def between(before: Field | None, kind: str, joint: str) -> str:
    """What stands between a field (None at a text's beginning) and the next one, of ``kind``; see
    :attr:`~cadenza.notation.base.Notation.joint`."""
    if before is None or before.kind == NEWLINE or kind == NEWLINE or kind.startswith(":"):
        return ""
    return joint


MAX_KNOWN_PARTS = 1 << 15
_WORD = re.compile(r"([a-z|])([^:\s]*)")


def fields_of(text: str) -> Iterator[Field]:
    """The fields of ``text``, line breaks included, without a last line break.

    Raises:
        NotationError: a word is not of the form letter + value, joined by colons.
    """
    heads: dict[str, Field] = {}  # parts met before, first and later ones: music repeats itself
    tails: dict[str, Field] = {}
    lines = text.split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines):
        if number:
            yield Field(NEWLINE, "")
        for index, word in enumerate(line.split()):
            known, colon = heads, ""
            for part in word.split(":"):
                field = known.get(part)
                if field is None:
                    match = _WORD.fullmatch(part)
                    if match is None:
                        raise NotationError(
                            "fields such as p57 or d480, joined by colons",
                            repr(word[:40]),
                            where=f"line {number + 1}, word {index + 1}",
                        )
                    field = Field(colon + match[1], match[2])
                    if len(known) < MAX_KNOWN_PARTS:
                        known[part] = field
                yield field
                known, colon = tails, ":"


def runs(kind: str, values: Iterable[int]) -> list[Span]:
    """Spans over rising ``values``."""
    if isinstance(values, range) and values.step == 1:
        return [Span(kind, values.start, values.stop - 1)] if values else []
    out: list[Span] = []
    for value in values:
        if out and out[-1].high == value - 1:
            out[-1] = Span(kind, out[-1].low, value)
        else:
            out.append(Span(kind, value, value))
    return out
