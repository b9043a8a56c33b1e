"""A copy baseline: the music goes on as it went on before.

Music repeats itself, so part of what a model predicts can be had by copying. At each token this baseline looks for the
longest run of tokens just before it that occurred earlier in the same document, the latest occurrence if there are
several, and proposes the token that followed there. The proposal gets a weight that depends on the length of the match
only and is fitted on validation text by maximum likelihood; the rest goes to another model of the same tokens:
unigrams, or the best n-gram (a cache in the sense of Kuhn & De Mori 1990). In every context probabilities add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Matches are weighted alike from each of these lengths to the next (tokens).
LENGTHS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
_N_ROUNDS = 50


def longest_matches(document: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each token: how many tokens before it match an earlier place, and whether the copied token is right.

    Args:
        document: shape (n,). Time grows with n², memory with n.

    Returns:
        Lengths and hits, each of shape (n,); a length of 0 is no match, and then no hit.
    """
    n_tokens = len(document)
    lengths, hits = np.zeros(n_tokens, np.int64), np.zeros(n_tokens, bool)
    # run[j]: how many tokens up to and with j equal those up to and with the last one before the present token.
    run = np.zeros(n_tokens, np.int64)
    for at in range(2, n_tokens):
        last = at - 1
        run[1:last] = np.where(document[1:last] == document[last], run[: last - 1] + 1, 0)
        run[0] = document[0] == document[last]
        best = int(run[:last].max())
        if best:
            source = last - 1 - int(np.argmax(run[:last][::-1] == best))
            lengths[at], hits[at] = best, document[source + 1] == document[at]
    return lengths, hits


def match_groups(documents: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index into ``LENGTHS`` and hit of every token, documents one after another."""
    found = [longest_matches(document) for document in documents]
    lengths = np.concatenate([np.zeros(0, np.int64), *(length for length, _ in found)])
    hits = np.concatenate([np.zeros(0, bool), *(hit for _, hit in found)])
    return np.searchsorted(LENGTHS, lengths, side="right") - 1, hits


def fit_weights(
    group: NDArray[np.int64], hit: NDArray[np.bool_], log2_rest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The weight of copying for each of ``LENGTHS``, by expectation maximisation on validation tokens.

    Args:
        group, hit: as :func:`match_groups` gives them, shape (n,).
        log2_rest: log2 p of each token under the other model, shape (n,).
    """
    rest = np.exp2(log2_rest)
    n_tokens = np.bincount(group, minlength=len(LENGTHS))
    # One token's worth of doubt, so that no weight is 0 or 1 and a length never seen has the weight 0.5.
    weight = np.full(len(LENGTHS), 0.5)
    for _ in range(_N_ROUNDS):
        mine = weight[group]
        copied = np.where(hit, mine / (mine + (1 - mine) * rest), 0.0)
        weight = (np.bincount(group, copied, len(LENGTHS)) + 0.5) / (n_tokens + 1)
    weight[0] = 0.0
    return weight


def mixed_log2(
    group: NDArray[np.int64], hit: NDArray[np.bool_], log2_rest: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log2 p of each token under the mixture, shape (n,)."""
    mine = weight[group]
    return np.log2(mine * hit + (1 - mine) * np.exp2(log2_rest))
