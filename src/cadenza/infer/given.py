"""Notes that stand already, told by the writer as they are: writing for some tracks beside others.

On one time line a part is written between the notes of the others. Where those are known, nothing is drawn for them:
whenever one of them is due, it is the only thing that may follow, and a step never reaches beyond the next of them. So
a model that was taught nothing but to continue can fill in or accompany, and what is given stays note for note.
A track that is given without notes is silent.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cadenza.infer.constrain import Instrument, Rules
from cadenza.notation.grammar import Span
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.model import Score

BAR = "|"


@dataclass(frozen=True)
class Told:
    """A given note as the text tells it."""

    track: int
    pitch: int
    velocity: int
    duration_ticks: int


@dataclass(frozen=True)
class Given:
    """The notes of some tracks of a text.

    Args:
        tracks: numbers of these tracks in the text.
        notes: onset in the text's ticks → its notes in the order in which they are told.
    """

    tracks: frozenset[int]
    notes: dict[int, tuple[Told, ...]]
    onsets: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "onsets", tuple(sorted(self.notes)))

    @classmethod
    def of(cls, score: Score, tracks: Iterable[int]) -> Given:
        """Of a score that a text was decoded to: on its grid, with its velocities and durations; bends are not told."""
        chosen = frozenset(tracks)
        notes: dict[int, dict[tuple[int, int], Told]] = {}
        for track in sorted(chosen):
            for row in score.tracks[track].notes:
                told = Told(track, int(row["pitch"]), int(row["velocity"]), int(row["duration_ticks"]))
                notes.setdefault(int(row["onset_ticks"]), {}).setdefault((track, -told.pitch), told)
        return cls(chosen, {onset: tuple(at[key] for key in sorted(at)) for onset, at in notes.items()})

    def next_after(self, tick: int) -> int | None:
        """The first onset after ``tick``."""
        place = bisect_right(self.onsets, tick)
        return self.onsets[place] if place < len(self.onsets) else None

    def plays_within(self, start: int, stop: int) -> bool:
        """Whether a given note begins in [start, stop)."""
        following = self.next_after(start - 1)
        return following is not None and following < stop


class GivenRules(Rules):
    """:class:`~cadenza.infer.constrain.Rules` in which the given tracks play what they play.

    Args:
        instruments: of all tracks; those of given ones are not asked.
    """

    def __init__(self, instruments: Sequence[Instrument], given: Given, max_empty_bars: int = 1) -> None:
        super().__init__(instruments, max_empty_bars)
        self.given = given
        self.free = tuple(track for track in range(len(instruments)) if track not in given.tracks)

    def spans(self, state: SimplifiedState, empty_bars: int = 0) -> list[Span]:
        """See :meth:`Rules.spans`."""
        if state.note is not None and state.track in self.given.tracks:
            forced = self._forced(state)
            if forced is not None:
                return [forced]
        due = self._due(state)
        following = self.given.next_after(state.now_ticks)
        room = 10**12 if following is None else following - state.now_ticks
        out: list[Span] = []
        for span in super().spans(state, empty_bars):
            kind, low, high = span
            if kind in (":v", ":d") and state.track in self.given.tracks:
                continue
            if kind in (":t", "t") and not self._moves_on(state):
                if due is None:
                    high = min(high, room)
                elif kind == "t" or low > 0:
                    continue
                else:
                    high = 0
            plays = kind == BAR and self.given.plays_within(state.now_ticks, state.bar_end_ticks)
            if plays and self._in_empty_bar(state):
                continue
            if low <= high:
                out.append(Span(kind, low, high))
        if self.insists:
            wanted = [span for span in out if span.kind == "i" and span.low not in self.given.tracks]
            return wanted or out
        return out

    def _silent_enough(self, state: SimplifiedState, empty_bars: int) -> bool:
        # How long the written tracks may rest beside others that play, their writer minds.
        return not self.given.notes and super()._silent_enough(state, empty_bars)

    @staticmethod
    def _in_empty_bar(state: SimplifiedState) -> bool:
        return state.last is not None and state.last.kind == BAR

    def _told_now(self, state: SimplifiedState) -> int:
        """How many given notes are told at the place where the next note would start."""
        if self._moves_on(state):
            return 0
        told = sum(track in self.given.tracks for track, _ in state.chord)
        return told + (state.note is not None and state.track in self.given.tracks)

    def _due(self, state: SimplifiedState) -> Told | None:
        """The given note that has to be told before time goes on."""
        step = state.note.get("t", 0) if state.note is not None else 0
        now = state.now_ticks + step
        if now >= state.bar_end_ticks:
            return None
        at = self.given.notes.get(now, ())
        told = self._told_now(state)
        return at[told] if told < len(at) else None

    def _forced(self, state: SimplifiedState) -> Span | None:
        """The velocity or duration that the given note in the making still has to say."""
        note, options = state.note, state.notation
        assert note is not None
        told = self.given.notes[state.now_ticks][self._told_now(state) - 1] if not self._moves_on(state) else None
        kind = state.last.kind if state.last else ""
        if told is None:
            return None
        known_velocity = options.compact and state._velocity.get(state.track) == told.velocity
        if kind == "p" and options.has_velocity and not known_velocity:
            return Span(":v", told.velocity, told.velocity)
        known_duration = options.compact and state._duration.get(state.track) == told.duration_ticks
        if kind in ("p", ":v") and not known_duration:
            return Span(":d", told.duration_ticks, told.duration_ticks)
        return None

    def _may_bend(self, state: SimplifiedState) -> bool:
        return state.track not in self.given.tracks and super()._may_bend(state)

    def _may_stay(self, state: SimplifiedState) -> bool:
        return self._due(state) is not None or super()._may_stay(state)

    def _pitches(self, state: SimplifiedState) -> list[Span]:
        due = self._due(state)
        if state.track in self.given.tracks:
            mine = due is not None and due.track == state.track
            return [Span("p", due.pitch, due.pitch)] if mine and due is not None else []
        if due is not None and due.track < state.track:
            return []  # that one is told first
        return super()._pitches(state)

    def _tracks(self, state: SimplifiedState, span: Span) -> list[Span]:
        due = self._due(state)
        most = len(self.instruments) if due is None else due.track
        named = [track for track in self.free if track < most] + ([] if due is None else [due.track])
        found = super()._tracks(state, span)
        return [Span("i", t, t) for t in sorted(named) if any(one.low <= t <= one.high for one in found)]
