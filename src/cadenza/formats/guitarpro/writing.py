"""Score → .gp5, through PyGuitarPro."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

from guitarpro import models as gp
from guitarpro.gp5 import GP5File

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.formats.guitarpro import techniques as effects
from cadenza.formats.guitarpro.projection import ENCODING, arranged, prepared, settled
from cadenza.score.model import Score, Technique
from cadenza.score.tab.effects import BEND_POSITIONS
from cadenza.score.tab.harmonics import OCTAVE
from cadenza.score.tab.page import Arranged, Beat, Item, Link, Page
from cadenza.score.time import BarTable, bar_table
from cadenza.score.written import DIRECTIONS, TARGETS

DRUM_CHANNEL = 9
N_CHANNELS = 64
VERSION, VERSION_TEXT = (5, 1, 0), "FICHIER GUITAR PRO v5.10"
DRUM_STRINGS = Page().drum_strings
OCTAVES = {1: "ottava", 2: "quindicesima", -1: "ottavaBassa", -2: "quindicesimaBassa"}


class _Writer(GP5File):
    def writeMeasureHeaderValues(self, header: gp.MeasureHeader, flags: int) -> None:
        super().writeMeasureHeaderValues(header, flags)
        if flags & 0x10 and flags & 0x03:
            # Guitar Pro has the endings behind the four beam groups, PyGuitarPro before; the swing comes last.
            self.data.seek(-6, 1)
            endings, *beams, swing = self.data.read(6)
            self.data.seek(-6, 1)
            self.data.write(bytes([*beams, endings, swing]))


def write_score(score: Score, path: Path) -> None:
    """Write ``score``; see :func:`cadenza.formats.guitarpro.write`."""
    score = prepared(score)
    parts = arranged(score)
    song = _song(settled(score, parts), parts)
    buffer = BytesIO()
    try:
        _Writer(buffer, ENCODING, version=VERSION_TEXT, versionTuple=VERSION).writeSong(song)
    except Exception as error:  # a third-party writer: what it cannot pack it raises as struct.error or worse
        raise FormatError(
            "a score that Guitar Pro 5 can hold", f"{type(error).__name__}: {error}", where=str(path)
        ) from error
    write_atomically(path, buffer.getvalue())


def _song(score: Score, parts: list[Arranged]) -> gp.Song:
    table = bar_table(score)
    song = gp.Song(tracks=[], measureHeaders=[])
    song.versionTuple = VERSION
    song.title, song.artist = score.title, score.composer
    song.tempo = int(score.tempos[0].quarters_per_minute)
    song.measureHeaders = _headers(score, table)
    song.key = song.measureHeaders[0].keySignature
    song.key = gp.KeySignature((song.key.value[0], 0))
    for index, (part, channel) in enumerate(zip(parts, _channels(parts), strict=True)):
        song.tracks.append(_track(song, index, part, channel))
    return song


_SIGNS = {
    direction: " ".join("al" if word == "al" else word.capitalize() for word in direction.split("-"))
    for direction in DIRECTIONS
}


def _headers(score: Score, table: BarTable) -> list[gp.MeasureHeader]:
    names = {marker.onset_ticks: marker.text for marker in score.markers}
    keys = {key.onset_ticks: gp.KeySignature((key.fifths, int(key.mode == "minor"))) for key in score.keys}
    key = gp.KeySignature.CMajor
    out = []
    for number, (start, metre, mark) in enumerate(
        zip(table.starts_ticks.tolist(), table.metres, table.marks, strict=True), 1
    ):
        key = keys.get(start, key)
        header = gp.MeasureHeader(number=number, start=start + gp.Duration.quarterTime, keySignature=key)
        header.timeSignature = gp.TimeSignature(metre.numerator, gp.Duration(metre.denominator))
        if start in names:
            header.marker = gp.Marker(title=names[start])
        if mark is not None:
            header.isRepeatOpen = mark.repeat_open
            header.repeatClose = mark.repeat_close - 1 if mark.repeat_close else -1
            header.repeatAlternative = sum(1 << (ending - 1) for ending in mark.endings)
            for direction in mark.directions:
                sign = gp.DirectionSign(_SIGNS[direction])
                if direction in TARGETS:
                    header.direction = sign
                else:
                    header.fromDirection = sign
        out.append(header)
    return out


def _channels(parts: list[Arranged]) -> list[gp.MidiChannel]:
    """A channel for each track, and one for its effects, as long as the 64 last; then one for each program.

    Raises:
        FormatError: more programs than channels.
    """
    free = [c for c in range(N_CHANNELS) if c % 16 != DRUM_CHANNEL]
    pitched = [part.track.program for part in parts if not part.track.is_drums]
    own = len(pitched) <= len(free)
    pairs = 2 * len(pitched) <= len(free)
    programs = sorted(set(pitched))
    if not own and len(programs) > len(free):
        raise FormatError(f"at most {len(free)} programs in so many tracks", str(len(programs)))
    out, used = [], 0
    for part in parts:
        if part.track.is_drums:
            out.append(gp.MidiChannel(channel=DRUM_CHANNEL, effectChannel=DRUM_CHANNEL, instrument=0))
            continue
        program = part.track.program
        first = free[used] if own else free[programs.index(program)]
        second = free[used + 1] if pairs else first
        used += 2 if pairs else 1
        out.append(gp.MidiChannel(channel=first, effectChannel=second, instrument=program))
    return out


def _track(song: gp.Song, index: int, part: Arranged, channel: gp.MidiChannel) -> gp.Track:
    track = part.track
    out = gp.Track(song, index + 1, name=track.name, measures=[], channel=channel, fretCount=24)
    out.isPercussionTrack = track.is_drums
    tuning = (0,) * DRUM_STRINGS if track.is_drums else track.tuning
    out.strings = [gp.GuitarString(number, pitch) for number, pitch in enumerate(tuning, 1)]
    out.offset = track.capo_fret
    out.port = channel.channel // 16 + 1
    for bar, header in enumerate(song.measureHeaders):
        measure = gp.Measure(out, header)
        out.measures.append(measure)
        for number, voice in enumerate(measure.voices):
            beats = part.beats.get((bar, number))
            if beats is None:
                voice.beats = [gp.Beat(voice, status=gp.BeatStatus.empty)]
                continue
            voice.beats = [_beat(voice, beat) for beat in beats]
    return out


def _beat(voice: gp.Voice, beat: Beat) -> gp.Beat:
    out = gp.Beat(voice)
    length = beat.length
    out.duration = gp.Duration(length.value, length.dotted, gp.Tuplet(length.enters, length.times))
    out.status = gp.BeatStatus.normal if beat.links else gp.BeatStatus.rest
    out.notes = [_note(out, link) for link in beat.links]
    effect = out.effect
    shared = beat.begun[0].techniques if beat.begun else Technique.NONE
    for slap, technique in effects.BEAT_SLAPS.items():
        if technique & shared:
            effect.slapEffect = slap
    for kind, (values, text) in beat.marks.items():
        _mark(out, kind, values, text)
    if beat.tempo:
        effect.mixTableChange = gp.MixTableChange(tempo=gp.MixTableItem(beat.tempo), hideTempo=False)
    return out


def _mark(beat: gp.Beat, kind: str, values: tuple[int, ...], text: str) -> None:
    effect = beat.effect
    if kind == "stroke":
        effect.stroke = gp.BeatStroke(gp.BeatStrokeDirection(values[0]), values[1])
    elif kind == "pick_stroke":
        effect.pickStroke = gp.BeatStrokeDirection(values[0])
    elif kind == "tremolo_bar":
        effect.tremoloBar = _bend(values)
    elif kind == "wide_vibrato":
        effect.vibrato = True
    elif kind == "fade":
        effect.fadeIn = True
    elif kind == "rasgueado":
        effect.hasRasgueado = True
    elif kind == "slap_effect":
        effect.slapEffect = gp.SlapEffect(values[0])
    elif kind == "ottava":
        beat.octave = gp.Octave[OCTAVES[values[0]]]
    elif kind == "text":
        beat.text = text
    elif kind == "chord":
        n_strings = len(beat.voice.measure.track.strings)
        effect.chord = gp.Chord(n_strings, name=text, sharp=False, add=False, firstFret=0, show=False, newFormat=True)


def _note(gp_beat: gp.Beat, link: Link) -> gp.Note:
    item, said = link.item, link.marks
    note = gp.Note(gp_beat, value=item.fret, velocity=item.velocity, string=item.string)
    note.type = gp.NoteType.normal if link.is_first else gp.NoteType.tie
    if item.techniques & Technique.DEAD and link.is_first:
        note.type = gp.NoteType.dead
    if "tie" in said:
        note.type = gp.NoteType.tie
    effect, written = note.effect, link.bits
    for name, technique in effects.NOTE_FLAGS.items():
        setattr(effect, name, bool(technique & written))
    effect.slides = [slide for slide, technique in effects.SLIDES.items() if technique & written]
    for kind, technique in effects.HARMONICS.items():
        if technique & written:
            effect.harmonic = _harmonic(kind, gp_beat.voice.measure.track, item, said.get("harmonic"))
    if "trill" in said:
        above, speed = said["trill"]
        effect.trill = gp.TrillEffect(item.fret + above, gp.Duration(speed))
    if "tremolo_picking" in said:
        effect.tremoloPicking = gp.TremoloPickingEffect(gp.Duration(said["tremolo_picking"][0]))
    if "fingering" in said:
        effect.leftHandFinger, effect.rightHandFinger = (
            gp.Fingering(max(finger, gp.Fingering.open.value)) for finger in said["fingering"]
        )
    if "bend" in said:
        effect.bend = _bend(said["bend"])
    if "grace" in said and item.grace is not None:
        value, on_beat, transition, dead = said["grace"]
        kind = gp.GraceEffectTransition(transition)
        effect.grace = gp.GraceEffect(value, item.grace.fret, bool(dead), bool(on_beat), kind, item.grace.velocity)
    return note


def _harmonic(
    kind: type[gp.HarmonicEffect], track: gp.Track, item: Item, named: tuple[int, ...] | None
) -> gp.HarmonicEffect:
    fretted = track.strings[item.string - 1].value + item.fret
    above = OCTAVE if track.isPercussionTrack else item.pitch - fretted - track.offset
    if kind is gp.TappedHarmonic:
        return effects.tapped(above, 0 if track.isPercussionTrack else item.fret, named)
    return effects.artificial(above, fretted, named) if kind is gp.ArtificialHarmonic else kind()


def _bend(values: tuple[int, ...]) -> gp.BendEffect:
    kind, height, *points = values
    return gp.BendEffect(
        gp.BendType(kind),
        height * GP5File.bendSemitone,
        [
            # PyGuitarPro counts positions to 12; fifths of them are the file's own sixtieths.
            gp.BendPoint(Fraction(position * gp.BendEffect.maxPosition, BEND_POSITIONS), value, bool(vibrato))
            for position, value, vibrato in zip(points[::3], points[1::3], points[2::3], strict=True)
        ],
    )
