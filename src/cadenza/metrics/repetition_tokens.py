"""How much a text repeats itself, in tokens: the same measures as :mod:`cadenza.metrics.repetition`.

rep-n for 1–4 tokens, rep-w and rep-r, over the fields of the notation (``p57``, ``:d480`` …), which are the tokens of a
model made for it. A pretrained tokenizer cuts elsewhere; then call the functions of
:mod:`cadenza.metrics.repetition` on its ids. Figures of different notations or tokenizers do not compare: always put
those of human music in the same notation beside them. rep-1 of a long text is near 1 whatever it says, since a
vocabulary is small; ``…_in_256`` are means over windows of 256 tokens, half overlapping, for texts that have so many.

``loop_tokens`` is the longest stretch of one group of up to 64 tokens repeated at once.
"""

from __future__ import annotations

from functools import partial

from cadenza.base.errors import NotationError
from cadenza.metrics import repetition
from cadenza.metrics.base import Column, Metric, defined
from cadenza.notation.base import Notation

GRAMS = (1, 2, 3, 4)
WINDOW_TOKENS = 256
MAX_LOOP_TOKENS = 64


def tokens_of(text: str, notation: Notation) -> list[str]:
    """The fields of a text up to the first that cannot be taken apart."""
    found: list[str] = []
    try:
        for field in notation.fields(text):
            found.append(str(field))
    except NotationError:
        pass  # what a broken text repeats before it breaks counts; that it breaks is the syntax metric's
    return found


def compute(*, est: str, notation: Notation) -> dict[str, float]:
    """The columns of one text; see the module's prose."""
    tokens = repetition.numbered(tokens_of(est, notation))
    values: dict[str, float | None] = {}
    for n in GRAMS:
        values[f"rep_{n}_tokens"] = repetition.rep_n(tokens, n)
        values[f"rep_{n}_tokens_in_{WINDOW_TOKENS}"] = repetition.in_windows(
            partial(repetition.rep_n, n=n), tokens, WINDOW_TOKENS
        )
    values["rep_w_tokens"] = repetition.rep_w(tokens)
    values["rep_r_tokens"] = repetition.rep_r(tokens)
    values["loop_tokens"] = float(repetition.longest_loop(tokens, MAX_LOOP_TOKENS).length)
    return defined(values)


def _rep(n: int) -> tuple[Column, Column]:
    name = f"rep_{n}_tokens"
    return (
        Column(name, 0, 1, "reference", "share", f"{n}-grams of tokens that are not new (rep-{n})."),
        Column(f"{name}_in_{WINDOW_TOKENS}", 0, 1, "reference", "share", f"The same in windows of {WINDOW_TOKENS}."),
    )


METRIC = Metric(
    name="repetition-tokens",
    summary="Repeated tokens.",
    source="Welleck et al., ICLR 2020; Fu et al., AAAI 2021",
    needs="text",
    compute=compute,
    columns=(
        *(column for n in GRAMS for column in _rep(n)),
        Column("rep_w_tokens", 0, 1, "reference", "share", "Tokens that are among the 16 before them (rep-w)."),
        Column("rep_r_tokens", 0, 1, "reference", "share", "Tokens inside a pair that occurs more than once (rep-r)."),
        Column("loop_tokens", 0, float("inf"), "reference", "tokens", "Longest stretch of one group repeated."),
    ),
)
