"""Drawing bars one after another: in tokens that are a notation's fields, or in the tokens of any text vocabulary.

Each bar is drawn, looked at, and where it makes a loop (:mod:`cadenza.infer.loops`) or copies what it should not, drawn
again from its bar line with what was refused made unlikely and chance given more room.

The bars' texts are cut at the bar's word, blank included, as they were for training: fields imply the blank, a text
vocabulary spells it. A writer is a generator for one row of a decoder, see :mod:`cadenza.infer.rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.choose import Chooser, Decoding, Refused
from cadenza.infer.constrain import Constraint, Instrument, Rules
from cadenza.infer.given import GivenRules
from cadenza.infer.loops import LoopGuard, LoopTable, key_of
from cadenza.infer.model import ComposerModel
from cadenza.infer.players import Player
from cadenza.infer.prompt import Prompt
from cadenza.infer.recall import NATS, Recall, Saying
from cadenza.infer.redraw import settle
from cadenza.infer.rows import Writing
from cadenza.infer.spell import Cursor, Place, Writer
from cadenza.infer.window import Window, theme_of
from cadenza.model.units import tokenize_units, units
from cadenza.notation.grammar import NEWLINE, Field, fields_of
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.grammar import SimplifiedState

MAX_BAR_FIELDS = 600  # a bar that grows beyond this is brought to its end
CLOSING_FIELDS = 16  # more than any bar's shortest way to its end, and the line after it
TOKENS_A_FIELD = 6  # at most, where fields are spelled
MAX_SILENT_BARS = 4  # in a row, of the written tracks beside given ones

#: State of the automaton, the bar's tokens so far → (ids, what to add to their logits), or None.
Wish = Callable[[SimplifiedState, Sequence[int]], tuple[NDArray[np.int64], NDArray[np.float64]] | None]
#: The same of a player.
Bend = Callable[[Player, Sequence[int]], tuple[NDArray[np.int64], NDArray[np.float64]] | None]
#: All bars, the standing ones first → why the last of them is refused; empty where it is not.
Objection = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Manner:
    """How bars are written.

    Args:
        decoding: how tokens are chosen.
        table: how far repetition goes before the guard steps in.
        rules: makes the rules from the prompt.
        wish: bends the distribution; fields only.
        objection: makes, from the prompt and the text's ticks a quarter, what refuses bars for further reasons.
        may_be_empty: nothing at all may be written.
        narrow: of notations that players write (:mod:`cadenza.infer.script`) what the instruments are to play, made
            of what they can, of the tracks that are written, and of the piece's numbers of all.
        bend: of these what bends the distribution; fields only.
    """

    decoding: Decoding
    table: LoopTable
    rules: Callable[[Prompt], Rules] = field(default_factory=lambda: rules_of)
    wish: Callable[[ComposerModel, Prompt, Rules], Wish] | None = None
    objection: Callable[[Prompt, int], Objection] | None = None
    may_be_empty: bool = False
    narrow: Callable[[Sequence[Instrument], Sequence[int], Sequence[int]], Sequence[Instrument]] | None = None
    bend: Callable[[ComposerModel, Any, Player], Bend] | None = None


def rules_of(prompt: Prompt) -> Rules:
    """What may follow: the instruments' rules, beside given notes where there are any."""
    if prompt.given is None:
        return Rules(prompt.instruments)
    return GivenRules(prompt.instruments, prompt.given)


@dataclass
class Written:
    """What a writer did.

    Args:
        bars: texts, each with a blank before it.
        n_tokens: drawn, those of refused bars included.
        n_drawn: tokens of the bars that stayed.
        log2_likelihood: of these, under the model's own distribution over what was allowed.
        refused: reason → how many bars were drawn again for it.
        kept_against: reason → how many bars stayed although it spoke against them.
        n_recalled: bars that said a phrase again, note for note.
    """

    bars: list[str] = field(default_factory=list)
    n_tokens: int = 0
    n_drawn: int = 0
    log2_likelihood: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    kept_against: dict[str, int] = field(default_factory=dict)
    n_recalled: int = 0


def write_bars(
    model: ComposerModel,
    prompt: Prompt,
    n_bars: int,
    manner: Manner,
    rng: np.random.Generator,
    on_bar: Callable[[int], None] | None = None,
) -> Writing[Written]:
    """``n_bars`` bars after the prompt.

    Args:
        on_bar: called with the number of bars done.
    """
    hand = (_FieldHand if model.has_fields else _TextHand)(model, prompt, manner, rng)
    guard = None
    if manner.decoding.guard:
        guard = LoopGuard(manner.table, [hand.keys, [key_of(bar) for bar in prompt.beside]])
    objection = None
    if manner.objection is not None and manner.decoding.original:
        objection = manner.objection(prompt, hand.state.ticks_per_quarter)
    recall = None
    if manner.decoding.recall and model.has_fields and prompt.given is None and not prompt.words:
        recall = Recall(manner.table, rng.spawn(1)[0])
    phrase: list[list[int]] = []  # bars that are to be said again
    out = Written()
    silent, n_sounding = 0, 0
    for number in range(n_bars):
        if recall is not None:
            phrase = phrase or recall.begins(hand.bars, n_bars - number)
        last_chance = number == n_bars - 1 and not n_sounding and not manner.may_be_empty
        hand.rules.insists = last_chance or (prompt.given is not None and silent >= MAX_SILENT_BARS)
        place = hand.place()
        if guard is not None or objection is not None:
            yield from hand.window.mark()

        def draw(refused: Refused, said: list[list[int]] = phrase) -> Writing[list[int]]:
            if refused.bars:
                said.clear()
            return hand.bar(refused, said[0] if said else None)

        def against() -> str:
            if guard is not None and guard.objects(hand.keys):
                return "a loop"
            return objection(hand.texts) if objection is not None else ""

        yield from settle(hand, place, manner.decoding.max_redraws, out, draw, against)
        bar = hand.texts[-1]
        same = phrase and key_of(bar) == key_of(" " + model.vocabulary.detokenize(phrase[0]))
        phrase = phrase[1:] if same else []
        out.n_recalled += bool(same)
        out.bars.append(bar)
        plays = _plays(bar, prompt)
        silent, n_sounding = (0 if plays else silent + 1), n_sounding + plays
        if on_bar is not None:
            on_bar(number + 1)
    out.n_tokens, out.log2_likelihood = hand.chooser.n_tokens, hand.chooser.log2_likelihood
    return out


def _plays(bar: str, prompt: Prompt) -> bool:
    """Whether a written track has a note in the bar."""
    if prompt.given is None:
        return "p" in bar
    return any(f"i{track} " in f"{bar} " for track in prompt.free)


@dataclass(frozen=True)
class _Place:
    """A bar line to which a hand can go back."""

    state: SimplifiedState
    empty_bars: int
    n_texts: int
    in_sight: tuple[int, ...]
    first: int | None
    insists: bool


class _Hand:
    """What the two ways of writing share.

    Attributes:
        texts: all bars, the standing ones first.
        keys: what makes them the same (:func:`cadenza.infer.loops.key_of`).
        bars: the same in tokens.
    """

    def __init__(
        self, model: ComposerModel, prompt: Prompt, manner: Manner, rng: np.random.Generator, closing: int
    ) -> None:
        begin = model.vocabulary.bos_id
        self.vocabulary: Any = model.vocabulary
        self.rules = manner.rules(prompt)
        self.free = prompt.free
        line = model.vocabulary.id_of("|")
        self.chooser = Chooser(manner.decoding, rng, frozenset() if line is None else frozenset({line}))
        # What is given ends where the completion begins: no token reaches over that border in training either.
        told = prompt.words + prompt.opening
        texts = [told, prompt.header] if prompt.opening else [told + prompt.header]
        parts = [
            part for text in texts for part in tokenize_units(model.vocabulary, units(text, model.notation.unit_start))
        ]
        head = [*([] if begin is None else [begin]), *(token for part in parts for token in part)]
        self.window = Window(model.decoder, head, model.context_tokens, closing, theme_of(prompt.bars))
        self.window.remembers = bool(manner.decoding.contrast)
        self.texts = list(prompt.bars)
        self.keys = [key_of(bar) for bar in prompt.bars]
        self.bars: list[list[int]] = []
        self.state, self.empty_bars = _after(model, prompt)
        self.first: int | None = None  # token that begins the next bar, where it is drawn already

    def place(self) -> _Place:
        """Here, at a bar line."""
        in_sight, insists = tuple(self.window.ids), self.rules.insists
        return _Place(self.state.copy(), self.empty_bars, len(self.texts), in_sight, self.first, insists)

    def go_back(self, place: _Place) -> Writing[None]:
        """Forget what was written since."""
        self.state, self.empty_bars, self.first = place.state.copy(), place.empty_bars, place.first
        self.rules.insists = place.insists
        del self.texts[place.n_texts :], self.keys[place.n_texts :], self.bars[place.n_texts :]
        if place.in_sight:
            yield from self.window.go_back(place.in_sight)
        else:
            self.window.logits = None  # nothing had been read yet

    def bar(self, refused: Refused, again: list[int] | None = None) -> Writing[list[int]]:
        """Write the next bar; its tokens with the one that ended it.

        Args:
            again: tokens of a bar that is to be said again; in fields only.
        """
        raise NotImplementedError

    def _keep(self, text: str, ids: list[int]) -> None:
        self.texts.append(text)
        self.keys.append(key_of(text))
        self.bars.append(ids)
        self.empty_bars = 0 if "p" in text else self.empty_bars + 1

    def _must_open(self) -> bool:
        recent = max((len(bar) for bar in self.bars[-4:]), default=0)
        return self.window.logits is None or self.window.room < recent


class _FieldHand(_Hand):
    """Fields are tokens."""

    def __init__(self, model: ComposerModel, prompt: Prompt, manner: Manner, rng: np.random.Generator) -> None:
        super().__init__(model, prompt, manner, rng, CLOSING_FIELDS)
        self.constraint = Constraint(model.vocabulary, self.rules)
        self.bars = [model.vocabulary.tokenize(bar.strip()) for bar in prompt.bars]
        self.wish = manner.wish(model, prompt, self.rules) if manner.wish is not None else None

    def bar(self, refused: Refused, again: list[int] | None = None) -> Writing[list[int]]:
        """See :meth:`_Hand.bar`."""
        if self._must_open():
            yield from self.window.open(self.bars)
        line = self.vocabulary.id_of("|")
        assert line is not None
        bar = [line]
        yield from self._push(line)
        saying = None if again is None else Saying(again, line, lambda token: self._kind(token) == ":v")
        while True:
            allowed = self.constraint.allowed(self.state, self.empty_bars)
            if len(bar) >= MAX_BAR_FIELDS or self.window.is_nearly_full:
                allowed = self._shortest_way(allowed)
            wishes = self._wishes(bar, None if saying is None else saying.next(allowed))
            token = yield from self.chooser.next(self.window, allowed, written=bar, refused=refused, wishes=wishes)
            if saying is not None:
                saying.drawn(token)
            if token == line:
                break
            bar.append(token)
            yield from self._push(token)
            if self.constraint.field(token).kind == "p" and self.state.track in self.free:
                self.rules.insists = False
        self._keep(" " + self.vocabulary.detokenize(bar), bar)
        return [*bar, line]

    def _wishes(self, bar: list[int], wanted: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """What the controls and the phrase that is said again would like."""
        wishes = self.wish(self.state, bar) if self.wish is not None else None
        if wanted is None:
            return wishes
        ids, amounts = wishes if wishes is not None else (np.zeros(0, np.int64), np.zeros(0))
        return np.append(ids, wanted), np.append(amounts, NATS)

    def _kind(self, token: int) -> str:
        return self.constraint.field(token).kind

    def _shortest_way(self, allowed: np.ndarray) -> np.ndarray:
        """Of ``allowed``, what ends the bar soonest: its line, else the longest step, else anything but a bend."""
        kinds = [self.constraint.field(t).kind for t in allowed.tolist()]
        if "|" in kinds:
            return allowed[[kind == "|" for kind in kinds]]
        steps = allowed[[kind in (":t", "t") for kind in kinds]]
        if len(steps):
            return np.array([max(steps.tolist(), key=lambda t: int(self.constraint.field(t).value))])
        straight = allowed[[kind != ":o" for kind in kinds]]
        return straight if len(straight) else allowed

    def _push(self, token: int) -> Writing[None]:
        self.state.feed(self.constraint.field(token))
        yield from self.window.push(token)


class _TextHand(_Hand):
    """Fields are spelled in a text vocabulary's tokens, which may reach over their borders."""

    def __init__(self, model: ComposerModel, prompt: Prompt, manner: Manner, rng: np.random.Generator) -> None:
        self.closing = CLOSING_FIELDS * TOKENS_A_FIELD
        super().__init__(model, prompt, manner, rng, self.closing)
        self.trie = model.trie
        # After the header's line break no blank stands before a bar.
        said = [bar if number else bar.strip() for number, bar in enumerate(prompt.bars)]
        self.bars = [model.vocabulary.tokenize(bar) for bar in said]

    def bar(self, refused: Refused, again: list[int] | None = None) -> Writing[list[int]]:
        """See :meth:`_Hand.bar`."""
        if self._must_open():
            yield from self.window.open(self.bars)
        writer = Writer(self.rules, self.empty_bars)
        cursor = Cursor(Place(self.state, writer, opens_bar=True))
        text = ""
        ids: list[int] = []
        token = self.first
        if token is None:
            token = yield from self._draw([cursor], ids, refused)
        while True:
            read = cursor.read(self.trie.texts[token] or "")
            if read is None:
                break  # a token of the next bar
            cursor = read
            text += self.trie.texts[token] or ""
            ids.append(token)
            yield from self.window.push(token)
            if any(f"i{track} p" in text for track in self.free):
                self.rules.insists = False
            writer.hurries = len(ids) >= MAX_BAR_FIELDS * TOKENS_A_FIELD or self.window.is_nearly_full
            following = cursor.bar()
            token = yield from self._draw([cursor] if following is None else [cursor, following], ids, refused)
        self.first = token
        after = cursor.place.after(cursor.written)
        assert after is not None  # the bar ended here
        self.state = after.state
        self._keep(" " + text.strip(), ids)
        return [*ids, token]

    def _draw(self, cursors: list[Cursor], written: list[int], refused: Refused) -> Writing[int]:
        return self.chooser.next(self.window, self.trie.allowed(cursors), written=written, refused=refused)


def _after(model: ComposerModel, prompt: Prompt) -> tuple[SimplifiedState, int]:
    """The automaton after the prompt, and how many empty bars it ends with."""
    state, empty_bars = _fed(model.notation, prompt.header, prompt.bars)
    return state.copy(), empty_bars


@lru_cache(maxsize=4)  # takes of one prompt share it
def _fed(notation: SimplifiedMidi, header: str, bars: tuple[str, ...]) -> tuple[SimplifiedState, int]:
    state = SimplifiedState(notation)
    for one in fields_of(header):
        state.feed(one)
    state.feed(Field(NEWLINE, ""))
    empty_bars = 0
    for bar in bars:
        for one in fields_of(bar):
            state.feed(one)
        empty_bars = 0 if "p" in bar else empty_bars + 1
    return state, empty_bars
