"""One seed, continued by every system and measured: the work of ``cadenza evaluate generation``.

A *system* is what writes the bars: a model under one decoding, or a baseline (:mod:`cadenza.infer.baselines`), or the
piece itself (``human``), which no metric knows from the others. What a seed gives depends on the configuration, the
seed and its number only, never on what was done before, so that work can be spread, stopped and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError, ConfigError, did_you_mean
from cadenza.corpus.build import rng_for
from cadenza.infer import baselines
from cadenza.infer.generate import DEFAULT_SAMPLING, continue_score
from cadenza.infer.held_out import Seed
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import read_seed
from cadenza.infer.sample import Sampling
from cadenza.metrics.base import METRICS, Metric
from cadenza.score.edit import select_bars
from cadenza.score.model import Score

#: Decodings with names of their own; others are written ``temperature=0.9,top_p=0.95``.
DECODINGS: Mapping[str, Sampling] = {
    "default": DEFAULT_SAMPLING,
    "greedy": Sampling(temperature=0.0),
    "T=1": Sampling(),
    "top-p 0.9": Sampling(top_p=0.9),
}
HUMAN, COPY, RANDOM, NGRAM = "human", "copy", "random", "n-gram"
BASELINES = (HUMAN, COPY, RANDOM, NGRAM)
#: Kinds of metrics that say something of a continuation by itself or beside its seed (sets and likelihood come after).
A_PIECE = ("est", "seed+ref+est", "text", "index")


@dataclass(frozen=True)
class Continuation:
    """What a system made of a seed.

    Args:
        score: the new bars, from time 0; None where the seed was refused.
        text: seed and new bars in the model's notation; empty where no model wrote them.
        n_tokens: drawn.
        refused: why there is nothing.
    """

    score: Score | None = field(repr=False)
    text: str = field(default="", repr=False)
    n_tokens: int = 0
    refused: str = ""


def sampling_of(decoding: str) -> Sampling:
    """The settings of a decoding's name.

    Raises:
        ConfigError: an unknown name or key.
    """
    if decoding in DECODINGS:
        return DECODINGS[decoding]
    if "=" not in decoding:
        hint = did_you_mean(decoding, DECODINGS) + " Or write temperature=0.9,top_p=0.95."
        raise ConfigError("a known decoding", repr(decoding), hint=hint)
    values: dict[str, Any] = {}
    for part in decoding.split(","):
        key, _, text = part.strip().partition("=")
        try:
            values[key] = int(text) if key == "top_k" else float(text)
        except ValueError:
            raise ConfigError("a number", repr(text), where=f"decoding {decoding}, {key}") from None
    return build_config(Sampling, values, f"decoding {decoding}")


def continued(seed: Seed, system: str, model: ComposerModel, number: int, counts: Any = None) -> Continuation:
    """The continuation of one seed by one system.

    Args:
        system: one of :data:`BASELINES`, or a decoding for the model.
        number: decides the draws, together with the system and the seed's name.
        counts: the :class:`~cadenza.infer.baselines.NgramCounts` that the system ``n-gram`` needs.
    """
    if system == HUMAN:
        return Continuation(seed.human, _text(seed, model))
    if system == COPY:
        return Continuation(baselines.copied(seed.given, seed.n_bars))
    if system == RANDOM:
        model, sampling = baselines.as_uniform(model), Sampling()
    elif system == NGRAM:
        model, sampling = baselines.as_ngram(model, counts), Sampling()
    else:
        sampling = sampling_of(system)
    draws = int(rng_for(number, "draws", system, seed.name).integers(1 << 62))
    return written_by(model, seed, sampling, draws)


def written_by(model: ComposerModel, seed: Seed, sampling: Sampling, random_seed: int) -> Continuation:
    """The one place where a model is asked to compose."""
    given = seed.given
    try:
        take = continue_score(given, model, bars=seed.n_bars, sampling=sampling, random_seed=random_seed)
        prompt = read_seed(given, model)
    except CadenzaError as error:
        return Continuation(None, refused=str(error))
    new = select_bars(seed.n_given, seed.n_given + seed.n_bars).apply(replace(take.score, bars=()))
    text = prompt.header + "".join((*prompt.bars, *take.bars)).lstrip()
    return Continuation(new, text, take.n_tokens)


def _text(seed: Seed, model: ComposerModel) -> str:
    """Seed and what follows in the piece, as the model would have to write it; empty where it cannot."""
    try:
        prompt = read_seed(select_bars(0, seed.n_given + seed.n_bars).apply(seed.text), model)
    except CadenzaError:
        return ""
    return prompt.header + "".join(prompt.bars).lstrip()


def chosen_metrics(names: Sequence[str], needs: Iterable[str]) -> list[Metric]:
    """The registered metrics of these kinds, or those of ``names`` among them.

    Raises:
        RegistryError: an unknown name.
        MissingExtraError: a metric that was asked for by name needs a package that is not there.
    """
    kinds = set(needs)
    loaded = [METRICS.load(name) for name in (names or METRICS.names())]
    return [metric for metric in loaded if metric.needs in kinds]


def measured(
    seed: Seed, made: Continuation, metrics: Sequence[Metric], model: ComposerModel, index: Any = None
) -> dict[str, float]:
    """Every column that is defined for this continuation.

    Args:
        index: what originality looks for copies in, or None for the seed alone.
    """
    if made.score is None:
        return {}
    inputs: dict[str, Callable[[], dict[str, Any] | None]] = {
        "est": lambda: {"est": made.score},
        "seed+ref+est": lambda: {"seed": seed.given, "ref": seed.human, "est": made.score},
        "text": lambda: {"est": made.text, "notation": model.notation} if made.text else None,
        "index": lambda: {"est": made.score, "seed": seed.given} | ({} if index is None else {"index": index}),
    }
    out: dict[str, float] = {}
    for metric in metrics:
        given = inputs[metric.needs]()
        if given is not None:
            out |= metric(**given)
    return out


def distances(values: Mapping[str, float], centre: Mapping[str, float], spread: Mapping[str, float]) -> float:
    """How far a piece lies from human music: the mean over columns, in standard deviations, each at most 5.

    Used to choose examples, never to rank systems.
    """
    found = [
        min(5.0, abs(value - centre[name]) / spread[name])
        for name, value in values.items()
        if name in centre and spread.get(name, 0) > 0
    ]
    return float(np.mean(found)) if found else 0.0
