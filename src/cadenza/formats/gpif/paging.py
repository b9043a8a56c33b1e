"""Score → GPIF records: beats and their notes, with what is written at them.

What comes out is a whole :class:`~cadenza.formats.gpif.document.Document`; :mod:`cadenza.formats.gpif.reading` reads
it like one from a file, which is how the projection knows what a file will say.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from cadenza.formats.gpif import tables
from cadenza.formats.gpif.arranging import (
    NO_STRING_PLACE,
    VOICES_OF_A_STAFF,
    Item,
    Plan,
    PlannedBeat,
    arranged,
    marks_by_beat,
)
from cadenza.formats.gpif.curves import bend_of, dive_of
from cadenza.formats.gpif.document import Document
from cadenza.formats.gpif.records import (
    VERSES,
    Automation,
    BeatRecord,
    Curve,
    MasterBarRecord,
    NoteRecord,
    RhythmRecord,
    Said,
    StaffRecord,
    TrackRecord,
)
from cadenza.score.model import HARMONICS, Note, Score, Technique, Track
from cadenza.score.rhythm import QUARTER
from cadenza.score.time import BarTable, bar_table, key_at
from cadenza.score.written import Mark

OF_A_BEAT = Technique.SLAP | Technique.POP
LEADING = Technique.HAMMER | Technique.SLIDE_SHIFT | Technique.SLIDE_LEGATO
ALL_TECHNIQUES = int(sum(Technique, Technique.NONE))
NOT_WRITTEN = Technique.GRACE | Technique.TREMOLO_PICKING | OF_A_BEAT  # said by beats
SUSTAIN = 64
SaidThere = dict[str, tuple[tuple[int, ...], str]]  # kind → values and text, at one beat or note


def document_of(score: Score) -> Document:
    """The records that say a score to which all other edits of the projection were applied."""
    table = bar_table(score)
    out = Document()
    out.title, out.artist = score.title, score.composer
    _master_bars(out, score, table)
    rhythms: dict[tuple[int, int, int, int], str] = {}
    for index, track in enumerate(score.tracks):
        name = str(index)
        out.tracks[name] = _track(track, table)
        _Pager(out, track, out.tracks[name], rhythms).bars(arranged(track, table), table)
    out.order = tuple(out.tracks)
    out.n_bytes = 1 << 40  # of our own making: nothing to distrust
    return out


# ── what holds for all tracks ────────────────────────────────────────────────────────────────────────────


def _master_bars(out: Document, score: Score, table: BarTable) -> None:
    names: dict[int, str] = {marker.onset_ticks: marker.text for marker in score.markers}
    fermatas = sorted({m.onset_ticks for track in score.tracks for m in track.marks if m.kind == "fermata"})
    starts, ends = table.starts_ticks.tolist(), table.ends_ticks.tolist()
    for start, stop, metre, mark in zip(starts, ends, table.metres, table.marks, strict=True):
        bar = MasterBarRecord(numerator=metre.numerator, denominator=metre.denominator, section=names.get(start))
        key = key_at(score, start)
        if key is not None:
            bar.fifths, bar.minor = key.fifths, key.mode == "minor"
        bar.fermatas = tuple(Fraction(tick - start, QUARTER) for tick in fermatas if start <= tick < stop)
        if mark is not None:
            bar.repeat_open, bar.repeat_close = mark.repeat_open, mark.repeat_close
            bar.endings, bar.directions = mark.endings, mark.directions
        out.master_bars.append(bar)
    out.anacrusis = starts[1:] != [] and ends[0] - starts[0] < _full(out.master_bars[0])
    for tempo in score.tempos:
        bar_index = int(table.index_of(tempo.onset_ticks))
        position = (tempo.onset_ticks - starts[bar_index]) / _full(out.master_bars[bar_index])
        out.tempos.append(Automation("Tempo", bar_index, position, tempo.quarters_per_minute, 2))


def _full(bar: MasterBarRecord) -> int:
    return 4 * QUARTER * bar.numerator // bar.denominator


def _track(track: Track, table: BarTable) -> TrackRecord:
    strings = () if track.is_drums else track.tuning[::-1]
    staff = StaffRecord(strings, track.capo_fret)
    out = TrackRecord(track.name, track.program, track.is_drums)
    n_staves = 1 + any(int(v) >= VOICES_OF_A_STAFF for v in (*track.notes["voice"], *track.beats["voice"]))
    out.staves = [staff] * n_staves
    names = sorted({mark.text for mark in track.marks if mark.kind == "chord"})
    staff.chords = {str(number): name for number, name in enumerate(names)}
    for mark in track.marks:
        if mark.kind == "transposition" and mark.values:
            out.transposition = mark.values[0]
    if track.is_drums:
        out.kit.keys = sorted({int(pitch) for pitch in track.notes["pitch"]})
    starts = table.starts_ticks.tolist()
    for control in track.controls:
        bar = int(table.index_of(int(control["onset_ticks"])))
        length = 4 * QUARTER * table.metres[bar].numerator // table.metres[bar].denominator
        position = (int(control["onset_ticks"]) - starts[bar]) / length
        out.automations.append(Automation("SustainPedal", bar, position, 0.0, 1 if control["value"] >= 64 else 3))
    return out


# ── beats and notes ──────────────────────────────────────────────────────────────────────────────────────


class _Pager:
    """Files the beats of one track."""

    def __init__(
        self,
        document: Document,
        track: Track,
        record: TrackRecord,
        rhythms: dict[tuple[int, int, int, int], str],
    ) -> None:
        self.document, self.track, self.record, self.rhythms = document, track, record, rhythms
        self.marks = marks_by_beat(track.marks)
        self.chords = {name: number for number, name in record.staves[0].chords.items()}
        self.links: dict[int, list[PlannedBeat]] = {}  # of each item, by id()
        self.bits: dict[tuple[int, int], Technique] = {}  # by id() of the item and start of the link
        self.bends: dict[tuple[int, int], Curve] = {}  # by id() of the item and start of the link

    def bars(self, plan: Plan, table: BarTable) -> None:
        """All bars of the track."""
        for beats in plan.values():
            for beat in beats:
                for item in (*beat.begun, *beat.tied):
                    self.links.setdefault(id(item), []).append(beat)
        for beats in plan.values():
            for beat in beats:
                for item in beat.begun:
                    self._bend(item)
                for item in (*beat.begun, *beat.tied):
                    if self.links[id(item)][0] is beat:
                        self._spread(item)
        n_staves = len(self.record.staves)
        for bar in range(len(table)):
            master = self.document.master_bars[bar]
            for staff in range(n_staves):
                voices = []
                for n in range(VOICES_OF_A_STAFF):
                    voice = VOICES_OF_A_STAFF * staff + n
                    held = plan.get((bar, voice))
                    voices.append("-1" if held is None else self._voice(voice, held))
                name = str(len(self.document.bars))
                self.document.bars[name] = tuple(voices)
                master.bars = (*master.bars, name)

    def _voice(self, voice: int, beats: list[PlannedBeat]) -> str:
        names: list[str] = []
        for beat in beats:
            groups = {id(i.graces): i.graces for i in (*beat.begun, *beat.tied) if i.graces and i.start == beat.start}
            going_on = {item.place for item in beat.tied if item.from_grace and item.start == beat.start}
            for group in groups.values():
                for chord in group.chords if group else ():
                    names.append(self._grace(chord, group.on_beat, going_on))
            names.append(self._beat(voice, beat))
        name = str(len(self.document.voices))
        self.document.voices[name] = tuple(names)
        return name

    def _beat(self, voice: int, beat: PlannedBeat) -> str:
        of_notes: dict[int, SaidThere] = {}
        for mark in self.marks.get((voice, beat.start), ()):
            of_notes.setdefault(_place_of(mark), {}).setdefault(mark.kind, (mark.values, mark.text))
        said = of_notes.pop(0, {})
        out = BeatRecord(rhythm=self._rhythm(beat.rhythm))
        out.marks = tuple(_beat_marks(said, self.marks.get((voice, beat.start), ())))
        out.chord = self.chords.get(said["chord"][1], "") if "chord" in said else ""
        if "tremolo_bar" in said:
            out.whammy = _whammy(said["tremolo_bar"][0])
        out.velocity = max((item.note.velocity for item in beat.begun), default=out.velocity)
        for item in (*beat.begun, *beat.tied):
            bits = self.bits[id(item), beat.start]
            out.techniques |= bits & OF_A_BEAT
            if bits & Technique.TREMOLO_PICKING:
                values, _ = of_notes.get(item.place, {}).get("tremolo_picking", ((16,), ""))
                out.tremolo = values[0] if values and values[0] in tables.TREMOLOS.values() else 16
        if not beat.begun and not beat.tied and said.get("slap_effect", ((0,), ""))[0][:1] in ((2,), (3,)):
            out.techniques = Technique.SLAP if said["slap_effect"][0][0] == 2 else Technique.POP
        notes = []
        for item in sorted((*beat.begun, *beat.tied), key=lambda item: -item.place):
            notes.append(self._note(item, beat, item in beat.begun, of_notes.get(item.place, {})))
        return self._file_beat(out, notes)

    def _file_beat(self, out: BeatRecord, notes: list[NoteRecord]) -> str:
        names = []
        for note in notes:
            names.append(str(len(self.document.notes)))
            self.document.notes[names[-1]] = note
        out.notes = tuple(names)
        name = str(len(self.document.beats))
        self.document.beats[name] = out
        return name

    def _grace(self, chord: list[Note], on_beat: bool, going_on: set[int]) -> str:
        out = BeatRecord(rhythm=self._rhythm(RhythmRecord(Fraction(QUARTER // 2), 8, 0, 1, 1)), grace=2 - on_beat)
        out.velocity = max(note.velocity for note in chord)
        notes, taken = [], set()
        for note in sorted(chord, key=lambda note: (-note.string, note.pitch)):
            place = NO_STRING_PLACE + note.pitch if self.track.is_drums else note.string
            if place not in taken:
                record = self._plain(note)
                record.techniques = tables.usual_bits(note.techniques, True, place not in going_on) & ~NOT_WRITTEN
                record.bend = bend_of(
                    [(b.offset_ticks, b.cents) for b in note.bends], 0, max(note.duration_ticks, 1), True
                )
                if record.techniques & Technique.TRILL:
                    record.trill = (self._natural(note) + 2, 16)
                out.techniques |= note.techniques & OF_A_BEAT
                notes.append(record)
                taken.add(place)
        return self._file_beat(out, notes)

    def _rhythm(self, rhythm: RhythmRecord) -> str:
        key = (rhythm.value, rhythm.dots, rhythm.enters, rhythm.times)
        if key not in self.rhythms:
            self.rhythms[key] = str(len(self.rhythms))
            self.document.rhythms[self.rhythms[key]] = rhythm
        return self.rhythms[key]

    def _plain(self, note: Note) -> NoteRecord:
        out = NoteRecord(spelling=note.spelling)
        if self.track.is_drums:
            out.articulation = self.record.kit.keys.index(note.pitch)
            return out
        out.string, out.fret = len(self.track.tuning) - note.string, note.fret
        out.pitch = self._natural(note)
        if note.techniques & HARMONICS:
            above = note.pitch - out.pitch
            if note.techniques & Technique.HARMONIC_NATURAL:
                above += note.fret
            out.touched = tables.node(above, note.fret)
        return out

    def _natural(self, note: Note) -> int:
        """The pitch without a harmonic."""
        if self.track.is_drums:
            return note.pitch
        return self.track.tuning[note.string - 1] + self.track.capo_fret + note.fret

    def _note(self, item: Item, beat: PlannedBeat, begins: bool, said: SaidThere) -> NoteRecord:
        note = item.note
        out = self._plain(note)
        out.tied = not begins
        bits = self.bits[id(item), beat.start]
        if not begins and not (note.techniques & HARMONICS and "harmonic" in said):
            out.touched = -1.0
        elif not begins:  # it says again that it is one
            bits |= note.techniques & HARMONICS
        if "dangling" in said and said["dangling"][0]:
            bits |= Technique(said["dangling"][0][0] & int(LEADING))
        out.techniques = bits & ~NOT_WRITTEN
        if bits & Technique.TRILL:
            steps, speed = (*said.get("trill", ((2, 16), ""))[0], 16, 16)[:2]
            other = out.pitch + steps
            speed = speed if speed in tables.TRILL_SPEEDS else 16
            out.trill = (other if not self.track.is_drums and 0 <= other <= 127 else out.pitch + 2, speed)
        out.bend = self.bends.get((id(item), beat.start), ())
        out.marks = tuple(_note_marks(said, out.techniques))
        return out

    def _spread(self, item: Item) -> None:
        """Decide which link of a tied note says which of its techniques: as marks say, else as usual."""
        links = self.links[id(item)]
        own = item.note.techniques & ~Technique.GRACE
        shared = own & ~tables.OF_THE_FIRST
        last = len(links) - 1
        usual = [tables.usual_bits(own, n == 0 and not item.from_grace, n == last) for n in range(len(links))]
        said = []
        for beat, bits in zip(links, usual, strict=True):
            marks = self.marks.get((item.voice, beat.start), ()) if last or item.from_grace else ()
            tied = [m.values[0] for m in marks if m.kind == "tied" and _place_of(m) == item.place and m.values]
            said.append(Technique(tied[0] & ALL_TECHNIQUES) & shared if tied else bits & shared)
        missing = shared
        for bits in said:
            missing &= ~bits
        for beat, bits, usually in zip(links, said, usual, strict=True):
            self.bits[id(item), beat.start] = bits | usually & (missing | tables.OF_THE_FIRST)

    def _bend(self, item: Item) -> None:
        """Spread a note's curve over its links: a curve of its own for each at which a mark says that one begins."""
        points = [(bend.offset_ticks, bend.cents) for bend in item.note.bends]
        if not points:
            return
        onset, end = item.note.onset_ticks, item.note.onset_ticks + max(item.note.duration_ticks, 1)
        links = self.links[id(item)]
        begun = [
            beat
            for beat in links[1:]
            if any(
                mark.kind == "bend" and _place_of(mark) == item.place
                for mark in self.marks.get((item.voice, beat.start), ())
            )
        ]
        edges = [onset, *(beat.start for beat in begun if onset < beat.start < end), end]
        places = [links[0].start, *edges[1:-1]]
        for place, low, high in zip(places, edges, edges[1:], strict=False):
            curve = bend_of(points, low - onset, high - onset, high == end, self._is_held(item, place))
            if curve:
                self.bends[id(item), place] = curve

    def _is_held(self, item: Item, start: int) -> bool:
        """Whether a mark says that the bend at this link ends where the link's part does."""
        marks = self.marks.get((item.voice, start), ())
        return any(m.kind == "bend" and _place_of(m) == item.place and m.values[-3:-2] == (60,) for m in marks)


def _place_of(mark: Mark) -> int:
    """The lane that a mark speaks of; 0 = the beat."""
    return mark.string or (NO_STRING_PLACE + mark.pitch if mark.pitch >= 0 else 0)


def _beat_marks(said: SaidThere, marks: Iterable[Mark]) -> list[Said]:
    """The marks at a beat that a file can hold, in the order in which it says them."""
    out: list[Said] = []
    for kind, (values, text) in said.items():
        if kind in tables.BEAT_MARK_VALUES and values in tables.BEAT_MARK_VALUES[kind]:
            out.append((kind, values, ""))
        elif kind in ("wide_vibrato", "legato", "dead_slap"):
            out.append((kind, (), ""))
        elif (kind == "text" and text) or kind == "rasgueado":
            out.append((kind, (), text))
        elif kind == "stroke" and values[:1] in ((1,), (2,)):
            speed = values[1] if len(values) > 1 and values[1] in tables.STROKE_SPEEDS else 0
            out.append((kind, (values[0], speed), ""))
        elif kind == "pick_stroke" and values[:1] in ((1,), (2,)):
            out.append((kind, values[:1], ""))
        elif kind == "barre" and len(values) == 2 and 0 <= values[0] <= 99:
            out.append((kind, (values[0], int(bool(values[1]))), ""))
    verses: dict[int, str] = {}
    for mark in marks:
        if mark.kind == "lyric" and mark.values and 1 <= mark.values[0] <= VERSES and mark.text:
            verses.setdefault(mark.values[0], mark.text)
    return out + [("lyric", (verse,), text) for verse, text in sorted(verses.items())]


def _note_marks(said: SaidThere, techniques: Technique) -> list[Said]:
    """The marks at a note that a file can hold."""
    out: list[Said] = []
    for kind, (values, text) in said.items():
        if (kind == "strong_vibrato" and techniques & Technique.VIBRATO) or kind == "left_hand_tap":
            out.append((kind, (), ""))
        elif kind == "pick_slide" and values[:1] in ((1,), (2,)):
            out.append((kind, values[:1], ""))
        elif (kind == "articulation" and text == "tenuto") or (kind == "ornament" and text in tables.ORNAMENT_NAMES):
            out.append((kind, (), text))
        elif kind == "fingering" and len(values) == 2:
            known = tuple(finger if finger in tables.FINGER_NAMES else -2 for finger in values)
            if known != (-2, -2):
                out.append((kind, known, ""))
    return out


def _whammy(values: tuple[int, ...]) -> Curve:
    points = [(position / 0.6, height * 25.0) for position, height in zip(values[2::3], values[3::3], strict=False)]
    points = sorted(point for point in points if 0 <= point[0] <= 100 and abs(point[1]) <= 6_000)
    return dive_of(points)
