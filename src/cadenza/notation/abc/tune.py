"""One tune's lines → a Score: header, directives, voices, and the maps that its first voice draws.

Read: all fields and directives that sound or name something. Kept as they stand, unplayed: ``P:`` (a label becomes a
marker; the order in which a header's ``P:`` would play the parts is not followed), repeats and endings (as marks of
bars; ``unfold`` writes them out). Left out: macros, symbol lines, page layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd, lcm
from typing import Any

import numpy as np

from cadenza.base.errors import LimitError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.notation.abc.parser import Halt, Music, bar_problems
from cadenza.notation.abc.pitches import KeySignature, parse_key
from cadenza.notation.abc.problems import Problem
from cadenza.notation.abc.text import TuneText, split_tunes, unescape, without_comment
from cadenza.notation.abc.values import default_unit, parse_metre, parse_tempo, parse_unit
from cadenza.notation.abc.voices import DURATION, ONSET, UNITS, BarLine, Voice, pitch_of
from cadenza.score.model import (
    NO_FRET,
    NO_SPELLING,
    NO_STRING,
    NOTE_DTYPE,
    BarMark,
    Key,
    Marker,
    Metre,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.time import DEFAULT_METRE, bar_ticks
from cadenza.score.written import Mark

TICKS_PER_QUARTER = 960
WORDS_A_FIELD = 4  # a field is as much work as so many notes
LONGEST = 1 << 61  # units that a tune may last: sums of them still are 64-bit numbers
GRACES_PER_QUARTER = 8
COARSEST_OF_ALL = 60_480  # ticks a quarter where none is exact
DRUM_CHANNEL = 10
_FIELD = re.compile(r"([A-Za-z+]):")
_PROPERTY = re.compile(r'([A-Za-z-]+)\s*=\s*("[^"]*"?|\S+)|(\S+)')
_DRUM_NOTE = re.compile(r"(\^\^|\^|__|_|=)?([A-Ga-g])([,']*)\s+(\d{1,3})")
_CLEF_OCTAVE = re.compile(r"[a-zA-Z]+\d?([+-])(8|15)$")


@dataclass(frozen=True)
class Tune:
    """A tune that was read.

    Args:
        number: of its X: field.
        problems: what was odd, in order of place; in lenient mode also what was repaired.
    """

    number: int
    score: Score
    problems: tuple[Problem, ...] = ()


def read_tune(text: TuneText, header: Iterable[str] = (), strict: bool = True, limits: Limits = DEFAULT_LIMITS) -> Tune:
    """The tune that the lines say.

    Raises:
        NotationError: (strict) the first error, with line, column, what was expected and found.
        LimitError: it passes ``limits``.
    """
    reader = _Reader(strict, limits)
    try:
        for line in header:
            reader.header_line(line)
        reader.read(text)
        score = reader.score()
    except Halt as halt:
        raise halt.problem.error() from None
    problems = reader.music.problems + [p for voice in reader.voices.values() for p in bar_problems(voice)]
    return Tune(text.number, score, tuple(sorted(problems, key=lambda p: (p.line, p.column))))


def read_tunes(text: str, strict: bool = True, limits: Limits = DEFAULT_LIMITS) -> list[Tune]:
    """All tunes of a book; see :func:`read_tune`."""
    header, tunes = split_tunes(text)
    return [read_tune(tune, header, strict, limits) for tune in tunes]


def check(text: str, limits: Limits = DEFAULT_LIMITS) -> list[Problem]:
    """Everything wrong with a text: errors, bars that do not add up, warnings; in order of place.

    Raises:
        LimitError: it passes ``limits``.
    """
    return [problem for tune in read_tunes(text, False, limits) for problem in tune.problems]


class _Reader:
    def __init__(self, strict: bool, limits: Limits) -> None:
        self.limits = limits
        self.music = Music(strict, limits, self._inline)
        self.voices: dict[str, Voice] = {}
        self.current: Voice | None = None
        self.in_header = True
        self.metre: tuple[int, int] | None = None
        self.unit = None
        self.key = KeySignature()
        self.defaults: dict[str, Any] = {"program": None, "channel": None, "shift": 0}
        self.channel_programs: dict[int, int] = {}
        self.title = self.composer = ""
        self.tempos: dict[int, float] = {}
        self.metres: dict[int, tuple[int, int]] = {}
        self.keys: dict[int, KeySignature] = {}
        self.markers: list[tuple[int, str]] = []
        self.tempo_text: tuple[str, int] | None = None
        self.has_key = False

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────

    def header_line(self, line: str) -> None:
        """A line of the file's header: defaults for the tune."""
        if line.startswith("%%"):
            self._directive(line[2:])
        elif line[:1] in "MLUIQ" and line[1:2] == ":":
            self._field(line[0], without_comment(line[2:]))

    def read(self, text: TuneText) -> None:
        """All lines of the tune."""
        music = self.music
        for index, line in enumerate(text.lines):
            music.line_number, music.column = text.first_line + index, 0
            if line.startswith("%%"):
                self._directive(without_comment(line[2:]))
                continue
            if line.startswith("I:"):
                self._directive(without_comment(line[2:]))
                continue
            line = without_comment(line)
            if not line.strip():
                continue
            match = _FIELD.match(line)
            if match and not (not self.in_header and line[0] in "ABCDEFGabcdefg" and line[2:3] in ("|", ":")):
                self._field(match[1], line[2:])
                continue
            if self.in_header:
                music.wrong("a header field, K: the last of them", repr(line[:20]), "music from there on")
                self._end_header()
            if not line.lstrip().startswith("[V:"):
                self._into_music()
            music.read_line(line, text.first_line + index)
        if self.in_header:
            music.wrong("K: at the end of the header", "the end of the tune", "taken as K:none")
            self._end_header()
        for voice in self.voices.values():
            music.voice = voice
            music.finish()

    def _into_music(self) -> None:
        if self.current is None:
            self.current = next(iter(self.voices.values()), None) or self._voice("1")
        self.music.voice = self.current
        self.current.used = True

    # ── fields ───────────────────────────────────────────────────────────────────────────────────────────

    def _inline(self, letter: str, text: str) -> None:
        self._field(letter, text, inline=True)

    def _field(self, letter: str, text: str, inline: bool = False) -> None:
        self.music.count(WORDS_A_FIELD)
        method = getattr(self, "_field_" + letter, None) if letter != "+" else None
        if method is not None:
            method(text)
        if letter == "V" and inline and self.current is not None:
            self.music.voice = self.current
            self.current.used = True
            self.current.sung, self.current.verse = [], 0

    def _field_T(self, text: str) -> None:
        self.title = self.title or unescape(text)

    def _field_C(self, text: str) -> None:
        self.composer = self.composer or unescape(text)

    def _field_X(self, text: str) -> None:
        if not re.fullmatch(r"\s*\d{0,9}\s*", text):
            self.music.wrong("a number after X:", repr(text.strip()[:20]), "taken as 0")

    def _field_M(self, text: str) -> None:
        try:
            metre = parse_metre(text)
        except ValueError:
            self.music.wrong("a metre such as 4/4, C, C| or none", repr(text.strip()[:20]), "left out")
            return
        if self.in_header:
            self.metre = metre
            return
        voice = self._now()
        voice.metre = metre
        if metre is not None:
            self.metres.setdefault(voice.time, metre)

    def _field_L(self, text: str) -> None:
        try:
            unit = parse_unit(text)
        except ValueError:
            self.music.wrong("a unit length such as 1/8", repr(text.strip()[:20]), "left out")
            return
        if self.in_header:
            self.unit = unit
        else:
            self._now().set_unit(unit)

    def _field_Q(self, text: str) -> None:
        if self.in_header:
            self.tempo_text = (text, self.music.line_number)
            return
        voice = self._now()
        self._tempo(text, voice)

    def _tempo(self, text: str, voice: Voice) -> None:
        try:
            quarters, words = parse_tempo(text, voice.unit)
        except ValueError:
            self.music.wrong("a tempo such as 1/4=120", repr(text.strip()[:20]), "left out")
            return
        if quarters is not None:
            self.tempos.setdefault(voice.time, quarters)
        if words:
            voice.pending_marks.append(("text", (), unescape(words)))

    def _field_P(self, text: str) -> None:
        if self.in_header:
            if text.strip():
                self.music.warn("parts in their written order", f"P:{text.strip()[:20]}, which is not followed")
            return
        voice = self._now()
        if voice is next(iter(self.voices.values())) and text.strip():
            self.markers.append((voice.time, unescape(text)))

    def _field_U(self, text: str) -> None:
        symbol, _, meaning = text.partition("=")
        symbol, meaning = symbol.strip(), meaning.strip().strip("!+")
        if re.fullmatch("[~H-Wh-w]", symbol):
            self.music.symbols[symbol] = "" if meaning in ("nil", "none") else meaning
            if not self.music.symbols[symbol]:
                self.music.symbols[symbol] = "courtesy"
        else:
            self.music.wrong("U: with a letter of H–W or h–w", repr(text.strip()[:20]), "left out")

    def _field_K(self, text: str) -> None:
        try:
            key, rest = parse_key(text)
        except ValueError:
            self.music.wrong("a key such as C, F#m, D dor or none", repr(text.strip()[:20]), "taken as C")
            key, rest = KeySignature((0,) * 7, 0, "major"), ""
        if self.in_header:
            self.has_key = True
            self.key = key or KeySignature()
            self._end_header()
            for voice in self.voices.values():
                self._properties(voice, rest, of_key=True)
            self.defaults["key_rest"] = rest
            return
        voice = self._now()
        if key is not None:
            voice.set_key(key)
            if key.fifths is not None:
                self.keys.setdefault(voice.time, key)
        self._properties(voice, rest, of_key=True)

    def _field_V(self, text: str) -> None:
        words = text.strip().split(maxsplit=1)
        if not words:
            self.music.wrong("a voice's name after V:", "none", "left out")
            return
        if words[0] == "*":
            return
        if self.music.chord is not None:
            self.music.wrong("']' before another voice", "V:", "closed there")
            self.music._close_chord("", False)
        voice = self._voice(words[0])
        if len(words) > 1:
            self._properties(voice, words[1])
        self.current = voice
        if not self.in_header:
            self.music.voice = voice

    def _field_w(self, text: str) -> None:
        if self.in_header or self.current is None:
            return
        voice = self.current
        voice.verse += 1
        self.music.count(_align(voice, text))

    def _now(self) -> Voice:
        self._into_music()
        assert self.current is not None
        return self.current

    def _end_header(self) -> None:
        self.in_header = False
        for voice in self.voices.values():
            self._begin(voice)
        self.current = None

    def _begin(self, voice: Voice) -> None:
        voice.metre = self.metre
        voice.set_unit(self.unit or default_unit(self.metre))
        voice.set_key(self.key)

    def _voice(self, name: str) -> Voice:
        voice = self.voices.get(name)
        if voice is None:
            self.limits.check("tracks", len(self.voices) + 1)
            voice = self.voices[name] = Voice(name, "" if name.isdecimal() else unescape(name)[:60])
            voice.program, voice.channel = self.defaults["program"], self.defaults["channel"]
            voice.shift = self.defaults["shift"]
            if not self.in_header:
                self._begin(voice)
                self._properties(voice, self.defaults.get("key_rest", ""), of_key=True)
        return voice

    def _properties(self, voice: Voice, text: str, of_key: bool = False) -> None:
        """``name="…" clef=… transpose=… octave=…`` of V: and K:."""
        transposition = None
        octaves: int | None = None
        clef_octaves: int | None = None
        for match in _PROPERTY.finditer(text[:2000]):
            key, value, bare = match.groups()
            value = (value or "").strip('"')
            if key in ("name", "nm"):
                voice.title = unescape(value)
            elif key in ("transpose", "octave") and re.fullmatch(r"[+-]?\d{1,2}", value):
                if key == "transpose":
                    transposition = int(value)
                else:
                    octaves = int(value)
            elif key == "clef" or (bare and not key):
                word = value if key else bare
                if word == "merge":
                    voice.merges = True
                if word == "perc":
                    voice.channel = DRUM_CHANNEL
                found = _CLEF_OCTAVE.match(word.strip('"'))
                if found:
                    clef_octaves = (1 if found[1] == "+" else -1) * (1 if found[2] == "8" else 2)
        if transposition is not None or octaves is not None or clef_octaves is not None:
            new = (transposition or 0) + 12 * ((octaves or 0) + (clef_octaves or 0))
            voice.shift += new - voice.transposition
            voice.transposition = new

    # ── directives ───────────────────────────────────────────────────────────────────────────────────────

    def _directive(self, text: str) -> None:
        self.music.count(WORDS_A_FIELD)
        words = text.split(maxsplit=8)
        if not words:
            return
        name, rest = words[0], words[1:]
        if name == "MIDI" and rest:
            self._midi(rest[0].lower(), rest[1:])
        elif name == "octave-default" and rest:
            match = re.fullmatch(r"[A-Ga-g](-?\d)", rest[0])
            if match is None:
                self.music.wrong("an octave such as C4", repr(rest[0][:20]), "left out")
            else:
                self._set("shift", 12 * (int(match[1]) - 4))
        elif name == "propagate-accidentals" and rest and rest[0] in ("not", "octave", "pitch"):
            self.music.propagate = rest[0]
        elif name == "deco" and rest and len(self.music.defined) < 1000:
            self.music.defined.add(rest[0])

    def _midi(self, name: str, words: list[str]) -> None:
        numbers = [int(w) for w in words if re.fullmatch(r"-?\d{1,4}", w)]
        if name == "program" and numbers:
            if len(numbers) > 1 and 1 <= numbers[0] <= 16:
                self.channel_programs[numbers[0]] = numbers[1] % 128
            else:
                self._set("program", numbers[0] % 128)
        elif name == "channel" and numbers:
            self._set("channel", numbers[0])
        elif name == "transpose" and numbers and abs(numbers[0]) < 100:
            self._set("shift", numbers[0])
        elif name == "drummap":
            match = _DRUM_NOTE.fullmatch(" ".join(words))
            if match and int(match[4]) < 128:
                _, _, natural = pitch_of(match[2], match[3])
                natural += {"^": 1, "^^": 2, "_": -1, "__": -2}.get(match[1] or "", 0)
                voices = [self.current] if self.current else list(self.voices.values())
                for voice in voices or [self._voice("1")]:
                    voice.drum_map[natural] = int(match[4])

    def _set(self, name: str, value: int) -> None:
        """For the current voice; before any voice, for all."""
        if self.current is not None:
            setattr(self.current, name, value + (self.current.transposition if name == "shift" else 0))
        else:
            self.defaults[name] = value
            for voice in self.voices.values():
                setattr(voice, name, value)

    # ── the score ────────────────────────────────────────────────────────────────────────────────────────

    def score(self) -> Score:
        """What was read, at the resolution that makes it exact."""
        voices = list(self.voices.values()) or [self._voice("1")]
        first = voices[0]
        if self.tempo_text is not None:
            self.music.line_number, self.music.column = self.tempo_text[1], 0
            template = Voice("")
            template.set_unit(self.unit or default_unit(self.metre))
            self._tempo(self.tempo_text[0], template)
            self.tempos = {**self.tempos, 0: self.tempos[0]} if 0 in self.tempos else self.tempos
        if self.metre is not None:
            self.metres[0] = self.metres.get(0, self.metre)
        if self.key.fifths is not None:
            self.keys[0] = self.keys.get(0, self.key)
        ends = [voice.time for voice in voices]
        self.limits.check("notes", sum(len(v.notes) + sum(len(g[0]) for g in v.graces) for v in voices))
        latest = max((row[ONSET] + row[DURATION] for voice in voices for row in voice.notes), default=0)
        latest = max(latest, *ends)
        self.limits.check("quarters", latest // UNITS)
        if latest > LONGEST:
            raise LimitError(f"at most {LONGEST // UNITS:,} quarters", f"{latest // UNITS:,}")
        bars = _bar_starts(first, max(ends))
        columns = [np.array(voice.notes, np.int64).reshape(-1, 7) for voice in voices]
        times = [*ends, *self.tempos, *self.metres, *self.keys, *(at for at, *_ in bars)]
        ticks = self._resolution(columns, times)

        def at(time: int) -> int:
            return (2 * time * ticks + UNITS) // (2 * UNITS)

        tracks: list[tuple[Voice, list[np.ndarray], list[Mark], int]] = []
        for index, (voice, rows) in enumerate(zip(voices, columns, strict=True)):
            notes = _to_ticks(rows, voice, ticks, at)
            marks = [Mark(at(t), kind, overlay, 0, -1, values, text) for t, kind, values, text, overlay in voice.marks]
            if voice.merges and tracks:
                owner, arrays, kept, n_voices = tracks[-1]
                notes["voice"] += n_voices
                kept += [_in_voice(mark, n_voices) for mark in marks]
                tracks[-1] = owner, [*arrays, notes], kept, n_voices + 1
            else:
                program = self._program(voice, index)
                voice.program = program
                top = 1 + int(notes["voice"].max(initial=0))
                tracks.append((voice, [notes], marks, top))
        built = []
        for voice, arrays, marks, _ in tracks:
            notes = np.concatenate(arrays)
            drums = voice.channel == DRUM_CHANNEL
            if drums:
                notes["spelling"] = NO_SPELLING
            built.append(
                Track(voice.title, 0 if drums else voice.program or 0, drums, notes=notes, marks=tuple(marks))
            )
        metres = _changes([Metre(at(t), *m) for t, m in sorted(self.metres.items())])
        return Score(
            tracks=tuple(built),
            ticks_per_quarter=ticks,
            tempos=tuple(Tempo(at(t), q) for t, q in self.tempos.items()),
            metres=metres,
            keys=tuple(Key(at(t), k.fifths, k.mode) for t, k in self.keys.items()),  # type: ignore[arg-type]
            bars=_bar_marks([(at(t), *r) for t, *r in bars], metres, ticks, self._directions(bars, at)),  # type: ignore[misc]
            markers=tuple(Marker(at(t), text) for t, text in self.markers),
            title=self.title,
            composer=self.composer,
            length_ticks=at(max(ends)),
        )

    def _directions(self, bars: list[Any], at: Any) -> dict[int, set[str]]:
        """Tick of a bar's start → the directions said in it."""
        out: dict[int, set[str]] = {}
        starts = np.array([bar[0] for bar in bars], np.int64)
        for time, name in self.music.directions:
            bar = int(np.searchsorted(starts, time, side="right")) - 1
            out.setdefault(at(int(starts[max(bar, 0)])), set()).add(name)
        return out

    def _program(self, voice: Voice, index: int) -> int:
        if voice.program is not None:
            return voice.program
        channel = voice.channel or (index + 1 if index < 9 else index + 2)
        return self.channel_programs.get(channel, 0)

    def _resolution(self, columns: list[np.ndarray], times: list[int]) -> int:
        """960 ticks a quarter or the least multiple of it at which every time is whole."""
        shared = UNITS
        for time in times:
            shared = gcd(shared, time)
        for rows in columns:
            if len(rows):
                shared = gcd(shared, int(np.gcd.reduce(rows[:, :2], axis=None)))
        needed = UNITS // shared
        for base in (TICKS_PER_QUARTER, GRACES_PER_QUARTER):
            if lcm(base, needed) <= 65_535:
                return lcm(base, needed)
        self.music.warn("times that 65,535 ticks a quarter hold", f"parts of 1/{needed} of a quarter, which are rounded")
        return COARSEST_OF_ALL


def _changes(metres: list[Metre]) -> tuple[Metre, ...]:
    """Without those that repeat what holds; where such a one is no bar line by itself, the bar's mark says so."""
    out: list[Metre] = []
    for metre in metres:
        if not out or (out[-1].numerator, out[-1].denominator) != (metre.numerator, metre.denominator):
            out.append(metre)
    return tuple(out)


def _in_voice(mark: Mark, voice: int) -> Mark:
    from dataclasses import replace

    return replace(mark, voice=min(mark.voice + voice, 127))


def _to_ticks(rows: np.ndarray, voice: Voice, ticks: int, at: Any) -> np.ndarray:
    """The voice's rows as notes, its grace notes before the notes that they lead to."""
    own = np.zeros(len(rows), NOTE_DTYPE)
    if len(rows):
        if UNITS % ticks == 0:
            exact = UNITS // ticks
            onsets, ends = rows[:, 0] // exact, (rows[:, 0] + rows[:, 1]) // exact
        else:
            onsets = np.array([at(int(t)) for t in rows[:, 0]], np.int64)
            ends = np.array([at(int(t)) for t in rows[:, 0] + rows[:, 1]], np.int64)
        own["onset_ticks"], own["duration_ticks"] = onsets, np.maximum(ends - onsets, 1)
        own["pitch"], own["velocity"], own["techniques"] = rows[:, 2], rows[:, 3], rows[:, 4]
        own["voice"], own["spelling"] = rows[:, 5], rows[:, 6]
    graces: list[tuple[int, ...]] = []
    if voice.graces:
        overlays = {overlay for _, _, overlay, _ in voice.graces}
        onsets_of = {o: np.unique(own["onset_ticks"][own["voice"] == o]) for o in overlays}
    for group, time, overlay, velocity in voice.graces:
        place = at(time)
        onsets = onsets_of[overlay]
        row = int(np.searchsorted(onsets, place))
        before = int(onsets[row - 1]) if row else 0
        for (onset, length), (pitch, spelling) in zip(
            grace_places(before, place, len(group), ticks), group, strict=True
        ):
            graces.append(
                (onset, length, pitch, velocity, NO_STRING, NO_FRET, int(Technique.GRACE), overlay, spelling)
            )
    own["string"], own["fret"] = NO_STRING, NO_FRET
    return np.concatenate([own, np.array(graces, NOTE_DTYPE)])


def grace_places(before: int, place: int, count: int, ticks_per_quarter: int) -> list[tuple[int, int]]:
    """(onset, duration) of ``count`` grace notes: a 32nd each, up to ``place``, where a note begins.

    They are shorter where they would reach back to ``before``, the last onset before it in their voice; where there is
    no room at all they begin together with the note.
    """
    length = min(ticks_per_quarter // GRACES_PER_QUARTER, (place - before) // (count + 1))
    if length < 1:
        return [(place, ticks_per_quarter // GRACES_PER_QUARTER)] * count
    return [(place - (count - i) * length, length) for i in range(count)]


def _bar_starts(voice: Voice, end: int) -> list[tuple[int, bool, int, tuple[int, ...]]]:
    """(start, repeat opens, repeat closes, endings) of each bar."""
    out: list[list[Any]] = []
    volta: tuple[int, ...] = ()
    lines = voice.bar_lines
    if not lines or lines[0].at != 0:
        lines = [BarLine(0), *lines]
    for line in lines:
        if line.close and out:
            out[-1][2] = line.close
        if line.ends_volta:
            volta = line.volta
        elif line.volta:
            volta = line.volta
        if line.at < end or not out:
            out.append([line.at, line.opens, 0, volta])
    return [tuple(bar) for bar in out]  # type: ignore[misc]


def _bar_marks(
    bars: list[tuple[int, bool, int, tuple[int, ...]]],
    metres: tuple[Metre, ...],
    ticks_per_quarter: int,
    directions: dict[int, set[str]],
) -> tuple[BarMark, ...]:
    """Marks of the bars that are special or that do not follow from the metres."""
    changes = {metre.onset_ticks: metre for metre in metres}
    rest = sorted(changes)
    out = []
    anchor, metre, following = 0, changes.get(0, Metre(0, *DEFAULT_METRE)), 0
    for start, opens, close, endings in bars:
        while following < len(rest) and rest[following] <= start:
            anchor, metre = rest[following], changes[rest[following]]
            following += 1
        implied = start == anchor or (start - anchor) % bar_ticks(metre, ticks_per_quarter) == 0
        said = tuple(directions.get(start, ()))
        if opens or close or endings or said or not implied:
            out.append(BarMark(start, opens, close, endings, said))
        if not implied:
            anchor = start
    return tuple(out)


def _align(voice: Voice, text: str) -> int:
    """Syllables of w: to the notes of the line of music before it; how many words it had."""
    places = voice.sung
    at = n_words = 0
    for match in re.finditer(r"(\\-|[^\s|*_-])+|[|*_]|-", text):
        token = match[0]
        n_words += 1
        if token == "|":
            while at < len(places) and places[at] >= 0:
                at += 1
            at += 1
            continue
        while at < len(places) and places[at] < 0:
            at += 1
        if at >= len(places):
            break
        if token == "-":
            before = text[match.start() - 1 : match.start()]
            if before and before not in " -":
                continue  # ends the syllable before it
            at += 1
            continue
        if token not in "*_":
            syllable = unescape(token.replace("~", " ").replace("\\-", "-"))
            hyphen = "-" if text[match.end() : match.end() + 1] == "-" else ""
            voice.marks.append((places[at], "lyric", (voice.verse,), syllable + hyphen, 0))
        at += 1
    return n_words
