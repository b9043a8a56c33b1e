"""What the model sees of a long text: the head, the seed's themes and the last bars.

The head (instruction, what a task gives, header) always stays. When the context is full the window begins anew with as
many last bars as fit in five eighths of it, and with the theme before them where there is room: so that memory and
speed stay level however long the piece becomes, and what it is about stays in sight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.infer.loops import key_of
from cadenza.infer.rows import Back, Begin, Mark, Step, Writing
from cadenza.model.decoder import Decoder

THEME_BARS = 4
THEME_SHARE = 0.25  # of the room for bars


def theme_of(bars: Sequence[str], n_bars: int = THEME_BARS) -> tuple[int, int]:
    """(first, stop) of the bars of a seed that come back most often in it; the earliest of several, none of none."""
    keys = [key_of(bar) for bar in bars]
    if len(keys) <= n_bars:
        return 0, len(keys)
    times = [sum(keys[k] == key for k in range(len(keys))) if key else 0 for key in keys]
    first = max(range(len(keys) - n_bars + 1), key=lambda at: (sum(times[at : at + n_bars]), -at))
    return first, first + n_bars


class Window:
    """What the model sees, and what it says next.

    Args:
        head: tokens that always stand first.
        context: tokens that the model was trained to see.
        closing: tokens kept free for bringing a bar to its end.
        theme: (first, stop) among the bars.

    Attributes:
        logits: of the next token; they hold until the next request of any writer.
        ids: tokens in sight.
        remembers: what the model said after each token is kept, for :meth:`said`.
    """

    def __init__(self, decoder: Decoder, head: list[int], context: int, closing: int, theme: tuple[int, int]) -> None:
        self.max_length, self.context, self.closing = decoder.max_length, context, closing
        self.head, self.theme = head, theme
        self.logits: np.ndarray | None = None
        self.ids: list[int] = []
        self.remembers = False
        self._said: list[np.ndarray] = []  # of the last tokens in sight
        self._marked: list[int] | None = None  # what was in sight at the mark

    def open(self, bars: Sequence[list[int]]) -> Writing[None]:
        """Begin anew with the head and as many last bars as fit (at least one, cut if need be)."""
        most = min(self.context * 5 // 8, max(self.max_length - 2 * self.closing, self.context // 2))
        budget = most - len(self.head)
        theme = [token for bar in bars[slice(*self.theme)] for token in bar]
        if sum(map(len, bars)) <= budget or len(theme) > budget * THEME_SHARE:
            theme = []
        kept: list[int] = []
        for bar in reversed(bars[self.theme[1] if theme else 0 :]):
            if kept and len(kept) + len(bar) > budget - len(theme):
                break
            kept = bar + kept
        ids = self.head + (theme + kept)[-max(budget, 1) :]
        if len(ids) + self.closing > self.max_length:
            raise ModelError(
                f"a context of at least {len(self.head) + 2 * self.closing} tokens for this piece's header",
                str(self.max_length), hint="Fewer tracks have a shorter header.",
            )  # fmt: skip
        yield from self.see(ids)

    def see(self, ids: list[int]) -> Writing[None]:
        """Begin anew with exactly these."""
        self.ids = list(ids)
        self._said, self._marked = [], None
        self.logits = yield Begin(self.ids)

    def mark(self) -> Writing[None]:
        """Remember this place for :meth:`go_back`; nothing where nothing is in sight yet."""
        if self.logits is not None:
            self._marked = list(self.ids)
            self.logits = yield Mark()

    def go_back(self, ids: Sequence[int]) -> Writing[None]:
        """See again what was seen at the mark: these. Where the mark was moved since, they are read again."""
        at_mark = self._marked is not None and self._marked == list(ids)
        gone = len(self.ids) - len(ids)
        self._said = self._said[: max(0, len(self._said) - gone)] if at_mark else []
        self.ids = list(ids)
        if at_mark:
            self.logits = yield Back(self.ids)
        else:
            self._marked = None
            self.logits = yield Begin(self.ids)

    def peek(self, tokens: Sequence[int]) -> Writing[list[np.ndarray]]:
        """What the model would say after each of several tokens, as :meth:`said` has it; the mark is moved here."""
        ids = list(self.ids)
        yield from self.mark()
        found = []
        for token in tokens:
            found.append(_direction((yield Step(token))))
            self.logits = yield Back(ids)
        return found

    def said(self) -> np.ndarray:
        """What the model said after each token that was pushed and is still in sight: logits less their mean, of
        length 1, shape (tokens, V)."""
        return np.array(self._said)

    @property
    def room(self) -> int:
        """Tokens left of the context."""
        return self.context - len(self.ids)

    @property
    def is_nearly_full(self) -> bool:
        """Only the way to the bar's end is left."""
        return self.max_length - len(self.ids) <= self.closing

    def push(self, token: int) -> Writing[None]:
        """Append a token."""
        self.ids.append(token)
        self.logits = yield Step(token)
        if self.remembers:
            self._said.append(_direction(self.logits))


def _direction(logits: np.ndarray) -> np.ndarray:
    centred = logits.astype(np.float32) - logits.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-9))
