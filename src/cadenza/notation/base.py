"""What a notation is: a text form of a Score, with its grammar and its declared losses.

The law that every notation obeys, and that one property test checks for all of them::

    notation.decode(notation.encode(score)) == project(score, notation.projection)

A notation is a frozen value: its options are its fields, so it can be saved with a model and compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol

from cadenza.notation.grammar import Field, Grammar
from cadenza.score.edit import Edit
from cadenza.score.model import Score


class Notation(Protocol):
    """Score ↔ text."""

    name: ClassVar[str]
    #: A pattern that matches where a bar (or, in a notation without bars, a segment of time) begins in a text.
    unit_start: ClassVar[str]
    #: What stands between two fields in a text: a blank or a line break (neither before a field that begins with a
    #: colon nor beside a line break), or nothing.
    joint: ClassVar[Literal[" ", "\n", ""]]
    #: Sets of options that the law is tested with.
    variants: ClassVar[tuple[Mapping[str, Any], ...]]

    def encode(self, score: Score) -> str:
        """The score's text, after its projection."""
        ...

    def decode(self, text: str) -> Score:
        """The score that the text says.

        Raises:
            NotationError: the text does not follow the grammar; names word and field.
        """
        ...

    @property
    def projection(self) -> tuple[Edit, ...]:
        """What encoding changes, in order."""
        ...

    def grammar(self) -> Grammar:
        """What may follow what: one automaton for constrained decoding, syntax metrics and rewards."""
        ...

    def fields(self, text: str) -> Iterator[Field]:
        """The fields of a text, as its grammar reads them.

        Raises:
            NotationError: the text cannot be taken apart.
        """
        ...

    def vocabulary(self) -> Iterable[str]:
        """The fields that a model trained from scratch gets as whole tokens."""
        ...

    def options(self) -> dict[str, Any]:
        """The fields of this value, as they are saved with a model."""
        ...
