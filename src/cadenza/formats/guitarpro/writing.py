"""Score → .gp5, through PyGuitarPro."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

from guitarpro import models as gp
from guitarpro.gp5 import GP5File

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.formats.guitarpro import techniques as effects
from cadenza.formats.guitarpro.arrange import (
    BEND_POSITIONS,
    DRUM_STRINGS,
    Arranged,
    Beat,
    Item,
    bend_position,
    bend_units,
)
from cadenza.formats.guitarpro.harmonics import OCTAVE
from cadenza.formats.guitarpro.projection import ENCODING, arranged, prepared, settled
from cadenza.score.model import Score, Technique
from cadenza.score.time import BarTable, bar_table

DRUM_CHANNEL = 9
N_CHANNELS = 64
VERSION, VERSION_TEXT = (5, 1, 0), "FICHIER GUITAR PRO v5.10"
GRACE_VALUE = 32
WHOLE_TONE_ABOVE = 2  # the fret a trill goes to: a Score does not say
# Where a tied note's technique is written: at the end of the chain, on every link, or (others) at its start.
AT_THE_END = (
    Technique.HAMMER
    | Technique.SLIDE_SHIFT
    | Technique.SLIDE_LEGATO
    | Technique.SLIDE_OUT_DOWN
    | Technique.SLIDE_OUT_UP
)
THROUGHOUT = Technique.LET_RING | Technique.VIBRATO | Technique.PALM_MUTE


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
    changes = {tempo.onset_ticks: int(tempo.quarters_per_minute) for tempo in score.tempos[1:]}
    channels = _channels(parts)
    for index, (part, channel) in enumerate(zip(parts, channels, strict=True)):
        song.tracks.append(_track(song, index, part, channel, changes if index == 0 else {}))
    return song


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


def _track(song: gp.Song, index: int, part: Arranged, channel: gp.MidiChannel, changes: dict[int, int]) -> gp.Track:
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
            voice.beats = [_beat(voice, beat, changes if number == 0 else {}) for beat in beats]
    return out


def _beat(voice: gp.Voice, beat: Beat, changes: dict[int, int]) -> gp.Beat:
    out = gp.Beat(voice)
    length = beat.length
    out.duration = gp.Duration(length.value, length.dotted, gp.Tuplet(length.enters, length.times))
    out.status = gp.BeatStatus.normal if beat.begun or beat.tied else gp.BeatStatus.rest
    out.notes = [_note(out, beat, item, tied=False) for item in beat.begun]
    out.notes += [_note(out, beat, item, tied=True) for item in beat.tied]
    shared = beat.begun[0].techniques if beat.begun else Technique.NONE
    for slap, technique in effects.BEAT_SLAPS.items():
        if technique & shared:
            out.effect.slapEffect = slap
    tempo = changes.get(beat.start)
    if tempo is not None:
        out.effect.mixTableChange = gp.MixTableChange(tempo=gp.MixTableItem(tempo), hideTempo=False)
    return out


def _note(gp_beat: gp.Beat, beat: Beat, item: Item, tied: bool) -> gp.Note:
    note = gp.Note(gp_beat, value=item.fret, velocity=item.velocity, string=item.string)
    note.type = gp.NoteType.tie if tied else gp.NoteType.normal
    if item.techniques & Technique.DEAD and not tied:
        note.type = gp.NoteType.dead
    effect = note.effect
    # A grace note before the next beat shortens the sound, not the beat.
    ends = item.end <= beat.end
    written = item.techniques & THROUGHOUT
    if not tied:
        written |= item.techniques & ~AT_THE_END
    if ends:
        written |= item.techniques & AT_THE_END
    for name, technique in effects.NOTE_FLAGS.items():
        setattr(effect, name, bool(technique & written))
    effect.slides = [slide for slide, technique in effects.SLIDES.items() if technique & written]
    for kind, technique in effects.HARMONICS.items():
        if technique & written:
            effect.harmonic = _harmonic(kind, gp_beat.voice.measure.track, item)
    if written & Technique.TRILL:
        effect.trill = gp.TrillEffect(item.fret + WHOLE_TONE_ABOVE, gp.Duration(gp.Duration.sixteenth))
    if written & Technique.TREMOLO_PICKING:
        effect.tremoloPicking = gp.TremoloPickingEffect(gp.Duration(gp.Duration.sixteenth))
    if not tied:
        effect.bend = _bend(item)
        effect.grace = _grace(item)
    return note


def _harmonic(kind: type[gp.HarmonicEffect], track: gp.Track, item: Item) -> gp.HarmonicEffect:
    fretted = track.strings[item.string - 1].value + item.fret
    above = OCTAVE if track.isPercussionTrack else item.pitch - fretted - track.offset
    if kind is gp.TappedHarmonic:
        return effects.tapped(above, 0 if track.isPercussionTrack else item.fret)
    return effects.artificial(above, fretted) if kind is gp.ArtificialHarmonic else kind()


def _bend(item: Item) -> gp.BendEffect | None:
    if not item.bends:
        return None
    span = item.end - item.onset
    points = [
        # PyGuitarPro counts positions to 12; fifths of them are the file's own sixtieths.
        gp.BendPoint(
            Fraction(bend_position(offset, span) * gp.BendEffect.maxPosition, BEND_POSITIONS), bend_units(cents)
        )
        for offset, cents in item.bends
    ]
    height = max(point.value for point in points)
    return gp.BendEffect(gp.BendType.bend, height * GP5File.bendSemitone, points)


def _grace(item: Item) -> gp.GraceEffect | None:
    grace = item.grace
    if grace is None:
        return None
    transition: Any = gp.GraceEffectTransition.none
    if grace.techniques & Technique.SLIDE_LEGATO:
        transition = gp.GraceEffectTransition.slide
    elif grace.techniques & Technique.HAMMER:
        transition = gp.GraceEffectTransition.hammer
    elif grace.bends:
        transition = gp.GraceEffectTransition.bend
    dead = bool(grace.techniques & Technique.DEAD)
    return gp.GraceEffect(GRACE_VALUE, grace.fret, dead, item.on_beat, transition, grace.velocity)
