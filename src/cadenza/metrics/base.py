"""What a metric is: a named function of scores or texts, with range, direction and source of every number it gives.

A metric is a value, :class:`Metric`, and one line under ``cadenza.metrics`` in ``pyproject.toml``; :data:`METRICS`
lists and loads them. It is called with keywords only, ``ref`` before ``est``, and gives a plain mapping from the names
of its columns to finite numbers. A column that is not defined for an input (the intervals of a piece of one note, say)
is left out: never NaN, and never a 0 that means "unknown". So whoever averages a column averages over the pieces that
have it, and says how many those are.

What a metric is called with depends on its ``needs`` (:data:`NEEDS`)::

    METRICS.load("pitch")(est=score)                          # one piece
    METRICS.load("transcription")(ref=truth, est=answer)      # two versions of one piece
    METRICS.load("distribution")(ref=corpus, est=outputs)     # two sets of pieces
    METRICS.load("continuation")(seed=first_bars, ref=what_came, est=what_the_model_wrote)

The same value is a leaderboard column, a term of a ranker and, where it is bounded, a reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cadenza.base.errors import ConfigError, MissingExtraError, did_you_mean
from cadenza.base.registry import Registry

METRICS = Registry("cadenza.metrics", "metric")

Better = Literal["higher", "lower", "reference"]


@dataclass(frozen=True)
class Inputs:
    """What a kind of metric is called with: keywords that must be there, keywords that may be, and a sentence."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    summary: str


#: ``Metric.needs`` → its keywords. ``est`` is what is judged, ``ref`` what is true or human.
NEEDS: Mapping[str, Inputs] = {
    "est": Inputs(("est",), (), "one Score"),
    "ref+est": Inputs(("ref", "est"), (), "two Scores of one piece: the truth, and what is judged"),
    "set": Inputs(("ref", "est"), (), "two sequences of Scores: human pieces, and what is judged"),
    "set+embed": Inputs(
        ("ref", "est", "embed"), (), "two sequences of Scores, and a function from a Score to a vector of shape (D,)"
    ),
    "seed+ref+est": Inputs(
        ("seed", "est"), ("ref",), "Scores: the given bars, what follows in the piece (may be missing), what is judged"
    ),
    "text": Inputs(("est", "notation"), (), "a text, and the Notation that it is in"),
    "index": Inputs(
        ("est",), ("index", "seed"), "a Score, and what it may be copied from: an OriginalityIndex, a seed, or both"
    ),
    "log2_p": Inputs(
        ("log2_p", "notes", "bars", "seconds", "window_tokens", "stride_tokens"),
        (),
        "log2 p of every token, shape (n,), what they say in notes, bars and seconds, and how they were computed",
    ),
}


@dataclass(frozen=True)
class Column:
    """One number of a metric.

    Args:
        name: unique among all metrics; lower case with underscores.
        low, high: the range, ends included; ±inf where there is none.
        better: "higher", "lower", or "reference": nearest to the figure of human music is best.
        unit: "share", "bits", "notes", "semitones", …; "" for a plain ratio.
        summary: one sentence.
    """

    name: str
    low: float
    high: float
    better: Better
    unit: str
    summary: str


@dataclass(frozen=True)
class Metric:
    """A named function with the columns that it gives.

    Args:
        name: as registered.
        summary: one sentence.
        source: who defined it, as a citation.
        columns: what it gives.
        needs: one of :data:`NEEDS`.
        compute: the function; takes the keywords of its ``needs`` and returns the columns that are defined.
    """

    name: str
    summary: str
    source: str
    columns: tuple[Column, ...]
    needs: str
    compute: Callable[..., Mapping[str, float]]

    def __post_init__(self) -> None:
        if self.needs not in NEEDS:
            raise ConfigError("a known kind of inputs", repr(self.needs), hint=did_you_mean(self.needs, NEEDS))

    def __call__(self, **inputs: Any) -> dict[str, float]:
        """The columns that are defined for ``inputs``, in the order of ``columns``.

        Raises:
            ConfigError: a keyword is unknown or missing.
        """
        wanted = NEEDS[self.needs]
        known = (*wanted.required, *wanted.optional)
        for word in inputs:
            if word not in known:
                where = f"metric {self.name}"
                raise ConfigError("an input of this metric", repr(word), where=where, hint=did_you_mean(word, known))
        missing = [word for word in wanted.required if word not in inputs]
        if missing:
            raise ConfigError(wanted.summary, f"no {', '.join(missing)}", where=f"metric {self.name}")
        found = self.compute(**inputs)
        names = {column.name for column in self.columns}
        wrong = [name for name, value in found.items() if name not in names or not math.isfinite(value)]
        if wrong:
            raise ConfigError("finite values of declared columns", ", ".join(wrong), where=f"metric {self.name}")
        return {column.name: float(found[column.name]) for column in self.columns if column.name in found}

    def column(self, name: str) -> Column:
        """The column called ``name``.

        Raises:
            ConfigError: this metric has none of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        known = [column.name for column in self.columns]
        raise ConfigError(f"a column of {self.name}", repr(name), hint=did_you_mean(name, known))


def columns() -> dict[str, tuple[Metric, Column]]:
    """Every column of every registered metric: name → (its metric, itself). Imports the metrics."""
    found: dict[str, tuple[Metric, Column]] = {}
    for name in METRICS.names():
        metric = METRICS.load(name)
        for column in metric.columns:
            if column.name in found:
                owners = f"{found[column.name][0].name} and {name}"
                raise ConfigError(f"one metric with the column {column.name!r}", owners)
            found[column.name] = (metric, column)
    return found


def defined(values: Mapping[str, float | None] | Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Only the values that are numbers: None and NaN stand for "not defined here"."""
    return {name: float(value) for name, value in dict(values).items() if value is not None and value == value}


def measuring(module: str) -> Any:
    """Import an optional module of the extra ``measure``.

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise MissingExtraError(
            f"the package {name}", "none", hint="Install it: pip install 'cadenza[measure]'."
        ) from None
