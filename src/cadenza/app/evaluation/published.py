"""Figures that others have published, each with its source: for orientation, never beside ours.

They were measured by other people on other data, and are repeated here as reported, not measured again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One figure.

    Args:
        what: the system.
        on: what it was measured on.
        figure: with its unit.
        source: where it stands.
    """

    what: str
    on: str
    figure: str
    source: str


_ONSETS = "a transcriber of the size of Onsets and Frames, trained on synthetic audio only"
_NOTES = "yardstick in this project's design notes on transcription, as reported in the literature"
_TUNING = "published fine-tuning of Llama-2 and Mistral on Simplified MIDI (2024)"

FIGURES: tuple[Published, ...] = (
    Published(_ONSETS, "MAESTRO (piano)", "note F1 83.8", _NOTES),
    Published(_ONSETS, "MAPS (piano)", "note F1 79.1", _NOTES),
    Published(_ONSETS, "GuitarSet", "note F1 68.4", _NOTES),
    Published("a 20 M parameter transcriber trained on real piano", "MAPS (piano)", "note F1 78.7", _NOTES),
    Published("learning rate 2e-4", "its own validation text", "loss 0.886", _TUNING),
    Published("the other learning rate compared", "its own validation text", "loss 0.9569", _TUNING),
    Published("cosine schedule", "its own validation text", "loss 0.8609", _TUNING),
    Published("linear schedule", "its own validation text", "loss 0.8716", _TUNING),
    Published("warm-up of 3 %", "its own validation text", "loss 1.0893", _TUNING),
    Published("warm-up of 10 %", "its own validation text", "loss 1.1396", _TUNING),
)
