"""ABC under its instruments' ranges; see :mod:`cadenza.infer.players`.

A pitch is spelled over several fields (accidental, letter, octave marks) and depends on the key, on the bar so far and
on what is tied into it. So a letter is offered where some octave of it can be played, an octave mark where it leads on
to one, and what would end the note only where the note as it stands can be played. Notes of a chord rise; those that
start together in all voices of a fretted track have a fingering. Metre, key and tempo stay, bars end plainly, the last
one with the sign of the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Self

from cadenza.infer.constrain import Instrument
from cadenza.infer.players.base import MAX_EMPTY_BARS, MAX_EMPTY_OF_ONE, Player, longest, within
from cadenza.notation.abc.fields import ACCIDENTALS, DECORATIONS, DYNAMIC_FIELDS, LETTERS, MAX_OCTAVE_MARKS, SIGNS
from cadenza.notation.abc.grammar import AbcState
from cadenza.notation.abc.notation import Abc
from cadenza.notation.abc.pitches import ACCIDENTALS as ALTERATIONS
from cadenza.notation.abc.pitches import may_stand_plain, parse_key
from cadenza.notation.abc.voices import pitch_of
from cadenza.notation.grammar import END, NEWLINE, Field, Span

END_SIGN = "|]"
_STAYS = ("[M:", "[K:", "[Q:1/4=", "|:", "&", END, "V:")
_ENDS_NOTE = {"", "/", "-", " ", "]", "}", *SIGNS, *LETTERS, *ACCIDENTALS}
_NOTES = frozenset((*ACCIDENTALS, *LETTERS))
_LEAD_TO_NOTES = frozenset(("[", "{", *DYNAMIC_FIELDS, *DECORATIONS))
#: Letter → its natural pitches, with as many octave marks as it may have.
NATURALS = {
    letter: tuple(pitch_of(letter, ("'" if letter.islower() else ",") * n)[2] for n in range(MAX_OCTAVE_MARKS + 1))
    for letter in LETTERS
}
Place = tuple[int, int]  # letter, octave
Spelled = tuple[int, int]  # letter, alteration


class AbcPlayer(Player):
    """A place in a tune.

    Args:
        voices: which track each voice of the text belongs to.
        free: the tracks that play; the others rest.
    """

    pitch_kinds = frozenset(LETTERS)

    def __init__(
        self, notation: Abc, instruments: Sequence[Instrument], voices: Sequence[int], free: Sequence[int]
    ) -> None:
        self.by_track = notation.layout == "by_track"
        super().__init__(AbcState(notation), instruments, MAX_EMPTY_OF_ONE if self.by_track else MAX_EMPTY_BARS)
        self.state: AbcState
        self.voices, self.free = tuple(voices), frozenset(free)
        self._key: tuple[int, ...] = (0,) * 7
        self._first_key: tuple[int, ...] = (0,) * 7
        self._altered: dict[Place, int] = {}  # in this bar of this voice
        self._tied: dict[int, dict[int, Spelled]] = {}  # voice → what its last notes tie on: pitch → as first spelled
        self._apart: frozenset[int] = frozenset()  # voices that have rested since
        self._note: tuple[str, int, int | None] = ("", 0, None)  # letter, octave marks, written alteration
        self._element: tuple[tuple[int, Spelled], ...] = ()  # the notes so far: pitch, spelling
        self._ties: frozenset[int] = frozenset()  # pitches of these that are tied on
        self._struck_at: dict[tuple[int, Fraction], tuple[tuple[int, int], ...]] = {}  # of the bar: (voice, pitch)

    def copy(self) -> Self:
        """See :meth:`Player.copy`."""
        other = super().copy()
        other._altered, other._tied, other._struck_at = self._altered.copy(), self._tied.copy(), self._struck_at.copy()
        return other

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """See :meth:`Player.allowed`."""
        if self._is_between():
            return []
        state = self.state
        if state.place == "inline" or (not self.by_track and state.place in ("signed", "line")):
            return [span for span in state.allowed() if span.kind in ("]", NEWLINE, "[V:")]
        sign = END_SIGN if self.n_bars == self.n_last else "|"
        note_ends = self._stands()
        in_note, full, begins = bool(self._note[0]), self._is_full(), self._beginnings()
        must_play = self._must_play()
        out: list[Span] = []
        for span in state.allowed():
            kind = span.kind
            if kind in _STAYS or (kind in SIGNS and not (full and kind == sign)) or (kind == " " and full):
                continue
            if kind == "z" and must_play and begins:
                continue
            if in_note and kind in _ENDS_NOTE and not note_ends:
                continue
            if in_note and kind in (",", "'") and not self._leads_on(kind):
                continue
            if kind in _NOTES and kind not in begins:
                continue
            if kind in _LEAD_TO_NOTES and not begins:
                continue
            out.append(span)
        return out

    def opening(self) -> list[Span]:
        """See :meth:`Player.opening`."""
        if not self._is_between():
            return []
        return [span for span in self.state.allowed() if span.kind in ("[V:", " ", NEWLINE)]

    def soonest(self, spans: list[Span]) -> list[Span]:
        """See :meth:`Player.soonest`."""
        for wanted in (SIGNS, ("",), (" ", "z", "]", "}"), LETTERS):
            found = [span for span in spans if span.kind in wanted]
            if found:
                return self._longest(found) if wanted == ("",) else found
        return [span for span in spans if span.kind in ("'", ",")] or spans

    def _longest(self, spans: list[Span]) -> list[Span]:
        """The greatest whole length that fills the bar, where there is one."""
        state = self.state
        units = (state.full - state.now) // state.steps_a_unit if state.tuplet is None else 0
        fitting = [Span("", min(units, s.high), min(units, s.high)) for s in spans if s.low <= units]
        return longest(fitting) or spans

    def _is_between(self) -> bool:
        """At a bar line: what follows belongs to the next bar."""
        state = self.state
        if self.by_track:
            return state.place in ("signed", "sounded")
        if state.place == "heads":
            return True
        return state.place == "line" and state.voice == state.n_voices

    def _is_full(self) -> bool:
        """Whether the bar is full once the element at hand is counted."""
        state = self.state.copy()
        state._settle()
        return state.tuplet is None and state.now == state.full

    def _must_play(self) -> bool:
        last = self.by_track or self.state.voice == self.state.n_voices
        return last and self.is_silent()

    def _track(self) -> Instrument:
        return self.instruments[self.voices[self.state.voice - 1]]

    def _onset(self) -> Fraction:
        state = self.state
        if state.tuplet is None:
            return Fraction(state.now)
        enters, times, _, done = state.tuplet
        return state.now + Fraction(done * times, enters)

    def _in_grace(self) -> bool:
        at = self.state.element
        return at in ("graces", "grace") or (at == "accidental" and self.state.in_grace)

    def _pitch(self, letter: str, marks: int, written: int | None) -> tuple[Place, int, int]:
        """(place, alteration, pitch), as the reader finds them: as written, by the bar so far, by the key, or by what
        is tied into the bar."""
        index, octave, natural = pitch_of(letter, ("'" if letter.islower() else ",") * marks)
        place = (index, octave)
        alteration = self._altered.get(place, self._key[index]) if written is None else written
        if written is None and place not in self._altered and self._onset() == 0:
            held = self._tied.get(self.state.voice, {})
            for pitch in (natural + alteration, natural + 1, natural - 1):
                if held.get(pitch) == (index, pitch - natural):
                    alteration = pitch - natural
                    break
        return place, alteration, natural + alteration

    def _playable(self) -> frozenset[int]:
        """Pitches that can be played here, beside the chord so far and what other voices of the track strike."""
        if self._in_grace():
            return _pitches(self._track(), (), ())
        voice, own = self.state.voice, tuple(one for one, _ in self._element)
        struck = self._struck_at.get((self.voices[voice - 1], self._onset()), ())
        return _pitches(self._track(), own, tuple(one for other, one in struck if other != voice))

    def _fits(self, letter: str, marks: int, written: int | None, playable: frozenset[int]) -> bool:
        """Whether the note can be played as it stands."""
        _, alteration, pitch = self._pitch(letter, marks, written)
        return pitch in playable and (written is not None or may_stand_plain(pitch - alteration))

    def _stands(self) -> bool:
        letter, marks, written = self._note
        return bool(letter) and self._fits(letter, marks, written, self._playable())

    def _leads_on(self, mark: str) -> bool:
        letter, marks, written = self._note
        playable = self._playable()
        right = (mark == "'") == letter.islower()
        more = range(marks + 1, MAX_OCTAVE_MARKS + 1)
        return right and any(self._fits(letter, number, written, playable) for number in more)

    def _beginnings(self) -> frozenset[str]:
        """The accidentals and letters that can lead to a note that can be played."""
        if self.voices[self.state.voice - 1] not in self.free:
            return frozenset()
        trial = self._with_note() if self._stands() else self
        playable = trial._playable()
        if self.state.element == "accidental":
            written = self._note[2]
            return frozenset(letter for letter in LETTERS if trial._has_octave(letter, written, playable))
        out = {letter for letter in LETTERS if trial._has_octave(letter, None, playable)}
        for sign, written in ALTERATIONS.items():
            if any(trial._has_octave(letter, written, playable) for letter in LETTERS):
                out.add(sign)
        return frozenset(out)

    def _with_note(self) -> AbcPlayer:
        """With the note at hand counted in the chord."""
        trial = self.copy()
        trial._end_note()
        return trial

    def _has_octave(self, letter: str, written: int | None, playable: frozenset[int]) -> bool:
        if written is not None:
            return any(natural + written in playable for natural in NATURALS[letter])
        return any(self._fits(letter, marks, None, playable) for marks in range(MAX_OCTAVE_MARKS + 1))

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """See :meth:`Player.feed`."""
        kind, value = field
        state = self.state
        place, voice, element, in_chord = state.place, state.voice, state.element, state.in_chord
        if self._note[0] and kind not in ("'", ","):
            self._end_note()
        state.feed(field)
        if self.is_writing:
            state.is_open = False  # no upbeat
        self.last = field
        if kind in ("K:", "[K:"):
            found, _ = parse_key(value)
            self._key, self._altered = (found.alterations if found is not None else (0,) * 7), {}
            self._first_key = self._key if kind == "K:" else self._first_key
        elif kind in ("'", ","):
            letter, marks, written = self._note
            self._note = (letter, marks + 1, written)
        elif kind in ACCIDENTALS:
            self._note = ("", 0, ALTERATIONS[kind])
        elif kind in LETTERS:
            self._note = (kind, 0, self._note[2] if element == "accidental" else None)
        elif kind == "-":
            self._ties |= frozenset(pitch for pitch, _ in (self._element[-1:] if in_chord else self._element))
        elif kind == "z":
            self._apart |= {voice}
        elif kind in (" ", *SIGNS) and place == "element":
            self._end_element(voice)
        if kind in ("[V:", "V:", *SIGNS) or (kind == "&"):
            self._altered = {}
        if self.by_track and kind == "V:":
            self.begin_part(0)
            self._key = self._first_key
        elif self._begins_bar(field, place):
            self._struck_at = {}
            self.open_bar()

    def _begins_bar(self, field: Field, place: str) -> bool:
        """Whether a bar began with a field that was read at a place."""
        if self.by_track:
            return place == "signed" or (place == "sounded" and self.state.place == "bar")
        return field == Field("[V:", "1")

    def _end_note(self) -> None:
        """The note at hand is whole: it sounds, and what it alters holds."""
        letter, marks, written = self._note
        place, alteration, pitch = self._pitch(letter, marks, written)
        is_grace = self._in_grace()
        self._note = ("", 0, None)
        if written is not None:
            self._altered[place] = alteration
        if is_grace:
            return
        onset, voice = self._onset(), self.state.voice
        track = self.voices[voice - 1]
        if pitch not in self._tied.get(voice, {}) or voice in self._apart:
            self.struck.append((onset, track, pitch))
        at = (track, onset)
        self._struck_at[at] = (*self._struck_at.get(at, ()), (voice, pitch))
        self._element = (*self._element, (pitch, (place[0], alteration)))

    def _end_element(self, voice: int) -> None:
        """What is tied on from the notes at hand."""
        if self._element:
            held = {} if voice in self._apart else self._tied.get(voice, {})
            tied = {pitch: held.get(pitch, spelled) for pitch, spelled in self._element if pitch in self._ties}
            self._tied[voice] = tied
            self._apart -= {voice}
        self._element, self._ties = (), frozenset()

    def sounding(self, field: Field) -> int | None:
        """See :meth:`Player.sounding`."""
        if field.kind not in LETTERS or self._track().is_drums:
            return None
        written = self._note[2] if self.state.element == "accidental" else None
        return self._pitch(field.kind, 0, written)[2] % 12 + 12


@lru_cache(maxsize=1 << 12)
def _pitches(instrument: Instrument, own: tuple[int, ...], others: tuple[int, ...]) -> frozenset[int]:
    """What can be added to a chord, from below, beside what other voices strike."""
    low = own[-1] + 1 if own else instrument.low
    every = (pitch for pitch in range(max(low, instrument.low), instrument.high + 1) if within(instrument, pitch))
    return frozenset(pitch for pitch in every if pitch not in others and instrument.takes((*others, *own, pitch)))


def voices_of(fields: Iterator[Field]) -> list[int]:
    """Which track each voice of a tune belongs to."""
    out: list[int] = []
    for field in fields:
        if field.kind == "V:":
            out.append(out[-1] + 1 if out else 0)
        elif field.kind == " merge":
            out[-1] = out[-2]
    return out
