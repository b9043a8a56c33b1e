"""Parts that were read → Score: one time line, voices, velocities, and what the projection would change anyway."""

from __future__ import annotations

from math import gcd, lcm
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from cadenza.base.errors import LimitError
from cadenza.base.limits import Limits
from cadenza.formats.musicxml.draft import Draft, Info, TimeLine
from cadenza.formats.musicxml.part import MAX_COMMON_RESOLUTION, Part, PartReader
from cadenza.formats.musicxml.projection import BASE_RESOLUTION, MAX_RESOLUTION, clean, settle
from cadenza.formats.musicxml.values import integer
from cadenza.score.model import BarMark, Key, Marker, Metre, Score, Tempo

ROUNDED_RESOLUTION = 40_320  # 2⁷ · 3² · 5 · 7: the last resort where no exact resolution fits 16 bits
DRUM_CHANNEL = 10


class Assembly:
    """Collects the header and the parts; :meth:`score` puts them together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.infos: dict[str, Info] = {}
        self.parts: list[tuple[Info, Part]] = []
        self.reader: PartReader | None = None
        self.n_notes = 0
        self.titles: dict[str, str] = {}
        self.composer = ""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────

    def header(self, element: Element) -> None:
        """Take a score-part, title or creator element."""
        text = clean("".join(element.itertext()) if element.tag != "score-part" else "")
        if element.tag == "score-part":
            self._announce(element)
        elif element.tag == "creator":
            if element.get("type", "composer") == "composer" and not self.composer:
                self.composer = text
        else:
            self.titles.setdefault(element.tag, text)

    def _announce(self, element: Element) -> None:
        info = Info(clean(element.findtext("part-name") or ""))
        programs, channels = [], []
        for instrument in element.iter("midi-instrument"):
            programs.append(min(max(integer(instrument.findtext("midi-program"), 1) - 1, 0), 127))
            channels.append(integer(instrument.findtext("midi-channel"), 0))
            key = instrument.findtext("midi-unpitched")
            if key:
                info.drum_keys[instrument.get("id", "")] = min(max(integer(key, 1) - 1, 0), 127)
        info.program = programs[0] if programs else 0
        info.is_drums = bool(info.drum_keys) or (bool(channels) and channels[0] == DRUM_CHANNEL)
        self.limits.check("tracks", len(self.infos))
        self.infos[element.get("id", "")] = info

    def measure(self, element: Element) -> None:
        """Take a measure of the present part."""
        if self.reader is None:
            self.limits.check("tracks", len(self.parts) + 1)
            self.reader = PartReader(self.limits, not self.parts)
        self.reader.measure(element)

    def part(self, name: str) -> None:
        """The present part ends; it is the one called ``name``."""
        self.limits.check("tracks", len(self.parts) + 1)
        reader = self.reader or PartReader(self.limits, not self.parts)
        self.reader = None
        self.parts.append((self.infos.get(name) or Info(name), reader.part))
        self.n_notes += len(reader.part.notes)
        self.limits.check("notes", self.n_notes)

    # ── putting together ─────────────────────────────────────────────────────────────────────────────────

    def score(self) -> tuple[Score, tuple[str, ...]]:
        """The whole score, and what it leaves out."""
        if self.reader is not None:
            self.part("")
        resolution = 1
        for _, part in self.parts:
            resolution = lcm(resolution, part.resolution)
            if resolution > MAX_COMMON_RESOLUTION:
                raise LimitError("divisions with a small common multiple", f"a multiple of {resolution:,}")
        starts, metres = self._bars(resolution)
        self.limits.check("quarters", starts[-1] // resolution)
        line = TimeLine(starts, resolution)
        drafts = [Draft(info, part, line, self.limits) for info, part in self.parts]
        tempos, keys, markers = self._maps(line)
        ticks = _resolution(
            line, [*(d.times() for d in drafts), *([t for t, *_ in m] for m in (tempos, keys, markers))]
        )
        line.ticks = ticks
        tracks = [track for draft in drafts for track in draft.tracks()]
        self.limits.check("tracks", len(tracks))
        at = line.at
        raw = Score(
            tracks=tuple(tracks),
            ticks_per_quarter=ticks,
            tempos=tuple(Tempo(at(unit), tempo) for unit, tempo in tempos),
            metres=tuple(Metre(at(unit), *metre) for unit, metre in metres),
            keys=tuple(Key(at(unit), fifths, mode) for unit, fifths, mode in keys),  # type: ignore[arg-type]
            bars=self._bar_marks(line),
            markers=tuple(Marker(at(unit), clean(text)) for unit, text in markers if clean(text)),
            title=self._title(),
            composer=self.composer,
            length_ticks=at(starts[-1]),
        )
        left_out: dict[str, int] = {}
        for _, part in self.parts:
            for what, count in part.left_out.items():
                left_out[what] = left_out.get(what, 0) + count
        report = tuple(f"{count} {what}" for what, count in sorted(left_out.items()))
        return settle(raw, self.limits), report

    def _title(self) -> str:
        work, movement = self.titles.get("work-title", ""), self.titles.get("movement-title", "")
        return clean(work if not movement or movement == work else movement if not work else f"{work}: {movement}")

    def _bars(self, resolution: int) -> tuple[list[int], list[tuple[int, tuple[int, int]]]]:
        """First unit of each measure (and the end), and the metres."""
        n_bars = max((len(part.lengths) for _, part in self.parts), default=0)
        lengths = [0] * n_bars
        metres: dict[tuple[int, int], tuple[int, int]] = {}
        for _, part in self.parts:
            factor = resolution // part.resolution
            for index, length in enumerate(part.lengths):
                lengths[index] = max(lengths[index], length * factor)
            for measure, unit, metre in part.metres:
                metres.setdefault((measure, unit * factor), metre)
        by_measure: dict[int, list[tuple[int, tuple[int, int]]]] = {}
        for (measure, unit), metre in metres.items():
            by_measure.setdefault(measure, []).append((unit, metre))
        starts, metre = [0], (4, 4)
        for index, length in enumerate(lengths):
            changes = sorted(by_measure.get(index, []))
            if changes and changes[0][0] == 0:
                metre = changes[0][1]
            starts.append(starts[-1] + (length or max(resolution * 4 * metre[0] // metre[1], 1)))
            if changes:
                metre = changes[-1][1]
        return starts, [(starts[measure] + unit, metre) for (measure, unit), metre in metres.items()]

    def _maps(self, line: TimeLine) -> tuple[list[Any], list[Any], list[Any]]:
        """Tempos, keys and section names, each at its unit; of several at one place the first part's tempo (a sound
        before a metronome mark), the key of the first part that does not transpose."""
        tempos: dict[int, tuple[bool, float]] = {}
        keys: dict[int, tuple[bool, int, str]] = {}
        markers = []
        for _, part in self.parts:
            factor = line.resolution // part.resolution
            for measure, unit, is_sound, tempo in part.tempos:
                place = line.starts[measure] + unit * factor
                if place not in tempos or (is_sound and not tempos[place][0]):
                    tempos[place] = (is_sound, tempo)
            for measure, unit, fifths, shift, mode in part.keys:
                place = line.starts[measure] + unit * factor
                sounding = fifths + shift
                plain = shift == 0
                if place not in keys or (plain and not keys[place][0]):
                    keys[place] = (plain, sounding if -7 <= sounding <= 7 else (sounding + 5) % 12 - 5, mode)
            markers += [(line.starts[m] + unit * factor, text) for m, unit, text in part.markers]
        found = [(place, tempo) for place, (_, tempo) in tempos.items()]
        return found, [(place, fifths, mode) for place, (_, fifths, mode) in keys.items()], markers

    def _bar_marks(self, line: TimeLine) -> tuple[BarMark, ...]:
        bars = self.parts[0][1].bars if self.parts else {}
        out = []
        for index, start in enumerate(line.starts[:-1]):
            fields = dict(bars.get(index, {}))
            endings, close = fields.get("endings", ()), fields.get("repeat_close", 0)
            if close and endings and not fields.get("is_said"):
                later = bars.get(index + 1, {}).get("endings", ())
                fields["repeat_close"] = max(close, max(endings) + 1) if later else max(endings)
            fields.pop("is_said", None)
            out.append(BarMark(line.at(start), **fields))
        return (*out, BarMark(line.at(line.starts[-1])))  # the last bar may be short


def _resolution(line: TimeLine, times: list[Any]) -> int:
    """Ticks a quarter: what the file needs, made a multiple of 480 where that fits."""
    divisor = gcd(line.resolution, *line.starts)
    for column in times:
        if len(column):
            divisor = gcd(divisor, int(np.gcd.reduce(np.asarray(column, np.int64))))
    needed = line.resolution // divisor
    common = lcm(needed, BASE_RESOLUTION)
    if common <= MAX_RESOLUTION:
        return common
    return needed if needed <= MAX_RESOLUTION else ROUNDED_RESOLUTION
