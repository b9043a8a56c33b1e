"""One seed, continued by every system and measured: the work of ``cadenza evaluate generation``.

A *system* is what writes the bars: a model under one decoding, or a baseline (:mod:`cadenza.infer.baselines`), or the
piece itself (``human``), which no metric knows from the others. What a seed gives depends on the configuration, the
seed and its number only, never on what was done before, so that work can be spread, stopped and taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError, ConfigError, did_you_mean
from cadenza.corpus.build import rng_for
from cadenza.infer import baselines
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import write_take
from cadenza.infer.held_out import Seed
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import read_seed
from cadenza.infer.repetition import Brakes
from cadenza.infer.rows import run
from cadenza.infer.sample import Sampling
from cadenza.infer.write import Manner
from cadenza.metrics.base import METRICS, Metric
from cadenza.score.edit import select_bars
from cadenza.score.model import Score

#: Decodings with names of their own; others are written ``temperature=0.9,top_p=0.95,guard=true``. Only the product's
#: default is guarded against loops and copies: the others show what the model does by itself.
DECODINGS: Mapping[str, Decoding] = {
    "default": Decoding(),
    "greedy": Decoding(Sampling(temperature=0.0), guard=False, recall=False, original=False),
    "T=1": Decoding(Sampling(), guard=False, recall=False, original=False),
    "top-p 0.9": Decoding(Sampling(top_p=0.9), guard=False, recall=False, original=False),
}
SWITCHES = ("guard", "recall", "original")
NUMBERS_AND_SWITCHES = (*SWITCHES, "max_redraws", "contrast")
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


def decoding_of(name: str) -> Decoding:
    """The settings of a decoding's name, or of ``key=value`` parts: of sampling, brakes, :data:`NUMBERS_AND_SWITCHES`.

    Raises:
        ConfigError: an unknown name or key, or a value that does not fit.
    """
    if name in DECODINGS:
        return DECODINGS[name]
    if "=" not in name:
        hint = did_you_mean(name, DECODINGS) + " Or write temperature=0.9,top_p=0.95."
        raise ConfigError("a known decoding", repr(name), hint=hint)
    where = f"decoding {name}"
    parts: dict[str, dict[str, Any]] = {"sampling": {}, "brakes": {}, "": dict.fromkeys(SWITCHES, False)}
    homes = {one.name: home for home, kind in (("sampling", Sampling), ("brakes", Brakes)) for one in fields(kind)}
    for part in name.split(","):
        key, _, text = part.strip().partition("=")
        home = homes.get(key, "")
        if not home and key not in NUMBERS_AND_SWITCHES:
            hint = did_you_mean(key, [*homes, *NUMBERS_AND_SWITCHES])
            raise ConfigError("a key of decoding", repr(key), where=where, hint=hint)
        parts[home][key] = _value(text, f"{where}, {key}")
    sampling = build_config(Sampling, parts["sampling"], where)
    brakes = build_config(Brakes, parts["brakes"], where)
    return build_config(Decoding, {"sampling": sampling, "brakes": brakes, **parts[""]}, where)


def _value(text: str, where: str) -> float | int | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise ConfigError("a number, true or false", repr(text), where=where) from None


def continued(
    seed: Seed, systems: Sequence[str], model: ComposerModel, number: int, counts: Any = None
) -> dict[str, Continuation]:
    """The continuations of one seed by several systems.

    Args:
        systems: out of :data:`BASELINES` and decodings for the model; the latter are composed in one batch.
        number: decides the draws, together with the system and the seed's name.
        counts: the :class:`~cadenza.infer.baselines.NgramCounts` that the system ``n-gram`` needs.
    """
    plain = DECODINGS["T=1"]

    def draws(system: str) -> int:
        return int(rng_for(number, "draws", system, seed.name).integers(1 << 62))

    own = {system: (decoding_of(system), draws(system)) for system in systems if system not in BASELINES}
    out = written_by(model, seed, own)
    for system in systems:
        if system == HUMAN:
            out[system] = Continuation(seed.human, _text(seed, model))
        elif system == COPY:
            out[system] = Continuation(baselines.copied(seed.given, seed.n_bars))
        elif system == RANDOM:
            out |= written_by(baselines.as_uniform(model), seed, {system: (plain, draws(system))})
        elif system == NGRAM:
            out |= written_by(baselines.as_ngram(model, counts), seed, {system: (plain, draws(system))})
    return {system: out[system] for system in systems}


def written_by(model: ComposerModel, seed: Seed, asked: Mapping[str, tuple[Decoding, int]]) -> dict[str, Continuation]:
    """The one place where a model is asked to compose: a continuation for each (decoding, random seed), in a batch."""
    given = seed.given
    try:
        prompt = read_seed(given, model, bars=seed.n_bars)
    except CadenzaError as error:
        return {system: Continuation(None, refused=str(error)) for system in asked}

    def job(system: str) -> Callable[[], Any]:
        decoding, draws = asked[system]
        manner = Manner(decoding, model.loops, objection=model.objection)
        return lambda: write_take(given, model, [lambda _: prompt], manner, draws)

    names = list(asked)
    try:
        takes = dict(run(model.decoder, [job(system) for system in names], max(1, len(names))))
    except CadenzaError as error:
        if len(names) == 1:
            return {names[0]: Continuation(None, refused=str(error))}
        # Which of them it was shows one by one.
        return {name: found for name in names for found in written_by(model, seed, {name: asked[name]}).values()}
    out = {}
    for at, system in enumerate(names):
        take = takes[at]
        new = select_bars(seed.n_given, seed.n_given + seed.n_bars).apply(replace(take.score, bars=()))
        text = prompt.header + "".join((*prompt.bars, *take.bars)).lstrip()
        out[system] = Continuation(new, text, take.n_tokens)
    return out


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
