"""cadenza's own ear."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.train.listening.towers import Floats, pooled, sound_of


class EarTower:
    """What cadenza's ear says of every pitch: onsets (the strongest of each 40 ms), sounding, velocity, drums.

    Args:
        source: folder of an ear; the shipped one where empty.
    """

    POOL = 2

    def __init__(self, source: str = "") -> None:
        from cadenza.model.ear import Ear, shipped_folder
        from cadenza.model.ear_engines import ONNX_RUNTIME
        from cadenza.model.ear_features import FRAMES_PER_SECOND, N_PITCHES

        self._folder = Path(source) if source else shipped_folder()
        self._ear = Ear(self._folder, threads=1, engine=ONNX_RUNTIME)
        self.width = 3 * N_PITCHES + len(self._ear.drums)
        self.frames_per_second = FRAMES_PER_SECOND / self.POOL

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        from cadenza.model.ear import Sound
        from cadenza.model.ear_features import LEVEL

        sound = sound_of(samples)
        power = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
        gain = LEVEL / power if power > 1e-6 else 1.0
        heard = list(self._ear.listen(Sound(iter([sound]), gain)))
        if not heard:
            return np.zeros((0, self.width), np.float32)
        joined = {name: np.concatenate([part.values[name] for part in heard]) for name in _EAR_CURVES}
        parts = [pooled(joined[name], self.POOL, how) for name, how in _EAR_CURVES.items()]
        return np.concatenate(parts, 1).astype(np.float32)

    def fingerprint(self) -> str:
        return hashlib.sha256((self._folder / "ear.onnx").read_bytes()).hexdigest()


_EAR_CURVES = {"onset": "max", "frame": "mean", "velocity": "mean", "drums": "max"}
