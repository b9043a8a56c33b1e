"""Continue a seed: prompt, constrained sampling bar by bar, and the seed with its continuation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cadenza.base.errors import ConfigError
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import append, read_seed
from cadenza.infer.sample import Sampling
from cadenza.infer.write import writer_for
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.score.time import bar_ticks

#: Nucleus sampling as in the published guitar work; greedy decoding loops.
DEFAULT_SAMPLING = Sampling(temperature=1.0, top_p=0.95)
_VELOCITY = re.compile(r":v\d+")
MAX_BARS = 1_000


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
    prompt = read_seed(seed, model)
    rng = np.random.default_rng(random_seed)
    writer = writer_for(model, prompt, sampling, rng)
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
