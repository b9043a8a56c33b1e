"""Each notation's way of telling a view for a player; see :mod:`cadenza.infer.sheet`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import resolution_of
from cadenza.infer.sheet import Told, View
from cadenza.infer.sheets import abc, dadagp, mt3, simplified
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.projection import MAX_MODEL_TRACKS, MAX_STEP_TICKS
from cadenza.score.model import Score

#: Name of a notation → how it tells a view.
TELLERS: dict[str, Callable[[ComposerModel, View], Told]] = {
    "abc": abc.told,
    "dadagp": dadagp.told,
    "mt3": mt3.told,
    "simplified-midi": simplified.told,
}
QUARTER_STEPS = 32  # of the others' bars: a 128th


def told(model: ComposerModel, view: View) -> Told:
    """The view in the model's notation."""
    return TELLERS[model.notation.name](model, view)


def most_tracks(notation: Any) -> int:
    """How many tracks a text can tell."""
    merges = isinstance(notation, SimplifiedMidi) and notation.profile == "published"
    return 1 if merges and notation.layout == "interleaved" else MAX_MODEL_TRACKS


def grid_of(model: ComposerModel, score: Score) -> tuple[int, int | None]:
    """Ticks a quarter on which bars have to be whole, and the longest step that the vocabulary holds."""
    if isinstance(model.notation, SimplifiedMidi):
        longest = MAX_STEP_TICKS if model.has_fields else None
        return resolution_of(model.notation, score), longest
    return QUARTER_STEPS, None
