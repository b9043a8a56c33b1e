"""A tower that hears nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadenza.train.listening.towers import Floats


class DeafTower:
    """Hears nothing: a control. A model that is trained on it can only guess what music is usually like."""

    width, frames_per_second = 8, 1.0

    def __init__(self, source: str = "") -> None:
        del source

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        return np.zeros((1, self.width), np.float32)

    def fingerprint(self) -> str:
        return "deaf"
