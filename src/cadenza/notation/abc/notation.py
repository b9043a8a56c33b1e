"""The notation ``abc``: its options, and the law that binds text and Score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from cadenza.base.errors import ConfigError, NotationError
from cadenza.base.limits import Limits
from cadenza.notation.abc import fields
from cadenza.notation.abc import projection as losses
from cadenza.notation.abc.grammar import AbcState
from cadenza.notation.abc.problems import Problem
from cadenza.notation.abc.text import split_tunes
from cadenza.notation.abc.tune import Tune, read_tune
from cadenza.notation.abc.writing import Writer
from cadenza.notation.grammar import Field, Grammar
from cadenza.notation.layout import Layout
from cadenza.score.edit import Edit, project
from cadenza.score.model import Score

#: A text of ours has been bounded before; the reader's own limits are for strangers' files.
UNLIMITED = Limits(
    notes=1 << 40, events=1 << 40, tracks=1 << 20, bars=1 << 40, words=1 << 40, header_words=1 << 40, quarters=1 << 60
)


@dataclass(frozen=True)
class Abc:
    """ABC 2.1 with its options.

    Args:
        layout: "interleaved" (each bar of all voices, ``[V:1]… [V:2]…``) or "by_track" (voice after voice).
        voices: where a track's further voices go: "voices" of their own (every program reads them) or "overlays" after
            ``&``, bar by bar.
        velocity: "dynamics" (eight of them, ``!ppp!`` … ``!fff!``) or "drop".
        unit: the unit note length is 1/unit of a whole note: 4, 8, 16 or 32.

    Raises:
        ConfigError: options that do not exist.
    """

    layout: Layout = "interleaved"
    voices: Literal["voices", "overlays"] = "voices"
    velocity: Literal["dynamics", "drop"] = "dynamics"
    unit: int = 16

    name: ClassVar[str] = "abc"
    unit_start: ClassVar[str] = r"(?m)^\[V:1\]"
    joint: ClassVar[Literal[" ", "\n", ""]] = ""
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"layout": "by_track"},
        {"voices": "overlays"},
        {"voices": "overlays", "layout": "by_track", "velocity": "drop", "unit": 8},
    )

    def __post_init__(self) -> None:
        for field, known in (
            ("layout", ("interleaved", "by_track")),
            ("voices", ("voices", "overlays")),
            ("velocity", ("dynamics", "drop")),
            ("unit", (4, 8, 16, 32)),
        ):
            if getattr(self, field) not in known:
                raise ConfigError(f"{field} to be one of {', '.join(map(str, known))}", repr(getattr(self, field)))

    def options(self) -> dict[str, Any]:
        """The fields of this value, as they are saved with a model."""
        return asdict(self)

    @property
    def projection(self) -> tuple[Edit, ...]:
        """What encoding changes, in order."""
        return losses.of(self)

    def encode(self, score: Score) -> str:
        """The tune that ``score`` is after :attr:`projection`; no line break at its end."""
        score = project(score, self.projection[:-1])
        return Writer(losses.arranged(score), self.layout, self.voices == "overlays", self.unit).text()

    def decode(self, text: str) -> Score:
        """The score that ``text``, one tune of ABC 2.1, says.

        Raises:
            NotationError: not ABC; line, column, what was expected and found.
        """
        return self._tune(text, strict=True).score

    def repair(self, text: str) -> tuple[Score, list[Problem]]:
        """The score that ``text`` says after repairs, and all of them."""
        tune = self._tune(text, strict=False)
        return tune.score, list(tune.problems)

    def _tune(self, text: str, strict: bool) -> Tune:
        header, tunes = split_tunes(text)
        listed = list(tunes)
        if len(listed) > 1 and strict:
            raise NotationError("one tune", f"{len(listed)}", where=f"line {listed[1].first_line}, column 1")
        return read_tune(listed[0], header, strict, UNLIMITED)

    def grammar(self) -> Grammar:
        """The automaton over this notation's fields."""
        return Grammar(self.name, lambda: AbcState(self))

    def fields(self, text: str) -> Iterator[Field]:
        """The fields of ``text``; joined, they are the text again.

        Raises:
            NotationError: the text cannot be taken apart.
        """
        return fields.fields_of(text)

    def vocabulary(self) -> list[str]:
        """Fields that get whole tokens in a model trained from scratch."""
        return fields.vocabulary(self)
