"""The shape of the ear's network, as both its trainer (torch) and its graph (ONNX) follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.model.ear_features import HARMONICS

#: (time dilation, pitches seen, pitch dilation) of each block, all three frames long; 12 = octaves.
BLOCKS = ((1, 3, 1), (1, 5, 12), (1, 3, 1), (2, 3, 1), (4, 3, 1), (1, 5, 12), (8, 3, 1), (1, 3, 1))
CONTEXT_AFTER = (1, 5)  # blocks after which all pitches of a frame are looked at together
CONTEXT_FRAMES = 5
DRUM_FRAMES = 5
FAR_AFTER = (4, 6)  # blocks after which, where the shape says so, each pitch is looked at from afar: is it an echo?
FAR_FRAMES, FAR_DILATION, FAR_WIDTH = 9, 8, 16
HEADS = ("onset", "frame", "offset", "velocity", "shift", "bend")  # the families' follow
N_CHANNELS = 2 * 3 * len(HARMONICS) + 1


@dataclass(frozen=True)
class EarShape:
    """What the weights fit.

    Args:
        width: channels of a block.
        n_families, n_drums: how many kinds of instruments and of drums are told apart.
        drum_width: channels of the drum branch.
        far: whether it also looks at what sounded up to 1.7 s before and after, as rooms ask for.
    """

    width: int = 48
    n_families: int = 8
    n_drums: int = 5
    drum_width: int = 32
    far: bool = False

    @property
    def reach_frames(self) -> int:
        """How many frames before and after one the network looks."""
        near = sum(time for time, _, _ in BLOCKS) + len(CONTEXT_AFTER) * (CONTEXT_FRAMES // 2)
        return near + self.far * len(FAR_AFTER) * FAR_DILATION * (FAR_FRAMES // 2)

    def json(self) -> dict[str, int]:
        """As a dictionary for config.json."""
        return asdict(self)


def folded(weights: Mapping[str, NDArray[np.float32]], prefix: str, norm: str, epsilon: float = 1e-5) -> tuple[
    NDArray[np.float32], NDArray[np.float32]
]:  # fmt: skip
    """(kernel, bias) of a convolution without bias and the batch normalisation behind it, as one convolution.

    Raises:
        ModelError: one of them is not there.
    """
    try:
        kernel = weights[f"{prefix}.weight"].astype(np.float64)
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"].astype(np.float64) + epsilon)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    except KeyError as error:
        raise ModelError("the weights of an ear", f"none named {error}") from None
    return (kernel * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)
