"""Which family of instruments plays a part, from its notes alone: where programs and names are missing or wrong.

A small network over :mod:`cadenza.corpus.voice_features` looks at all parts of a score at once: each part's figures
become a hidden vector, and a part is judged by its own and by the mean and the highest of the others' (a set has no
order: deep sets, Zaheer et al. 2017). Several networks that were trained from different starts are averaged. The
weights and their card (data, licences, how they were trained, scores) lie in ``models/family``;
``benchmarks/instrument_family.py`` makes and judges them.

It is asked where a source says nothing (:func:`families_of`), and it can contradict a source that says something
(:func:`contradictions`), which is reported and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_safetensors
from cadenza.corpus.voice_features import N_FEATURES, Part, features, parts_of
from cadenza.score.instruments import FAMILIES, family_of, says_family
from cadenza.score.model import Score

GUESSED = tuple(family for family in FAMILIES if family != "other")
WEIGHTS = Path(__file__).parents[1] / "models" / "family" / "model.safetensors"
CERTAIN = 0.9  # probability from which a guess may contradict a source
MIN_NOTES = 8  # fewer say little: no contradiction is built on them
CLIP = 4.0  # standard deviations

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Guess:
    """The likeliest family of a part and its probability (softmaxes, averaged; not calibrated for other music)."""

    family: str
    probability: float


@dataclass(frozen=True)
class Contradiction:
    """A track whose notes do not sound like what the source says of it."""

    track: int
    said: str
    guess: Guess


@dataclass(frozen=True)
class FamilyModel:
    """An ensemble of networks, each a mapping of tensor names to arrays.

    Shapes, F features, H hidden, C context, G families: ``mean``, ``scale`` (F,); ``own.weight`` (H, F);
    ``context.weight`` (C, H); ``joined.weight`` (J, H + 2 C); ``out.weight`` (G, J); biases as long as their outputs.
    """

    networks: tuple[Mapping[str, NDArray[np.float32]], ...]

    @classmethod
    def read(cls, path: Path | str = WEIGHTS) -> FamilyModel:
        """The networks of a safetensors file, tensors named ``0.own.weight``, ``1.own.weight`` …

        Raises:
            ModelError: missing, damaged, or for other features than this version computes.
        """
        tensors = read_safetensors(path)
        numbers = sorted({name.partition(".")[0] for name in tensors})
        networks = []
        for number in numbers:
            own = {
                name.partition(".")[2]: array.astype(np.float32)
                for name, array in tensors.items() if name.partition(".")[0] == number
            }  # fmt: skip
            _check(own, str(path))
            networks.append(own)
        if not networks:
            raise ModelError("networks", "no tensors", where=str(path))
        return cls(tuple(networks))

    def probabilities(self, parts: list[Part]) -> NDArray[np.float64]:
        """Probabilities of :data:`GUESSED`; shape (parts with notes, 6), rows sum to 1."""
        return self.of_features(features(parts))

    def of_features(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same from :func:`~cadenza.corpus.voice_features.features`, shape (n parts, F)."""
        found = np.zeros((len(x), len(GUESSED)))
        for network in self.networks:
            found += _softmax(_logits(network, x))
        return found / len(self.networks)


def _check(network: Mapping[str, NDArray[np.float32]], where: str) -> None:
    names = [f"{layer}.{kind}" for layer in ("own", "context", "joined", "out") for kind in ("weight", "bias")]
    if set(network) != {"mean", "scale", *names}:
        raise ModelError("the tensors of a family model", ", ".join(sorted(network)), where=where)
    hidden, context = len(network["own.bias"]), len(network["context.bias"])
    joined = len(network["joined.bias"])
    shapes = {
        "mean": (N_FEATURES,), "scale": (N_FEATURES,), "own.weight": (hidden, N_FEATURES),
        "context.weight": (context, hidden), "joined.weight": (joined, hidden + 2 * context),
        "out.weight": (len(GUESSED), joined), "out.bias": (len(GUESSED),),
    }  # fmt: skip
    for name, shape in shapes.items():
        if network[name].shape != shape:
            raise ModelError(f"{name} of shape {shape}", f"{network[name].shape}", where=where)


def _logits(network: Mapping[str, NDArray[np.float32]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (n parts, 6), from (n parts, F)."""

    def layer(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
        return value @ network[f"{name}.weight"].T.astype(np.float64) + network[f"{name}.bias"]

    scaled = np.clip((x - network["mean"]) / network["scale"], -CLIP, CLIP)
    own = np.maximum(layer("own", scaled), 0)
    told = np.maximum(layer("context", own), 0)  # what a part tells the others; (n, C), ≥ 0
    n_others = len(x) - 1
    mean = (told.sum(axis=0) - told) / max(n_others, 1)
    return layer("out", np.maximum(layer("joined", np.concatenate([own, mean, _highest_of_others(told)], axis=1)), 0))


def _highest_of_others(told: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column's maximum over the other rows, 0 where there is none."""
    if len(told) < 2:
        return np.zeros_like(told)
    order = np.argsort(told, axis=0)
    first = np.take_along_axis(told, order[-1:], axis=0)
    second = np.take_along_axis(told, order[-2:-1], axis=0)
    return np.where(np.arange(len(told))[:, None] == order[-1], second, first)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=1, keepdims=True)


@cache
def shipped_model() -> FamilyModel:
    """The model that comes with the package, read once.

    Raises:
        ModelError: it is missing or damaged.
    """
    return FamilyModel.read()


def guesses(score: Score, model: FamilyModel | None = None) -> list[Guess]:
    """What the notes of each track that has notes say, in order. Names, programs, strings and flags are not read."""
    rows = (model or shipped_model()).probabilities(parts_of(score))
    return [Guess(GUESSED[int(row.argmax())], float(row.max())) for row in rows]


def families_of(score: Score, found: Sequence[Guess] | None = None) -> tuple[list[str], int]:
    """The family of every track with notes, in order, and how many of them the notes had to tell.

    A track says its family by being drums, by strings, by a program other than 0, or by its name; where it says none
    of these, its notes and its place among the others decide.

    Args:
        found: the :func:`guesses` for the tracks with notes, where they are known already.
    """
    sounding = [track for track in score.tracks if len(track)]
    said = [family_of(track) if says_family(track) else "" for track in sounding]
    n_silent = said.count("")
    if n_silent:
        known = guesses(score.with_tracks(sounding)) if found is None else found
        said = [family or guess.family for family, guess in zip(said, known, strict=True)]
    return said, n_silent


def contradictions(score: Score, found: Sequence[Guess] | None = None, certain: float = CERTAIN) -> list[Contradiction]:
    """Tracks that say a family while their notes say another with a probability of at least ``certain``.

    Args:
        found: the :func:`guesses` for the tracks with notes, where they are known already.
    """
    sounding = [number for number, track in enumerate(score.tracks) if len(track)]
    known = guesses(score.with_tracks(score.tracks[n] for n in sounding)) if found is None else found
    out = []
    for number, guess in zip(sounding, known, strict=True):
        track = score.tracks[number]
        said = family_of(track)
        if len(track) < MIN_NOTES or not says_family(track) or said in ("other", guess.family):
            continue
        if guess.probability >= certain:
            out.append(Contradiction(number, said, guess))
    return out
