"""GPIF records → Score: follows the ids bar by bar, and gives every beat its time.

Ties become one long note. Grace beats take their time from the beat before, or from their own (on the beat, or where
there is no time before tick 0): a 32nd for one, 64ths for two, 128ths for more, and whoever lends keeps half. A bend
spreads over its note and the notes tied to it, up to a tied note with a bend of its own. A harmonic has the pitch that
sounds. These are the rules of :mod:`cadenza.formats.guitarpro.reading` too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from cadenza.base.errors import CadenzaError, FormatError, LimitError
from cadenza.base.limits import Limits, read_bytes
from cadenza.formats.gpif import TICKS_PER_QUARTER, container, tables
from cadenza.formats.gpif.building import Row, built, fold_key
from cadenza.formats.gpif.document import Document, parse
from cadenza.formats.gpif.lyrics import dispatched
from cadenza.formats.gpif.records import (
    Automation,
    BeatRecord,
    Curve,
    MasterBarRecord,
    NoteRecord,
    StaffRecord,
    TrackRecord,
)
from cadenza.score.model import HARMONICS, NO_STRING, BarMark, Key, Marker, Metre, Score, Technique, Tempo
from cadenza.score.rhythm import WHOLE, whole_ticks
from cadenza.score.written import Mark

MAX_VOICES = 4
GRACE_TICKS = (120, 60, 30)  # each of one, two, more
FEWEST_STEPS, STEPS_PER_BYTE = 20_000, 1 / 10  # beats, notes and marks that a document may unfold to
OCTAVE = 12
HIGHEST_PITCH = 127
#: Techniques that lead to the next note on the string; where none follows within so many bars they are no techniques.
LEADING = Technique.HAMMER | Technique.SLIDE_SHIFT | Technique.SLIDE_LEGATO
BARS_TO_LEAD_OVER = 3


@dataclass(slots=True)
class Lead:
    """Techniques of a note that lead to the next on its string."""

    row: Row
    bits: Technique
    start: int
    bar: int


@dataclass(slots=True)
class Voice:
    """Where the reader stands in a voice."""

    number: int
    staff: StaffRecord
    graces: list[BeatRecord] = field(default_factory=list)  # waiting for the beat that they lead to
    previous: tuple[int, list[Row]] = (0, [])  # start and notes of the beat before
    held: dict[int, Row] = field(default_factory=dict)  # string, or 1000 + pitch → the last note there
    leading: dict[int, Lead] = field(default_factory=dict)  # the same → what leads on from there


@dataclass(slots=True)
class Part:
    """A track as it is gathered."""

    record: TrackRecord
    rows: list[Row] = field(default_factory=list)
    beats: list[tuple[int, ...]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    voices: dict[int, Voice] = field(default_factory=dict)


def read_score(path: Path, limits: Limits) -> Score:
    """The score in the file; see :func:`cadenza.formats.gpif.read`."""
    data = read_bytes(path, limits)
    try:
        return score_of(parse(container.document(data, limits), limits), limits)
    except FormatError as error:
        raise error.at(str(path)) from None
    except CadenzaError as error:
        raise FormatError(error.expected, error.actual, where=f"{path}, {error.where}", hint=error.hint) from error


def score_of(document: Document, limits: Limits) -> Score:
    """The score that a document says, at 960 ticks a quarter."""
    reader = _Reader(document, limits)
    at = 0
    for number, master in enumerate(document.master_bars):
        at = reader.bar(number, master, at)
        limits.check("quarters", at // TICKS_PER_QUARTER)
    return reader.score(at)


class _Reader:
    def __init__(self, document: Document, limits: Limits) -> None:
        self.document, self.limits = document, limits
        unknown = [name for name in document.order if name not in document.tracks]
        if unknown:
            raise FormatError("tracks that the file describes", f"no track {unknown[0][:20]!r}", where="MasterTrack")
        limits.check("tracks", len(document.order))
        names = document.order or tuple(document.tracks)
        self.parts = [Part(document.tracks[name]) for name in names]
        self.places = [(part, n) for part in self.parts for n in range(len(part.record.staves))]
        self.starts: list[tuple[int, int]] = []  # (start, length as the metre has it) of each bar
        self.steps = 0
        self.max_steps = FEWEST_STEPS + int(STEPS_PER_BYTE * document.n_bytes)
        self.n_notes = self.n_bends = 0
        self.fermatas: frozenset[int] = frozenset()

    # ── bars ─────────────────────────────────────────────────────────────────────────────────────────────

    def bar(self, number: int, master: MasterBarRecord, at: int) -> int:
        """Read a bar of all tracks; where the next begins."""
        length = WHOLE * master.numerator // master.denominator
        self.starts.append((at, length))
        self.fermatas = frozenset(int(at + quarters * TICKS_PER_QUARTER) for quarters in master.fermatas)
        longest = 0
        for (part, staff), name in zip(self.places, master.bars, strict=False):
            if name == "-1":
                continue
            for n, voice_name in enumerate(self._find(self.document.bars, name, "bar")[:MAX_VOICES]):
                if voice_name != "-1":
                    end = self._voice(part, staff, n, voice_name, at, length)
                    longest = max(longest, end - at)
        upbeat = number == 0 and self.document.anacrusis and 0 < longest < length
        return at + (longest if upbeat else length)

    def _find(self, held: dict[str, Any], name: str, what: str) -> Any:
        found = held.get(name)
        if found is None:
            raise FormatError(f"a {what} that the file describes", f"no {what} {name[:20]!r}")
        return found

    def _voice(self, part: Part, staff: int, n: int, name: str, at: int, length: int) -> int:
        number = MAX_VOICES * staff + n
        voice = part.voices.get(number)
        if voice is None:
            voice = part.voices[number] = Voice(number, part.record.staves[staff])
        exact, counted = Fraction(at), at
        names = self._find(self.document.voices, name, "voice")
        self._step(len(names))
        for beat_name in names:
            if beat_name == "-1":
                continue
            beat: BeatRecord = self._find(self.document.beats, beat_name, "beat")
            if beat.grace:
                voice.graces.append(beat)
                continue
            rhythm = self._find(self.document.rhythms, beat.rhythm, "rhythm")
            ticks = rhythm.ticks
            if rhythm.value == 1 and len(names) == 1 and not beat.notes:
                ticks = Fraction(length)  # a whole rest fills its bar, whatever the metre
            start = whole_ticks(exact, counted)
            counted = start + int(ticks)
            exact += ticks
            end = whole_ticks(exact, counted)
            if rhythm.value:
                written = (start, end - start, number, rhythm.value, rhythm.dots, rhythm.enters, rhythm.times)
                part.beats.append(written)
            self._beat(part, voice, beat, start, end)
        if voice.graces:  # nothing in this bar follows them: the last beat's time, or the bar's own
            start, rows = voice.previous
            before = start if at <= start < counted else counted
            self._graces(part, voice, counted, counted, (before, rows))
        return counted

    def _step(self, n: int) -> None:
        self.steps += n
        if self.steps > self.max_steps:
            raise LimitError(f"at most {self.max_steps:,} beats, notes and marks in a file of this size", "more")

    # ── beats ────────────────────────────────────────────────────────────────────────────────────────────

    def _beat(self, part: Part, voice: Voice, beat: BeatRecord, start: int, end: int) -> None:
        onset = start
        lead: dict[int, tuple[int, ...]] = {}
        if voice.graces:
            onset, lead = self._graces(part, voice, start, end, voice.previous)
        rows = self._notes(part, voice, beat, start, onset, end)
        self._beat_marks(part, voice, beat, start)
        for string, values in lead.items():
            if string in voice.held and voice.held[string] in rows:
                part.marks.append(Mark(start, "grace", voice.number, *_place(string), values))
        voice.previous = (start, rows)

    def _graces(
        self, part: Part, voice: Voice, start: int, end: int, lender: tuple[int, list[Row]]
    ) -> tuple[int, dict[int, tuple[int, ...]]]:
        """Read the grace beats that lead to a beat; where its own notes begin, and what leads to which string."""
        graces, voice.graces = voice.graces, []
        n = len(graces)
        before, previous = lender
        length = GRACE_TICKS[min(n, 3) - 1]
        on_beat = any(beat.grace == 1 for beat in graces) or start - before < 2 * n
        if end > start or not on_beat:
            room = (end - start) // 2 if on_beat else (start - before) // 2
            length = min(length, max(room // n, 1))
        first = start if on_beat else start - n * length
        if not on_beat:
            for row in previous:
                row.end = min(row.end, first)
        lead: dict[int, tuple[int, ...]] = {}
        for index, beat in enumerate(graces):
            at = first + index * length
            for row in self._notes(part, voice, beat, at, at, at + length, grace=True):
                value = WHOLE // GRACE_TICKS[min(n, 3) - 1]
                dead = int(bool(row.techniques & Technique.DEAD))
                lead[row.place] = (value, int(on_beat), _transition(row), dead)
        return first + n * length, lead

    def _notes(
        self, part: Part, voice: Voice, beat: BeatRecord, start: int, onset: int, end: int, grace: bool = False
    ) -> list[Row]:
        self._step(len(beat.notes))
        rows: list[Row] = []
        for name in beat.notes:
            note: NoteRecord = self._find(self.document.notes, name, "note")
            string, fret, pitch, natural = _pitch(part.record, voice.staff, note)
            place = string if string != NO_STRING else 1000 + natural
            said = note.techniques
            if beat.tremolo:
                said |= Technique.TREMOLO_PICKING
            row = voice.held.get(place) if note.tied else None
            if row is not None:
                row.end = max(row.end, end)
                row.techniques |= said & ~tables.OF_THE_FIRST
                row.links.append((start, said))
            else:
                found = said | beat.techniques | (Technique.GRACE if grace else Technique.NONE)
                row = Row(onset, end, pitch, string, fret, beat.velocity, found, voice.number, note.spelling, place)
                row.links.append((start, said))
                part.rows.append(row)
                voice.held[place] = row
                self.n_notes += 1
                self.limits.check("notes", self.n_notes)
            if note.bend:
                row.bends.append((onset, note.bend))
                self.n_bends += len(note.bend)
                self.limits.check("bend_points", self.n_bends)
            if not grace:
                self._note_marks(part, voice, beat, note, start, place, natural)
            self._lead(part, voice, note, row, place, start)
            rows.append(row)
        return rows

    def _lead(self, part: Part, voice: Voice, note: NoteRecord, row: Row, place: int, start: int) -> None:
        """A note arrives: what led to it does lead somewhere; and what leads on from it waits."""
        bar = len(self.starts) - 1
        lead = voice.leading.pop(place, None)
        if lead is not None:
            self._arrive(part, voice, lead, lead.bits if bar <= lead.bar + BARS_TO_LEAD_OVER else Technique.NONE)
        if any(kind == "left_hand_tap" for kind, _, _ in note.marks):  # a hammer-on from anywhere
            for other in [p for p, lead in voice.leading.items() if lead.bits & Technique.HAMMER]:
                self._arrive(part, voice, voice.leading.pop(other), Technique.HAMMER)
        bits = note.techniques & LEADING
        if bits:
            voice.leading[place] = Lead(row, bits, start, bar)

    def _arrive(self, part: Part, voice: Voice, lead: Lead, bits: Technique) -> None:
        lead.row.leads |= bits
        lost = lead.bits & ~bits
        if lost:
            part.marks.append(Mark(lead.start, "dangling", voice.number, *_place(lead.row.place), (int(lost),)))

    # ── marks ────────────────────────────────────────────────────────────────────────────────────────────

    def _note_marks(
        self, part: Part, voice: Voice, beat: BeatRecord, note: NoteRecord, start: int, place: int, natural: int
    ) -> None:
        said: list[tuple[str, tuple[int, ...], str]] = list(note.marks)
        if note.bend:
            said.append(("bend", _curve_values(note.bend), ""))
        if note.trill is not None and not part.record.drums:
            said.append(("trill", (note.trill[0] - natural, note.trill[1]), ""))
        if beat.tremolo:
            said.append(("tremolo_picking", (beat.tremolo,), ""))
        if note.touched >= 0:
            said.append(("harmonic", (round(100 * note.touched),), ""))
        self._step(len(said))
        for kind, values, text in said:
            part.marks.append(Mark(start, kind, voice.number, *_place(place), values, text))

    def _beat_marks(self, part: Part, voice: Voice, beat: BeatRecord, start: int) -> None:
        self._step(len(beat.marks))
        for kind, values, text in beat.marks:
            part.marks.append(Mark(start, kind, voice.number, values=values, text=text))
        if beat.whammy:
            part.marks.append(Mark(start, "tremolo_bar", voice.number, values=_curve_values(beat.whammy)))
        if beat.chord in voice.staff.chords:
            part.marks.append(Mark(start, "chord", voice.number, text=voice.staff.chords[beat.chord]))
        if beat.techniques and not beat.notes:
            effect = 2 if beat.techniques & Technique.SLAP else 3
            part.marks.append(Mark(start, "slap_effect", voice.number, values=(effect,)))
        if start in self.fermatas:
            part.marks.append(Mark(start, "fermata", voice.number))

    # ── the score ────────────────────────────────────────────────────────────────────────────────────────

    def score(self, length_ticks: int) -> Score:
        """The score of all bars read."""
        metres: list[Metre] = []
        keys, bars, markers = [], [], []
        key = (0, False)
        for number, ((at, _), master) in enumerate(zip(self.starts, self.document.master_bars, strict=True)):
            signature = (master.numerator, master.denominator)
            if not metres or signature != (metres[-1].numerator, metres[-1].denominator):
                metres.append(Metre(at, *signature))
            if (master.fifths, master.minor) != key:
                key = (master.fifths, master.minor)
                keys.append(Key(at, fold_key(master.fifths), "minor" if master.minor else "major"))
            special = master.repeat_open or master.repeat_close or master.endings or master.directions
            after_upbeat = number == 1 and at != self.starts[0][1]
            if special or after_upbeat:
                bars.append(BarMark(at, master.repeat_open, master.repeat_close, master.endings, master.directions))
            if master.section is not None:
                markers.append(Marker(at, master.section))
        for part in self.parts:
            for voice in part.voices.values():
                for lead in voice.leading.values():
                    self._arrive(part, voice, lead, Technique.NONE)
            for row in part.rows:
                row.techniques &= ~LEADING | row.leads
                if len(row.links) > 1:
                    part.marks += _tied_marks(row)
            part.marks += dispatched(part.record.lyrics, part.rows, part.marks, [at for at, _ in self.starts])
        return Score(
            tracks=tuple(
                built(part.record, part.rows, part.beats, part.marks, self._pedal(part)) for part in self.parts
            ),
            ticks_per_quarter=TICKS_PER_QUARTER,
            tempos=self._tempos(),
            metres=tuple(metres),
            keys=tuple(keys),
            bars=tuple(bars),
            markers=tuple(markers),
            title=self.document.title,
            composer=self.document.artist,
            length_ticks=length_ticks,
        )

    def _tick(self, change: Automation) -> int:
        at, length = self.starts[change.bar]
        return at + round(change.position * length)

    def _tempos(self) -> tuple[Tempo, ...]:
        said = {0: 120.0}
        for change in self.document.tempos:
            tempo = change.value * tables.TEMPO_UNITS.get(change.unit, 1.0)
            if tempo > 0 and 0 <= change.bar < len(self.starts):
                said[self._tick(change)] = tempo
        out: list[Tempo] = []
        for tick, tempo in sorted(said.items()):
            if not out or out[-1].quarters_per_minute != tempo:
                out.append(Tempo(tick, tempo))
        return tuple(out)

    def _pedal(self, part: Part) -> list[tuple[int, int]]:
        """(tick, value) of the sustain pedal."""
        changes = [a for a in part.record.automations if a.kind == "SustainPedal" and 0 <= a.bar < len(self.starts)]
        # Reference 1 is down, 3 up; between them the file repeats that it is held.
        return [(self._tick(a), 127 if a.unit == 1 else 0) for a in changes if a.unit in (1, 3)]


def _tied_marks(row: Row) -> list[Mark]:
    """Where the links of a chain of tied notes say something else than the usual."""
    out = []
    last = len(row.links) - 1
    for number, (start, said) in enumerate(row.links):
        bits = said & row.techniques & ~tables.OF_THE_FIRST
        usual = tables.usual_bits(row.techniques, number == 0, number == last) & ~tables.OF_THE_FIRST
        if bits != usual:
            out.append(Mark(start, "tied", row.voice, *_place(row.place), (int(bits),)))
    return out


def _place(place: int) -> tuple[int, int]:
    """(string, pitch) of a mark."""
    return (place, -1) if place < 1000 else (NO_STRING, place - 1000)


def _transition(row: Row) -> int:
    if row.techniques & (Technique.SLIDE_LEGATO | Technique.SLIDE_SHIFT):
        return 1
    if row.bends:
        return 2
    return 3 if row.techniques & Technique.HAMMER else 0


def _curve_values(curve: Curve) -> tuple[int, ...]:
    """Type 0, height, and position (0–60), height (quarter-tones), no vibrato for each point."""
    points = [(round(offset * 0.6), round(value / 25)) for offset, value in curve]
    return (0, max((h for _, h in points), key=abs), *(n for position, h in points for n in (position, h, 0)))


def _pitch(track: TrackRecord, staff: StaffRecord, note: NoteRecord) -> tuple[int, int, int, int]:
    """(string, fret, sounding pitch, pitch without a harmonic) of a note; string counted from the highest."""
    if track.drums:
        key = track.kit.key(note.articulation, note.element)
        note.techniques &= ~HARMONICS
        return NO_STRING, -1, key, key
    n = len(staff.tuning)
    if not 0 <= note.string < n:
        if (note.string >= 0 and n) or not 0 <= note.pitch <= HIGHEST_PITCH:
            raise FormatError(f"one of {n} strings or a pitch of 0–127", f"string {note.string}, pitch {note.pitch}")
        note.techniques &= ~HARMONICS
        return NO_STRING, -1, note.pitch, note.pitch
    nut = staff.tuning[note.string] + staff.capo
    fretted = sounding = nut + note.fret
    if note.fret > HIGHEST_PITCH or not 0 <= fretted <= HIGHEST_PITCH:
        raise FormatError("pitches of 0–127", f"{fretted} at fret {note.fret}")
    if note.techniques & HARMONICS:
        if note.techniques & Technique.HARMONIC_NATURAL:
            sounding = nut + tables.partial(note.touched if note.touched >= 0 else note.fret)
        else:
            sounding = fretted + (tables.partial(note.touched) if note.touched >= 0 else OCTAVE)
        if sounding > HIGHEST_PITCH:  # MIDI has no number for it: the note as it is fretted
            sounding = fretted
            note.techniques &= ~HARMONICS
    first = track.staves[0]
    if note.fret < 0 or staff.tuning != first.tuning or staff.capo != first.capo:
        # A keyboard's note below its lowest "string", or a Track of two tunings: it has that of the first staff.
        return NO_STRING, -1, sounding, fretted
    return n - note.string, note.fret, sounding, fretted
