"""A text of ABC as it is written token by token: which tokens of a text vocabulary may follow.

For models that write a whole tune by themselves (:mod:`cadenza.train.listening`). The header is theirs: it says what
the tune is. From the first bar on the notation's automaton holds, letter by letter: bars add up to the metre that the
header named, voices are those that it declared, and the tune ends where it may. A header that is none leaves the rest
unguided, and the reader says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import NotationError
from cadenza.infer.letters import Haste, Reading, Spot
from cadenza.infer.players.base import Player
from cadenza.infer.spell import Trie
from cadenza.notation.abc import Abc
from cadenza.notation.grammar import END, Field, Span

MUSIC = "\n[V:"
#: What would need words, or what a short transcription has no use for.
_LEFT_OUT = frozenset(("[M:", "[K:", "[Q:1/4=", "&", END))


class Bare(Player):
    """The automaton as it is: nothing narrowed to instruments or bars."""

    def allowed(self) -> list[Span]:
        """See :meth:`Player.allowed`."""
        return [span for span in self.state.allowed() if span.kind not in _LEFT_OUT]

    def opening(self) -> list[Span]:
        """None: bars are told within the text."""
        return []

    def soonest(self, spans: list[Span]) -> list[Span]:
        """All of them."""
        return spans

    def feed(self, field: Field) -> None:
        """See :meth:`Player.feed`."""
        self.state.feed(field)
        self.last = field

    def may_end(self) -> bool:
        """Whether the text may end here."""
        return any(span.kind == END for span in self.state.allowed())


class Guide:
    """Which tokens may follow what has been written.

    Args:
        notation: that is written.
        texts: what each id says; None for those that say nothing.
    """

    def __init__(self, notation: Abc, texts: Sequence[str | None]) -> None:
        self.notation, self.texts = notation, texts
        fields = notation.vocabulary()
        self._trie = Trie(texts, {*"0123456789-\n ", *(letter for field in fields for letter in field)})

    def begin(self) -> Place:
        """Before the first token."""
        return Place(self)


class Place:
    """Between two tokens of a text."""

    def __init__(self, guide: Guide) -> None:
        self.guide = guide
        self.text = ""
        self._reading: Reading | None = None
        self.is_lost = False

    @property
    def is_guided(self) -> bool:
        """Whether the music has begun and the automaton holds."""
        return self._reading is not None

    def allowed(self) -> tuple[NDArray[np.int64] | None, bool]:
        """(ids that may follow, None for all; whether the text may end here)."""
        if self._reading is None:
            return None, self.is_lost
        player = self._reading.place()
        may_end = isinstance(player, Bare) and player.may_end()
        found = [self._reading] if not (may_end and not self._goes_on()) else []
        return (self.guide._trie.allowed(found) if found else np.zeros(0, np.int64)), may_end

    def _goes_on(self) -> bool:
        assert self._reading is not None
        spot = self._reading.spot.after(self._reading.written) if self._reading.written else self._reading.spot
        return spot is not None and spot.goes_on

    def feed(self, token: int) -> None:
        """A token was written; one that may not follow leaves the rest unguided."""
        said = self.guide.texts[token] or ""
        self.text += said
        if self._reading is not None:
            self._reading = self._reading.read(said)
            self.is_lost = self._reading is None
        elif not self.is_lost and MUSIC in self.text:
            self._begin_music()

    def _begin_music(self) -> None:
        header, tail = self.text[: self.text.index(MUSIC)], self.text[self.text.index(MUSIC) :]
        player = Bare(self.guide.notation.grammar().begin(), [])
        try:
            for field in self.guide.notation.fields(header):
                player.feed(field)
            self._reading = Reading(Spot(player, self.guide.notation.joint, Haste())).read(tail)
        except NotationError:
            self._reading = None
        self.is_lost = self._reading is None
