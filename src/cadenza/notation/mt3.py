"""MT3 events: timed note-on and note-off tokens, segment by segment, as transcription models write them.

The event language of MT3 (Gardner et al., *MT3: Multi-Task Multitrack Music Transcription*, ICLR 2022), here as words::

    t s12 g29 v1 p57 p64 v1 d36 s98 v0 p57
    g29 p64 t s3 v0 p64

One line is one segment. It begins with the **tie section**: the notes that still sound from before, sorted by program
``g`` and pitch ``p``, closed by ``t``; a sounding note that is not listed ends where the segment begins. Then come the
events: ``s`` says the time in steps of 10 ms *from the segment's start* (so that errors do not add up), ``g`` the
program, ``v`` the velocity (0 ends a note), ``p`` a pitch, ``d`` a drum. Time, program and velocity hold until the next
one; what would repeat them is left out. At one time ends come before beginnings, both by program and pitch, drums last.
Drums have onsets only. What sounds at the end of the last line ends there.

Segments are windows of 2.048 s (256 frames of 128 samples at 16 kHz), their borders on the nearest step;
``segment_seconds=0`` writes a piece as one line. :meth:`Mt3.encode_segment` gives any window, for training pairs, and
:meth:`Mt3.decode_windows` joins windows cut anywhere, as a model hands them over one by one.

One difference from the published encoder: a note that ends exactly at a border is left out of the next tie section,
where MT3 lists it and ends it in the next token; both read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from cadenza.base.errors import ConfigError, NotationError, RangeError
from cadenza.notation.grammar import NEWLINE, Field, Grammar, fields_of
from cadenza.notation.mt3_grammar import DRUMS, MAX_STEPS, Mt3State
from cadenza.notation.simplified.projection import flatten_tempo
from cadenza.score import edit
from cadenza.score.edit import Edit, project
from cadenza.score.model import NOTE_DTYPE, Score, Tempo, Track

DEFAULT_VELOCITY = 95
WHOLE_PIECE_SHIFTS = 1000  # shift tokens of a model that writes whole pieces: ten seconds, as MT3's codec has


@dataclass(frozen=True)
class Mt3:
    """MT3 events with their options.

    Args:
        segment_seconds: length of a segment; 0 = the whole piece in one line.
        steps_per_second: time steps; even.
        velocity_bins: levels of velocity besides 0: 1 as in MT3's multi-task models, up to 127.

    Raises:
        ConfigError: an option out of its range.
    """

    segment_seconds: float = 2.048
    steps_per_second: int = 100
    velocity_bins: int = 1

    name: ClassVar[str] = "mt3"
    unit_start: ClassVar[str] = r"(?<=\n)"
    joint: ClassVar[Literal[" ", "\n", ""]] = " "
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"segment_seconds": 0},
        {"segment_seconds": 1.111, "steps_per_second": 32, "velocity_bins": 8},
    )

    def __post_init__(self) -> None:
        if self.steps_per_second % 2 or not 2 <= self.steps_per_second <= 10_000:
            raise ConfigError("an even number of 2 to 10000 steps a second", str(self.steps_per_second))
        if not 1 <= self.velocity_bins <= 127:
            raise ConfigError("1 to 127 velocity bins", str(self.velocity_bins))
        if self.segment_seconds and not 2 / self.steps_per_second <= self.segment_seconds <= 3600:
            raise ConfigError("segments of two steps to an hour, or 0", str(self.segment_seconds))

    def options(self) -> dict[str, Any]:
        """The fields of this value, as they are saved with a model."""
        return asdict(self)

    @property
    def projection(self) -> tuple[Edit, ...]:
        """What encoding changes, in order."""
        step = f"{1000 / self.steps_per_second:g} ms"
        if self.velocity_bins == 1:
            velocity = edit.drop_velocity(DEFAULT_VELOCITY)
        else:
            velocity = edit.bin_velocity(self.velocity_bins)
        return (
            _only_sounding(),
            flatten_tempo(self.steps_per_second // 2),
            velocity,
            Edit("merges tracks of one program, drops their names, tunings and order", _one_track_a_program),
            Edit(f"gives drums one step of {step}, other notes at least one", _at_least_a_step),
            edit.drop_doubled(),
            Edit("ends a note where another of its program and pitch begins", _without_overlap),
            Edit("ends with the last note", lambda s: replace(s, length_ticks=_last(s)) if s.tracks else s),
        )

    def grammar(self) -> Grammar:
        """The automaton over this notation's fields."""
        return Grammar(self.name, lambda: Mt3State(self.velocity_bins, self.border_step))

    def fields(self, text: str) -> Iterator[Field]:
        """The fields of ``text``, line breaks included."""
        return fields_of(text)

    def vocabulary(self) -> list[str]:
        """Every token that a model's text has."""
        shifts = WHOLE_PIECE_SHIFTS
        if self.segment_seconds:
            shifts = max(self.border_step(k + 1) - self.border_step(k) for k in range(1000)) - 1
        out = ["\n", "t", *(f"s{n}" for n in range(1, shifts + 1)), *(f"g{n}" for n in range(128))]
        out += [f"v{n}" for n in range(self.velocity_bins + 1)]
        return out + [f"p{n}" for n in range(128)] + [f"d{n}" for n in range(128)]

    def border_step(self, segment: int) -> int:
        """The step at which a segment (counted from 0) begins."""
        if not self.segment_seconds:
            return MAX_STEPS if segment else 0
        return round(segment * self.segment_seconds * self.steps_per_second)

    # ── Score → text ─────────────────────────────────────────────────────────────────────────────────────

    def encode(self, score: Score) -> str:
        """The text of ``score`` after :attr:`projection`: lines joined by line breaks, none at the end."""
        events = self._events(score)
        last = int(events[:, 1].max(initial=0))
        borders = [0, self.border_step(1)]
        while borders[-1] < last:
            borders.append(self.border_step(len(borders)))
        return "\n".join(self._lines(events, borders))

    def encode_segment(self, score: Score, start_seconds: float, stop_seconds: float) -> str:
        """One line: what begins and ends in a window of the piece, after the ties into it.

        The window's borders are taken at the nearest steps of the whole piece, so that windows that meet agree on
        what is tied, wherever they are cut.

        Raises:
            RangeError: the window is shorter than a step or begins before the piece.
        """
        start, stop = (round(at * self.steps_per_second) for at in (start_seconds, stop_seconds))
        if not 0 <= start < stop:
            raise RangeError("a window of at least one step, from 0 s on", f"{start_seconds} to {stop_seconds} s")
        return self._lines(self._events(score), [start, stop])[0]

    @staticmethod
    def tie_section(sounding: Iterable[tuple[int, int]]) -> str:
        """The words for notes (program, pitch) that sound on into a segment, ``t`` included."""
        words, program = [], -1
        for one, pitch in sorted(set(sounding)):
            words += [f"g{one}"] if one != program else []
            words.append(f"p{pitch}")
            program = one
        return " ".join([*words, "t"])

    def _events(self, score: Score) -> np.ndarray:
        """Notes of the projected score: shape (n, 5), onset and offset in steps, program, pitch, velocity bin."""
        score = project(score, self.projection)
        rows = []
        for track in score.tracks:
            notes = track.notes
            onset, pitch = notes["onset_ticks"], notes["pitch"].astype(np.int64)
            program = np.full(len(notes), DRUMS if track.is_drums else track.program, np.int64)
            velocity = 1 + (notes["velocity"].astype(np.int64) - 1) * self.velocity_bins // 127
            rows.append(np.stack([onset, onset + notes["duration_ticks"], program, pitch, velocity], axis=1))
        return np.concatenate(rows) if rows else np.zeros((0, 5), np.int64)

    def _lines(self, notes: np.ndarray, borders: Sequence[int]) -> list[str]:
        """One line for each pair of neighbouring borders (in steps)."""
        pitched = notes[notes[:, 2] != DRUMS]
        onset, program, pitch = notes[:, 0], notes[:, 2], notes[:, 3]
        ends = np.stack([pitched[:, 1], pitched[:, 2], np.zeros(len(pitched), np.int64), pitched[:, 3]], axis=1)
        events = np.concatenate([ends, np.stack([onset, program, notes[:, 4], pitch], axis=1)])
        events = events[np.lexsort([events[:, 3], events[:, 1], events[:, 2] > 0, events[:, 0]])]
        pitched = pitched[np.argsort(pitched[:, 0], kind="stable")]
        places = np.searchsorted(events[:, 0], borders).tolist()
        begun = np.searchsorted(pitched[:, 0], borders).tolist()
        tied, done = pitched[:0], 0
        lines = []
        for index, start in enumerate(borders[:-1]):
            if done < begun[index]:
                tied, done = np.concatenate([tied, pitched[done : begun[index]]]), begun[index]
            tied = tied[tied[:, 1] > start] if len(tied) else tied
            inside = events[places[index] : places[index + 1]]
            if len(inside):
                inside = inside[(inside[:, 0] > start) | (inside[:, 2] > 0)]  # an end at the border: not tied says it
            if len(tied) or len(inside):
                lines.append(self._line(start, tied[:, 2:4].tolist(), inside.tolist()))
            else:
                lines.append("t")
        return lines

    def _line(self, start: int, tied: list[list[int]], events: list[list[int]]) -> str:
        words = [self.tie_section((program, pitch) for program, pitch in tied)]
        program, velocity, step = max((program for program, _ in tied), default=-1), -1, start
        for at, of_program, level, pitch in events:
            if at != step:
                words.append(f"s{at - start}")
                step = at
            if of_program not in (program, DRUMS):
                words.append(f"g{of_program}")
                program = of_program
            if level != velocity:
                words.append(f"v{level}")
                velocity = level
            words.append(f"d{pitch}" if of_program == DRUMS else f"p{pitch}")
        return " ".join(words)

    # ── text → Score ─────────────────────────────────────────────────────────────────────────────────────

    def decode(self, text: str) -> Score:
        """The score that ``text`` says, in real time: 120 quarter notes a minute, a tick a step.

        Raises:
            NotationError: the text does not follow the grammar; says which word, what was expected and found.
        """
        return self._decode(text, self.border_step)

    def decode_windows(self, lines: Sequence[str], borders_seconds: Sequence[float]) -> Score:
        """The score that consecutive windows say: line ``i`` runs from ``borders_seconds[i]`` to the next border.

        Notes that the first line ties begin at its start.

        Raises:
            RangeError: not one border more than lines, or borders that do not rise.
            NotationError: as :meth:`decode`.
        """
        borders = [round(at * self.steps_per_second) for at in borders_seconds]
        if len(borders) != len(lines) + 1 or borders[0] < 0 or any(b <= a for a, b in pairwise(borders)):
            raise RangeError("one rising border more than lines", f"{len(borders)} borders for {len(lines)} lines")
        return self._decode("\n".join(lines), lambda k: borders[min(k, len(borders) - 1)])

    def _decode(self, text: str, border_step: Any) -> Score:
        state = Mt3State(self.velocity_bins, border_step)
        notes: dict[int, list[tuple[int, ...]]] = {}
        sounding: dict[tuple[int, int], tuple[int, int]] = {}
        held = 1 + (DEFAULT_VELOCITY - 1) * self.velocity_bins // 127  # of a note that began before the text

        def end(key: tuple[int, int], at: int) -> None:
            onset, velocity = sounding.pop(key)
            notes.setdefault(key[0], []).append((onset, max(1, at - onset), key[1], velocity))

        line = word = 0
        last = state.start
        for field in fields_of(text):
            kind = field.kind
            word = 0 if kind == NEWLINE else word + 1
            try:
                state.feed(field)
            except NotationError as error:
                raise error.at(f"line {line + 1}, word {word or 'end'}") from None
            if kind == NEWLINE:
                line += 1
            elif kind == "t":
                for key in [key for key in sounding if key not in state.sounding]:
                    end(key, state.start)
                for key in state.sounding - sounding.keys():
                    sounding[key] = (state.start, held)
            elif kind == "d":
                notes.setdefault(DRUMS, []).append((state.now, 1, int(field.value), state.velocity))
            elif kind == "p" and not state.in_ties:
                key = (state.program, int(field.value))
                if key in sounding:
                    end(key, state.now)
                if state.velocity:
                    sounding[key] = (state.now, state.velocity)
            last = state.now
        state.finish()
        last = last if state.stop >= MAX_STEPS else state.stop
        for key in list(sounding):
            end(key, last)
        return Score(
            tuple(self._track(program, rows) for program, rows in sorted(notes.items())),
            self.steps_per_second // 2,
            (Tempo(0, 120.0),),
        )

    def _track(self, program: int, rows: list[tuple[int, ...]]) -> Track:
        array = np.zeros(len(rows), NOTE_DTYPE)
        columns = np.array(rows, np.int64)
        for name, column in zip(("onset_ticks", "duration_ticks", "pitch"), columns.T, strict=False):
            array[name] = column
        if self.velocity_bins == 1:
            array["velocity"] = DEFAULT_VELOCITY
        else:  # the centre of the bin, from any velocity in it
            lowest = 1 + -(-(columns[:, 3] - 1) * 127 // self.velocity_bins)
            array["velocity"] = edit.velocity_bin(lowest, self.velocity_bins)
        array["string"], array["fret"], array["spelling"] = 0, -1, -128
        is_drums = program == DRUMS
        return Track(program=0 if is_drums else program, is_drums=is_drums, notes=array)


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────


def _only_sounding() -> Edit:
    steps = (
        edit.drop_bends(),
        edit.drop_techniques(),
        edit.drop_frets(),
        edit.drop_voices(),
        edit.drop_spelling(),
        edit.drop_controls(),
        edit.drop_written(),
        edit.drop_field("", bars=(), markers=(), title="", composer=""),
    )
    return Edit(
        "drops all but sounding notes: bends, techniques, strings and frets, voices, spelling, controllers, written "
        "note values, repeats, markers, title and composer",
        lambda score: project(score, steps),
    )


def _last(score: Score) -> int:
    return max((track.end_ticks for track in score.tracks), default=0)


def _one_track_a_program(score: Score) -> Score:
    groups: dict[int, list[np.ndarray]] = {}
    for track in score.tracks:
        if len(track):
            groups.setdefault(DRUMS if track.is_drums else track.program, []).append(track.notes)
    tracks = tuple(
        Track(program=0 if program == DRUMS else program, is_drums=program == DRUMS, notes=np.concatenate(parts))
        for program, parts in sorted(groups.items())
    )
    return replace(score, tracks=tracks, length_ticks=score.length_ticks if tracks else 0)


def _at_least_a_step(score: Score) -> Score:
    def change(track: Track) -> Track:
        notes = track.notes.copy()
        notes["duration_ticks"] = 1 if track.is_drums else np.maximum(notes["duration_ticks"], 1)
        return track.with_notes(notes)

    return score.map_tracks(change)


def _without_overlap(score: Score) -> Score:
    def change(track: Track) -> Track:
        notes = track.notes.copy()
        order = np.lexsort([notes["onset_ticks"], notes["pitch"]])
        rows = notes[order]
        room = np.diff(rows["onset_ticks"])
        same = np.diff(rows["pitch"]) == 0
        rows["duration_ticks"][:-1] = np.where(
            same, np.minimum(rows["duration_ticks"][:-1], room), rows["duration_ticks"][:-1]
        )
        notes[order] = rows
        return track.with_notes(notes)

    return score.map_tracks(change)
