"""DadaGP tokens under an instrument's strings and frets; see :mod:`cadenza.infer.players`.

A note is told by string and fret, so what a hand can do is a rule on these: a note a string, on strings that the track
has, frets of its neck, those pressed at one time within five. Bars are as long as their metre; measures have no signs,
tempos stay. Bends go up by at most two tones; harmonics sound within the range; what needs strings is told of fretted
tracks only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Self

from cadenza.infer.constrain import Instrument
from cadenza.infer.players.base import Player, longest, within
from cadenza.notation.dadagp.grammar import ALL_KINDS, DadaGPState, event_of
from cadenza.notation.dadagp.tunings import Tuning
from cadenza.notation.grammar import Field, Span, runs
from cadenza.score.fingering import MAX_FRET, SPAN_FRETS
from cadenza.score.tab import harmonics

MAX_DRUMS = 7  # at a time
MAX_BEND = 8  # units of a quarter tone
DROPPED_SEMITONES = 2  # a string of the text may be tuned lower than the track's by that
_OCTAVE_HARMONICS, _ANY_PARTIAL = (4, 5), (2, 3)
_NEED_STRINGS = (
    "nfx:bend", "nfx:harmonic", "nfx:slide", "nfx:trill", "nfx:grace", "nfx:hammer", "nfx:tie", "bfx:tremolo_bar",
)  # fmt: skip
_NEVER = ("new_measure", "measure:", "bfx:tempo_", "end", "artist:", "start", "tempo:", "downtune:")


class DadaGPPlayer(Player):
    """A place in DadaGP tokens.

    Args:
        names: instrument of the text → its place among the text's tracks.
        bar_ticks: length of a bar, at 960 a quarter.
    """

    pitch_kinds = frozenset({":f"})

    def __init__(self, instruments: Sequence[Instrument], names: Mapping[str, int], bar_ticks: int) -> None:
        super().__init__(DadaGPState(), instruments)
        self.state: DadaGPState
        self.names, self.bar_ticks = names, bar_ticks
        self._kinds = _kinds_of(frozenset(names))
        self._name, self._string = "", 0
        self._pressed: dict[str, tuple[tuple[int, int], ...]] = {}  # name → (told string, real fret) at this time
        self._graces: tuple[int, ...] = ()  # frets, at this time
        self._begun: frozenset[str] = frozenset()  # names that have struck something in what is written
        self._curve = ""
        self._said: frozenset[str] = frozenset()  # effects of the beat at hand

    def copy(self) -> Self:
        """See :meth:`Player.copy`."""
        other = super().copy()
        other._pressed = self._pressed.copy()
        return other

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """See :meth:`Player.allowed`."""
        room = self.bar_ticks - self.state.bar_ticks
        out: list[Span] = []
        for span in self.state.allowed(self._kinds):
            kind = span.kind
            if kind == "wait:":
                fills = span.low == room and self.is_silent()
                if span.high <= room and not fills:
                    out.append(span)
            elif kind[0] == ":" or kind.startswith(("nfx:", "bfx:", "param:")):
                out += self._effect(span)
            elif room:
                out += self._event(span)
        return out

    def opening(self) -> list[Span]:
        """See :meth:`Player.opening`."""
        state = self.state
        if state.n_bars and state.bar_ticks != self.bar_ticks:
            return []
        return state.allowed(("new_measure",))

    def soonest(self, spans: list[Span]) -> list[Span]:
        """See :meth:`Player.soonest`."""
        waits = longest(span for span in spans if span.kind == "wait:")
        if waits:
            return waits
        effects = ("nfx:", "bfx:")
        return [span for span in spans if not span.kind.startswith(effects)] or spans

    def _event(self, span: Span) -> list[Span]:
        name, rest = event_of(span.kind)
        place = self.names.get(name)
        if place is None:
            return []
        instrument, pressed = self.instruments[place], self._pressed.get(name, ())
        if rest == "rest":
            return [] if self.is_silent() else [span]
        if name == "drums":
            low, high = max(span.low, instrument.low), min(span.high, instrument.high)
            return [Span(span.kind, low, high)] if low <= high and len(pressed) < MAX_DRUMS else []
        strings = [s for s in range(span.low, span.high + 1) if self._frets(name, s)]
        return runs(span.kind, strings)

    def _frets(self, name: str, string: int) -> tuple[int, ...]:
        """Told frets that may be played on a string of the text beside what is pressed now, rising."""
        tuning = self.state.tuning_of(name)
        found = _frets_of(self.instruments[self.names[name]], tuning, string)
        held = [fret for _, fret in self._pressed.get(name, ()) if fret]
        if not held:
            return tuple(told for told, _ in found)
        low, high = max(held) - SPAN_FRETS, min(held) + SPAN_FRETS
        return tuple(told for told, fret in found if not fret or low <= fret <= high)

    def _effect(self, span: Span) -> list[Span]:
        kind = span.kind
        if kind == ":f" and self._string:
            frets = self._frets(self._name, self._string)
            return runs(kind, [fret for fret in frets if span.low <= fret <= span.high])
        instrument = self.instruments[self.names[self._name]] if self._name in self.names else None
        if instrument is None:
            return [span]
        if kind in self._said:
            return []  # once a beat
        if kind.startswith(_NEED_STRINGS) and not instrument.may_bend:
            return []
        if kind == "nfx:tie":
            alone = len(self.struck) < 2 and self.must_play()
            return [span] if self._name in self._begun and not alone else []
        if kind == "param:val":
            return [Span(kind, *((0, MAX_BEND) if self._curve == "nfx:bend:type" else (-MAX_BEND, MAX_BEND)))]
        if kind == "nfx:grace:fret":
            return runs(kind, [fret for fret in self._grace_frets() if span.low <= fret <= span.high])
        if kind == "nfx:harmonic:":
            return runs(kind, [n for n in range(span.low, span.high + 1) if self._may_ring(n, instrument)])
        return [span]

    def _grace_frets(self) -> list[int]:
        name, string = self._name, self._string
        found = _frets_of(self.instruments[self.names[name]], self.state.tuning_of(name), string)
        main = next((fret for at, fret in self._pressed.get(name, ()) if at == string), 0)
        near = [*self._graces, *([main] if main else [])]
        if not near:
            return [told for told, _ in found]
        low, high = max(near) - SPAN_FRETS, min(near) + SPAN_FRETS
        return [told for told, fret in found if not fret or low <= fret <= high]

    def _may_ring(self, number: int, instrument: Instrument) -> bool:
        """Whether the note at hand may be a harmonic of this kind."""
        pitch = self.struck[-1][2] if self.struck else 0
        if number in _ANY_PARTIAL:  # the partial is said later
            return len(instrument.classes) == 12 and pitch + max(harmonics.NODES.values()) <= instrument.high
        fret = next((fret for at, fret in self._pressed.get(self._name, ()) if at == self._string), 0)
        above = harmonics.OCTAVE if number in _OCTAVE_HARMONICS else harmonics.natural(fret)
        return within(instrument, pitch + above)

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """See :meth:`Player.feed`."""
        kind, value = field
        before = self.state.bar_ticks
        self.state.feed(field)
        self.last = field
        if kind == "wait:":
            self._pressed, self._graces = {}, ()
        elif kind == "new_measure":
            self.open_bar()
        elif kind == ":f" and self._string:
            self._strike(before, self.state.tuning_of(self._name).open_pitch(self._string) + int(value), int(value))
        elif kind == "nfx:tie":
            self.struck.pop()  # goes on from before
        elif kind in ("nfx:bend:type", "bfx:tremolo_bar:type"):
            self._curve = kind
            self._said |= {kind}
        elif kind == "nfx:grace:fret":
            frets = dict(_frets_of(self._instrument(), self.state.tuning_of(self._name), self._string))
            real = frets.get(int(value), 0)
            self._graces = (*self._graces, real) if real else self._graces
        elif kind.startswith("bfx:"):
            self._said |= {kind}
        elif kind[0] != ":" and not kind.startswith(("nfx:", "param:")):
            self._said = frozenset()
            self._name, rest = event_of(kind)
            self._string = int(value) if rest == "note:s" else 0
            if rest == "note:":
                self._strike(before, int(value), int(value))

    def _instrument(self) -> Instrument:
        return self.instruments[self.names[self._name]]

    def _strike(self, onset: int, pitch: int, told: int) -> None:
        place = self.names.get(self._name)
        if place is None:
            return
        self.struck.append((onset, place, pitch))
        frets = dict(_frets_of(self.instruments[place], self.state.tuning_of(self._name), self._string))
        now = self._pressed.get(self._name, ())
        self._pressed[self._name] = (*now, (self._string, frets.get(told, 0)))
        if self.is_writing:
            self._begun |= {self._name}

    def sounding(self, field: Field) -> int | None:
        """See :meth:`Player.sounding`."""
        if field.kind != ":f" or not self._string:
            return None
        return self.state.tuning_of(self._name).open_pitch(self._string) + int(field.value)


@lru_cache(maxsize=64)
def _kinds_of(names: frozenset[str]) -> tuple[str, ...]:
    """Kinds of fields of measures that such instruments have."""
    of_others = {kind for kind in ALL_KINDS if event_of(kind)[1] in ("note:", "note:s", "rest", "downtune:", "tuning:")}
    own = {
        kind for kind in of_others if event_of(kind)[0] in names and event_of(kind)[1] in ("note:", "note:s", "rest")
    }
    return tuple(kind for kind in ALL_KINDS if not kind.startswith(_NEVER) and (kind in own or kind not in of_others))


@lru_cache(maxsize=1 << 10)
def _frets_of(instrument: Instrument, tuning: Tuning, string: int) -> tuple[tuple[int, int], ...]:
    """(told fret, fret on the track's own string, from the capo) of what a string of the text can play, rising."""
    if not 1 <= string <= tuning.n_strings:
        return ()
    opened = tuning.open_pitch(string)
    told = range(tuning.lowest_fret(string), MAX_FRET + 1)
    if not instrument.tuning:
        return tuple((fret, max(fret, 0)) for fret in told if within(instrument, opened + fret))
    real = own_string(instrument, opened)
    if real is None:
        return ()
    low = instrument.tuning[real] + instrument.capo_fret
    most = MAX_FRET - instrument.capo_fret
    return tuple(
        (fret, opened + fret - low)
        for fret in told
        if 0 <= opened + fret - low <= most and within(instrument, opened + fret)
    )


def own_string(instrument: Instrument, opened: int) -> int | None:
    """Which of the track's strings (from 0) is told as one tuned to ``opened``; None for none."""
    near = [(abs(pitch - opened), at) for at, pitch in enumerate(instrument.tuning)]
    distance, at = min(near, default=(DROPPED_SEMITONES + 1, 0))
    return at if distance <= DROPPED_SEMITONES else None
