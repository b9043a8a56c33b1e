"""Techniques ↔ PyGuitarPro's note and beat effects, as tables; and what a file says of harmonics.

For an artificial harmonic Guitar Pro 5 keeps a note name and an octave, for a tapped one a fret. Guitar Pro 4 keeps
one of three codes, which :mod:`cadenza.formats.guitarpro.parse` translates into what 5 would say; 3 keeps nothing.
"""

from __future__ import annotations

from guitarpro import models as gp

from cadenza.score.model import Technique
from cadenza.score.tab import harmonics
from cadenza.score.tab.harmonics import OCTAVE, natural, partial

NOTE_FLAGS: dict[str, Technique] = {
    "palmMute": Technique.PALM_MUTE,
    "hammer": Technique.HAMMER,
    "letRing": Technique.LET_RING,
    "vibrato": Technique.VIBRATO,
    "ghostNote": Technique.GHOST,
    "accentuatedNote": Technique.ACCENT,
    "heavyAccentuatedNote": Technique.HEAVY_ACCENT,
    "staccato": Technique.STACCATO,
}
SLIDES: dict[gp.SlideType, Technique] = {
    gp.SlideType.shiftSlideTo: Technique.SLIDE_SHIFT,
    gp.SlideType.legatoSlideTo: Technique.SLIDE_LEGATO,
    gp.SlideType.intoFromBelow: Technique.SLIDE_IN_BELOW,
    gp.SlideType.intoFromAbove: Technique.SLIDE_IN_ABOVE,
    gp.SlideType.outDownwards: Technique.SLIDE_OUT_DOWN,
    gp.SlideType.outUpwards: Technique.SLIDE_OUT_UP,
}
HARMONICS: dict[type[gp.HarmonicEffect], Technique] = {
    gp.NaturalHarmonic: Technique.HARMONIC_NATURAL,
    gp.ArtificialHarmonic: Technique.HARMONIC_ARTIFICIAL,
    gp.TappedHarmonic: Technique.HARMONIC_TAPPED,
    gp.PinchHarmonic: Technique.HARMONIC_PINCH,
    gp.SemiHarmonic: Technique.HARMONIC_SEMI,
}
BEAT_SLAPS: dict[gp.SlapEffect, Technique] = {
    gp.SlapEffect.tapping: Technique.TAP,
    gp.SlapEffect.slapping: Technique.SLAP,
    gp.SlapEffect.popping: Technique.POP,
}


def of_note(note: gp.Note) -> Technique:
    """The techniques that the note's own effects name (grace notes aside)."""
    effect, found = note.effect, Technique.NONE
    said = vars(effect)
    for name, technique in NOTE_FLAGS.items():
        if said[name]:
            found |= technique
    for slide in effect.slides or ():
        found |= SLIDES.get(slide, Technique.NONE)
    if effect.harmonic is not None:
        found |= HARMONICS.get(type(effect.harmonic), Technique.NONE)
    if effect.trill is not None:
        found |= Technique.TRILL
    if effect.tremoloPicking is not None:
        found |= Technique.TREMOLO_PICKING
    if note.type is gp.NoteType.dead:
        found |= Technique.DEAD
    return found


def of_beat(effect: gp.BeatEffect) -> Technique:
    """The techniques that a beat gives to all its notes: slaps. The tremolo bar's vibrato is a mark of the beat."""
    return BEAT_SLAPS.get(effect.slapEffect, Technique.NONE)


_PITCHES = 12  # of an octave
OCTAVES = {octave.value: octave for octave in gp.Octave}


def interval(effect: gp.HarmonicEffect, fret: int, fretted_pitch: int) -> int:
    """Semitones from the fretted note to the harmonic; ``fretted_pitch`` leaves the capo out."""
    if isinstance(effect, gp.NaturalHarmonic):
        return natural(fret)
    if isinstance(effect, gp.TappedHarmonic) and effect.fret is not None:
        # Guitar Pro's own fret is counted from the nut, an octave above the finger; others count from the finger.
        return harmonics.tapped_interval(effect.fret, fret)
    if isinstance(effect, gp.ArtificialHarmonic):
        if effect.pitch is None or effect.octave is None:
            return partial(fret)  # Guitar Pro 3 does not say; alphaTab reads it so
        return harmonics.artificial_interval((effect.pitch.value - fretted_pitch) % _PITCHES, effect.octave.value)
    return OCTAVE


def said_place(effect: gp.HarmonicEffect, fretted_pitch: int) -> tuple[int, ...] | None:
    """The values of a ``harmonic`` mark for what the file says."""
    if isinstance(effect, gp.TappedHarmonic) and effect.fret is not None:
        return (100 * effect.fret,)
    if isinstance(effect, gp.ArtificialHarmonic) and effect.pitch is not None and effect.octave is not None:
        return (0, (effect.pitch.value - fretted_pitch) % _PITCHES, effect.octave.value)
    return None


def artificial(semitones: int, fretted_pitch: int, named: tuple[int, ...] | None = None) -> gp.ArtificialHarmonic:
    """An artificial harmonic ``semitones`` (one of ``INTERVALS``) above its fret; the pitch leaves the capo out.

    The lower partials are named as they sound, the others by the place that the finger touches; or as ``named``, the
    values of a ``harmonic`` mark.
    """
    step, octaves = named[1:] if named is not None else harmonics.artificial(semitones)
    return gp.ArtificialHarmonic(gp.PitchClass((fretted_pitch + step) % _PITCHES), OCTAVES[octaves])


def tapped(semitones: int, fret: int, named: tuple[int, ...] | None = None) -> gp.TappedHarmonic:
    """A tapped harmonic ``semitones`` (one of ``INTERVALS``) above ``fret``; or as ``named``."""
    return gp.TappedHarmonic(named[0] // 100 if named is not None else harmonics.tapped(semitones, fret))
