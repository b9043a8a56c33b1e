"""A language model of music as the notator's adviser: of two pages, which one reads like music?

Tempo and metre are in doubt where several readings of a performance are about as likely: a march in 2/4 or 4/4, a waltz
in 3/8 or 6/8. Each then has a page, and a model that was trained on scores finds some of them easier to predict: a bar
line in the wrong place and half the note values cost it bits. :class:`LanguageModel` adds to the log likelihood of a
reading what its page's bits per note say. Measured by ``benchmarks/notator.py --adviser`` (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.infer.likelihood import Text, log2_of, rows_of, text_of
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.notator.page import Line
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.score.time import bar_table

SURE = 0.8  # probability from which a reading needs no advice
WEIGHT = 3.0  # natural logarithms of probability that a bit per note is worth; chosen on works of the validation split
MAX_TOKENS = 600  # of a page that are read


class LanguageModel:
    """A composer that is asked for its opinion.

    Args:
        model: the shipped one where None.
    """

    def __init__(self, model: ComposerModel | None = None) -> None:
        self._model = model or load_model()

    def chosen(self, lines: Sequence[tuple[Line, float]], page: Callable[[Line], Score]) -> Line:
        """The line for which likelihood and page together say most (:class:`~cadenza.infer.notator.page.Adviser`)."""
        if np.exp(lines[0][1]) > SURE:
            return lines[0][0]
        said = [(line, log_p, self.bits_a_note(page(line))) for line, log_p in lines]
        read = [(log_p - WEIGHT * bits, line) for line, log_p, bits in said if bits is not None]
        return max(read, key=lambda pair: pair[0])[1] if read else lines[0][0]

    def bits_a_note(self, page: Score) -> float | None:
        """Bits per note of the page's first whole bars; None where the model's notation cannot say them."""
        table = bar_table(page)
        length = table.ends_ticks - table.starts_ticks
        metre = page.metres[0]
        whole = length == round(4 * metre.numerator / metre.denominator * page.ticks_per_quarter)
        if not whole.any():
            return None
        first = int(whole.argmax())
        after = np.flatnonzero(~whole[first:])
        last = first + int(after[0]) if len(after) else len(whole)
        bars = select_ticks(int(table.starts_ticks[first]), int(table.ends_ticks[last - 1]))
        try:
            text = text_of(bars.apply(replace(page, tempos=page.tempos[:1])), self._model)
        except CadenzaError:
            return None
        window = self._model.context_tokens
        body = text.body[: min(MAX_TOKENS, window - len(text.head))]
        if not len(body) or not text.n_notes:
            return None
        bits = -log2_of(rows_of(Text(text.head, body, 0, 0, 0.0), window, len(body)), self._model.decoder).sum()
        return float(bits) / (text.n_notes * len(body) / len(text.body))
