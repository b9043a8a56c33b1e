"""Bars of voices → text.

Every voice of a track is a voice of the text (``V:2 merge`` and further ones join the track before them), or, with
``overlays``, what follows ``&`` in a bar. Accidentals stand where the key and the bar so far do not give them, and
wherever readers that let accidentals hold in all octaves would differ from those that let them hold in one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from cadenza.notation.abc.arrange import Item, points_by_bar, runs
from cadenza.notation.abc.assembling import DRUM_CHANNEL
from cadenza.notation.abc.pitches import (
    ACCIDENTAL_TEXT,
    key_name,
    letter_and_alteration,
    letter_text,
    may_stand_plain,
    of_fifths,
    spelled,
)
from cadenza.notation.abc.projection import Arranged
from cadenza.notation.abc.text import escape
from cadenza.notation.abc.voices import DEFAULT_VELOCITY
from cadenza.score.model import NO_SPELLING, BarMark, Technique, Tempo

DYNAMIC_NAMES = {15: "ppp", 31: "pp", 47: "p", 63: "mp", 79: "mf", 95: "f", 111: "ff", 127: "fff"}
DECORATIONS = (
    (Technique.ACCENT, "!accent!"),
    (Technique.TRILL, "!trill!"),
    (Technique.STACCATO, "."),
)
TIED_TRILL = '"^tr"'  # players of text lose count in a trill that is tied
BARS_PER_LINE = 4
N_CHANNELS = 16


def decimal(value: float) -> str:
    """A tempo without needless zeros."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def metre_text(numerator: int, denominator: int) -> str:
    """``3/4``."""
    return f"{numerator}/{denominator}"


def bar_sign(closes: bool, opens: bool, ends_volta: bool, volta: tuple[int, ...], is_last: bool) -> str:
    """The bar line between two bars."""
    if closes:
        text = "::" if opens else ":|"
    elif opens:
        text = "|:"
    elif is_last:
        text = "|]"
    else:
        text = "||" if ends_volta and not volta else "|"
    return text + ",".join(map(str, volta))


class Writer:
    """Writes one arranged score.

    Args:
        layout: "interleaved" or "by_track".
        overlays: further voices of a track after ``&`` instead of in voices of their own.
        unit: the denominator of L:.
    """

    def __init__(self, arranged: Arranged, layout: str, overlays: bool, unit: int) -> None:
        self.score, self.parts, self.table = arranged.score, arranged.parts, arranged.table
        self.layout, self.overlays, self.unit = layout, overlays, unit
        self.ticks = self.score.ticks_per_quarter
        self.unit_ticks = 4 * self.ticks // unit
        self.starts, self.ends = self.table.starts_ticks.tolist(), self.table.ends_ticks.tolist()
        self.metres = {m.onset_ticks: m for m in self.score.metres}
        self.keys = {k.onset_ticks: k for k in self.score.keys}
        self.tempos = {t.onset_ticks: t for t in self.score.tempos}
        self.signs = self._bar_signs()
        self.lengths: dict[tuple[int, int, int], str] = {}
        self.lands = self._lands()

    def text(self) -> str:
        """The whole tune, without a line break at its end."""
        lines = self._header()
        n_bars = len(self.starts)
        voices = [voice for part in range(len(self.parts)) for voice in self._voices(part)]
        heads = [self._heads(part) for part in range(len(self.parts))]
        number = 0
        if self.layout == "interleaved":
            lines += [line for part in heads for head in part for line in head]
            for bar in range(n_bars):
                lines += [f"[V:{index + 1}]{voice[bar]}" for index, voice in enumerate(voices)]
            return "\n".join(lines)
        for part in heads:
            for head in part:
                lines += head
                voice = voices[number]
                number += 1
                lines += [" ".join(voice[i : i + BARS_PER_LINE]) for i in range(0, n_bars, BARS_PER_LINE)]
        return "\n".join(lines)

    # ── header ───────────────────────────────────────────────────────────────────────────────────────────

    def _header(self) -> list[str]:
        score = self.score
        lines = ["X:1", f"T:{escape(score.title)}"]
        if score.composer:
            lines.append(f"C:{escape(score.composer)}")
        metre = self.metres[0]
        lines += [f"M:{metre_text(metre.numerator, metre.denominator)}", f"L:1/{self.unit}"]
        if 0 in self.tempos:
            lines.append(f"Q:1/4={decimal(self.tempos[0].quarters_per_minute)}")
        lines.append("K:" + (key_name(self.keys[0].fifths, self.keys[0].mode) if 0 in self.keys else "none"))
        return lines

    def _n_voices(self, part: int) -> int:
        return max((item.voice for item in self.parts[part].items), default=0) + 1

    def _heads(self, part: int) -> list[list[str]]:
        """The lines that introduce each voice of a track."""
        track = self.parts[part].track
        first = 1 + sum(1 if self.overlays else self._n_voices(i) for i in range(part))
        name = f' name="{escape(track.name, quoted=True)}"' if track.name else ""
        sound = ["%%MIDI channel 10"] if track.is_drums else [f"%%MIDI program {track.program}"]
        if not track.is_drums and sum(self._n_voices(i) for i in range(len(self.parts))) >= N_CHANNELS:
            # Players give each voice a channel of its own until they have no more: let a track's voices share one.
            channel = part % (N_CHANNELS - 1) + 1
            sound.insert(0, f"%%MIDI channel {channel + (channel >= DRUM_CHANNEL)}")
        heads = [[f"V:{first}{name}", *sound]]
        if not self.overlays:
            heads += [[f"V:{first + extra} merge", *sound] for extra in range(1, self._n_voices(part))]
        return heads

    # ── bars ─────────────────────────────────────────────────────────────────────────────────────────────

    def _bar_signs(self) -> list[str]:
        """What stands before the first bar, and after each."""
        none = BarMark(0)
        marks = [mark or none for mark in self.table.marks]
        out = []
        volta: tuple[int, ...] = ()
        for place in range(len(marks) + 1):
            before = marks[place - 1] if place else none
            after = marks[place] if place < len(marks) else none
            begins = (
                after.endings
                if after.endings and (after.endings != volta or before.repeat_close or after.repeat_open)
                else ()
            )
            ends = bool(volta) and not after.endings
            if not place:
                out.append(("|:" if after.repeat_open else "") + (_volta(begins) if begins else ""))
            else:
                out.append(bar_sign(bool(before.repeat_close), after.repeat_open, ends, begins, place == len(marks)))
            volta = after.endings
        return out

    def _lands(self) -> list[bool]:
        """Whether something else than the bar before may be played before each bar."""
        marks = [mark or BarMark(0) for mark in self.table.marks]
        out = [
            mark.repeat_open or bool(mark.endings) or bool(bar and marks[bar - 1].repeat_close)
            for bar, mark in enumerate(marks)
        ]
        first = next((mark for mark in marks[1:] if mark.repeat_open or mark.repeat_close), None)
        out[0] |= bool(marks[0].repeat_close or (first and first.repeat_close and not first.repeat_open))
        return out

    def _voices(self, part: int) -> list[list[str]]:
        """The bars of each voice of the text that a track becomes."""
        items = self.parts[part].items
        graces = self.parts[part].grace_groups()
        is_drums = self.parts[part].track.is_drums
        by_voice: dict[int, dict[int, list[Item]]] = defaultdict(lambda: defaultdict(list))
        for item in items:
            first = bisect_right(self.starts, item.onset) - 1
            bars = by_voice[item.voice]
            for bar in range(first, len(self.starts)):
                if self.starts[bar] >= item.end:
                    break
                bars[bar].append(item)
        tempos = [tick for tick in self.tempos if part == 0]
        points = points_by_bar(items, self.starts, tempos)
        n_voices = self._n_voices(part)
        lines = [
            _Line(self, voice, by_voice[voice], points.get(voice, {}), graces, is_drums) for voice in range(n_voices)
        ]
        if part == 0:
            lines[0].tempos = self.tempos
        if not self.overlays:
            return [[line.bar(bar) for bar in range(len(self.starts))] for line in lines]
        out = []
        for bar in range(len(self.starts)):
            used = max((v for v in range(n_voices) if by_voice[v].get(bar)), default=0)
            loudness = lines[0].velocity
            texts = []
            for voice in range(used + 1):
                lines[voice].velocity = loudness
                texts.append(lines[voice].music(bar))
                loudness = lines[voice].velocity
            lines[0].velocity = loudness
            # The sign before the first bar and the fields belong to the whole bar.
            out.append(self.before(bar) + " & ".join(texts) + self.signs[bar + 1])
        return [out]

    def before(self, bar: int) -> str:
        """What stands before the music of a bar, for every voice."""
        start = self.starts[bar]
        text = self.signs[0] if bar == 0 else ""
        metre = self.metres.get(start) if start else None
        if len(self.metres) > 1 and self.lands[bar]:
            metre = self.table.metres[bar]  # who jumps here brings another metre along
        if metre is not None:
            text += f"[M:{metre_text(metre.numerator, metre.denominator)}]"
        if start and start in self.keys:
            key = self.keys[start]
            text += f"[K:{key_name(key.fifths, key.mode)}]"
        return text

    def alterations(self, bar: int) -> tuple[int, ...]:
        """The key's, in a bar."""
        held = [k for k in self.score.keys if k.onset_ticks <= self.starts[bar]]
        return of_fifths(held[-1].fifths) if held else (0,) * 7

    def length(self, ticks: int, enters: int, times: int) -> str:
        """A written length: ``""`` for one unit, ``3/2``, ``/2``."""
        found = self.lengths.get((ticks, enters, times))
        if found is None:
            value = Fraction(ticks * enters, times * self.unit_ticks)
            top = "" if value.numerator == 1 else str(value.numerator)
            found = top + (f"/{value.denominator}" if value.denominator > 1 else "")
            self.lengths[(ticks, enters, times)] = found
        return found


def _volta(numbers: Sequence[int]) -> str:
    return "[" + ",".join(map(str, numbers))


class _Line:
    """One voice on its way to the page."""

    def __init__(
        self,
        writer: Writer,
        voice: int,
        items: dict[int, list[Item]],
        points: dict[int, list[int]],
        graces: dict[tuple[int, int], tuple[int, int, list[tuple[int, int]]]],
        is_drums: bool,
    ) -> None:
        self.writer, self.voice, self.items, self.points, self.graces = writer, voice, items, points, graces
        self.is_drums = is_drums
        self.velocity = DEFAULT_VELOCITY
        self.tempos: dict[int, Tempo] = {}
        self.tied: dict[tuple[int, int], int] = {}  # (letter, octave) → alteration of what is tied over the bar line
        self.key: tuple[int, ...] = (0,) * 7
        self.in_octave: dict[tuple[int, str], int] = {}
        self.in_all: dict[int, int] = {}

    def bar(self, bar: int) -> str:
        """The whole bar, with what stands before and after it."""
        return self.writer.before(bar) + self.music(bar) + self.writer.signs[bar + 1]

    def music(self, bar: int) -> str:
        """The bar's music."""
        writer = self.writer
        start, stop = writer.starts[bar], writer.ends[bar]
        items = self.items.get(bar, [])
        points = [p for p in self.points.get(bar, ()) if p < stop]
        found = runs(points, start, stop, writer.ticks)
        assert found is not None, "arranged music can be written"
        self.key = writer.alterations(bar)
        self.in_octave, self.in_all = {}, {}
        by_start: dict[int, list[Item]] = defaultdict(list)
        for item in items:
            by_start[max(item.onset, start)].append(item)
        sounding: list[Item] = []
        words: list[str] = []
        for run in found:
            prefix = f"({run.enters}:{run.times}:{len(run.stretches)}" if run.enters > 1 else ""
            for low, high in run.stretches:
                sounding = [i for i in sounding if i.end > low] + by_start.get(low, [])
                text = self._element(sounding, low, high, start, writer.length(high - low, run.enters, run.times))
                words.append(prefix + text)
                prefix = ""
        self.tied = {}
        for item in sounding:
            if item.end > stop:
                letter, alteration = letter_and_alteration(self._spelling(item.pitch, item.spelling))
                self.tied[(letter, (item.pitch - alteration) // 12)] = alteration
        return " ".join(words)

    def _element(self, sounding: list[Item], low: int, high: int, bar_start: int, length: str) -> str:
        text = ""
        if low and low in self.tempos:
            text += f"[Q:1/4={decimal(self.tempos[low].quarters_per_minute)}]"
        if not sounding:
            return text + "z" + length
        begun = [item for item in sounding if item.onset == low]
        if begun:
            if begun[0].velocity != self.velocity:
                self.velocity = begun[0].velocity
                text += f"!{DYNAMIC_NAMES[self.velocity]}!"
            group = self.graces.get((self.voice, low))
            if group:
                led = [self._note(p, self._spelling(p, s), low == bar_start) for p, s in group[2]]
                text += "{" + "".join(led) + "}"
            is_tied = any(item.end > high for item in begun)
            for technique, sign in DECORATIONS:
                if begun[0].techniques & technique:
                    text += TIED_TRILL if technique == Technique.TRILL and is_tied else sign
        sounding = sorted(sounding, key=lambda i: (i.pitch, i.spelling))
        notes = [self._note(i.pitch, self._spelling(i.pitch, i.spelling), low == bar_start) for i in sounding]
        ties = [item.end > high for item in sounding]
        if len(notes) == 1:
            return text + notes[0] + length + ("-" if ties[0] else "")
        if all(ties):
            return text + "[" + "".join(notes) + "]" + length + "-"
        return text + "[" + "".join(n + ("-" if t else "") for n, t in zip(notes, ties, strict=True)) + "]" + length

    def _spelling(self, pitch: int, spelling: int) -> int:
        return spelled(pitch, 0) if spelling == NO_SPELLING else spelling

    def _note(self, pitch: int, spelling: int, at_start: bool) -> str:
        letter, alteration = letter_and_alteration(spelling)
        name = letter_text(pitch, letter, alteration)
        octave = (pitch - alteration) // 12
        in_key = self.key[letter]
        here = self.in_octave.get((letter, name), in_key)
        anywhere = self.in_all.get(letter, in_key)
        tied = self.tied.get((letter, octave), alteration) if at_start else alteration
        if here == anywhere == tied == alteration and may_stand_plain(pitch - alteration):
            return name
        self.in_octave[(letter, name)] = alteration
        self.in_all[letter] = alteration
        return ACCIDENTAL_TEXT[alteration] + name
