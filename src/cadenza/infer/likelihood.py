"""How likely a model finds held-out music: log2 p of every token of a text, whatever the tokenizer, window and batch.

A text is scored as composing reads it: header first, then bars, each bar tokenized by itself. What is given (the
instruction, the header) is not paid for. A text longer than the window is scored in windows that move by ``stride``
tokens: each begins with the header and the tokens before, and pays only for its new ones. A smaller stride gives more
context and fewer bits, so window and stride belong to the figure.

Bits add up over tokens, so that the sum over a text does not depend on how it is cut into tokens if the distribution
over texts is the same; divided by notes, bars or seconds they compare models of different vocabularies. (Strictly the
bits are those of one tokenization of the text. Where a vocabulary can spell a text in several ways the text itself
is likelier, so a text vocabulary's figure is an upper bound.) Across notations they compare only after the music was
brought to the fields that all of them keep: :func:`common`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError, ConfigError
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import read_seed
from cadenza.metrics.likelihood import common_fields, windows
from cadenza.model.decoder import Decoder
from cadenza.notation.base import Notation
from cadenza.score.model import Score
from cadenza.score.time import bar_table, ticks_to_seconds


@dataclass(frozen=True)
class Text:
    """A piece as the model's tokens.

    Args:
        head: ids that are given: begin, instruction, header.
        body: ids that are paid for.
        n_notes, n_bars, seconds: what the body says.
    """

    head: NDArray[np.int64]
    body: NDArray[np.int64]
    n_notes: int
    n_bars: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """What one pass of a model takes: ``ids``, of which the first ``n_given`` are context only."""

    ids: NDArray[np.int64]
    n_given: int


def text_of(score: Score, model: ComposerModel) -> Text:
    """The text of a piece of full bars in one metre.

    Raises:
        CadenzaError: the model's notation cannot say it.
    """
    prompt = read_seed(score, model, max_bars=len(bar_table(score)))
    tokenize, begin = model.vocabulary.tokenize, model.vocabulary.bos_id
    head = [*([] if begin is None else [begin]), *tokenize(prompt.words), *tokenize(prompt.header)]
    # As composing has them: fields imply the blank before a bar, a text vocabulary spells it after the first.
    has_fields = model.has_fields
    bars = [prompt.bars[0].strip(), *(bar.strip() if has_fields else bar for bar in prompt.bars[1:])]
    body = [token for bar in bars for token in tokenize(bar)]
    said = model.notation.decode(prompt.header + "".join(prompt.bars).lstrip())
    seconds = float(ticks_to_seconds(score, score.length_ticks))
    return Text(np.array(head, np.int64), np.array(body, np.int64), said.n_notes, len(bar_table(score)), seconds)


def rows_of(text: Text, window_tokens: int, stride_tokens: int) -> list[Row]:
    """The text in windows; together they pay once for every token of the body.

    Raises:
        ConfigError: the stride is not within 1 … window − header.
    """
    room = window_tokens - len(text.head)
    if not 1 <= stride_tokens <= room:
        raise ConfigError(
            f"a stride of 1 to {room} tokens (the window less {len(text.head)} of the header)", str(stride_tokens)
        )
    out = []
    for start, stop, counted in windows(len(text.body), room, stride_tokens):
        ids = np.concatenate([text.head, text.body[start:stop]])
        # A model without a begin token and without a header cannot be asked for its first token: it is given.
        out.append(Row(ids, max(len(text.head) + counted - start, 1)))
    return out


def log2_of(rows: Sequence[Row], decoder: Decoder) -> NDArray[np.float64]:
    """log2 p of every token that the rows pay for, one after another."""
    found = [decoder.score(row.ids)[row.n_given - 1 :] for row in rows]
    return np.concatenate([np.zeros(0), *found]) / math.log(2)


def common(scores: Sequence[Score], notations: Sequence[Notation]) -> list[Score | None]:
    """Each score with only what all ``notations`` keep of it (:func:`~cadenza.metrics.likelihood.common_fields`), or
    None where one of them refuses it."""
    out: list[Score | None] = []
    for score in scores:
        try:
            kept = common_fields(score, notations)
            for notation in notations:
                notation.encode(kept)
        except CadenzaError:
            out.append(None)
        else:
            out.append(kept)
    return out
