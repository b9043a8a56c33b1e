"""A notation's automaton, read letter by letter: which tokens of a text vocabulary may follow.

The automaton speaks of fields; a text tokenizer cuts the same text anywhere: ``:d9`` ``60 p`` ``57``. A :class:`Place`
is a place in the text between two letters: the automaton's state after the last whole field, and what is written of the
next one. A letter may go on with the field at hand or, where that is whole, begin one of those that follow. Which
fields those are is the one source that field tokens use too, :class:`~cadenza.infer.constrain.Rules`; so a text spelled
in tokens parses, adds up and can be played exactly as one told in fields.

:class:`Trie` walks all tokens of a vocabulary and a place together, so that the work is as small as what is allowed.
A token never reaches over a bar's word: texts are cut there when a model is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.infer.constrain import Rules
from cadenza.notation.grammar import NEWLINE, Field, Span
from cadenza.notation.simplified.grammar import SimplifiedState

#: The greatest number of a span that says none: the field is a word without a number.
WORD = Span("").high
BAR = "|"


@dataclass
class Writer:
    """What all places of a bar share.

    Args:
        rules: what may follow.
        empty_bars: how many empty bars the text ends with.
        hurries: the bar has to end soon: only the shortest way there is offered from the next field on.
    """

    rules: Rules
    empty_bars: int = 0
    hurries: bool = False

    def spans(self, state: SimplifiedState) -> list[Span]:
        """What may follow, the bar's own word included."""
        found = self.rules.spans(state, self.empty_bars)
        return soonest(found) if self.hurries else found


def soonest(spans: list[Span]) -> list[Span]:
    """Of what may follow, what ends the bar soonest: its word, else the longest step, else anything but a bend."""
    bars = [span for span in spans if span.kind == BAR]
    if bars:
        return bars
    steps = [span for span in spans if span.kind in (":t", "t")]
    if steps:
        longest = max(steps, key=lambda span: span.high)
        return [Span(longest.kind, longest.high, longest.high)]
    return [span for span in spans if span.kind != ":o"] or spans


class Place:
    """Between two fields: what may follow, as letters.

    Args:
        state: the automaton after the last field; never changed.
        opens_bar: only the bar's word may follow (after however many empty ones); else everything but that.
    """

    def __init__(self, state: SimplifiedState, writer: Writer, opens_bar: bool = False) -> None:
        self.state, self.writer = state, writer
        spans = [Span(BAR)] if opens_bar else writer.spans(state)
        #: whether the bar may end here
        self.ends_bar = any(span.kind == BAR for span in spans)
        at_line_start = state.last is None or state.last.kind == NEWLINE
        self._heads: dict[str, list[Span]] = {}
        for span in spans:
            if (span.kind == BAR) == opens_bar:
                joined = at_line_start or span.kind.startswith(":")
                self._heads.setdefault(span.kind if joined else f" {span.kind}", []).append(span)
        self._after: dict[str, Place] = {}

    def begins(self, text: str) -> bool:
        """Whether a field that may follow begins so."""
        for head, spans in self._heads.items():
            if len(text) <= len(head):
                if head.startswith(text):
                    return True
            elif text.startswith(head) and any(begins_number(text[len(head) :], span) for span in spans):
                return True
        return False

    def field(self, text: str) -> Field | None:
        """The field that ``text`` says; None where it is none that may follow, or not whole."""
        for head, spans in self._heads.items():
            value = text[len(head) :]
            if text.startswith(head) and any(is_number(value, span) for span in spans):
                return Field(spans[0].kind, value)
        return None

    def after(self, text: str) -> Place | None:
        """The place after the field ``text``; None where it is none."""
        found = self._after.get(text)
        if found is None:
            said = self.field(text)
            if said is None:
                return None
            state = self.state.copy()
            state.feed(said)
            found = self._after[text] = Place(state, self.writer)
        return found


def is_number(value: str, span: Span) -> bool:
    if span.high == WORD:
        return not value
    digits = value.removeprefix("-")
    if not digits.isdecimal() or (digits[0] == "0" and value != "0"):
        return False
    return span.low <= int(value) <= span.high


def begins_number(value: str, span: Span) -> bool:
    """Whether a number of ``span`` begins with ``value`` (not empty), written without leading zeros."""
    if span.high == WORD:
        return False
    if value.startswith("-"):
        digits, low, high = value[1:], max(-span.high, 1), -span.low
        if not digits:
            return high >= low
    else:
        digits, low, high = value, max(span.low, 0), span.high
    if not digits.isdecimal() or low > high:
        return False
    if digits[0] == "0":
        return digits == "0" and low == 0 and not value.startswith("-")
    least = most = int(digits)
    while least <= high:  # all numbers of one more digit that begin so
        if most >= low:
            return True
        least, most = 10 * least, 10 * most + 9
    return False


@dataclass(frozen=True)
class Cursor:
    """A place, and what is written after it."""

    place: Place
    written: str = ""

    def step(self, letter: str) -> Cursor | None:
        """After one more letter; None where it may not stand here."""
        longer = self.written + letter
        if self.place.begins(longer):
            return Cursor(self.place, longer)
        after = self.place.after(self.written)
        return Cursor(after, letter) if after is not None and after.begins(letter) else None

    def read(self, text: str) -> Cursor | None:
        """After all letters of ``text``; None where one of them may not stand."""
        cursor: Cursor | None = self
        for letter in text:
            cursor = cursor.step(letter) if cursor is not None else None
        return cursor

    def bar(self) -> Cursor | None:
        """Where the next bar's word may begin; None where this bar cannot end here."""
        after = self.place.after(self.written)
        if after is None or not after.ends_bar:
            return None
        return Cursor(Place(after.state, after.writer, opens_bar=True))


class Reader(Protocol):
    """Between two letters of a text."""

    def step(self, letter: str) -> Reader | None:
        """After one more letter; None where it may not stand here."""
        ...


@dataclass
class _Node:
    letters: dict[str, _Node] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)


class Trie:
    """The tokens of a vocabulary, by their letters.

    Args:
        texts: what each id says; None for ids that say nothing of their own.
        alphabet: letters of the notation; tokens with others are never allowed and left out.
    """

    def __init__(self, texts: Sequence[str | None], alphabet: Iterable[str]) -> None:
        letters = frozenset(alphabet)
        self._root = _Node()
        self.texts = texts
        for number, text in enumerate(texts):
            if text and letters.issuperset(text):
                node = self._root
                for letter in text:
                    node = node.letters.setdefault(letter, _Node())
                node.ids.append(number)

    def allowed(self, cursors: Iterable[Reader]) -> NDArray[np.int64]:
        """Ids that may follow at one of the cursors, ascending.

        Raises:
            ModelError: the vocabulary has no token for any letter that may follow.
        """
        found: list[int] = []
        waiting: list[tuple[_Node, Reader]] = [(self._root, cursor) for cursor in cursors]
        while waiting:
            node, cursor = waiting.pop()
            for letter, child in node.letters.items():
                after = cursor.step(letter)
                if after is not None:
                    found += child.ids
                    waiting.append((child, after))
        if not found:
            raise ModelError(
                "a vocabulary that spells the notation", "no token for what must follow",
                hint="Extend the vocabulary with the notation's fields (train with extend_vocabulary).",
            )  # fmt: skip
        return np.unique(np.array(found, np.int64))
