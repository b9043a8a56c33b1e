"""Simplified MIDI in all its variants; see :mod:`cadenza.infer.players`.

What may follow is :class:`~cadenza.infer.constrain.Rules`, as for bar words on one time line. Where a text has bar
words (track after track), they begin bars. Where it has none, bars are counted in its ticks: the last note that stands
says how long it is until the first new one, steps reach no further than the end, and a note belongs to the bar in which
it begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from cadenza.infer.constrain import Instrument, Rules
from cadenza.infer.given import Given, GivenRules
from cadenza.infer.players.base import MAX_EMPTY_BARS, MAX_EMPTY_OF_ONE, Player, longest
from cadenza.notation.grammar import NEWLINE, Field, Span
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.bends import NO_BEND_CODE
from cadenza.notation.simplified.grammar import SimplifiedState

BAR = "|"
_STEPS = (":t", "t")


class SimplifiedPlayer(Player):
    """A place in Simplified MIDI.

    Args:
        borders: where bars begin in the text's ticks, and the last one ends; those that stand first. Without bar words.
        n_standing: how many bars stand.
        shifts: of each track (of all, on one time line) what the text's ticks lack of the borders'.
        free: the tracks that play.
    """

    def __init__(
        self,
        notation: SimplifiedMidi,
        instruments: Sequence[Instrument],
        borders: Sequence[int],
        n_standing: int,
        shifts: Sequence[int],
        free: Sequence[int],
    ) -> None:
        by_track = notation.layout == "by_track"
        super().__init__(SimplifiedState(notation), instruments, MAX_EMPTY_OF_ONE if by_track else MAX_EMPTY_BARS)
        self.state: SimplifiedState
        self.rules = self._leading = Rules(instruments, self.max_empty_bars)
        resting = frozenset(range(len(instruments))) - frozenset(free)
        if resting and not by_track:
            self.rules = GivenRules(instruments, Given(resting, {}), self.max_empty_bars)
        self.notation, self.by_track = notation, by_track
        self.borders, self.n_standing, self.shifts = tuple(borders), n_standing, tuple(shifts)
        self._shift = self.shifts[0] if self.shifts else 0
        self._bar_start = 0

    def begin_part(self, number: int) -> None:
        """See :meth:`Player.begin_part`."""
        super().begin_part(number)
        self._shift = self.shifts[number] if number < len(self.shifts) else 0

    def write(self, n_bars: int) -> None:
        """See :meth:`Player.write`."""
        super().write(n_bars)
        self.n_last = self.n_standing + n_bars

    # ── bars by time ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_leading_in(self) -> bool:
        """See :meth:`Player.is_leading_in`."""
        return not self.notation.bars and self.n_bars <= self.n_standing

    @property
    def _time(self) -> int:
        """Where the next note begins, in the borders' ticks."""
        step = self.state.note.get("t", 0) if self.state.note is not None else 0
        return self.state.now_ticks + step + self._shift

    def _bar_at(self, tick: int) -> int:
        """Bars begun at a tick."""
        return sum(border <= tick for border in self.borders[:-1]) + (tick >= self.borders[-1])

    @property
    def reached(self) -> int:
        """See :meth:`Player.reached`."""
        return self.n_bars if self.notation.bars else max(self._bar_at(self._time) - 1, self.n_bars)

    @property
    def _over(self) -> bool:
        """The next note begins in another bar."""
        return self._bar_at(self._time) > max(self.n_bars, self.n_standing)

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """See :meth:`Player.allowed`."""
        if self.notation.bars:
            self.rules.insists = self.insists
            return [span for span in self._spans() if span.kind != BAR]
        out: list[Span] = []
        leading, over = self.is_leading_in, self._over
        for span in self._spans():
            kind = span.kind
            if kind in _STEPS:
                out += self._steps(span)
            elif kind[0] == ":":
                out += [] if leading and kind != ":b" else [span]
            elif not over and not leading:
                out.append(span)
        return out

    def opening(self) -> list[Span]:
        """See :meth:`Player.opening`."""
        if self.notation.bars:
            self.rules.insists = self.insists
            return [span for span in self._spans() if span.kind == BAR]
        if not self._over:
            return []
        return [span for span in self._spans() if span.kind[0] != ":" and span.kind != "t"]

    def _spans(self) -> list[Span]:
        n = len(self.heard)
        empty = next((k for k, key in enumerate(reversed(self.heard)) if key), n)
        rules = self._leading if self.is_leading_in and not self._over else self.rules
        found = rules.spans(self.state, empty + (not self.struck))
        if self.notation.profile == "published" and not self.instruments[self.state.track].may_bend:
            return [Span(":b", NO_BEND_CODE, NO_BEND_CODE) if span.kind == ":b" else span for span in found]
        return found

    def _steps(self, span: Span) -> list[Span]:
        """How long it may be until the next note: into the bars to come, not over too many, nor beyond the end."""
        now = self.state.now_ticks + self._shift
        bar = max(self.n_bars, self.n_standing)
        low, high = span.low, min(span.high, self.borders[-1] - now)
        if self.is_leading_in:
            low = max(low, self.borders[self.n_standing] - now)
        far = bar + 1 + self.max_empty_bars
        if far < len(self.borders):
            high = min(high, self.borders[far] - 1 - now)
        if self.insists and self.is_leading_in:
            high = min(high, self.borders[bar + 1] - 1 - now)
        return [Span(span.kind, low, high)] if low <= high else []

    def soonest(self, spans: list[Span]) -> list[Span]:
        """See :meth:`Player.soonest`."""
        steps = longest(span for span in spans if span.kind in _STEPS)
        return steps or [span for span in spans if span.kind != ":o"] or spans

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """See :meth:`Player.feed`."""
        kind = field.kind
        was_header = self.state.in_header
        over = not self.notation.bars and not was_header and kind[0] != ":" and kind != NEWLINE
        at = self._bar_at(self._time) if over else 0
        self.state.feed(field)
        self.last = field
        if at > self.n_bars and kind in ("p", "i"):
            self.open_bar(at - self.n_bars)
        elif kind == BAR and self.notation.bars and not was_header:
            self.open_bar()
            self._bar_start = self.state.now_ticks
        if kind == "p":
            onset = self.state.now_ticks
            if self.notation.bars:
                onset -= self._bar_start
            else:
                onset += self._shift - self.borders[max(self.n_bars - 1, 0)]
            self.struck.append((onset, self.state.track, int(field.value)))

    def sounding(self, field: Field) -> int | None:
        """See :meth:`Player.sounding`."""
        track = self.state.track
        is_drums = 0 <= track < len(self.instruments) and self.instruments[track].is_drums
        return int(field.value) if field.kind == "p" and not is_drums else None
