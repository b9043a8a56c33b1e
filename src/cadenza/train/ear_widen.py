"""An ear made wider: new channels beside the old ones, and it says at first what it said before.

Old outputs take nothing from new channels until they are trained; new channels begin as those of a fresh network. After
T. Chen, I. Goodfellow and J. Shlens, *Net2Net: Accelerating Learning via Knowledge Transfer* (2016), except that
nothing is copied, so that no symmetry has to be broken.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cadenza.model.ear_architecture import EarShape
from cadenza.train.ear_network import EarNetwork


def widened(weights: Mapping[str, Tensor], shape: EarShape, seed: int = 0) -> dict[str, Tensor]:
    """Weights of ``shape`` from those of an ear that is narrower and otherwise the same.

    Args:
        weights: by their names in the state of :class:`~cadenza.train.ear_network.EarNetwork`; those for looking far
            may be left out.
        seed: of what new channels begin with.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        fresh = EarNetwork(shape).state_dict()
    out = {name: value.clone() for name, value in fresh.items() if value.is_floating_point()}
    narrow = len(weights["enter_norm.weight"])
    for name, old in weights.items():
        new = out[name]
        if old.dim() == 1:
            new[: len(old)] = old
            continue
        inputs = torch.arange(old.shape[1])
        if name.startswith("contexts.") and ".first." in name:  # the means of all channels, then their maxima
            inputs = torch.where(inputs < narrow, inputs, inputs - narrow + shape.width)
        new[: len(old)] = 0.0
        new[: len(old), inputs] = old
    return out
