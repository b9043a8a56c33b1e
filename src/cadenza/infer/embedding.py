"""Pieces as vectors of a model's own: the mean of what it thinks after each token, for distances between sets.

The vector of a piece is the mean, over the tokens of its text, of the last hidden state (after the last norm), shape
(D,). An exported graph gives logits only; these are the hidden state times the head's matrix (V, D), which has full
column rank, so that the state is found again by its pseudo-inverse; at 8 bits to the precision of the weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.infer.likelihood import text_of
from cadenza.infer.model import ComposerModel
from cadenza.model.architecture import load_folder
from cadenza.model.engine import Engine
from cadenza.score.model import Score

HEADS = ("lm_head.weight", "model.embed_tokens.weight")


class Embedding:
    """A function from a Score to a vector (D,).

    Args:
        model: an exported one, with its weights beside the graph.

    Raises:
        ModelError: there is no graph or no weights.
    """

    def __init__(self, model: ComposerModel) -> None:
        if not isinstance(model.decoder, Engine):
            raise ModelError("a model with an exported graph", type(model.decoder).__name__, where=str(model.folder))
        self.model, self.engine = model, model.decoder
        _, weights = load_folder(model.folder)
        name = next(name for name in HEADS if name in weights)
        head = weights[name].astype(np.float64)
        self._back = np.linalg.solve(head.T @ head, head.T)

    def __call__(self, score: Score) -> NDArray[np.float64]:
        """The vector of full bars in one metre; of a longer piece, of as much as the model sees at once.

        Raises:
            CadenzaError: the model's notation cannot say it.
        """
        text = text_of(replace(score, bars=()), self.model)
        ids = np.concatenate([text.head, text.body])[: min(self.model.context_tokens, self.engine.max_length)]
        vector: NDArray[np.float64] = self._back @ self.engine.mean_logits(ids)
        return vector
