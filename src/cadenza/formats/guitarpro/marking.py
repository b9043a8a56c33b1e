"""What a beat, a note or a bar of a file says beyond notes: as written beats, marks and directions.

The other way is :mod:`cadenza.formats.guitarpro.writing`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from guitarpro import models as gp
from numpy.typing import NDArray

from cadenza.formats.guitarpro.parse import BEND_UNITS_PER_QUARTER_TONE
from cadenza.score.model import Technique
from cadenza.score.tab import effects
from cadenza.score.tab.effects import OF_THE_FIRST, Values
from cadenza.score.tab.graces import DEFAULT_VALUE, VALUES
from cadenza.score.written import BEAT_DTYPE, DIRECTIONS

MAX_VALUE = 256  # the shortest note value that a written beat may have
_UP, _DOWN = gp.BeatStrokeDirection.up, gp.BeatStrokeDirection.down
_DIRECTION = {_UP: 1, _DOWN: 2}
_OCTAVES = {
    gp.Octave.ottava: 1,
    gp.Octave.quindicesima: 2,
    gp.Octave.ottavaBassa: -1,
    gp.Octave.quindicesimaBassa: -2,
}

# A written beat is kept as three integers until the file is read, for the memory's sake.
_VOICE, _VALUE, _DOTTED, _ENTERS, _TIMES = 0, 8, 20, 24, 40


def keep_beat(beats: array[int], duration: gp.Duration, voice: int, start: int, end: int) -> None:
    """Remember a written beat; one of no length or of a note value that there is not is none."""
    value, tuplet = duration.value, duration.tuplet
    if start < end and value <= MAX_VALUE:
        packed = voice | value << _VALUE | duration.isDotted << _DOTTED | tuplet.enters << _ENTERS
        beats.extend((start, end - start, packed | tuplet.times << _TIMES))


def beats(kept: array[int]) -> NDArray[np.void]:
    """The beats that were kept."""
    onset, duration, packed = np.array(kept, np.int64).reshape(-1, 3).T
    out = np.zeros(len(onset), BEAT_DTYPE)
    out["onset_ticks"], out["duration_ticks"] = onset, duration
    out["voice"] = packed >> _VOICE & 0xFF
    out["value"] = packed >> _VALUE & 0xFFF
    out["dots"] = packed >> _DOTTED & 1
    out["enters"] = packed >> _ENTERS & 0xFFFF
    out["times"] = packed >> _TIMES & 0xFFFF
    return out


def curve(bend: gp.BendEffect) -> Values:
    """Type, height, and position (0–60), height, vibrato of every point; heights in quarter-tones."""
    points = [value for point in bend.points for value in (point.position, point.value, int(point.vibrato))]
    return (bend.type.value, round(bend.value / BEND_UNITS_PER_QUARTER_TONE), *points)


def of_beat(beat: gp.Beat) -> list[tuple[str, Values, str]]:
    """(kind, values, text) of the marks at a beat, tempo aside."""
    effect = beat.effect
    out: list[tuple[str, Values, str]] = []
    stroke = effect.stroke
    if stroke is not None and stroke.direction in _DIRECTION:
        out.append(("stroke", (_DIRECTION[stroke.direction], stroke.value or 0), ""))
    if effect.pickStroke in _DIRECTION:
        out.append(("pick_stroke", (_DIRECTION[effect.pickStroke],), ""))
    if effect.tremoloBar is not None:
        values = effects.curve_values(curve(effect.tremoloBar))
        if values is not None:
            out.append(("tremolo_bar", values, ""))
    if effect.vibrato:
        out.append(("wide_vibrato", (), ""))
    if effect.fadeIn:
        out.append(("fade", (1,), ""))
    if effect.hasRasgueado:
        out.append(("rasgueado", (), ""))
    if effect.slapEffect is not gp.SlapEffect.none:
        out.append(("slap_effect", (effect.slapEffect.value,), ""))
    if effect.chord is not None and effect.chord.name:
        out.append(("chord", (), effect.chord.name))
    if beat.octave in _OCTAVES:
        out.append(("ottava", (_OCTAVES[beat.octave],), ""))
    if beat.text:
        out.append(("text", (), beat.text))
    return out


def of_note(note: gp.Note) -> dict[str, Values]:
    """kind → values of the marks at a note, its tie and harmonic aside."""
    effect = note.effect
    out: dict[str, Values] = {}
    if effect.bend is not None:
        values = effects.curve_values(curve(effect.bend))
        if values is not None:
            out["bend"] = values
    if effect.grace is not None:
        grace = effect.grace
        value = grace.duration if grace.duration in VALUES else DEFAULT_VALUE
        out["grace"] = (value, int(grace.isOnBeat), grace.transition.value, int(grace.isDead))
    if effect.trill is not None:
        said = (effect.trill.fret - note.value, effect.trill.duration.value or 0)
        out["trill"] = effects.trill(said, note.value)
    if effect.tremoloPicking is not None:
        out["tremolo_picking"] = effects.tremolo((effect.tremoloPicking.duration.value or 0,))
    if effect.leftHandFinger.value > -1 or effect.rightHandFinger.value > -1:
        fingers = effects.fingering((effect.leftHandFinger.value, effect.rightHandFinger.value))
        if fingers is not None:
            out["fingering"] = fingers
    return out


def unusual(techniques: Technique, links: list[tuple[int, Technique]]) -> Iterator[tuple[int, Technique]]:
    """(start, techniques) of the links of a chain that differ from where ``techniques`` are usually written."""
    last = len(links) - 1
    for n, (start, bits) in enumerate(links):
        if bits != effects.usual_bits(techniques, n == 0, n == last):
            yield start, bits & ~OF_THE_FIRST


def directions(header: gp.MeasureHeader) -> tuple[str, ...]:
    """The directions of a bar."""
    signs = [sign for sign in (header.direction, header.fromDirection) if sign is not None]
    names = [sign.name.lower().replace(" ", "-") for sign in signs]
    return tuple(name for name in names if name in DIRECTIONS)
