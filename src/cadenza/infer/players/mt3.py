"""MT3 events under instruments' ranges, with bars counted in real time; see :mod:`cadenza.infer.players`.

The events know no bars: where the piece's bar lines lie, in steps, is given. Programs are those of the tracks; notes
that begin together on a fretted one have a fingering.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Self

from cadenza.infer.constrain import Instrument
from cadenza.infer.players.base import Player, longest, within
from cadenza.notation.grammar import END, NEWLINE, Field, Span, runs
from cadenza.notation.mt3 import Mt3
from cadenza.notation.mt3_grammar import DRUMS, Mt3State


class Mt3Player(Player):
    """A place in MT3 events.

    Args:
        programs: program (:data:`~cadenza.notation.mt3_grammar.DRUMS` for drums) → its place among the text's tracks.
        borders: the step at which each bar begins, and the last one ends; those that stand first.
        n_standing: how many bars stand.
    """

    def __init__(
        self,
        notation: Mt3,
        instruments: Sequence[Instrument],
        programs: Mapping[int, int],
        borders: Sequence[int],
        n_standing: int,
    ) -> None:
        super().__init__(Mt3State(notation.velocity_bins, notation.border_step), instruments)
        self.state: Mt3State
        self.programs, self.borders, self.n_standing = programs, tuple(borders), n_standing
        self._now: dict[int, tuple[int, ...]] = {}  # program → pitches that begin now

    def copy(self) -> Self:
        """See :meth:`Player.copy`."""
        other = super().copy()
        other._now = self._now.copy()
        return other

    @property
    def is_leading_in(self) -> bool:
        """See :meth:`Player.is_leading_in`."""
        return self.n_bars <= self.n_standing

    @property
    def _stop(self) -> int:
        """The step at which the bar at hand ends, or what stands."""
        return self.borders[min(max(self.n_bars, self.n_standing, 1), len(self.borders) - 1)]

    def write(self, n_bars: int) -> None:
        """See :meth:`Player.write`."""
        super().write(n_bars)
        self.n_last = self.n_standing + n_bars

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """See :meth:`Player.allowed`."""
        out: list[Span] = []
        for span in self.state.allowed():
            kind = span.kind
            if kind == NEWLINE:
                out += [span] if self.state.stop < self._stop else []
            elif kind == "s":
                high = min(span.high, self._stop - 1 - self.state.start)
                if span.low <= high and not self.is_leading_in:
                    out.append(Span(kind, span.low, high))
            elif self.state.in_ties:
                out.append(span)
            elif kind != END and not self.is_leading_in:
                out += self._event(span)
        return out

    def opening(self) -> list[Span]:
        """See :meth:`Player.opening`."""
        state, stop = self.state, self._stop
        bar, ends = max(self.n_bars, self.n_standing), self.borders[-1]
        last = bar >= self.n_last
        if state.in_ties or (not self.is_leading_in and self.is_silent()):
            return []
        out: list[Span] = []
        for span in state.allowed():
            if span.kind == "s":
                low, high = max(span.low, stop - state.start), span.high
                if not last:
                    far = self.borders[min(bar + 1 + self.max_empty_bars, len(self.borders) - 1)]
                    high = min(high, far - 1 - state.start)
                if low <= high:
                    out.append(Span("s", low, high))
            elif span.kind == NEWLINE and stop <= state.stop and (last or state.stop < ends):
                out.append(span)
        return out

    def soonest(self, spans: list[Span]) -> list[Span]:
        """See :meth:`Player.soonest`."""
        found = [span for span in spans if span.kind == NEWLINE] or longest(s for s in spans if s.kind == "s")
        return found or spans

    def _event(self, span: Span) -> list[Span]:
        state, kind = self.state, span.kind
        values = range(span.low, span.high + 1)
        if kind == "g":
            ends = {program for program, _ in state.sounding}
            return runs(kind, [g for g in values if g in self.programs and (self._pitches(g) or g in ends)])
        if kind == "v":
            begins = bool(self._pitches(state.program)) or (state.after != "g" and bool(self._drums()))
            return runs(kind, [level for level in values if level == 0 or begins])
        if kind == "d":
            return runs(kind, [pitch for pitch in self._drums() if pitch in values])
        if state.velocity:
            return runs(kind, [pitch for pitch in self._pitches(state.program) if pitch in values])
        return [span]

    def _drums(self) -> list[int]:
        place = self.programs.get(DRUMS)
        if place is None:
            return []
        one = self.instruments[place]
        return list(range(max(one.low, self.state.first_drum()), one.high + 1))

    def _pitches(self, program: int) -> list[int]:
        """What may begin now on a program, rising."""
        place = self.programs.get(program)
        if place is None or program == DRUMS:
            return []
        instrument, now = self.instruments[place], self._now.get(program, ())
        low = max(instrument.low, self.state.first_onset(program))
        return [p for p in range(low, instrument.high + 1) if within(instrument, p) and instrument.takes((*now, p))]

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """See :meth:`Player.feed`."""
        kind, value = field
        state = self.state
        was_in_ties = state.in_ties
        state.feed(field)
        self.last = field
        if kind in ("s", NEWLINE):
            self._now = {}
        begun = bisect_right(self.borders, state.now)
        if begun > self.n_bars:
            self.open_bar(begun - self.n_bars)
        if kind in ("p", "d") and not was_in_ties and state.velocity:
            program = DRUMS if kind == "d" else state.program
            self._now[program] = (*self._now.get(program, ()), int(value))
            if program in self.programs:
                self.struck.append((state.now - self.borders[begun - 1], self.programs[program], int(value)))

    def sounding(self, field: Field) -> int | None:
        """See :meth:`Player.sounding`."""
        return int(field.value) if field.kind == "p" and self.state.velocity else None
