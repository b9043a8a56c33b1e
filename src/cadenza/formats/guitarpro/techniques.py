"""Techniques ↔ PyGuitarPro's note and beat effects, as tables."""

from __future__ import annotations

from guitarpro import models as gp

from cadenza.score.model import Technique

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
    for name, technique in NOTE_FLAGS.items():
        if getattr(effect, name):
            found |= technique
    for slide in effect.slides or ():
        found |= SLIDES.get(slide, Technique.NONE)
    if effect.harmonic is not None:
        found |= HARMONICS.get(type(effect.harmonic), Technique.NONE)
    if effect.trill is not None:
        found |= Technique.TRILL
    if effect.tremoloPicking is not None:
        found |= Technique.TREMOLO_PICKING
    if note.type == gp.NoteType.dead:
        found |= Technique.DEAD
    return found


def of_beat(effect: gp.BeatEffect) -> Technique:
    """The techniques that a beat gives to all its notes."""
    found = BEAT_SLAPS.get(effect.slapEffect, Technique.NONE)
    return found | Technique.VIBRATO if effect.vibrato else found
