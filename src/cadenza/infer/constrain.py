"""From a grammar's "what may follow" to token ids, narrowed by what the instruments can play.

The notation's automaton guarantees that a text parses and its bars add up. Here come the musical rules, in the same
mask:

- notes that start together are told once each, by track, then by falling pitch (the order in which they are encoded);
- a pitch lies within its instrument's range, drums on percussion keys;
- on a fretted instrument the notes that start together have a fingering: one a string, span ≤ 5 frets;
- bends only where they can be played: on fretted tracks, upwards;
- no more than ``max_empty_bars`` empty bars in a row.

Wherever the automaton lets a word end, its continuations are offered in the same choice. Only after a bend a word
cannot go on to its step: a note without one may be bent only where a further note can start with it. So no choice leads
to a place from which nothing follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cadenza.model.vocabulary import FIRST_FIELD, Vocabulary
from cadenza.notation.grammar import END, NEWLINE, Field, Span
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.fingering import playable


@dataclass(frozen=True)
class Instrument:
    """What one track can play.

    Args:
        low, high: pitch range.
        tuning: open strings, highest first, for a fretted instrument; else empty.
    """

    low: int
    high: int
    tuning: tuple[int, ...] = ()
    capo_fret: int = 0
    may_bend: bool = False

    def takes(self, chord: tuple[int, ...]) -> bool:
        """Whether the pitches can start together."""
        return not self.tuning or playable(chord, self.tuning, self.capo_fret)


class Constraint:
    """Allowed token ids at a state of the automaton.

    Args:
        vocabulary: whose field tokens are offered; byte tokens never are.
        instruments: one for each track of the text's header, in order.
    """

    def __init__(self, vocabulary: Vocabulary, instruments: Sequence[Instrument], max_empty_bars: int = 1) -> None:
        self.instruments = tuple(instruments)
        self.max_empty_bars = max_empty_bars
        by_kind: dict[str, list[tuple[int, int]]] = {}
        self._fields: dict[int, Field] = {}
        for index, text in enumerate(vocabulary.fields):
            token = FIRST_FIELD + index
            kind = text[:2] if text.startswith(":") else text[:1]
            self._fields[token] = Field(kind, text[len(kind) :])
            value = text[len(kind) :]
            if value.lstrip("-").isdecimal() or not value:
                by_kind.setdefault(kind, []).append((int(value or 0), token))
        self._tables = {
            kind: (np.array([v for v, _ in sorted(pairs)]), np.array([t for _, t in sorted(pairs)], np.int64))
            for kind, pairs in by_kind.items()
        }
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
        """Ids that may follow, ascending; never empty within a body that is not complete.

        Args:
            empty_bars: how many empty bars the text ends with.
        """
        spans = state.allowed()
        parts = []
        for span in spans:
            if self._unwanted(span, state, empty_bars):
                continue
            if span.kind == "p":
                part = self._pitches(state)
            elif span.kind == "i":
                part = self._tracks(state, span)
            elif span.kind == ":b":
                part = self._slice(":b", max(span.low, 0), span.high)
            else:
                part = self._slice(*span)
            parts.append(part)
        if not parts:
            return np.zeros(0, np.int64)
        ids = np.concatenate(parts)
        ids.sort()
        return ids

    def _unwanted(self, span: Span, state: SimplifiedState, empty_bars: int) -> bool:
        if span.kind == "|":
            in_empty_bar = state.last is not None and state.last.kind == "|"
            return in_empty_bar and empty_bars > self.max_empty_bars
        return span.kind in (END, NEWLINE) or (span.kind == ":o" and not self._may_bend(state))

    def _may_bend(self, state: SimplifiedState) -> bool:
        if not self.instruments[state.track].may_bend:
            return False
        later = Span("i", 0, len(self.instruments) - 1 if state.notation.has_track_words else -1)
        return self._moves_on(state) or len(self._pitches(state)) > 0 or len(self._tracks(state, later)) > 0

    def _chord(self, state: SimplifiedState, track: int) -> tuple[int, ...]:
        chord = [pitch for t, pitch in state.chord if t == track]
        if state.note is not None and state.track == track:
            chord.append(state.note["p"])
        return tuple(chord)

    def _moves_on(self, state: SimplifiedState) -> bool:
        """The note at hand has its step: what follows starts later, with no chord yet."""
        return state.note is not None and state.note.get("t", 0) > 0

    def _pitches(self, state: SimplifiedState) -> NDArray[np.int64]:
        instrument = self.instruments[state.track]
        chord = () if self._moves_on(state) else self._chord(state, state.track)
        high = min(instrument.high, chord[-1] - 1) if chord else instrument.high
        tokens = self._slice("p", instrument.low, high)
        if instrument.tuning and len(tokens):
            values = np.arange(instrument.low, instrument.low + len(tokens))
            tokens = tokens[[instrument.takes((*chord, int(v))) for v in values]]
        return tokens

    def _tracks(self, state: SimplifiedState, span: Span) -> NDArray[np.int64]:
        later = self._moves_on(state)
        told = [] if later else [track for track, _ in state.chord]
        if state.note is not None and not later:
            told.append(state.track)
        low = max(told) + 1 if told else 0
        tokens = self._slice("i", low, span.high)
        if not told and state.track >= 0:  # naming the present track again says nothing
            same = self._slice("i", state.track, state.track)
            tokens = tokens[~np.isin(tokens, same)]
        return tokens
