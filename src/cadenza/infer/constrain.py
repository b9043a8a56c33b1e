"""From a grammar's "what may follow" to what the instruments can play, and from there to token ids.

The notation's automaton guarantees that a text parses and its bars add up. Here come the musical rules, on the same
spans of values:

- notes that start together are told once each, by track, then by falling pitch (the order in which they are encoded);
- a pitch lies within its instrument's range, drums on percussion keys;
- on a fretted instrument the notes that start together have a fingering: one a string, span ≤ 5 frets;
- bends only where they can be played: on fretted tracks, upwards;
- a note lasts at most sixteen quarters;
- no more than ``max_empty_bars`` empty bars in a row.

In the compact form the automaton lets a word go on wherever it may end. Where it does not (after a bend; in the
explicit form, where every word says its step) a note may stay without a step only where a further note can start with
it. So no choice leads to a place from which nothing follows.

:class:`Constraint` gives ids where a notation's fields are tokens; :mod:`cadenza.infer.spell` reads the same spans
letter by letter, for vocabularies of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import NotationError
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.grammar import END, NEWLINE, Field, Span
from cadenza.notation.simplified.bends import NO_BEND_CODE
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.notation.simplified.projection import MAX_BEND_CENTS
from cadenza.score.fingering import playable

MAX_DURATION_QUARTERS = 16
ALL_CLASSES = frozenset(range(12))


@dataclass(frozen=True)
class Instrument:
    """What one track can play.

    Args:
        low, high: pitch range.
        tuning: open strings, highest first, for a fretted instrument; else empty.
        classes: the pitch classes (0 = C) that it is to play; all, unless a key is kept strictly.
    """

    low: int
    high: int
    tuning: tuple[int, ...] = ()
    capo_fret: int = 0
    may_bend: bool = False
    classes: frozenset[int] = ALL_CLASSES
    is_drums: bool = False

    def takes(self, chord: tuple[int, ...]) -> bool:
        """Whether the pitches can start together."""
        return not self.tuning or playable(chord, self.tuning, self.capo_fret)


class Rules:
    """What may follow at a state of the automaton, narrowed by what the instruments can play.

    Args:
        instruments: one for each track of the text's header, in order.

    Attributes:
        insists: the bar at hand must not stay empty.
    """

    def __init__(self, instruments: Sequence[Instrument], max_empty_bars: int = 1) -> None:
        self.instruments = tuple(instruments)
        self.max_empty_bars = max_empty_bars
        self.insists = False

    def spans(self, state: SimplifiedState, empty_bars: int = 0) -> list[Span]:
        """What may follow; never empty within a body that is not complete.

        Args:
            empty_bars: how many empty bars the text ends with.
        """
        out: list[Span] = []
        for span in state.allowed():
            kind, low, high = span
            if kind in (END, NEWLINE) or (kind == "|" and self._silent_enough(state, empty_bars)):
                continue
            if kind == "p":
                out += self._pitches(state)
            elif kind == "i":
                out += self._tracks(state, span)
            elif kind == ":o":
                out += [span] if self._may_bend(state) else []
            elif kind == ":b":
                straight = NO_BEND_CODE if state.notation.bend == "published" else 0
                out.append(Span(kind, max(low, straight), min(high, MAX_BEND_CENTS)))
            elif kind == ":d":
                out.append(Span(kind, max(low, 1), min(high, MAX_DURATION_QUARTERS * state.ticks_per_quarter)))
            elif kind == ":t" and low == 0 and not self._may_stay(state):
                out.append(Span(kind, 1, high))
            else:
                out.append(span)
        return [span for span in out if span.low <= span.high]

    def _silent_enough(self, state: SimplifiedState, empty_bars: int) -> bool:
        in_empty_bar = state.last is not None and state.last.kind == "|"
        return in_empty_bar and (empty_bars > self.max_empty_bars or self.insists)

    def _may_bend(self, state: SimplifiedState) -> bool:
        if not self.instruments[state.track].may_bend:
            return False
        return self._moves_on(state) or self._may_stay(state)

    def _may_stay(self, state: SimplifiedState) -> bool:
        """Whether a further note can start together with the note at hand."""
        later = Span("i", 0, len(self.instruments) - 1 if state.notation.has_track_words else -1)
        return bool(self._pitches(state)) or bool(self._tracks(state, later))

    def _chord(self, state: SimplifiedState, track: int) -> tuple[int, ...]:
        chord = [pitch for t, pitch in state.chord if t == track]
        if state.note is not None and state.track == track:
            chord.append(state.note["p"])
        return tuple(chord)

    def _moves_on(self, state: SimplifiedState) -> bool:
        """The note at hand has its step: what follows starts later, with no chord yet."""
        return state.note is not None and state.note.get("t", 0) > 0

    def _pitches(self, state: SimplifiedState) -> list[Span]:
        instrument = self.instruments[state.track]
        chord = () if self._moves_on(state) else self._chord(state, state.track)
        high = min(instrument.high, chord[-1] - 1) if chord else instrument.high
        return _playable_runs(instrument, chord, high)

    def _tracks(self, state: SimplifiedState, span: Span) -> list[Span]:
        later = self._moves_on(state)
        told = [] if later else [track for track, _ in state.chord]
        if state.note is not None and not later:
            told.append(state.track)
        low = max(told) + 1 if told else 0
        if not told and state.track >= 0:  # naming the present track again says nothing
            parts = [Span("i", low, state.track - 1), Span("i", state.track + 1, span.high)]
        else:
            parts = [Span("i", low, span.high)]
        return [part for part in parts if part.low <= part.high]


@lru_cache(maxsize=1 << 14)
def _playable_runs(instrument: Instrument, chord: tuple[int, ...], high: int) -> list[Span]:
    """Pitches up to ``high`` that can be added to ``chord``, as runs."""
    if not instrument.tuning and len(instrument.classes) == 12:
        return [Span("p", instrument.low, high)] if instrument.low <= high else []
    runs: list[Span] = []
    for pitch in range(instrument.low, high + 1):
        if pitch % 12 not in instrument.classes or not instrument.takes((*chord, pitch)):
            continue
        if runs and runs[-1].high == pitch - 1:
            runs[-1] = Span("p", runs[-1].low, pitch)
        else:
            runs.append(Span("p", pitch, pitch))
    return runs


@lru_cache(maxsize=8)
def _tables_of(
    vocabulary: Vocabulary | HubVocabulary,
) -> tuple[dict[int, Field], dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Token → its field; kind → (numbers, tokens), rising. Shared by all that write with a vocabulary."""
    by_kind: dict[str, list[tuple[int, int]]] = {}
    fields: dict[int, Field] = {}
    for index, text in enumerate(vocabulary.fields):
        token = vocabulary.first_field + index
        kind = text[:2] if text.startswith(":") else text[:1]
        value = text[len(kind) :]
        fields[token] = Field(kind, value)
        if value.lstrip("-").isdecimal() or not value:
            by_kind.setdefault(kind, []).append((int(value or 0), token))
    tables = {
        kind: (np.array([v for v, _ in sorted(pairs)], np.int64), np.array([t for _, t in sorted(pairs)], np.int64))
        for kind, pairs in by_kind.items()
    }
    return fields, tables


@lru_cache(maxsize=8)
def field_tables(
    vocabulary: Vocabulary | HubVocabulary, notation: Any
) -> tuple[dict[int, Field], dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], dict[str, NDArray[np.int64]]]:
    """Token → its field; kind → (numbers, tokens), rising; kind of a word without a number → its token. In any
    notation."""
    fields: dict[int, Field] = {}
    numbered: dict[str, list[tuple[int, int]]] = {}
    plain: dict[str, NDArray[np.int64]] = {}
    for index, text in enumerate(vocabulary.fields):
        try:
            if text == NEWLINE or (text[0] == ":" and notation.joint == " "):  # no word of its own
                said = [Field(text[:2], text[2:])]
            else:
                said = list(notation.fields(text))
        except NotationError:
            continue  # of another notation, or one that the header alone has
        if len(said) != 1:
            continue
        kind, value = fields[vocabulary.first_field + index] = said[0]
        if not value:
            plain[kind] = np.array([vocabulary.first_field + index], np.int64)
        elif value.lstrip("-").isdecimal():
            numbered.setdefault(kind, []).append((int(value), vocabulary.first_field + index))
    tables = {
        kind: (np.array([v for v, _ in sorted(pairs)], np.int64), np.array([t for _, t in sorted(pairs)], np.int64))
        for kind, pairs in numbered.items()
    }
    return fields, tables, plain


class Constraint:
    """Allowed token ids at a state of the automaton.

    Args:
        vocabulary: whose field tokens are offered; no others ever are (bytes, a pretrained tokenizer's own).
        rules: what may follow.
    """

    def __init__(self, vocabulary: Vocabulary | HubVocabulary, rules: Rules) -> None:
        self.rules = rules
        self._fields, self._tables = _tables_of(vocabulary)
        self._slice = lru_cache(maxsize=1 << 12)(self._tokens_within)

    def field(self, token: int) -> Field:
        """The field that a token stands for."""
        return self._fields[token]

    def _tokens_within(self, kind: str, low: int, high: int) -> NDArray[np.int64]:
        if kind not in self._tables:
            return np.zeros(0, np.int64)
        values, tokens = self._tables[kind]
        return tokens[np.searchsorted(values, low) : np.searchsorted(values, high, side="right")]

    def allowed(self, state: SimplifiedState, empty_bars: int = 0) -> NDArray[np.int64]:
        """Ids of :meth:`Rules.spans`, ascending."""
        parts = [self._slice(*span) for span in self.rules.spans(state, empty_bars)]
        if not parts:
            return np.zeros(0, np.int64)
        ids = np.concatenate(parts)
        ids.sort()
        return ids
