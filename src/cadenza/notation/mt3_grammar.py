"""The automaton of MT3 events: what may follow, segment by segment (see :mod:`cadenza.notation.mt3`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from cadenza.base.errors import NotationError
from cadenza.notation.grammar import END, NEWLINE, Field, Span, runs

MAX_STEPS = 10**9
DRUMS = 128  # as a program, so that drums come last
_LINE, _END, _TIE = Span(NEWLINE), Span(END), Span("t")
_ANY = range(128)


class Mt3State:
    """Where in a text of MT3 events one is.

    Args:
        velocity_bins: levels of velocity besides 0.
        border_step: segment (counted from 0) → the step at which it begins; :data:`MAX_STEPS` = never.
    """

    def __init__(self, velocity_bins: int, border_step: Callable[[int], int]) -> None:
        self.velocity_bins = velocity_bins
        self.border_step = border_step
        self.line = 0
        self.sounding: set[tuple[int, int]] = set()  # program, pitch
        self._begin_line()

    def _begin_line(self) -> None:
        self.start, self.stop = self.border_step(self.line), self.border_step(self.line + 1)
        self.now = self.start
        self.in_ties = True
        self.program = self.velocity = -1
        self._ties: list[tuple[int, int]] = []
        self.after = NEWLINE  # kind of the last field
        self._begin_time()

    def _begin_time(self) -> None:
        self._last: tuple[bool, int, int] | None = None  # whether the last event here began, its program, its pitch

    def copy(self) -> Mt3State:
        """An independent state at the same place."""
        other = copy.copy(self)
        other.sounding, other._ties = self.sounding.copy(), self._ties.copy()
        return other

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """What may come next; :data:`~cadenza.notation.grammar.END` where the text may end."""
        if self.in_ties:
            return self._allowed_ties()
        out = []
        if self.after in "tpd":  # an event, or the start, is complete
            if self.now + 1 < self.stop:
                out.append(Span("s", self.now - self.start + 1, min(self.stop - self.start - 1, MAX_STEPS)))
            if self._may_go_on():
                out.append(_LINE)
            out.append(_END)
        if self.after in "tspd":
            ending = {program for program, _ in self.sounding if self._ends(program)}
            programs = [g for g in _ANY if g != self.program and (g in ending or self.first_onset(g) < 128)]
            out += runs("g", programs)
        if self.after in "tspdg":
            out += runs("v", [level for level in self._levels() if level != self.velocity])
        if self.velocity >= 0:
            if self.program >= 0:
                if self.velocity:
                    out += runs("p", range(self.first_onset(self.program), 128))
                else:
                    out += runs("p", self._ends(self.program))
            if self.velocity and self.after != "g":
                out += runs("d", range(self.first_drum(), 128))
        return out

    def _allowed_ties(self) -> list[Span]:
        program, pitch = self._ties[-1] if self._ties else (-1, -1)
        if self.line:
            known = self.sounding
            programs: Sequence[int] = sorted({g for g, _ in known if g > program})
            pitches: Sequence[int] = sorted(p for g, p in known if g == self.program)
        else:  # nothing is known of what sounded before
            programs, pitches = range(program + 1, 128), range(128)
        if self.after == "g":
            return runs("p", pitches)
        if self._ties:
            later = range(pitch + 1, 128) if isinstance(pitches, range) else [p for p in pitches if p > pitch]
            return [*runs("g", programs), *runs("p", later), _TIE]
        return [*runs("g", programs), _TIE]

    def _levels(self) -> list[int]:
        """Velocities at which something may come now, in the present program or of the drums."""
        program = self.program
        begins = program >= 0 and self.first_onset(program) < 128
        begins |= self.after != "g" and self.first_drum() < 128
        ends = program >= 0 and bool(self._ends(program))
        return [*([0] if ends else []), *(range(1, self.velocity_bins + 1) if begins else ())]

    def first_onset(self, program: int) -> int:
        """The lowest pitch of ``program`` that may begin now; 128 where none may."""
        if self._last is None or not self._last[0] or program > self._last[1]:
            return 0
        return self._last[2] + 1 if program == self._last[1] else 128

    def _ends(self, program: int) -> list[int]:
        """Pitches of ``program`` that may end now, rising."""
        low = 0
        if self._last is not None:
            if self._last[0] or program < self._last[1]:
                return []
            low = self._last[2] + 1 if program == self._last[1] else 0
        return sorted(pitch for of_program, pitch in self.sounding if of_program == program and pitch >= low)

    def first_drum(self) -> int:
        """The lowest drum that may be struck now."""
        return self._last[2] + 1 if self._last is not None and self._last[1] == DRUMS else 0

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        kind, value = field
        if kind in (NEWLINE, "t"):
            number = 0 if not value else -1
        else:
            short = value.isascii() and value.isdecimal() and len(value) < 12 and str(int(value)) == value
            number = int(value) if short else -1
        if not self._may(kind, number):
            raise NotationError(self._expected(), repr(str(field)) if kind != NEWLINE else "a line break")
        if kind == NEWLINE:
            self.line += 1
            self._begin_line()
            return
        if kind == "t":
            self.in_ties = False
            self.sounding = set(self._ties)
        elif kind == "s":
            self.now = self.start + number
            self._begin_time()
        elif kind == "g":
            self.program = number
        elif kind == "v":
            self.velocity = number
        elif self.in_ties:
            self._ties.append((self.program, number))
        else:
            self._last = (self.velocity > 0, DRUMS if kind == "d" else self.program, number)
            if kind == "p":
                (self.sounding.add if self.velocity else self.sounding.discard)((self.program, number))
        self.after = kind

    def _may(self, kind: str, number: int) -> bool:
        """Whether ``kind`` with ``number`` is among :meth:`allowed`; without listing them where that is slow."""
        if number < 0:
            return False
        after = self.after
        if self.in_ties:
            if kind == "t" and after != "g":
                return True
        elif kind == "p":
            if self.velocity < 0 or self.program < 0 or number > 127:
                return False
            if self._last is not None and (self.velocity > 0, self.program, number) <= self._last:
                return False
            return self.velocity > 0 or (self.program, number) in self.sounding
        elif kind == "s":
            return after in "tpd" and self.now < self.start + number < self.stop
        elif kind == NEWLINE:
            return after in "tpd" and self._may_go_on()
        elif kind == "v":
            return after in "tspdg" and number != self.velocity and number in self._levels()
        elif kind == "d":
            return self.velocity > 0 and after != "g" and self.first_drum() <= number < DRUMS
        return any(span.kind == kind and span.low <= number <= span.high for span in self.allowed())

    def _may_go_on(self) -> bool:
        return self.stop < MAX_STEPS and self.border_step(self.line + 2) > self.stop

    def finish(self) -> None:
        """The text ends here.

        Raises:
            NotationError: something must follow.
        """
        if _END not in self.allowed():
            raise NotationError(self._expected(), "the end of the text", where=f"line {self.line + 1}")

    def _expected(self) -> str:
        names = {NEWLINE: "a line break", END: "the end", "t": "t"}
        spans = [names.get(span.kind, f"{span.kind}{span.low}…{span.high}") for span in self.allowed()]
        return " or ".join(dict.fromkeys(spans[:8])) or "nothing more"
