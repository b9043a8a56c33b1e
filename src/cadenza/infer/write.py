"""Drawing bars one after another: in tokens that are a notation's fields, or in the tokens of any text vocabulary.

The window that the model sees holds the header and the last bars that fit; when it is full it is begun anew with the
most recent bars, so that memory and speed stay level however long the piece becomes.

The bars' texts are cut at the bar's word, blank included, as they were for training: fields imply the blank, a text
vocabulary spells it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.infer.constrain import Constraint, Rules
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import Prompt
from cadenza.infer.sample import Sampling, sample
from cadenza.infer.spell import Cursor, Place, Writer
from cadenza.notation.grammar import NEWLINE, Field, fields_of
from cadenza.notation.simplified.grammar import SimplifiedState

MAX_BAR_FIELDS = 600  # a bar that grows beyond this is brought to its end
CLOSING_FIELDS = 16  # more than any bar's shortest way to its end, and the line after it
TOKENS_A_FIELD = 6  # at most, where fields are spelled


class BarWriter(Protocol):
    """Writes bars after a prompt."""

    n_tokens: int

    def bar(self) -> str:
        """The next bar's text, with a space before it."""


def writer_for(model: ComposerModel, prompt: Prompt, sampling: Sampling, rng: np.random.Generator) -> BarWriter:
    """The writer that fits the model's vocabulary."""
    return (_FieldWriter if model.has_fields else _TextWriter)(model, prompt, sampling, rng)


class _Window:
    """What the model sees, and what it says next.

    Args:
        closing: tokens kept free for bringing a bar to its end.
    """

    def __init__(self, model: ComposerModel, prompt: Prompt, closing: int) -> None:
        tokenize, begin = model.vocabulary.tokenize, model.vocabulary.bos_id
        self.decoder, self.context, self.closing = model.decoder, model.context_tokens, closing
        self.header = [*([] if begin is None else [begin]), *tokenize(prompt.words), *tokenize(prompt.header)]
        self.logits: np.ndarray | None = None
        self.room = 0

    def open(self, bars: list[list[int]]) -> None:
        """Begin anew with the header and as many last bars as fit in five eighths (at least one, cut if need be)."""
        most = min(self.context * 5 // 8, max(self.decoder.max_length - 2 * self.closing, self.context // 2))
        budget = most - len(self.header)
        kept: list[int] = []
        for bar in reversed(bars):
            if kept and len(kept) + len(bar) > budget:
                break
            kept = bar + kept
        ids = self.header + kept[-max(budget, 1) :]
        if len(ids) + self.closing > self.decoder.max_length:
            raise ModelError(
                f"a context of at least {len(self.header) + 2 * self.closing} tokens for this piece's header",
                str(self.decoder.max_length), hint="Fewer tracks have a shorter header.",
            )  # fmt: skip
        self.logits = self.decoder.prefill(np.array(ids, np.int64))[0]
        self.room = self.context - len(ids)

    @property
    def is_nearly_full(self) -> bool:
        """Only the way to the bar's end is left."""
        return self.decoder.max_length - self.decoder.length <= self.closing

    def push(self, token: int) -> None:
        """Append a token."""
        self.logits = self.decoder.step(np.array([token]))[0]
        self.room -= 1


class _FieldWriter:
    """Fields are tokens."""

    def __init__(self, model: ComposerModel, prompt: Prompt, sampling: Sampling, rng: np.random.Generator) -> None:
        self.vocabulary, self.sampling, self.rng = model.vocabulary, sampling, rng
        self.constraint = Constraint(model.vocabulary, prompt.instruments)
        self.window = _Window(model, prompt, CLOSING_FIELDS)
        self.bars = [model.vocabulary.tokenize(bar.strip()) for bar in prompt.bars]
        self.n_tokens = 0
        self.state, self.empty_bars = _after(model, prompt)

    def bar(self) -> str:
        """See :class:`BarWriter`."""
        recent = max((len(bar) for bar in self.bars[-4:]), default=0)
        if self.window.logits is None or self.window.room < recent:
            self.window.open(self.bars)
        line = self.vocabulary.id_of("|")
        assert line is not None
        bar = [line]
        self._push(line)
        while True:
            allowed = self.constraint.allowed(self.state, self.empty_bars)
            if len(bar) >= MAX_BAR_FIELDS or self.window.is_nearly_full:
                allowed = self._shortest_way(allowed)
            token = self._draw(allowed)
            if token == line:
                break
            bar.append(token)
            self._push(token)
        text = self.vocabulary.detokenize(bar)
        self.bars.append(bar)
        self.empty_bars = 0 if "p" in text else self.empty_bars + 1
        return " " + text

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

    def _draw(self, allowed: np.ndarray) -> int:
        assert self.window.logits is not None
        self.n_tokens += 1
        if len(allowed) == 1:
            return int(allowed[0])
        return sample(self.window.logits, allowed, self.sampling, self.rng)

    def _push(self, token: int) -> None:
        self.state.feed(self.constraint.field(token))
        self.window.push(token)


class _TextWriter:
    """Fields are spelled in a text vocabulary's tokens, which may reach over their borders."""

    def __init__(self, model: ComposerModel, prompt: Prompt, sampling: Sampling, rng: np.random.Generator) -> None:
        self.vocabulary, self.sampling, self.rng, self.trie = model.vocabulary, sampling, rng, model.trie
        self.rules = Rules(prompt.instruments)
        self.closing = CLOSING_FIELDS * TOKENS_A_FIELD
        self.window = _Window(model, prompt, self.closing)
        self.bars = [(bar, model.vocabulary.tokenize(bar)) for bar in prompt.bars]
        self.n_tokens = 0
        self.state, self.empty_bars = _after(model, prompt)
        self.first: int | None = None  # token that begins the next bar, where it is drawn already

    def bar(self) -> str:
        """See :class:`BarWriter`."""
        recent = max((len(ids) for _, ids in self.bars[-4:]), default=0)
        if self.window.logits is None or self.window.room < recent:
            # After the header's line break no blank stands before a bar.
            first, rest = self.vocabulary.tokenize(self.bars[0][0].strip()), [ids for _, ids in self.bars[1:]]
            self.window.open([first, *rest])
        writer = Writer(self.rules, self.empty_bars)
        cursor = Cursor(Place(self.state, writer, opens_bar=True))
        text, ids = "", []
        token = self._draw([cursor]) if self.first is None else self.first
        while True:
            read = cursor.read(self.trie.texts[token] or "")
            if read is None:
                break  # a token of the next bar
            cursor = read
            text += self.trie.texts[token] or ""
            ids.append(token)
            self.window.push(token)
            writer.hurries = len(ids) >= MAX_BAR_FIELDS * TOKENS_A_FIELD or self.window.is_nearly_full
            following = cursor.bar()
            token = self._draw([cursor] if following is None else [cursor, following])
        self.first = token
        after = cursor.place.after(cursor.written)
        assert after is not None  # the bar ended here
        self.state = after.state
        self.bars.append((text, ids))
        self.empty_bars = 0 if "p" in text else self.empty_bars + 1
        return text

    def _draw(self, cursors: list[Cursor]) -> int:
        assert self.window.logits is not None
        self.n_tokens += 1
        return sample(self.window.logits, self.trie.allowed(cursors), self.sampling, self.rng)


def _after(model: ComposerModel, prompt: Prompt) -> tuple[SimplifiedState, int]:
    """The automaton after the prompt, and how many empty bars it ends with."""
    state = SimplifiedState(model.notation)
    for field in fields_of(prompt.header):
        state.feed(field)
    state.feed(Field(NEWLINE, ""))
    empty_bars = 0
    for bar in prompt.bars:
        for field in fields_of(bar):
            state.feed(field)
        empty_bars = 0 if "p" in bar else empty_bars + 1
    return state, empty_bars
