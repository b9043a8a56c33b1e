"""The task ``transcribe``: what a transcriber hears of a passage → how it is written.

Heard are the notes of a performance with a transcriber's errors (missing, invented, an octave off): MT3 events in the
prompt (:class:`cadenza.notation.mt3.Mt3`), the passage in the corpus's notation as completion. A model that learns it
is a notator: it finds tempo, bars, voices and spelling in seconds and keys. ``detail`` holds the rates of the errors.

Invented notes mostly lie an octave or a twelfth above one that sounds, as partials that are taken for notes do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from cadenza.corpus.humanise import HIGHEST_PITCH, LOWEST_PITCH, Part, humanised, one_sounding_note_a_pitch, rubato
from cadenza.corpus.task import Example, Settings, cut, example, heard_text, worded
from cadenza.notation.mt3 import Mt3
from cadenza.score.model import NO_FRET, NO_SPELLING, NOTE_DTYPE, Score, Tempo, Track
from cadenza.score.repeats import unfold
from cadenza.score.time import ticks_to_seconds

TICKS_PER_QUARTER, QUARTERS_PER_MINUTE = 500, 120.0  # one tick a millisecond
HEARD_IN = Mt3()
_PARTIALS = (12, 12, 19, -12, 24, 7)
_AFTER_SECONDS = 1.0


@dataclass(frozen=True)
class Errors:
    """How much a transcriber gets wrong, in shares of the notes.

    Args:
        missing: not heard.
        invented: heard beside the notes that are there.
        octave: heard an octave off.
    """

    missing: float = 0.0
    invented: float = 0.0
    octave: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Errors:
        """From none at all to what a weak transcriber does."""
        return cls(*(round(float(rng.uniform(0, most)), 4) for most in (0.1, 0.1, 0.04)))


def heard(score: Score, rng: np.random.Generator, errors: Errors) -> Score:
    """The passage as a transcriber hears it played: a tick is a millisecond, and nothing is known of bars or keys.

    Tempo, timing, lengths and loudness are a performance's; tracks keep their programs.
    """
    score = unfold().apply(score)
    seconds = float(ticks_to_seconds(score, score.length_ticks)) + _AFTER_SECONDS
    parts = [_part(score, track) for track in score.tracks if len(track)]
    rubato(rng, parts, seconds)
    jitter, legato = rng.choice([0.003, 0.008, 0.015]), rng.uniform(0.55, 1.08)
    parts = [humanised(rng, part, "ensemble", jitter, legato, 1.3 * seconds) for part in parts]
    parts = [one_sounding_note_a_pitch([_misheard(rng, part, errors)])[0] for part in parts]
    tracks = [_track(part) for part in parts if len(part.onset)]
    return Score(
        tuple(tracks), ticks_per_quarter=TICKS_PER_QUARTER, tempos=(Tempo(0, QUARTERS_PER_MINUTE),), length_ticks=0
    )


def transcribe(score: Score, settings: Settings, rng: np.random.Generator) -> Iterator[Example]:
    """Each passage as it is heard, and as it is written."""
    for first, passage in cut(score, settings):
        errors = Errors.draw(rng)
        prompt = heard_text(HEARD_IN.encode(heard(passage, rng, errors)))
        text = settings.notation.encode(passage)
        prompt = worded(prompt, "transcribe", passage, settings)
        yield example("transcribe", prompt, text, first, passage, passage.n_notes, {"errors": asdict(errors)})


def _part(score: Score, track: Track) -> Part:
    notes = track.notes
    onset = ticks_to_seconds(score, notes["onset_ticks"])
    end = ticks_to_seconds(score, notes["onset_ticks"] + notes["duration_ticks"])
    pitch, velocity = notes["pitch"].astype(np.int64), notes["velocity"].astype(np.int64)
    return Part(onset, end, pitch, velocity, track.program, is_drums=track.is_drums)


def _misheard(rng: np.random.Generator, part: Part, errors: Errors) -> Part:
    """Some notes missing, some an octave off, some invented; of drums only missing ones."""
    part = part.keep(rng.random(len(part.onset)) >= errors.missing)
    n = len(part.onset)
    if part.is_drums or not n:
        return part
    octave = np.where(rng.random(n) < errors.octave, rng.choice([-12, 12], n), 0)
    pitch = part.pitch + np.where(_in_range(part.pitch + octave), octave, 0)
    rows = np.flatnonzero(rng.random(n) < errors.invented)
    partial = pitch[rows] + rng.choice(_PARTIALS, len(rows))
    rows, partial = rows[_in_range(partial)], partial[_in_range(partial)]
    onset = np.concatenate([part.onset, part.onset[rows] + rng.exponential(0.02, len(rows))])
    length = (part.end - part.onset)[rows] * rng.uniform(0.2, 1.0, len(rows))
    end = np.concatenate([part.end, onset[n:] + np.maximum(length, 0.05)])
    velocity = np.concatenate([part.velocity, np.maximum(part.velocity[rows] // 2, 1)])
    return Part(onset, end, np.concatenate([pitch, partial]), velocity, part.program)


def _in_range(pitch: np.ndarray) -> np.ndarray:
    return (pitch >= LOWEST_PITCH) & (pitch <= HIGHEST_PITCH)


def _track(part: Part) -> Track:
    notes = np.zeros(len(part.onset), NOTE_DTYPE)
    onset = np.maximum(np.rint(1000 * part.onset), 0)
    notes["onset_ticks"] = onset
    notes["duration_ticks"] = np.maximum(np.rint(1000 * part.end) - onset, 1)
    notes["pitch"], notes["velocity"] = part.pitch, np.clip(part.velocity, 1, 127)
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    return Track(notes=notes, program=part.program, is_drums=part.is_drums)
