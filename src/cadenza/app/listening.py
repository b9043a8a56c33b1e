"""The ear for corpora: a recording → the notes that it hears, or why they are not to be trusted.

A corpus takes recordings through such a function (:data:`cadenza.corpus.layouts.Listen`); what the ear is unsure of is
a row of ``rejected.csv`` and no example.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cadenza.base.errors import ConfigError, FormatError
from cadenza.score.model import Score


@dataclass(frozen=True)
class Hearing:
    """Listens with the shipped ear, or with another.

    Args:
        model: folder of an ear; "" = the shipped one.
        min_confidence: least mean probability of the notes' onsets; recordings with less are refused.
        min_notes: fewer are refused.

    Raises:
        ConfigError: a bound that nothing could meet.
    """

    model: str = ""
    min_confidence: float = 0.6
    min_notes: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence < 1 or self.min_notes < 1:
            raise ConfigError("a least confidence within 0–1 and at least one note", repr(self))

    def __call__(self, path: Path) -> Score:
        """The notes of a recording, in its own timing.

        Raises:
            FormatError: no sound file, silence, too few notes, or notes that the ear is not sure of.
            KeyboardInterrupt: listening was interrupted.
        """
        from cadenza.infer.transcribe import transcribe

        found = transcribe(path, _ear(self.model))
        if not found.complete:
            raise KeyboardInterrupt
        n_notes = found.score.n_notes
        if n_notes < self.min_notes:
            raise FormatError(f"a recording with at least {self.min_notes} notes", str(n_notes), where=str(path))
        sure = float(np.mean([note.confidence for note in found.heard])) if found.heard else 1.0
        if sure < self.min_confidence:
            raise FormatError(
                f"notes that are heard with a confidence of at least {self.min_confidence:.2f}", f"{sure:.2f}",
                where=str(path), hint="Take it in with a lower --min-confidence.",
            )  # fmt: skip
        return found.score


@lru_cache(maxsize=1)
def _ear(model: str):  # type: ignore[no-untyped-def]
    from cadenza.model.ear import Ear
    from cadenza.model.ear_engines import ONNX_RUNTIME

    return Ear(Path(model) if model else None, engine=ONNX_RUNTIME)
