"""The weights that come with the package (``models/notator``, its card beside them)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_safetensors
from cadenza.infer.notator.events import Floats

FILE = Path(__file__).parents[2] / "models" / "notator" / "model.safetensors"


@cache
def _tensors() -> dict[str, Floats]:
    return {name: np.asarray(array, np.float64) for name, array in read_safetensors(FILE).items()}


def tensor(name: str) -> Floats:
    """One tensor.

    Raises:
        ModelError: the file is missing, damaged, or without it.
    """
    found = _tensors()
    if name not in found:
        raise ModelError(f"a tensor {name!r}", f"only {', '.join(found)}", where=str(FILE))
    return found[name]
