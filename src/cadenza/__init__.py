"""cadenza teaches language models music.

A file becomes a :class:`~cadenza.score.model.Score` (``formats``), a Score becomes text (``notation``), many
texts become examples (``corpus``), a ``model`` is ``train``-ed on them, ``infer`` makes new text, which becomes
a Score again, is measured (``metrics``) and written to a file.

From Python, the same functions as on the command line; each is loaded when it is first used:

    import cadenza
    takes = cadenza.compose(cadenza.read("riff.gp5"), bars=8, takes=4)
    cadenza.write(takes[0].score, "continued.gp5")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "read": "cadenza.formats",
    "write": "cadenza.formats",
    "compose": "cadenza.infer.compose",
    "continue_score": "cadenza.infer.generate",
    "Controls": "cadenza.infer.controls",
    "Decoding": "cadenza.infer.choose",
    "load_model": "cadenza.infer.model",
    "Sampling": "cadenza.infer.sample",
    "Score": "cadenza.score.model",
    "Track": "cadenza.score.model",
    "Note": "cadenza.score.model",
}
__all__ = [
    "Controls", "Decoding", "Note", "Sampling", "Score", "Track", "__version__", "compose", "continue_score",
    "load_model", "read", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'cadenza' has no attribute {name!r}")
