"""Writing in any notation: what stands is read, then bars are drawn under a player (:mod:`cadenza.infer.players`).

A text that tells all tracks on one time line is one part; one that tells track after track has a part for each: its
bars that stand are read, its new ones written, then the next track's are read. Each bar is drawn, looked at, and where
it makes a loop or copies what it should not, drawn again from where it began. As in :mod:`cadenza.infer.write`, tokens
are either a notation's fields or those of any text vocabulary; here both ask the same player.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.infer import write
from cadenza.infer.choose import NOTHING, Chooser, Refused
from cadenza.infer.constrain import field_tables
from cadenza.infer.letters import Haste, Reading, Spot
from cadenza.infer.loops import LoopGuard
from cadenza.infer.model import ComposerModel
from cadenza.infer.original import REASON, Originality
from cadenza.infer.players import Player
from cadenza.infer.players.base import WORD
from cadenza.infer.redraw import settle
from cadenza.infer.rows import Writing
from cadenza.infer.sheet import Sheet
from cadenza.infer.window import Window
from cadenza.infer.write import CLOSING_FIELDS, TOKENS_A_FIELD, Manner, Written
from cadenza.metrics.originality import copied
from cadenza.model.units import tokenize_units, units
from cadenza.notation.grammar import NEWLINE, Field, Span, between


@dataclass
class Script(Written):
    """What was written.

    Args:
        text: the whole text, with what stood.
        keys: what the written bars say.
        known: what those that stood say.
    """

    text: str = ""
    keys: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


def write_script(
    model: ComposerModel,
    sheet: Sheet,
    manner: Manner,
    rng: np.random.Generator,
    on_bar: Callable[[int], None] | None = None,
) -> Writing[Script]:
    """The bars of a sheet.

    Args:
        on_bar: called with the number of bars done, the mean over the parts.
    """
    if manner.narrow is not None:
        sheet = replace(sheet, instruments=tuple(manner.narrow(sheet.instruments, sheet.free, sheet.tracks)))
    hand = (_FieldPen if model.has_fields else _TextPen)(model, sheet, manner, rng)
    knows = manner.objection is not None and manner.decoding.original
    original = model.originality if knows else None
    out = Script()
    n_parts, told = len(sheet.parts), 0
    for number, part in enumerate(sheet.parts):
        yield from hand.give(number, part.given)
        if not part.n_bars:
            continue
        player = hand.player
        player.write(part.n_bars)
        seed = [*player.heard, player.key(), *[""] * sheet.n_standing][: sheet.n_standing]
        begun = player.n_bars > sheet.n_standing  # in a text that has nothing to begin bars with
        guard = LoopGuard(manner.table, [seed]) if manner.decoding.guard else None
        out.known += seed
        is_last = number == n_parts - 1
        if player.is_leading_in:
            hand.player.insists = is_last and not any(out.keys) and not manner.may_be_empty
            yield from hand.bar(NOTHING, leads_in=True)
        done = sheet.n_standing if begun else hand.player.reached
        goal = hand.player.n_last
        while done < goal:
            sounding = any(out.keys) or any([*hand.player.heard, hand.player.key()][len(seed) :])
            hand.player.insists_next = is_last and done == goal - 1 and not sounding and not manner.may_be_empty
            in_open_bar = begun and done == len(seed)
            if in_open_bar:
                hand.player.insists = hand.player.insists_next
            place = hand.place()
            if guard is not None or original is not None:
                yield from hand.window.mark()

            def draw(refused: Refused, leads_in: bool = in_open_bar, done: int = done) -> Writing[list[int]]:
                ids = yield from hand.bar(refused, leads_in)
                if hand.player.reached <= done:
                    raise ModelError("a bar that ends", "nothing that may follow", where=repr(hand.text[-60:]))
                return ids

            def against(guard: LoopGuard | None = guard, seed: list[str] = seed) -> str:
                heard = [*hand.player.heard, hand.player.key()]
                if guard is not None and guard.objects(heard):
                    return "a loop"
                copies = original is not None and _is_copied(heard[len(seed) :], sheet, original)
                return REASON if copies else ""

            yield from settle(hand, place, manner.decoding.max_redraws, out, draw, against)
            out.bars.append(hand.text[place.n_letters :])
            done = hand.player.reached
            while on_bar is not None and told < (number * part.n_bars + min(done, goal) - len(seed)) // n_parts:
                told += 1
                on_bar(told)
        out.keys += [*hand.player.heard, hand.player.key(), *[""] * goal][len(seed) : goal]
    out.text = hand.text
    out.n_tokens, out.log2_likelihood = hand.chooser.n_tokens, hand.chooser.log2_likelihood
    return out


def _is_copied(keys: Sequence[str], sheet: Sheet, original: Originality) -> bool:
    return copied(sheet.told(keys), original.index).get("run", 0) > original.max_run


@dataclass(frozen=True)
class _Place:
    """A bar line to which a pen can go back."""

    player: Player
    n_letters: int
    n_units: int
    in_sight: tuple[int, ...]
    first: int | None


class _Pen:
    """What the two ways of writing share.

    Attributes:
        text: all that is told so far.
        units: the same in tokens, without the header.
        first: token that begins the next bar, where it is drawn already.
    """

    def __init__(
        self, model: ComposerModel, sheet: Sheet, manner: Manner, rng: np.random.Generator, closing: int
    ) -> None:
        self.vocabulary: Any = model.vocabulary
        self.notation = model.notation
        self.joint: str = model.notation.joint
        self.sheet = sheet
        breaker = self.vocabulary.id_of("new_measure") or self.vocabulary.id_of("|")
        self.chooser = Chooser(manner.decoding, rng, frozenset() if breaker is None else frozenset({breaker}))
        begin = model.vocabulary.bos_id
        head = [] if begin is None else [begin]
        for part in self._tokens(sheet.words + sheet.header):
            head += part
        if not head:
            head = [model.vocabulary.eos_id]  # something has to stand first
        self.window = Window(model.decoder, head, model.context_tokens, closing, (0, 0))
        self.window.remembers = bool(manner.decoding.contrast)
        self.player = sheet.player(sheet.instruments)
        self.text = ""
        self.units: list[list[int]] = []
        self.first: int | None = None

    def _tokens(self, text: str) -> list[list[int]]:
        return tokenize_units(self.vocabulary, units(text, self.notation.unit_start), goes_on=True)

    def give(self, number: int, text: str) -> Writing[None]:
        """Read what stands of a part."""
        self.player.begin_part(number)
        self.player.is_writing = False
        whole = (self.sheet.header if not number else "") + text
        for one in self.notation.fields(whole):
            self.player.feed(one)
        if self.joint == " ":  # line breaks at a text's end are no fields of it
            for _ in range(len(whole) - len(whole.rstrip("\n"))):
                self.player.feed(Field(NEWLINE, ""))
        self.text += whole
        self.units += self._tokens(text) if text else []
        self.first = None
        self.window.logits = None
        yield from ()

    def place(self) -> _Place:
        """Here, at a bar line."""
        in_sight = () if self.window.logits is None else tuple(self.window.ids)
        return _Place(self.player.copy(), len(self.text), len(self.units), in_sight, self.first)

    def go_back(self, place: _Place) -> Writing[None]:
        """Forget what was written since."""
        self.player, self.first = place.player.copy(), place.first
        self.text = self.text[: place.n_letters]
        del self.units[place.n_units :]
        if place.in_sight:
            yield from self.window.go_back(place.in_sight)
        else:
            self.window.logits = None  # nothing had been read yet

    def bar(self, refused: Refused, leads_in: bool = False) -> Writing[list[int]]:
        """Write the next bar, or the end of the last one that stands; its tokens with the one that ended it."""
        raise NotImplementedError

    def _make_room(self) -> Writing[None]:
        recent = min(max((len(unit) for unit in self.units[-4:]), default=0), self.window.context // 4)
        if self.window.logits is None or self.window.room < recent:
            yield from self.window.open(self.units)


class _FieldPen(_Pen):
    """Fields are tokens."""

    def __init__(self, model: ComposerModel, sheet: Sheet, manner: Manner, rng: np.random.Generator) -> None:
        super().__init__(model, sheet, manner, rng, CLOSING_FIELDS)
        self.fields, self.tables, self.plain = field_tables(self.vocabulary, self.notation)
        self.bend = manner.bend(model, sheet, self.player) if manner.bend is not None else None

    def bar(self, refused: Refused, leads_in: bool = False) -> Writing[list[int]]:
        """See :meth:`_Pen.bar`."""
        yield from self._make_room()
        written: list[int] = []
        token, self.first = self.first, None
        if token is None:
            first = self.player.opening()
            token = yield from self._draw([*first, *self.player.allowed()] if leads_in else first, written, refused)
            if leads_in and token is not None and _is_among(self.fields[token], first):
                token, self.first = None, token
        while token is not None:
            self._say(self.fields[token])
            written.append(token)
            yield from self.window.push(token)
            inner, opening = self.player.allowed(), self.player.opening()
            if len(written) >= write.MAX_BAR_FIELDS or self.window.is_nearly_full:
                soonest = [] if len(self._ids(opening)) else self.player.soonest(inner)
                inner = soonest if not soonest or len(self._ids(soonest)) else inner
            token = yield from self._draw([*inner, *opening], written, refused)
            if token is not None and _is_among(self.fields[token], opening):
                self.first = token
                break
        self.units.append(written)
        return written if self.first is None else [*written, self.first]

    def _say(self, said: Field) -> None:
        joint = between(self.player.last, said.kind, self.joint)
        self.text += ("" if joint == "\n" and self.text.endswith("\n") else joint) + str(said)
        self.player.feed(said)

    def _ids(self, spans: Sequence[Span]) -> NDArray[np.int64]:
        found = []
        for kind, low, high in spans:
            if high == WORD:
                found += [self.plain[kind]] if kind in self.plain else []
            elif kind in self.tables:
                values, tokens = self.tables[kind]
                found.append(tokens[np.searchsorted(values, low) : np.searchsorted(values, high, side="right")])
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _draw(self, spans: Sequence[Span], written: list[int], refused: Refused) -> Writing[int | None]:
        """A token of the spans; None where nothing may follow."""
        allowed = self._ids(spans)
        if not len(allowed):
            if spans:
                raise ModelError("fields of the notation in the vocabulary", f"none of {spans[0].kind!r}")
            return None
        wishes = self.bend(self.player, written) if self.bend is not None else None
        found = yield from self.chooser.next(self.window, allowed, written=written, refused=refused, wishes=wishes)
        return found


def _is_among(said: Field, spans: Sequence[Span]) -> bool:
    number = int(said.value) if said.value.lstrip("-").isdecimal() else 0
    return any(span.kind == said.kind and span.low <= number <= span.high for span in spans)


class _TextPen(_Pen):
    """Fields are spelled in a text vocabulary's tokens, which may reach over their borders, not over a bar's."""

    def __init__(self, model: ComposerModel, sheet: Sheet, manner: Manner, rng: np.random.Generator) -> None:
        super().__init__(model, sheet, manner, rng, CLOSING_FIELDS * TOKENS_A_FIELD)
        if manner.bend is not None:
            manner.bend(model, sheet, self.player)  # says that it needs fields
        self.trie = model.trie

    def bar(self, refused: Refused, leads_in: bool = False) -> Writing[list[int]]:
        """See :meth:`_Pen.bar`."""
        yield from self._make_room()
        haste = Haste()
        reading = Reading(Spot(self.player.copy(), self.joint, haste, opens=not leads_in))
        beginnings = [reading, Reading(Spot(self.player.copy(), self.joint, haste, opens=True))][: 1 + leads_in]
        written: list[int] = []
        first, self.first = self.first, None
        token: int | None = first
        if token is None:
            token = yield from self._draw(beginnings, written, refused)
        while token is not None:
            said = self.trie.texts[token] or ""
            following = reading.read(said)
            if following is None:
                self.first = token
                break
            reading = following
            self.text += said
            written.append(token)
            yield from self.window.push(token)
            haste.on = len(written) >= write.MAX_BAR_FIELDS * TOKENS_A_FIELD or self.window.is_nearly_full
            after = reading.next_bar()
            readings = [reading] if after is None else [reading, after]
            token = None
            if not reading.is_over():
                token = yield from self._draw(readings, written, refused)
        player = reading.place()
        assert player is not None  # the bar ended here
        self.player = player.copy()
        self.units.append(written)
        return written if self.first is None else [*written, self.first]

    def _draw(self, readings: list[Reading], written: list[int], refused: Refused) -> Writing[int]:
        return self.chooser.next(self.window, self.trie.allowed(readings), written=written, refused=refused)
