"""Lines of music → what a voice says. One regular expression finds the next token; each kind has its method."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from cadenza.base.errors import LimitError
from cadenza.base.limits import Limits
from cadenza.notation.abc.problems import Problem
from cadenza.notation.abc.text import unescape
from cadenza.notation.abc.voices import (
    DIRECTIONS_OF,
    DYNAMICS,
    KNOWN_DECORATIONS,
    MARKS_OF,
    SYMBOLS,
    TECHNIQUES_OF,
    UNITS,
    Voice,
    WrongBar,
    pitch_of,
)

MAX_PROBLEMS = 10_000
MAX_OVERLAYS = 16
_NOTE = r"(\^\^|\^|__|_|=)?([A-Ga-g])([,']*)(\d*/*\d*)(-?)"
_NUMBERS = r"\d{1,2}(?:[,-]\d{1,2}){0,20}"
TOKEN = re.compile(
    rf"""(?P<note>{_NOTE})
|(?P<space>[ \t`]+)
|(?P<bar>(:{{0,20}})\.?(?:\[?\|+[|\]]{{0,3}})(:{{0,20}})(?:[ ]?\[?({_NUMBERS}))?|:{{2,20}}(?:\[?({_NUMBERS}))?)
|(?P<rest>[zx](\d*/*\d*))
|(?P<field>\[([A-Za-z]):([^\]\n]{{0,400}})\])
|(?P<volta>\[({_NUMBERS})\.?)
|(?P<chord>\[)
|(?P<unchord>\](\d*/*\d*)(-?))
|(?P<tuplet>\((\d{{1,6}})(?::(\d{{0,6}}))?(?::(\d{{0,6}}))?)
|(?P<slur>\.?[()])
|(?P<broken><+|>+)
|(?P<quoted>"([^"]*)")
|(?P<deco>!([^!\n]{{1,60}})!)
|(?P<plus>\+([A-Za-z0-9.()]{{1,30}})\+)
|(?P<grace>\{{/?)
|(?P<ungrace>\}})
|(?P<overlay>\(?&\)?)
|(?P<bars>[ZX](\d*))
|(?P<spacer>y\d*)
|(?P<tie>\.?-)
|(?P<symbol>[.~H-WYh-w])
|(?P<layout>[$*!;?@\\\#]+)
""",
    re.VERBOSE,
)


class Halt(Exception):
    """A strict reader met its first error."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class Music:
    """The body of a tune, voice by voice.

    Args:
        strict: stop at the first error; else repair and go on.
        inline: what to do with an inline field (letter, text).
    """

    def __init__(self, strict: bool, limits: Limits, inline: Callable[[str, str], None]) -> None:
        self.strict, self.limits, self.inline = strict, limits, inline
        self.problems: list[Problem] = []
        self.voice = Voice("1")
        self.propagate = "octave"
        self.symbols = dict(SYMBOLS)
        self.directions: list[tuple[int, str]] = []
        self.unknown: set[str] = set()
        self.defined: set[str] = set()
        self.line_number = self.column = 0
        self.n_words = 0
        self.chord: list[tuple[int, int, int, bool]] | None = None
        self.in_grace = False
        self.methods = {name: getattr(self, "_" + name) for name in TOKEN.groupindex if name != "space"}

    # ── findings ─────────────────────────────────────────────────────────────────────────────────────────

    def wrong(self, expected: str, found: str, repair: str) -> None:
        """An error at the present place: the end for a strict reader."""
        problem = Problem(self.line_number, self.column + 1, "error", expected, found, repair)
        if self.strict:
            raise Halt(problem)
        self._keep(problem)

    def warn(self, expected: str, found: str) -> None:
        """Something odd at the present place, read as it stands."""
        self._keep(Problem(self.line_number, self.column + 1, "warning", expected, found))

    def _keep(self, problem: Problem) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            self._too_many("problems", MAX_PROBLEMS)
        self.problems.append(problem)

    def _too_many(self, what: str, bound: int) -> NoReturn:
        raise LimitError(f"at most {bound:,} {what}", "more", where=f"line {self.line_number}")

    def count(self, words: int) -> None:
        """So much work more; a field counts as several words.

        Raises:
            LimitError: the tune has more words than the limit.
        """
        self.n_words += words
        if self.n_words > self.limits.words:
            self._too_many("words", self.limits.words)

    # ── a line ───────────────────────────────────────────────────────────────────────────────────────────

    def read_line(self, line: str, number: int, column: int = 0) -> None:
        """One line of music, without its comment."""
        self.line_number = number
        methods, match_at = self.methods, TOKEN.match
        at, end = column, len(line)
        self.voice.sung, self.voice.verse = [], 0
        while at < end:
            match = match_at(line, at)
            self.column = at
            if match is None:
                self.wrong("music", repr(line[at]), "left out")
                at += 1
                continue
            kind = match.lastgroup
            if kind != "space":
                self.count(1)
                methods[kind](match)  # type: ignore[index]
            at = match.end()
        self.column = max(0, end - 1)
        if self.chord is not None:
            self.wrong("']' after the notes of a chord", "the end of the line", "closed there")
            self._close_chord("", False)
        if self.in_grace:
            self.wrong("'}' after grace notes", "the end of the line", "closed there")
            self.in_grace = False

    # ── notes ────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, match: re.Match[str]) -> None:
        accidental, letter_text, marks, length_text, tie = match.group(2, 3, 4, 5, 6)
        voice = self.voice
        letter, octave, natural = pitch_of(letter_text, marks)
        pitch, spelling = voice.sound(accidental, letter, octave, natural, self.propagate)
        if not 0 <= pitch <= 127:
            self.wrong("a pitch of 0–127", f"{match[0]!r}, which is {pitch}", "left out")
            return
        if self.in_grace:
            voice.pending_graces.append((pitch, spelling))
            return
        try:
            length = voice.length(length_text)
            if self.chord is not None:
                self.chord.append((pitch, spelling, length, tie == "-"))
                return
            length = voice.timed(length)
        except ValueError:
            self.wrong("a length such as 2, 3/2 or /", repr(length_text or match[0]), "read as 1")
            length = voice.length("")
            if self.chord is not None:
                self.chord.append((pitch, spelling, length, tie == "-"))
                return
        for lost in voice.add([(pitch, spelling, length, tie == "-")], length):
            self._lost_tie(lost)

    def _lost_tie(self, pitch: int) -> None:
        self.warn(f"a note of pitch {pitch} after its tie", "another")

    def _rest(self, match: re.Match[str]) -> None:
        voice = self.voice
        if self.in_grace or self.chord is not None:
            if self.chord is None:
                self.wrong("a note", repr(match[0]), "left out")
            return
        try:
            length = voice.timed(voice.length(match.group(match.lastindex + 1)))  # type: ignore[operator]
        except ValueError:
            self.wrong("a length such as 2, 3/2 or /", repr(match[0]), "read as 1")
            length = voice.length("")
        voice.advance([], length)

    def _bars(self, match: re.Match[str]) -> None:
        """``Z4``: four bars of rest."""
        voice = self.voice
        count = int((match.group(match.lastindex + 1) or "1")[:8])  # type: ignore[operator]
        full = voice.bar_length()
        if not full or not count or voice.n_elements:
            self.wrong("bars of rest where a bar of a metre begins", repr(match[0]), "left out")
            return
        self.limits.check("bars", voice.n_bars + count, f"line {self.line_number}")
        for index in range(count):
            voice.advance([], full)
            if index + 1 < count:
                voice.bar_line()
                voice.end_bar()
                voice.n_bars += 1

    def _chord(self, match: re.Match[str]) -> None:
        if self.chord is not None or self.in_grace:
            if not self.in_grace:
                self.wrong("notes of a chord", "'['", "left out")
            return
        self.chord = []

    def _unchord(self, match: re.Match[str]) -> None:
        if self.in_grace:
            return
        if self.chord is None:
            self.wrong("music", "']'", "left out")
            return
        index = match.lastindex or 0
        self._close_chord(match.group(index + 1), match.group(index + 2) == "-")

    def _close_chord(self, length_text: str, tied: bool) -> None:
        voice, chord = self.voice, self.chord
        self.chord = None
        if not chord:
            self.wrong("notes between '[' and ']'", "none", "left out")
            return
        times, enters = 1, 1
        try:
            if length_text:
                times = voice.length(length_text)
                enters = voice.length("")
                chord = [(p, s, _exact(n * times, enters), t) for p, s, n, t in chord]
            whole = voice.timed(chord[0][2])
            if whole != chord[0][2]:
                first = chord[0][2]
                chord = [(p, s, _exact(n * whole, first), t) for p, s, n, t in chord]
        except ValueError:
            self.wrong("a length such as 2, 3/2 or /", repr(length_text), "read as 1")
            whole = chord[0][2]
        if tied:
            chord = [(p, s, n, True) for p, s, n, _ in chord]
        for lost in voice.add(chord, whole):
            self._lost_tie(lost)

    def _tuplet(self, match: re.Match[str]) -> None:
        index = match.lastindex or 0
        enters, times, count = match.group(index + 1, index + 2, index + 3)
        numbers = [int(n) if n else None for n in (enters, times, count)]
        if any(n is not None and not 1 <= n <= 999 for n in numbers) or numbers[0] == 1:
            self.wrong("a tuplet such as (3 or (3:2:3", repr(match[0]), "left out")
            return
        self.voice.begin_tuplet(numbers[0], numbers[1], numbers[2])  # type: ignore[arg-type]

    def _broken(self, match: re.Match[str]) -> None:
        if len(match[0]) > 5 or not self.voice.break_rhythm(match[0]):
            self.wrong("> or < between two notes", repr(match[0]), "left out")

    def _tie(self, match: re.Match[str]) -> None:
        if self.chord is not None or self.in_grace:
            return
        if not self.voice.tie_last():
            self.wrong("a note before '-'", "none", "left out")

    def _grace(self, match: re.Match[str]) -> None:
        if self.chord is not None or self.in_grace:
            self.wrong("grace notes outside a chord", repr(match[0]), "left out")
            return
        self.in_grace = True

    def _ungrace(self, match: re.Match[str]) -> None:
        if not self.in_grace:
            self.wrong("music", "'}'", "left out")
        self.in_grace = False

    # ── bars ─────────────────────────────────────────────────────────────────────────────────────────────

    def _bar(self, match: re.Match[str]) -> None:
        if self.chord is not None:
            self.wrong("']' before the bar line", repr(match[0]), "closed there")
            self._close_chord("", False)
        voice = self.voice
        text = match[0]
        index = match.lastindex or 0
        closing, opening, volta, other = match.group(index + 1, index + 2, index + 3, index + 4)
        if closing is None:  # ::
            closing, opening, volta = ":", ":", other
        is_double = "||" in text or "]" in text or "[|" in text
        self._end_bar(bool(closing or opening or is_double))
        line = voice.bar_line()
        line.close = max(line.close, len(closing) + 1 if closing else 0)
        line.opens |= bool(opening)
        line.ends_volta |= bool(closing or opening or is_double)
        if volta:
            self._begin_volta(volta)

    def _end_bar(self, at_sign: bool) -> None:
        voice = self.voice
        if not voice.n_elements and not voice.overlay:
            return
        if voice.broken is not None:
            self.wrong("a note after > or <", "a bar line", "left out")
            voice.broken = None
        before = voice.last_length
        length = voice.end_bar()
        full = voice.bar_length()
        if full and length != full:
            voice.wrong_bars.append(
                WrongBar(self.line_number, self.column + 1, length, full, voice.n_bars == 0, before, at_sign)
            )
        voice.last_length = length
        voice.n_bars += 1
        if voice.n_bars > self.limits.bars:
            self.limits.check("bars", voice.n_bars, f"line {self.line_number}")

    def _volta(self, match: re.Match[str]) -> None:
        self.voice.bar_line()
        self._begin_volta(match.group((match.lastindex or 0) + 1))

    def _begin_volta(self, text: str) -> None:
        numbers: set[int] = set()
        for part in text.split(","):
            low, _, high = part.partition("-")
            numbers.update(range(int(low), int(high or low.rpartition("-")[2]) + 1) if high else (int(low),))
        numbers.discard(0)
        line = self.voice.bar_line()
        line.volta = tuple(sorted(numbers))
        line.ends_volta = True

    def _overlay(self, match: re.Match[str]) -> None:
        if self.chord is not None or self.voice.overlay >= MAX_OVERLAYS:
            self.wrong("an overlay within a bar", "'&'", "left out")
            return
        if match[0] != "&":
            self.wrong("'&' within one bar", repr(match[0]), "read as '&'")
        self.voice.begin_overlay()

    # ── everything else ──────────────────────────────────────────────────────────────────────────────────

    def _field(self, match: re.Match[str]) -> None:
        index = match.lastindex or 0
        self.inline(match.group(index + 1), match.group(index + 2))

    def _quoted(self, match: re.Match[str]) -> None:
        text = match.group((match.lastindex or 0) + 1)
        if text == "^tr":
            self.decorate("trill")
        elif text[:1] in "^_<>@" and text:
            text = text[1:].lstrip("0123456789.,-") if text[0] == "@" else text[1:]
            self.voice.pending_marks.append(("text", (), unescape(text)))
        elif text:
            self.voice.pending_marks.append(("chord", (), unescape(text)))

    def _deco(self, match: re.Match[str]) -> None:
        self.decorate(match.group((match.lastindex or 0) + 1).strip())

    _plus = _deco

    def _symbol(self, match: re.Match[str]) -> None:
        name = self.symbols.get(match[0])
        if name is None:
            if match[0] not in self.symbols:
                self.wrong("music", repr(match[0]), "left out")
        else:
            self.decorate(name)

    def decorate(self, name: str) -> None:
        """``!name!`` for what follows."""
        voice = self.voice
        if name in TECHNIQUES_OF:
            voice.pending_techniques |= int(TECHNIQUES_OF[name])
        elif name in DYNAMICS:
            voice.velocity = DYNAMICS[name]
        elif name in MARKS_OF:
            kind, text = MARKS_OF[name]
            voice.pending_marks.append((kind, (), text))
        elif name in DIRECTIONS_OF:
            self.directions.append((voice.time, DIRECTIONS_OF[name]))
        elif name not in KNOWN_DECORATIONS and name not in self.defined and name not in self.unknown:
            if len(self.unknown) < 1000:
                self.unknown.add(name)
            self.warn("a known decoration", f"!{name}!")

    def _slur(self, match: re.Match[str]) -> None:
        pass

    _spacer = _layout = _slur

    def finish(self) -> None:
        """The end of the tune for the present voice."""
        if self.voice.n_elements or self.voice.overlay:
            self._end_bar(True)


def _exact(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    if rest or not whole:
        raise ValueError("too fine")
    return whole


def bar_problems(voice: Voice) -> list[Problem]:
    """The bars that are not as long as their metre, those aside that an upbeat explains.

    A first bar may be short; so may a bar before a repeat, a double line or the end, and two bars that add up to one.
    """
    out = []
    wrong = voice.wrong_bars
    skip = False
    for index, bar in enumerate(wrong):
        if skip:
            skip = False
            continue
        if bar.length < bar.full:
            if bar.is_first or bar.at_sign:
                continue
            follower = wrong[index + 1] if index + 1 < len(wrong) else None
            if follower and follower.length + bar.length == bar.full and follower.follows == bar.length:
                skip = True
                continue
        out.append(Problem(bar.line, bar.column, "bar", f"a bar of {_quarters(bar.full)}", _quarters(bar.length)))
    return out


def _quarters(units: int) -> str:
    from fractions import Fraction

    return f"{Fraction(units, UNITS)} quarters"
