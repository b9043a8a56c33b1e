"""Which family of instruments plays each note that was heard: what it sounds like, and what its neighbours are.

The ear says of every note how likely each family is. Taken alone, one note in forty stands by itself among others of
another family, most often wrongly, and would have a staff of its own. So notes near in time and pitch are listened to
as well (mean field of a Potts model): few instruments change from one note to the next. One voice is one instrument,
unless its notes are surely of several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cadenza.infer.heard_notes import HeardNote, is_one_voice

RARE_SHARE = 0.04  # of the notes: a family with fewer is most likely misheard
#: How far neighbours reach and how much they say, beside the note itself (chosen on works of the validation split with
#: the training's soundfonts, docs/log.md); a note has at most so many on either side and counts no more than so many.
NEAR_SECONDS, NEAR_SEMITONES, NEIGHBOURS_SAY = 4.0, 8.0, 2.5
MAX_NEIGHBOURS, FULL_WEIGHT, ROUNDS = 40, 3.0, 8
UNLIKELY = 1e-3
#: For notes of a single voice to have a part of their own they must be of another family by so much (log of the ratio,
#: in the mean) and in passages of so many: instruments that answer each other do more than throw in a note. Clips of
#: one instrument that were taken for two: docs/log.md.
SURE_NATS, PASSAGE_NOTES = 1.5, 4

Floats = NDArray[np.float64]


def assigned(heard: Sequence[HeardNote], families: Sequence[str], instruments: Sequence[str] = ()) -> list[int]:
    """The family of each note: its likeliest, among those allowed and not too rare in the whole recording."""
    if not heard:
        return []
    likely = np.stack([note.families for note in heard])
    likely = likely / np.maximum(likely.sum(axis=1, keepdims=True), 1e-9)
    allowed = np.array([not instruments or name in instruments for name in families])
    likely = alone = np.where(allowed, likely, 0.0)
    onset = np.array([note.onset_seconds for note in heard])
    likely = among_neighbours(likely, onset, np.array([note.pitch for note in heard], np.float64))
    likely = np.where(allowed, likely, -1.0)
    counts = np.bincount(likely.argmax(axis=1), minlength=len(families))
    common = allowed & (counts >= max(2, RARE_SHARE * len(heard)))
    if common.any():
        likely = np.where(common, likely, -1.0)
    chosen = likely.argmax(axis=1)
    if is_one_voice(heard):
        order = np.argsort(onset, kind="stable")
        chosen[order] = _as_one(alone[order], chosen[order], allowed)
    return [int(which) for which in chosen]


def _as_one(likely: Floats, chosen: NDArray[np.intp], allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The families chosen for the notes of one voice, in order; or the likeliest of all, see :data:`SURE_NATS`."""
    said = np.log(np.maximum(likely, UNLIKELY))
    one = int(np.where(allowed, said.sum(axis=0), -np.inf).argmax())
    others = np.nonzero(chosen != one)[0]
    if len(others):
        passages = 1 + int((np.diff(others) > 1).sum())
        is_sure = (said[others, chosen[others]] - said[others, one]).mean() >= SURE_NATS
        if is_sure and len(others) >= PASSAGE_NOTES * passages:
            return chosen
    return np.full_like(chosen, one)


def among_neighbours(likely: Floats, onset_seconds: Floats, pitch: Floats) -> Floats:
    """How likely each family is once a note's neighbours have spoken; shapes (n, families), (n,), (n,)."""
    order = np.argsort(onset_seconds, kind="stable")
    alone = np.log(np.maximum(likely[order], UNLIKELY))
    onset, pitch = onset_seconds[order], pitch[order]
    weights = []
    for step in range(1, min(MAX_NEIGHBOURS, len(order) - 1) + 1):
        away = (onset[step:] - onset[:-step]) / NEAR_SECONDS + np.abs(pitch[step:] - pitch[:-step]) / NEAR_SEMITONES
        weights.append(np.exp(-away)[:, None])
    total = np.zeros((len(order), 1))
    for step, weight in enumerate(weights, 1):
        total[step:] += weight
        total[:-step] += weight
    share = NEIGHBOURS_SAY * np.minimum(total / FULL_WEIGHT, 1.0) / np.maximum(total, 1e-9)
    said = likely[order]
    for _ in range(ROUNDS if weights else 0):
        heard = np.zeros_like(said)
        for step, weight in enumerate(weights, 1):
            heard[step:] += weight * said[:-step]
            heard[:-step] += weight * said[step:]
        said = alone + share * heard
        said = np.exp(said - said.max(axis=1, keepdims=True))
        said /= said.sum(axis=1, keepdims=True)
    out = np.empty_like(said)
    out[order] = said
    return out
