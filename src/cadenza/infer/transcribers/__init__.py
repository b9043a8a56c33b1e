"""Other ways from a recording to notes, by name: for comparison, and for those who have them installed.

A transcriber is a function from an open sound file to steps: (seconds that are done, notes that are settled since). The
table of names is the entry points ``cadenza.transcribers``, as for every other kind of part; ``ear``, cadenza's own, is
:func:`cadenza.infer.transcribe.transcribe` and not in it. None of the others tells instruments apart, so all that they
hear is one track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cadenza.base.errors import ConfigError
from cadenza.base.registry import Registry
from cadenza.formats.audio_file import AudioFile
from cadenza.infer import transcribe
from cadenza.infer.heard_notes import HeardNote

TRANSCRIBERS = Registry("cadenza.transcribers", "transcriber")
EAR = "ear"
DEFAULT_FAMILY = "piano"


class Sounded(NamedTuple):
    """A note that a transcriber gives.

    Args:
        velocity: 1–127.
        confidence: 0–1, in its own terms.
        bend_semitones: how far its pitch is from the key's, evenly spread over its length; none where it says nothing.
    """

    onset_seconds: float
    end_seconds: float
    pitch: int
    velocity: int
    confidence: float
    bend_semitones: tuple[float, ...] = ()


Transcriber = Callable[[AudioFile], Iterator[tuple[float, Sequence[Sounded]]]]


def names() -> list[str]:
    """All names that may be asked for, cadenza's own first."""
    return [EAR, *TRANSCRIBERS.names()]


def transcribe_with(
    name: str,
    path: Path | str,
    *,
    instruments: Sequence[str] = (),
    tempo: float = transcribe.DEFAULT_TEMPO,
    on_progress: Callable[[float], None] | None = None,
) -> transcribe.Transcription:
    """What the transcriber called ``name`` hears in a sound file.

    Args:
        instruments: at most one family, that all notes are given to; a piano where empty.
        tempo, on_progress: as :func:`cadenza.infer.transcribe.transcribe`, whose errors it raises.

    Raises:
        RegistryError: no transcriber has this name.
        MissingExtraError: what it needs is not installed.
    """
    transcribe.check_instruments(instruments)
    if name == EAR:
        return transcribe.transcribe(path, instruments=instruments, tempo=tempo, on_progress=on_progress)
    if len(instruments) > 1:
        raise ConfigError(f"one instrument with the transcriber {name!r}", ", ".join(instruments),
                          hint="Only cadenza's own ear tells instruments apart.")  # fmt: skip
    listen: Transcriber = TRANSCRIBERS.load(name)
    audio = transcribe.audible(path)
    families = tuple(transcribe.TRACKS)
    family = families.index((instruments or (DEFAULT_FAMILY,))[0])
    likely = np.eye(len(families))[family]
    heard: list[HeardNote] = []
    complete = True
    try:
        for seconds, notes in listen(audio):
            heard += [_heard(note, likely) for note in notes]
            if on_progress:
                on_progress(seconds)
    except KeyboardInterrupt:
        complete = False
    heard.sort(key=lambda note: (note.onset_seconds, note.pitch))
    score = transcribe.to_score(heard, [family] * len(heard), [], families, (), tempo)
    return transcribe.Transcription(score, tuple(heard), (0,) * len(heard), 0.0, audio.duration_seconds, complete)


def _heard(note: Sounded, likely: np.ndarray) -> HeardNote:
    velocity = int(np.clip(note.velocity, 1, 127))
    n_frames = max(1, round((note.end_seconds - note.onset_seconds) * transcribe.front.FRAMES_PER_SECOND))
    bends = np.zeros(n_frames, np.float32)
    if note.bend_semitones:
        at = np.linspace(0, 1, len(note.bend_semitones))
        bends = np.interp(np.linspace(0, 1, n_frames), at, note.bend_semitones).astype(np.float32)
    return HeardNote(
        note.onset_seconds, max(note.end_seconds, note.onset_seconds + 0.001), note.pitch, velocity, note.confidence,
        likely, bends,
    )  # fmt: skip
