"""Sound as a value: samples and their rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import RangeError


@dataclass(frozen=True, eq=False)
class Audio:
    """A stretch of sound.

    Args:
        samples: float32, shape (channels, n), read-only; full scale is −1…1.
        sample_rate: samples a second.

    Raises:
        RangeError: the shape is not (channels, n) or the rate is not positive.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples, np.float32)
        if samples.ndim != 2 or not samples.shape[0]:
            raise RangeError("samples of shape (channels, n)", f"shape {samples.shape}")
        if self.sample_rate < 1:
            raise RangeError("a positive sample rate", str(self.sample_rate))
        # A view keeps the caller's array writable without a copy of what may be hundreds of megabytes.
        samples = samples.view()
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    @property
    def n_channels(self) -> int:
        """Channels: 1 = mono, 2 = stereo (left, right)."""
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        """Samples in each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate

    def mono(self) -> NDArray[np.float32]:
        """The mean of the channels, shape (n,)."""
        return self.samples.mean(axis=0, dtype=np.float32)

    def __repr__(self) -> str:
        return f"Audio({self.n_channels} channels, {self.duration_seconds:.2f} s at {self.sample_rate} Hz)"
