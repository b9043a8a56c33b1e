"""An untuned chat model as composer: a prompt in the published form, and the notes found in a chatty answer.

A model that was never taught a notation is told it: a persona, what the fields mean, how long a tick is, what is asked
of the music (:mod:`cadenza.corpus.prompts`, the very words that tuned models are trained with), the beginning of the
piece, and how many bars are wanted. What comes back is rarely the music alone: it is greeted and explained, set in
bold, numbered, in bullets, in tables, in fences, commented, in capitals, broken inside a word, short of a field.
:func:`find_notes` takes out the music:

* words such as ``p60:v80:d24:t24`` count wherever they stand, but in comments and in brackets with prose;
* what could be prose (``p60`` alone, ``t1``, ``|``) counts on lines that are at least half music;
* the given part said again at the beginning is left out;
* a missing duration or velocity is that of the note before on the same track (else a quarter, 80), a missing step is
  the note's duration, a bar that is too short is filled up, one that is too long ends where its bar line stands;
* what cannot be read as music (pitch 300) is left out.

Every repair is counted and reported: an answer that needed none followed the notation. A text that *is* the notation's
comes back note for note, whatever is wrapped around it (a property test). This is for scoring an untuned model beside a
tuned one; it is lenient on purpose and no reader of files.

    answer = continue_by_chat(seed, ask, PLAIN_NOTATION, bars=8)     # ask: messages → the model's answer
    answer.score, answer.repairs
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cadenza.base.errors import ConfigError
from cadenza.corpus.prompts import instruction, template
from cadenza.infer.prompt import put, read_seed
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.bends import NO_BEND_CODE, code_to_cents
from cadenza.score.edit import select_ticks
from cadenza.score.model import Bend, Metre, Note, Score, Tempo, Track
from cadenza.score.time import bar_ticks, metre_at

Message = Mapping[str, str]  # role and content, as chat templates take them
Ask = Callable[[Sequence[Message]], str]

MOST_CHARACTERS = 1_000_000
MOST_TICKS = 10_000_000
_DRUMS = 128
_MISSING_VELOCITY = 80

# ── the music in a text ──────────────────────────────────────────────────────────────────────────────────

_MARKUP = re.compile(r"[*`~\u200b]+")
_FENCE = re.compile(r"^\s*(?:```|~~~).*$", re.M)
_COMMENT = re.compile(
    r"<!--.*?-->|/\*.*?\*/|(?://|(?:^|(?<=\s))(?:--(?=\s)|#+(?=[^\S\n]|[A-Za-z])))[^\n]*", re.S | re.M
)
_BRACKETS = re.compile(r"\([^()]*\)")
_RULE = re.compile(r"\s*\|?[\s:|-]*-{3,}[\s:|-]*")
_NUMBERS = r"-?\d{1,9}"
_GLUE = r"\s*[:,;=]\s*"
#: Fields in one word; or, where a model leaves the colons out, velocity and duration after blanks.
_NOTE = rf"p[=]?\d{{1,4}}(?:(?:{_GLUE}[vdtob]=?{_NUMBERS})+|(?:\s+[vd]{_NUMBERS})(?:\s+[vdt]{_NUMBERS})*)?"
_HEADER = r"q\d{1,5}|w\d{1,4}(?:\.\d+)?|m\d{1,2}/\d{1,2}|i\d{1,3}\s*:\s*g\d{1,3}(?:\s*:\s*[scn][^\s:]*)*"
_MUSIC = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_HEADER}|{_NOTE}|i\d{{1,3}}|t\d{{1,9}})(?![A-Za-z0-9/.]*[A-Za-z0-9])|\|", re.I
)
_FIELD = re.compile(rf"([pvdtob])=?({_NUMBERS})", re.I)
_FULL = re.compile(r"p[=]?\d+.*[vdt]=?-?\d", re.I | re.S)
_NEUTRAL = re.compile(r"[^A-Za-z]*|(?:bars?|measures?|takt)[^A-Za-z]*", re.I)


def music_words(text: str) -> Iterator[str]:
    """The words of music in a text, in lower case, fields joined by colons."""
    text = _COMMENT.sub(" ", _FENCE.sub(" ", text[:MOST_CHARACTERS]))
    text = _MARKUP.sub("", text)
    text = _BRACKETS.sub(lambda found: " " if _is_prose(found[0]) else found[0].strip("()").join("  "), text)
    text = _without_tables(text)
    # A word that was broken at a colon is one word.
    text = re.sub(r"(?<=[0-9])\s*\n\s*(?=:\s*[vdtob]-?\d)|(?<=[0-9]:)\s*\n\s*(?=[vdtob]-?\d)", "", text, flags=re.I)
    for line in text.split("\n"):
        found = [match[0] for match in _MUSIC.finditer(line)]
        rest = _MUSIC.sub(" ", line).split()
        n_prose = sum(not _NEUTRAL.fullmatch(word) for word in rest)
        is_music = len(found) >= n_prose
        for word in found:
            if is_music or _FULL.match(word) or ":g" in word.lower():
                yield _plain(word)


def _is_prose(bracket: str) -> bool:
    return re.search(r"[A-Za-z]{3,}", _MUSIC.sub(" ", bracket)) is not None


def _without_tables(text: str) -> str:
    """Markdown tables without their bars, which are no bar lines."""
    lines = text.split("\n")
    in_table = [False] * len(lines)
    for number, line in enumerate(lines):
        if "|" in line and _RULE.fullmatch(line):
            for step in (-1, 1):
                at = number if step == 1 else number - 1
                while 0 <= at < len(lines) and lines[at].strip().startswith("|"):
                    in_table[at] = True
                    at += step
    return "\n".join(line.replace("|", " ") if table else line for line, table in zip(lines, in_table, strict=True))


def _plain(word: str) -> str:
    """``P60 , V80`` → ``p60:v80``; a track's name keeps its letters."""
    if word[:1] in "iI" and ":" in word:
        head, _, rest = word.partition(":")
        return f"{head.strip().lower()}:{re.split(r':', rest.strip())[0].strip().lower()}"
    if word[:1] in "pP":
        return ":".join(f"{kind.lower()}{int(value)}" for kind, value in _FIELD.findall(word))
    return word.lower()


# ── words → notes ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Found:
    """The music of an answer.

    Args:
        score: from time 0; tempo, metre and programs are the answer's own where it says them, else the context's.
        words: its words of music, in plain form, without the given part said again.
        repairs: what was repaired → how often; {} for a text that follows the notation.
    """

    score: Score = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    repairs: Mapping[str, int]


@dataclass
class _Reader:
    """Where in the music one is; reads one word after another."""

    notation: SimplifiedMidi
    ticks_per_quarter: int
    metre: Metre
    programs: list[int]
    tempo: float = 120.0
    now: int = 0
    track: int = 0
    bar_start: int | None = None
    last: dict[tuple[int, str], int] = field(default_factory=dict)
    notes: list[tuple[int, Note]] = field(default_factory=list)
    repairs: Counter[str] = field(default_factory=Counter)

    def read(self, word: str) -> None:
        kind = word[0]
        if kind == "p":
            self._note(word)
        elif kind == "|":
            self._bar_line()
        elif kind == "t":
            self._open_bar()
            self._advance(int(word[1:]))
        elif kind == "q":
            self.ticks_per_quarter = max(1, int(word[1:]))
        elif kind == "w":
            self.tempo = min(max(float(word[1:]), 10.0), 1000.0)
        elif kind == "m":
            above, _, below = word[1:].partition("/")
            if 1 <= int(above) <= 32 and int(below) in (1, 2, 4, 8, 16, 32):
                self.metre = Metre(0, int(above), int(below))
            else:
                self.repairs["metres that do not exist"] += 1
        elif kind == "i":
            self._track(word)

    def _track(self, word: str) -> None:
        head, _, program = word.partition(":g")
        index = int(head[1:])
        if program:
            while len(self.programs) <= index < 64:
                self.programs.append(0)
            if index < 64:
                self.programs[index] = min(int(program), _DRUMS)
        elif index < len(self.programs):
            self.track = index
        else:
            self.repairs["tracks that are not there"] += 1
            self.track = len(self.programs) - 1

    def _open_bar(self) -> None:
        if self.notation.bars and self.bar_start is None:
            self.bar_start = self.now
            self.repairs["bar lines missing"] += 1

    def _advance(self, ticks: int) -> None:
        if ticks < 0 or self.now + ticks > MOST_TICKS:
            self.repairs["steps out of range"] += 1
            return
        self.now += ticks

    def _bar_line(self) -> None:
        if not self.notation.bars:
            return
        if self.bar_start is None:
            self.bar_start = self.now
            return
        length = bar_ticks(self.metre, self.ticks_per_quarter)
        end = self.bar_start + length
        if self.now > end and (self.now - self.bar_start) % length == 0:
            self.repairs["bar lines missing"] += 1
            end = self.now
        elif self.now > end:
            self.repairs["bars too long"] += 1
        elif self.bar_start < self.now < end:
            self.repairs["bars too short"] += 1
        self.now = self.bar_start = end

    def close(self) -> None:
        """The end: a last bar is whole."""
        if self.notation.bars and self.bar_start is not None:
            length = bar_ticks(self.metre, self.ticks_per_quarter)
            short = (self.bar_start - self.now) % length
            if short:
                self.repairs["bars too short"] += 1
            self.now = max(self.now + short, self.bar_start + length)

    def _note(self, word: str) -> None:
        self._open_bar()
        said: dict[str, int] = {}
        curve: list[Bend] = []
        offset = 0
        for part in word.split(":"):
            kind, value = part[0], int(part[1:])
            if kind == "o":
                offset = value
            elif kind == "b":
                curve += self._bend(offset, value)
            else:
                said[kind] = value
        pitch = said["p"]
        if self.notation.has_velocity:
            velocity = self._said(said, "v", _MISSING_VELOCITY)
        else:
            velocity = 95
        if not 1 <= velocity <= 127:
            self.repairs["velocities out of range"] += 1
            velocity = min(max(velocity, 1), 127)
        duration = self._said(said, "d", self.ticks_per_quarter)
        if not 1 <= duration <= MOST_TICKS:
            self.repairs["durations out of range"] += 1
            duration = self.ticks_per_quarter
        if 0 <= pitch <= 127:
            curve = [point for point in curve if point.offset_ticks <= duration]
            places = [point.offset_ticks for point in curve]
            if sorted(set(places)) != places:
                self.repairs["bends out of order"] += 1
                curve = []
            self.notes.append((self.track, Note(self.now, duration, pitch, velocity, tuple(curve))))
        else:
            self.repairs["pitches out of range"] += 1
        step = said.get("t")
        if step is None:
            step = 0
            if not self.notation.compact:
                self.repairs["steps missing"] += 1
                step = duration
        self._advance(step)

    def _said(self, said: Mapping[str, int], kind: str, default: int) -> int:
        key = (self.track, kind)
        if kind in said:
            self.last[key] = said[kind]
            return said[kind]
        if not self.notation.compact or key not in self.last:
            self.repairs[{"v": "velocities missing", "d": "durations missing"}[kind]] += 1
        return self.last.get(key, default)

    def _bend(self, offset: int, value: int) -> list[Bend]:
        if self.notation.bend == "none" or (self.notation.profile == "published" and value == NO_BEND_CODE):
            return []
        try:
            cents = value if self.notation.bend == "semitone" else code_to_cents(value)
        except (ConfigError, ValueError, IndexError, KeyError):
            cents = 10**6
        if not -2400 <= cents <= 2400 or offset < 0:
            self.repairs["bends out of range"] += 1
            return []
        return [Bend(offset, cents)]


def find_notes(text: str, notation: SimplifiedMidi, *, given: str = "", context: Score | None = None) -> Found:
    """The music in ``text``, however it is wrapped.

    Args:
        notation: what the model was asked to write; on one time line.
        given: the text that it was asked to go on after (its header and bars), if it was.
        context: what holds where the answer does not say: resolution, tempo, metre, programs of its tracks.

    Raises:
        ConfigError: a notation whose lines are tracks, which a chat does not keep apart.
    """
    if notation.layout != "interleaved":
        raise ConfigError("a notation on one time line", "tracks line by line", hint='Use layout="interleaved".')
    reader = _Reader(notation, 480, Metre(0, 4, 4), [0])
    if context is not None:
        reader.ticks_per_quarter = context.ticks_per_quarter
        reader.metre = metre_at(context, 0)
        reader.tempo = context.tempos[0].quarters_per_minute if context.tempos else 120.0
        reader.programs = [_DRUMS if t.is_drums else t.program for t in context.tracks] or [0]
    before = list(music_words(given))
    words = list(music_words(text))
    said_again = 0
    if before:
        body = [word for word in before if not _is_header(word)]
        mine = [word for word in words if not _is_header(word)]
        if mine[: len(body)] == body:
            said_again = len(body)
            words = [*(word for word in words if _is_header(word)), *mine[len(body) :]]
    for word in before:
        reader.read(word)
    start = reader.now
    if notation.bars and reader.bar_start is not None:
        length = bar_ticks(reader.metre, reader.ticks_per_quarter)
        start = reader.bar_start + length
        reader.now, reader.bar_start = start, None
    reader.notes, reader.repairs = [], Counter()
    for word in words:
        reader.read(word)
    reader.close()
    if said_again:
        reader.repairs["words of the given part said again"] = said_again
    tracks = []
    for index, program in enumerate(reader.programs):
        mine_ = [replace(note, onset_ticks=note.onset_ticks - start) for track, note in reader.notes if track == index]
        drums = program == _DRUMS
        name = context.tracks[index].name if context is not None and index < len(context.tracks) else ""
        tracks.append(Track.of(mine_, name=name, program=0 if drums else min(program, 127), is_drums=drums))
    length = max([reader.now - start, *(track.end_ticks for track in tracks)])
    score = Score(
        tuple(tracks), ticks_per_quarter=reader.ticks_per_quarter, tempos=(Tempo(0, reader.tempo),),
        metres=(reader.metre,), length_ticks=length,
    )  # fmt: skip
    return Found(score, tuple(words), dict(reader.repairs))


def _is_header(word: str) -> bool:
    return word[0] in "qwm" or ":g" in word


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Told:
    """What :func:`~cadenza.infer.prompt.read_seed` asks of a model, of one that was taught nothing."""

    notation: SimplifiedMidi
    style: str = "bare"
    prompts: Mapping[str, object] = field(default_factory=dict)
    sees_model_view: bool = False
    has_fields: bool = False
    tasks: frozenset[str] = frozenset({"continue"})


@dataclass(frozen=True)
class Answer:
    """What a chat model made of a seed.

    Args:
        score: the seed with the answer's bars after it.
        start_ticks: where they begin.
        text: the answer as it came.
        n_notes: notes after the seed.
        bars: bars that the answer filled, at most those asked for.
        repairs: see :class:`Found`.
    """

    score: Score = field(repr=False)
    start_ticks: int
    text: str = field(repr=False)
    n_notes: int
    bars: int
    repairs: Mapping[str, int]


def messages(seed: Score, notation: SimplifiedMidi, bars: int, *, given_bars: int = 16) -> list[Message]:
    """What a chat model is asked: the published instruction, the beginning, and how much is wanted.

    Args:
        given_bars: most bars of the seed that are told.

    Raises:
        RangeError: as :func:`~cadenza.infer.prompt.read_seed`.
    """
    prompt = read_seed(seed, _Told(notation), bars=bars, max_bars=given_bars)
    words = instruction("continue", seed, notation, template(notation)) + "\n"
    music = prompt.header + "".join(prompt.bars).strip()
    wanted = f"Write the next {bars * prompt.split} bars in the same notation, and nothing else."
    if notation.bars:
        wanted += " Each bar begins with the word |."
    return [{"role": "user", "content": f"{words}{music}\n{wanted}"}]


def continue_by_chat(seed: Score, ask: Ask, notation: SimplifiedMidi, *, bars: int = 8, given_bars: int = 16) -> Answer:
    """The seed with what a chat model answers after it, at most ``bars`` bars.

    Args:
        ask: gives the model's answer to messages; :class:`cadenza.train.chat.ChatModel` is one.

    Raises:
        RangeError: a seed without notes or with an unusual metre.
        ConfigError: a notation without bar words, or not on one time line.
    """
    if not notation.bars:
        raise ConfigError("a notation with bar words", "one without", hint="Use SimplifiedMidi(bars=True, …).")
    prompt = read_seed(seed, _Told(notation), bars=bars, max_bars=given_bars)
    text = ask(messages(seed, notation, bars, given_bars=given_bars))
    music = prompt.header + "".join(prompt.bars).strip()
    told = notation.decode(music)
    found = find_notes(text, notation, given=music, context=told)
    fine = found.score.ticks_per_quarter
    if fine != told.ticks_per_quarter:
        raise_to = told.ticks_per_quarter
        found = replace(found, repairs={**found.repairs, f"a resolution of {fine}, not {raise_to}": 1})
    length = bar_ticks(prompt.metre, fine)
    tracks = found.score.tracks[: len(prompt.tracks)]
    lost = sum(len(track) for track in found.score.tracks[len(tracks) :])
    repairs = dict(found.repairs) | ({"notes of further tracks": lost} if lost else {})
    cut = replace(found.score, tracks=tracks, metres=(replace(prompt.metre, onset_ticks=0),))
    filled = min(bars * prompt.split, -(-cut.length_ticks // length))
    new = select_ticks(0, max(1, bars * prompt.split * length)).apply(cut)
    score = put(seed, prompt, new)
    n_notes = score.n_notes - seed.n_notes
    return Answer(score, prompt.start_ticks, text, n_notes, filled // prompt.split, repairs)
