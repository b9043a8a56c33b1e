"""Bits per note, per bar and per second: how well a model predicts human music.

**Definition.** −Σ log2 p of the tokens of a held-out text / notes (bars, seconds of music) that they say. Per token is
given too, but compares nothing: a tokenizer with longer tokens has more bits in each. Per note, the figure is that of
the distribution over texts and does not depend on how a text is cut into tokens (tests: the same distribution in two
tokenizations). Natural logarithms / ln 2 are what most training code reports; ask for log2 here.

**What it compares.** Models on one set of pieces in one notation. Over notations only after every piece was projected
to the fields that all of them keep: :func:`common_fields`; a notation that drops velocities need not pay for them.

**Windows.** A model of a finite context sees a long text in windows. With a stride as long as the window, the first
tokens of each have little context and cost more: the figure falls as the stride gets shorter. So window and stride are
part of the row, in tokens, and rows with others do not compare. :func:`windows` gives those in use: each window but
the first counts only the tokens that no window before it has counted.

Beside it belong always an n-gram (:mod:`cadenza.metrics.ngram`) and a copy baseline (:mod:`cadenza.metrics.copying`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from cadenza.base.errors import ConfigError, RangeError
from cadenza.metrics.base import Column, Metric
from cadenza.notation.base import Notation
from cadenza.score.edit import project
from cadenza.score.model import Score

MAX_ROUNDS = 8


def compute(
    *, log2_p: ArrayLike, notes: int, bars: int, seconds: float, window_tokens: int, stride_tokens: int
) -> dict[str, float]:
    """Bits of one text or of many put together; counts of zero leave their column out.

    Raises:
        RangeError: a log2 p above 0 or not a number, or a stride beyond its window.
    """
    found = np.asarray(log2_p, np.float64)
    if not np.isfinite(found).all() or (found > 1e-9).any():
        raise RangeError("log2 p of at most 0", f"up to {found.max()}", where="metric likelihood")
    if not 1 <= stride_tokens <= window_tokens:
        raise RangeError("1 ≤ stride ≤ window", f"{stride_tokens} and {window_tokens}", where="metric likelihood")
    bits = -float(found.sum()) + 0.0
    out = {
        f"bits_per_{name}": bits / count
        for name, count in (("note", notes), ("bar", bars), ("second", seconds), ("token", found.size))
        if count > 0
    }
    return out | {"window_tokens": float(window_tokens), "stride_tokens": float(stride_tokens)}


def windows(n_tokens: int, window_tokens: int, stride_tokens: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, first counted) of each window over a text; every token is counted once.

    Raises:
        ConfigError: not 1 ≤ stride ≤ window.
    """
    if not 1 <= stride_tokens <= window_tokens:
        raise ConfigError("1 ≤ stride ≤ window", f"{stride_tokens} and {window_tokens}")
    counted = start = 0
    while counted < n_tokens:
        stop = min(start + window_tokens, n_tokens)
        yield start, stop, counted
        counted = stop
        start += stride_tokens


def common_fields(score: Score, notations: Sequence[Notation]) -> Score:
    """The score with only what every one of ``notations`` keeps: all their projections, until none changes it.

    Raises:
        ConfigError: the projections undo each other.
    """
    for _ in range(MAX_ROUNDS):
        before = score
        for notation in notations:
            score = project(score, notation.projection)
        if score == before:
            return score
    raise ConfigError("notations whose projections agree in the end", " and ".join(n.name for n in notations))


_NO_END = float("inf")
METRIC = Metric(
    name="likelihood",
    summary="Bits per note, bar and second of held-out music.",
    source="Shannon 1951; per unit of music: ours",
    needs="log2_p",
    compute=compute,
    columns=(
        Column("bits_per_note", 0, _NO_END, "lower", "bits", "−log2 p of the text / its notes."),
        Column("bits_per_bar", 0, _NO_END, "lower", "bits", "−log2 p of the text / its bars."),
        Column("bits_per_second", 0, _NO_END, "lower", "bits", "−log2 p of the text / its seconds of music."),
        Column("bits_per_token", 0, _NO_END, "lower", "bits", "−log2 p of the text / its tokens; one tokenizer only."),
        Column("window_tokens", 1, _NO_END, "reference", "tokens", "Context that the model saw at most."),
        Column("stride_tokens", 1, _NO_END, "reference", "tokens", "From one window to the next."),
    ),
)
