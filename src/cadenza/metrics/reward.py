"""A reward: named weights over the columns of metrics, between 0 and 1, with its breakdown.

Each term is a column of a registered metric, brought to 0 … 1, where 1 is best:

* a column that is better higher (lower): its place between the ends of its range;
* any column with a *target*, as those have to be whose best value is that of human music: 1 at the target, falling
  with the distance: in a line to 0 at the farther end of a bounded range, as 1 / (1 + distance / max(1, |target|)) in
  an unbounded one.

The reward is the weighted mean. A text that cannot be read as its notation, or that holds no note, has 0; a column that
is not defined for the music counts as 0, so that leaving something out never pays. A column that is better at a
reference and has no target is refused, and so are metrics that need more than one piece, its text, its seed or its
truth: what a reward would mean there, nobody has said.

    reward = Reward({"scale_consistency": 2.0, "rep_4_tokens": 1.0}, {"scale_consistency": 1.0, "rep_4_tokens": 0.3})
    reward(text, notation).total
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cadenza.base.errors import CadenzaError, ConfigError, did_you_mean
from cadenza.base.registry import Registry
from cadenza.metrics.base import Column, Metric, columns
from cadenza.notation.base import Notation
from cadenza.score.model import Score

#: Rewards of a transcription by name: the answer's text and the true one's → :class:`Judgement`.
REWARDS = Registry("cadenza.rewards", "reward")

#: Kinds of inputs (see :data:`cadenza.metrics.base.NEEDS`) that a single piece can give.
POSSIBLE = ("est", "text", "ref+est", "seed+ref+est")


@dataclass(frozen=True)
class Judgement:
    """A reward's verdict.

    Args:
        total: 0 … 1.
        terms: column → its share of goodness, 0 … 1; {} for a text that cannot be read.
        values: column → the metric's own number, where it is defined.
    """

    total: float
    terms: Mapping[str, float]
    values: Mapping[str, float]

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"total": self.total, "terms": dict(self.terms), "values": dict(self.values)}


@dataclass(frozen=True)
class Reward:
    """Weights over columns.

    Args:
        terms: column → weight, above 0.
        targets: column → the best value, where more (or less) is not simply better.

    Raises:
        ConfigError: see the module's prose.
    """

    terms: Mapping[str, float]
    targets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = columns()
        if not self.terms or any(not (weight > 0 and math.isfinite(weight)) for weight in self.terms.values()):
            raise ConfigError("terms with weights above 0", repr(dict(self.terms)), where="reward")
        for name in (*self.terms, *self.targets):
            if name not in known:
                raise ConfigError("a metric's column", repr(name), where="reward", hint=did_you_mean(name, known))
        for name in self.targets:
            if name not in self.terms:
                raise ConfigError("targets of terms", repr(name), where="reward targets")
            column = known[name][1]
            if not column.low <= self.targets[name] <= column.high:
                said = f"{name} within {column.low:g} … {column.high:g}"
                raise ConfigError(said, str(self.targets[name]), where="reward targets")
        for name in self.terms:
            metric, column = known[name]
            if metric.needs not in POSSIBLE:
                raise ConfigError("a metric of one piece", f"{name}, of {metric.name}", where="reward")
            bounded = math.isfinite(column.low) and math.isfinite(column.high)
            if name not in self.targets and (column.better == "reference" or not bounded):
                hint = f"Give targets: {{{name}: VALUE}}, the figure of the music that you want."
                raise ConfigError("a target", f"none for {name}", where="reward targets", hint=hint)

    def of_score(
        self, est: Score, text: str, notation: Notation, *, ref: Score | None = None, seed: Score | None = None
    ) -> Judgement:
        """The verdict on a piece and the text that says it.

        Args:
            ref: the true piece, or what really follows.
            seed: what was given.

        Raises:
            ConfigError: a term needs ``ref`` or ``seed`` and there is none.
        """
        if not est.n_notes:
            return Judgement(0.0, {}, {})
        known = columns()
        values: dict[str, float] = {}
        for metric in {known[name][0].name: known[name][0] for name in self.terms}.values():
            values |= metric(**_inputs(metric, est, text, notation, ref, seed))
        terms = {name: self.goodness(known[name][1], values.get(name)) for name in self.terms}
        total = sum(weight * terms[name] for name, weight in self.terms.items()) / sum(self.terms.values())
        return Judgement(total, terms, {name: values[name] for name in self.terms if name in values})

    def __call__(
        self, text: str, notation: Notation, *, ref: Score | None = None, seed: Score | None = None
    ) -> Judgement:
        """The verdict on a text; 0 where it is not its notation's."""
        try:
            est = notation.decode(text)
        except CadenzaError:
            return Judgement(0.0, {}, {})
        return self.of_score(est, text, notation, ref=ref, seed=seed)

    def goodness(self, column: Column, value: float | None) -> float:
        """A column's number on the scale from 0 (worst, or undefined) to 1."""
        if value is None:
            return 0.0
        target = self.targets.get(column.name)
        if target is None:
            share = (value - column.low) / (column.high - column.low)
            return share if column.better == "higher" else 1 - share
        distance = abs(value - target)
        farthest = max(target - column.low, column.high - target)
        if math.isfinite(farthest):
            return 1 - distance / farthest
        return 1 / (1 + distance / max(1.0, abs(target)))


def _inputs(
    metric: Metric, est: Score, text: str, notation: Notation, ref: Score | None, seed: Score | None
) -> dict[str, Any]:
    """What a metric is called with.

    Raises:
        ConfigError: it needs what there is none of.
    """
    if metric.needs == "text":
        return {"est": text, "notation": notation}
    found: dict[str, Any] = {"est": est}
    if metric.needs == "ref+est":
        if ref is None:
            raise ConfigError("a true piece", "none", where=f"metric {metric.name}")
        found["ref"] = ref
    elif metric.needs == "seed+ref+est":
        if seed is None:
            raise ConfigError("the given bars", "none", where=f"metric {metric.name}")
        found["seed"] = seed
        if ref is not None:
            found["ref"] = ref
    return found
