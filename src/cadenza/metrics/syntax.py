"""Whether a text follows its notation: parsing, bars that add up, notes within their instruments' ranges.

**Whose definition.** Published work counts outputs that "parse" by whatever their parser repairs; here a text parses if
the notation's own automaton reads every field, may end where the text ends, and the strict decoder takes it. The same
automaton constrains decoding, so a constrained output parses by construction (1.0), and a figure below that is a fault
of ours. Without constraints it measures what the model has learned.

- ``parse``: 1 or 0; averaged over outputs, the parse rate.
- ``accepted_share``: fields up to the first that is refused / fields (a text that breaks in its last bar is not the one
  that breaks in its first). What cannot be taken apart into fields counts as one field for each word.
- ``faulty_bars``: share of bars in which a field is refused. A refused bar is taken out and reading goes on behind it
  from where the bar began, so one error does not spoil the bars that follow. A header that is refused makes every bar
  faulty.
- ``wrong_length_bars``: share of bars refused because they do not add up: the bar line comes too early, or something
  comes that would begin or go on after the bar's end. Other errors hide lengths behind them, so this is a lower bound.
- ``range_errors``: share of notes outside their instrument's range (:mod:`cadenza.score.instruments`; drums: General
  MIDI 2 keys); defined for texts that decode to notes.

Bars are the units at which the notation says that its texts may be cut (``unit_start``); MT3 has none but segments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cadenza.base.errors import CadenzaError, NotationError
from cadenza.metrics.base import Column, Metric
from cadenza.notation.base import Notation
from cadenza.notation.grammar import END, NEWLINE, Field, State
from cadenza.score.instruments import range_of
from cadenza.score.model import Score, Track

#: Kinds of fields that end a bar (or begin the next), in all notations.
BORDERS = frozenset({NEWLINE, END, "|", "||", "|]", "|:", ":|", "::", "new_measure", "end"})
#: Kinds of fields whose number is time that passes.
TIMES = frozenset({":t", "t", "wait:", "", "/", "("})


def compute(*, est: str, notation: Notation) -> dict[str, float]:
    """The columns of one text; see the module's prose."""
    read = _Lexed.of(est, notation)
    state = notation.grammar().begin()
    accepted = 0
    for field in read.fields:
        if not _fed(state, field):
            break
        accepted += 1
    whole = not read.n_unread and accepted == len(read.fields)
    score = _decoded(est, notation) if whole and _may_end(state) else None
    total = len(read.fields) + read.n_unread
    out = {"parse": float(score is not None), "accepted_share": accepted / total if total else float(score is not None)}
    if score is not None:
        out |= {"faulty_bars": 0.0, "wrong_length_bars": 0.0} if len(read.starts) else {}
        share = range_errors(score)
        return out if share is None else out | {"range_errors": share}
    faults, wrong_length, n_bars = bar_faults(est, notation)
    return out | ({"faulty_bars": faults / n_bars, "wrong_length_bars": wrong_length / n_bars} if n_bars else {})


def _decoded(text: str, notation: Notation) -> Score | None:
    try:
        return notation.decode(text)
    except CadenzaError:
        return None


def _fed(state: State, field: Field) -> bool:
    try:
        state.feed(field)
    except NotationError:
        return False
    return True


def _may_end(state: State) -> bool:
    return any(span.kind == END for span in state.allowed())


def range_errors(score: Score) -> float | None:
    """Share of notes outside their instrument's range; None without notes."""
    outside = 0
    for track in score.tracks:
        bare = Track(track.name, track.program, track.is_drums, track.tuning, track.capo_fret)
        low, high = range_of(bare)
        pitch = track.notes["pitch"]
        outside += int(((pitch < low) | (pitch > high)).sum())
    return outside / score.n_notes if score.n_notes else None


@dataclass(frozen=True)
class _Lexed:
    """Fields of a text with their places; ``n_unread`` words after them could not be taken apart.

    ``starts`` are the places at which bars begin.
    """

    fields: list[Field]
    places: list[int]
    starts: list[int]
    n_unread: int

    @classmethod
    def of(cls, text: str, notation: Notation) -> _Lexed:
        found: list[Field] = []
        places: list[int] = []
        at, n_unread = 0, 0
        try:
            for field in notation.fields(text):
                word = str(field)
                while at < len(text) and not text.startswith(word, at):
                    at += 1
                found.append(field)
                places.append(at)
                at += len(word)
        except NotationError:
            n_unread = max(1, len(text[at:].split()))
        starts = [match.start() for match in re.finditer(notation.unit_start, text)]
        return cls(found, places, starts, n_unread)


def bar_faults(text: str, notation: Notation) -> tuple[int, int, int]:
    """How many bars are faulty, how many of them for their length, and how many bars there are."""
    read = _Lexed.of(text, notation)
    n_bars = len(read.starts)
    unread = 0
    while read.n_unread:  # a bar that holds no fields at all is cut out of the text
        stop = read.places[-1] + len(str(read.fields[-1])) if read.fields else 0
        bar = int(np.searchsorted(read.starts, stop + 1, side="right")) - 1
        if bar < 0:
            return n_bars, 0, n_bars
        end = read.starts[bar + 1] if bar + 1 < len(read.starts) else len(text)
        text = text[: read.starts[bar]] + text[end:]
        unread += 1
        read = _Lexed.of(text, notation)
    if not read.starts:
        return unread, 0, n_bars
    edges = [*np.searchsorted(read.places, read.starts).tolist(), len(read.fields)]
    state = notation.grammar().begin()
    for field in read.fields[: edges[0]]:
        if not _fed(state, field):
            return n_bars, 0, n_bars
    faults = wrong_length = 0
    for number, (first, stop) in enumerate(pairwise(edges)):
        trial = state.copy()
        # A bar that is too short shows only where the next one begins, so that field is tried as well.
        refused = next((field for field in read.fields[first:stop] if not _fed(trial, field)), None)
        last = number == len(edges) - 2
        if refused is None and last and not _may_end(trial):
            refused = Field(END, "")
        elif refused is None and not last and not _fed(trial.copy(), read.fields[stop]):
            refused = read.fields[stop]
        if refused is None:
            state = trial
            continue
        faults += 1
        wrong_length += _is_of_length(trial, refused)
    return unread + faults, wrong_length, n_bars


def _is_of_length(state: State, refused: Field) -> bool:
    if refused.kind in BORDERS:
        return True
    kinds = {span.kind for span in state.allowed()}
    return bool(kinds & BORDERS) or (refused.kind in TIMES and refused.kind in kinds)


METRIC = Metric(
    name="syntax",
    summary="Parsing, bars that add up, notes within range.",
    source="ours, by the notation's own grammar",
    needs="text",
    compute=compute,
    columns=(
        Column("parse", 0, 1, "higher", "share", "Whether the text follows its notation to the end."),
        Column("accepted_share", 0, 1, "higher", "share", "Fields before the first that is refused."),
        Column("faulty_bars", 0, 1, "lower", "share", "Bars in which something is refused."),
        Column("wrong_length_bars", 0, 1, "lower", "share", "Bars refused because they do not add up."),
        Column("range_errors", 0, 1, "reference", "share", "Notes outside their instrument's range."),
    ),
)
