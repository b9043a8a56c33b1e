"""What all players share; see :mod:`cadenza.infer.players`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from cadenza.infer.constrain import Instrument
from cadenza.notation.grammar import Field, Span

#: The greatest number of a span that says none: the field is a word without a number.
WORD = Span("").high
MAX_EMPTY_BARS = 1  # in a row, of all tracks together
MAX_EMPTY_OF_ONE = 4  # in a row, where a text tells track after track


class Player:
    """A place in a text that is being written.

    Args:
        state: the notation's automaton before the first field.
        instruments: of the text's tracks, in order.

    Attributes:
        last: the last field.
        n_bars: bars begun in the part at hand (all that is told at once: of all tracks, or of one).
        heard: what the finished ones of these say, see :meth:`key`.
        insists, insists_next: the bar at hand, the next one must not stay empty.
        is_writing: what is read is being written; else it stands already and nothing is narrowed.
    """

    #: Kinds of fields that :meth:`sounding` knows.
    pitch_kinds: ClassVar[frozenset[str]] = frozenset({"p"})

    def __init__(self, state: Any, instruments: Sequence[Instrument], max_empty_bars: int = MAX_EMPTY_BARS) -> None:
        self.state = state
        self.instruments = tuple(instruments)
        self.max_empty_bars = max_empty_bars
        self.last: Field | None = None
        self.n_bars = self.n_last = 0
        self.heard: tuple[str, ...] = ()
        self.struck: list[tuple[Any, int, int]] = []
        self.insists = self.insists_next = False
        self.is_writing = False

    def copy(self) -> Self:
        """An independent player at the same place."""
        other = copy.copy(self)
        other.state = self.state.copy()
        other.struck = self.struck.copy()
        return other

    def begin_part(self, number: int) -> None:
        """What is read from here on belongs to another part (from 0)."""
        del number
        self.n_bars, self.heard, self.struck = 0, (), []

    def write(self, n_bars: int) -> None:
        """What follows is written, ``n_bars`` bars of it."""
        self.n_last = self.n_bars + n_bars
        self.is_writing = True

    @property
    def reached(self) -> int:
        """Bars that are finished if the one at hand ends here."""
        return self.n_bars

    @property
    def is_leading_in(self) -> bool:
        """The bar at hand stands already."""
        return False

    def allowed(self) -> list[Span]:
        """What may go on with the bar at hand."""
        raise NotImplementedError

    def opening(self) -> list[Span]:
        """What may begin the next bar."""
        raise NotImplementedError

    def soonest(self, spans: list[Span]) -> list[Span]:
        """Of what may go on, what ends the bar soonest."""
        raise NotImplementedError

    def feed(self, field: Field) -> None:
        """Read a field.

        Raises:
            NotationError: it may not stand here.
        """
        raise NotImplementedError

    def sounding(self, field: Field) -> int | None:
        """A pitch of the class that the field would make sound, read here; None where it makes none, or a drum."""
        del field
        return None

    # ── for those that are one ───────────────────────────────────────────────────────────────────────────

    def open_bar(self, n: int = 1) -> None:
        """Bars begin; all but the last of them are empty."""
        for _ in range(n):
            if self.n_bars:
                self.heard = (*self.heard, self.key())
            self.struck = []
            self.n_bars += 1
        self.insists, self.insists_next = self.insists_next, False

    def key(self) -> str:
        """What the bar at hand says; empty for a silent one."""
        return " ".join(f"{onset}:{track}:{pitch}" for onset, track, pitch in sorted(self.struck))

    def must_play(self) -> bool:
        """Whether something has to be struck in the bar at hand."""
        n = self.max_empty_bars
        return self.insists or (len(self.heard) >= n and not any(self.heard[len(self.heard) - n :]))

    def is_silent(self) -> bool:
        """Whether nothing has been struck in the bar at hand, and something has to be."""
        return not self.struck and self.must_play()


def within(instrument: Instrument, pitch: int) -> bool:
    """Whether a pitch lies in the instrument's range and key."""
    return instrument.low <= pitch <= instrument.high and pitch % 12 in instrument.classes


def longest(spans: Iterable[Span]) -> list[Span]:
    """The greatest number among spans."""
    best = max(spans, key=lambda span: span.high, default=None)
    return [] if best is None else [Span(best.kind, best.high, best.high)]
