"""Several writers on one decoder, a step of all of them at a time.

Whoever writes is a generator: it yields :class:`Begin` (forget all, read these tokens) or :class:`Step` (one more
token) and is sent the logits of the next token, an array (V,) that holds until its next request. :class:`Mark`
remembers the place and is sent the logits again; :class:`Back` returns to it, at the price of a copy where the decoder
can do so. So a writer is plain code for one row that may go back, begin anew and end when it likes, and still a batch
costs one pass of the weights a step. Where the decoder's rows must be equally long, writers take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from cadenza.model.decoder import Decoder, RaggedDecoder

Result = TypeVar("Result")


class Begin(NamedTuple):
    """Forget all tokens and read these."""

    ids: Sequence[int]


class Step(NamedTuple):
    """Read one more token."""

    token: int


class Mark(NamedTuple):
    """Remember this place, instead of the last that was remembered; a Begin forgets it."""


class Back(NamedTuple):
    """Return to the place that was marked."""

    ids: Sequence[int]  # what was read there


Writing = Generator[Begin | Step | Mark | Back, np.ndarray, Result]


def run(
    decoder: Decoder, jobs: Iterable[Callable[[], Writing[Result]]], n_rows: int = 1
) -> Iterator[tuple[int, Result]]:
    """(number of the job, what it returned), as they end; at most ``n_rows`` at a time, the next when one ends.

    Args:
        jobs: each called when its turn comes.
    """
    numbered = iter(enumerate(jobs))
    if n_rows == 1 or not hasattr(decoder, "prefill_row"):
        for number, job in numbered:
            yield number, _alone(decoder, job())
        return
    yield from _together(cast(RaggedDecoder, decoder).widened(n_rows), numbered, n_rows)


def _alone(decoder: Decoder, writing: Writing[Result]) -> Result:
    marks = hasattr(decoder, "mark_row")
    logits = np.zeros((0, 0), np.float32)
    try:
        request = next(writing)
        while True:
            if isinstance(request, Step):
                logits = decoder.step(np.full(decoder.batch, request.token))
            elif isinstance(request, Mark):
                for row in range(decoder.batch if marks else 0):
                    cast(RaggedDecoder, decoder).mark_row(row)
            elif isinstance(request, Begin) or not (marks and _all_back(cast(RaggedDecoder, decoder))):
                logits = decoder.prefill(np.array(request.ids, np.int64))
            request = writing.send(logits[0])
    except StopIteration as end:
        result: Result = end.value
        return result


def _all_back(decoder: RaggedDecoder) -> bool:
    """Whether all rows, which are alike, could return to their marks."""
    places = [decoder.back_row(row) for row in range(decoder.batch)]
    return all(place is not None for place in places)


def _together(
    decoder: Any, numbered: Iterator[tuple[int, Callable[[], Writing[Result]]]], n_rows: int
) -> Iterator[tuple[int, Result]]:
    live: dict[int, tuple[int, Writing[Result]]] = {}
    tokens = np.zeros(n_rows, np.int64)
    active = np.zeros(n_rows, bool)
    ended: list[tuple[int, Result]] = []
    begun: dict[tuple[int, ...], int] = {}  # what rows have read since the last step, and nothing else

    def forget(row: int) -> None:
        for told in [told for told, at in begun.items() if at == row]:
            del begun[told]

    def begin(row: int, ids: Sequence[int]) -> np.ndarray:
        told = tuple(ids)
        forget(row)
        if told in begun:  # takes of one prompt: computed once, then copied
            found: np.ndarray = decoder.copy_row(begun[told], row)
        else:
            found = decoder.prefill_row(row, np.array(ids, np.int64))
        begun[told] = row
        return found

    def go_on(row: int, logits: np.ndarray | None) -> bool:
        """Let the row's writer go on until it asks for a step (true) or ends (false)."""
        number, writing = live[row]
        try:
            request = next(writing) if logits is None else writing.send(logits)
            while not isinstance(request, Step):
                if isinstance(request, Mark):
                    logits = decoder.mark_row(row)
                elif isinstance(request, Back) and (at_mark := decoder.back_row(row)) is not None:
                    forget(row)
                    logits = at_mark
                else:
                    logits = begin(row, request.ids)
                request = writing.send(logits)
        except StopIteration as end:
            ended.append((number, end.value))
            del live[row]
            return False
        tokens[row] = request.token
        return True

    def take_seat(row: int) -> bool:
        for number, job in numbered:
            live[row] = (number, job())
            if go_on(row, None):
                return True
        return False

    for row in range(n_rows):
        active[row] = take_seat(row)
    yield from ended
    while active.any():
        logits = decoder.step_rows(tokens, active)
        begun.clear()
        ended.clear()
        for row in np.flatnonzero(active).tolist():
            active[row] = go_on(row, logits[row]) or take_seat(row)
        yield from ended
