"""The published instruction format: persona, what the fields mean, the tick, the demand, the task.

After the instruction format of the Simplified MIDI experiment (Llama-2 and Mistral on metal tabs and piano): a persona
by the music, each field with its range, the length of a tick, what is asked of the music, and the sentence that leads
to the given part. Training and inference must use the same words, so they are saved with a corpus as
:func:`template` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cadenza.corpus.family import families_of
from cadenza.notation.base import Notation
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import option
from cadenza.score.instruments import FAMILIES
from cadenza.score.model import Score
from cadenza.score.time import tempo_at

PERSONAS: Mapping[str, str] = {
    "guitar": "a guitarist and composer",
    "bass": "a bass player and composer",
    "drums": "a drummer",
    "keys": "a pianist and composer",
    "bowed": "a composer for strings",
    "voice_wind": "a composer for voices and winds",
    "other": "a composer",
}
DEMAND = "It has a clear progression, appropriate pauses, and variation in melody, harmony and rhythm."
TASKS: Mapping[str, str] = {
    "continue": "Your task is to complete the generation of:",
    "infill": "Your task is to write the bars between what stands before and after:",
    "accompany": "Your task is to write the part that is missing beside what is given:",
    "transcribe": "Your task is to write down the music of the recording:",
}
#: Notation → what its fields mean.
FIELDS: Mapping[str, str] = {
    "simplified-midi": (
        "Each note is a word of fields joined by colons: p is the MIDI pitch (0–127), v the velocity (1–127), d the "
        "duration in ticks, t the ticks until the next note begins (0 = at once), b the pitch bend. A word with i "
        "names the instrument that the following notes belong to."
    ),
    "dadagp": (
        "One token a line: instrument:note:s<string>:f<fret> is a note, drums:note:<key> a drum hit, nfx and bfx are "
        "effects of the note or beat before, wait:<ticks> advances all instruments, new_measure begins a bar; 960 "
        "ticks are a quarter note."
    ),
    "abc": (
        "ABC notation: V: lines name the voices, letters are notes with ^ sharp, _ flat, = natural, commas and "
        "apostrophes for octaves, numbers for lengths in units of L:, | for bar lines."
    ),
    "mt3": (
        "Events on an absolute time grid of 10 ms: shift, program, velocity (1 on, 0 off), pitch and drum; notes that "
        "sound on from before stand first, up to tie."
    ),
}


def instruction(task: str, score: Score, notation: Notation, words: Mapping[str, Any] | None = None) -> str:
    """The words before the music of one example.

    Args:
        words: as :func:`template` gave them to a corpus, where a model is to read what it was trained with.
    """
    words = words or template(notation)
    families, _ = families_of(score)
    most = max(FAMILIES, key=families.count) if families else "other"
    lines = [
        f"You are {words['personas'][most]}.",
        words["fields"] or f"The music is written in the notation {notation.name}.",
    ]
    if isinstance(notation, SimplifiedMidi):
        lines.append(f"A tick lasts {_tick_ms(score, notation):.3g} ms at the start.")
    return "\n".join([*lines, words["demand"], words["tasks"][task]])


def _tick_ms(score: Score, notation: SimplifiedMidi) -> float:
    """Of the text, which may be told on another grid than the score's."""
    kind, count = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    if kind == "flat":
        return 500 / count
    return 60_000 / tempo_at(score, 0).quarters_per_minute / (count if kind == "grid" else score.ticks_per_quarter)


def template(notation: Notation) -> dict[str, Any]:
    """All words of the format, to be saved with a corpus."""
    return {
        "personas": dict(PERSONAS),
        "fields": FIELDS.get(notation.name, ""),
        "demand": DEMAND,
        "tasks": dict(TASKS),
    }
