"""LLark's recipe (Gardner et al. 2023): layer 36 of Jukebox, 4,800 numbers 345 times a second.

Jukebox (Dhariwal et al. 2020) needs its weights (some 10 GB, under a non-commercial licence) and an accelerator, so it
is run once: ``cadenza corpus embed CLIPS --tower jukebox`` on the machine that has both writes what it says, pooled to
ten a second, and everybody else trains with ``tower: shards``. The package is jukemirlib.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import MissingExtraError
from cadenza.train.listening.towers import SAMPLE_RATE, Floats, sound_of

LAYER, WIDTH = 36, 4800
RATE = 44_100  # samples a second that Jukebox hears
HOP = 128  # of these make a frame
MOST_FRAMES = 8192  # of its context


class JukeboxTower:
    """Layer 36 of Jukebox.

    Raises:
        MissingExtraError: jukemirlib is not installed.
    """

    width, frames_per_second = WIDTH, RATE / HOP

    def __init__(self, source: str = "") -> None:
        del source
        try:
            self._jukebox: Any = importlib.import_module("jukemirlib")
            self._librosa: Any = importlib.import_module("librosa")
        except ImportError:
            raise MissingExtraError(
                "jukemirlib, with Jukebox's weights", "no such package", hint="See docs/training.md, Jukebox."
            ) from None

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        sound = self._librosa.resample(sound_of(samples), orig_sr=SAMPLE_RATE, target_sr=RATE)
        loudest = float(np.abs(sound).max(initial=0))
        if not loudest:
            return np.zeros((max(1, len(sound) // HOP), WIDTH), np.float32)  # it was never shown silence
        sound = sound / loudest
        window = MOST_FRAMES * HOP
        parts: list[Floats] = []
        for start in range(0, max(len(sound), 1), window):
            piece = sound[start : start + window]
            if len(piece) >= HOP or not parts:
                piece = np.pad(piece, (0, max(0, HOP - len(piece))))
                parts.append(np.asarray(self._jukebox.extract(audio=piece, layers=[LAYER])[LAYER], np.float32))
        return np.concatenate([part.reshape(-1, WIDTH) for part in parts])

    def fingerprint(self) -> str:
        return f"jukebox layer {LAYER}"
