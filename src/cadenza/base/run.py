"""What is saved with every run so that it can be repeated: versions of what computed it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_RECORDED = ("cadenza", "numpy", "torch", "transformers", "onnxruntime", "safetensors", "PyGuitarPro", "numba")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
