"""Continue a seed: prompt, constrained sampling bar by bar, and the seed with its continuation.

The window that the model sees holds the header and the last bars that fit; when it is full it is begun anew with the
most recent bars, so that memory and speed stay level however long the piece becomes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cadenza.base.errors import ConfigError
from cadenza.infer.constrain import Constraint
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import Prompt, append, read_seed
from cadenza.infer.sample import Sampling, sample
from cadenza.model.vocabulary import BOS
from cadenza.notation.grammar import NEWLINE, Field, fields_of
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.score.time import bar_ticks

#: Nucleus sampling as in the published guitar work; greedy decoding loops.
DEFAULT_SAMPLING = Sampling(temperature=1.0, top_p=0.95)
_VELOCITY = re.compile(r":v\d+")
MAX_BARS = 1_000
MAX_BAR_TOKENS = 600  # a bar that grows beyond this is brought to its end
CLOSING_TOKENS = 16  # more than any bar's shortest way to its end, and the line after it


@dataclass(frozen=True)
class Take:
    """One continuation.

    Args:
        score: the seed with the continuation after it.
        start_ticks: where the continuation begins.
        bars: the continuation's bars as the model wrote them, in text.
        n_notes: its notes.
        n_tokens: tokens drawn.
        copied_bars: share of its bars with notes that equal a bar of the seed's prompt.
        left_out: tracks of the seed that the model did not read.
    """

    score: Score = field(repr=False)
    start_ticks: int
    bars: tuple[str, ...] = field(repr=False)
    n_notes: int
    n_tokens: int
    copied_bars: float
    left_out: tuple[str, ...] = ()


def continue_score(
    seed: Score,
    model: ComposerModel,
    *,
    bars: int = 8,
    sampling: Sampling = DEFAULT_SAMPLING,
    random_seed: int = 0,
    on_bar: Callable[[int], None] | None = None,
) -> Take:
    """The seed with ``bars`` bars of the model's after it, the same for the same ``random_seed``.

    Args:
        on_bar: called with the number of bars done.

    Raises:
        ConfigError: ``bars`` out of range.
        RangeError: the seed has no notes or an unusual metre.
    """
    if not 1 <= bars <= MAX_BARS:
        raise ConfigError(f"1 to {MAX_BARS} bars", str(bars))
    prompt = read_seed(seed, model.notation)
    rng = np.random.default_rng(random_seed)
    writer = _Writer(model, prompt, sampling, rng)
    written: list[str] = []
    for number in range(bars * prompt.split):
        written.append(writer.bar())
        if on_bar and (number + 1) % prompt.split == 0:
            on_bar((number + 1) // prompt.split)
    # The written bars rely on what the prompt said last (velocities), so both are read and the prompt cut off again.
    whole = model.notation.decode(prompt.header + "".join((*prompt.bars, *written)).lstrip())
    length = bar_ticks(prompt.metre, whole.ticks_per_quarter)
    start = length * len(prompt.bars)
    new = select_ticks(start, start + length * len(written)).apply(whole)
    score = append(seed, prompt, new, bars)
    return Take(
        score,
        prompt.start_ticks,
        tuple(written),
        n_notes=score.n_notes - seed.n_notes,
        n_tokens=writer.n_tokens,
        copied_bars=shared_bars(written, prompt.bars),
        left_out=prompt.left_out,
    )


def shared_bars(bars: list[str] | tuple[str, ...], others: list[str] | tuple[str, ...]) -> float:
    """Share of ``bars`` with notes that are, note for note (velocity aside), among ``others``; 0 for none."""
    known = {_VELOCITY.sub("", bar).strip() for bar in others}
    sounding = [_VELOCITY.sub("", bar).strip() for bar in bars if "p" in bar]
    return sum(bar in known for bar in sounding) / len(sounding) if sounding else 0.0


class _Writer:
    """Draws bars one after another."""

    def __init__(self, model: ComposerModel, prompt: Prompt, sampling: Sampling, rng: np.random.Generator) -> None:
        self.model, self.prompt, self.sampling, self.rng = model, prompt, sampling, rng
        self.constraint = Constraint(model.vocabulary, prompt.instruments)
        self.header = [BOS, *model.vocabulary.tokenize(prompt.header)]
        self.bars = [model.vocabulary.tokenize(bar.strip()) for bar in prompt.bars]
        self.n_tokens = 0
        self.empty_bars = 0
        self.state = SimplifiedState(model.notation)
        for token in fields_of(prompt.header):
            self.state.feed(token)
        self.state.feed(Field(NEWLINE, ""))
        self.logits: np.ndarray | None = None
        self.room = 0
        self.spare = model.decoder.max_length - model.context_tokens  # beyond the context, for a bar that is begun
        for bar in self.bars:
            self._follow(bar)

    def _follow(self, bar: list[int]) -> None:
        """Take the automaton through a bar of the prompt (its values may lie beyond the vocabulary)."""
        text = self.model.vocabulary.detokenize(bar)
        for item in fields_of(text):
            self.state.feed(item)
        self.empty_bars = 0 if "p" in text else self.empty_bars + 1

    def _open_window(self) -> None:
        """Header and as many last bars as fit in half of the context (at least one bar, cut if need be)."""
        budget = self.model.context_tokens * 5 // 8 - len(self.header)
        kept: list[int] = []
        for bar in reversed(self.bars):
            if kept and len(kept) + len(bar) > budget:
                break
            kept = bar + kept
        ids = self.header + kept[-max(budget, 1) :]
        self.logits = self.model.decoder.prefill(np.array(ids, np.int64))[0]
        self.room = self.model.context_tokens - len(ids)

    def bar(self) -> str:
        """The next bar's text, with a space before it."""
        recent = max((len(bar) for bar in self.bars[-4:]), default=0)
        if self.logits is None or self.room < recent:
            self._open_window()
        line = self.model.vocabulary.id_of("|")
        assert line is not None
        bar = [line]
        self._push(line)
        while True:
            allowed = self.constraint.allowed(self.state, self.empty_bars)
            if len(bar) >= MAX_BAR_TOKENS or self.room + self.spare <= CLOSING_TOKENS:
                allowed = self._shortest_way(allowed)
            token = self._draw(allowed)
            if token == line:
                break
            bar.append(token)
            self._push(token)
        text = self.model.vocabulary.detokenize(bar)
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
        assert self.logits is not None
        self.n_tokens += 1
        if len(allowed) == 1:
            return int(allowed[0])
        return sample(self.logits, allowed, self.sampling, self.rng)

    def _push(self, token: int) -> None:
        self.state.feed(self.constraint.field(token))
        self.logits = self.model.decoder.step(np.array([token]))[0]
        self.room -= 1
