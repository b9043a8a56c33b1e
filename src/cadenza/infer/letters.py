"""A player (:mod:`cadenza.infer.players`) read letter by letter: which tokens of a text vocabulary may follow.

As :mod:`cadenza.infer.spell` does for bar words on one time line, for any notation: a :class:`Spot` is a place between
two fields, a :class:`Reading` one between two letters. What joins fields is spelled with them: a blank, a line break or
nothing. A bar ends before its blank, but after its line break, where texts are cut when a model is trained
(:mod:`cadenza.model.units`), and no token reaches over its end.
"""

from __future__ import annotations

from dataclasses import dataclass

from cadenza.infer.players.base import WORD, Player
from cadenza.infer.spell import begins_number, is_number
from cadenza.notation.grammar import Field, Span, between


@dataclass
class Haste:
    """Whether the bar at hand has to end soon; from the next field on."""

    on: bool = False


class Spot:
    """Between two fields.

    Args:
        player: after the last field; never changed.
        opens: only what begins the next bar may follow; else only what goes on with this one.
        haste: of what may follow only what ends the bar soonest.
    """

    def __init__(self, player: Player, joint: str, haste: Haste, opens: bool = False) -> None:
        self.player, self.joint, self.haste = player, joint, haste
        opening = player.opening()
        #: whether the bar may end here
        self.ends_bar = bool(opening)
        spans = opening if opens else player.allowed()
        if haste.on and not opens:
            spans = [] if opening else player.soonest(spans)
        self._heads: dict[str, list[Span]] = {}
        for span in spans:
            said = between(player.last, span.kind, joint)
            if opens and said == "\n":
                said = ""  # it ended the bar before
            self._heads.setdefault(said + span.kind, []).append(span)
        self.tail = "\n" if joint == "\n" and not opens and opening else ""
        #: whether anything may follow in the bar
        self.goes_on = bool(spans or self.tail)
        self._after: dict[str, Spot] = {}

    def begins(self, text: str) -> bool:
        """Whether a field that may follow begins so."""
        if text == self.tail:
            return True
        for head, spans in self._heads.items():
            if len(text) <= len(head) and head.startswith(text):
                return True
            if text.startswith(head) and any(begins_number(text[len(head) :], span) for span in spans):
                return True
        return False

    def field(self, text: str) -> Field | None:
        """The field that ``text`` says; None where it is none that may follow, or not whole."""
        for head, spans in self._heads.items():
            if text.startswith(head):
                value = text[len(head) :]
                if any((not value) if span.high == WORD else is_number(value, span) for span in spans):
                    return Field(spans[0].kind, value)
        return None

    def after(self, text: str) -> Spot | None:
        """The place after the field ``text``; None where it is none."""
        found = self._after.get(text)
        if found is None:
            said = self.field(text)
            if said is None:
                return None
            player = self.player.copy()
            player.feed(said)
            found = self._after[text] = Spot(player, self.joint, self.haste)
        return found


@dataclass(frozen=True)
class Reading:
    """A spot, and what is written after it."""

    spot: Spot
    written: str = ""

    def step(self, letter: str) -> Reading | None:
        """After one more letter; None where it may not stand here."""
        longer = self.written + letter
        if self.spot.begins(longer):
            return Reading(self.spot, longer)
        after = self.spot.after(self.written)
        return Reading(after, letter) if after is not None and after.begins(letter) else None

    def read(self, text: str) -> Reading | None:
        """After all letters of ``text``; None where one of them may not stand."""
        reading: Reading | None = self
        for letter in text:
            reading = reading.step(letter) if reading is not None else None
        return reading

    def place(self) -> Player | None:
        """The player where all that is written is whole fields; None in the middle of one."""
        if not self.written or self.written == self.spot.tail:
            return self.spot.player
        after = self.spot.after(self.written)
        return None if after is None else after.player

    def may_end(self) -> bool:
        """Whether the bar can end here, with a next one or without."""
        if self.spot.tail and self.written == self.spot.tail:
            return True
        after = self.spot.after(self.written) if self.written else self.spot
        return after is not None and not after.tail and (after.ends_bar or not after.goes_on)

    def is_over(self) -> bool:
        """Whether nothing may follow at all."""
        after = self.spot.after(self.written)
        return after is not None and not after.goes_on and not after.ends_bar

    def next_bar(self) -> Reading | None:
        """Where the next bar may begin; None where this one cannot end here."""
        player = self.place() if self.may_end() else None
        return None if player is None else Reading(Spot(player, self.spot.joint, self.spot.haste, opens=True))
