"""Simplified MIDI: one word a note, ``p57:v95:d960:t0``, in the published profile and in ours.

The published profile is the text of the guitar and piano fine-tunes: pitch, velocity, duration, ticks to the next
note's onset and, where bends are kept, a 46-level bend code; no header, all tracks in one stream. What that loses is
declared in :attr:`SimplifiedMidi.projection`. A bend that moves inside a note is written, as published, by further
words of the same pitch, which read back as notes struck again.

The ``cadenza`` profile adds one header line (resolution ``q``, tempos ``w``, metres ``m``, keys ``k``, bar lines that
the metre does not imply ``|``, tracks ``i:g`` with tuning ``:s``, capo ``:c`` and name ``:n``, length ``l``), a running
word ``i`` that says which track the following notes belong to, a word ``t`` for a rest at the start of a line or bar
(the first onset), and bends inside the note's own word as pairs ``:o`` (ticks after the onset) ``:b`` (code or cents),
so that nothing is ambiguous.

Options of the cadenza profile that models like: ``bars`` writes a word ``|`` at every bar line, and ``t`` then counts
to the next note *or* bar line, so that equal bars are equal texts; ``compact`` leaves out what repeats;
``header="first"`` keeps only resolution, first tempo and metre, and the tracks' programs; ``durations="table"`` rounds
long durations to a short list; ``streams="split"`` tells of each bar first the rhythm, then pitches, velocities and
bends (:mod:`cadenza.notation.simplified.streams`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import quote, unquote

import numpy as np

from cadenza.base.errors import ConfigError, NotationError
from cadenza.notation.grammar import END, NEWLINE, Field, Grammar, fields_of
from cadenza.notation.layout import Layout, order_notes
from cadenza.notation.simplified import bends as bend_codes
from cadenza.notation.simplified import projection as losses
from cadenza.notation.simplified import streams
from cadenza.notation.simplified.frame import Frame
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.notation.simplified.ids import FieldIds
from cadenza.score.edit import Edit, project
from cadenza.score.model import NOTE_DTYPE, BarMark, Key, Note, Score, Tempo, Track
from cadenza.score.time import bar_table

DRUMS = 128  # "program" of a drum track in the header
DEFAULT_VELOCITY = 95
DEFAULT_TICKS_PER_QUARTER = 480  # of a text that does not say


_BITS = np.array([1, 2, 4, 8, 16])
_TEMPLATES = [
    "".join(part for bit, part in zip(_BITS, ("i%d ", "p%d", ":v%d", ":d%d", ":t%d"), strict=True) if code & bit)
    for code in range(32)
]


class _Told(NamedTuple):
    """Notes in telling order, columns of shape (n,): track's index, row in the track, and what is told."""

    track: np.ndarray
    row: np.ndarray
    onset: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    duration: np.ndarray

    @classmethod
    def of(cls, score: Score, order: np.ndarray) -> _Told:
        """The notes of ``order``, shape (n, 2): track, row."""
        if not len(order):
            return cls(*(np.zeros(0, np.int64) for _ in cls._fields))
        first = np.cumsum([0, *(len(track) for track in score.tracks)])
        place = first[order[:, 0]] + order[:, 1]
        every = np.concatenate([track.notes for track in score.tracks])[place]
        columns = (every[name].astype(np.int64) for name in ("onset_ticks", "pitch", "velocity", "duration_ticks"))
        return cls(order[:, 0], order[:, 1], *columns)


@dataclass(frozen=True)
class SimplifiedMidi:
    """Simplified MIDI with its options.

    Args:
        profile: "published" (no header) or "cadenza".
        layout: "interleaved" (one time line) or "by_track" (one line a track).
        bend: "none", "published" (46 codes) or "semitone" (cents; cadenza profile only).
        bend_step_cents: grid of the semitone code.
        velocity: "keep", "drop", "bins:N", or "auto:N" (drop where the music holds at most N distinct values).
        resolution: "file" (ticks as they are), "grid:N" (N ticks a quarter, rounding), or "flat:N" for performed
            music (one tempo of 120 throughout, N ticks a quarter: 500 = milliseconds, 96 = 5.21 ms).
        header: "full" or "first" (first tempo, metre and programs only). Cadenza profile only.
        bars: write bar words. Cadenza profile only.
        compact: leave out what repeats. Cadenza profile only.
        durations: "exact", or "table" (see :data:`~cadenza.notation.simplified.projection.DURATION_TABLE`).
        streams: "joint" (a word a note) or "split" (bar by bar, or line by line: rhythm, pitches, velocities, bends).
            Cadenza profile only.

    Raises:
        ConfigError: options that do not exist or do not go together.
    """

    profile: Literal["published", "cadenza"] = "cadenza"
    layout: Layout = "interleaved"
    bend: Literal["none", "published", "semitone"] = "semitone"
    bend_step_cents: int = 1
    velocity: str = "keep"
    resolution: str = "file"
    header: Literal["full", "first"] = "full"
    bars: bool = False
    compact: bool = False
    durations: Literal["exact", "table"] = "exact"
    streams: Literal["joint", "split"] = "joint"

    name: ClassVar[str] = "simplified-midi"
    unit_start: ClassVar[str] = r"(?<=[ \n])\|"
    joint: ClassVar[Literal[" ", "\n", ""]] = " "
    ticks_per_quarter: ClassVar[int] = DEFAULT_TICKS_PER_QUARTER
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"layout": "by_track"},
        {"bars": True},
        {"bars": True, "layout": "by_track", "compact": True},
        {"compact": True, "velocity": "drop"},
        {"bend": "published"},
        {"bend": "none", "velocity": "bins:8", "resolution": "grid:24", "durations": "table"},
        {"bars": True, "compact": True, "header": "first", "resolution": "grid:24", "durations": "table"},
        {"resolution": "flat:96", "velocity": "auto:1"},
        {"streams": "split"},
        {"streams": "split", "bars": True, "compact": True, "header": "first", "bend": "published"},
        {"streams": "split", "bars": True, "layout": "by_track", "velocity": "drop"},
        {"profile": "published", "bend": "none"},
        {"profile": "published", "bend": "published"},
        {"profile": "published", "bend": "published", "layout": "by_track", "velocity": "drop"},
        {"profile": "published", "bend": "none", "resolution": "flat:500", "velocity": "bins:4"},
    )

    def __post_init__(self) -> None:
        def choose(field: str, known: tuple[str, ...]) -> None:
            if getattr(self, field) not in known:
                raise ConfigError(f"{field} to be one of {', '.join(known)}", repr(getattr(self, field)))

        choose("profile", ("published", "cadenza"))
        choose("layout", ("interleaved", "by_track"))
        choose("bend", ("none", "published", "semitone"))
        choose("header", ("full", "first"))
        choose("durations", ("exact", "table"))
        choose("streams", ("joint", "split"))
        kind, count = losses.option(self.velocity, "velocity", ("keep", "drop", "bins", "auto"))
        if kind == "bins" and not 1 <= count <= 127:
            raise ConfigError("velocity bins:1 to bins:127", self.velocity)
        _, ticks = losses.option(self.resolution, "resolution", ("file", "grid", "flat"))
        if self.resolution != "file" and not 1 <= ticks <= 32_767:
            raise ConfigError("a resolution of 1 to 32767 ticks a quarter", self.resolution)
        if not 1 <= self.bend_step_cents <= 100:
            raise ConfigError("a bend step of 1 to 100 cents", str(self.bend_step_cents))
        if self.profile == "published":
            ours = {"bars": self.bars, "compact": self.compact, 'header="first"': self.header == "first"}
            ours['bend="semitone"'] = self.bend == "semitone"
            ours['streams="split"'] = self.streams == "split"
            wrong = [name for name, on in ours.items() if on]
            if wrong:
                raise ConfigError("options of the published profile", ", ".join(wrong), hint='Use profile="cadenza".')

    @classmethod
    def published(cls, **options: Any) -> SimplifiedMidi:
        """The published profile (bends off unless asked for)."""
        return cls(**{"profile": "published", "bend": "none", **options})

    @property
    def has_velocity(self) -> bool:
        """Words carry ``:v``."""
        return self.velocity != "drop"

    @property
    def has_track_words(self) -> bool:
        """The text names tracks by the word ``i``."""
        return self.profile == "cadenza" and self.layout == "interleaved"

    def options(self) -> dict[str, Any]:
        """The fields of this value, as they are saved with a model."""
        return asdict(self)

    def resolve(self, scores: Iterable[Score]) -> SimplifiedMidi:
        """This notation with ``velocity="auto:N"`` settled over a corpus: "drop" or "keep"."""
        kind, most = losses.option(self.velocity, "velocity", ("keep", "drop", "bins", "auto"))
        if kind != "auto":
            return self
        seen: set[int] = set()
        for score in scores:
            seen.update(losses.velocities(score))
            if len(seen) > most:
                return replace(self, velocity="keep")
        return replace(self, velocity="drop")

    @property
    def projection(self) -> tuple[Edit, ...]:
        """What encoding changes, in order."""
        return losses.of(self)

    def grammar(self) -> Grammar:
        """The automaton over this notation's fields."""
        if self.streams == "split":
            return Grammar(self.name, lambda: streams.SplitState(self))
        return Grammar(self.name, lambda: SimplifiedState(self))

    def fields(self, text: str) -> Iterator[Field]:
        """The fields of ``text``, line breaks included."""
        return fields_of(text)

    def vocabulary(self) -> list[str]:
        """Fields that get whole tokens in a model trained from scratch, by kind."""
        return losses.vocabulary(self)

    # ── Score → text ─────────────────────────────────────────────────────────────────────────────────────

    def encode(self, score: Score) -> str:
        """The text of ``score`` after :attr:`projection`. Lines are joined by line breaks; none at the end."""
        if self.streams == "split":
            return streams.split(streams.joint(self).encode(score), self)
        score = project(score, self.projection)
        kind, _ = losses.option(self.velocity, "velocity", ("keep", "drop", "bins", "auto"))
        settled = self.resolve([score]) if kind == "auto" else self
        if kind == "auto" and settled.velocity == "drop":
            settled = replace(self, velocity="keep")  # the projection has levelled it; the words still carry it
        every = list(range(len(score.tracks)))
        if self.layout == "interleaved":
            groups = [every]
        else:
            groups = [[index] for index in every]
        lines = [settled._line(score, group) for group in groups]
        if self.profile == "cadenza":
            last = max((track.end_ticks for track in score.tracks), default=0)
            lines.insert(0, self.header_line(score, score.tracks, last))
        return "\n".join(lines)

    def header_line(self, score: Score | Frame, tracks: Sequence[Track], last_ticks: int) -> str:
        """The first line of a text of the cadenza profile.

        Args:
            score: after the projection.
            tracks: its tracks, before or after the projection; their notes are not looked at.
            last_ticks: where the last note ends.
        """

        def at(onset: int) -> str:
            return f":o{onset}" if onset else ""

        words = [f"q{score.ticks_per_quarter}"]
        words += [f"w{_decimal(t.quarters_per_minute)}{at(t.onset_ticks)}" for t in score.tempos]
        words += [f"m{m.numerator}/{m.denominator}{at(m.onset_ticks)}" for m in score.metres]
        words += [f"k{k.fifths}{'m' if k.mode == 'minor' else ''}{at(k.onset_ticks)}" for k in score.keys]
        words += [f"|{mark.onset_ticks}" for mark in score.bars]
        for index, track in enumerate(tracks):
            word = f"i{index}:g{DRUMS if track.is_drums else track.program}"
            if self.header == "full":
                word += "".join(f":s{pitch}" for pitch in track.tuning)
                word += f":c{track.capo_fret}" if track.capo_fret else ""
                word += f":n{quote(track.name, safe='')}" if track.name else ""
            words.append(word)
        if score.length_ticks > last_ticks and not self.bars:
            words.append(f"l{score.length_ticks}")
        return " ".join(words)

    def ids(self, known: Mapping[str, int], tokenize: Callable[[str], list[int]]) -> FieldIds:
        """A function Score → ids: what ``tokenize`` gives for the text, but faster; ``known``: field → id."""
        return FieldIds(self, known, tokenize)

    def _line(self, score: Score, tracks: list[int]) -> str:
        told = _Told.of(score, order_notes(score, tracks, "pitch" if self.profile == "published" else "track"))
        onset, n = told.onset, len(told.onset)
        fresh = np.zeros(n, bool)  # the first note of a line or bar
        fresh[:1] = True
        before = [""] * n
        after = ""
        if not self.bars:
            step = np.diff(onset, append=onset[-1:])
            bar = np.zeros(n, np.int64)
            if self.profile == "cadenza" and n and onset[0]:
                before[0] = f"t{onset[0]} "
        else:
            table = bar_table(score)
            starts = table.starts_ticks[table.starts_ticks < score.length_ticks]
            bar = np.searchsorted(starts, onset, side="right") - 1
            fresh[1:] = np.diff(bar) > 0
            first = np.flatnonzero(fresh)
            step = np.diff(onset, append=0)
            last = np.append(first[1:], n)[: len(first)] - 1
            step[last] = table.ends_ticks[bar[last]] - onset[last]
            held, rest = bar[first], onset[first] - starts[bar[first]]
            for place, lines, ticks in zip(
                first.tolist(), np.diff(held, prepend=-1).tolist(), rest.tolist(), strict=True
            ):
                before[place] = "| " * lines + (f"t{ticks} " if ticks else "")
            after = " |" * (len(starts) - 1 - int(bar[-1])) if n else " |" * len(starts)
        return (self._words(score, told, bar, step, fresh, before) + after).removeprefix("" if n else " ")

    def _words(
        self, score: Score, told: _Told, bar: np.ndarray, step: np.ndarray, fresh: np.ndarray, before: list[str]
    ) -> str:
        """All words of the notes, each after its ``before``; one template a note, filled in at one go."""
        n = len(told.onset)
        says = np.ones((n, 5), bool)  # i, p, :v, :d, :t
        says[:, 0] = False
        if self.has_track_words:
            says[:, 0] = fresh | (np.diff(told.track, prepend=-1) != 0)
        if self.compact:
            order = np.argsort(told.track, kind="stable")
            again = np.diff(told.track[order], prepend=-1) == 0
            for column, values, within in ((2, told.velocity, None), (3, told.duration, bar)):
                same = again & (np.diff(values[order], prepend=-1) == 0)
                if within is not None:
                    same &= np.diff(within[order], prepend=-1) == 0
                says[order, column] = ~same
            says[:, 4] = step != 0
        if not self.has_velocity:
            says[:, 2] = False
        templates = [_TEMPLATES[code] for code in (says @ _BITS).tolist()]
        if any(before):
            templates = [start + word for start, word in zip(before, templates, strict=True)]
        if self.bend != "none":
            bent = np.full(n, self.profile == "published")
            for index, track in enumerate(score.tracks):
                if len(track.bends):
                    bent |= (told.track == index) & np.isin(told.row, track.bends["note"])
            for place in np.flatnonzero(bent).tolist():
                templates[place] += self._bend(score.tracks[told.track[place]], int(told.row[place]))
        numbers = np.stack([told.track, told.pitch, told.velocity, told.duration, step], axis=1)[says]
        return " ".join(templates) % tuple(numbers.tolist())

    def _bend(self, track: Track, row: int) -> str:
        points = track.bends_of(row) if len(track.bends) else ()
        if self.profile == "published":
            return f":b{bend_codes.cents_to_code(points[0].cents) if points else bend_codes.NO_BEND_CODE}"
        if self.bend == "published":
            return "".join(f":o{p.offset_ticks}:b{bend_codes.cents_to_code(p.cents)}" for p in points)
        return "".join(f":o{p.offset_ticks}:b{p.cents}" for p in points)

    # ── text → Score ─────────────────────────────────────────────────────────────────────────────────────

    def decode(self, text: str) -> Score:
        """The score that ``text`` says.

        Raises:
            NotationError: the text does not follow the grammar; says which word, what was expected and found.
        """
        if self.streams == "split":
            return streams.joint(self).decode(streams.joined(text, self))
        state = SimplifiedState(self)
        header: dict[str, list[Any]] = {"w": [], "k": [], "c": [], "n": []}
        notes: dict[int, list[tuple[int, ...]]] = {}
        bends: dict[int, list[tuple[int, int, int]]] = {}
        length = line_end = 0
        word = 0

        def collect(track: int, onset: int, said: dict[str, int], curve: list[tuple[int, int]]) -> None:
            rows = notes.setdefault(track, [])
            velocity = said.get("v", DEFAULT_VELOCITY)
            if curve:
                points = bends.setdefault(track, [])
                for offset, code in curve:
                    cents = code if self.bend == "semitone" else bend_codes.code_to_cents(code)
                    if not (self.profile == "published" and code == bend_codes.NO_BEND_CODE):
                        points.append((len(rows), offset, cents))
            rows.append((onset, said["d"], said["p"], velocity))

        for field in fields_of(text):
            kind = field.kind
            opens = not kind.startswith(":")
            word += opens
            was_header = state.in_header
            track, onset, note, curve = state.track, state.now_ticks, state.note, state.bend_points
            try:
                state.feed(field)
            except NotationError as error:
                raise error.at(f"word {word}") from None
            if opens and note is not None:
                collect(track, onset, note, curve)
            if was_header:
                length = _read_header(header, field, length, state)
            elif kind == NEWLINE:
                line_end = max(line_end, length)
        if not any(span.kind == END for span in state.allowed()):
            raise NotationError(state._expected(), "the end", where=f"word {word}")
        if state.note is not None:
            collect(state.track, state.now_ticks, state.note, state.bend_points)
        if self.bars:
            length = max(length, state.bar_end_ticks, line_end)
        n_tracks = state.n_tracks if notes or self.profile == "cadenza" else 0
        tracks = [
            Track(
                name=header["n"][t] if self.profile == "cadenza" else "",
                program=0 if self.profile == "published" or state.programs[t] == DRUMS else state.programs[t],
                is_drums=self.profile == "cadenza" and state.programs[t] == DRUMS,
                tuning=tuple(state.tunings[t]) if self.profile == "cadenza" else (),
                capo_fret=header["c"][t] if self.profile == "cadenza" else 0,
                notes=_note_rows(notes.get(t, [])),
                bends=np.array(bends.get(t, []), [("note", "i8"), ("offset_ticks", "i8"), ("cents", "i2")]),
            )
            for t in range(n_tracks)
        ]
        return Score(
            tracks=tuple(tracks),
            ticks_per_quarter=state.ticks_per_quarter,
            tempos=tuple(Tempo(onset, value) for onset, value in header["w"]),
            metres=tuple(state.metres),
            keys=tuple(Key(onset, fifths, mode) for onset, fifths, mode in header["k"]),
            bars=tuple(BarMark(onset) for onset in state.marks),
            length_ticks=length,
        )


def _note_rows(rows: list[tuple[int, ...]]) -> np.ndarray:
    out = np.zeros(len(rows), NOTE_DTYPE)
    blank = Track.of([Note(0, 0, 0)]).notes[0]
    if rows:
        out[:] = blank
        onset, duration, pitch, velocity = np.array(rows, np.int64).T
        out["onset_ticks"], out["duration_ticks"], out["pitch"], out["velocity"] = onset, duration, pitch, velocity
    return out


def _read_header(header: dict[str, list[Any]], field: Field, length: int, state: SimplifiedState) -> int:
    """Keep what the automaton itself does not."""
    kind, value = field
    if kind == "w":
        header["w"].append((0, float(value)))
    elif kind == "k":
        header["k"].append((0, int(value.rstrip("m")), "minor" if value.endswith("m") else "major"))
    elif kind == ":o" and state._word in "wk":
        header[state._word][-1] = (int(value), *header[state._word][-1][1:])
    elif kind == "i":
        header["c"].append(0)
        header["n"].append("")
    elif kind == ":c":
        header["c"][-1] = int(value)
    elif kind == ":n":
        try:
            header["n"][-1] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise NotationError("a name in percent-encoded UTF-8", repr(str(field)[:40])) from None
    elif kind == "l":
        length = int(value)
    return length


def _decimal(number: float) -> str:
    """Shortest decimal text that reads back as the same float, without an exponent."""
    return np.format_float_positional(number, trim="-")
