"""cadenza's own ear."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.model.ear import Curves, Ear, Sound, shipped_folder
from cadenza.model.ear_engines import ONNX_RUNTIME
from cadenza.model.ear_features import FRAMES_PER_SECOND, LEVEL, N_PITCHES
from cadenza.train.listening.towers import Floats, pooled, shifted, sound_of


class EarTower:
    """What cadenza's ear says of every pitch: onsets (the strongest of each 40 ms), sounding, velocity, drums.

    Args:
        source: folder of an ear; the shipped one where empty.
    """

    POOL = 2

    def __init__(self, source: str = "") -> None:
        self._folder = Path(source) if source else shipped_folder()
        self._ear = Ear(self._folder, threads=1, engine=ONNX_RUNTIME)
        self.width = 3 * N_PITCHES + len(self._ear.drums)
        self.frames_per_second = FRAMES_PER_SECOND / self.POOL

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        heard = list(listened(self._ear, samples))
        if not heard:
            return np.zeros((0, self.width), np.float32)
        joined = {name: np.concatenate([part.values[name] for part in heard]) for name in _EAR_CURVES}
        parts = [pooled(joined[name], self.POOL, how) for name, how in _EAR_CURVES.items()]
        return np.concatenate(parts, 1).astype(np.float32)

    def transposed(self, features: Floats, semitones: int) -> Floats:
        """The same curves of pitches that lie higher."""
        return shifted(features, 3, N_PITCHES, semitones)

    def fingerprint(self) -> str:
        return hashlib.sha256((self._folder / "ear.onnx").read_bytes()).hexdigest()


_EAR_CURVES = {"onset": "max", "frame": "mean", "velocity": "mean", "drums": "max"}


def listened(ear: Ear, samples: NDArray[np.int16]) -> Iterator[Curves]:
    """An ear's curves of a sound that is brought to the usual level."""
    sound = sound_of(samples)
    power = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
    return ear.listen(Sound(iter([sound]), LEVEL / power if power > 1e-6 else 1.0))
