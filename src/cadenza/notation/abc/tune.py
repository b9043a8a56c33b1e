"""One tune's lines → a Score: header, directives, voices, and the maps that its first voice draws.

Read: all fields and directives that sound or name something. Kept as they stand, unplayed: ``P:`` (a label becomes a
marker; the order in which a header's ``P:`` would play the parts is not followed), repeats and endings (as marks of
bars; ``unfold`` writes them out). Left out: macros, symbol lines, page layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cadenza.base.errors import LimitError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.notation.abc.assembling import DRUM_CHANNEL, MAX_RESOLUTION, Frame, assemble
from cadenza.notation.abc.parser import Halt, Music, bar_problems
from cadenza.notation.abc.pitches import KeySignature, parse_key
from cadenza.notation.abc.problems import Problem
from cadenza.notation.abc.text import TuneText, split_tunes, unescape, without_comment
from cadenza.notation.abc.values import default_unit, parse_metre, parse_tempo, parse_unit
from cadenza.notation.abc.voices import DURATION, ONSET, UNITS, Voice, align, pitch_of
from cadenza.score.model import Score

WORDS_A_FIELD = 4  # a field is as much work as so many notes
LONGEST = 1 << 61  # units that a tune may last: sums of them still are 64-bit numbers
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
        self.unit: Fraction | None = None
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
        self.music.count(align(voice, text))

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
            start = Voice("")
            start.set_unit(self.unit or default_unit(self.metre))
            self._tempo(self.tempo_text[0], start)
            first.marks += [(0, kind, values, text, 0) for kind, values, text in start.pending_marks]
        if self.metre is not None:
            self.metres[0] = self.metres.get(0, self.metre)
        if self.key.fifths is not None:
            self.keys[0] = self.keys.get(0, self.key)
        n_notes = sum(len(voice.notes) + sum(len(group[0]) for group in voice.graces) for voice in voices)
        self.limits.check("notes", n_notes)
        latest = max((row[ONSET] + row[DURATION] for voice in voices for row in voice.notes), default=0)
        latest = max(latest, *(voice.time for voice in voices))
        self.limits.check("quarters", latest // UNITS)
        if latest > LONGEST:
            raise LimitError(f"at most {LONGEST // UNITS:,} quarters", f"{latest // UNITS:,}")
        for index, voice in enumerate(voices):
            if voice.program is None:
                channel = voice.channel or (index + 1 if index < DRUM_CHANNEL - 1 else index + 2)
                voice.program = self.channel_programs.get(channel, 0)
        frame = Frame(
            self.title,
            self.composer,
            self.tempos,
            self.metres,
            {at: (key.fifths or 0, key.mode) for at, key in self.keys.items()},
            self.markers,
            self.music.directions,
        )
        score, inexact = assemble(voices, frame)
        if inexact:
            self.music.warn(f"times that {MAX_RESOLUTION:,} ticks a quarter hold", f"1/{inexact} of a quarter, rounded")
        return score
