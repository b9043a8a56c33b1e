"""Score → MusicXML 4.0 partwise text. Everything musical is decided before (:mod:`.projection`, :mod:`.beats`,
:mod:`.layout`); here it is put in the order that the schema wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.musicxml import directions, layout, marks
from cadenza.formats.musicxml.beats import grace_groups
from cadenza.formats.musicxml.notes import Head, Piece, note_xml, rest_xml
from cadenza.formats.musicxml.xml import attribute, escape
from cadenza.score.model import Note, Score, Technique, Track
from cadenza.score.notevalues import Bar
from cadenza.score.time import BarTable, bar_table
from cadenza.score.written import Mark

View = Literal["score", "tab", "both"]
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="4.0">
"""


def document(score: Score, view: View) -> str:
    """The text of a score to which the projection was applied."""
    table = bar_table(score)
    parts = [_Part(score, table, index, track, view) for index, track in enumerate(score.tracks)]
    out = [HEAD]
    if score.title:
        out.append(f"<work><work-title>{escape(score.title)}</work-title></work>\n")
    composer = f'<creator type="composer">{escape(score.composer)}</creator>' if score.composer else ""
    out.append(f"<identification>{composer}<encoding><software>cadenza</software></encoding></identification>\n")
    out.append("<part-list>\n")
    out += [part.announcement() for part in parts]
    out.append("</part-list>\n")
    for part in parts:
        out.append(f'<part id="{part.name}">\n')
        out += part.measures()
        out.append("</part>\n")
    out.append("</score-partwise>\n")
    return "".join(out)


@dataclass
class _Item:
    """A stretch of one voice: what sounds in it (rows; none: a rest), in one note value (or none)."""

    start: int
    stop: int
    rows: list[int]
    beat: tuple[int, int, int, int] | None  # value, dots, enters, times


@dataclass
class _Stream:
    """One voice in one bar."""

    voice: int
    items: list[_Item] = field(default_factory=list)
    graces: dict[int, list[list[int]]] = field(default_factory=dict)


class _Part:
    def __init__(self, score: Score, table: BarTable, index: int, track: Track, view: View) -> None:
        self.score, self.table, self.index, self.track = score, table, index, track
        self.name, self.view = f"P{index + 1}", view
        placed = bool((track.notes["string"] > 0).any()) or (view == "tab" and not len(track))
        self.shows_tab = view != "score" and bool(track.tuning) and placed
        self.doubles = self.shows_tab and view == "both" and int(track.notes["voice"].max()) < layout.VOICES_PER_STAFF
        self.n_staves = 2 if self.doubles else 1 if self.shows_tab else layout.staves(track)
        self.semitones = marks.semitones(track)
        self.fifths = (7 * self.semitones + 5) % 12 - 5 if self.semitones % 12 else 0
        self.keys = {key.onset_ticks: key for key in score.keys}
        self.metres = {metre.onset_ticks: metre for metre in score.metres}
        self.notes = list(track)
        self.levels = marks.loudness(track.marks, track.notes["onset_ticks"]).tolist()
        self.ends = self._ends()
        crossing = {(m.onset_ticks, m.voice, m.pitch): m.values[0] for m in track.marks if m.kind == "staff"}
        self.cross: dict[int, int] = {}  # row → the staff on which it stands, where it is not its voice's
        for row, note in enumerate(self.notes if crossing and not self.shows_tab else ()):
            staff = crossing.get((note.onset_ticks, note.voice, note.pitch))
            if staff:
                self.cross[row] = staff
        # A mark is of the note that begins at its place, not of another of its pitch that is tied over it.
        self.begin = {(n.onset_ticks, n.voice, -n.string if n.string else n.pitch) for n in self.notes}
        self.at_notes: dict[tuple[int, int, int], list[Mark]] = {}
        self.tremolos: dict[tuple[int, int, int], int] = {}  # speeds, for every note that begins at the place
        self.at_beats: dict[tuple[int, int], list[Mark]] = {}
        for mark in track.marks:
            if mark.kind in marks.AT_NOTES:
                key = (mark.onset_ticks, mark.voice, -mark.string if mark.string else mark.pitch)
                self.at_notes.setdefault(key, []).append(mark)
                if mark.kind == "tremolo_picking":
                    self.tremolos[key] = mark.values[0]
            elif mark.kind in marks.AT_BEATS:
                self.at_beats.setdefault((mark.onset_ticks, mark.voice), []).append(mark)
        self.streams = self._streams()

    def _ends(self) -> dict[int, tuple[list[str], bool]]:
        """Row → the connections (hammer, shift, legato) that end there, and whether what it begins falls."""
        out: dict[int, tuple[list[str], bool]] = {}
        kinds = {"hammer": Technique.HAMMER, "shift": Technique.SLIDE_SHIFT, "legato": Technique.SLIDE_LEGATO}
        every = Technique.HAMMER | Technique.SLIDE_SHIFT | Technique.SLIDE_LEGATO
        if not (self.track.notes["techniques"] & np.uint64(int(every))).any():
            return out
        waiting: dict[int, list[int]] = {}
        for row, note in enumerate(self.notes):
            line = -note.string if note.string else note.voice
            for other in waiting.pop(line, []):
                if self.notes[other].onset_ticks == note.onset_ticks:
                    waiting.setdefault(line, []).append(other)
                    continue
                names = [name for name, bit in kinds.items() if self.notes[other].techniques & bit]
                out[row] = (out.get(row, ([], False))[0] + names, out.get(row, ([], False))[1])
                out[other] = (out.get(other, ([], False))[0], note.pitch < self.notes[other].pitch)
            if note.techniques & every:
                waiting.setdefault(line, []).append(row)
        return out

    # ── the header ───────────────────────────────────────────────────────────────────────────────────────

    def announcement(self) -> str:
        """The score-part element."""
        track, name = self.track, self.name
        channel = 10 if track.is_drums else (self.index % 15) + 1 + (self.index % 15 >= 9)
        out = [f'<score-part id="{name}"><part-name>{escape(track.name)}</part-name>']
        sounds: list[tuple[str, str]] = []
        if track.is_drums and len(track):
            for key in np.unique(track.notes["pitch"]).tolist():
                sounds.append((f"{name}-I{key}", f"<midi-unpitched>{key + 1}</midi-unpitched>"))
        else:
            sounds.append((f"{name}-I1", ""))
        for identity, _ in sounds:
            label = escape(track.name) or "Instrument"
            out.append(
                f'<score-instrument id="{identity}"><instrument-name>{label}</instrument-name></score-instrument>'
            )
        for identity, unpitched in sounds:
            out.append(
                f'<midi-instrument id="{identity}"><midi-channel>{channel}</midi-channel>'
                f"<midi-program>{track.program + 1}</midi-program>{unpitched}</midi-instrument>"
            )
        out.append("</score-part>\n")
        return "".join(out)

    # ── voices ───────────────────────────────────────────────────────────────────────────────────────────

    def _streams(self) -> list[dict[int, _Stream]]:
        """For each bar its voices."""
        track, table = self.track, self.table
        starts, ends = table.starts_ticks, table.ends_ticks
        out: list[dict[int, _Stream]] = [{} for _ in range(len(table))]
        groups = grace_groups(track, table, self.score.ticks_per_quarter)
        is_grace = np.zeros(len(track), bool)
        for slots in groups.values():
            for slot in slots:
                is_grace[slot] = True
        onset, end = track.notes["onset_ticks"], track.notes["onset_ticks"] + track.notes["duration_ticks"]
        bar_edges = np.concatenate([starts, ends[-1:]])
        voices = np.unique(np.concatenate([track.notes["voice"], track.beats["voice"]])).tolist()
        begun: dict[tuple[int, int], int] = {}
        ended: dict[tuple[int, int], int] = {}
        for voice in voices:
            rows = np.flatnonzero((track.notes["voice"] == voice) & ~is_grace)
            beats = track.beats[track.beats["voice"] == voice]
            values = {
                int(b["onset_ticks"]): (int(b["value"]), int(b["dots"]), int(b["enters"]), int(b["times"]))
                for b in beats
            }
            edges = np.unique(
                np.concatenate(
                    [
                        bar_edges,
                        onset[rows],
                        end[rows],
                        beats["onset_ticks"],
                        beats["onset_ticks"] + beats["duration_ticks"],
                    ]
                )
            )
            sounding = self._sounding(edges, rows, onset, end)
            bars = np.searchsorted(starts, edges, side="right") - 1
            ticks = edges.tolist()
            for place in sorted({*sounding, *np.searchsorted(edges, beats["onset_ticks"]).tolist()}):
                start, stop, bar = ticks[place], ticks[place + 1], int(bars[place])
                stream = out[bar].setdefault(voice, _Stream(voice))
                stream.items.append(_Item(start, stop, sounding.get(place, []), values.get(start)))
                begun[voice, start], ended[voice, stop] = bar, bar
        for (voice, tick), slots in groups.items():
            here = min(int(np.searchsorted(starts, tick, side="right")) - 1, len(table) - 1)
            bar = begun.get((voice, tick), ended.get((voice, tick), here))
            out[bar].setdefault(voice, _Stream(voice)).graces[tick] = slots
        return out

    @staticmethod
    def _sounding(
        edges: NDArray[np.int64], rows: NDArray[np.int64], onset: NDArray[np.int64], end: NDArray[np.int64]
    ) -> dict[int, list[int]]:
        """Place of an edge → the rows that sound from there to the next."""
        out: dict[int, list[int]] = {}
        first, last = np.searchsorted(edges, onset[rows]).tolist(), np.searchsorted(edges, end[rows]).tolist()
        for row, low, high in zip(rows.tolist(), first, last, strict=True):
            for place in range(low, high):
                out.setdefault(place, []).append(row)
        return out

    # ── measures ─────────────────────────────────────────────────────────────────────────────────────────

    def measures(self) -> list[str]:
        """All measures of the part."""
        table, ticks = self.table, self.score.ticks_per_quarter
        out: list[str] = []
        spoken = directions.of_track(self.track, table)
        if self.index == 0:
            of_score = directions.of_score(self.score, table)
            spoken = [[*first, *second] for first, second in zip(of_score, spoken, strict=True)]
        lines = directions.bar_lines(table)
        fifths = 0
        starts, ends = table.starts_ticks.tolist(), table.ends_ticks.tolist()
        metre = table.metres[0]
        is_upbeat = len(table) > 1 and (ends[0] - starts[0]) * metre.denominator < 4 * ticks * metre.numerator
        for bar, (start, stop) in enumerate(zip(starts, ends, strict=True)):
            number = bar + (not is_upbeat)
            implicit = ' implicit="yes"' if is_upbeat and bar == 0 else ""
            out.append(f'<measure number="{number}"{implicit}>\n')
            left, right = lines[bar]
            out.append(left)
            out.append(self._attributes(bar, start))
            if start in self.keys:
                fifths = self.keys[start].fifths
            late = [key for key in self.score.keys if start < key.onset_ticks < stop]
            measure = Bar(table.metres[bar].numerator, table.metres[bar].denominator, ticks)
            out += self._streams_xml(bar, start, stop, fifths, measure, sorted(spoken[bar], key=lambda s: s[0]))
            for key in late:
                fifths = key.fifths
                out.append(f"<backup><duration>{stop - key.onset_ticks}</duration></backup>")
                out.append(f"<attributes>{self._key(key.fifths, key.mode)}</attributes>")
                out.append(f"<forward><duration>{stop - key.onset_ticks}</duration></forward>\n")
            out.append(right)
            out.append("</measure>\n")
        return out

    def _key(self, fifths: int, mode: str) -> str:
        if self.track.is_drums:
            return f"<key><fifths>{fifths}</fifths><mode>{mode}</mode></key>"
        return f"<key><fifths>{fifths - self.fifths}</fifths><mode>{mode}</mode></key>"

    def _attributes(self, bar: int, start: int) -> str:
        out = []
        if bar == 0:
            out.append(f"<divisions>{self.score.ticks_per_quarter}</divisions>")
        if start in self.keys:
            out.append(self._key(self.keys[start].fifths, self.keys[start].mode))
        if start in self.metres:
            metre = self.metres[start]
            beats = f"<beats>{metre.numerator}</beats><beat-type>{metre.denominator}</beat-type>"
            out.append(f"<time>{beats}</time>")
        if bar == 0:
            out += self._staves()
        return f"<attributes>{''.join(out)}</attributes>\n" if out else ""

    def _staves(self) -> list[str]:
        out = []
        if self.n_staves > 1:
            out.append(f"<staves>{self.n_staves}</staves>")
        for staff in range(1, self.n_staves + 1):
            clef = layout.clef(self.track, staff, 1 if self.doubles else self.n_staves, self.semitones)
            clef = layout.TAB if self._is_tab(staff) else clef
            change = f"<clef-octave-change>{clef.octaves}</clef-octave-change>" if clef.octaves else ""
            number = attribute("number", str(staff)) if self.n_staves > 1 else ""
            line = f"<line>{clef.line}</line>"
            out.append(f"<clef{number}><sign>{clef.sign}</sign>{line}{change}</clef>")
        if self.track.tuning:
            out.append(self._tuning())
        if self.semitones:
            octaves = int(self.semitones / 12)
            chromatic = self.semitones - 12 * octaves
            diatonic = (7 * chromatic - self.fifths) // 12
            change = f"<octave-change>{octaves}</octave-change>" if octaves else ""
            out.append(
                f"<transpose><diatonic>{diatonic}</diatonic><chromatic>{chromatic}</chromatic>{change}</transpose>"
            )
        return out

    def _tuning(self) -> str:
        tuning = self.track.tuning
        out = [f"<staff-lines>{len(tuning) if self.shows_tab else 5}</staff-lines>"]
        for line, pitch in enumerate(reversed(tuning), 1):
            step, alter, octave = layout.written(pitch, layout.spell(pitch, 0))
            altered = f"<tuning-alter>{alter}</tuning-alter>" if alter else ""
            out.append(
                f'<staff-tuning line="{line}"><tuning-step>{step}</tuning-step>{altered}'
                f"<tuning-octave>{octave}</tuning-octave></staff-tuning>"
            )
        if self.track.capo_fret:
            out.append(f"<capo>{self.track.capo_fret}</capo>")
        number = ' number="2"' if self.doubles else ""
        return f"<staff-details{number}>{''.join(out)}</staff-details>"

    def _is_tab(self, staff: int) -> bool:
        """Whether a staff is tablature: the only one, or the second of two that say the same."""
        return self.shows_tab and (staff == 2 or not self.doubles)

    def _streams_xml(
        self, bar: int, start: int, stop: int, fifths: int, measure: Bar, spoken: list[directions.Spoken]
    ) -> list[str]:
        streams = self.streams[bar]
        out: list[str] = []
        cursor = start
        waiting = list(spoken)
        written_fifths = fifths - (0 if self.track.is_drums else self.fifths)
        for staff in range(1, self.n_staves + 1):
            mine = [streams[v] for v in sorted(streams) if self.doubles or layout.staff_of(v, self.n_staves) == staff]
            self.staff = staff
            if not any(stream.items for stream in mine):
                rest = _Item(start, stop, [], None)
                mine = [_Stream(0 if self.doubles else (staff - 1) * layout.VOICES_PER_STAFF, [rest]), *mine]
            accidentals = self._accidentals(mine, written_fifths)
            for stream in mine:
                if cursor > start:
                    out.append(f"<backup><duration>{cursor - start}</duration></backup>\n")
                cursor = start
                shown = self._beams(stream, measure, start)
                alone = sorted(set(stream.graces) - {item.start for item in stream.items})  # nothing begins after them
                for item, (beam, tuplet) in zip(stream.items, shown, strict=True):
                    while alone and alone[0] < item.start:
                        if alone[0] > cursor:
                            out.append(_forward(alone[0] - cursor))
                            cursor = alone[0]
                        out += self._graces(stream, alone.pop(0), accidentals)
                    if item.start > cursor:
                        out.append(_forward(item.start - cursor))
                        cursor = item.start
                    out += self._graces(stream, item.start, accidentals)
                    while waiting and waiting[0][0] < item.stop:
                        tick, voice, text = waiting.pop(0)
                        out.append(self._direction(text, tick - cursor, voice))
                    out += self._item(item, stream.voice, beam, tuplet, accidentals, stop - start)
                    cursor = item.stop
                for tick in alone:
                    if tick > cursor:
                        out.append(_forward(tick - cursor))
                        cursor = tick
                    out += self._graces(stream, tick, accidentals)
            for tick, voice, text in waiting:
                out.append(self._direction(text, tick - cursor, voice))
            waiting = []
        if cursor < stop:
            out.append(_forward(stop - cursor))
        return out

    def _written(self, row: int) -> tuple[str, int, int]:
        note = self.notes[row]
        return layout.written(note.pitch - self.semitones, note.spelling - self.fifths)

    def _accidentals(self, streams: list[_Stream], fifths: int) -> dict[tuple[int, int], int]:
        """(row, tick) → the accidental to print there, for all voices of one staff in one bar."""
        if self.track.is_drums or self._is_tab(self.staff):
            return {}
        keys, placed = [], []
        for stream in streams:
            for tick, slots in stream.graces.items():
                for slot in slots:
                    for row in slot:
                        step, alter, octave = self._written(row)
                        keys.append((row, -1))
                        placed.append((tick, step, octave, alter, False))
            for item in stream.items:
                for row in item.rows:
                    step, alter, octave = self._written(row)
                    keys.append((row, item.start))
                    tied = self.notes[row].onset_ticks < item.start
                    placed.append((item.start, step, octave, alter, tied))
        found = layout.accidentals(placed, fifths)
        return {key: sign for key, sign in zip(keys, found, strict=True) if sign is not None}

    def _beams(self, stream: _Stream, measure: Bar, start: int) -> list[tuple[list[str], str]]:
        items = stream.items
        plain = [(i.start, i.stop, i.beat[0] if i.beat else 1, not i.rows) for i in items]
        tuplets = layout.tuplets([(i.start, i.stop, *(i.beat or (1, 0, 1, 1))) for i in items])
        if self._is_tab(self.staff):
            return [([], tuplet) for tuplet in tuplets]
        return list(zip(layout.beams(plain, measure.beat, start), tuplets, strict=True))

    def _item(
        self,
        item: _Item,
        voice: int,
        beam: list[str],
        tuplet: str,
        accidentals: dict[tuple[int, int], int],
        bar_ticks: int,
    ) -> list[str]:
        length = item.stop - item.start
        place = self._place(voice, length, item.beat, beam, tuplet)
        place.marks = self.at_beats.pop((item.start, voice), ())
        if not item.rows:
            is_whole_bar = item.beat is None and length == bar_ticks
            return [rest_xml(place, is_whole_bar)]
        out = []
        for number, row in enumerate(sorted(item.rows, key=lambda row: self.notes[row].pitch)):
            note = self.notes[row]
            place.in_chord = number > 0
            place.stops, place.goes_on = note.onset_ticks < item.start, note.offset_ticks > item.stop
            out.append(self._note(row, item.start, place, accidentals.get((row, item.start))))
        return out

    def _graces(self, stream: _Stream, tick: int, accidentals: dict[tuple[int, int], int]) -> list[str]:
        out = []
        for slot in stream.graces.get(tick, []):
            place = self._place(stream.voice, 0, (16, 0, 1, 1))
            for number, row in enumerate(sorted(slot, key=lambda row: self.notes[row].pitch)):
                place.in_chord = number > 0
                out.append(self._note(row, self.notes[row].onset_ticks, place, accidentals.get((row, -1))))
        return out

    def _place(
        self,
        voice: int,
        length: int,
        beat: tuple[int, int, int, int] | None,
        beam: Sequence[str] = (),
        tuplet: str = "",
    ) -> Piece:
        number = voice + layout.VOICES_PER_STAFF if self.doubles and self.staff == 2 else voice
        return Piece(number, self.staff if self.n_staves > 1 else 0, length, beat, beam, tuplet)

    def _note(self, row: int, tick: int, place: Piece, accidental: int | None) -> str:
        note = self.notes[row]
        ends, falls = self.ends.get(row, ((), False))
        at = (tick, note.voice, -note.string if note.string else note.pitch)
        said = () if place.stops and at in self.begin else self.at_notes.pop(at, ())
        head = Head(self._pitch(note, row), accidental=accidental, marks=said, ends=ends, falls=falls)
        head.instrument = f"{self.name}-I{note.pitch}" if self.track.is_drums else ""
        head.shows_fret = self.view != "score" and (not self.doubles or self.staff == 2)
        place.velocity = self.levels[row]
        home = place.staff
        head.tremolo = self.tremolos.get(at, head.tremolo)
        if note.bends and not self._is_detuned(note) and not (self.doubles and self.staff == 1):
            head.curve = [(bend.offset_ticks, bend.cents) for bend in note.bends]
        if row in self.cross:
            place.staff = self.cross[row]
        text = note_xml(place, note, head, self.score.ticks_per_quarter)
        place.staff = home
        return text

    def _is_detuned(self, note: Note) -> bool:
        """Whether the note's curve is one constant that its alteration can say."""
        if self.track.is_drums or len(note.bends) != 1 or note.bends[0].offset_ticks:
            return False
        return 0 < abs(note.bends[0].cents) < 50

    def _direction(self, text: str, offset: int, voice: int) -> str:
        shift = f'<offset sound="yes">{offset}</offset>' if offset else ""
        staff = 1 if self.doubles else layout.staff_of(voice, self.n_staves)
        is_plain = voice == (staff - 1) * layout.VOICES_PER_STAFF
        who = "" if is_plain or text.startswith("<harmony") else f"<voice>{voice + 1}</voice>"
        where = f"<staff>{staff}</staff>" if self.n_staves > 1 else ""
        return text.replace("<!place>", shift + who + where)

    def _pitch(self, note: Note, row: int) -> str:
        if self.track.is_drums:
            step, octave, _ = layout.drum_place(note.pitch)
            return (
                f"<unpitched><display-step>{step}</display-step><display-octave>{octave}</display-octave></unpitched>"
            )
        step, alter, octave = self._written(row)
        value = Decimal(100 * alter + (note.bends[0].cents if self._is_detuned(note) else 0)) / 100
        altered = f"<alter>{value.normalize():f}</alter>" if value else ""
        return f"<pitch><step>{step}</step>{altered}<octave>{octave}</octave></pitch>"


def _forward(ticks: int) -> str:
    return f"<forward><duration>{ticks}</duration></forward>\n"
