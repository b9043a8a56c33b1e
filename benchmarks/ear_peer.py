"""Basic Pitch 0.4.0 as a peer, as :mod:`cadenza.infer.transcribers.basic_pitch` runs it, with a number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.audio_file import open_audio
from cadenza.infer.transcribers import basic_pitch


class BasicPitch:
    """Path of a recording → notes (onset seconds, end seconds, pitch), shape (n, 3)."""

    def __init__(self, threads: int = 2) -> None:
        self._parts = basic_pitch.loaded(threads)

    def __call__(self, path: Path) -> NDArray[np.float64]:
        steps = basic_pitch.transcribed(open_audio(path), *self._parts)
        rows = [(note.onset_seconds, note.end_seconds, note.pitch) for _, notes in steps for note in notes]
        return np.array(sorted(rows), np.float64).reshape(-1, 3)
